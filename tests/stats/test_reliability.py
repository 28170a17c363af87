"""Performance profiles and the probability of improvement.

What rliable 1.2.0 (arch 7.2.0, numpy 1.26.4, pandas 2.3.3) gave for ``score_table`` at 50,000
replications after ``numpy.random.seed(0)`` is recorded here.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from tarslab.errors import BadArgument
from tarslab.stats.bootstrap import bootstrap_ci
from tarslab.stats.reliability import performance_profile, probability_of_improvement

Scores = np.ndarray[Any, np.dtype[np.float64]]

TAU = [0, 0.25, 0.5, 1, 2, 3]

few_values = st.integers(0, 6).map(float)


@st.composite
def pairs_of_tables(draw: st.DrawFn) -> tuple[Scores, Scores]:
    tasks = draw(st.integers(1, 4))
    x, y = (
        draw(arrays(float, (draw(st.integers(2, 8)), tasks), elements=few_values)) for _ in "xy"
    )
    return x, y


def score_table(runs: int, tasks: int, shift: int = 0) -> Scores:
    """Skewed scores between 0 and 4 in plain arithmetic, the same everywhere."""
    i, t = np.ogrid[:runs, :tasks]
    table: Scores = ((37 * i * i + 11 * t * i + 29 * t + shift) % 101 / 50) ** 2
    return table


@settings(deadline=None)
@given(pairs_of_tables())
def test_probability_of_improvement_is_mann_whitneys_u_over_its_pairs(
    tables: tuple[Scores, Scores],
) -> None:
    x, y = tables
    u = stats.mannwhitneyu(x, y, alternative="greater", method="asymptotic", axis=0).statistic
    found = probability_of_improvement(x, y, reps=1)
    assert found.estimate == pytest.approx(np.mean(u / (len(x) * len(y))), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(pairs_of_tables())
def test_improvement_over_oneself_mirrors(tables: tuple[Scores, Scores]) -> None:
    x, y = tables
    forth, back = probability_of_improvement(x, y), probability_of_improvement(y, x)
    assert forth.estimate + back.estimate == pytest.approx(1, abs=1e-12)
    assert forth.low <= forth.high
    assert probability_of_improvement(x, x).estimate == pytest.approx(0.5, abs=1e-12)


def test_probability_of_improvement_as_rliable() -> None:
    found = probability_of_improvement(score_table(10, 5), score_table(7, 5, 13), reps=50_000)
    assert found.estimate == pytest.approx(0.51285714285714, rel=1e-12)
    # Replications come in steps of 1/350.
    assert found.low == pytest.approx(0.39, abs=2 / 350)
    assert found.high == pytest.approx(0.6357142857142858, abs=2 / 350)


def test_the_interval_of_one_task_spreads_as_a_two_sample_bootstrap_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.5, 1, 20), rng.normal(0, 1, 15)

    def probability(x: Scores, y: Scores, axis: int) -> Any:
        return (x[..., :, np.newaxis] > y[..., np.newaxis, :]).mean(axis=(-1, -2))

    peer = stats.bootstrap(
        (x, y), probability, n_resamples=20_000, method="percentile", batch=2_000, rng=rng
    ).confidence_interval
    found = probability_of_improvement(x, y, reps=20_000)
    # Five standard errors of a difference of two quantiles: see tests/stats/test_bootstrap.py.
    tolerance = 0.035 * (peer.high - peer.low)
    assert found.low == pytest.approx(peer.low, abs=tolerance)
    assert found.high == pytest.approx(peer.high, abs=tolerance)


@pytest.mark.parametrize(
    ("kind", "profile", "low", "high"),
    [
        (
            "score",
            [0.96, 0.68, 0.62, 0.48, 0.34, 0.22],
            [0.9, 0.56, 0.48, 0.34, 0.22, 0.12],
            [1.0, 0.8, 0.74, 0.62, 0.46, 0.34],
        ),
        (
            "average_score",
            [1.0, 1.0, 1.0, 0.8, 0.2, 0.0],
            [1.0, 1.0, 0.8, 0.4, 0.0, 0.0],
            [1.0, 1.0, 1.0, 1.0, 0.4, 0.0],
        ),
    ],
)
def test_performance_profile_as_rliable(
    kind: Any, profile: list[float], low: list[float], high: list[float]
) -> None:
    found = performance_profile(score_table(10, 5), TAU, kind=kind, reps=50_000)
    # Replications come in steps of 1/50 and 1/5, so that the quantiles are the same numbers.
    np.testing.assert_allclose(found, [profile, low, high], rtol=1e-12, atol=1e-15)


@settings(max_examples=25, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=few_values),
    st.sampled_from(["score", "average_score"]),
    st.integers(0, 2**40),
)
def test_profiles_equal_the_same_draws_in_plain_numpy(scores: Scores, kind: Any, seed: int) -> None:
    def plain(table: Scores) -> list[float]:
        # rliable 1.2.0, library.py: run_score_deviation and mean_score_deviation.
        counted = table if kind == "score" else table.mean(axis=0)
        return [float(np.mean(counted > tau)) for tau in TAU]

    found = performance_profile(scores, TAU, kind=kind, reps=60, seed=seed)
    expected = bootstrap_ci(scores, plain, reps=60, seed=seed)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", ["score", "average_score"])
def test_profiles_fall_from_all_to_none(kind: Any) -> None:
    found = performance_profile(score_table(10, 5), [-np.inf, 0.5, 1, 2, np.inf], kind=kind)
    assert np.all(np.diff(found.estimate) <= 0)
    assert [bound[0] for bound in found] == [1, 1, 1]
    assert [bound[-1] for bound in found] == [0, 0, 0]
    assert np.all((found.low <= found.estimate) & (found.estimate <= found.high))


def test_the_same_seed_gives_the_same_bits() -> None:
    x, y = score_table(10, 5), score_table(7, 5, 13)
    first, again, other = (probability_of_improvement(x, y, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_one_run_has_a_profile_and_no_known_interval() -> None:
    found = performance_profile([[0.2, 0.9]], [0.5])
    assert found.estimate.tolist() == [0.5]
    assert np.isnan([found.low, found.high]).all()


def test_one_run_against_many_has_no_known_interval() -> None:
    found = probability_of_improvement([2.0], [1.0, 2.0, 3.0, 4.0])
    # By hand: one win and one tie of four pairs.
    assert found.estimate == 1.5 / 4
    assert np.isnan([found.low, found.high]).all()


def test_unequal_tasks_are_refused() -> None:
    with pytest.raises(BadArgument, match="not 3 and 2"):
        probability_of_improvement(np.zeros((4, 3)), np.zeros((4, 2)))


def test_curves_are_refused_where_one_checkpoint_is_asked_for() -> None:
    with pytest.raises(BadArgument, match="scores_y must have the shape"):
        probability_of_improvement(np.zeros((4, 3)), np.zeros((4, 3, 2)))


@pytest.mark.parametrize("tau", [[], [np.nan], 0.5, ["x"]])
def test_thresholds_that_are_no_list_of_numbers_are_refused(tau: Any) -> None:
    with pytest.raises(BadArgument, match="tau"):
        performance_profile([1.0, 2.0], tau)


def test_a_kind_of_profile_there_is_none_of_is_refused() -> None:
    with pytest.raises(BadArgument, match="average_score"):
        performance_profile([1.0, 2.0], TAU, kind="median")  # type: ignore[arg-type]
