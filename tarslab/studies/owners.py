"""Who runs a search, as each of its trials notes it, and whether they are gone."""

import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

# Seconds by which the start time of a process may seem to move.
CLOCK_STEP = 5.0

_of_this_process: set[str] = set()


@contextmanager
def running() -> Iterator[dict[str, Any]]:
    """Who this search is, as long as it runs."""
    process, search = psutil.Process(), uuid.uuid4().hex
    _of_this_process.add(search)
    try:
        yield {
            "host": platform.node(),
            "processes": _processes(),
            "pid": process.pid,
            "started": process.create_time(),
            "search": search,
        }
    finally:
        _of_this_process.discard(search)


def is_gone(owner: dict[str, Any] | None) -> bool | None:
    """Whether the search that owned a trial has ended; None where that cannot be seen from here."""
    if owner is None or owner["host"] != platform.node():
        return None
    # Containers may share the name of their host, and each counts its processes from 1.
    if owner["processes"] != _processes():
        return None
    if owner["pid"] == os.getpid():
        return owner["search"] not in _of_this_process
    try:
        process = psutil.Process(owner["pid"])
        # A number may be used again; the clock that start times are told by may have been set.
        same = abs(process.create_time() - owner["started"]) < CLOCK_STEP
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _processes() -> str:
    """Among which processes the number of one means that one."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""
