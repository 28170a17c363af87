"""From runs to arrays: scores, curves and times to a target."""

from collections.abc import Callable

import numpy as np
import pytest

import tarslab as tl
from tarslab.errors import BadArgument, LogWarning, NotLogged
from tarslab.runs import Run, Runs, Series
from tarslab.runs.scores import final_scores, learning_curves, times_to_target


def run(
    name: str,
    steps: object,
    values: object,
    env: str | None = "A",
    seed: int | None = None,
    algo: str | None = None,
) -> Run:
    series = {"reward": Series.of(steps, np.zeros(len(steps)), values)}  # type: ignore[arg-type]
    return Run(name, series, algo=algo or name.split("_")[0], env=env, seed=seed)


@pytest.fixture(scope="module")
def cartpole() -> Runs:
    return tl.load("bundled:cartpole")


@pytest.fixture
def two_tasks() -> Runs:
    """Two seeds of ppo on A (values 0 to 10) and on B (0 to 1000); the last value is the score."""
    ends = {("A", 0): 4.0, ("A", 1): 6.0, ("B", 0): 250.0, ("B", 1): 750.0}
    return Runs.of(
        [
            run(f"ppo_{env}{seed}", [1, 10], [0.0, end], env, seed)
            for (env, seed), end in ends.items()
        ]
    )


def test_a_score_is_the_mean_of_the_last_tenth_of_the_training() -> None:
    scores = final_scores(Runs.of([run("ppo", np.arange(1, 101), np.arange(1.0, 101.0))]))
    # Steps 91 to 100: the mean of 91, ..., 100.
    assert scores["ppo"].tolist() == [[95.5]]
    assert scores.steps("ppo") == (100,)
    assert final_scores(Runs.of([run("ppo", [1, 2], [3, 5])]), last=1)["ppo"].tolist() == [[4]]


def test_scores_of_the_bundled_runs_are_means_of_their_last_episodes(cartpole: Runs) -> None:
    scores = final_scores(cartpole, budget="own")
    assert {name: array.shape for name, array in scores.items()} == {
        "a2c": (5, 1),
        "dqn": (5, 1),
        "ppo": (5, 1),
    }
    furthest = max(series.step[-1] for name, series in cartpole.series("reward") if "dqn" in name)
    series = dict(cartpole.series("reward"))["dqn/seed_3"]
    by_hand = series.value[series.step > 0.9 * furthest].mean()
    assert scores["dqn"][3, 0] == by_hand
    row = scores.table[scores.table["run"] == "dqn/seed_3"].iloc[0]
    assert (row["score"], row["seed"], row["steps"]) == (by_hand, 3, furthest)
    assert not scores.normalised


def test_a_shared_budget_ends_where_the_shortest_trained_algorithm_does() -> None:
    long = run("long", [10, 20, 30, 40], [1, 2, 3, 4])
    short = run("short", [10, 20], [5, 6])
    runs = Runs.of([long, short])
    shared = final_scores(runs)
    assert {name: array.item() for name, array in shared.items()} == {"long": 2, "short": 6}
    assert (shared.steps("long"), shared.steps("short")) == ((20,), (20,))
    own = final_scores(runs, budget="own")
    assert own["long"].item() == 4
    # A number of steps is the most that counts: what is shorter stays as it is.
    at_30 = final_scores(runs, budget=30)
    assert {name: array.item() for name, array in at_30.items()} == {"long": 3, "short": 6}
    assert at_30.steps("short") == (20,)


def test_bounds_put_the_tasks_on_one_scale(two_tasks: Runs) -> None:
    scores = final_scores(two_tasks, bounds={"A": (2, 10), "B": (0, 1000), "C": (0, 1)})
    assert scores.tasks == ("A", "B")
    # (4 - 2) / 8 and 250 / 1000 for the first seed, (6 - 2) / 8 and 750 / 1000 for the second.
    assert scores["ppo"].tolist() == [[0.25, 0.25], [0.5, 0.75]]
    assert scores.normalised


