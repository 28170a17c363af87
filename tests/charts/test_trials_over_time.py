"""Charts of trials over time: their numbers against Optuna's own, and that they can be drawn."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

import tarslab as tl
from tarslab.charts import offline
from tarslab.charts.distribution import edf, edf_data
from tarslab.charts.history import robust_domain, trial_scores, trial_scores_data
from tarslab.charts.reported import intermediate_values, intermediate_values_data
from tarslab.charts.timeline import trial_timeline, trial_timeline_data
from tarslab.errors import BadArgument, NoTrials
from tarslab.studies import Study
from tarslab.studies.storages import Recorded

Chart = Any
START = datetime(2026, 3, 1, 22, 30)
SPACE = {"net.rate[0]": FloatDistribution(0, 1), "layers": IntDistribution(1, 4)}
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
RUNNING, WAITING = TrialState.RUNNING, TrialState.WAITING
# Small enough that a page with the chart twice, as a specification and as an SVG, and with the
# 0.9 MB of Vega stays below 3 MB.
MOST_BYTES = 1_000_000

optuna.logging.set_verbosity(optuna.logging.ERROR)


def trial(
    number: int,
    value: float | Sequence[float] | None = None,
    state: TrialState = COMPLETE,
    *,
    reports: Mapping[int, float] | None = None,
    start: float | None = 0.0,
    seconds: float | None = 1.0,
    constraint: float | None = None,
) -> FrozenTrial:
    """A trial that started some seconds after ``START``."""
    begun = None if start is None else START + timedelta(seconds=start)
    found = create_trial(
        state=state,
        value=value if isinstance(value, float) else None,
        values=None if value is None or isinstance(value, float) else value,
        params={"net.rate[0]": 0.25, "layers": 1 + number % 4},
        distributions=SPACE,
        intermediate_values=dict(reports or {}),
        system_attrs={} if constraint is None else {"constraints": [constraint]},
    )
    found.number = number
    found.datetime_start = begun
    ended = begun is not None and seconds is not None and state.is_finished()
    found.datetime_complete = begun + timedelta(seconds=seconds) if ended else None  # type: ignore
    return found


def study_of(
    trials: Sequence[FrozenTrial], *directions: str, names: tuple[str, ...] | None = None
) -> Study:
    return Study(Recorded("made", directions or ("minimize",), names, {}, list(trials)))


@pytest.fixture(scope="module")
def searched() -> optuna.Study:
    """Complete, pruned and failed trials, and a parameter that not all have."""

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("net.rate[0]", -5, 5)
        layers = trial.suggest_int("layers", 1, 4)
        trial.suggest_categorical("activation", ["relu", None, 3])
        if x > 4:
            raise ValueError("diverged")
        if x > 0:
            trial.suggest_int("only when positive", 0, 9)
        for step in range(6):
            trial.report(x**2 / (step + 1) + layers, 10 * step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x**2 + layers

    study = optuna.create_study(
        study_name="searched",
        sampler=optuna.samplers.RandomSampler(seed=3),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=8, n_warmup_steps=15),
    )
    study.optimize(objective, 60, catch=(ValueError,))
    study.ask()
    study.enqueue_trial({"net.rate[0]": 1.0})
    return study


@pytest.fixture(scope="module")
def study(searched: optuna.Study) -> Study:
    return tl.load_study(searched)


@pytest.fixture(scope="module")
def huge() -> Study:
    """50,000 trials on 64 workers, one of which diverged, with eight parameters."""
    random = np.random.default_rng(0)
    values = random.normal(size=50_000) + np.linspace(0, 2, 50_000)
    values[770] = -1e10
    states = [*[COMPLETE] * 7, PRUNED, PRUNED, FAIL]
    seconds = random.exponential(30, 50_000) + 1
    space: dict[str, BaseDistribution] = {
        f"parameter.{n}": FloatDistribution(0, 1) for n in range(8)
    }
    settings = random.random((50_000, 8)).tolist()
    free = [0.0] * 64
    trials = []
    for number, value in enumerate(values.tolist()):
        worker, state = number % 64, states[number % 10]
        trials.append(
            FrozenTrial(
                number=number,
                trial_id=number,
                state=state,
                value=None if state == FAIL else value,
                datetime_start=START + timedelta(seconds=free[worker]),
                datetime_complete=START + timedelta(seconds=free[worker] + seconds[number]),
                params=dict(zip(space, settings[number], strict=True)),
                distributions=space,
                user_attrs={},
                system_attrs={},
                intermediate_values={0: value - 1, 1: value},
            )
        )
        free[worker] += seconds[number]
    return study_of(trials, "maximize")


def spec_of(chart: Chart) -> dict[str, Any]:
    return chart if isinstance(chart, dict) else chart.to_dict()


def note(chart: Chart) -> str:
    return " | ".join(spec_of(chart)["title"]["text"])


def records(chart: Chart, holding: str) -> list[dict[str, Any]]:
    """The records of the only dataset that has this field."""
    datasets = spec_of(chart)["datasets"].values()
    (found,) = [rows for rows in datasets if rows and holding in rows[0]]
    return list(found)


def everything(spec: Any, key: str) -> list[Any]:
    """What stands under a key, wherever in a specification."""
    if isinstance(spec, dict):
        here = [spec[key]] if key in spec else []
        return here + [item for part in spec.values() for item in everything(part, key)]
    if isinstance(spec, list):
        return [item for part in spec for item in everything(part, key)]
    return []


CHARTS: tuple[Callable[[Study], Chart], ...] = (
    trial_scores,
    intermediate_values,
    trial_timeline,
    edf,
)

MIXED = study_of(
    [
        trial(0, 1.0, reports={0: math.nan, 1: 2.0}),
        trial(1, math.inf, reports={0: math.inf}),
        trial(2, 1e10, reports={0: 1e10, 1: -1e10}, start=0.5, constraint=2.0),
        trial(3, 2.0, PRUNED, reports={0: 2.0}, constraint=-1.0),
        trial(4, None, FAIL),
        trial(5, None, RUNNING, reports={0: 3.0, 5: 2.0}),
        trial(6, None, WAITING, start=None),
        trial(7, -math.inf, constraint=-1.0),
        trial(8, 0.5, constraint=0.0, reports={0: 0.5}),
    ]
)
MADE = {
    "mixed": MIXED,
    "one trial": study_of([trial(0, 1.0, reports={3: 1.0})]),
    "equal values": study_of([trial(n, 2.0, reports={0: 2.0, 1: 2.0}) for n in range(4)]),
    "large values": study_of([trial(n, 1e6 * n, reports={10**6: 1e7 * n}) for n in range(9)]),
}


@pytest.mark.parametrize("draw", CHARTS, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_every_chart_can_be_drawn_and_says_what_it_shows(
    draw: Callable[[Study], Chart], made: Study
) -> None:
    spec = draw(made).to_dict()  # which Altair checks against the schema of Vega-Lite
    svg = offline.svg(spec)
    assert not re.search(r">(NaN|undefined|null|Infinity)<|[M,L(]NaN", svg)
    assert spec["description"]
    assert "NaN" not in json.dumps(spec["datasets"])
    assert not [name for name in everything(spec, "field") if "." in name or "[" in name]
    assert {"toggle_state", "toggle_algorithm"} & {param["name"] for param in spec["params"]}
    assert "zoom" in {param["name"] for param in spec["params"]}


@pytest.mark.parametrize("draw", CHARTS, ids=lambda draw: draw.__name__)
def test_a_study_that_was_searched_can_be_drawn(
    draw: Callable[[Study], Chart], study: Study
) -> None:
    assert "<svg" in offline.svg(draw(study).to_dict())


@pytest.mark.parametrize("draw", CHARTS, ids=lambda draw: draw.__name__)
def test_an_empty_study_says_that_it_is_empty(draw: Callable[[Study], Chart]) -> None:
    with pytest.raises(NoTrials, match=r"^made: .*no trials"):
        draw(study_of([]))


def test_a_study_of_failures_shows_when_they_failed_and_no_values() -> None:
    failed = study_of([trial(n, None, FAIL) for n in range(3)])
    assert [row["place"] for row in records(trial_scores(failed), "number")] == ["none"] * 3
    assert "3 trials without a value at the bottom edge" in note(trial_scores(failed))
    assert "<svg" in offline.svg(trial_scores(failed).to_dict())
    assert trial_timeline_data(failed)["state"].tolist() == ["FAIL"] * 3
    with pytest.raises(NoTrials, match=r"none of its 3 trials reported .* call trial\.report"):
        intermediate_values(failed)
    with pytest.raises(NoTrials, match="3 FAIL"):
        edf(failed)
    with pytest.raises(NoTrials, match="no trial was started; it has 1 trial: 1 waiting"):
        trial_timeline(study_of([trial(0, None, WAITING, start=None)]))


@pytest.mark.parametrize("draw", CHARTS[:3], ids=lambda draw: draw.__name__)
def test_a_click_on_the_legend_hides_a_state(draw: Callable[[Study], Chart], study: Study) -> None:
    spec = draw(study).to_dict()
    (toggle,) = [param for param in spec["params"] if param["name"] == "toggle_state"]
    shown = {row["state"] for row in toggle["value"]}
    assert toggle["bind"] == "legend"
    assert {"COMPLETE", "PRUNED"} <= shown
    (scale,) = {json.dumps(s["scale"]["domain"]) for s in everything(spec, "color") if "scale" in s}
    assert set(json.loads(scale)) == shown


def test_scores_and_the_best_so_far_are_optunas(searched: optuna.Study, study: Study) -> None:
    figure = optuna.visualization.plot_optimization_history(searched)
    values, best = (_trace(figure, name) for name in ("Objective Value", "Best Value"))
    data = trial_scores_data(study).set_index("number")
    assert data.loc[list(values.x), "value"].tolist() == list(values.y)
    assert data.loc[list(best.x), "best"].tolist() == list(best.y)
    assert data["best"].ffill().equals(data["best"])
    assert data["state"].tolist() == [t.state.name for t in searched.trials]


def _trace(figure: Any, name: str) -> Any:
    (trace,) = [trace for trace in figure.data if trace.name == name]
    return trace


def test_the_best_so_far_line_has_a_corner_at_each_improvement_and_goes_to_the_end() -> None:
    values = [3.0, 4.0, 2.0, 2.0, None, 1.0, 5.0]
    made = study_of([trial(n, v, FAIL if v is None else COMPLETE) for n, v in enumerate(values)])
    (line,) = records(trial_scores(made), "line")
    assert line == {"line": "best", "number": [0, 2, 5, 6], "value": [3, 2, 1, 1]}
    assert "best so far, 1 in trial 5" in note(trial_scores(made))


def test_a_tooltip_has_the_hyperparameters_under_their_own_names(study: Study) -> None:
    spec = trial_scores(study).to_dict()
    titles = {line["title"] for line in spec["layer"][0]["encoding"]["tooltip"]}
    assert {"trial", "state", "value", "duration (s)", "net.rate[0]", "activation"} <= titles
    first = study.trials.iloc[0]
    fields = {t["title"]: t["field"] for t in spec["layer"][0]["encoding"]["tooltip"]}
    row = next(row for row in records(trial_scores(study), "place") if row["number"] == 0)
    assert row[fields["net.rate[0]"]] == pytest.approx(first["params_net.rate[0]"])
    assert row[fields["only when positive"]] in (first["params_only when positive"], None)


def test_several_objectives_are_chosen_by_place_or_name() -> None:
    made = study_of(
        [trial(0, [1.0, 5.0]), trial(1, [2.0, 6.0])], "minimize", "maximize", names=("loss", "f1")
    )
    for objective in (1, "f1"):
        assert trial_scores_data(made, objective=objective)["best"].tolist() == [5, 6]
        spec = trial_scores(made, objective=objective).to_dict()
        assert spec["layer"][0]["encoding"]["y"]["title"] == "f1 (maximize)"
        assert edf_data(made, objective=objective)["value"].tolist() == [5, 6]
    with pytest.raises(BadArgument, match=r"objective must be one of 0 \(loss\), 1 \(f1\)"):
        trial_scores(made, objective=2)


def test_infeasible_trials_are_hollow_and_never_the_best() -> None:
    trials = [trial(n, v, constraint=c) for n, (v, c) in enumerate([(3.0, 0), (1.0, 2), (2.0, -1)])]
    data = trial_scores_data(study_of(trials))
    assert data["best"].tolist() == [3, 3, 2]
    chart = trial_scores(study_of(trials))
    assert [row["feasible"] for row in records(chart, "place")] == [True, False, True]
    fill = chart.to_dict()["layer"][0]["encoding"]["fillOpacity"]
    assert fill["condition"] == [{"test": "datum.feasible === false", "value": 0}]
    assert "hollow: breaks its constraints" in note(chart)


@pytest.mark.parametrize(("direction", "far"), [("minimize", 1e10), ("maximize", -1e10)])
def test_one_diverged_trial_does_not_flatten_the_others(direction: str, far: float) -> None:
    values = [1.0, 2.0, 3.0, far, 2.5]
    chart = trial_scores(study_of([trial(n, v) for n, v in enumerate(values)], direction))
    low, high = chart.to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert (low, high) == pytest.approx((1 - 0.16, 3 + 0.16))
    beyond = [row["number"] for row in records(chart, "place") if row["place"] != "inside"]
    assert beyond == [3]
    assert f"arrows: 1 far beyond the view, one of {far:.0e}" in note(chart)


def test_a_few_good_trials_are_in_the_view_however_much_better_they_are() -> None:
    # Pole balancing: most agents fall at once, few ever stand to the end.
    values = [*np.linspace(9, 10, 50), 500.0]
    low, high = robust_domain(values, "maximize")
    assert low < 9
    assert high > 500
    assert robust_domain(values, "minimize")[1] < 11


@given(
    st.lists(st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf]), max_size=30),
    st.sampled_from(["minimize", "maximize"]),
)
def test_a_view_is_finite_and_holds_the_middle_half(values: list[float], direction: str) -> None:
    low, high = robust_domain(values, direction)
    assert -math.inf < low < high < math.inf
    finite = np.array(values)[np.isfinite(values)]
    if len(finite):
        assert low <= np.quantile(finite, 0.25, method="higher")
        assert high >= np.quantile(finite, 0.75, method="lower")


def test_a_logarithmic_scale_is_for_positive_values() -> None:
    good = study_of([trial(n, 10.0 ** (n % 6)) for n in range(12)])
    y = trial_scores(good, log=True).to_dict()["layer"][0]["encoding"]["y"]
    assert y["scale"]["type"] == "log"
    assert y["axis"]["values"] == [1, 10, 100, 1_000, 10_000, 100_000]
    with pytest.raises(BadArgument, match="log=True needs values above 0, and trial 1 has -2"):
        trial_scores(study_of([trial(0, 1.0), trial(1, -2.0)]), log=True)


def test_scores_of_50_000_trials_fit_a_page_and_their_best_line_is_exact(huge: Study) -> None:
    spec = trial_scores(huge).to_dict()
    assert len(json.dumps(spec)) < MOST_BYTES
    assert len(offline.svg(spec)) < MOST_BYTES
    (line,) = records(spec, "line")
    steps = pd.Series(line["value"], index=line["number"])
    exact = huge.best_so_far().set_index("number")["best"]
    followed = steps[~steps.index.duplicated()].reindex(exact.index, method="ffill")
    np.testing.assert_allclose(followed, exact, rtol=1e-8)
    drawn = records(spec, "place")
    assert set(line["number"][:-1]) <= {row["number"] for row in drawn}
    assert 770 in {row["number"] for row in drawn}
    assert f"{len(drawn):,} of 50,000 trials are drawn" in note(spec)


def test_a_search_that_improves_with_every_trial_fits_a_page_too() -> None:
    spec = trial_scores(study_of([trial(n, -float(n)) for n in range(20_000)])).to_dict()
    assert len(json.dumps(spec)) < MOST_BYTES
    (line,) = records(spec, "line")
    assert (line["number"][-1], line["value"][-1]) == (19_999, -19_999)


def test_reported_values_are_optunas(searched: optuna.Study, study: Study) -> None:
    figure = optuna.visualization.plot_intermediate_values(searched)
    data = intermediate_values_data(study)
    ours = {f"Trial{n}": part for n, part in data.groupby("number")}
    theirs = {line.name: line for line in figure.data}
    assert len(theirs) > 10
    for name, line in theirs.items():
        assert ours[name]["step"].tolist() == list(line.x)
        assert ours[name]["value"].tolist() == list(line.y)
    assert data["number"][data["best"]].unique().tolist() == [searched.best_trial.number]


def test_a_pruned_line_ends_with_a_mark_where_it_was_pruned() -> None:
    made = study_of(
        [
            trial(0, 1.0, reports={0: 5.0, 10: 3.0, 20: 1.0}),
            trial(1, 4.0, PRUNED, reports={0: 6.0, 10: 4.0}),
            trial(2, 4.0, PRUNED, reports={0: 6.0, 10: math.nan}),
            trial(3, 7.0, reports={0: 7.0}),
        ]
    )
    chart = intermediate_values(made)
    rows = records(chart, "marked")
    assert [row["marked"] for row in rows] == [False, True, True, True]
    assert [(r["last_step"], r["last_value"]) for r in rows] == [(20, 1), (10, 4), (0, 6), (0, 7)]
    assert [row["best"] for row in rows] == [True, False, False, False]
    assert rows[2]["value"] == [6, None]
    assert "1 trial with NaN or infinite values: gaps" in note(chart)
    assert ">best: trial 0<" in offline.svg(chart.to_dict())


def test_lines_are_those_of_the_states_asked_for(study: Study) -> None:
    data = intermediate_values_data(study, states=["PRUNED"])
    assert set(data["state"]) == {"PRUNED"}
    assert not data["best"].any()
    with pytest.raises(BadArgument, match=r"some of COMPLETE, PRUNED, .* not \['DONE'\]"):
        intermediate_values(study, states=["DONE"])
    with pytest.raises(NoTrials, match=r"no trial that is WAITING .* complete"):
        intermediate_values(study, states=["WAITING"])
    infinite = study_of([trial(0, 1.0, reports={0: math.inf})])
    with pytest.raises(NoTrials, match="only NaN and infinite"):
        intermediate_values(infinite)


def test_a_thousand_lines_of_a_hundred_steps_fit_a_page() -> None:
    random = np.random.default_rng(1)
    walks = random.normal(size=(1_000, 100)).cumsum(axis=1).round(9)
    trials = [
        trial(n, float(walk[-1]), PRUNED if n % 3 else COMPLETE, reports=dict(enumerate(walk)))
        for n, walk in enumerate(walks.tolist())
    ]
    made = study_of(trials, "maximize")
    spec = intermediate_values(made).to_dict()
    assert len(json.dumps(spec)) < MOST_BYTES
    assert len(offline.svg(spec)) < MOST_BYTES
    rows = records(spec, "marked")
    best = max(range(0, 1_000, 3), key=lambda n: walks[n, -1])
    assert len(rows) == 200
    assert [row["number"] for row in rows if row["best"]] == [best]
    numbers = [row["number"] for row in rows]
    assert 998 in numbers  # the last that was pruned
    assert np.diff(numbers).max() <= 6  # five apart, but for the two that are kept
    assert "200 of 1,000 trials are drawn: the best, the last that was pruned" in note(spec)
    np.testing.assert_allclose(rows[3]["value"], walks[numbers[3]], rtol=1e-8)


def test_reports_of_50_000_trials_fit_a_page(huge: Study) -> None:
    assert len(json.dumps(intermediate_values(huge).to_dict())) < MOST_BYTES


def test_spans_of_trials_are_optunas(searched: optuna.Study, study: Study) -> None:
    figure = optuna.visualization.plot_timeline(searched)
    theirs: dict[str, list[float]] = {}
    for bars in figure.data:
        theirs.setdefault(bars.name, []).extend(milliseconds / 1000 for milliseconds in bars.x)
    data = trial_timeline_data(study)
    for state in ("COMPLETE", "PRUNED", "FAIL"):
        ours = data[data["state"] == state].sort_values("number")["duration"]
        np.testing.assert_allclose(ours, theirs[state], atol=1e-6)


def test_trials_side_by_side_lie_in_lanes() -> None:
    # Two workers until second 6, then a third.
    spans = [(0, 4), (1, 2), (3, 3), (4, 4), (6, 5), (6.5, 0.25), (6.75, 1)]
    made = study_of([trial(n, 1.0, start=a, seconds=s) for n, (a, s) in enumerate(spans)])
    data = trial_timeline_data(made)
    assert data["lane"].tolist() == [1, 2, 2, 1, 2, 3, 3]
    assert "up to 3 at a time" in note(trial_timeline(made))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=12))
def test_no_lane_holds_two_trials_at_once_and_there_are_no_more_than_needed(
    spans: list[tuple[int, int]],
) -> None:
    made = study_of([trial(n, 1.0, start=a, seconds=s) for n, (a, s) in enumerate(spans)])
    data = trial_timeline_data(made)
    for _, lane in data.groupby("lane"):
        assert (lane["start"].to_numpy()[1:] >= lane["end"].to_numpy()[:-1]).all()
    at_once = [sum(a <= t < a + s for a, s in spans) for t in range(71)]
    assert data["lane"].max() == max(at_once)


def test_a_running_trial_is_open_up_to_the_latest_time_known() -> None:
    made = study_of(
        [
            trial(0, 1.0, start=0, seconds=10),
            trial(1, None, RUNNING, start=5),
            trial(2, None, WAITING, start=None),
            trial(3, None, WAITING, start=None),
        ]
    )
    data = trial_timeline_data(made)
    assert data["number"].tolist() == [0, 1]
    assert data["open"].tolist() == [False, True]
    assert data["end"].tolist() == [pd.Timestamp(START) + pd.Timedelta(seconds=10)] * 2
    assert data["duration"].tolist() == [10, 5]
    chart = trial_timeline(made)
    assert "2 trials never started, not drawn" in note(chart)
    assert "dashed: not ended" in note(chart)
    dashed = [layer for layer in chart.to_dict()["layer"] if "strokeDash" in layer["mark"]]
    assert [layer["transform"][-1]["filter"] for layer in dashed] == ["datum.open"]


def test_times_are_utc() -> None:
    chart = trial_timeline(study_of([trial(0, 1.0, start=1, seconds=3600)]))
    x = chart.to_dict()["layer"][0]["encoding"]["x"]
    assert x["scale"]["type"] == "utc"
    assert x["title"] == "time (UTC)"
    (row,) = records(chart, "started")
    assert row["started"] == "2026-03-01 22:30:01"
    assert row["left"] == 1000 * (START.replace(tzinfo=UTC).timestamp() + 1)
    assert "from 2026-03-01 22:30 to 2026-03-01 23:30 UTC" in note(chart)
    # Labels by the UTC clock, wherever the reader is: the hour of the start and the next.
    assert ">23:00<" in offline.svg(chart.to_dict())


def test_clocks_that_differ_do_not_turn_a_trial_round() -> None:
    made = study_of([trial(0, 1.0, start=5, seconds=-3), trial(1, 1.0, start=4)])
    assert trial_timeline_data(made)["duration"].tolist() == [1, 0]


def trials_of(bars: pd.DataFrame) -> int:
    several = bars["trial"].str.extract(r"^([\d,]+) trials from \d+$")[0].fillna("1")
    return int(several.str.replace(",", "").astype(int).sum())


def test_a_timeline_of_50_000_trials_fits_a_page_and_leaves_none_out(huge: Study) -> None:
    spec = trial_timeline(huge).to_dict()
    assert len(json.dumps(spec)) < MOST_BYTES
    assert len(offline.svg(spec)) < MOST_BYTES
    assert "up to 64 at a time" in note(spec)
    assert trials_of(pd.DataFrame(records(spec, "left"))) == 50_000


def test_trials_too_short_to_be_seen_apart_show_by_their_share() -> None:
    cycle = [COMPLETE, COMPLETE, COMPLETE, COMPLETE, FAIL]
    values = [1.0, 1.0, 1.0, 1.0, None]
    made = study_of([trial(n, values[n % 5], cycle[n % 5], start=n) for n in range(10_000)])
    bars = pd.DataFrame(records(trial_timeline(made), "left"))
    assert trials_of(bars) == 10_000
    assert len(bars) < 1_000
    # The bar of a lane is 0.8 high, and every fifth failed.
    height = (bars["bottom"] - bars["top"]).groupby(bars["state"]).mean()
    assert height.to_dict() == pytest.approx({"COMPLETE": 0.64, "FAIL": 0.16}, rel=0.01)


def test_a_distribution_is_optunas(searched: optuna.Study, study: Study) -> None:
    (line,) = optuna.visualization.plot_edf(searched).data
    data = edf_data(study)
    place = np.searchsorted(data["value"], line.x, side="right")
    np.testing.assert_allclose(np.concatenate([[0], data["share"]])[place], line.y)
    assert data["of"].unique().tolist() == [len(study.finished())]


def test_equal_values_are_one_step() -> None:
    made = study_of([trial(n, v) for n, v in enumerate([2.0, 1.0, 2.0, math.inf])])
    data = edf_data(made)
    assert data["value"].tolist() == [1, 2, math.inf]
    assert data["share"].tolist() == [0.25, 0.75, 1]
    assert data["trials"].tolist() == [1, 3, 4]
    (row,) = records(edf(made), "share")
    # From one end of the axis to the other, on which infinity is not.
    assert row["share"] == [0, 0.25, 0.75, 0.75]
    assert row["value"] == pytest.approx([1 - 0.08, 1, 2, 2.08])
    assert "1 trial far beyond the view, one of inf" in note(edf(made))


def test_studies_are_told_apart_by_name() -> None:
    one, two = study_of([trial(0, 1.0)]), study_of([trial(0, 2.0), trial(1, 3.0)])
    assert edf_data([one, two])["study"].unique().tolist() == ["made", "made (2)"]
    assert edf_data({"random": one, "tpe": two})["study"].tolist() == ["random", "tpe", "tpe"]
    spec = edf({"random": one, "tpe": two}).to_dict()
    assert spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["random", "tpe"]
    assert "tpe, n = 2" in spec["layer"][0]["encoding"]["color"]["legend"]["labelExpr"]


def test_the_axis_says_which_way_is_better() -> None:
    trials = [trial(0, 1.0), trial(1, 2.0)]
    for direction, side in (("minimize", "left"), ("maximize", "right")):
        x = edf(study_of(trials, direction)).to_dict()["layer"][0]["encoding"]["x"]
        assert x["title"] == f"value ({direction}: further to the {side} is better)"


def test_studies_that_cannot_be_compared_say_why() -> None:
    up, down = study_of([trial(0, 1.0)], "maximize"), study_of([trial(0, 1.0)])
    with pytest.raises(BadArgument, match="same direction, but up maximizes, down minimizes"):
        edf({"up": up, "down": down})
    with pytest.raises(BadArgument, match="studies is empty"):
        edf([])


def test_a_distribution_of_50_000_trials_has_few_corners_all_of_them_on_it(huge: Study) -> None:
    (row,) = records(edf(huge), "share")
    assert len(row["share"]) <= 502
    assert row["share"][-1] == 1
    values = huge.finished()["value"].to_numpy()
    exact = [np.mean(values <= value + 1e-7) for value in row["value"]]
    np.testing.assert_allclose(row["share"], exact, atol=1.5 / len(values))
