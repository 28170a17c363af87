"""Downsampling for pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tarslab.errors import BadArgument
from tarslab.stats import downsample

values = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([np.nan, np.inf]))


@given(arrays(float, st.integers(0, 400), elements=values), st.integers(10, 60))
def test_at_most_n_out_increasing_places_with_both_ends_and_extremes(
    y: np.ndarray, n_out: int
) -> None:
    places = downsample(np.arange(len(y)), y, n_out)
    assert len(places) <= max(n_out, 0)
    assert np.all(np.diff(places) > 0)
    finite = np.flatnonzero(np.isfinite(y))
    if len(finite):
        kept = y[places]
        kept = kept[np.isfinite(kept)]
        assert places[np.isfinite(y[places])][0] == finite[0]
        assert places[np.isfinite(y[places])][-1] == finite[-1]
        assert kept.min() == y[finite].min()
        assert kept.max() == y[finite].max()


def test_a_short_series_is_kept_whole() -> None:
    assert downsample([0, 1, 2], [5.0, np.nan, 7.0], 10).tolist() == [0, 1, 2]


def test_minimum_and_maximum_of_every_bucket_are_kept() -> None:
    y = np.random.default_rng(0).normal(size=10_000)
    places = downsample(np.arange(10_000), y, 102)
    # 100 places for 50 buckets of 200 points.
    for bucket in range(50):
        inside = slice(200 * bucket + 1, 200 * bucket + 199)
        kept = places[(places >= 200 * bucket - 1) & (places <= 200 * bucket + 200)]
        assert y[kept].max() >= y[inside].max()
        assert y[kept].min() <= y[inside].min()


def test_a_gap_stays_a_gap() -> None:
    y = np.ones(10_000)
    y[4000:4500] = np.nan
    places = downsample(np.arange(10_000), y, 100)
    missing = places[np.isnan(y[places])]
    assert len(missing) == 1
    assert 4000 <= missing[0] < 4500


def test_of_many_gaps_the_longest_are_kept() -> None:
    y = np.ones(10_000)
    y[::10] = np.nan
    y[5000:5050] = np.nan
    places = downsample(np.arange(10_000), y, 100)
    missing = places[np.isnan(y[places])]
    assert len(missing) == 20
    assert np.any((missing >= 5000) & (missing < 5050))


@pytest.mark.parametrize(
    ("x", "y", "n_out", "message"),
    [
        ([0, 1], [1.0], 500, "x has 2 points and y has 1"),
        ([1, 0], [1.0, 2.0], 500, "sort by x"),
        ([0, np.nan], [1.0, 2.0], 500, "finite"),
        ([0, 1], [1.0, 2.0], 5, "at least 10"),
    ],
)
def test_bad_arguments_are_refused(
    x: list[float], y: list[float], n_out: int, message: str
) -> None:
    with pytest.raises(BadArgument, match=message):
        downsample(x, y, n_out)
