"""Downsampling for pictures."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tsdownsample import MinMaxDownsampler, MinMaxLTTBDownsampler

from tarslab.errors import BadArgument
from tarslab.stats import downsample, downsampling
from tarslab.stats.downsampling import downsample_many
from tarslab.stats.kernels import downsampling as kernels
from tarslab.stats.rolling import read_only

values = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([np.nan, np.inf]))
# Ties, steps, noise on an offset, values of all sizes: where rounding decides between two points.
shapes = st.sampled_from(
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.integers(0, 3, n).astype(float),
        lambda rng, n: np.floor(np.arange(n) / 50.0),
        lambda rng, n: 1e9 + rng.normal(size=n),
        lambda rng, n: rng.normal(size=n).cumsum(),
        lambda rng, n: rng.standard_cauchy(n) * 1e100,
        lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(size=n), np.nan),
        lambda rng, n: np.full(n, np.nan),
    ]
)


@given(arrays(float, st.integers(0, 400), elements=values), st.integers(10, 60))
def test_at_most_n_out_increasing_places_with_both_ends_and_extremes(
    y: np.ndarray, n_out: int
) -> None:
    places = downsample(np.arange(len(y)), y, n_out)
    assert len(places) <= n_out
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
    places = downsample(np.arange(10_000), y, 200)
    # A quarter of 200 buckets, of 200 points each.
    for bucket in range(50):
        inside = slice(200 * bucket + 1, 200 * bucket + 199)
        kept = places[(places >= 200 * bucket - 1) & (places <= 200 * bucket + 200)]
        assert y[kept].max() >= y[inside].max()
        assert y[kept].min() <= y[inside].min()


def test_a_spike_up_beside_a_spike_down_keeps_both() -> None:
    y = np.sin(np.arange(20_000) / 3_000)
    y[7_000], y[7_010] = 5.0, -5.0
    alone = MinMaxLTTBDownsampler().downsample(y, n_out=200)
    assert not {7_000, 7_010} <= set(alone.tolist())
    assert {7_000, 7_010} <= set(downsample(np.arange(20_000), y, 200).tolist())


def test_the_envelope_is_nearer_than_that_of_minima_and_maxima_alone() -> None:
    rng = np.random.default_rng(1)
    x = np.arange(20_000.0)
    y = 500 * (1 - np.exp(-x / 4_000)) + 40 * rng.normal(size=len(x))
    ours = envelope_error(x, y, downsample(x, y, 500))
    alone = np.sort(MinMaxDownsampler().downsample(y, n_out=500).astype(np.int64))
    assert ours < envelope_error(x, y, alone)


def envelope_error(x: np.ndarray, y: np.ndarray, places: np.ndarray) -> float:
    """Mean distance of the line's lowest and highest ink in 600 columns of a picture."""
    low, high = envelope(x, y)
    grid = np.linspace(x[0], x[-1], 4_801)
    drawn = np.interp(grid, x[places], y[places])
    low_drawn, high_drawn = envelope(
        np.concatenate([grid, x[places]]), np.concatenate([drawn, y[places]])
    )
    return float(np.mean(np.abs(low - low_drawn) + np.abs(high - high_drawn)))


def envelope(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    column = np.minimum((600 * (x - x[0]) / np.ptp(x)).astype(int), 599)
    low, high = np.full(600, np.inf), np.full(600, -np.inf)
    np.minimum.at(low, column, y)
    np.maximum.at(high, column, y)
    return low, high


@pytest.mark.parametrize("compiled_from", [0, np.inf])
def test_a_diverged_series_is_cut_to_size_too(compiled_from: float) -> None:
    y = np.random.default_rng(3).choice([-1.7e308, 0.0, 1.0, 1.7e308], 3_000)
    with patch.object(downsampling, "_COMPILED_FROM", compiled_from):
        (places,) = downsample_many([np.arange(3_000)], [y], 100)
    assert len(places) <= 100
    assert y[places].min() == y.min()
    assert y[places].max() == y.max()


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


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(30, 3_000), st.integers(8, 300), st.integers(0, 2**32))
def test_compiled_minmaxlttb_is_that_of_tsdownsample(shape, n: int, n_out: int, seed: int) -> None:
    y = shape(np.random.default_rng(seed), n)
    y = read_only(y[np.isfinite(y)])
    if len(y) > n_out:
        np.testing.assert_array_equal(
            kernels._min_max_lttb(y, n_out), MinMaxLTTBDownsampler().downsample(y, n_out=n_out)
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(shapes, st.integers(0, 3_000)), max_size=4), st.integers(10, 300))
def test_many_series_at_once_give_what_each_gives_alone(lines, n_out: int) -> None:
    rng = np.random.default_rng(n_out)
    ys = [shape(rng, n) for shape, n in lines]
    xs = [rng.integers(0, 3, len(y)).cumsum() for y in ys]
    alone = [downsample(x, y, n_out) for x, y in zip(xs, ys, strict=True)]
    for compiled_from in (0, np.inf):
        with patch.object(downsampling, "_COMPILED_FROM", compiled_from):
            together = downsample_many(xs, ys, n_out)
        assert [places.tolist() for places in together] == [places.tolist() for places in alone]


def test_many_series_may_be_the_rows_of_an_array() -> None:
    y = np.random.default_rng(2).normal(size=(3, 500))
    x = np.broadcast_to(np.arange(500.0), y.shape)
    with patch.object(downsampling, "_COMPILED_FROM", 0):
        together = downsample_many(x, y, 40)
    for places, row in zip(together, y, strict=True):
        np.testing.assert_array_equal(places, downsample(x[0], row, 40))


@pytest.mark.parametrize(
    ("x", "y", "n_out", "message"),
    [
        ([0, 1], [1.0], 500, "x has 2 points and y has 1"),
        ([1, 0], [1.0, 2.0], 500, "sort by x"),
        ([0, np.nan], [1.0, 2.0], 500, "finite"),
        ([0, np.inf], [1.0, 2.0], 500, "finite"),
        ([0, 1], [1.0, 2.0], 5, "at least 10"),
    ],
)
def test_bad_arguments_are_refused(
    x: list[float], y: list[float], n_out: int, message: str
) -> None:
    with pytest.raises(BadArgument, match=message):
        downsample(x, y, n_out)


@pytest.mark.parametrize("compiled_from", [0, np.inf])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([0, 1], [1.0], r"xs\[1\] has 2 points and ys\[1\] has 1"),
        ([1, 0], [1.0, 2.0], r"xs\[1\] must .* not decrease"),
        ([0, np.nan], [1.0, 2.0], r"xs\[1\] must be finite"),
        ([-np.inf, 1], [1.0, 2.0], r"xs\[1\] must be finite"),
        ([0, 1], "ab", r"ys\[1\] must be numbers"),
    ],
)
def test_which_of_many_series_is_bad_is_said(
    compiled_from: float, x: list[float], y: object, message: str
) -> None:
    with (
        patch.object(downsampling, "_COMPILED_FROM", compiled_from),
        pytest.raises(BadArgument, match=message),
    ):
        downsample_many([[0, 1], x], [[1.0, 2.0], y], 20)  # type: ignore[list-item]


def test_as_many_xs_as_ys_are_needed() -> None:
    with pytest.raises(BadArgument, match="2 xs and 1 ys"):
        downsample_many([[0, 1], [0, 1]], [[1.0, 2.0]])
