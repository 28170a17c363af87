"""Comparing two algorithms, each statistic held against its peer."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from math import inf, isnan, pi, sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.nonparametric import rank_compare_2indep
from statsmodels.stats.power import TTestIndPower

from tarslab.errors import BadArgument
from tarslab.stats.comparison import compare, compare_all, holm, seeds_needed

# With few distinct values, so that ties and constant groups come up.
score = st.one_of(st.integers(-3, 3).map(float), st.floats(-500, 500).map(lambda x: round(x, 3)))
few_seeds = st.lists(score, min_size=2, max_size=5)

# Weights of automatic and manual cars, from R's ``mtcars``.
AUTOMATIC = [3.215, 3.44, 3.46, 3.57, 3.19, 3.15, 3.44, 3.44, 4.07, 3.73]
AUTOMATIC += [3.78, 5.25, 5.424, 5.345, 2.465, 3.52, 3.435, 3.84, 3.845]
MANUAL = [2.62, 2.875, 2.32, 2.2, 1.615, 1.835, 1.935, 2.14, 1.513, 3.17, 2.77, 3.57, 2.78]


def two_sided(observed: Fraction | float, of_all_deals: Sequence[Fraction | float]) -> float:
    """Twice the smaller tail, as far as it is a probability."""
    low = sum(value <= observed for value in of_all_deals)
    high = sum(value >= observed for value in of_all_deals)
    return min(1.0, 2 * min(low, high) / len(of_all_deals))


def every_deal(a: list[float], b: list[float]) -> list[tuple[list[Fraction], list[Fraction]]]:
    """The scores dealt out to two groups of the same sizes in all ways, the observed one first."""
    pooled = [Fraction(x) for x in [*a, *b]]
    deals = []
    for chosen in combinations(range(len(pooled)), len(a)):
        rest = [i for i in range(len(pooled)) if i not in chosen]
        deals.append(([pooled[i] for i in chosen], [pooled[i] for i in rest]))
    return deals


def signed_square_of_t(a: list[Fraction], b: list[Fraction]) -> Fraction | float:
    """Welch's t squared, with its sign, in rational arithmetic."""
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    error = sum((x - mean_a) ** 2 for x in a) / (len(a) * (len(a) - 1))
    error += sum((x - mean_b) ** 2 for x in b) / (len(b) * (len(b) - 1))
    sign = (mean_a > mean_b) - (mean_a < mean_b)
    if error == 0:
        return sign * inf if sign else Fraction(0)
    return sign * (mean_a - mean_b) ** 2 / error


def wins_of_a(a: list[Fraction], b: list[Fraction]) -> Fraction:
    wins = sum(x > y for x in a for y in b)
    return wins + Fraction(sum(x == y for x in a for y in b), 2)


@given(st.lists(score, min_size=2, max_size=7), st.lists(score, min_size=2, max_size=7))
@settings(max_examples=50, deadline=None)
def test_welch_equals_scipy(a: list[float], b: list[float]) -> None:
    # scipy warns of a constant group.
    assume(np.ptp(a) > 0)
    assume(np.ptp(b) > 0)
    found, peer = compare(a, b, confidence=0.9), stats.ttest_ind(a, b, equal_var=False)
    interval = peer.confidence_interval(0.9)
    assert found.welch_p == pytest.approx(peer.pvalue, rel=1e-9)
    assert found.mean_difference_interval == pytest.approx(
        (interval.low, interval.high), rel=1e-9, abs=1e-9
    )


@given(few_seeds, few_seeds)
@settings(max_examples=40, deadline=None)
def test_the_rank_and_permutation_tests_count_every_deal(a: list[float], b: list[float]) -> None:
    found, deals = compare(a, b), every_deal(a, b)
    ranks = two_sided(wins_of_a(*deals[0]), [wins_of_a(*deal) for deal in deals])
    t = two_sided(signed_square_of_t(*deals[0]), [signed_square_of_t(*deal) for deal in deals])
    assert found.mann_whitney_p == pytest.approx(ranks)
    assert found.permutation_p == pytest.approx(t)
    assert found.probability_a_higher == pytest.approx(
        float(wins_of_a(*deals[0])) / len(a) / len(b)
    )


