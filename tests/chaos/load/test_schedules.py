"""When iterations are due, and when users come and go."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.chaos.load.schedules import arrivals, changes, share

rates = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 200)), min_size=1, max_size=4)


def test_a_constant_rate_is_due_every_so_often_from_the_start() -> None:
    assert list(arrivals([(0, 4), (1, 4)])) == [0, 0.25, 0.5, 0.75]


def test_a_rate_that_rises_is_due_when_its_integral_is_a_whole_number() -> None:
    # The integral of 2 t is t²: due at the square roots.
    due = list(arrivals([(0, 0), (4, 8)]))
    assert due == pytest.approx([k**0.5 for k in range(16)])


def test_a_rate_that_falls_does_so_too() -> None:
    # The integral of 8 - 2 t is 8 t - t²: due at 4 - sqrt(16 - k).
    due = list(arrivals([(0, 8), (4, 0)]))
    assert due == pytest.approx([4 - (16 - k) ** 0.5 for k in range(16)])


@given(rates, st.integers(0, 200))
def test_as_many_are_due_as_the_area_below_the_rate(
    stages: list[tuple[int, int]], start: int
) -> None:
    path = [(0.0, float(start))]
    for length, target in stages:
        path.append((path[-1][0] + length, float(target)))
    area = sum((end - begin) * (low + high) / 2 for (begin, low), (end, high) in pairwise(path))
    due = list(arrivals(path))
    assert area - 1e-6 <= len(due) < area + 1
    assert due == sorted(due)
    assert all(0 <= moment <= path[-1][0] for moment in due)


def test_users_come_one_by_one_and_the_last_goes_first() -> None:
    path = [(0, 1), (4, 3), (4, 2), (6, 0)]
    assert list(changes(path)) == [
        (0, 0, True),
        (2, 1, True),
        (4, 2, True),
        (4, 2, False),
        (5, 1, False),
        (6, 0, False),
    ]


@given(st.integers(0, 100), st.integers(1, 8))
def test_shards_share_everything(total: int, shards: int) -> None:
    shares = [share(total, shard, shards) for shard in range(shards)]
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1
