"""Files that are being written to, of which only the new bytes are read."""

import os
from io import FileIO
from pathlib import Path

# What came last before the new bytes is read again: it tells a file that has grown from one that
# was written anew and is larger by now.
OVERLAP = 64


class Place:
    """How far a file was read, and whether it is still the file that was read so far."""

    def __init__(self) -> None:
        self.reached = 0
        self._inode = 0
        self._last = b""

    def holds(self, file: FileIO) -> bool:
        """Whether all that was read so far still stands at the head of the file."""
        stat = os.fstat(file.fileno())
        if stat.st_ino != self._inode or stat.st_size < self.reached:
            return False
        return _before(file, self.reached) == self._last

    def move(self, file: FileIO, reached: int) -> None:
        """Note that the file was read up to here."""
        self.reached = reached
        self._inode = os.fstat(file.fileno()).st_ino
        self._last = _before(file, reached)


class Contents:
    """The contents of growing files, each byte read once."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[Place, bytearray]] = {}

    def __call__(self, path: Path) -> bytes:
        """The bytes of a file by now."""
        place, held = self._held.setdefault(path, (Place(), bytearray()))
        with open(path, "rb", buffering=0) as file:
            if not place.holds(file):
                held.clear()
            file.seek(len(held))
            held += file.read()
            place.move(file, len(held))
        return bytes(held)


def _before(file: FileIO, end: int) -> bytes:
    start = max(0, end - OVERLAP)
    file.seek(start)
    return file.read(end - start)
