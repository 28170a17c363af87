"""The scalars of an event file by the compiled pass."""

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

Bytes = NDArray[np.uint8]

DAMAGE = {
    kernels.BAD_LENGTH: BAD_LENGTH,
    kernels.BAD_RECORD: BAD_RECORD,
    kernels.BAD_EVENT: BAD_EVENT,
}

# The shortest scalar is a Summary.Value without a tag.
BYTES_A_ROW = 7


class Scanner:
    """A ``frames.Reader`` for large files."""

    def __init__(self) -> None:
        self.started = float("inf")
        self._events = EventReader()
        self._tags = _Tags.of(1024, 65_536)
        self._parts: list[_Rows] = []
        self._room = _Rows.empty(0)
        self._odd = np.empty((0, 4), np.int64)

    @property
    def config(self) -> dict[str, Any]:
        return self._events.config

    def feed(self, data: Bytes) -> tuple[int, str | None]:
        if len(data) // BYTES_A_ROW > len(self._odd):
            self._room = _Rows.empty(len(data) // BYTES_A_ROW)
            self._odd = np.empty((len(data) // BYTES_A_ROW, 4), np.int64)
        reached = 0
        while True:
            piece = data[reached:]
            n, parsed, status, earliest = kernels.parse(
                piece, len(piece), *self._tags, *self._room, self._odd
            )
            self.started = min(self.started, earliest)
            rows, bad_frame = self._with_odd_values(self._room.where(slice(n)), piece)
            self._parts.append(rows)
            if bad_frame is not None:
                return reached + bad_frame, BAD_EVENT
            reached += parsed
            if status != kernels.TAGS_FULL:
                return reached, DAMAGE.get(status)
            self._tags = self._tags.doubled()

    def series(self) -> dict[str, Series]:
        names = self._tags.names()
        counts = np.zeros(len(names), np.int64)
        for part in self._parts:
            counts += np.bincount(part.tag, minlength=len(names))
        ends = np.cumsum(counts)
        places = ends - counts
        total = int(counts.sum())
        columns = Series(np.empty(total, np.int64), np.empty(total), np.empty(total))
        while self._parts:
            # What was sorted is let go.
            kernels.sort_by_tag(*self._parts.pop(0), places, *columns)
        return {
            text_of(name): columns.take(slice(end - count, end))
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
        self._parts += [part._replace(tag=numbers[part.tag]) for part in later._parts]
        self.started = min(self.started, later.started)
        self._events.config |= later.config

    def _with_odd_values(self, rows: "_Rows", data: Bytes) -> "tuple[_Rows, int | None]":
        """A copy of the rows with the values that the pass could not read, as far as they are
        scalars; and the first frame that turned out to be no event, where they end."""
        odd = np.flatnonzero(rows.tag < 0)
        if not odd.size:
            return rows.where(slice(None)).copied(), None
        rows.tag[odd] = kernels.ODD - rows.tag[odd]
        sound = np.ones(len(rows.tag), np.bool_)
        sound[odd] = False
        # Images and histograms are many and large, so none of them is looked at.
        looked_at = self._odd[odd, 0] > 0
        if HYPERPARAMETER_TAG in (names := self._tags.names()):
            looked_at |= rows.tag[odd] == names.index(HYPERPARAMETER_TAG)
        for row in odd[looked_at].tolist():
            start, end, frame, first_row = self._odd[row].tolist()
            try:
                _, number = self._events.scalar(data[abs(start) : end].tobytes())
            except MALFORMED:
                return rows.where(sound & (np.arange(len(sound)) < first_row)), frame
            if number is not None:
                rows.value[row], sound[row] = number, True
        return rows.where(sound), None

    def _number(self, name: bytes) -> int:
        while (number := self._tags.intern(np.frombuffer(name, np.uint8))) < 0:
            self._tags = self._tags.doubled()
        return number


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

    def copied(self) -> "_Rows":
        return _Rows(self.tag.copy(), self.step.copy(), self.wall_time.copy(), self.value.copy())


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
        return int(kernels.intern(name, 0, len(name), start, *self[:4]))

    def doubled(self) -> "_Tags":
        """The same tags with room for as many again."""
        larger = _Tags.of(2 * len(self.plugins), 2 * len(self.pool))
        for name in self.names():
            larger.intern(np.frombuffer(name, np.uint8))
        larger.plugins[: len(self.plugins)] = self.plugins
        return larger
