"""The choice of ``tarslab.stats.downsample``, compiled.

MinMaxLTTB follows tsdownsample to the last rounding: of points alike the first is taken, sums run
in the same order, and areas come from the same formulas.
"""

import numpy as np
from numpy.typing import NDArray

from tarslab.compiled import compiled

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

# tsdownsample's default: candidates for each point of the result.
_RATIO = 4


@compiled
def is_ordered(x: Floats) -> bool:
    """Whether ``x`` is finite and nowhere decreases."""
    falls = 0
    for i in range(len(x) - 1):
        # Not ``>``, which is false of a NaN.
        falls += not x[i] <= x[i + 1]
    return falls == 0 and (len(x) == 0 or (np.isfinite(x[0]) and np.isfinite(x[-1])))


@compiled
def keep(x: Floats, y: Floats, n_out: int) -> Places:
    """MinMaxLTTB's places and the extremes of buckets, less the points that show least."""
    kept, extreme = np.zeros(len(y), np.bool_), np.zeros(len(y), np.bool_)
    extremes = _extremes_of_buckets(y, n_out // 4)
    extreme[extremes] = kept[extremes] = True
    kept[_min_max_lttb(y, n_out)] = True
    places = _places_of(kept)
    surplus = len(places) - n_out
    if surplus <= 0:
        return places
    area, of, count = np.empty(len(places)), np.empty(len(places), np.int64), 0
    for i in range(1, len(places) - 1):
        a, b, c = places[i - 1], places[i], places[i + 1]
        size = abs((x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a]))
        area[count] = np.inf if np.isnan(size) else size
        of[count] = i
        count += not extreme[b]
    area, stays = area[:count], np.ones(len(places), np.bool_)
    limit = _nth_smallest(area.copy(), surplus - 1)
    at_limit = surplus - np.sum(area < limit)
    for i in range(count):
        if area[i] < limit or (area[i] == limit and at_limit > 0):
            at_limit -= area[i] == limit
            stays[of[i]] = False
    return places[_places_of(stays)]


@compiled
def _places_of(flags: NDArray[np.bool_]) -> Places:
    places, count = np.empty(len(flags), np.int64), 0
    for i in range(len(flags)):
        places[count] = i
        count += flags[i]
    return places[:count].copy()


@compiled
def _nth_smallest(values: Floats, n: int) -> float:
    """Hoare's quickselect, which sorts no more of ``values`` than it must."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot, i, j = values[(low + high) // 2], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if n <= j:
            high = j
        elif n >= i:
            low = i
        else:
            break
    return float(values[n])


@compiled
def _min_max_lttb(y: Floats, n_out: int) -> Places:
    """LTTB on the extremes of ``n_out * _RATIO / 2`` buckets, or on all where those are few."""
    every = len(y) // n_out <= _RATIO
    candidates = np.arange(len(y))
    if not every:
        inner = _extremes_of_buckets(y[1:-1], n_out * _RATIO // 2)
        for i in range(len(inner)):
            candidates[i + 1] = inner[i] + 1
        candidates[len(inner) + 1] = len(y) - 1
        candidates = candidates[: len(inner) + 2]
    return candidates[_lttb(candidates, y[candidates], n_out, every)]


@compiled
def _extremes_of_buckets(y: Floats, buckets: int) -> Places:
    """Where each of some buckets of equal count has its minimum and its maximum, in order."""
    size = (len(y) - 1) / buckets
    places = np.empty(2 * buckets, np.int64)
    start = 0
    for bucket in range(buckets):
        end = int(size * (bucket + 1)) + 1
        lowest = highest = start
        low = high = y[start]
        for i in range(start + 1, end):
            value = y[i]
            # Selections, not branches, which no processor would foresee.
            lower, higher = value < low, value > high
            low, lowest = value if lower else low, i if lower else lowest
            high, highest = value if higher else high, i if higher else highest
        places[2 * bucket] = min(lowest, highest)
        places[2 * bucket + 1] = max(lowest, highest)
        start = end
    return places


@compiled
def _lttb(x: Places, y: Floats, n_out: int, from_chosen: bool) -> Places:
    """Of each bucket the point of the largest triangle: with the last choice and the next mean.

    tsdownsample measures x from the last choice or, on candidates, from zero: it rounds otherwise.
    """
    places = np.empty(n_out, np.int64)
    places[0], places[-1] = 0, len(y) - 1
    every = (len(y) - 2) / (n_out - 2)
    chosen, start = 0, 1
    for bucket in range(n_out - 2):
        end = int(every * (bucket + 1)) + 1
        end_of_next = min(int(every * (bucket + 2)) + 1, len(y))
        total = 0.0
        for i in range(end, end_of_next):
            total += y[i]
        origin = x[chosen] if from_chosen else 0
        across = x[chosen] - (x[end] + x[end_of_next - 1]) / 2
        rise = total / (end_of_next - end) - y[chosen]
        offset = across * y[chosen] + rise * (x[chosen] - origin)
        largest = -1.0
        for i in range(start, end):
            area = abs(across * y[i] + rise * (x[i] - origin) - offset)
            if area > largest:
                largest, chosen = area, i
        places[bucket + 1] = chosen
        start = end
    return places
