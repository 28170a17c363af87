"""Series joined, as copies and as views of where they lie already."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.runs.recording import Series


def whole(n: int = 12) -> Series:
    return Series.of(np.arange(n), np.arange(n) / 10, -np.arange(n))


def cut(series: Series, *places: int) -> list[Series]:
    ends = [0, *places, series.points]
    return [series.take(slice(*pair)) for pair in pairwise(ends)]


def test_neighbours_become_one_view_of_what_they_are_cut_from() -> None:
    series = whole()
    joined = Series.joined(cut(series, 3, 7)[1:], copy=False)
    assert joined.step.tolist() == [*range(3, 12)]
    assert all(map(np.shares_memory, joined, series))


def test_a_column_that_was_made_anew_is_copied_and_the_others_are_not() -> None:
    first, second = cut(whole(), 5)
    joined = Series.joined([first, second._replace(value=second.value * -1)], copy=False)
    assert joined.value.tolist() == [0, -1, -2, -3, -4, 5, 6, 7, 8, 9, 10, 11]
    assert np.shares_memory(joined.step, first.step)
    assert not np.shares_memory(joined.value, first.value)


def test_copies_are_what_one_gets_unless_they_are_not_wanted() -> None:
    series = whole()
    assert not any(map(np.shares_memory, Series.joined(cut(series, 4)), series))


@given(st.data())
def test_views_hold_what_copies_would(data: st.DataObject) -> None:
    sources = [whole(), whole().take(slice(None, None, 2)), Series.of([], [], [])]
    parts = []
    for _ in range(data.draw(st.integers(1, 5))):
        source = data.draw(st.sampled_from(sources))
        start = data.draw(st.integers(0, 12))
        step = data.draw(st.sampled_from([1, 1, 2, -1]))
        parts.append(source.take(slice(start, start + data.draw(st.integers(0, 6)), step)))
    for view, copy in zip(Series.joined(parts, copy=False), Series.joined(parts), strict=True):
        assert view.dtype == copy.dtype
        assert view.tolist() == copy.tolist()


@pytest.mark.parametrize("make", [lambda a: a.view(np.float32), lambda a: a.reshape(3, 4)[1]])
def test_cuts_of_another_kind_of_array_are_right_too(make) -> None:
    cells = make(np.arange(12.0))
    parts = [Series(cells[:2], cells[:2], cells[:2]), Series(cells[2:4], cells[2:4], cells[2:4])]
    joined = Series.joined(parts, copy=False)
    assert joined.step.tolist() == cells[:4].tolist()
