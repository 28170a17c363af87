"""A call back at a moment: by a timer file descriptor, which is exact to tens of microseconds."""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

MONOTONIC = 1
NONBLOCK_CLOEXEC = 0o2004000
ABSOLUTE = 1


class Timer:
    """Calls back once at a moment of ``time.monotonic``; where there are no timer descriptors, as
    exactly as the event loop can.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._descriptor = _descriptor()
        if self._descriptor is not None:
            loop.add_reader(self._descriptor, self._expired)

    def at(self, moment: float) -> None:
        """Call back then, instead of at an earlier said moment; at once if that is past."""
        if self._descriptor is not None:
            _set(self._descriptor, moment)
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(moment, self._callback)

    def close(self) -> None:
        """Never call back again."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if self._handle is not None:
            self._handle.cancel()

    def _expired(self) -> None:
        assert self._descriptor is not None
        try:
            os.read(self._descriptor, 8)
        # It was set anew since.
        except BlockingIOError:
            return
        self._callback()


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


# The module os has them from Python 3.13 on.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _descriptor() -> int | None:
    if _LIBC is None:
        return None
    descriptor: int = _LIBC.timerfd_create(MONOTONIC, NONBLOCK_CLOEXEC)
    return None if descriptor < 0 else descriptor


def _set(descriptor: int, moment: float) -> None:
    assert _LIBC is not None
    # A moment of 0 would disarm it.
    nanoseconds = max(1, int(moment * 1e9))
    value = _Timespec(*divmod(nanoseconds, 1_000_000_000))
    _LIBC.timerfd_settime(descriptor, ABSOLUTE, ctypes.byref(_Itimerspec(_Timespec(), value)), None)
