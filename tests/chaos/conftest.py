"""A stack with a proxy before its services, to break."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import tarslab as tl
from tarslab.chaos.platforms import LocalPlatform
from tarslab.chaos.undo import Journal
from tarslab.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack that all tests of a worker share, and leave as it was."""
    with tl.stack.up(proxied=True) as shared:
        yield shared


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """An empty journal: that of the faults of this test, and of what it starts."""
    folder = tmp_path / "undo"
    monkeypatch.setenv("TARSLAB_CHAOS_UNDO", str(folder))
    return Journal()


@pytest.fixture
def platform(stack: Stack, journal: Journal) -> Iterator[LocalPlatform]:
    """The stack as a platform; every service is ready before a test, and comes back after it."""
    stack.wait_ready()
    yield LocalPlatform(stack)
    stack.wait_ready()
