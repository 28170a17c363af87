"""The scalars of an event file by the compiled pass."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tarslab.runs.formats.tfevents import kernels
from tarslab.runs.formats.tfevents.events import (
    HYPERPARAMETER_TAG,
    MALFORMED,
    EventReader,
    text_of,
)
from tarslab.runs.formats.tfevents.frames import BAD_EVENT, BAD_LENGTH, BAD_RECORD
from tarslab.runs.recording import Series
from tarslab.runs.vocabulary import metric_order, translate

Bytes = NDArray[np.uint8]

DAMAGE = {
    kernels.BAD_LENGTH: BAD_LENGTH,
    kernels.BAD_RECORD: BAD_RECORD,
    kernels.BAD_EVENT: BAD_EVENT,
}

# The shortest value that takes a row is an empty tensor without a tag: 0a 02 42 00.
BYTES_A_ROW = 4


# Rows that a thread gets memory for at once: 28 MB, of which it uses what it needs.
ROWS_AHEAD = 1 << 20
# And of a large file in parts, each of which goes when it has been sorted.
ROWS_OF_A_PART = 393_216


class Scanner:
    """A ``frames.Reader`` for large files.

    Of several that share their ``memory`` only the last may be fed.
    """

    def __init__(self, memory: "Memory | None" = None) -> None:
        self.started = float("inf")
        self._events = EventReader()
        self._tags = _Tags.of(1024, 65_536)
        self._memory = memory or Memory(ROWS_OF_A_PART)
        # What was read: first these, then so many rows of the memory.
        self._parts: list[_Rows] = []
        self._held = 0

    @property
    def config(self) -> dict[str, Any]:
        return self._events.config

    def feed(self, data: Bytes) -> tuple[int, str | None]:
        most = len(data) // BYTES_A_ROW
        if not self._memory.has_room(self._held, most):
            self._hand_over()
            self._memory.make_room(most)
        reached = 0
        while True:
            piece = data[reached:]
            end, parsed, status, earliest, odds = kernels.parse(
                piece, len(piece), self._held, *self._tags, *self._memory.rows, self._memory.odd
            )
            self.started = min(self.started, earliest)
            if odds:
                end, bad_frame = self._with_odd_values(end, piece)
                if bad_frame is not None:
                    self._held = end
                    return reached + bad_frame, BAD_EVENT
            self._held = end
            reached += parsed
            if status != kernels.TAGS_FULL:
                return reached, DAMAGE.get(status)
            self._tags = self._tags.doubled()

    def series(self) -> dict[str, Series]:
        names = [text_of(name) for name in self._tags.names()]
        parts = [*self._parts, *self._rows()]
        self._parts, self._held = [], 0
        counts = np.zeros(len(names), np.int64)
        for part in parts:
            kernels.count_tags(part.tag, counts)
        # As tables have them, which then need not be copied.
        metrics = translate(frozenset(names))
        order = sorted(range(len(names)), key=lambda tag: metric_order(metrics[names[tag]][0]))
        ends = np.empty(len(names), np.int64)
        ends[order] = np.cumsum(counts[order])
        places = ends - counts
        columns = self._memory.columns(int(counts.sum()))
        while parts:
            # What was sorted is let go.
            kernels.sort_by_tag(*parts.pop(0), places, *columns)
        return {
            name: columns.take(slice(end - count, end))
            for name, end, count in zip(names, ends.tolist(), counts.tolist(), strict=True)
            if count
        }

    def goes_on_from(self, other: "Scanner") -> bool:
        """Whether it has read what comes after ``other`` as ``other`` would have."""
        plugins = dict(zip(other._tags.names(), other._tags.plugins.tolist(), strict=False))
        return not any(
            plugins.get(name) == kernels.OTHER and plugin == kernels.UNKNOWN
            for name, plugin in zip(self._tags.names(), self._tags.plugins.tolist(), strict=False)
        )

    def take(self, later: "Scanner") -> None:
        """Add all that ``later`` has read."""
        numbers = np.array([self._number(name) for name in later._tags.names()], np.int32)
        self._hand_over()
        later._hand_over()
        while later._parts:
            part = later._parts.pop(0)
            part.tag[:] = numbers[part.tag]
            self._parts.append(part)
        self.started = min(self.started, later.started)
        self._events.config |= later.config

    def _hand_over(self) -> None:
        """Make a part of what is held, which the memory then has no more."""
        self._parts += self._rows()
        self._held = 0
        self._memory.rows = _Rows.empty(0)

    def _rows(self) -> "list[_Rows]":
        """What is held in the memory."""
        return [self._memory.rows.where(slice(self._held))] if self._held else []

    def _with_odd_values(self, end: int, data: Bytes) -> "tuple[int, int | None]":
        """Read the values that the pass could not read, and drop what is no scalar, from the rows
        after those that are held: where they end then, and the first frame that turned out to be no
        event, whose rows are dropped too."""
        rows = self._memory.rows.where(slice(self._held, end))
        odd = np.flatnonzero(rows.tag < 0)
        rows.tag[odd] = kernels.ODD - rows.tag[odd]
        sound = np.ones(len(rows.tag), np.bool_)
        sound[odd] = False
        # Images and histograms are many and large, so none of them is looked at.
        looked_at = self._memory.odd[odd, 0] > 0
        if HYPERPARAMETER_TAG in (names := self._tags.names()):
            looked_at |= rows.tag[odd] == names.index(HYPERPARAMETER_TAG)
        bad_frame = None
        for row in odd[looked_at].tolist():
            value, value_end, frame, first_row = self._memory.odd[row].tolist()
            try:
                _, number = self._events.scalar(data[abs(value) : value_end].tobytes())
            except MALFORMED:
                sound[first_row:], bad_frame = False, frame
                break
            if number is not None:
                rows.value[row], sound[row] = number, True
        kept = rows.where(sound)
        rows.start_with(kept)
        return self._held + len(kept.tag), bad_frame

    def _number(self, name: bytes) -> int:
        while (number := self._tags.intern(np.frombuffer(name, np.uint8))) < 0:
            self._tags = self._tags.doubled()
        return number


class Memory:
    """What one file after the other is read into: memory that is new to a process takes longer to
    get than most files to read."""

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self.rows = _Rows.empty(0)
        self.odd = np.empty((0, 4), np.int64)
        self.columns: Callable[[int], Series] = _columns
        """Gives columns of so many rows, to keep."""

    def has_room(self, held: int, more: int) -> bool:
        """Whether so many rows fit behind those that are held."""
        return held + more <= len(self.rows.tag) and more <= len(self.odd)

    def make_room(self, rows: int) -> None:
        """Let so many rows fit; of those that are here nothing is kept."""
        if rows > len(self.rows.tag):
            self.rows = _Rows.empty(max(rows, self._ahead))
        if rows > len(self.odd):
            self.odd = np.empty((rows, 4), np.int64)


class SharedMemory(threading.local):
    """What many files are read into: for each thread a ``Memory`` and a buffer for their bytes, and
    for all of them one set of columns, in which the runs lie in their order.

    The tables are then these columns, and nothing is copied.
    """

    def __init__(self, buffer_size: int, columns: "ColumnsInTurn") -> None:
        self.memory = Memory(ROWS_AHEAD)
        self.buffer = np.empty(buffer_size, np.uint8)
        self._columns = columns

    @contextmanager
    def turn(self, number: int) -> Iterator[None]:
        """Read run ``number``; its rows wait until all runs before it have theirs."""
        self.memory.columns = partial(self._columns.take, number)
        try:
            yield
        finally:
            self._columns.end(number)


class ColumnsInTurn:
    """Columns of which each run gets a stretch when it is its turn."""

    def __init__(self, rows: int) -> None:
        self._free = _columns(rows)
        self._turn = 0
        self._changed = threading.Condition()

    def take(self, number: int, rows: int) -> Series:
        """The next rows, once it is the turn of run ``number``."""
        with self._changed:
            self._changed.wait_for(lambda: self._turn == number)
            if rows > self._free.points:
                self._free = _columns(max(rows, ROWS_AHEAD))
            taken, self._free = self._free.take(slice(rows)), self._free.take(slice(rows, None))
        return taken

    def end(self, number: int) -> None:
        """Let the next run have its turn, which each must have once."""
        with self._changed:
            self._changed.wait_for(lambda: self._turn == number)
            self._turn += 1
            self._changed.notify_all()


def _columns(rows: int) -> Series:
    return Series(np.empty(rows, np.int64), np.empty(rows), np.empty(rows))


class _Rows(NamedTuple):
    """Scalars in the order they were written, one a place in each column."""

    tag: NDArray[np.int32]
    step: NDArray[np.int64]
    wall_time: NDArray[np.float64]
    value: NDArray[np.float64]

    @classmethod
    def empty(cls, n: int) -> "_Rows":
        return cls(np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n), np.empty(n))

    def where(self, places: slice | NDArray[np.bool_]) -> "_Rows":
        return _Rows(
            self.tag[places], self.step[places], self.wall_time[places], self.value[places]
        )

    def start_with(self, rows: "_Rows") -> None:
        """Overwrite the first rows."""
        for name in self._fields:
            of_rows = getattr(rows, name)
            getattr(self, name)[: len(of_rows)] = of_rows


class _Tags(NamedTuple):
    """The table of tags as the kernels use it."""

    pool: NDArray[np.uint8]
    """The names, one after the other."""
    offsets: NDArray[np.int64]
    """Where each begins and the last ends; how many there are in the last place."""
    slots: NDArray[np.int64]
    """Numbers of tags by hash, -1 where none."""
    successor: NDArray[np.int64]
    """Which tag came last after each, and after none in the last place; -1 where none."""
    plugins: NDArray[np.uint8]

    @classmethod
    def of(cls, tags: int, name_bytes: int) -> "_Tags":
        """An empty table; the number of tags is a power of two."""
        return cls(
            np.zeros(name_bytes, np.uint8),
            np.zeros(tags + 2, np.int64),
            np.full(4 * tags, -1, np.int64),
            np.full(tags + 1, -1, np.int64),
            np.zeros(tags, np.uint8),
        )

    def names(self) -> list[bytes]:
        cuts = self.offsets[: self.offsets[-1] + 1].tolist()
        return [self.pool[start:end].tobytes() for start, end in pairwise(cuts)]

    def intern(self, name: NDArray[np.uint8]) -> int:
        """The number of a tag, new or known; -1 where the table is full."""
        start = len(self.successor) - 1
        return int(kernels.intern(name.ctypes.data, 0, len(name), start, *self[:4]))

    def doubled(self) -> "_Tags":
        """The same tags with room for as many again."""
        larger = _Tags.of(2 * len(self.plugins), 2 * len(self.pool))
        for name in self.names():
            larger.intern(np.frombuffer(name, np.uint8))
        larger.plugins[: len(self.plugins)] = self.plugins
        return larger
