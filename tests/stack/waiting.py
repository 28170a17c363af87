"""What tests of processes wait for."""

import time
from collections.abc import Callable, Iterable

import psutil

LIMIT = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; the test fails where it does not come."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pids: Iterable[int | None]) -> None:
    """Wait until none of the processes runs."""
    known = [pid for pid in pids if pid is not None]
    assert known
    wait_until(lambda: not any(map(alive, known)))