def test_many_seeds_without_ties_take_the_exact_distribution_of_u() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=20), rng.normal(0.6, 1, size=25)
    assert compare(a, b).mann_whitney_p == stats.mannwhitneyu(a, b, method="exact").pvalue


def test_hundreds_of_tied_scores_take_the_normal_approximation() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 20, size=120), rng.integers(1, 22, size=130)
    peer = stats.mannwhitneyu(a, b, method="asymptotic").pvalue
    assert compare(a, b).mann_whitney_p == pytest.approx(peer)


def test_the_permutation_test_agrees_with_that_of_scipys_t_test() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=6), rng.normal(1, 3, size=7)
    every = stats.PermutationMethod(n_resamples=10_000)
    peer = stats.ttest_ind(a, b, equal_var=False, method=every)
    assert compare(a, b).permutation_p == pytest.approx(peer.pvalue)


def test_deals_that_differ_by_rounding_alone_are_ties() -> None:
    # The means are equal, as they are in many of the deals; in binary sums they differ by a bit.
    assert compare([0.3, 0.5], [0.2, 0.2, 0.6, 0.6]).permutation_p == 1


def test_drawn_permutations_repeat_with_their_seed_and_come_near_the_exact_answer() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(0.9, 1, size=9), rng.normal(size=9)
    every = stats.PermutationMethod(n_resamples=50_000)
    exact = stats.ttest_ind(a, b, equal_var=False, method=every).pvalue
    assert compare(a, b).permutation_p == compare(a, b, seed=0).permutation_p
    assert compare(a, b).permutation_p != compare(a, b, seed=np.random.default_rng(7)).permutation_p
    # Four standard errors of a share of 20,000 draws, doubled for both sides.
    assert compare(a, b).permutation_p == pytest.approx(exact, abs=8 * sqrt(exact / 2 / 20_000))


def test_a_large_common_offset_changes_no_test() -> None:
    a, b = np.array([1.0, 4, 2, 8, 5]), np.array([7.0, 1, 3, 9, 9])
    near, far = compare(a, b), compare(a + 2.0**40, b + 2.0**40)
    assert far.welch_p == pytest.approx(near.welch_p, rel=1e-12)
    assert far.permutation_p == near.permutation_p
    assert far.hedges_g == pytest.approx(near.hedges_g, rel=1e-12)


def test_the_interval_of_the_effect_equals_that_of_r() -> None:
    # effectsize::cohens_d(wt ~ am, data = mtcars, pooled_sd = FALSE), from that package's tests.
    found = compare(AUTOMATIC, MANUAL)
    assert found.hedges_g_interval == pytest.approx((1.075151, 2.772516), abs=1e-6)
    # Its d is 1.934; Hedges' approximation of the correction is 1 - 3 / (4 df - 1), df = 29.23.
    assert found.hedges_g == pytest.approx(1.9349 * (1 - 3 / (4 * 29.23 - 1)), abs=2e-4)


def test_hedges_g_of_five_seeds_by_hand() -> None:
    b = np.array([1.0, 2, 3, 4, 5])
    # Variances of 2.5 and 8 degrees of freedom: the correction is gamma(4) / 2 gamma(7 / 2).
    correction = 6 / (2 * 15 / 8 * sqrt(pi))
    assert compare(b + 3, b).hedges_g == pytest.approx(correction * 3 / sqrt(2.5), rel=1e-12)


