"""The drivers of steps, blocking and for asyncio: all I/O of the clients, and nothing else.

Each has an ``httpx.Auth`` flow that renews the session's access token before it expires and when
it is rejected, once for all calls that wait for it.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

import httpx

from tarslab.admin.credentials import Credentials
from tarslab.admin.errors import AdminError
from tarslab.admin.exchange import Exchange, Send, Sleep, Steps
from tarslab.admin.models import Model
from tarslab.admin.pages import AsyncPages, Listing, Pages
from tarslab.admin.secret import Secret
from tarslab.admin.session import Session

T = TypeVar("T")
M = TypeVar("M", bound=Model)

# The longest that a connection may take, seconds.
CONNECT = 3.0


class Blocking:
    """Runs calls in the thread that makes them; several may do so at once."""

    def __init__(
        self,
        exchange: Exchange,
        credentials: Credentials,
        timeout: float,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.exchange = exchange
        self.session = Session(exchange, credentials)
        self._auth = _auth(credentials) or _BlockingAuth(self.session, self.run)
        self._http = httpx.Client(transport=transport, **_settings(credentials, timeout))

    def run(self, steps: Steps[T]) -> T:
        """The result of some steps."""
        try:
            step = next(steps)
            while True:
                try:
                    came = self._take(step)
                except (httpx.RequestError, AdminError) as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(came)
        except StopIteration as end:
            result: T = end.value
            return result

    def pages(self, listing: Listing[M]) -> Pages[M]:
        """An iterator of a list."""
        return Pages(listing, self.run)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _take(self, step: Send | Sleep) -> httpx.Response | None:
        if isinstance(step, Send):
            return self._http.send(step.request, auth=self._auth if step.signed else None)
        time.sleep(step.seconds)
        return None


class Awaiting:
    """Runs calls as coroutines of one event loop of asyncio."""

    def __init__(
        self,
        exchange: Exchange,
        credentials: Credentials,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.exchange = exchange
        self.session = Session(exchange, credentials)
        self._auth = _auth(credentials) or _AwaitingAuth(self.session, self.run)
        self._http = httpx.AsyncClient(transport=transport, **_settings(credentials, timeout))

    async def run(self, steps: Steps[T]) -> T:
        """The result of some steps."""
        try:
            step = next(steps)
            while True:
                try:
                    came = await self._take(step)
                except (httpx.RequestError, AdminError) as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(came)
        except StopIteration as end:
            result: T = end.value
            return result

    def pages(self, listing: Listing[M]) -> AsyncPages[M]:
        """An asynchronous iterator of a list."""
        return AsyncPages(listing, self.run)

    async def close(self) -> None:
        """Close the connections."""
        if isinstance(self._auth, _AwaitingAuth):
            await self._auth.settle()
        await self._http.aclose()

    async def _take(self, step: Send | Sleep) -> httpx.Response | None:
        if isinstance(step, Send):
            return await self._http.send(step.request, auth=self._auth if step.signed else None)
        await asyncio.sleep(step.seconds)
        return None


class _ApiKeyAuth(httpx.Auth):
    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-API-Key"] = self._key.reveal()
        yield request


class _BlockingAuth(httpx.Auth):
    def __init__(self, session: Session, run: Callable[[Steps[Secret]], Secret]) -> None:
        self._session = session
        self._run = run
        self._lock = threading.Lock()
        self._renewal: Future[Secret] | None = None

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._token(None)
        if (yield _signed(request, token)).status_code == 401:
            yield _signed(request, self._token(token))

    def _token(self, rejected: Secret | None) -> Secret:
        """A good token; the first that finds none renews it, and the others wait for that."""
        while True:
            with self._lock:
                token = self._session.access(rejected)
                if token is not None:
                    return token
                renewal, first = self._renewal, self._renewal is None
                if renewal is None:
                    renewal = self._renewal = Future()
            if first:
                self._renew(renewal)
            try:
                return renewal.result()
            except CancelledError:
                continue  # The thread that renewed was interrupted.

    def _renew(self, renewal: "Future[Secret]") -> None:
        try:
            renewal.set_result(self._run(self._session.renewal()))
        except Exception as error:
            renewal.set_exception(error)
        except BaseException:
            renewal.cancel()
            raise
        finally:
            with self._lock:
                self._renewal = None


class _AwaitingAuth(httpx.Auth):
    def __init__(self, session: Session, run: Callable[[Steps[Secret]], Any]) -> None:
        self._session = session
        self._run = run
        self._renewal: asyncio.Task[Secret] | None = None

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._token(None)
        if (yield _signed(request, token)).status_code == 401:
            yield _signed(request, await self._token(token))

    async def settle(self) -> None:
        """Wait for a renewal that is under way."""
        if self._renewal:
            await asyncio.wait([self._renewal])

    async def _token(self, rejected: Secret | None) -> Secret:
        """A good token; the first that finds none renews it, and the others wait for that.

        The renewal is a task of its own: it outlives a caller that is cancelled, who would else
        take the others' refresh token along.
        """
        token = self._session.access(rejected)
        if token is not None:
            return token
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._run(self._session.renewal()))
            self._renewal.add_done_callback(self._renewed)
        return await asyncio.shield(self._renewal)

    def _renewed(self, renewal: "asyncio.Task[Secret]") -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # Seen, should every caller have gone.


def _auth(credentials: Credentials) -> httpx.Auth | None:
    return _ApiKeyAuth(credentials.api_key) if credentials.api_key else None


def _signed(request: httpx.Request, token: Secret) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token.reveal()}"
    return request


def _settings(credentials: Credentials, timeout: float) -> dict[str, Any]:
    return {
        "timeout": httpx.Timeout(timeout, connect=min(CONNECT, timeout)),
        "verify": credentials.verify(),
        # Credentials go to the URL that was given and nowhere else.
        "follow_redirects": False,
        # What goes to this machine goes through no proxy of the environment.
        "trust_env": not credentials.local,
    }
