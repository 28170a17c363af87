"""Dropping dominated points by lookups in bitmaps.

Guards, points of the cloud itself, are a bit each. Every objective is cut into bins from the best
guard to the worst, and for every bin a bitmap says which guards are in a better one. A point whose
bitmaps share a bit is worse than that guard in every objective: it is dominated. Rounding cannot
make this wrong, for a better value is never put into a worse bin.

The bitmaps are those of Tan, Eng, Ooi: Efficient progressive skyline computation, VLDB (2001).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tarslab.compiled import compiled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]
Bitmaps = NDArray[np.uint64]

BINS = 512
COMPARISONS_A_POINT = 16
# Points whose bins in one objective are looked up in one tight loop.
AT_ONCE = 256


class Scales(NamedTuple):
    """How each objective is cut into bins."""

    best: Floats
    """The best guard's value."""
    sign: Floats
    """-1 where more is better, else 1."""
    least: Floats
    """The least gap between the best guard and another; smaller ones are in its bin."""
    most: Floats
    """The gap from which on all are in the last bin."""
    first: Integers
    """The bits of ``least``."""
    shift: Integers
    """Bin 2 and those above are ``2 ** shift`` bits wide."""


@compiled
def sieve(points: Floats, guards: Floats, maximize: Bools) -> Bools:
    """Whether each point stays: no guard is seen to dominate it."""
    scales = _scales(guards, maximize)
    bitmaps = _bitmaps(_bins(guards, scales))
    kept = np.ones(len(points), dtype=np.bool_)
    dominators, worst = np.empty(AT_ONCE, np.uint64), np.empty(AT_ONCE, np.int64)
    for start in range(0, len(points), AT_ONCE):
        some = points[start : start + AT_ONCE]
        dominators[:], worst[:] = ~np.uint64(0), 0
        for objective in range(points.shape[1]):
            _look_up(some, objective, scales, bitmaps[0, objective], dominators, worst)
        for i in range(len(some)):
            word = 1
            while not dominators[i] and word < len(bitmaps):
                dominators[i] = ~np.uint64(0)
                for objective in range(points.shape[1]):
                    its_bin = _bin(some[i, objective], scales, objective)
                    dominators[i] &= bitmaps[word, objective, its_bin]
                word += 1
            # Bin 1 holds a single value. There a guard is no worse than the point, which is enough
            # where the point is in a worse bin in another objective.
            kept[start + i] = not (dominators[i] and worst[i] > 1)
    return kept


@compiled
def _look_up(
    points: Floats,
    objective: int,
    scales: Scales,
    bitmap: Bitmaps,
    dominators: Bitmaps,
    worst: Integers,
) -> None:
    """Of each point's dominators keep those that are better in an objective; note its bin there."""
    for i in range(len(points)):
        its_bin = _bin(points[i, objective], scales, objective)
        dominators[i] &= bitmap[its_bin]
        worst[i] |= its_bin


