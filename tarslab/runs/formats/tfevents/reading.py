"""From an event file's bytes to its scalars: in pieces, and large files by two threads.

The bytes are read into a buffer and not mapped: a file that is truncated while it is mapped would
end the process by a signal.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tarslab.cores import cores
from tarslab.runs.formats.tfevents.frames import CUT_OFF, Reader
from tarslab.runs.formats.tfevents.gathering import Gatherer
from tarslab.runs.recording import Series, Unfinished

if TYPE_CHECKING:
    from tarslab.runs.formats.tfevents.scanning import Scanner, SharedMemory

Bytes = NDArray[np.uint8]

# Below this many bytes gathering is done before numba has been imported.
COMPILED_PAYS = 1_000_000
# Above it two threads read a file.
SPLIT_PAYS = 16_000_000
# No event of one scalar is shorter than that with a tag of one byte: frame, wall time, summary.
BYTES_A_SCALAR = 37
# Fits into the processor's cache, and hides what a call costs.
PIECE = 1 << 20


class EventFile(NamedTuple):
    """What one event file holds."""

    started: float
    """The earliest wall time."""
    series: dict[str, Series]
    config: dict[str, Any]
    warning: str | None
    """Why some of it was not read."""


def read_file(
    path: Path,
    *,
    compiled: bool = False,
    split: bool = False,
    shared: "SharedMemory | None" = None,
) -> EventFile:
    """All sound events of a file.

    ``compiled``, ``split`` (in two threads) and ``shared``, the memory that one file after the
    other is read into, change nothing but the speed.
    """
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if compiled and split and size >= SPLIT_PAYS and cores() > 1:
            reader, reached, damage = _read_halves(path, file, size)
        else:
            reader = new_reader(compiled, shared)
            reached, damage = read_part(file, reader, 0, size, shared.buffer if shared else None)
    warning = warning_of(path, damage, reached, size)
    return EventFile(reader.started, reader.series(), reader.config, warning)


def new_reader(compiled: bool, shared: "SharedMemory | None" = None) -> Reader:
    """A reader of small files, or of large ones."""
    return _scanner(shared) if compiled else Gatherer()


def memory_to_share(size: int) -> "SharedMemory":
    """What reading many large files, of so many bytes in all, is quicker with."""
    from tarslab.runs.formats.tfevents.scanning import ColumnsInTurn, SharedMemory

    # Memory that is not used is not taken.
    return SharedMemory(PIECE, ColumnsInTurn(size // BYTES_A_SCALAR))


def warning_of(path: Path, damage: str | None, reached: int, size: int) -> str | None:
    """What to say of a file that was read up to a place, None where that is all."""
    if not size:
        return Unfinished(f"{path}: the event file is empty; the writer may not have flushed yet")
    if damage is None:
        return None
    what_was_read = "all before it was read" if reached else "nothing could be read"
    kind = Unfinished if damage == CUT_OFF else str
    return kind(f"{path}: {damage} at byte {reached} of {size}; {what_was_read}")


def read_part(
    file: FileIO, reader: Reader, start: int, end: int, buffer: "Bytes | None" = None
) -> tuple[int, str | None]:
    """Feed the bytes from ``start`` to ``end``; where the sound events end, and why before."""
    file.seek(start)
    if buffer is None:
        buffer = np.empty(max(1, min(PIECE, end - start)), np.uint8)
    reached, held = start, 0
    while True:
        room = buffer[held : held + end - reached - held]
        got = file.readinto(room.data) if len(room) else 0
        held += got
        used, damage = reader.feed(buffer[:held])
        reached += used
        if damage:
            return reached, damage
        if not got:
            return reached, CUT_OFF if held > used else None
        rest = buffer[used:held].copy()
        if len(rest) == len(buffer):
            # A record larger than the buffer.
            buffer = np.empty(2 * len(buffer), np.uint8)
        held = len(rest)
        buffer[:held] = rest


def _read_halves(path: Path, file: FileIO, size: int) -> tuple[Reader, int, str | None]:
    """The file by two threads; by one from where its second half cannot be told from the first."""
    first, second = _scanner(), _scanner()
    cut = _middle(file, size)
    with open(path, "rb", buffering=0) as again, ThreadPoolExecutor(1) as other:
        ahead = other.submit(read_part, again, second, cut, size)
        reached, damage = read_part(file, first, 0, cut)
        reached_ahead, damage_ahead = ahead.result()
    if damage == CUT_OFF or (damage is None and not second.goes_on_from(first)):
        return first, *read_part(file, first, reached, size)
    if damage is None:
        first.take(second)
        return first, reached_ahead, damage_ahead
    return first, reached, damage


def _middle(file: FileIO, size: int) -> int:
    """Where a frame begins in the middle of the file; the end where none is found."""
    from tarslab.runs.formats.tfevents.kernels import next_frame

    file.seek(size // 2)
    piece = np.frombuffer(file.read(PIECE), np.uint8)
    place = int(next_frame(piece, len(piece)))
    return size // 2 + place if place < len(piece) else size


def _scanner(shared: "SharedMemory | None" = None) -> "Scanner":
    from tarslab.runs.formats.tfevents.scanning import Scanner

    return Scanner(shared.memory if shared else None)