def test_bounds_turn_round_what_is_better_when_lower(make_runs: Callable[..., Runs]) -> None:
    scores = final_scores(make_runs(ppo=[2.0]), bounds={"Test-v0": (10, 0)})
    assert scores["ppo"].item() == 0.8


def test_several_tasks_without_bounds_are_refused_with_the_mend(two_tasks: Runs) -> None:
    with pytest.raises(BadArgument, match=r"bounds are needed to average over 2 environments.*'B'"):
        final_scores(two_tasks)
    with pytest.raises(BadArgument, match="bounds name no values for B"):
        final_scores(two_tasks, bounds={"A": (0, 1)})
    with pytest.raises(BadArgument, match=r"bounds\['A'\] must be two different numbers"):
        final_scores(two_tasks, bounds={"A": (1, 1), "B": (0, 1)})
    with pytest.raises(BadArgument, match=r"bounds\['A'\] must be two different numbers"):
        final_scores(two_tasks, bounds={"A": [1], "B": (0, 1)})


def test_algorithms_may_have_different_numbers_of_runs() -> None:
    runs = Runs.of([run("ppo_0", [1], [1]), run("ppo_1", [1], [2]), run("dqn_0", [1], [3])])
    scores = final_scores(runs)
    assert {name: array.shape for name, array in scores.items()} == {"ppo": (2, 1), "dqn": (1, 1)}


def test_tasks_of_unequal_numbers_of_runs_are_refused_and_no_run_is_picked(two_tasks: Runs) -> None:
    extra = run("ppo_A2", [1, 10], [0, 5], "A", 2)
    uneven = Runs.of(
        [
            *(run(f"ppo_{env}{s}", [1, 10], [0, 5], env, s) for env in "AB" for s in (0, 1)),
            extra,
        ]
    )
    bounds = {"A": (0, 10), "B": (0, 10)}
    with pytest.raises(
        BadArgument,
        match=r"ppo has not as many runs for each environment \(3 of A, 2 of B\): .*seed=\[0, 1\]",
    ):
        final_scores(uneven, bounds=bounds)
    # The mend that the message names works.
    assert final_scores(uneven.select(seed=[0, 1]), bounds=bounds)["ppo"].shape == (2, 2)


def test_uneven_runs_of_unknown_seeds_have_no_seeds_to_keep() -> None:
    runs = Runs.of(
        [run("p_0", [1], [1], "A"), run("p_1", [1], [1], "A"), run("p_2", [1], [1], "B")]
    )
    with pytest.raises(BadArgument, match=r"leave runs out with runs.select$"):
        final_scores(runs, bounds={"A": (0, 1), "B": (0, 1)})


def test_an_algorithm_that_lacks_a_task_is_refused() -> None:
    runs = Runs.of([run("ppo_A", [1], [1], "A"), run("ppo_B", [1], [1], "B"), run("dqn", [1], [1])])
    with pytest.raises(BadArgument, match=r"dqn has no run of B: .*runs.select\(env="):
        final_scores(runs, bounds={"A": (0, 1), "B": (0, 1)})


def test_a_run_that_broke_off_is_neither_scored_early_nor_left_out_silently() -> None:
    runs = Runs.of([run("ppo_0", [50, 100], [1, 2]), run("ppo_1", [30], [1])])
    with pytest.raises(BadArgument, match=r"ppo_1 has no reward from step 90 to 100.* at 30:"):
        final_scores(runs)
    # With what the message offers: a budget that every run has.
    assert final_scores(runs, budget=50, last=0.5)["ppo"].tolist() == [[1], [1]]


def test_a_run_that_diverged_is_for_the_user_to_judge() -> None:
    runs = Runs.of([run("ppo_0", [50, 100], [1, np.nan])])
    with pytest.raises(BadArgument, match="ppo_0 has a reward that is not finite from step 90"):
        final_scores(runs)


def test_runs_of_unknown_algorithm_are_not_compared() -> None:
    known, unknown = run("ppo", [1], [1]), Run("x", {"reward": Series.of([1], [0], [1])}, env="A")
    with pytest.raises(BadArgument, match="the algo of x is not known"):
        final_scores(Runs.of([known, unknown]))
    assert set(final_scores(Runs.of([known, unknown]), by="run")) == {"ppo", "x"}


