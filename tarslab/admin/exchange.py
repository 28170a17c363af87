"""A call as steps: what to send, how long to wait, what came of it. Nothing here does I/O.

The steps are a generator, which yields what is to be done (``Send``, ``Sleep``), is sent the
response or thrown the exception, and returns the result. ``running`` has a blocking and an asyncio
driver of such steps, so that the rules stand here once.
"""

import random
import uuid
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx
import msgspec

from tarslab import __version__
from tarslab.admin.answers import REQUEST_ID, error_of, read, without_secrets
from tarslab.admin.errors import AdminError, Unavailable
from tarslab.admin.secret import Secret

T = TypeVar("T")

# The most that the waits between the attempts of a call sum up to, seconds.
PATIENCE = 30.0
# Before attempt n+1 a random wait up to BACKOFF * 2**n, at most LONGEST, seconds.
BACKOFF, LONGEST = 0.25, 5.0

# Errors that arise before anything of the request is sent.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
IDEMPOTENT = ("GET", "PUT", "DELETE")
PASSING = (429, 502, 503, 504)
# With Retry-After these say that nothing was done.
REFUSED = (429, 503)


@dataclass(frozen=True)
class Send:
    """Send the request, and give its response with the body read."""

    request: httpx.Request
    signed: bool
    """Whether the credentials go with it."""


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


Steps: TypeAlias = Generator[Send | Sleep, Any, T]


class Exchange:
    """The calls of one API.

    Args:
        url: Of the API, without a slash at its end.
        retries: How often a call is tried again.
    """

    def __init__(self, url: str, retries: int) -> None:
        self.url = url
        self.retries = retries
        self.mode: str | None = None
        """``normal`` or ``legacy``: what the last response said."""

    def ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        repeatable: bool | None = None,
        signed: bool = True,
        accept: tuple[int, ...] = (),
    ) -> Steps[T]:
        """One call, and its answer as ``kind``.

        ``params`` and members of ``body`` that are None are left out. By default a call is
        repeatable by its method or its idempotency key.

        Raises:
            AdminError: Its child for what went wrong.
        """
        request = self.request(method, path, params, body, idempotency_key)
        if repeatable is None:
            repeatable = method in IDEMPOTENT or idempotency_key is not None
        response = yield from self.send(
            request, repeatable=repeatable, signed=signed, accept=accept
        )
        return read(response, kind, accept)

    def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> httpx.Request:
        """A request with an id of its own, and without credentials."""
        headers = {
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"tarslab/{__version__}",
            REQUEST_ID: uuid.uuid4().hex,
        }
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            members = {name: value for name, value in body.items() if value is not None}
            content = msgspec.json.encode(members, enc_hook=_revealed)
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return httpx.Request(
            method, self.url + path, params=given or None, headers=headers, content=content
        )

    def send(
        self,
        request: httpx.Request,
        *,
        repeatable: bool,
        signed: bool,
        accept: Collection[int] = (),
    ) -> Steps[httpx.Response]:
        """Send a request until an answer is not passing, or the retries or PATIENCE are used up.

        What is not repeatable is sent again only where nothing of it was sent, or where the service
        refused it and says when to come back. A status in ``accept`` is an answer.

        Raises:
            RateLimited, Unavailable: It was used up.
        """
        attempt, waited, unsure = 0, 0.0, False
        while True:
            try:
                response: httpx.Response = yield Send(request, signed)
            except httpx.RequestError as error:
                sent = not isinstance(error, UNSENT)
                unsure |= sent
                failure: AdminError = _no_answer(error, request)
                again = (repeatable or not sent) and not _untrusted(error)
                wait = None
            else:
                self.mode = response.headers.get("X-Mode", self.mode)
                status = response.status_code
                if status == 404 and request.method == "DELETE" and unsure:
                    # An attempt before this one has done it.
                    return httpx.Response(204, request=request)
                if status not in PASSING or status in accept:
                    return response
                failure = error_of(response)
                wait = failure.retry_after
                refused = status in REFUSED and wait is not None
                again = repeatable or refused
                unsure |= not refused
            pause = (wait or 0.0) + random.uniform(0, min(BACKOFF * 2.0**attempt, LONGEST))
            if not again or attempt >= self.retries or waited + pause > PATIENCE:
                if isinstance(failure, Unavailable):
                    failure.maybe_done = unsure
                # httpx's own error has the request with the credentials.
                raise failure from None
            yield Sleep(pause)
            waited += pause
            attempt += 1


def _no_answer(error: httpx.RequestError, request: httpx.Request) -> Unavailable:
    # What a protocol error says quotes headers.
    shown = "" if isinstance(error, httpx.ProtocolError) else without_secrets(str(error), request)
    if _untrusted(error):
        mend = "If its certificate is of an authority of your own, give that as ca_bundle."
    elif isinstance(error, UNSENT) or request.method == "GET":
        mend = "Is the service up, and the URL right?"
    else:
        mend = "Whether it was done is not known: look before you do it again."
    said = f"{type(error).__name__}: {shown}" if shown else type(error).__name__
    number = request.headers[REQUEST_ID]
    origin = f"{request.url.scheme}://{request.url.netloc.decode()}"
    return Unavailable(
        f"{request.method} {request.url.path}: no answer of {origin} ({said}; request {number}). "
        f"{mend}",
        request_id=number,
    )


def _untrusted(error: httpx.RequestError) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} cannot be sent")
