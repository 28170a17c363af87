"""HDR histograms of times, sparse: what a second of one metric took, in a few hundred bytes.

The buckets are those of HdrHistogram (Tene), at most 0.1 % wide. Two histograms merge by adding the
counts of their buckets, which is exact.

The dense counts of the package ``hdrhistogram`` take 188 KB a histogram, and there is one for each
second and series here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tarslab.chaos.load.buckets import BUCKETS
from tarslab.chaos.load.recording import Batch

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BY_ROW = ("second", "series", "count", "total", "low", "high", "lengths")


def highest(buckets: Ints) -> Ints:
    """The highest values that fall into buckets: what HdrHistogram reports for them."""
    shift = np.maximum((buckets >> 10) - 1, 0)
    lowest: Ints = (buckets - (shift << 10)) << shift
    above: Ints = lowest + (np.int64(1) << shift)
    return above - 1


@dataclass(frozen=True)
class Sums:
    """Measures of groups of samples, an element a group; times in microseconds.

    ``count`` samples sum up to ``total`` and lie in ``low`` to ``high``. The buckets of group i are
    ``buckets[offsets[i]:offsets[i + 1]]``, ascending, with ``counts``; only trends have some.
    """

    count: Floats
    total: Floats
    low: Floats
    high: Floats
    offsets: Ints
    buckets: Ints
    counts: Ints

    def quantile(self, q: float) -> Floats:
        """The smallest value that at least a share ``q`` of the samples do not exceed, a group.

        NaN where there are no samples. Off by the width of a bucket at most, 0.1 %.
        """
        return self._at_rank(np.ceil(q * self._entries() - 1e-9))

    def quantile_with(self, q: float, unanswered: float) -> Floats:
        """The same where so many more samples exist that are longer than all others."""
        entries = self._entries()
        rank = np.ceil(q * (entries + unanswered) - 1e-9)
        found = self._at_rank(np.minimum(rank, entries))
        return np.where(rank > entries, np.inf, found)

    def _entries(self) -> Floats:
        return np.diff(self._cumulated()[self.offsets]).astype(np.float64)

    def _cumulated(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.counts)])

    def _at_rank(self, rank: Floats) -> Floats:
        cumulated = self._cumulated()
        known = np.diff(cumulated[self.offsets]) > 0
        values = np.full(len(self.count), np.nan)
        wanted = cumulated[self.offsets[:-1]][known] + np.maximum(rank[known], 1).astype(np.int64)
        at = np.searchsorted(cumulated, wanted) - 1
        values[known] = np.minimum(highest(self.buckets[at]), self.high[known])
        return values


@dataclass(frozen=True)
class Cells:
    """Measures of each second and series, a row each; as they come, rows may repeat.

    ``second`` counts from the start of the run, by when a request was due. The buckets of the rows
    stand one after the other: ``lengths[i]`` of them for row i.
    """

    second: Ints
    series: Ints
    count: Floats
    total: Floats
    low: Floats
    high: Floats
    lengths: Ints
    buckets: Ints
    counts: Ints

    @classmethod
    def of(cls, batch: Batch, numbers: Sequence[int]) -> "Cells":
        """What was measured, with other numbers for the series that it has."""
        return cls(
            np.array(batch.second, np.int64),
            np.array([numbers[of] for of in batch.of], np.int64),
            np.array(batch.count, np.float64),
            np.array(batch.total, np.float64),
            np.array(batch.low, np.float64),
            np.array(batch.high, np.float64),
            np.array(batch.lengths, np.int64),
            np.array(batch.buckets, np.int64),
            np.array(batch.counts, np.int64),
        )

    @classmethod
    def join(cls, several: "list[Cells]") -> "Cells":
        """The rows of all."""
        kinds = {"count": float, "total": float, "low": float, "high": float}
        return cls(
            **{
                each.name: np.concatenate(
                    [
                        np.empty(0, kinds.get(each.name, np.int64)),
                        *(getattr(one, each.name) for one in several),
                    ]
                )
                for each in fields(cls)
            }
        )

    def __len__(self) -> int:
        return len(self.second)

    def where(self, rows: NDArray[np.bool_]) -> "Cells":
        """Only those rows."""
        of_rows = np.repeat(rows, self.lengths)
        return Cells(
            **{name: getattr(self, name)[rows] for name in BY_ROW},
            buckets=self.buckets[of_rows],
            counts=self.counts[of_rows],
        )

    def between(self, start: int, end: int) -> "Cells":
        """Only those of the seconds from ``start`` to before ``end``; the rows must ascend."""
        first, last = np.searchsorted(self.second, (start, end))
        at = int(self.lengths[:first].sum())
        of_rows = slice(at, at + int(self.lengths[first:last].sum()))
        return Cells(
            **{name: getattr(self, name)[first:last] for name in BY_ROW},
            buckets=self.buckets[of_rows],
            counts=self.counts[of_rows],
        )

    def grouped(self, group: Ints, groups: int) -> Sums:
        """Merged by the number of a group for each row."""
        low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
        np.minimum.at(low, group, self.low)
        np.maximum.at(high, group, self.high)
        # A group and a bucket as one number, to add the counts of equal ones.
        keys = np.repeat(group, self.lengths) * BUCKETS + self.buckets
        unique, inverse = np.unique(keys, return_inverse=True)
        counts = np.zeros(len(unique), np.int64)
        np.add.at(counts, inverse, self.counts)
        return Sums(
            np.bincount(group, self.count, groups).astype(np.float64),
            np.bincount(group, self.total, groups).astype(np.float64),
            low,
            high,
            np.searchsorted(unique, np.arange(groups + 1) * BUCKETS),
            unique % BUCKETS,
            counts,
        )

    def merged(self) -> "Cells":
        """One row for each second and series, ascending."""
        span = int(self.series.max(initial=0)) + 1
        keys, group = np.unique(self.second * span + self.series, return_inverse=True)
        sums = self.grouped(group, len(keys))
        return Cells(
            keys // span,
            keys % span,
            sums.count,
            sums.total,
            sums.low,
            sums.high,
            np.diff(sums.offsets),
            sums.buckets,
            sums.counts,
        )
