"""Bootstrap intervals, stratified over the tasks.

What rliable 1.2.0 (arch 7.2.0, numpy 1.26.4, pandas 2.3.3) gave for ``score_table`` is recorded
here: ``get_interval_estimates`` with its default 50,000 replications after ``numpy.random.seed(0)``
and the metric wrapped in a one-element array.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

import tarslab.cores
from tarslab.errors import BadArgument
from tarslab.stats import resampling
from tarslab.stats.bootstrap import bootstrap_ci, sample_efficiency
from tarslab.stats.resampling import Interval
from tarslab.stats.scores import iqm, mean, median, optimality_gap

Scores = np.ndarray[Any, np.dtype[np.float64]]
Statistic = Callable[[Any], Any]

OURS = [iqm, mean, median, optimality_gap, partial(optimality_gap, gamma=0.3)]

# The 2.5 % quantile of n replications of a normal statistic has a standard error of
# sqrt(0.025 · 0.975 / n) / φ(1.96) = 0.012 standard deviations at n = 50,000, so that two of them
# are 0.0043 widths of the interval apart. BCa adds twice the error of its bias,
# sqrt(0.25 / n) / φ(0), to some 0.006 widths. Allowed: five of those.
MONTE_CARLO = {"percentile": 0.022, "bca": 0.03}

RLIABLE = [
    (iqm, "percentile", 1.1316153846153847, 0.658153076923077, 1.7244461538461538),
    (iqm, "bca", 1.1316153846153847, 0.6003242263606877, 1.6482320284712708),
    (median, "percentile", 1.4448400000000001, 0.89735, 1.946806),
    (median, "bca", 1.4448400000000001, 1.0111641593368335, 2.090467469409387),
    (mean, "percentile", 1.4386880000000002, 1.0843114, 1.8060322),
    (mean, "bca", 1.4386880000000002, 1.0754921297187374, 1.804176),
    (optimality_gap, "percentile", 0.35926400000000003, 0.2436398, 0.4783842),
    (optimality_gap, "bca", 0.35926400000000003, 0.25338502749608655, 0.49058793725183647),
]


def score_table(runs: int, tasks: int, shift: int = 0) -> Scores:
    """Skewed scores between 0 and 4 in plain arithmetic, the same everywhere."""
    i, t = np.ogrid[:runs, :tasks]
    table: Scores = ((37 * i * i + 11 * t * i + 29 * t + shift) % 101 / 50) ** 2
    return table


def assert_bounds(found: Interval[Any], low: object, high: object, method: str) -> None:
    tolerance = MONTE_CARLO[method] * np.subtract(high, low)  # type: ignore[call-overload]
    assert np.all(np.abs(found.low - low) <= tolerance)
    assert np.all(np.abs(found.high - high) <= tolerance)


@pytest.mark.parametrize(("statistic", "method", "estimate", "low", "high"), RLIABLE)
def test_several_tasks_as_rliable(
    statistic: Statistic, method: Any, estimate: float, low: float, high: float
) -> None:
    found = bootstrap_ci(score_table(10, 5), statistic, method=method)
    assert found.estimate == pytest.approx(estimate, rel=1e-12)
    assert_bounds(found, low, high, method)


def test_a_curve_as_rliable() -> None:
    curve = np.stack([score_table(10, 5, shift) for shift in (0, 40, 80)], axis=-1)
    found = sample_efficiency(curve)
    np.testing.assert_allclose(
        found.estimate, [1.1316153846153847, 0.9364153846153845, 1.6593384615384617], rtol=1e-12
    )
    low = [0.6608303846153846, 0.6615223076923077, 1.1772303846153847]
    high = [1.7211438461538464, 1.3851292307692311, 2.1544357692307696]
    assert_bounds(found, low, high, "percentile")


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_one_task_as_scipy(method: Any) -> None:
    runs: Any = np.random.default_rng(0).lognormal(size=30)
    trimmed_mean: Any = partial(stats.trim_mean, proportiontocut=0.25)
    found = bootstrap_ci(runs, iqm, method=method)
    peer = stats.bootstrap(
        (runs,),
        trimmed_mean,
        n_resamples=50_000,
        method=method,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert_bounds(found, peer.low, peer.high, method)


def test_bca_counts_replications_that_equal_the_estimate_half_as_scipy() -> None:
    # Binomial(20, 1/2) is symmetric, so that nothing is to be corrected if ties count half: its
    # quantiles are 6 and 14 of 20.
    runs = np.repeat([0.0, 1.0], 10)
    found = bootstrap_ci(runs, mean, method="bca")
    peer = stats.bootstrap(
        (runs,), np.mean, n_resamples=50_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose([found.low, found.high], [0.3, 0.7], rtol=1e-12)
    np.testing.assert_allclose([peer.low, peer.high], [0.3, 0.7], rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    arrays(
        float,
        array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=7),
        elements=st.floats(-1e3, 1e3).map(lambda x: round(x, 3)),
    ),
    st.sampled_from(OURS),
    st.sampled_from(["percentile", "bca"]),
    st.integers(0, 2**40),
)
def test_compiled_replications_equal_the_same_draws_in_plain_numpy(
    scores: Scores, statistic: Statistic, method: Any, seed: int
) -> None:
    compiled = bootstrap_ci(scores, statistic, reps=70, method=method, seed=seed)
    called = bootstrap_ci(scores, lambda x: statistic(x), reps=70, method=method, seed=seed)
    for ours, plain in zip(compiled, called, strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-9, atol=1e-9)


def test_a_score_that_is_cut_off_costs_the_others_no_precision() -> None:
    scores = np.random.default_rng(1).normal(size=(12, 3))
    scores[0, 0] = 1e15
    reps = 300
    compiled = bootstrap_ci(scores, iqm, reps=reps)
    called = bootstrap_ci(scores, lambda x: iqm(x), reps=reps)
    np.testing.assert_allclose(compiled, called, rtol=1e-12)


@pytest.mark.parametrize("runs", [255, 256, 257])
def test_runs_beyond_one_byte_are_all_drawn(runs: int) -> None:
    # The best run is missing from a share (1 - 1/n)^n = 0.37 of the replications: the quantile
    # 0.25 of the maximum is without it, the quantile 0.45 with it.
    scores = np.zeros(runs)
    scores[-1] = 1.0
    assert bootstrap_ci(scores, np.max, reps=300, confidence=0.5).low == 0.0
    assert bootstrap_ci(scores, np.max, reps=300, confidence=0.1).low == 1.0


def test_the_same_seed_gives_the_same_bits_on_any_number_of_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    curve = np.random.default_rng(2).normal(size=(6, 4, 9))
    intervals = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(tarslab.cores, "cores", lambda cores=cores: cores)
        intervals.append(sample_efficiency(curve, reps=5_000, seed=3))
    for other in intervals[1:]:
        np.testing.assert_array_equal(other, intervals[0])


def test_curves_too_long_for_memory_at_once_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    curve = np.random.default_rng(3).normal(size=(6, 4, 9))
    whole = sample_efficiency(curve, reps=2_000, method="bca")
    monkeypatch.setattr(resampling, "BLOCK", 4_000)
    np.testing.assert_array_equal(sample_efficiency(curve, reps=2_000, method="bca"), whole)


def test_seeds_differ_and_a_generator_moves_on() -> None:
    scores = score_table(10, 5)
    seeds: list[Any] = [0, 1, np.int64(2)]
    by_seed = {bootstrap_ci(scores, reps=500, seed=seed).low for seed in seeds}
    assert len(by_seed) == 3
    rng = np.random.default_rng(0)
    first, second = (
        bootstrap_ci(scores, reps=500, seed=rng),
        bootstrap_ci(scores, reps=500, seed=rng),
    )
    assert first.low != second.low
    assert bootstrap_ci(scores, reps=500, seed=np.random.default_rng(0)) == first


def test_global_random_state_is_left_alone() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    bootstrap_ci(score_table(10, 5), reps=100)
    np.testing.assert_array_equal(
        np.random.get_state()[1],  # type: ignore[index]  # noqa: NPY002
        before,
    )


def test_tasks_are_resampled_apart_from_each_other() -> None:
    # Two tasks that mirror each other: with runs drawn together every mean would be exactly 0.
    runs = np.linspace(-1, 1, 10)
    found = bootstrap_ci(np.stack([runs, -runs], axis=1), mean)
    # The standard error of a mean of 20 values of standard deviation s is s / sqrt(20).
    assert found.high == pytest.approx(1.96 * runs.std() / 20**0.5, rel=0.03)


def test_a_statistic_of_ones_own_may_return_an_array() -> None:
    def range_of_tasks(table: Scores) -> Scores:
        spread: Scores = table.max(axis=0) - table.min(axis=0)
        return spread

    scores = score_table(10, 5)
    found = bootstrap_ci(scores, range_of_tasks, reps=200)
    np.testing.assert_array_equal(found.estimate, range_of_tasks(scores))
    assert found.low.shape == found.high.shape == (5,)
    assert np.all(found.low <= found.high)
    assert np.all(found.high <= found.estimate)


def test_a_statistic_of_ones_own_is_applied_to_every_checkpoint() -> None:
    curve = np.stack([score_table(6, 3, shift) for shift in range(4)], axis=-1)
    own = sample_efficiency(curve, lambda table: iqm(table), reps=300)
    np.testing.assert_allclose(own, sample_efficiency(curve, iqm, reps=300), rtol=1e-12)


@pytest.mark.parametrize("statistic", [iqm, np.ptp])
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_one_run_has_an_estimate_and_no_known_interval(statistic: Statistic, method: Any) -> None:
    found = bootstrap_ci([[0.5, 0.7]], statistic, method=method)
    assert found.estimate == statistic(np.array([[0.5, 0.7]]))
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_scores_that_never_vary_leave_nothing_uncertain(method: Any) -> None:
    found = bootstrap_ci(np.full((5, 3, 2), 0.7), method=method, reps=100)
    np.testing.assert_allclose(found, np.full((3, 2), 0.7), rtol=1e-15)


def test_bca_is_unknown_where_all_replications_lie_on_one_side() -> None:
    def distinct(table: Scores) -> int:
        return len(np.unique(table))

    found = bootstrap_ci(np.arange(40.0), distinct, method="bca", reps=100)
    assert found.estimate == 40
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(
    "options",
    [
        {"reps": 0},
        {"reps": 1.5},
        {"confidence": 0.0},
        {"confidence": 95},
        {"method": "basic"},
        {"seed": -1},
        {"seed": None},
    ],
)
def test_an_option_out_of_its_range_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(BadArgument, match=next(iter(options))):
        bootstrap_ci([1.0, 2.0], **options)


def test_a_curve_without_an_axis_of_tasks_is_told_how_to_get_one() -> None:
    with pytest.raises(BadArgument, match="newaxis"):
        sample_efficiency(np.zeros((5, 100)))