def test_a_run_without_the_metric_is_left_out_with_a_word() -> None:
    silent = Run("ppo_1", {"td_loss": Series.of([1], [0], [1])}, algo="ppo", env="A")
    with pytest.warns(LogWarning, match="ppo_1: no reward, left out"):
        scores = final_scores(Runs.of([run("ppo_0", [1], [1]), silent]))
    assert scores["ppo"].shape == (1, 1)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"last": 0}, "last must be above 0"),
        ({"last": 1.5}, "last must be above 0"),
        ({"budget": "all"}, 'budget must be "shared", "own" or'),
        ({"budget": 0}, "budget must be"),
        ({"by": "algorithm"}, "by must be a column of runs.table, not 'algorithm': run, algo"),
    ],
)
def test_arguments_out_of_range_say_what_there_is(
    make_runs: Callable[..., Runs], options: dict[str, object], why: str
) -> None:
    with pytest.raises(BadArgument, match=why):
        final_scores(make_runs(ppo=[1.0]), **options)  # type: ignore[arg-type]


def test_an_unknown_metric_lists_those_there_are(cartpole: Runs) -> None:
    for function in (final_scores, learning_curves):
        with pytest.raises(NotLogged, match="there are reward"):
            function(cartpole, metric="nash_gap")


def test_curves_are_on_the_logged_steps_where_these_are_few() -> None:
    runs = Runs.of([run("ppo_0", [10, 20, 30], [1, 2, 3]), run("ppo_1", [10, 20, 30], [3, 4, 5])])
    curves = learning_curves(runs, window=1)
    assert curves["ppo"].tolist() == [[[1, 2, 3]], [[3, 4, 5]]]
    assert curves.steps["ppo"].tolist() == [10, 20, 30]


def test_curves_are_interpolated_and_never_extrapolated() -> None:
    # The values equal the steps, of which 2 to 98 are those that both have.
    fine, coarse = np.arange(101), np.arange(2, 99, 3)
    runs = Runs.of([run("ppo_0", fine, fine), run("ppo_1", coarse, coarse)])
    curves = learning_curves(runs, window=1, checkpoints=4)
    assert curves.steps["ppo"].tolist() == [2, 34, 66, 98]
    np.testing.assert_allclose(curves["ppo"][:, 0], [[2, 34, 66, 98]] * 2)


def test_every_algorithm_has_its_own_part_of_one_grid(cartpole: Runs) -> None:
    curves = learning_curves(cartpole)
    longest = curves.steps["a2c"]
    assert len(longest) <= 100
    for name, steps in curves.steps.items():
        ends = [s.step[-1] for run, s in cartpole.series("reward") if run.startswith(name)]
        starts = [s.step[0] for run, s in cartpole.series("reward") if run.startswith(name)]
        assert steps[0] >= max(starts)
        assert steps[-1] <= min(ends)
        assert steps.tolist() == longest[: len(steps)].tolist()
        assert curves[name].shape == (5, 1, len(steps))
        assert np.isfinite(curves[name]).all()


def test_curves_are_the_rolling_mean_of_the_full_series(cartpole: Runs) -> None:
    curves = learning_curves(cartpole, window=25)
    series = dict(cartpole.series("reward"))["ppo/seed_2"]
    mean, _ = tl.stats.rolling_mean_std(series.value, 25)
    by_hand = np.interp(curves.steps["ppo"], series.step, mean)
    np.testing.assert_allclose(curves["ppo"][2, 0], by_hand)


def test_a_run_that_broke_off_ends_the_curve_with_a_word() -> None:
    runs = Runs.of([run("ppo_0", [10, 20, 30, 40], [1] * 4), run("ppo_1", [10, 20], [1, 1])])
    with pytest.warns(LogWarning, match=r"ppo ends at step 20 of 40.*ppo_1 ends at 20"):
        curves = learning_curves(runs)
    assert curves.steps["ppo"].tolist() == [10, 20]


