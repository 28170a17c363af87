"""A small service on a real socket, with the API's sessions; what else it answers it is told."""

import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Conditions are waited for so long at most, seconds.
LIMIT = 30


@dataclass
class Answer:
    """What the service answers."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection, and answer nothing."""
    stall: bool = False
    """Send half of the body, and the rest never."""
    echo: bool = False
    """Refuse with a problem that quotes the whole request."""


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Service(ThreadingHTTPServer):
    """Sessions with refresh tokens that end the session when used twice; the rest is told."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.told: dict[str, deque[Answer]] = {}
        self.seen: list[Seen] = []
        self.expires_in = 600.0
        self.refreshable = True
        self.good: set[str] = set()
        """Access tokens."""
        self.fresh: set[str] = set()
        """Refresh tokens."""
        self.changed = threading.Condition()
        self.rejected = 0
        self.hold_refresh_until: Callable[[], bool] = lambda: True
        self.released = threading.Event()
        self._issued = 0

    def tell(self, request: str, *answers: Answer) -> None:
        """Answer ``METHOD /path`` with each in turn, and with the last one from then on."""
        self.told[request] = deque(answers)

    def count(self, request: str) -> int:
        """How often ``METHOD /path`` came."""
        return sum(str(seen).partition("?")[0] == request for seen in self.seen)

    def reject_all_tokens(self) -> None:
        """Let no access token so far be good any more."""
        with self.changed:
            self.good.clear()

    def answer(self, seen: Seen) -> Answer:
        """The answer to a request."""
        with self.changed:
            self.seen.append(seen)
            name = str(seen).partition("?")[0]
            told = self.told.get(name)
            if told is not None:
                signed = not seen.path.startswith("/auth/")
                if signed and not self._known(seen):
                    return self._unauthorized("the access token is not good")
                return told[0] if len(told) == 1 else told.popleft()
            if name == "POST /auth/login":
                if seen.body["password"] != "pass-word-1":
                    return self._unauthorized("wrong username or password")
                return self._tokens()
            if name == "POST /auth/refresh":
                self.changed.wait_for(self.hold_refresh_until, LIMIT)
                if seen.body["refresh_token"] not in self.fresh:
                    self.good.clear()
                    self.fresh.clear()
                    return self._unauthorized("the refresh token is not good")
                self.fresh.remove(seen.body["refresh_token"])
                return self._tokens()
            if name == "POST /auth/logout":
                if not self._known(seen):
                    return self._unauthorized("the access token is not good")
                self.good.clear()
                self.fresh.clear()
                return Answer(204)
        return problem(404, "nothing there")

    def _known(self, seen: Seen) -> bool:
        if "authorization" not in seen.headers:
            return True
        known = seen.headers["authorization"].removeprefix("Bearer ") in self.good
        self.rejected += not known
        self.changed.notify_all()
        return known

    def _unauthorized(self, why: str) -> Answer:
        return problem(401, why, {"WWW-Authenticate": "Bearer"})

    def _tokens(self) -> Answer:
        self._issued += 1
        access, refresh = f"access-{self._issued}", f"refresh-{self._issued}"
        self.good.add(access)
        if self.refreshable:
            self.fresh.add(refresh)
        return Answer(
            200,
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": self.expires_in,
                "refresh_token": refresh if self.refreshable else None,
                "refresh_expires_in": 3600 if self.refreshable else None,
                "role": "admin",
                "scopes": ["agents:read"],
                "mode": "normal" if self.refreshable else "legacy",
            },
        )


class Handler(BaseHTTPRequestHandler):
    """Hands requests to the service."""

    protocol_version = "HTTP/1.1"
    server: Service

    def handle_any(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, json.loads(raw) if raw else None)
        answer = self.server.answer(seen)
        if answer.echo:
            said = f"you sent {headers} {seen.body}"
            wrong = [{"field": "password", "message": said}]
            answer = problem(answer.status, said, answer.headers, errors=wrong)
        if answer.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        body = b"" if answer.status == 204 else body
        self.send_response(answer.status)
        sent = {"Content-Type": "application/json", "X-Request-ID": headers["x-request-id"]}
        for name, value in (sent | answer.headers).items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if answer.stall:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.released.wait(LIMIT)
            self.close_connection = True
            return
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    """A refusal in the way of RFC 9457."""
    body = {"type": "urn:tarslab:problem:x", "title": "No", "status": status, "detail": detail}
    kind = {"Content-Type": "application/problem+json"}
    return Answer(status, body | more, kind | (headers or {}))
