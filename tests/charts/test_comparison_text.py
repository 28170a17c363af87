"""A comparison in words, every number of it checked by hand or against scipy."""

import numpy as np
import pytest
import scipy.stats

import tarslab as tl
from tarslab import stats
from tarslab.charts import comparison_table, comparison_text
from tarslab.errors import BadArgument
from tarslab.runs import Runs
from tarslab.runs.scores import final_scores

# Means 6 and 2, both with a standard deviation of 1: a standard error of sqrt(2 / 3) with 4
# degrees of freedom, t = 4.899.
APART = {"a": [5.0, 6, 7], "b": [1.0, 2, 3]}
# Differences too small for five runs: means 3.2 and 3.
CLOSE = {"a": [1.2, 2.2, 3.2, 4.2, 5.2], "b": [1.0, 2, 3, 4, 5]}


@pytest.fixture(scope="module")
def cartpole() -> Runs:
    return tl.load("bundled:cartpole")


def test_a_clear_difference_is_decided() -> None:
    scores = {"a": [16.0, 17, 18, 19, 20], "b": [1.0, 2, 3, 4, 5]}
    text = comparison_text(scores, "a", "b")
    # By hand: a standard deviation of sqrt(2.5) each, a standard error of 1, 8 degrees of freedom.
    assert "a scored 18 ± 1.58 and b 3 ± 1.58 (mean ± standard deviation of 5 runs each)" in text
    reach = scipy.stats.t.ppf(0.975, 8)
    assert f"a less b, is 15 (95 % confidence interval {15 - reach:.3g} to {15 + reach:.3g}" in text
    # All 25 pairs are won, as in 2 of C(10, 5) = 252 ways to deal the scores out.
    assert "a run of a scores above one of b with a probability of 1.00 (0.64 to 1.00" in text
    assert "Welch's t-test gives p < 0.001, the Mann-Whitney test gives p = 0.00794" in text
    assert "At the 5 % level Welch's t-test decides: a scores higher than b here." in text
    assert "does not decide" not in text
    assert "more)" not in text


def test_a_difference_that_is_not_decided_says_what_would() -> None:
    text = comparison_text(CLOSE, "a", "b")
    p = scipy.stats.ttest_ind(CLOSE["a"], CLOSE["b"], equal_var=False).pvalue
    reach = scipy.stats.t.ppf(0.975, 8)
    assert f"Welch's t-test gives p = {p:.3g}" in text
    assert "does not decide which of the two is better here" in text
    assert f"fit with any difference from −{reach - 0.2:.3g} to {0.2 + reach:.3g}" in text
    assert "no evidence that they are equal" in text
    needed = stats.seeds_needed(0.2, 2.5**0.5, 2.5**0.5)
    assert needed is not None
    assert f"{needed:,} runs of each in all ({needed - 5:,} more)" in text
    assert "no verdict on this one" in text


def test_the_order_of_the_two_turns_every_sign() -> None:
    text = comparison_text(APART, "b", "a")
    assert "b less a, is −4 (95 % confidence interval −6.27 to −1.73, Welch)" in text
    assert "Hedges' g −3.19" in text
    assert "a probability of 0.00 (0.00 to 0.50" in text
    assert "decides: a scores higher than b here" in text


def test_few_runs_bound_the_tests_of_ranks_from_below() -> None:
    # 2 of C(6, 3) = 20 ways.
    assert (
        "With 3 runs of each the Mann-Whitney and permutation tests cannot come below p = 0.1"
        in comparison_text(APART, "a", "b")
    )
    uneven = comparison_text({"a": [5.0, 6, 7], "b": [1.0, 2]}, "a", "b")
    # 2 of C(5, 2) = 10 ways.
    assert "With 3 and 2 runs of each" in uneven
    assert "cannot come below p = 0.2" in uneven


