"""What actions count, of services that answer as they are told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from tarslab.admin.errors import AdminError, Conflict, RateLimited, Unavailable
from tarslab.admin.secret import Secret
from tarslab.chaos.experiments import actions
from tests.chaos.experiments import made

NOBODY = "http://127.0.0.1:1"


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A service that answers everything so; its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def raising(error: AdminError, *, maybe_done: bool = False) -> Callable[[], Any]:
    """A call that fails."""
    if maybe_done:
        error.maybe_done = True  # type: ignore[attr-defined]

    def call() -> Any:
        raise error

    return call


class Killed:
    """A session in which a rotation is killed, as far as the actions know."""

    def __init__(self, rotate: Callable[[], Any], url: str, active: str = "new") -> None:
        self.counts: dict[str, float] = {}
        keys = [SimpleNamespace(kid=active, state="active"), SimpleNamespace(kid="n", state="next")]
        jwt = SimpleNamespace(
            rotate=lambda rehearse=False: SimpleNamespace(refused=None) if rehearse else rotate(),
            status=lambda: SimpleNamespace(keys=keys),
        )
        self._client = SimpleNamespace(
            url=url, jwt=jwt, login=lambda: SimpleNamespace(access_token=Secret("t"))
        )

    def admin(self, **_: object) -> AbstractContextManager[Any]:
        return nullcontext(self._client)

    def beside(self, fault: object) -> AbstractContextManager[None]:
        return nullcontext()

    def sleep(self, seconds: float) -> None:
        pass

    def kill(self, fault: object, then: Callable[[], object]) -> dict[str, Any]:
        return {}

    def count(self, what: str, amount: float = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + amount


def counted(rotate: Callable[[], Any], status: int = 200, active: str = "new") -> dict[str, float]:
    """What is counted of one kill within a rotation."""
    with answering(status) as url:
        session: Any = Killed(rotate, url, active)
        slowness: Any = SimpleNamespace(end=lambda: None)
        actions._kill_within_rotation(session, slowness, slowness, 0.0)
    return dict(session.counts)


def test_only_a_rotation_that_may_have_begun_and_was_not_answered_was_interrupted():
    found = counted(raising(Unavailable("cut"), maybe_done=True))
    assert (found["rotations interrupted"], found["rotations refused"]) == (1, 0)


@pytest.mark.parametrize(
    "rotate",
    [
        raising(Conflict("not yet", status=409)),
        raising(RateLimited("slowly", status=429)),
        raising(Unavailable("no Redis", status=503), maybe_done=True),
        # It was dead before the request could be sent.
        raising(Unavailable("refused")),
    ],
)
def test_a_refusal_is_no_interruption(rotate: Callable[[], Any]):
    found = counted(rotate)
    assert (found["rotations interrupted"], found["rotations refused"]) == (0, 1)
    assert found["rotations lost"] == 0


@pytest.mark.parametrize(("active", "lost"), [("new", 0), ("old", 1)])
def test_a_rotation_that_was_acknowledged_has_to_be_there(active: str, lost: int):
    found = counted(lambda: SimpleNamespace(active="new"), active=active)
    assert (found["rotations interrupted"], found["rotations refused"]) == (0, 0)
    assert found["rotations lost"] == lost


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (200, {"tokens broken": 0}),
        (401, {"tokens broken": 1}),
        (429, {"tokens not known": 1}),
        (503, {"tokens not known": 1}),
    ],
)
def test_only_a_401_says_that_a_token_is_broken(status: int, counts: dict[str, float]):
    found = counted(lambda: SimpleNamespace(active="new"), status)
    assert {what: n for what, n in found.items() if what.startswith("tokens")} == counts


def test_no_answer_says_nothing_of_a_token():
    assert actions._is_good(NOBODY, "t") is None


def signed_in(monkeypatch: pytest.MonkeyPatch, login: Callable[[], Any], url: str) -> Any:
    """What is counted until somebody has tried to sign in once."""
    session = made.session(made.action("sign_in", background=True), made.action("end_load"))

    def once() -> Any:
        session.users_gone.set()
        return login()

    user = SimpleNamespace(url=url, login=once)
    monkeypatch.setattr(session, "admin", lambda **_: nullcontext(user))
    monkeypatch.setattr(actions, "current", lambda: session)
    return actions.sign_in(rate=1000)


def test_where_nobody_could_sign_in_no_token_is_known_to_be_good(monkeypatch: pytest.MonkeyPatch):
    found = signed_in(monkeypatch, raising(Unavailable("down")), NOBODY)
    assert found == {"logins refused": 1}


def test_a_token_that_is_known_is_counted_as_not_refused(monkeypatch: pytest.MonkeyPatch):
    given = SimpleNamespace(mode="legacy", access_token=Secret("t"))
    with answering(200) as url:
        found = signed_in(monkeypatch, lambda: given, url)
    assert found == {"logins in legacy mode": 1, "tokens refused": 0}