@compiled
def frontier_of_few(points: Floats, maximize: Bools) -> tuple[bool, Bools]:
    """Whether the answer is certain, and whether each point is on the frontier; none has a NaN.

    All points are guards, and those that share a bin are compared. Where too many do, for there
    are many copies, that ends, and dominated points may be left.
    """
    bins = _bins(points, _scales(points, maximize))
    order, ends = _best_first(bins)
    bitmaps = _bitmaps(bins[order])
    kept = np.ones(len(points), dtype=np.bool_)
    comparisons = COMPARISONS_A_POINT * len(points)
    for place in range(len(order)):
        i = order[place]
        for word in range(-(-ends[place] // 64)):
            no_worse = ~np.uint64(0)
            for objective in range(points.shape[1]):
                no_worse &= bitmaps[word, objective, bins[i, objective] + 1]
            if word == place // 64:
                no_worse &= ~(np.uint64(1) << np.uint64(place % 64))
            g = 64 * word
            while no_worse and kept[i]:
                if no_worse & np.uint64(1):
                    kept[i] = not _dominates(points, order[g], i, maximize)
                    comparisons -= 1
                no_worse >>= np.uint64(1)
                g += 1
            if not kept[i]:
                break
        if comparisons < 0:
            return False, kept
    return True, kept


@compiled
def _best_first(bins: Integers) -> tuple[Integers, Integers]:
    """The points by the sum of their bins, and for each place there where greater sums begin.

    What dominates a point has no greater sum, and what dominates many a small one.
    """
    sums, places = np.zeros(len(bins), np.int64), np.zeros(bins.shape[1] * BINS + 1, np.int64)
    for i in range(len(bins)):
        for objective in range(bins.shape[1]):
            sums[i] += bins[i, objective]
        places[sums[i] + 1] += 1
    places = np.cumsum(places)
    order, ends = np.empty(len(bins), np.int64), np.empty(len(bins), np.int64)
    for i in range(len(bins)):
        place = places[sums[i]]
        places[sums[i]] += 1
        order[place] = i
    for place in range(len(bins)):
        # By now each sum's place is behind its last point.
        ends[place] = places[sums[order[place]]]
    return order, ends


@compiled
def _scales(guards: Floats, maximize: Bools) -> Scales:
    objectives = len(maximize)
    best, sign = np.empty(objectives), np.where(maximize, -1.0, 1.0)
    least_gap, last_gap = np.empty(objectives), np.empty(objectives)
    first, shift = np.zeros(objectives, np.int64), np.zeros(objectives, np.int64)
    for objective in range(objectives):
        values = guards[:, objective]
        best[objective] = values.max() if maximize[objective] else values.min()
        least, most = np.inf, 0.0
        for value in values:
            gap = (value - best[objective]) * sign[objective]
            if gap > 0.0:
                least, most = min(least, gap), max(most, gap)
        first[objective] = _bits(least)
        while (_bits(most) - first[objective]) >> shift[objective] > BINS - 4:
            shift[objective] += 1
        least_gap[objective] = least
        last = _bits(np.inf)
        # From denormal to the largest numbers the sum would be more than 63 bits.
        if (last - first[objective]) >> shift[objective] >= BINS - 3:
            last = first[objective] + ((BINS - 3) << shift[objective])
        last_gap[objective] = np.int64(last).view(np.float64)
    return Scales(best, sign, least_gap, last_gap, first, shift)


@compiled
def _bins(points: Floats, scales: Scales) -> Integers:
    bins = np.empty(points.shape, dtype=np.int64)
    for i in range(len(points)):
        for objective in range(points.shape[1]):
            bins[i, objective] = _bin(points[i, objective], scales, objective)
    return bins


@compiled
def _bin(value: float, scales: Scales, objective: int) -> int:
    """Bin 0 is better than the best guard, bin 1 equal to it, the others follow.

    A NaN is in bin 0, where no guard dominates it.
    """
    gap = (value - scales.best[objective]) * scales.sign[objective]
    # Of floats this is one instruction each, without a branch to mispredict.
    within = scales.least[objective] if gap < scales.least[objective] else gap
    within = scales.most[objective] if within > scales.most[objective] else within
    its_bin = 2 + ((_bits(within) - scales.first[objective]) >> scales.shift[objective])
    return its_bin if gap > 0.0 else (1 if gap == 0.0 else 0)


@compiled
def _bits(gap: float) -> int:
    """About the logarithm, so that far outliers do not make the bins wide.

    Positive floats are in the order of their bits.
    """
    return int(np.float64(gap).view(np.int64))


@compiled
def _bitmaps(bins: Integers) -> Bitmaps:
    """Shape (words, objectives, bins + 1): bit g % 64 of word g // 64 from the bin above g's on.

    In bin 1 from bin 1 on.
    """
    n, objectives = bins.shape
    bitmaps = np.zeros((-(-n // 64), objectives, BINS + 1), dtype=np.uint64)
    for g in range(n):
        for objective in range(objectives):
            its_bin = bins[g, objective]
            start = its_bin if its_bin == 1 else its_bin + 1
            bitmaps[g // 64, objective, start] |= np.uint64(1) << np.uint64(g % 64)
    for word in range(len(bitmaps)):
        for objective in range(objectives):
            for worse in range(1, BINS + 1):
                bitmaps[word, objective, worse] |= bitmaps[word, objective, worse - 1]
    return bitmaps


@compiled
def _dominates(points: Floats, g: int, i: int, maximize: Bools) -> bool:
    better_somewhere = False
    for objective in range(len(maximize)):
        one, other = points[g, objective], points[i, objective]
        if one > other if maximize[objective] else one < other:
            better_somewhere = True
        elif one != other:
            return False
    return better_somewhere