@pytest.mark.parametrize(
    ("t", "limits"),
    # The quantiles of t * sqrt(chi2_8 / 8) - N(0, 1), by quadrature; for the last t the normal
    # part is lost, and those of chi2_8 are 2.17973 and 17.53455 in any table.
    [
        (500, (260.982309, 740.246649)),
        (600, (313.182157, 888.293370)),
        (1e7, (1e7 * sqrt(2.17973 / 8), 1e7 * sqrt(17.53455 / 8))),
    ],
)
def test_the_interval_of_an_enormous_effect(t: float, limits: tuple[float, float]) -> None:
    b = np.array([1.0, 2, 3, 4, 5])
    # The standard error of the difference is 1, so that the difference is t.
    found = np.array(compare(b + t, b).hedges_g_interval) * sqrt(2.5)
    np.testing.assert_allclose(found, limits, rtol=2e-4)


@given(few_seeds, few_seeds)
@settings(max_examples=60, deadline=None)
def test_all_of_welchs_figures_agree_whether_there_is_a_difference(
    a: list[float], b: list[float]
) -> None:
    found = compare(a, b)
    assume(abs(found.welch_p - 0.05) > 1e-6)
    for low, high in (found.mean_difference_interval, found.hedges_g_interval):
        assert (low <= 0 <= high) == (found.welch_p > 0.05)


@given(few_seeds, few_seeds)
@settings(max_examples=40, deadline=None)
def test_exchanging_the_algorithms_mirrors_every_figure(a: list[float], b: list[float]) -> None:
    forth, back = compare(a, b), compare(b, a)
    for test in ("welch_p", "mann_whitney_p", "permutation_p", "seeds_needed"):
        assert getattr(forth, test) == pytest.approx(getattr(back, test), nan_ok=True)
    mirror = [1 - limit for limit in reversed(back.probability_a_higher_interval)]
    assert forth.probability_a_higher_interval == pytest.approx(mirror, abs=1e-9)
    mirror = [-limit for limit in reversed(back.hedges_g_interval)]
    assert forth.hedges_g_interval == pytest.approx(mirror, nan_ok=True)
    assert forth.hedges_g == pytest.approx(-back.hedges_g, nan_ok=True)


@given(few_seeds, few_seeds)
@settings(max_examples=40, deadline=None)
def test_the_limits_of_the_probability_solve_newcombes_equation(
    a: list[float], b: list[float]
) -> None:
    found, m, n = compare(a, b), len(a), len(b)
    for p in found.probability_a_higher_interval:
        if p in (0, 1):
            assert p == found.probability_a_higher
            continue
        star = (m + n) / 2 - 1
        variance = p * (1 - p) * (1 + star * ((1 - p) / (2 - p) + p / (1 + p))) / (m * n)
        distance = abs(found.probability_a_higher - p)
        assert distance == pytest.approx(1.959964 * sqrt(variance), rel=1e-4)


def test_with_many_seeds_the_probabilitys_interval_nears_brunner_and_munzels() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(0.5, 1, size=300), rng.normal(size=400)
    peer = rank_compare_2indep(a, b).conf_int()
    assert compare(a, b).probability_a_higher_interval == pytest.approx(peer, abs=5e-3)


def test_groups_that_do_not_overlap_still_leave_the_probability_in_doubt() -> None:
    found = compare([5, 6, 7, 8, 9], [0, 1, 2, 3, 4])
    low, high = found.probability_a_higher_interval
    assert found.probability_a_higher == high == 1
    # By bisection of 1 - p = 1.95996^2 p (1 + 4 (1 - p) / (2 - p) + 4 p / (1 + p)) / 25.
    assert low == pytest.approx(0.6427, abs=1e-4)


@given(st.floats(0.05, 2.5), st.sampled_from([0.5, 0.8, 0.95]), st.sampled_from([0.01, 0.05, 0.1]))
@settings(max_examples=40, deadline=None)
def test_seeds_needed_equals_statsmodels_where_the_deviations_are_equal(
    effect: float, power: float, alpha: float
) -> None:
    sizes = TTestIndPower()
    found = seeds_needed(-3 * effect, 3, 3, power=power, alpha=alpha)
    assert found is not None
    assert sizes.power(effect, found, alpha) >= power
    assert found == 2 or sizes.power(effect, found - 1, alpha) < power


