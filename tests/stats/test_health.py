"""What goes wrong in a training, by synthetic series with one defect each, and by real runs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarslab.errors import BadArgument
from tarslab.stats import health
from tarslab.stats.health import Stretch

LN2 = math.log(2)
# The differential entropy of a unit Gaussian.
UNIT = 0.5 * math.log(2 * math.pi * math.e)

few_examples = settings(max_examples=60, deadline=None)
conditions = st.lists(st.booleans(), max_size=80).map(lambda flags: np.array(flags, bool))


def steps(n: int) -> np.ndarray:
    return np.arange(n) * 100


def covered(stretches: list[Stretch], at: np.ndarray) -> np.ndarray:
    inside = np.zeros(len(at), bool)
    for stretch in stretches:
        inside |= (at >= stretch.start) & (at <= stretch.end)
    return inside


def test_for_long_is_four_points_in_five_over_a_tenth_of_the_series() -> None:
    # By hand: of 100 points the window is ten, and eight of the points 20 to 29 hold.
    condition = np.zeros(100, bool)
    condition[[20, 21, 22, 23, 26, 27, 28, 29]] = True
    assert health.sustained(steps(100), condition) == [Stretch(2000, 2900)]
    condition[29] = False
    assert health.sustained(steps(100), condition) == []


def test_a_short_series_has_windows_of_five_points_and_none_below() -> None:
    assert health.sustained(steps(5), [True] * 5) == [Stretch(0, 400)]
    assert health.sustained(steps(5), [True, True, False, True, True]) == [Stretch(0, 400)]
    assert health.sustained(steps(4), [True] * 4) == []
    assert health.sustained([], []) == []


@few_examples
@given(conditions)
def test_stretches_are_the_union_of_full_windows(condition: np.ndarray) -> None:
    at = np.arange(len(condition))
    window = max(5, math.ceil(len(condition) / 10))
    expected = np.zeros(len(condition), bool)
    for start in range(len(condition) - window + 1):
        if condition[start : start + window].sum() >= 0.8 * window:
            expected[start : start + window] = True
    found = covered(health.sustained(at, condition), at)
    # The same but for points at the ends that do not meet the condition.
    assert not np.any(found & ~expected)
    assert np.array_equal(found & condition, expected & condition)


@few_examples
@given(conditions)
def test_stretches_are_in_order_and_begin_and_end_where_the_condition_holds(
    condition: np.ndarray,
) -> None:
    found = health.sustained(np.arange(len(condition)), condition)
    assert all(condition[stretch.start] and condition[stretch.end] for stretch in found)
    bounds = [step for stretch in found for step in stretch]
    assert bounds == sorted(bounds)


@few_examples
@given(conditions, st.data())
def test_a_point_more_that_meets_the_condition_takes_no_stretch_away(
    condition: np.ndarray, data: st.DataObject
) -> None:
    more = condition.copy()
    if len(more):
        more[data.draw(st.integers(0, len(more) - 1))] = True
    at = np.arange(len(condition))
    before, after = (covered(health.sustained(at, flags), at) for flags in (condition, more))
    assert np.all(after | ~before)


def test_a_choice_has_collapsed_at_a_hundredth_of_where_it_began() -> None:
    entropy = np.concatenate([np.linspace(1.79, 0.5, 50), np.full(50, 0.01)])
    # The first three points are 1.79, 1.764, 1.737.
    assert health.collapse_level(entropy) == pytest.approx(0.01 * 1.764, abs=1e-4)
    assert health.entropy_collapse(steps(100), entropy) == [Stretch(5000, 9900)]


def test_a_policy_that_explores_as_tuned_ones_do_has_not_collapsed() -> None:
    # PPO on Acrobot ends at 4 to 9 % of ln 3.
    assert health.entropy_collapse(steps(100), np.linspace(1.0986, 0.044, 100)) == []


def test_a_policy_that_never_explored_has_collapsed_too() -> None:
    assert health.collapse_level(np.full(20, 1e-9)) == pytest.approx(0.01 * LN2)
    assert health.entropy_collapse(steps(20), np.full(20, 1e-9)) == [Stretch(0, 1900)]


def test_an_entropy_that_recovers_was_collapsed_until_then() -> None:
    entropy = np.full(100, 0.6)
    entropy[30:60] = 0.0
    assert health.entropy_collapse(steps(100), entropy) == [Stretch(3000, 5900)]
    entropy[33:60] = 0.6
    assert health.entropy_collapse(steps(100), entropy) == []


@pytest.mark.parametrize("dimensions", [1, 6, 17])
def test_a_differential_entropy_is_not_measured_by_its_share(dimensions: int) -> None:
    # Standard deviations of 1 down to 0.1 and to 0.03, in every dimension.
    tuned = dimensions * (UNIT + np.linspace(0, math.log(0.1), 400))
    lost = dimensions * (UNIT + np.linspace(0, math.log(0.03), 400))
    assert health.entropy_collapse(steps(400), tuned) == []
    # It is at 5 % where ln 0.05 / ln 0.03 = 85.4 % of the way is gone, and a point after, since
    # the median of the first three is its beginning.
    assert health.entropy_collapse(steps(400), lost) == [Stretch(34200, 39900)]


def test_of_a_differential_entropy_from_an_unknown_beginning_nothing_is_said() -> None:
    # Two dimensions with standard deviations of 0.04 at first, as of log_std_init=-3.29.
    entropy = 2 * (UNIT - 3.29) - np.linspace(0, 9, 100)
    assert math.isnan(health.collapse_level(entropy))
    assert health.entropy_collapse(steps(100), entropy) == []
    # Uniform on [0, 1], as of a Beta distribution.
    assert math.isnan(health.collapse_level([0.0, 0.0, 0.0, -1.0]))
    assert math.isnan(health.collapse_level([np.nan, np.nan]))


def test_a_standard_deviation_has_collapsed_at_a_twentieth_of_where_it_began() -> None:
    std = np.geomspace(0.8, 0.02, 101)
    # A factor of 20 of the whole 40: ln 20 / ln 40 = 81 % of the way; the first three have a
    # median of 0.771, another 1 %.
    assert health.std_collapse(steps(101), std) == [Stretch(8300, 10000)]
    assert health.std_collapse(steps(101), np.full(101, 0.04)) == []
    assert health.std_collapse(steps(3), [np.nan] * 3) == []


def test_clipping_counts_above_a_half_for_long() -> None:
    clip_fraction = np.full(100, 0.3)
    clip_fraction[10] = 0.9
    assert health.heavy_clipping(steps(100), clip_fraction) == []
    clip_fraction[40:60] = 0.7
    clip_fraction[50] = 0.4
    assert health.heavy_clipping(steps(100), clip_fraction) == [Stretch(4000, 5900)]


def test_an_explained_variance_below_zero_counts_where_returns_vary() -> None:
    explained = np.full(100, 0.8)
    explained[60:] = -2.0
    loss = np.full(100, 3.0)
    assert health.unexplained(steps(100), explained, loss) == [Stretch(6000, 9900)]
    # Solved: every return is the same, and so are the predictions but for rounding.
    loss[60:] = 1e-6
    assert health.unexplained(steps(100), explained, loss) == []
    assert health.unexplained(steps(100), explained) == [Stretch(6000, 9900)]
    loss[60:] = np.nan
    assert health.unexplained(steps(100), explained, loss) == [Stretch(6000, 9900)]


@few_examples
@given(st.floats(1e-6, 1e6))
def test_the_scale_of_the_value_loss_does_not_matter(scale: float) -> None:
    rng = np.random.default_rng(3)
    explained, loss = rng.normal(-0.5, 0.5, 60), rng.exponential(size=60)
    expected = health.unexplained(steps(60), explained, loss)
    assert expected
    assert health.unexplained(steps(60), explained, scale * loss) == expected


def test_explained_variances_around_zero_do_not_count() -> None:
    explained = np.random.default_rng(0).normal(0, 0.01, 200)
    assert health.unexplained(steps(200), explained) == []


def test_values_that_are_not_finite_are_found_be_it_one() -> None:
    values = np.ones(100)
    values[40], values[90:] = np.inf, np.nan
    assert health.non_finite(steps(100), values) == [Stretch(4000, 4000), Stretch(9000, 9900)]


def test_nan_before_the_first_value_is_no_finding_but_infinity_is() -> None:
    assert health.non_finite(steps(4), [np.nan, np.nan, 1.0, 2.0]) == []
    assert health.non_finite(steps(4), [np.nan, -np.inf, 1.0, 2.0]) == [Stretch(100, 100)]
    assert health.non_finite(steps(2), [np.nan, np.nan]) == [Stretch(0, 100)]
    assert health.non_finite([], []) == []


def test_points_that_are_not_finite_close_together_are_one_stretch() -> None:
    values = np.ones(100)
    values[10:20:2] = np.nan
    assert health.non_finite(steps(100), values) == [Stretch(1000, 1800)]


def test_steps_of_two_passes_are_seen_by_the_clock() -> None:
    # Steps 0 to 9 at seconds 0 to 90; resumed an hour later from step 4 to 12, as restarts="all"
    # sorts them.
    step = np.concatenate([np.arange(10), np.arange(4, 13)])
    time = np.concatenate([np.arange(10) * 10.0, 3600 + np.arange(9) * 10.0])
    order = np.argsort(step, kind="stable")
    assert health.trained_twice(step[order], time[order]) == [Stretch(4, 9)]
    once = np.unique(step, return_index=True)[1]
    assert health.trained_twice(step[once], time[once]) == []


@few_examples
@given(st.lists(st.integers(0, 50), max_size=40))
def test_what_was_trained_twice_is_what_stands_in_the_wrong_order(seconds: list[int]) -> None:
    times = np.array(seconds, float)
    found = covered(health.trained_twice(np.arange(len(times)), times), np.arange(len(times)))
    expected = [
        any(times[:i] > times[i] + 1) or any(times[i + 1 :] < times[i] - 1)
        for i in range(len(times))
    ]
    assert found.tolist() == expected


def test_a_clock_set_back_by_less_than_a_second_is_no_second_pass() -> None:
    assert health.trained_twice([0, 1, 2, 3], [0.0, 10.0, 9.5, 20.0]) == []
    assert health.trained_twice([0, 1], [np.nan, np.nan]) == []


def test_a_pause_is_far_longer_than_other_gaps() -> None:
    seconds = np.arange(100) * 10.0
    seconds[60:] += 7200
    assert health.pauses(steps(100), seconds) == [(5900, 6000, 7210.0)]
    # An evaluation of a minute every tenth point is no pause.
    regular = np.arange(100) * 10.0 + 60 * (np.arange(100) // 10)
    assert health.pauses(steps(100), regular) == []
    # Nor is half a second in a training of two.
    quick = np.arange(100) * 0.02 + 0.5 * (np.arange(100) > 50)
    assert health.pauses(steps(100), quick) == []
    assert health.pauses(steps(5), [0, 1, 2, 3, 9000]) == []


def test_series_of_different_lengths_are_refused() -> None:
    with pytest.raises(BadArgument, match="step has 3 points and entropy has 2"):
        health.entropy_collapse([1, 2, 3], [1.0, 2.0])
    with pytest.raises(BadArgument, match="step has 2 points and value_loss has 1"):
        health.unexplained([1, 2], [0.5, 0.5], [1.0])
