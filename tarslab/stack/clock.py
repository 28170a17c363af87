"""The time of the stack: the machine's, or as far ahead as a file says."""

import mmap
import struct
import time
from pathlib import Path

_OFFSET = struct.Struct("<d")


class Clock:
    """Unix seconds. Where ``path`` is given, its 8 bytes say how many seconds the clock is ahead.

    Several processes that share the file share the time, and it can be moved while they run.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._ahead: mmap.mmap | None = None
        if path is not None:
            if not path.exists():
                path.write_bytes(_OFFSET.pack(0.0))
            with path.open("r+b") as file:
                self._ahead = mmap.mmap(file.fileno(), _OFFSET.size)

    def now(self) -> float:
        """Unix seconds."""
        return time.time() + self.ahead

    @property
    def ahead(self) -> float:
        """Seconds that this clock is ahead of the machine's."""
        return 0.0 if self._ahead is None else float(_OFFSET.unpack(self._ahead[:])[0])

    def advance(self, seconds: float) -> None:
        """Move the time, for every process that shares the file."""
        if self._ahead is None:
            raise ValueError("this clock is the machine's own, and cannot be moved")
        self._ahead[:] = _OFFSET.pack(self.ahead + seconds)