@pytest.mark.parametrize(("effect", "n"), [(0.2, 394), (0.5, 64), (0.8, 26)])
def test_seeds_needed_for_small_medium_and_large_effects(effect: float, n: int) -> None:
    # R: power.t.test(delta = effect, power = 0.8), rounded up; Cohen (1988) within one.
    assert seeds_needed(effect, 1, 1) == n


@pytest.mark.parametrize("effect", np.linspace(6, 30, 49))
def test_two_seeds_show_a_difference_of_many_deviations(effect: float) -> None:
    # The noncentral t with 2 degrees of freedom is above their 4.303 in 85 % or more.
    assert stats.nct.sf(4.303, 2, effect) > 0.8
    assert seeds_needed(effect, 1, 1) == 2


def test_seeds_needed_take_welchs_degrees_of_freedom_where_only_one_algorithm_varies() -> None:
    def power(n: int) -> float:
        limit = stats.t.ppf(0.975, n - 1)
        shift = 1.5 * sqrt(n)
        return float(stats.nct.sf(limit, n - 1, shift) + stats.nct.cdf(-limit, n - 1, shift))

    # Then it is the one-sample test of the one that varies.
    assert seeds_needed(3, 2, 0) == next(n for n in range(2, 100) if power(n) >= 0.8)


def test_the_power_found_is_the_share_of_experiments_that_succeed() -> None:
    rng, n = np.random.default_rng(9), seeds_needed(10, 4, 12)
    assert n is not None
    a, b = rng.normal(10, 4, size=(4000, n)), rng.normal(0, 12, size=(4000, n))
    found = np.mean(stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue < 0.05)
    # 0.8 at least, and what one seed more brings; four standard errors are 0.025.
    assert 0.775 < found < 0.86


def test_no_number_of_seeds_shows_a_difference_that_is_not_there() -> None:
    assert seeds_needed(0, 1, 1) is None
    assert seeds_needed(1e-4, 1, 1) is None
    assert seeds_needed(1e300, 1e-3, 1) == 2


def test_compare_asks_for_the_seeds_that_its_own_figures_need() -> None:
    found = compare([4.0, 5, 6, 7], [3.0, 4, 6, 7, 3], confidence=0.9)
    assert found.seeds_needed == seeds_needed(
        found.mean_difference, found.std_a, found.std_b, alpha=0.1
    )


def test_constant_scores_that_differ_leave_only_the_tests_without_a_spread() -> None:
    found = compare([500.0] * 5, [200.0] * 5)
    # Two of 252 deals set the groups apart.
    assert found.mann_whitney_p == found.permutation_p == pytest.approx(2 / 252)
    assert isnan(found.welch_p)
    assert isnan(found.hedges_g)
    assert isnan(found.mean_difference_interval.low)
    assert found.mean_difference == 300
    assert found.seeds_needed == 2


def test_constant_scores_that_agree_show_nothing() -> None:
    # Sums of 0.1 round, so that a mean may not be 0.1.
    found = compare([0.1] * 3, [0.1] * 6)
    assert found.mann_whitney_p == found.permutation_p == 1
    assert found.mean_difference == found.std_a == found.std_b == 0
    assert found.probability_a_higher == 0.5
    assert found.seeds_needed is None


def test_one_constant_group_is_judged_by_the_spread_of_the_other() -> None:
    found = compare([500.0] * 5, [480.0, 500, 455, 490, 470])
    peer = stats.ttest_1samp([480.0, 500, 455, 490, 470], 500)
    assert found.welch_p == pytest.approx(peer.pvalue)


def test_the_same_scores_twice_differ_by_nothing() -> None:
    scores = [3.0, 1.0, 4.0, 1.5, 9.0]
    found = compare(scores, scores)
    assert found.welch_p == found.mann_whitney_p == found.permutation_p == 1
    assert found.hedges_g == found.mean_difference == 0
    assert found.seeds_needed is None