def test_a_curve_stops_at_a_gap_instead_of_bridging_it() -> None:
    with pytest.warns(LogWarning, match="the curve of ppo ends at step 20 of 50"):
        curves = learning_curves(
            Runs.of([run("ppo", [10, 20, 30, 40, 50], [1, 2, np.nan, 4, 5])]), window=1
        )
    assert curves["ppo"].tolist() == [[[1, 2]]]


def test_runs_without_a_step_in_common_have_no_curve() -> None:
    runs = Runs.of([run("ppo_0", [1, 2], [1, 1]), run("ppo_1", [5, 6], [1, 1])])
    with pytest.raises(BadArgument, match="the 2 runs of ppo have none of 4 checkpoints in common"):
        learning_curves(runs)
    with pytest.raises(BadArgument, match="checkpoints must be at least 2"):
        learning_curves(runs, checkpoints=1)


def test_curves_of_several_tasks_are_on_one_scale(two_tasks: Runs) -> None:
    curves = learning_curves(two_tasks, window=1, bounds={"A": (0, 10), "B": (0, 1000)})
    np.testing.assert_allclose(curves["ppo"][:, :, -1], [[0.4, 0.25], [0.6, 0.75]])


def test_times_to_a_target_are_those_of_the_smoothed_curves(cartpole: Runs) -> None:
    found = times_to_target(cartpole, 475, window=10)
    for name, times in found.items():
        pairs = [s for run, s in cartpole.series("reward") if run.startswith(name)]
        for series, time, reached in zip(pairs, times.times, times.reached, strict=True):
            mean = np.convolve(series.value, np.full(10, 0.1), mode="valid")
            there = np.flatnonzero(mean >= 475 - 1e-9)
            assert reached == bool(len(there))
            assert time == (series.step[9 + there[0]] if reached else series.step[-1])


def test_a_first_lucky_episode_does_not_count_as_a_mean_of_ten() -> None:
    runs = Runs.of([run("ppo", np.arange(20), [9.0] + [0.0] * 19)])
    assert times_to_target(runs, 5)["ppo"].reached.tolist() == [False]
    assert times_to_target(runs, 5, window=1)["ppo"].times.tolist() == [0]
    with pytest.raises(BadArgument, match="ppo has 20 finite values, fewer than window=50"):
        times_to_target(runs, 5, window=50)


def test_what_was_not_yet_measured_makes_no_mean_of_ten_of_one_lucky_episode() -> None:
    values = [np.nan] * 9 + [500.0] + [0.0] * 90
    runs = Runs.of([run("ppo", np.arange(100), values)])
    assert times_to_target(runs, 475)["ppo"].reached.tolist() == [False]


def test_scores_are_equal_to_themselves_alone(two_tasks: Runs) -> None:
    bounds = {"A": [0, 10], "B": [0, 500], "C": [0, 1]}
    one, other = (final_scores(two_tasks, bounds=bounds) for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_a_budget_may_be_written_as_a_whole_float() -> None:
    runs = Runs.of([run("ppo", np.arange(1, 101), np.arange(100.0))])
    whole = final_scores(runs, budget=50)["ppo"].tolist()
    assert final_scores(runs, budget=5e1)["ppo"].tolist() == whole  # type: ignore[arg-type]
    for budget in (True, 50.5, -1):
        with pytest.raises(BadArgument, match="budget must be"):
            final_scores(runs, budget=budget)  # type: ignore[arg-type]


def test_every_environment_has_its_own_target_and_line(two_tasks: Runs) -> None:
    found = times_to_target(two_tasks, {"A": 5, "B": 250, "C": 0}, window=1)
    assert {name: times.reached.tolist() for name, times in found.items()} == {
        "ppo · A": [False, True],
        "ppo · B": [True, True],
    }
    with pytest.raises(BadArgument, match=r"target names no value for B: give target=\{'B'"):
        times_to_target(two_tasks, {"A": 5}, window=1)


def test_a_mapping_of_arrays_says_what_it_is(two_tasks: Runs) -> None:
    scores = final_scores(two_tasks, bounds={"A": (0, 10), "B": (0, 1000)})
    assert repr(scores) == "<Scores of reward: ppo (2, 2)>"
