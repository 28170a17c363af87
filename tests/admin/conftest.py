"""A service to ask, and both clients to ask it with."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.asking import Ask, ask_awaiting, ask_blocking
from tests.admin.service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    """The service, in threads of this process."""
    service = Service()
    thread = threading.Thread(target=service.serve_forever, args=(0.01,))
    thread.start()
    yield service
    service.released.set()
    service.shutdown()
    service.server_close()
    thread.join()


@pytest.fixture(params=[ask_blocking, ask_awaiting], ids=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Both clients, one after the other."""
    asks: Ask = request.param
    return asks


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests."""
    for name in ("URL", "USERNAME", "PASSWORD", "API_KEY", "CA_BUNDLE", "PROFILE"):
        monkeypatch.delenv(f"TARSLAB_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
