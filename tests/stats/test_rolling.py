"""Rolling statistics and the exponential moving average."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tarslab import cores
from tarslab.errors import BadArgument
from tarslab.stats import ema, rolling, rolling_mean_std
from tarslab.stats.kernels import rolling as kernels

moderate = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))
with_gaps = st.one_of(moderate, st.sampled_from([np.nan, np.inf, -np.inf]))
# The first call may compile, which takes longer than Hypothesis lets an example take.
some_examples = settings(max_examples=60, deadline=None)
on_both_paths = pytest.mark.parametrize("path", ["numpy", "compiled"])


@contextmanager
def taking(path: str, on_cores: int = 3) -> Iterator[None]:
    """Take one path at any size; the compiled one in tiles of a block, on several threads."""
    with (
        patch.object(rolling, "_COMPILED_FROM", 1 if path == "compiled" else np.inf),
        patch.object(kernels, "_TILE", 1),
        patch.object(kernels, "_SHARE", 1),
        patch.object(cores, "cores", lambda: on_cores),
    ):
        yield


def exact_mean_std(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation in rational arithmetic: sums there lose nothing."""
    terms = [Fraction(v) if np.isfinite(v) else None for v in values.tolist()]
    means, stds = np.full(len(terms), np.nan), np.full(len(terms), np.nan)
    n, total, square = 0, Fraction(), Fraction()
    for end, term in enumerate(terms):
        gone = terms[end - window] if end >= window else None
        if term is not None:
            n, total, square = n + 1, total + term, square + term**2
        if gone is not None:
            n, total, square = n - 1, total - gone, square - gone**2
        if n:
            means[end] = total / n
            stds[end] = float(square / n - (total / n) ** 2) ** 0.5
    return means, stds


@on_both_paths
@some_examples
@given(arrays(float, st.integers(0, 40), elements=with_gaps), st.integers(1, 45))
def test_mean_and_std_equal_exact_arithmetic(path: str, values: np.ndarray, window: int) -> None:
    with taking(path):
        mean, std = rolling_mean_std(values, window)
    exact_mean, exact_std = exact_mean_std(values, window)
    scale = np.max(np.abs(values[np.isfinite(values)]), initial=1.0)
    np.testing.assert_allclose(mean, exact_mean, rtol=1e-12, atol=1e-15 * scale)
    np.testing.assert_allclose(std, exact_std, rtol=1e-12, atol=1e-15 * scale)


@some_examples
@given(arrays(float, st.integers(1, 60), elements=moderate), st.integers(1, 70))
def test_mean_and_std_equal_pandas_within_its_rounding(values: np.ndarray, window: int) -> None:
    with taking("compiled"):
        mean, std = rolling_mean_std(values, window)
    rolled = pd.Series(values).rolling(window, min_periods=1)
    np.testing.assert_allclose(mean, rolled.mean(), rtol=1e-9, atol=1e-7)
    # pandas forgets some 1e-8 of the largest value that ever was in the window.
    np.testing.assert_allclose(std, rolled.std(ddof=0), rtol=1e-6, atol=0.1)


def hard_cases() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).normal(size=3_000)
    spiked = noise.copy()
    spiked[700] = 1e15
    return {
        "noise on a large offset": 1e9 + noise,
        "after a spike": spiked,
        "exponential decay": 1e9 * np.exp(-np.arange(3_000) / 50),
        "pivots far out": np.where(np.arange(3_000) % 100 == 0, 1e6, noise),
    }


@on_both_paths
@pytest.mark.parametrize("window", [10, 100, 1_000])
@pytest.mark.parametrize("case", hard_cases())
def test_std_is_right_to_twelve_digits_where_sums_cancel(path: str, window: int, case: str) -> None:
    values = hard_cases()[case]
    exact_mean, exact_std = exact_mean_std(values, window)
    with taking(path):
        mean, std = rolling_mean_std(values, window)
    assert std[0] == 0
    np.testing.assert_allclose(std[1:], exact_std[1:], rtol=1e-12)
    assert np.all(np.abs(mean - exact_mean) <= 1e-12 * (exact_std + np.abs(exact_mean)))


def test_large_arrays_give_what_small_ones_give() -> None:
    values = np.random.default_rng(2).normal(size=120_000).cumsum()
    values[30_000:30_500] = np.nan
    mean, std = rolling_mean_std(values, 100)
    with taking("numpy"):
        small_mean, small_std = rolling_mean_std(values, 100)
    np.testing.assert_allclose(mean, small_mean, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(std, small_std, rtol=1e-12)
    with taking("numpy"):
        np.testing.assert_allclose(ema(values, 0.9), ema_on("compiled", values, 0.9), rtol=1e-12)


def ema_on(path: str, values: np.ndarray, weight: float) -> np.ndarray:
    with taking(path):
        return ema(values, weight)


@on_both_paths
def test_each_row_is_a_series_of_its_own(path: str) -> None:
    rows = np.random.default_rng(3).normal(size=(4, 57))
    rows[1, 40:] = np.nan
    with taking(path):
        mean, std = rolling_mean_std(rows, 7)
        smoothed = ema(rows, 0.8)
        for i, row in enumerate(rows):
            row_mean, row_std = rolling_mean_std(row, 7)
            np.testing.assert_array_equal(mean[i], row_mean)
            np.testing.assert_array_equal(std[i], row_std)
            np.testing.assert_array_equal(smoothed[i], ema(row, 0.8))


def test_the_number_of_cores_changes_no_bit() -> None:
    values = np.random.default_rng(4).normal(size=(3, 1_000))
    values[:, ::11] = np.nan
    results = []
    for on_cores in (1, 2, 5):
        with taking("compiled", on_cores):
            results.append([*rolling_mean_std(values, 9), ema(values)])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@on_both_paths
@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (1, 1)])
def test_empty_arrays_keep_their_shape(path: str, shape: tuple[int, ...]) -> None:
    with taking(path):
        mean, std = rolling_mean_std(np.ones(shape), 3)
        assert mean.shape == std.shape == ema(np.ones(shape)).shape == shape


