"""Time to a target, with censored runs."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from tarslab.errors import BadArgument
from tarslab.stats.survival import TimeToTarget, kaplan_meier, logrank, time_to_target

# Weeks of remission in leukaemia, 6-MP and placebo (Freireich et al. 1963, in most textbooks).
DRUG = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
DRUG_ENDED = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]

followed = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=25)


def runs_that_end(times: list[int], reached: np.ndarray) -> TimeToTarget:
    """Runs at 0 all along that are at 1 in the end, or not."""
    return time_to_target(
        [([0, at], [0.0, float(there)]) for at, there in zip(times, reached, strict=True)], 1
    )


@pytest.fixture
def drug() -> TimeToTarget:
    return runs_that_end(DRUG, DRUG_ENDED)


@pytest.fixture
def placebo() -> TimeToTarget:
    return runs_that_end(PLACEBO, np.ones(21, dtype=bool))


def test_the_curve_and_its_band_equal_lifelines(drug: TimeToTarget) -> None:
    # lifelines 0.30.3, KaplanMeierFitter, at 6, 10, 13, 22 and 35 weeks.
    at = np.searchsorted(drug.curve.time, [6, 10, 13, 22, 35])
    survival = [0.857143, 0.752941, 0.690196, 0.537815, 0.448179]
    lower = [0.619718, 0.503200, 0.431610, 0.267779, 0.188052]
    upper = [0.951552, 0.889362, 0.849066, 0.746791, 0.680143]
    np.testing.assert_allclose(1 - drug.curve.reached[at], survival, atol=1e-6)
    np.testing.assert_allclose(1 - drug.curve.high[at], lower, atol=1e-6)
    np.testing.assert_allclose(1 - drug.curve.low[at], upper, atol=1e-6)
    assert drug.curve.at_risk[at].tolist() == [21, 15, 12, 7, 1]
    assert drug.curve.events[at].tolist() == [3, 1, 1, 1, 0]


def test_the_medians_and_their_intervals_equal_lifelines(
    drug: TimeToTarget, placebo: TimeToTarget
) -> None:
    assert (drug.median, drug.median_interval) == (23, (13, None))
    assert (placebo.median, placebo.median_interval) == (8, (4, 11))


def test_the_log_rank_test_equals_lifelines(drug: TimeToTarget, placebo: TimeToTarget) -> None:
    sooner = logrank(placebo, drug)
    # lifelines 0.30.3: chi-squared of 16.79294, p of 4.168809e-05.
    assert sooner.z**2 == pytest.approx(16.792940989, rel=1e-9)
    assert sooner.p == pytest.approx(4.168809109e-05, rel=1e-6)
    assert sooner.z > 0
    assert logrank(drug, placebo).z == pytest.approx(-sooner.z)


def test_the_curve_of_four_runs_by_hand() -> None:
    curve = kaplan_meier([10, 20, 20, 30], [True, True, False, True])
    # 3/4 are left after 10; one of the three of 20 gets there, one is lost; the last gets there.
    np.testing.assert_allclose(curve.time, [10, 20, 30])
    np.testing.assert_allclose(curve.reached, [1 / 4, 1 - 3 / 4 * 2 / 3, 1])
    assert curve.at_risk.tolist() == [4, 3, 1]
    assert curve.events.tolist() == [1, 1, 1]


@given(followed)
@settings(max_examples=80, deadline=None)
def test_the_curve_equals_scipy_and_statsmodels(runs: list[tuple[int, bool]]) -> None:
    times, reached = np.array([t for t, _ in runs], dtype=float), np.array([r for _, r in runs])
    curve = kaplan_meier(times, reached, confidence=0.9)
    peer = ecdf(CensoredData(uncensored=times[reached], right=times[~reached])).cdf
    np.testing.assert_array_equal(curve.time, peer.quantiles)
    np.testing.assert_allclose(curve.reached, peer.probabilities, atol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        band: Any = peer.confidence_interval(0.9, method="log-log")
    np.testing.assert_allclose(curve.low, band.low.probabilities, atol=1e-12)
    np.testing.assert_allclose(curve.high, band.high.probabilities, atol=1e-12)
    if np.any(reached):
        other = SurvfuncRight(times, reached)
        at = np.searchsorted(curve.time, other.surv_times)
        np.testing.assert_array_equal(curve.at_risk[at], other.n_risk)
        np.testing.assert_array_equal(curve.events[at], other.n_events)


@given(followed, followed)
@settings(max_examples=60, deadline=None)
def test_the_log_rank_test_equals_statsmodels(
    a: list[tuple[int, bool]], b: list[tuple[int, bool]]
) -> None:
    of_a, of_b = (
        runs_that_end([t for t, _ in runs], np.array([r for _, r in runs])) for runs in (a, b)
    )
    times = np.concatenate([of_a.times, of_b.times])
    group = np.repeat([0, 1], [len(a), len(b)])
    # It refuses a step after which only one group is left.
    try:
        with np.errstate(all="ignore"):
            chi_squared, p = survdiff(times, np.concatenate([of_a.reached, of_b.reached]), group)
    except (ValueError, np.linalg.LinAlgError):
        assume(False)
    assume(np.isfinite(chi_squared))
    found = logrank(of_a, of_b)
    assert found.z**2 == pytest.approx(chi_squared, rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(p, rel=1e-6)


def test_a_run_that_never_gets_there_is_censored_at_its_end() -> None:
    found = time_to_target([([0, 5, 10], [0, 2, 3]), ([0, 5, 20], [0, 1, 1])], target=3)
    assert found.times.tolist() == [10, 20]
    assert found.reached.tolist() == [True, False]
    assert found.curve.reached.tolist() == [0.5, 0.5]


def test_the_first_step_counts_whatever_comes_after() -> None:
    found = time_to_target([([0, 10, 20, 30], [1.0, 5.0, 2.0, 6.0])], target=5)
    assert found.times.tolist() == [10]


def test_a_metric_that_falls_gets_there_from_above() -> None:
    gap = ([0, 10, 20], [1.0, 0.2, 0.1])
    assert time_to_target([gap], 0.2, direction="down").times.tolist() == [10]
    assert time_to_target([gap], 0.2).times.tolist() == [0]


def test_missing_values_neither_reach_the_target_nor_were_seen() -> None:
    run = ([0, 10, 20, 30, 40], [0.0, np.inf, np.nan, 1.0, np.nan])
    found = time_to_target([run], target=5)
    assert (found.times.tolist(), found.reached.tolist()) == ([30], [False])
    assert time_to_target([run], target=1).times.tolist() == [30]


def test_the_median_is_the_step_by_which_half_got_there() -> None:
    runs = [([0, at], [0, 1]) for at in (10, 20, 30, 40)]
    assert time_to_target(runs, 1).median == 20
    # One more that was lost at 15 counts until then: 1 - 4/5 * 2/3 = 7/15 by 20.
    assert time_to_target([*runs, ([0, 15], [0, 0])], 1).median == 30


@pytest.mark.parametrize("n", range(2, 40, 2))
def test_the_median_of_an_even_number_is_not_lost_to_rounding(n: int) -> None:
    runs = [([0, at], [0, 1]) for at in range(1, n + 1)]
    assert time_to_target(runs, 1).median == n / 2


def test_there_is_no_median_where_fewer_than_half_got_there() -> None:
    runs = [([0, 10], [0, 1]), ([0, 50], [0, 0]), ([0, 50], [0, 0])]
    found = time_to_target(runs, 1)
    assert found.median is None
    assert found.median_interval[1] is None


def test_five_runs_give_the_median_no_upper_limit() -> None:
    found = time_to_target([([0, at], [0, 1]) for at in range(1, 6)], 1)
    # The largest of five is below the median in 1 of 32 experiments, more than 2.5 %.
    assert found.median == 3
    assert found.median_interval == (1, None)


def test_a_narrower_band_gives_a_narrower_interval(placebo: TimeToTarget) -> None:
    runs = [([0, at], [0, 1]) for at in PLACEBO]
    low, high = time_to_target(runs, 1, confidence=0.5).median_interval
    assert (low, high) == (5, 8)
    assert placebo.median_interval == (4, 11)


def test_a_single_run_is_a_curve_of_one_step() -> None:
    found = time_to_target([([0, 10], [0.0, 1.0])], target=1)
    assert found.curve.reached.tolist() == [1]
    assert np.isnan(found.curve.low).all()
    assert (found.median, found.median_interval) == (10, (None, None))


def test_where_no_run_gets_there_there_is_nothing_to_tell_apart() -> None:
    never = time_to_target([([0, 10], [0.0, 0.0])] * 3, target=1)
    assert never.curve.reached.tolist() == [0]
    assert logrank(never, never) == (0.0, 1.0)


@pytest.mark.parametrize("n", range(1, 60))
def test_runs_that_all_get_there_at_once_tell_nothing_apart(n: int) -> None:
    at_once = time_to_target([([0, 10], [0.0, 1.0])] * n, target=1)
    assert logrank(at_once, at_once) == (0.0, 1.0)


@pytest.mark.parametrize("n", range(1, 60))
def test_runs_that_got_there_when_no_other_was_left_tell_nothing_apart(n: int) -> None:
    # What is expected of a is what it did but for rounding, and the variance is 0.
    alone = time_to_target([([0, 10], [0.0, 1.0]), *[([0, 20], [0.0, 0.0])] * n], target=1)
    lost = time_to_target([([0, 5], [0.0, 0.0])] * 3, target=1)
    assert logrank(alone, lost) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: time_to_target([], 1), "runs is empty"),
        (lambda: time_to_target([([0, 1], [0, 1])], np.nan), "target"),
        (lambda: time_to_target([([0], [0])], 1, direction="higher"), "direction"),  # type: ignore[arg-type]
        (lambda: time_to_target([([0], [0]), ([0, 1], [0])], 1), r"runs\[1\] has 2 steps"),
        (lambda: time_to_target([([0, np.nan], [0, 1])], 1), r"runs\[0\] has steps"),
        (lambda: time_to_target([([0, 1], [np.nan, np.nan])], 1), r"runs\[0\] has no finite"),
        (lambda: time_to_target([([0], [0])], 1, confidence=95), "confidence"),
        (lambda: kaplan_meier([], []), "times"),
        (lambda: kaplan_meier([np.inf], [True]), "times"),
        (lambda: kaplan_meier([1, 2], [True]), "reached"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object], why: str) -> None:
    with pytest.raises(BadArgument, match=why):
        call()
