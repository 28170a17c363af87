"""Rolling statistics and the exponential moving average."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tarslab.errors import BadArgument
from tarslab.stats import ema, rolling_mean_std

moderate = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))
with_gaps = st.one_of(moderate, st.sampled_from([np.nan, np.inf, -np.inf]))


def exact_mean_std(values: np.ndarray, window: int) -> tuple[list[float], list[float]]:
    """Mean and population standard deviation in rational arithmetic."""
    means, stds = [], []
    for end in range(1, len(values) + 1):
        part = [Fraction(v) for v in values[max(0, end - window) : end] if np.isfinite(v)]
        if not part:
            means.append(np.nan)
            stds.append(np.nan)
            continue
        mean = sum(part) / len(part)
        variance = sum((v - mean) ** 2 for v in part) / len(part)
        means.append(float(mean))
        stds.append(float(variance) ** 0.5)
    return means, stds


@given(arrays(float, st.integers(0, 40), elements=with_gaps), st.integers(1, 45))
def test_mean_and_std_equal_exact_arithmetic(values: np.ndarray, window: int) -> None:
    mean, std = rolling_mean_std(values, window)
    exact_mean, exact_std = exact_mean_std(values, window)
    scale = np.max(np.abs(values[np.isfinite(values)]), initial=1.0)
    np.testing.assert_allclose(mean, exact_mean, rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(std, exact_std, rtol=1e-10, atol=1e-12 * scale)


def test_std_of_small_noise_on_a_large_offset_is_right_to_twelve_digits() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=300)
    exact_mean, exact_std = exact_mean_std(values, 10)
    mean, std = rolling_mean_std(values, 10)
    np.testing.assert_allclose(mean, exact_mean, rtol=1e-15)
    np.testing.assert_allclose(std[1:], exact_std[1:], rtol=1e-12)


def test_a_spike_leaves_no_trace_once_it_is_out_of_the_window() -> None:
    values = np.random.default_rng(1).normal(size=200)
    values[50] = 1e15
    _, std = rolling_mean_std(values, 7)
    _, exact_std = exact_mean_std(values, 7)
    np.testing.assert_allclose(std[57:], exact_std[57:], rtol=1e-12)


def test_mean_equals_pandas_on_a_well_behaved_series() -> None:
    values = np.random.default_rng(2).normal(size=1000)
    rolling = pd.Series(values).rolling(25, min_periods=1)
    mean, std = rolling_mean_std(values, 25)
    np.testing.assert_allclose(mean, rolling.mean(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(std, rolling.std(ddof=0), rtol=0, atol=1e-12)


def test_first_points_use_what_there_is() -> None:
    mean, std = rolling_mean_std([1.0, 3.0, 5.0, 7.0], window=3)
    # By hand: windows [1], [1, 3], [1, 3, 5], [3, 5, 7].
    assert mean.tolist() == [1.0, 2.0, 3.0, 5.0]
    np.testing.assert_allclose(std, [0.0, 1.0, (8 / 3) ** 0.5, (8 / 3) ** 0.5])


def test_missing_values_are_skipped_and_not_smeared() -> None:
    mean, _ = rolling_mean_std([2.0, np.nan, 4.0, np.inf, 6.0], window=2)
    assert mean.tolist() == [2.0, 2.0, 4.0, 4.0, 6.0]


def test_a_window_of_missing_values_only_is_missing() -> None:
    mean, std = rolling_mean_std([1.0, np.nan, np.nan, 5.0], window=2)
    assert np.isnan(mean[2])
    assert np.isnan(std[2])
    assert mean[3] == 5.0


@pytest.mark.parametrize("window", [0, -1, 2.5])
def test_a_window_that_is_no_count_is_refused(window: int) -> None:
    with pytest.raises(BadArgument, match="window"):
        rolling_mean_std([1.0], window)


@pytest.mark.parametrize("values", [[[1.0]], "abc", ["x"]])
def test_values_that_are_no_series_are_refused(values: object) -> None:
    with pytest.raises(BadArgument, match="values"):
        rolling_mean_std(values)  # type: ignore[arg-type]


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


@given(arrays(float, st.integers(1, 60), elements=with_gaps), st.floats(0, 0.999))
def test_ema_equals_tensorboard(values: np.ndarray, weight: float) -> None:
    scale = np.max(np.abs(values[np.isfinite(values)]), initial=1.0)
    np.testing.assert_allclose(
        ema(values, weight), tensorboard_smoothing(values, weight), rtol=1e-9, atol=1e-9 * scale
    )


def test_ema_of_a_constant_is_the_constant_to_the_last_bit() -> None:
    assert ema([0.1] * 50, 0.9).tolist() == [0.1] * 50


@pytest.mark.parametrize("weight", [-0.1, 1.0, 2.0])
def test_ema_refuses_a_weight_that_never_settles(weight: float) -> None:
    with pytest.raises(BadArgument, match="weight"):
        ema([1.0, 2.0], weight)
