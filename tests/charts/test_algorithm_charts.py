"""The charts that compare algorithms: their numbers, and that they can be drawn."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tarslab as tl
from tarslab import charts, stats
from tarslab.charts import offline, theme
from tarslab.errors import BadArgument, NotLogged
from tarslab.runs import Run, Runs, Series
from tarslab.runs.scores import final_scores, learning_curves

Chart = Any
RNG = np.random.default_rng(0)
SCORES = {"ppo": RNG.normal(1, 0.3, (5, 4)), "a2c": RNG.normal(0.5, 0.3, (7, 4))}
CURVES = {name: RNG.normal(0, 1, (5, 3, 6)) for name in ("ppo", "a2c")}
MANY = {f"algorithm {i}": RNG.lognormal(0, 1, (10, 26)) - 1 for i in range(12)}
ONE_RUN = {"ppo": np.array([[-20_000.0]]), "a2c": np.array([[3.0]])}
EQUAL = {"ppo": np.full((5, 1), 500.0), "a2c": np.full((5, 1), 500.0)}


@pytest.fixture(scope="module")
def cartpole() -> Runs:
    return tl.load("bundled:cartpole")


def note(chart: Chart) -> str:
    return " | ".join(chart.to_dict()["title"]["text"])


def fields(spec: Any) -> set[str]:
    """Every field that any part of a specification encodes."""
    found = set()
    if isinstance(spec, dict):
        found |= {spec["field"]} if isinstance(spec.get("field"), str) else set()
        found |= set().union(*(fields(part) for part in spec.values()))
    elif isinstance(spec, list):
        found |= set().union(*(fields(part) for part in spec))
    return found


DRAWN: dict[str, Callable[[], Chart]] = {
    **{
        f"{function.__name__} of {name}": partial(function, given, reps=50)
        for function in (
            charts.performance_profile,
            charts.interval_estimates,
            charts.probability_of_improvement,
        )
        for name, given in {
            "two": SCORES,
            "twelve": MANY,
            "one run": ONE_RUN,
            "equal": EQUAL,
        }.items()
    },
    "sample_efficiency": partial(charts.sample_efficiency, CURVES, reps=50),
    "sample_efficiency of one checkpoint": partial(
        charts.sample_efficiency, {k: v[:, :, :1] for k, v in CURVES.items()}, reps=50
    ),
    "time_to_target": partial(
        charts.time_to_target, {"a": [([0, 10], [0, 1]), ([0, 5], [0, 0])]}, 1
    ),
    "time_to_target never reached": partial(
        charts.time_to_target, {"a": [([0, 10], [0, 0])] * 3, "b.[0]": [([0], [0])]}, 1
    ),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_every_chart_can_be_drawn_and_says_what_it_shows(draw: Callable[[], Chart]) -> None:
    spec = draw().to_dict()  # which Altair checks against the schema of Vega-Lite
    svg = offline.svg(spec)
    assert "<svg" in svg
    assert not re.search(r">(NaN|undefined|null|Infinity)<", svg)
    assert spec["description"]
    assert "NaN" not in json.dumps(spec)
    assert not {name for name in fields(spec) if "." in name or "[" in name}


def test_the_charts_of_bundled_runs_take_runs_as_they_are(cartpole: Runs) -> None:
    for chart in (
        charts.performance_profile(cartpole),
        charts.interval_estimates(cartpole),
        charts.probability_of_improvement(cartpole),
        charts.sample_efficiency(cartpole),
        charts.time_to_target(cartpole, 475),
    ):
        assert "<svg" in offline.svg(chart.to_dict())


def test_names_of_algorithms_reach_the_legend_in_their_order() -> None:
    spec = charts.performance_profile(SCORES, reps=50).to_dict()
    colour = spec["layer"][0]["encoding"]["color"]
    assert colour["scale"]["domain"] == ["ppo", "a2c"]
    assert colour["scale"]["range"] == list(theme.PALETTE[:2])
    dash = next(la["encoding"]["strokeDash"] for la in spec["layer"] if "line" in str(la["mark"]))
    assert dash["scale"]["domain"] == ["ppo", "a2c"]
    (toggle,) = [p for p in spec["params"] if p["name"] == "toggle_algorithm"]
    assert toggle["bind"] == "legend"


def test_a_profile_is_the_share_of_scores_above_each() -> None:
    data = charts.performance_profile_data({"ppo": [1.0, 2.0, 3.0, 3.0]})
    # By hand: above a little under 1 all are, above 1 three of four, and above 3 none.
    assert data["tau"].tolist() == pytest.approx([0.96, 1, 2, 3, 3.04])
    assert data["estimate"].tolist() == [1, 0.75, 0.5, 0, 0]


def test_profiles_equal_those_of_stats() -> None:
    tau = [0.0, 0.5, 1.0]
    data = charts.performance_profile_data(SCORES, tau=tau, kind="average_score", seed=3, reps=99)
    for name, part in data.groupby("algorithm", sort=False):
        found = stats.performance_profile(
            SCORES[str(name)], tau, kind="average_score", seed=3, reps=99
        )
        np.testing.assert_array_equal(part["tau"], tau)
        np.testing.assert_array_equal(part[["estimate", "low", "high"]].T, found)
    assert data.groupby("algorithm")["runs"].first().to_dict() == {"ppo": 5, "a2c": 7}


def test_a_profile_of_many_scores_has_few_thresholds_and_shows_their_bulk() -> None:
    data = charts.performance_profile_data(MANY, reps=50)
    assert data.groupby("algorithm").size().max() <= 500
    pooled = np.concatenate([scores.ravel() for scores in MANY.values()])
    assert data["tau"].min() < pooled.min()
    assert data["tau"].max() > pooled.max()
    scale = charts.performance_profile(MANY, reps=50).to_dict()["layer"][0]["encoding"]["x"]
    assert scale["scale"]["domain"] == pytest.approx(np.quantile(pooled, [0.01, 0.99]), rel=1e-3)


def test_sample_efficiency_equals_stats_at_every_checkpoint() -> None:
    steps = [0, 10, 20, 30, 40, 50]
    data = charts.sample_efficiency_data(CURVES, steps=steps, reps=99, seed=1)
    for name, part in data.groupby("algorithm", sort=False):
        found = stats.sample_efficiency(CURVES[str(name)], reps=99, seed=1)
        np.testing.assert_array_equal(part["step"], steps)
        np.testing.assert_array_equal(part[["estimate", "low", "high"]].T, found)


def test_the_steps_of_plain_arrays_are_checkpoints_and_those_of_curves_their_own(
    cartpole: Runs,
) -> None:
    counted = charts.sample_efficiency(CURVES, reps=50).to_dict()
    assert counted["layer"][0]["encoding"]["x"]["title"] == "checkpoint"
    curves = learning_curves(cartpole)
    data = charts.sample_efficiency_data(curves, reps=50)
    for name, part in data.groupby("algorithm"):
        np.testing.assert_array_equal(part["step"], curves.steps[str(name)])
    # The middle three of PPO's five seeds end at CartPole's highest return.
    assert data[data["algorithm"] == "ppo"]["estimate"].iloc[-1] == 500
    with pytest.raises(BadArgument, match="steps are those of the curves"):
        charts.sample_efficiency(curves, steps=[1, 2])
    with pytest.raises(BadArgument, match="steps must be 6 increasing numbers"):
        charts.sample_efficiency(CURVES, steps=[1, 2])


def test_long_curves_are_thinned_and_keep_both_ends() -> None:
    long = {"ppo": RNG.normal(size=(3, 1, 2_000))}
    data = charts.sample_efficiency_data(long, reps=20)
    assert len(data) == 500
    assert data["step"].iloc[[0, -1]].tolist() == [1, 2_000]
    at = data["step"].to_numpy(dtype=int) - 1
    np.testing.assert_array_equal(data["estimate"], stats.iqm(long["ppo"])[at])  # type: ignore[index]


def test_sample_efficiency_takes_any_statistic() -> None:
    chart = charts.sample_efficiency(CURVES, statistic=np.max, reps=20)
    assert chart.to_dict()["layer"][0]["encoding"]["y"]["title"] == "max of score"
    data = charts.sample_efficiency_data(CURVES, statistic=np.max, reps=20)
    expected = CURVES["ppo"].max(axis=(0, 1))
    np.testing.assert_array_equal(data[data["algorithm"] == "ppo"]["estimate"], expected)


def test_interval_estimates_equal_those_of_stats() -> None:
    data = charts.interval_estimates_data(SCORES, gamma=0.8, reps=99, seed=2)
    statistics: dict[str, Callable[..., Any]] = {
        "median": stats.median,
        "IQM": stats.iqm,
        "mean": stats.mean,
        "optimality gap": partial(stats.optimality_gap, gamma=0.8),
    }
    assert data["statistic"].unique().tolist() == list(statistics)
    for row in data.to_dict("records"):
        scores = SCORES[row["algorithm"]]
        found = stats.bootstrap_ci(scores, statistics[row["statistic"]], reps=99, seed=2)
        assert (row["estimate"], row["low"], row["high"]) == tuple(found)
        assert (row["runs"], row["tasks"]) == scores.shape


def test_the_optimality_gap_needs_a_level_where_scores_are_as_they_were_logged(
    cartpole: Runs,
) -> None:
    def gaps(given: Any, **options: Any) -> list[float]:
        data = charts.interval_estimates_data(given, reps=20, **options)
        return data[data["statistic"] == "optimality gap"]["estimate"].tolist()

    raw = final_scores(cartpole)
    assert gaps(raw) == gaps(cartpole) == []
    # All of PPO's runs end at 500.
    assert gaps(raw, gamma=500)[2] == 0
    normalised = final_scores(cartpole, bounds={"CartPole-v1": (0, 500)})
    np.testing.assert_allclose(gaps(normalised), np.divide(gaps(raw, gamma=500), 500))
    assert len(gaps({"ppo": [0.5, 0.6]})) == 1
    with pytest.raises(BadArgument, match="gamma must be a finite number"):
        gaps(raw, gamma=np.nan)


def test_the_probability_of_improvement_over_tasks_is_that_of_stats() -> None:
    pairs = [("a2c", "ppo"), ("ppo", "a2c")]
    data = charts.probability_of_improvement_data(SCORES, pairs=pairs, reps=99, seed=4)
    for row in data.to_dict("records"):
        x, y = SCORES[row["x"]], SCORES[row["y"]]
        found = stats.probability_of_improvement(x, y, reps=99, seed=4)
        assert (row["estimate"], row["low"], row["high"]) == tuple(found)
        assert row["interval"] == "bootstrap"
    assert data["runs_x"].tolist() == [7, 5]


def test_of_every_two_algorithms_the_one_that_wins_more_often_comes_first() -> None:
    data = charts.probability_of_improvement_data(
        {"low": [1, 2], "high": [5, 6], "middle": [1.5, 5.5]}
    )
    assert data[["x", "y"]].to_numpy().tolist() == [
        ["high", "low"],
        ["middle", "low"],
        ["high", "middle"],
    ]
    # Of the four pairs of 5, 6 and 1.5, 5.5 three are won.
    assert data["estimate"].tolist() == [1, 0.75, 0.75]
    turned = stats.compare([1, 2], [1.5, 5.5]).probability_a_higher_interval
    assert data[["low", "high"]].iloc[1].tolist() == [1 - turned.high, 1 - turned.low]


def test_one_task_has_an_interval_with_a_width_where_the_bootstrap_has_none() -> None:
    apart = {"ppo": [6.0, 7, 8, 9, 10], "a2c": [1.0, 2, 3, 4, 5]}
    row = charts.probability_of_improvement_data(apart).iloc[0]
    bootstrap = stats.probability_of_improvement(apart["ppo"], apart["a2c"])
    assert (bootstrap.low, bootstrap.high) == (1, 1)
    newcombe = stats.compare(apart["ppo"], apart["a2c"]).probability_a_higher_interval
    assert (row["low"], row["high"], row["interval"]) == (*newcombe, "Newcombe")
    assert row["low"] < 0.7


def test_time_to_target_is_kaplan_meiers_curve_from_step_0() -> None:
    runs = {"a": [([0, 10], [0, 1]), ([0, 20], [0, 1]), ([0, 20], [0, 0]), ([0, 30], [0, 1])]}
    data = charts.time_to_target_data(runs, 1)
    # As in tests/stats/test_survival.py: 1/4, then 1 - 3/4 * 2/3, then all.
    np.testing.assert_allclose(data["step"], [0, 10, 20, 30])
    np.testing.assert_allclose(data["reached"], [0, 0.25, 0.5, 1])
    assert data["at_risk"].tolist() == [4, 4, 3, 1]
    assert data["events"].tolist() == [0, 1, 1, 1]
    assert data["censored"].tolist() == [0, 0, 1, 0]
    band = stats.kaplan_meier([10, 20, 20, 30], [True, True, False, True])
    np.testing.assert_array_equal(data["low"].iloc[1:], band.low)
    np.testing.assert_array_equal(data["high"].iloc[1:], band.high)


def test_a_run_that_ended_is_marked_and_counted_in_the_legend() -> None:
    runs = {"a": [([0, 10], [0, 1]), ([0, 20], [0, 0])], "b": [([0, 40], [0, 1])]}
    chart = charts.time_to_target(runs, 1)
    spec = chart.to_dict()
    legend = spec["layer"][0]["encoding"]["color"]["legend"]["labelExpr"]
    assert '"a": "a (1 of 2)"' in legend
    assert '"b": "b (1 of 1)"' in legend
    (marks,) = [la for la in spec["layer"] if "tick" in str(la["mark"])]
    (record,) = spec["datasets"][marks["data"]["name"]]
    assert record == {"algorithm": "a", "step": [20], "reached": [0.5], "censored": [1]}
    assert "A tick across a line" in note(chart)
    whole = charts.time_to_target({"b": runs["b"]}, 1)
    assert "tick" not in note(whole)


def test_a_target_once_reached_stays_so_to_the_right_end(rows_of: Any) -> None:
    chart = charts.time_to_target({"a": [([0, 10], [0, 1])], "b": [([0, 40], [0, 0])]}, 1)
    rows = [row for row in rows_of(chart) if row["algorithm"] == "a"]
    assert [(row["step"], row["reached"]) for row in rows] == [(0, 0), (10, 1), (40, 1)]


def test_the_summary_says_how_many_got_there_and_by_when(cartpole: Runs) -> None:
    table = charts.time_to_target_summary(cartpole, {"CartPole-v1": 475}).set_index("algorithm")
    assert table["reached"].to_dict() == {"a2c": 5, "dqn": 1, "ppo": 5}
    times = []
    for _, series in cartpole.select(algo="ppo").series("reward"):
        means = np.convolve(series.value, np.full(10, 0.1), mode="valid")
        times.append(series.step[9 + np.flatnonzero(means >= 475)[0]])
    assert table["median"].loc["ppo"] == np.median(times)
    assert table["median"].isna().to_dict() == {"a2c": False, "dqn": True, "ppo": False}
    never = charts.time_to_target_summary(cartpole, 501)
    assert never["reached"].tolist() == [0, 0, 0]
    assert never["median"].isna().all()


def test_few_runs_are_said_to_be_few() -> None:
    assert "5 to 7 runs of each of 4 tasks" in note(charts.performance_profile(SCORES, reps=50))
    assert "From 5 runs such intervals come out too narrow" in note(
        charts.interval_estimates(SCORES, reps=50)
    )
    assert "too narrow" not in note(charts.interval_estimates(MANY, reps=50))
    for chart in (charts.performance_profile(ONE_RUN), charts.interval_estimates(ONE_RUN)):
        assert "one run has no interval" in note(chart)
    assert "A dot has no interval" in note(charts.probability_of_improvement(ONE_RUN))


def test_one_run_has_an_estimate_and_no_interval() -> None:
    for data in (
        charts.performance_profile_data(ONE_RUN),
        charts.interval_estimates_data(ONE_RUN),
        charts.probability_of_improvement_data(ONE_RUN),
        charts.sample_efficiency_data({k: v[:1] for k, v in CURVES.items()}),
    ):
        assert data["estimate"].notna().all()
        assert data[["low", "high"]].isna().all(axis=None)


def test_the_same_seed_draws_the_same_chart() -> None:
    def drawn(seed: int) -> str:
        return json.dumps(charts.interval_estimates(SCORES, reps=50, seed=seed).to_dict())

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_higher_confidence_is_a_wider_band() -> None:
    def width(confidence: float) -> float:
        data = charts.interval_estimates_data(SCORES, confidence=confidence, reps=500)
        return float((data["high"] - data["low"]).sum())

    assert width(0.99) > width(0.5)
    assert "99 % bootstrap" in note(charts.performance_profile(SCORES, confidence=0.99, reps=50))


def test_axes_name_the_score_that_they_show(cartpole: Runs) -> None:
    def title(given: Any) -> str:
        spec = charts.performance_profile(given, reps=20).to_dict()
        return str(spec["layer"][0]["encoding"]["x"]["title"])

    assert title(SCORES) == "score τ"
    assert title(cartpole) == title(final_scores(cartpole)) == "episode return τ"
    normalised = final_scores(cartpole, bounds={"CartPole-v1": (0, 500)})
    assert title(normalised) == "normalised episode return τ"


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (lambda: charts.performance_profile({}), "scores is empty"),
        (lambda: charts.performance_profile(CURVES), r"\['ppo'\] must have the shape \(runs, ta"),
        (lambda: charts.sample_efficiency(SCORES), r"\(runs, tasks, checkpoints\), not \(5, 4\)"),
        (
            lambda: charts.interval_estimates({"a": [[1, 2]], "b": [[1]]}),
            "the same tasks for every algorithm, not a 2, b 1",
        ),
        (lambda: charts.interval_estimates({"a": [np.nan]}), r"scores\['a'\] holds nan at run 0"),
        (lambda: charts.interval_estimates(SCORES, confidence=95), "confidence"),
        (lambda: charts.performance_profile(SCORES, reps=0), "reps"),
        (lambda: charts.probability_of_improvement({"a": [1]}), "at least two algorithms, not a"),
        (
            lambda: charts.probability_of_improvement(SCORES, pairs=[("ppo", "sac")]),
            r"pairs must be of two of ppo, a2c, not \('ppo', 'sac'\)",
        ),
        (lambda: charts.probability_of_improvement(SCORES, pairs=[]), "pairs is empty"),
        (lambda: charts.time_to_target({}, 1), "runs is empty"),
        (lambda: charts.time_to_target({"a": [([0], [0])]}, {"A": 1}), "target must be one number"),
    ],
)
def test_what_cannot_be_drawn_says_why(draw: Callable[[], object], why: str) -> None:
    with pytest.raises(BadArgument, match=why):
        draw()


def test_runs_without_the_metric_are_noted_instead_of_drawn() -> None:
    runs = Runs.of([Run("a", {"td_loss": Series.of([1], [0], [1])}, algo="a", env="A")])
    for function in (charts.performance_profile, partial(charts.time_to_target, target=1)):
        with pytest.raises(NotLogged, match="no run has a metric 'reward'"):
            function(runs)
        assert "Not drawn" in repr(charts.where_logged(function, runs))
