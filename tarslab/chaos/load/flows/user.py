"""The user that a flow is called with: it sends requests, and each is measured."""

import asyncio
import errno
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from tarslab.admin.secret import Secret

if TYPE_CHECKING:
    from tarslab.chaos.load.engine.runners import Runner

NOT_ANSWERED = "no answer by the end of the run"
# A connection that the other side has ended, where aiohttp tells of it by the number alone.
LOST = {errno.ECONNABORTED, errno.ECONNRESET, errno.EPIPE}


class Response:
    """An answer, or what stood in its way: a request does not raise."""

    __slots__ = ("body", "duration", "error", "headers", "status")

    def __init__(
        self, status: int, body: bytes, headers: Mapping[str, str], duration: float, error: str
    ) -> None:
        self.status = status
        """0 where there was no answer."""
        self.body = body
        self.headers = headers
        self.duration = duration
        """Milliseconds from when the request was due: what http_req_duration has."""
        self.error = error
        """Its kind, such as ``timeout`` or ``HTTP 503``; empty where the answer is as expected."""

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 399, as k6 expects it by default."""
        return 200 <= self.status < 400

    def json(self) -> Any:
        """The body as JSON; msgspec.DecodeError where it is none."""
        return msgspec.json.decode(self.body)


class User:
    """One virtual user, who goes through the flow again and again."""

    def __init__(
        self, number: int, username: str, password: Secret, shared: dict[str, Any]
    ) -> None:
        self.number = number
        """From 1, as k6's ``__VU``."""
        self.username = username
        self.password = password
        self.state: dict[str, Any] = {}
        """Its own, from one iteration to the next."""
        self.shared = shared
        """Of all users of this process."""
        self.iteration = 0
        """The number of the iteration within the scenario, from 0, over all users."""
        self.env: Mapping[str, str] = {}
        """Of the scenario."""
        self._runner: Runner[Any]
        self._due: float | None = None

    def begin(self, runner: "Runner[Any]", iteration: int, due: float) -> None:
        """Before an iteration that was due at that moment: so is its first request."""
        self._runner = runner
        self._due = due
        self.iteration = iteration
        self.env = runner.scenario.env

    async def get(self, path: str, **options: Any) -> Response:
        """``request`` by GET."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Response:
        """``request`` by POST."""
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Any) -> Response:
        """``request`` by PUT."""
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> Response:
        """``request`` by PATCH."""
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Response:
        """``request`` by DELETE."""
        return await self.request("DELETE", path, **options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request to the target, and measure it.

        path: from the root of the target; redirects are not followed.
        name: the tag that its samples have; by default the path. Give one where the path holds an
            id.
        """
        asked = monotonic()
        # Only the first request of an iteration was due before the flow came to it.
        due, self._due = (asked if self._due is None else self._due), None
        runner = self._runner
        url = runner.url(path)
        name = name or path.partition("?")[0]
        body = None if json is None else msgspec.json.encode(json)
        given = dict(headers or ())
        if body is not None:
            given["Content-Type"] = "application/json"
        runner.waiting += 1
        try:
            async with runner.session.request(
                method, url, data=body, headers=given, allow_redirects=False
            ) as answer:
                content = await answer.read()
        except asyncio.CancelledError:
            if runner.out_of_time:
                runner.measured(name, method, 0, NOT_ANSWERED, due, asked, monotonic())
            else:
                runner.unanswered(name, method, due)
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            now, kind = monotonic(), _kind(error)
            runner.measured(name, method, 0, kind, due, asked, now)
            return Response(0, b"", {}, (now - due) * 1e3, kind)
        finally:
            runner.waiting -= 1
        now, status = monotonic(), answer.status
        kind = "" if 200 <= status < 400 else f"HTTP {status}"
        runner.measured(name, method, status, kind, due, asked, now)
        runner.transferred(
            due,
            len(body or b"") + _size(answer.request_info.headers.items()),
            len(content) + _size(answer.headers.items()),
        )
        return Response(status, content, answer.headers, (now - due) * 1e3, kind)

    def check(self, name: str, condition: object) -> bool:
        """Count whether a condition holds, in the metric ``checks`` with the tag ``check``."""
        self._runner.checked(name, bool(condition))
        return bool(condition)

    def trend(self, metric: str, milliseconds: float) -> None:
        """Add a time to a metric of the flow's own."""
        self._runner.timed(metric, milliseconds)

    def count(self, metric: str, amount: float = 1) -> None:
        """Add to a counter of the flow's own."""
        self._runner.counted(metric, amount)

    def __repr__(self) -> str:
        return f"<User {self.number}>"


def _kind(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    number = getattr(getattr(error, "os_error", error), "errno", None)
    if number == errno.ECONNREFUSED:
        return "connection refused"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "host not found"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "answer cut off"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError) or number in LOST:
        return "connection lost"
    return errno.errorcode.get(number or 0, type(error).__name__)


def _size(headers: Any) -> int:
    """Bytes of headers as text, about; without what TCP and TLS add."""
    return sum([len(name) + len(value) + 4 for name, value in headers]) + 17