def test_identical_constant_scores_cannot_be_told_apart() -> None:
    text = comparison_text({"a": [500] * 5, "b": [500] * 4}, "a", "b")
    assert "a scored 500 ± 0 and b 500 ± 0" in text
    assert "nothing here tells them apart" in text
    assert "p =" not in text


def test_identical_scores_with_a_spread_are_not_decided() -> None:
    text = comparison_text({"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}, "a", "b")
    assert "a less b, is 0 (95 %" in text
    assert "Welch's t-test gives p = 1, the Mann-Whitney test gives p = 1" in text
    assert "does not decide" in text
    assert "No affordable number of runs would decide" in text


def test_scores_without_any_spread_are_judged_by_permutation() -> None:
    text = comparison_text({"a": [0.3] * 5, "b": [0.1] * 5}, "a", "b")
    assert "a scored 0.3 ± 0 and b 0.1 ± 0" in text
    assert "Neither shows any spread" in text
    assert "Welch's t-test gives" not in text
    assert "the permutation test decides: a scores higher" in text


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"a": [500.0], "b": [480.0]}, "(one run of each)"),
        ({"a": [500.0], "b": [470.0, 490.0]}, "of 1 and 2 runs)"),
    ],
)
def test_one_run_decides_nothing(scores: dict[str, list[float]], said: str) -> None:
    text = comparison_text(scores, "a", "b")
    assert said in text
    assert "The difference of 20 (a less b) comes without an interval and without a test" in text
    assert "nothing is decided" in text
    assert "p =" not in text


def test_the_test_that_decides_is_the_one_that_was_chosen(cartpole: Runs) -> None:
    scores = final_scores(cartpole)
    found = stats.compare(scores["ppo"][:, 0], scores["dqn"][:, 0])
    assert found.permutation_p < 0.05 < found.welch_p
    by_welch = comparison_text(scores, "ppo", "dqn")
    by_permutation = comparison_text(scores, "ppo", "dqn", test="permutation")
    assert "Welch's t-test does not decide" in by_welch
    assert "the permutation test decides: ppo scores higher" in by_permutation
    for text in (by_welch, by_permutation):
        assert "The tests do not agree" in text
        assert "All runs of ppo have one and the same score, as at a ceiling" in text


def test_what_was_scored_and_after_how_much_training_is_said(cartpole: Runs) -> None:
    shared = comparison_text(final_scores(cartpole), "ppo", "a2c")
    assert shared.startswith("On CartPole-v1, ppo scored 500 ± 0 and a2c ")
    assert "episode return, mean over the last 10 % of 50,169 steps of training" in shared
    own = comparison_text(final_scores(cartpole, budget="own", last=0.2), "ppo", "a2c")
    assert "mean over the last 20 % of training, 98,670 steps of ppo and 149,366 of a2c" in own
    assert "They did not train for as many steps" in own
    assert comparison_text(cartpole, "ppo", "a2c") == shared


def test_the_correction_is_over_all_pairs_that_can_be_tested(cartpole: Runs) -> None:
    scores = final_scores(cartpole)
    columns = {name: array[:, 0] for name, array in scores.items()}
    corrected = stats.compare_all(columns)["a2c", "ppo"].welch_p_holm
    assert (
        f"Corrected after Holm for all 3 pairs of algorithms, Welch's t-test gives p = "
        f"{corrected:.3g}" in comparison_text(scores, "ppo", "a2c")
    )
    with_one_run = {**columns, "sac": np.array([1.0])}
    assert "for all 3 pairs" in comparison_text(with_one_run, "ppo", "a2c")
    assert "Holm" not in comparison_text(APART, "a", "b")


def test_a_pair_that_only_stands_out_without_the_correction_says_so() -> None:
    rng = np.random.default_rng(3)
    others = {f"c{i}": rng.normal(0, 1, 5).tolist() for i in range(4)}
    text = comparison_text({**APART, **others}, "a", "b")
    found = stats.compare_all({**APART, **others})["a", "b"]
    assert found.welch_p < 0.05 < found.welch_p_holm
    assert "had the pair been picked after looking, nothing would be decided" in text


