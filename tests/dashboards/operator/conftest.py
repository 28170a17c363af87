"""Orchestration served in this process, and people who look after it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import comm
import pytest

import tarslab as tl
from tarslab.dashboards.operator import session
from tests.dashboards.operator.person import Line, Person, leave
from tests.stack.served import PASSWORD, Served, Valkey, settings_of

Story = Callable[[Person], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A Valkey of the module's own."""
    server = Valkey()
    server.start()
    yield server
    server.close()


@pytest.fixture
def service(valkey: Valkey, tmp_path: Path) -> Iterator[Served]:
    """Orchestration, just set up."""
    valkey.client.flushall()
    served = Served(settings_of(tmp_path, valkey.url, access_seconds=60))
    yield served
    served.stop()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings of whoever runs the tests, a front end that keeps what it gets, no long waits."""
    for name in ("URL", "USERNAME", "PASSWORD", "API_KEY", "CA_BUNDLE", "PROFILE"):
        monkeypatch.delenv(f"TARSLAB_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(comm, "create_comm", Line)
    monkeypatch.setattr(session, "PATIENCE", 3.0)
    Line.sent.clear()
    yield
    Line.sent.clear()


@pytest.fixture
def live(service: Served) -> Callable[..., None]:
    """Lets somebody live a story at a dashboard of the service, by default signed in as admin."""

    def run(story: Story, *, username: str = "admin", signed_in: bool = True) -> None:
        async def begin() -> None:
            dashboard = tl.dashboards.operator(service.url)
            person = Person(dashboard)
            if signed_in:
                await person.sign_in(service.url, PASSWORD, username)
                assert dashboard.session.me is not None
            try:
                await story(person)
            finally:
                await leave(dashboard)

        asyncio.run(begin())

    return run


@pytest.fixture
def viewer(service: Served) -> str:
    """The name of a user who may only look."""
    service.user("vera", "viewer")
    return "vera"


class Hang:
    """Holds a service up, as SIGSTOP would: connections stay, answers do not come."""

    def __init__(self, service: Served) -> None:
        self._go_on = threading.Event()
        service._loop.call_soon_threadsafe(self._go_on.wait)

    def end(self) -> None:
        """Let it go on."""
        self._go_on.set()


@pytest.fixture
def hang(service: Served) -> Iterator[Callable[[], Hang]]:
    """Holds the service up."""
    hung: list[Hang] = []

    def begin() -> Hang:
        hung.append(Hang(service))
        return hung[-1]

    yield begin
    for one in hung:
        one.end()
