"""When iterations are due and when users come and go, from the corners of a rate or a number."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import ceil, sqrt

Path = Iterable[tuple[float, float]]


def arrivals(path: Path) -> Iterator[float]:
    """The moments at which the integral of the rate is 0, 1, 2 and so on, before the end.

    path: (seconds, rate a second), linear in between. At a constant rate that is k / rate.
    """
    number, so_far = 0, 0.0
    for (start, low), (end, high) in pairwise(path):
        length = end - start
        if length <= 0:
            continue
        slope = (high - low) / length
        total = so_far + (low + high) / 2 * length
        # Of 100 arrivals that are due in a stage none may be lost or doubled by rounding.
        last = ceil(total - 1e-9)
        while number < last:
            ahead = max(number - so_far, 0.0)
            # The root of low x + slope x² / 2 = ahead that does not cancel.
            root = sqrt(max(low * low + 2 * slope * ahead, 0.0))
            yield start + (2 * ahead / (low + root) if ahead else 0.0)
            number += 1
        so_far = total


def changes(path: Path) -> Iterator[tuple[float, int, bool]]:
    """(seconds, number of a user from 0, whether it comes or goes), in the order of time."""
    corners = list(path)
    start, now = corners[0]
    level = int(now)
    for user in range(level):
        yield start, user, True
    for (begin, _), (end, target) in pairwise(corners):
        steps = abs(int(target) - level)
        up = target > level
        for step in range(1, steps + 1):
            user = level + step - 1 if up else level - step
            yield begin + (end - begin) * step / steps, user, up
        level = int(target)


def share(total: int, shard: int, shards: int) -> int:
    """How many of the numbers below ``total`` are a shard's: those of the same remainder."""
    return len(range(shard, total, shards))
