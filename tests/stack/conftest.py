"""Stacks of real processes, and orchestration alone in this one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tarslab as tl
from tarslab.stack import Stack
from tarslab.stack.orchestration import agents, recordings
from tests.stack.served import Served, Valkey, settings_of

read_once = cache(recordings.read)
OwnStack = Callable[..., Stack]
Serve = Callable[..., Served]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack that all tests of a worker share: they leave it running, and its time alone."""
    with tl.stack.up() as shared:
        yield shared


@pytest.fixture
def own_stack() -> Iterator[OwnStack]:
    """Brings up a stack for a test that breaks it; arguments as of ``tl.stack.up``."""
    with ExitStack() as held:

        def up(*arguments: Any, **options: Any) -> Stack:
            return held.enter_context(tl.stack.up(*arguments, **options))

        yield up


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """The server of ``valkey``."""
    server = Valkey()
    server.start()
    yield server
    server.close()


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """An empty Valkey, which a test leaves running."""
    shared_valkey.client.flushall()
    return shared_valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey for a test that kills it."""
    server = Valkey()
    server.start()
    yield server
    server.close()


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serves orchestration on a Valkey, with settings; several share the time of the first."""
    # The recordings do not change: read once.
    monkeypatch.setattr(agents, "read", read_once)
    with ExitStack() as held:

        def begin(valkey: Valkey, name: str = "orchestration", **settings: Any) -> Served:
            clock = tmp_path / "clock"
            options = settings_of(
                tmp_path / name, **{"redis_url": valkey.url, "clock": clock, **settings}
            )
            served = Served(options)
            held.callback(served.stop)
            return served

        yield begin


@pytest.fixture
def served(serve: Serve, valkey: Valkey) -> Served:
    """Orchestration, just set up."""
    return serve(valkey)
