"""What is measured while it is measured: a cell for each second and series, handed on often.

A cell that was handed on begins anew: rows of the same second and series add up.
"""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from tarslab.chaos.load.buckets import LONGEST
from tarslab.chaos.load.thresholds import Kind

# Names of a flow's beyond which further ones are taken together, so that a path with a number in it
# and no name of its own cannot fill the memory.
MOST_NAMES = 300
OTHERS = "(others)"


class Series(NamedTuple):
    """A metric with the tags of its samples."""

    metric: str
    kind: Kind
    tags: tuple[tuple[str, str], ...]
    """In the order of their names."""


class Batch(Struct, frozen=True, array_like=True):
    """What was measured since the last one: rows as ``Cells`` has them, and new series.

    The number of a series is its place among all that were handed on.
    """

    series: list[Series]
    second: list[int]
    of: list[int]
    count: list[float]
    total: list[float]
    low: list[float]
    high: list[float]
    lengths: list[int]
    buckets: list[int]
    counts: list[int]


class Cell:
    """The samples of one series in one second."""

    __slots__ = ("buckets", "count", "high", "low", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.low = float("inf")
        self.high = float("-inf")
        self.buckets: dict[int, int] = {}


class Recorder:
    """Takes samples; ``second`` counts from the start of the run, times are in microseconds."""

    def __init__(self) -> None:
        self._numbers: dict[Series, int] = {}
        self._new: list[Series] = []
        self._cells: dict[tuple[int, int], Cell] = {}
        self._names: set[str] = set()

    def series(self, metric: str, kind: Kind, tags: Mapping[str, str]) -> int:
        """The number of a series, new or not."""
        of = Series(metric, kind, tuple(sorted(tags.items())))
        number = self._numbers.get(of)
        if number is None:
            number = self._numbers[of] = len(self._numbers)
            self._new.append(of)
        return number

    def name(self, name: str) -> str:
        """The same, unless there are too many already."""
        if name not in self._names:
            if len(self._names) >= MOST_NAMES:
                return OTHERS
            self._names.add(name)
        return name

    def time(self, second: int, series: int, microseconds: int) -> None:
        """A sample of a trend."""
        cell = self._cells.get((second, series))
        if cell is None:
            cell = self._cells[second, series] = Cell()
        value = 0 if microseconds < 0 else min(microseconds, LONGEST)
        # buckets.bucket, without the call.
        shift = value.bit_length() - 11
        bucket = value if shift <= 0 else (shift << 10) + (value >> shift)
        buckets = cell.buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1
        cell.count += 1
        cell.total += value
        if value < cell.low:
            cell.low = value
        if value > cell.high:
            cell.high = value

    def add(self, second: int, series: int, value: float, count: int = 1) -> None:
        """A sample of a counter, a rate (0 or 1) or a gauge; or several that sum up to it."""
        cell = self._cells.get((second, series))
        if cell is None:
            cell = self._cells[second, series] = Cell()
        cell.count += count
        cell.total += value
        if value < cell.low:
            cell.low = value
        if value > cell.high:
            cell.high = value

    def take(self) -> Batch:
        """What came since the last time."""
        batch = Batch(self._new, [], [], [], [], [], [], [], [], [])
        self._new = []
        for (second, series), cell in self._cells.items():
            batch.second.append(second)
            batch.of.append(series)
            batch.count.append(cell.count)
            batch.total.append(cell.total)
            batch.low.append(cell.low)
            batch.high.append(cell.high)
            batch.lengths.append(len(cell.buckets))
            ascending = sorted(cell.buckets.items())
            batch.buckets.extend([bucket for bucket, _ in ascending])
            batch.counts.extend([count for _, count in ascending])
        self._cells = {}
        return batch