def test_several_tasks_are_averaged_a_run_and_have_an_iqm() -> None:
    rng = np.random.default_rng(0)
    scores = {"a": rng.normal(1, 0.1, (5, 6)), "b": rng.normal(0.5, 0.1, (4, 6))}
    text = comparison_text(scores, "a", "b", reps=500)
    mean = scores["a"].mean(axis=1)
    assert text.startswith(f"Over 6 tasks, a scored {mean.mean():.3g} ± {mean.std(ddof=1):.3g} and")
    middle = stats.bootstrap_ci(scores["a"], reps=500)
    limits = f"{middle.low:.3g} to {middle.high:.3g}"
    assert f"is {middle.estimate:.3g} for a (95 % stratified bootstrap interval {limits})" in text
    chance = stats.probability_of_improvement(scores["a"], scores["b"], reps=500)
    assert f"{chance.estimate:.2f} ({chance.low:.2f} to {chance.high:.2f}, stratified" in text


def test_numbers_read_well() -> None:
    text = comparison_text({"a": [-12345.6, -12300.1], "b": [0.00123, 0.00125]}, "a", "b")
    assert "a scored −12,323 ± 32.2 and b 0.00124 ± 1.41e−05" in text


def test_the_level_follows_the_confidence() -> None:
    text = comparison_text(APART, "a", "b", confidence=0.999)
    # p = 0.008 is not below 0.001.
    assert "At the 0.1 % level Welch's t-test does not decide" in text
    assert "99.9 % confidence interval" in text


def test_a_notebook_shows_a_paragraph() -> None:
    text = comparison_text({"a<b": [1, 2], "c": [3, 4]}, "a<b", "c")
    assert repr(text) == text
    assert text._repr_html_().startswith("<p>Here, a&lt;b scored")


def test_the_table_has_a_row_a_pair_with_the_numbers_of_stats(cartpole: Runs) -> None:
    scores = final_scores(cartpole)
    table = comparison_table(scores)
    found = stats.compare_all({name: array[:, 0] for name, array in scores.items()})
    assert list(zip(table["a"], table["b"], strict=True)) == list(found)
    for row, each in zip(table.to_dict("records"), found.values(), strict=True):
        assert row["welch_p_holm"] == each.welch_p_holm
        assert row["seeds_needed"] == each.seeds_needed
        limits = row["mean_difference_low"], row["mean_difference_high"]
        assert limits == each.mean_difference_interval


def test_a_pair_with_a_single_run_has_means_and_no_test() -> None:
    table = comparison_table({**APART, "c": [1.0]})
    assert list(zip(table["a"], table["b"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert table["mean_difference"].tolist() == [4, 5, 1]
    assert table["n_b"].tolist() == [3, 1, 1]
    assert table["welch_p"].isna().tolist() == [False, True, True]
    # One test, so that the correction leaves it as it is.
    assert table["welch_p_holm"].iloc[0] == table["welch_p"].iloc[0]
    singles = comparison_table({"a": [1.0], "b": [2.0]})
    assert list(singles) == list(table)
    assert singles["mean_difference"].tolist() == [-1]


def test_a_table_needs_two_algorithms() -> None:
    with pytest.raises(BadArgument, match="at least two algorithms, not a"):
        comparison_table({"a": [1.0, 2]})


@pytest.mark.parametrize(
    ("pair", "options", "why"),
    [
        (("a", "sac"), {}, "no scores of 'sac'; there are a, b"),
        (("a", "a"), {}, "a and b are both 'a'"),
        (("a", "b"), {"test": "t"}, "test must be one of welch, mann_whitney, permutation"),
        (("a", "b"), {"confidence": 95}, "confidence"),
    ],
)
def test_what_cannot_be_compared_says_why(
    pair: tuple[str, str], options: dict[str, object], why: str
) -> None:
    with pytest.raises(BadArgument, match=why):
        comparison_text(APART, *pair, **options)  # type: ignore[arg-type]