def test_g_has_no_expectation_with_a_single_degree_of_freedom() -> None:
    found = compare([1.0, 1.0], [1.0, 2.0])
    assert isnan(found.hedges_g)
    assert found.hedges_g_interval.low < 0 < found.hedges_g_interval.high


@pytest.mark.parametrize(
    ("scores", "why"),
    [([1.0], "at least 2"), ([], "at least 2"), ([1.0, np.nan], "finite"), ([[1.0, 2.0]], "one")],
)
def test_scores_that_cannot_be_compared_are_refused(scores: list[float], why: str) -> None:
    with pytest.raises(BadArgument, match=f"^b .*{why}"):
        compare([1.0, 2.0], scores)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    with pytest.raises(BadArgument, match="confidence"):
        compare([1.0, 2.0], [1.0, 3.0], confidence=confidence)


@pytest.mark.parametrize("seed", [-1, "zero", 0.5])
def test_a_seed_that_starts_no_generator_is_refused(seed: object) -> None:
    with pytest.raises(BadArgument, match="seed"):
        compare([1.0, 2.0], [1.0, 3.0], seed=seed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"difference": inf, "std_a": 1, "std_b": 1}, "difference"),
        ({"difference": 1, "std_a": -1, "std_b": 1}, "std_a"),
        ({"difference": 1, "std_a": 1, "std_b": np.nan}, "std_b"),
        ({"difference": 1, "std_a": 1, "std_b": 1, "power": 80}, "power"),
        ({"difference": 1, "std_a": 1, "std_b": 1, "alpha": 0}, "alpha"),
    ],
)
def test_a_power_question_that_makes_no_sense_is_refused(
    arguments: dict[str, float], name: str
) -> None:
    with pytest.raises(BadArgument, match=name):
        seeds_needed(**arguments)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
# Each call of theirs collects all garbage, 0.1 s.
@settings(max_examples=15, deadline=None)
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    _, adjusted, *_ = multipletests(p_values, method="holm")
    np.testing.assert_allclose(holm(p_values), adjusted, rtol=1e-12)


def test_holm_by_hand() -> None:
    # 3 * 0.01, then 2 * 0.04, then 0.06, which may not be below the one before.
    assert holm([0.06, 0.01, 0.04]).tolist() == pytest.approx([0.08, 0.03, 0.08])


def test_a_test_without_an_answer_is_not_counted() -> None:
    np.testing.assert_allclose(holm([0.01, np.nan, 0.02]), [0.02, np.nan, 0.02])
    assert holm([]).size == 0


def test_holm_refuses_what_is_no_probability() -> None:
    with pytest.raises(BadArgument, match="p_values"):
        holm([0.5, 1.5])


def test_all_pairs_are_compared_and_their_tests_adjusted() -> None:
    rng = np.random.default_rng(10)
    scores = {name: rng.normal(i, 1, size=5) for i, name in enumerate(["ppo", "a2c", "dqn"])}
    found = compare_all(scores)
    assert list(found) == [("ppo", "a2c"), ("ppo", "dqn"), ("a2c", "dqn")]
    for (a, b), pair in found.items():
        alone = compare(scores[a], scores[b])
        assert (pair.welch_p, pair.permutation_p) == (alone.welch_p, alone.permutation_p)
        assert alone.welch_p_holm == alone.welch_p
    for test in ("welch_p", "mann_whitney_p", "permutation_p"):
        raw = [getattr(pair, test) for pair in found.values()]
        adjusted = [getattr(pair, f"{test}_holm") for pair in found.values()]
        assert adjusted == pytest.approx(holm(raw))


def test_an_algorithm_that_cannot_be_compared_is_named() -> None:
    with pytest.raises(BadArgument, match="'dqn'"):
        compare_all({"ppo": [1.0, 2.0], "dqn": [1.0]})
    with pytest.raises(BadArgument, match="two algorithms"):
        compare_all({"ppo": [1.0, 2.0]})