@on_both_paths
def test_values_are_left_alone_and_may_be_read_only_or_strided(path: str) -> None:
    frozen = np.arange(40.0)
    frozen.flags.writeable = False
    with taking(path):
        mean, _ = rolling_mean_std(frozen[::2], 2)
        smoothed = ema(frozen[::2], 0.5)
        source = np.array([3.0, 3.0])
        ema(source)[0] = 7.0
    assert mean.tolist() == [0.0, *range(1, 39, 2)]
    # By hand: (0 * 0.25 + 2 * 0.5) / 0.75.
    assert smoothed[1] == pytest.approx(4 / 3)
    assert source.tolist() == [3.0, 3.0]
    assert source.flags.writeable


@on_both_paths
def test_of_a_diverged_series_the_mean_is_right_and_the_std_infinite(path: str) -> None:
    with taking(path):
        mean, std = rolling_mean_std([1e200, 3e200, 5e200, np.inf, np.nan], 2)
    np.testing.assert_allclose(mean, [1e200, 2e200, 4e200, 5e200, np.nan])
    assert std.tolist()[:4] == [0.0, np.inf, np.inf, 0.0]


def test_first_points_use_what_there_is() -> None:
    mean, std = rolling_mean_std([1.0, 3.0, 5.0, 7.0], window=3)
    # By hand: windows [1], [1, 3], [1, 3, 5], [3, 5, 7].
    assert mean.tolist() == [1.0, 2.0, 3.0, 5.0]
    np.testing.assert_allclose(std, [0.0, 1.0, (8 / 3) ** 0.5, (8 / 3) ** 0.5])


@on_both_paths
def test_missing_values_are_skipped_and_not_smeared(path: str) -> None:
    with taking(path):
        mean, _ = rolling_mean_std([2.0, np.nan, 4.0, np.inf, 6.0], window=2)
    assert mean.tolist() == [2.0, 2.0, 4.0, 4.0, 6.0]


@on_both_paths
def test_a_window_of_missing_values_only_is_missing(path: str) -> None:
    with taking(path):
        mean, std = rolling_mean_std([1.0, np.nan, np.nan, 5.0], window=2)
    assert np.isnan(mean[2])
    assert np.isnan(std[2])
    assert mean[3] == 5.0


@pytest.mark.parametrize("window", [0, -1, 2.5])
def test_a_window_that_is_no_count_is_refused(window: int) -> None:
    with pytest.raises(BadArgument, match="window"):
        rolling_mean_std([1.0], window)


@pytest.mark.parametrize("values", [1.0, [[[1.0]]], "abc", ["x"]])
def test_values_that_are_no_series_are_refused(values: object) -> None:
    with pytest.raises(BadArgument, match="values"):
        rolling_mean_std(values)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="values"):
        ema(values)  # type: ignore[arg-type]


def tensorboard_smoothing(values: np.ndarray, weight: float) -> list[float]:
    """TensorBoard's ``resmoothDataset``, line by line."""
    if all(v == values[0] for v in values):
        return list(values)
    last, n, smoothed = 0.0, 0, []
    for value in values:
        if not np.isfinite(value):
            smoothed.append(value)
            continue
        last = last * weight + (1 - weight) * value
        n += 1
        smoothed.append(last / (1 - weight**n) if weight != 1 else last)
    return smoothed


@on_both_paths
@some_examples
@given(arrays(float, st.integers(1, 60), elements=with_gaps), st.floats(0, 0.999))
def test_ema_equals_tensorboard(path: str, values: np.ndarray, weight: float) -> None:
    scale = np.max(np.abs(values[np.isfinite(values)]), initial=1.0)
    np.testing.assert_allclose(
        ema_on(path, values, weight),
        tensorboard_smoothing(values, weight),
        rtol=1e-9,
        atol=1e-9 * scale,
    )


@on_both_paths
@some_examples
@given(arrays(float, st.integers(1, 60), elements=moderate), st.floats(0, 0.999))
def test_ema_equals_pandas_with_adjusted_weights(
    path: str, values: np.ndarray, weight: float
) -> None:
    values[1::7] = np.nan
    adjusted = pd.Series(values).ewm(alpha=1 - weight, adjust=True, ignore_na=True).mean()
    known = np.isfinite(values)
    scale = np.max(np.abs(values[known]), initial=0.0)
    np.testing.assert_allclose(
        ema_on(path, values, weight)[known], adjusted[known], rtol=1e-12, atol=1e-12 * scale
    )


@on_both_paths
def test_ema_of_a_constant_is_the_constant_to_the_last_bit(path: str) -> None:
    values = np.array([0.1, np.nan, *[0.1] * 48])
    np.testing.assert_array_equal(ema_on(path, values, 0.9), values)


@pytest.mark.parametrize("weight", [-0.1, 1.0, 2.0])
def test_ema_refuses_a_weight_that_never_settles(weight: float) -> None:
    with pytest.raises(BadArgument, match="weight"):
        ema([1.0, 2.0], weight)
