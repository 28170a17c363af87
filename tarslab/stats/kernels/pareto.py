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

BINS = 1024
COMPARISONS_A_POINT = 16


class Scales(NamedTuple):
    """How each objective is cut into bins."""

    best: Floats
    """The best guard's value."""
    sign: Floats
    """-1 where more is better, else 1."""
    first: Integers
    """The bits of the least gap between the best guard and another."""
    shift: Integers
    """Bin 2 and those above are ``2 ** shift`` bits wide."""


@compiled
def sieve(points: Floats, guards: Floats, maximize: Bools) -> Bools:
    """Whether each point stays: no guard is seen to dominate it."""
    scales = _scales(guards, maximize)
    bitmaps = _bitmaps(_bins(guards, scales))
    kept = np.ones(len(points), dtype=np.bool_)
    for i in range(len(points)):
        for word in range(len(bitmaps)):
            dominators, worst = ~np.uint64(0), 0
            for objective in range(points.shape[1]):
                its_bin = _bin(points[i, objective], scales, objective)
                dominators &= bitmaps[word, objective, its_bin]
                worst |= its_bin
            # Bin 1 holds a single value. There a guard is no worse than the point, which is enough
            # where the point is in a worse bin in another objective.
            if dominators and worst > 1:
                kept[i] = False
                break
    return kept


@compiled
def frontier_of_few(points: Floats, maximize: Bools) -> tuple[bool, Bools]:
    """Whether the answer is certain, and whether each point is on the frontier; none has a NaN.

    All points are guards, and those that share a bin are compared. Where too many do, for there
    are many copies, that ends, and dominated points may be left.
    """
    bins = _bins(points, _scales(points, maximize))
    bitmaps = _bitmaps(bins)
    kept = np.ones(len(points), dtype=np.bool_)
    comparisons = COMPARISONS_A_POINT * len(points)
    for i in range(len(points)):
        for word in range(len(bitmaps)):
            no_worse = ~np.uint64(0)
            for objective in range(points.shape[1]):
                no_worse &= bitmaps[word, objective, bins[i, objective] + 1]
            if word == i // 64:
                no_worse &= ~(np.uint64(1) << np.uint64(i % 64))
            g = 64 * word
            while no_worse and kept[i]:
                if no_worse & np.uint64(1):
                    kept[i] = not _dominates(points, g, i, maximize)
                    comparisons -= 1
                no_worse >>= np.uint64(1)
                g += 1
            if not kept[i]:
                break
        if comparisons < 0:
            return False, kept
    return True, kept


@compiled
def _scales(guards: Floats, maximize: Bools) -> Scales:
    objectives = len(maximize)
    best, sign = np.empty(objectives), np.where(maximize, -1.0, 1.0)
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
    return Scales(best, sign, first, shift)


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
    its_bin = 2 + ((_bits(gap) - scales.first[objective]) >> scales.shift[objective])
    # Conditions of this form are computed without a branch.
    its_bin = its_bin if its_bin > 2 else 2
    its_bin = its_bin if its_bin < BINS - 1 else BINS - 1
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
