"""Loops behind ``tarslab.stats.rolling``; each row is a series of its own."""

from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from tarslab.compiled import compiled, over_cores

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Part = tuple[int, float, float, float]

# A tile is some blocks of ``window`` points, enough of them to take roots on vectors.
_TILE = 512
# Points that are worth a thread.
_SHARE = 50_000


def rolling_mean_std(rows: Floats, window: int) -> tuple[Floats, Floats]:
    """Trailing mean and population standard deviation along each row."""
    count, n = rows.shape
    mean, std = np.empty_like(rows), np.empty_like(rows)
    window = min(window, n)
    tile = window * max(1, _TILE // window)

    def work(start: int, end: int) -> None:
        _roll_tiles(rows, window, tile, start, end, mean, std)

    over_cores(work, count * -(-n // tile), at_least=-(-_SHARE // tile))
    return mean, std


def ema(rows: Floats, weight: float) -> Floats:
    """TensorBoard's debiased exponential moving average along each row."""
    smoothed = np.empty_like(rows)

    def work(start: int, end: int) -> None:
        _smooth_rows(rows, weight, start, end, smoothed)

    over_cores(work, len(rows), at_least=-(-_SHARE // rows.shape[1]))
    return smoothed


@compiled
def _roll_tiles(
    rows: Floats, window: int, tile: int, start: int, end: int, mean: Floats, std: Floats
) -> None:
    """Tiles ``start`` to ``end``, counted along the rows, each worked out on its own."""
    n = rows.shape[1]
    tiles = -(-n // tile)
    inverse = np.zeros(window + 1)
    for i in range(1, window + 1):
        inverse[i] = 1.0 / i
    pivots, sums, squares = np.empty(tile), np.empty(tile), np.empty(tile)
    counts = np.empty(window, np.int64)
    for item in range(start, end):
        row, first = item // tiles, item % tiles * tile
        last = min(first + tile, n)
        if first and _roll_full_windows(
            rows[row, first - window + 1 : last],
            pivots,
            sums,
            squares,
            mean[row, first:last],
            std[row, first:last],
        ):
            continue
        for block in range(first, last, window):
            _roll_block(
                rows[row, max(block - window, 0) : block],
                rows[row, block : min(block + window, last)],
                inverse,
                counts,
                sums,
                squares,
                mean[row, block:last],
                std[row, block:last],
            )


@compiled
def _roll_full_windows(
    values: Floats, pivots: Floats, sums: Floats, squares: Floats, mean: Floats, std: Floats
) -> bool:
    """A tile, from sums over differences from the first value of each block, its pivot.

    The pivot lies inside every window that ends in its block. ``values`` begin ``window - 1``
    points before the tile. False where a value is not finite or more than a digit was lost by the
    one subtraction: then the tile has to be done again.
    """
    before = len(values) - len(mean)
    window = before + 1
    for first in range(0, len(mean), window):
        at, size = before + first, min(window, len(mean) - first)
        pivot = values[at]
        pivots[first : first + size] = pivot
        # Zero, unless the pivot is not finite.
        mean[first] = std[first] = pivot - pivot
        sums[at] = squares[at] = 0.0
        back = back_square = ahead = ahead_square = 0.0
        # Both ways at once, since each addition waits for the one before it. An index that may be
        # negative would be tested for that each time.
        for step in range(1, size):
            gap = values[np.uintp(at + step)] - pivot
            ahead += gap
            ahead_square += gap * gap
            mean[np.uintp(first + step)] = ahead
            std[np.uintp(first + step)] = ahead_square
            gap = values[np.uintp(at - step)] - pivot
            back += gap
            back_square += gap * gap
            sums[np.uintp(at - step)] = back
            squares[np.uintp(at - step)] = back_square
        for step in range(size, window):
            gap = values[np.uintp(at - step)] - pivot
            back += gap
            back_square += gap * gap
            sums[np.uintp(at - step)] = back
            squares[np.uintp(at - step)] = back_square
    lost, inverse = 0, 1.0 / window
    for j in range(len(mean)):
        total, square = mean[j] + sums[j], std[j] + squares[j]
        shift = total * inverse
        deviation = square - total * shift
        # Not ``<``, which is false of a NaN.
        lost += not deviation >= square / 16
        mean[j] = pivots[j] + shift
        std[j] = sqrt(deviation * inverse)
    return lost == 0


@compiled
def _roll_block(
    before: Floats,
    block: Floats,
    inverse: Floats,
    counts: Counts,
    shifts: Floats,
    squares: Floats,
    mean: Floats,
    std: Floats,
) -> None:
    """A block after the one before it: its prefixes joined with that one's suffixes (Chan)."""
    window = len(counts)
    part = (0, 0.0, 0.0, 0.0)
    for j in range(window - 1, -1, -1):
        counts[j], shifts[j], squares[j] = part[0], part[2], part[3]
        if len(before):
            part = _with(part, before[j], inverse)
    anchor_before = part[1]
    part = (0, anchor_before, 0.0, 0.0)
    for j in range(len(block)):
        part = _with(part, block[j], inverse)
        n, anchor, shift, square = part
        of_both = n + counts[j]
        if of_both == 0:
            mean[j] = std[j] = np.nan
            continue
        gap = (anchor_before - anchor) + (shifts[j] - shift) if counts[j] else 0.0
        share = counts[j] * inverse[of_both]
        mean[j] = anchor + (shift + gap * share)
        std[j] = sqrt((square + squares[j] + gap * gap * share * n) * inverse[of_both])


@compiled
def _with(part: Part, value: float, inverse: Floats) -> Part:
    """Count, anchor, mean less anchor and squared deviations with one more value (Welford).

    The anchor is the first value: a large common offset never meets the small differences.
    """
    n, anchor, shift, square = part
    if not isfinite(value):
        return part
    if n == 0:
        return 1, value, 0.0, 0.0
    gap = (value - anchor) - shift
    return (
        n + 1,
        anchor,
        shift + gap * inverse[n + 1],
        square + gap * gap * (n * inverse[n + 1]),
    )


@compiled
def _smooth_rows(rows: Floats, weight: float, start: int, end: int, smoothed: Floats) -> None:
    for row in range(start, end):
        _smooth(rows[row], weight, smoothed[row])


@compiled
def _smooth(series: Floats, weight: float, smoothed: Floats) -> None:
    if _is_constant(series):
        smoothed[:] = series
        return
    # ``full`` is the same average of ones: what ``last`` would be had it not begun at zero.
    last = full = 0.0
    for i in range(len(series)):
        value = series[i]
        if isfinite(value):
            last = weight * last + (1 - weight) * value
            full = weight * full + (1 - weight)
            value = last / full
        smoothed[i] = value


@compiled
def _is_constant(series: Floats) -> bool:
    """Whether no two finite values differ."""
    first = np.nan
    for value in series:
        if isfinite(value):
            if value != first and isfinite(first):
                return False
            first = value
    return True
