"""The charts of several objectives and of hyperparameters side by side, checked against Optuna."""

import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna.visualization._hypervolume_history import _get_hypervolume_history_info

import tarslab as tl
from tarslab.charts import offline, theme
from tarslab.charts.front import pareto_front, pareto_front_data
from tarslab.charts.front_3d import pareto_front_3d
from tarslab.charts.parallel import (
    MOST_LINES,
    labels_of,
    parallel_coordinates,
    parallel_coordinates_data,
    view,
)
from tarslab.charts.volume import hypervolume_history, hypervolume_history_data
from tarslab.errors import BadArgument, NoTrials
from tarslab.studies import Study
from tarslab.studies.storages import Recorded

optuna.logging.set_verbosity(optuna.logging.ERROR)

Chart = Any
Spec = dict[str, Any]
INF = float("inf")
Aim = Literal["minimize", "maximize"]
AIMS: tuple[Aim, ...] = ("minimize", "maximize")
NAMES = ["accuracy", "size [kB]", "error.rate", "latency", "energy"]
DIRECTIONS: list[Aim] = ["maximize", "minimize", "minimize", "maximize", "minimize"]
SPACE: dict[str, BaseDistribution] = {
    "net.rate[0]": FloatDistribution(1e-4, 1.0, log=True),
    "layers": IntDistribution(1, 5),
    "activation": CategoricalDistribution(["relu", "tanh", None]),
    "momentum": FloatDistribution(0.0, 1.0),
    "fixed": IntDistribution(3, 3),
}
FIXED = {"fixed": SPACE["fixed"]}


def made(
    values: Sequence[Sequence[float]],
    directions: Sequence[Aim] = ("minimize", "minimize"),
    params: Sequence[dict[str, Any]] | None = None,
) -> optuna.Study:
    """A study of Optuna whose complete trials have these values."""
    study = optuna.create_study(directions=list(directions))
    for place, row in enumerate(values):
        chosen = {} if params is None else params[place]
        study.add_trial(
            create_trial(
                values=[float(value) for value in row],
                params=chosen,
                distributions={name: SPACE[name] for name in chosen},
            )
        )
    return study


def evaluate(trial: optuna.Trial, objectives: int) -> list[float]:
    rate = trial.suggest_float("net.rate[0]", 1e-4, 1.0, log=True)
    layers = trial.suggest_int("layers", 1, 5)
    activation = trial.suggest_categorical("activation", ["relu", "tanh", None])
    momentum = trial.suggest_float("momentum", 0, 1) if layers > 2 else 0.5
    if layers == 5 and activation is None:
        raise optuna.TrialPruned
    size = 30_000.0 * layers + 100 * momentum
    return [1 - rate - momentum / 9, size, rate * layers, momentum - rate, size * rate][:objectives]


def searched(objectives: int, n: int = 60) -> optuna.Study:
    """A search that ran, of this many objectives that have names."""
    study = optuna.create_study(
        directions=DIRECTIONS[:objectives], sampler=RandomSampler(seed=objectives)
    )
    study.optimize(lambda trial: evaluate(trial, objectives), n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(NAMES[:objectives])
    return study


def constrained() -> optuna.Study:
    """A search in which trials of a rate above one tenth go against a constraint."""

    def objective(trial: optuna.Trial) -> list[float]:
        values = evaluate(trial, 2)
        trial.set_constraint("rate", trial.params["net.rate[0]"] - 0.1)
        return values

    study = optuna.create_study(directions=DIRECTIONS[:2], sampler=RandomSampler(seed=0))
    study.optimize(objective, 60)
    return study


@pytest.fixture(scope="module")
def many() -> Study:
    """50,000 trials of five objectives, some of which lie far away."""
    n, random = 50_000, np.random.default_rng(0)
    values = random.uniform(0, 1, (n, 5)) ** 0.5 + random.lognormal(0, 0.5, (n, 1))
    values[random.integers(n, size=20)] = 1e9
    rates, layers = random.uniform(-4, 0, n), random.integers(1, 6, n)
    names = ("net.rate[0]", "layers", "activation")
    distributions = {name: SPACE[name] for name in names}
    activations = ["relu", "tanh", None]
    trials = [
        FrozenTrial(
            number=place,
            state=TrialState.COMPLETE,
            value=None,
            values=values[place].tolist(),
            datetime_start=None,
            datetime_complete=None,
            params={
                "net.rate[0]": float(10 ** rates[place]),
                "layers": int(layers[place]),
                "activation": activations[place % 3],
            },
            distributions=distributions,
            user_attrs={},
            system_attrs={},
            intermediate_values={},
            trial_id=place,
        )
        for place in range(n)
    ]
    return Study(Recorded("many", ("minimize",) * 5, None, {}, trials))


def note(chart: Chart) -> str:
    return " | ".join(chart.to_dict()["title"]["text"])


def rows(spec: Spec) -> list[dict[str, Any]]:
    """The records that all views of a chart share."""
    found: list[dict[str, Any]] = spec["datasets"][spec["data"]["name"]]
    return found


def drawn_with(spec: Spec, **values: Any) -> str:
    """The picture after a reader has set these of its params."""
    for param in spec["params"]:
        if param["name"] in values:
            param["value"] = values[param["name"]]
    return offline.svg(spec)


def parts(spec: Any, key: str) -> list[Any]:
    """What stands under a key anywhere in a specification."""
    if isinstance(spec, list):
        return [found for part in spec for found in parts(part, key)]
    if not isinstance(spec, dict):
        return []
    own = [spec[key]] if key in spec else []
    return own + [found for part in spec.values() for found in parts(part, key)]


EQUAL = made([(1.0, 2.0, 3.0)] * 3, DIRECTIONS[:3])
NOT_FINITE = made([(1, 2), (2, 1), (INF, 0), (0, INF), (5, 5)])
FAR = made([(i, 9 - i) for i in range(10)] * 3 + [(1e10, 1e12)], params=[{"fixed": 3}] * 31)
GAPS = made(
    [(1, 2), (2, 1), (3, 3)],
    params=[{"layers": 2, "momentum": 0.5}, {"momentum": 0.1}, {"layers": 5}],
)

DRAWN: dict[str, Callable[[], Chart]] = {
    **{
        f"pareto_front of {n}": partial(lambda n: pareto_front(tl.load_study(searched(n))), n)
        for n in (2, 3, 4, 5)
    },
    "pareto_front with a line": lambda: pareto_front(tl.load_study(searched(2)), line=True),
    "pareto_front with constraints": lambda: pareto_front(tl.load_study(constrained())),
    "pareto_front of one trial": lambda: pareto_front(tl.load_study(made([(1, 1)])), line=True),
    "pareto_front of equal trials": lambda: pareto_front(tl.load_study(EQUAL)),
    "pareto_front of infinities": lambda: pareto_front(tl.load_study(NOT_FINITE)),
    "parallel_coordinates": lambda: parallel_coordinates(tl.load_study(searched(3)), objective=1),
    "parallel_coordinates of gaps": lambda: parallel_coordinates(tl.load_study(GAPS)),
    "parallel_coordinates far away": lambda: parallel_coordinates(tl.load_study(FAR)),
    "hypervolume_history": lambda: hypervolume_history(tl.load_study(searched(3))),
    "hypervolume_history of equal trials": lambda: hypervolume_history(tl.load_study(EQUAL)),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_every_chart_can_be_drawn_and_says_what_it_shows(draw: Callable[[], Chart]) -> None:
    spec = draw().to_dict()  # which Altair checks against the schema of Vega-Lite
    svg = offline.svg(spec)
    assert "<svg" in svg
    assert not re.search(r"NaN|undefined|Infinity", svg)
    assert not re.search(r"NaN|Infinity", json.dumps(spec))
    assert spec["description"]
    fields = [field for field in parts(spec, "field") if isinstance(field, str)]
    assert fields
    assert not [field for field in fields if "." in field or "[" in field]
    named = [param["name"] for param in spec["params"]]
    assert set(named) <= {"zoom", "toggle_kind", "brush", "axis_brush", "hovered"}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_frontier_is_that_of_optuna_for_any_number_of_objectives(data: st.DataObject) -> None:
    directions = data.draw(st.lists(st.sampled_from(AIMS), min_size=2, max_size=5))
    value = st.integers(0, 4) | st.sampled_from([INF, -INF])
    row = st.tuples(*[value] * len(directions))
    study = made(data.draw(st.lists(row, min_size=1, max_size=12)), directions)
    found = pareto_front_data(tl.load_study(study))
    on_it = found["number"][found["kind"] == "frontier"]
    assert sorted(on_it) == sorted(trial.number for trial in study.best_trials)


def test_infeasible_trials_are_drawn_apart_and_never_on_the_frontier() -> None:
    found = constrained()
    table = pareto_front_data(tl.load_study(found)).set_index("number")
    for trial in found.get_trials(states=(TrialState.COMPLETE,)):
        against = trial.params["net.rate[0]"] > 0.1
        assert (table["kind"][trial.number] == "infeasible") == against
    on_it = table.index[table["kind"] == "frontier"]
    assert set(on_it) == {trial.number for trial in found.best_trials}
    chart = pareto_front(tl.load_study(found))
    assert f"{(table['kind'] == 'infeasible').sum()} against a constraint" in note(chart)
    kinds = [row["kind"] for row in rows(chart.to_dict())]
    assert kinds == sorted(kinds, key=["infeasible", "dominated", "frontier"].index)


def test_trials_that_are_not_complete_are_not_drawn() -> None:
    study = searched(2)
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    assert 0 < len(complete) < len(study.trials)
    table = pareto_front_data(tl.load_study(study))
    assert table["number"].tolist() == [trial.number for trial in complete]


@pytest.mark.parametrize("chosen", [["accuracy", "energy"], [4, "accuracy", 2]])
def test_the_frontier_of_some_objectives_is_that_of_a_study_of_these(
    chosen: list[int | str],
) -> None:
    study = searched(5)
    places = [NAMES.index(one) if isinstance(one, str) else one for one in chosen]
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    alone = made(
        [[trial.values[place] for place in places] for trial in complete],
        [DIRECTIONS[place] for place in places],
    )
    table = pareto_front_data(tl.load_study(study), objectives=chosen).reset_index(drop=True)
    on_it = table.index[table["kind"] == "frontier"].tolist()
    assert on_it == sorted(trial.number for trial in alone.best_trials)
    assert [column for column in table if str(column).startswith("values_")] == [
        f"values_{place}" for place in places
    ]


@pytest.mark.parametrize("y", AIMS)
@pytest.mark.parametrize("x", AIMS)
def test_the_line_is_the_border_of_what_the_frontier_dominates(x: Aim, y: Aim) -> None:
    angle = np.linspace(0.1, math.pi / 2 - 0.1, 7)
    towards = [1 if aim == "maximize" else -1 for aim in (x, y)]
    values = np.stack([np.sin(angle), np.cos(angle)], axis=1) * towards
    chart = pareto_front(tl.load_study(made(values.tolist(), (x, y))), line=True)
    (line,) = [la for la in chart.to_dict()["layer"] if la["mark"]["type"] == "line"]
    for (x1, y1), (x2, y2) in pairwise(sorted(values.tolist())):
        # Of d3's curves: step-after goes along x first, step-before along y.
        corner = (x2, y1) if line["mark"]["interpolate"] == "step-after" else (x1, y2)
        worse = [
            all(
                (point - at) * sign >= 0
                for point, at, sign in zip(one, corner, towards, strict=True)
            )
            for one in ((x1, y1), (x2, y2))
        ]
        assert all(worse), "a corner is no better in any objective than both points beside it"


def test_axes_say_which_side_is_better_and_tooltips_hold_the_hyperparameters() -> None:
    (points,) = pareto_front(tl.load_study(searched(2))).to_dict()["layer"]
    encoding = points["encoding"]
    assert encoding["x"]["title"] == "accuracy (higher is better)"
    assert encoding["y"]["title"] == "size [kB] (lower is better)"
    titles = [one["title"] for one in encoding["tooltip"]]
    assert titles[:4] == ["trial", "kind", "accuracy", "size [kB]"]
    assert set(titles[4:]) == {"net.rate[0]", "layers", "activation", "momentum"}
    assert encoding["shape"]["scale"]["range"] == ["circle", "diamond"]
    assert encoding["color"]["scale"]["range"] == [theme.PALETTE[6], theme.PALETTE[0]]


@pytest.mark.parametrize("n", [3, 4, 5])
def test_more_objectives_are_a_panel_of_every_two_and_lines_across_all(n: int) -> None:
    spec = pareto_front(tl.load_study(searched(n))).to_dict()
    *matrix, parallel = spec["vconcat"]
    panels = [panel for row in matrix for panel in row["hconcat"]]
    pairs = {frozenset((p["encoding"]["x"]["field"], p["encoding"]["y"]["field"])) for p in panels}
    assert len(panels) == len(pairs) == math.comb(n, 2)
    (brush,) = [param for param in spec["params"] if param["name"] == "brush"]
    assert sorted(brush["views"]) == sorted(panel["name"] for panel in panels)
    title = parallel["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]
    arrows = {"maximize": "↑", "minimize": "↓"}
    assert json.loads(title.removesuffix("[datum.value]")) == [
        f"{arrows[aim]} {name}" for aim, name in zip(DIRECTIONS[:n], NAMES, strict=False)
    ]


def test_a_brush_in_one_panel_fades_all_other_trials_in_every_panel_and_line() -> None:
    study = tl.load_study(searched(3))
    values = study.finished()
    spec = pareto_front(study).to_dict()
    views = 3 + 1
    assert drawn_with(spec).count('opacity="0.04"') == 0
    # The first panel is of the first two objectives.
    within = (values["values_0"] < 0.8) & (values["values_1"] < 100_000)
    assert 0 < within.sum() < len(values)
    svg = drawn_with(spec, brush={"x": [-9, 0.8], "y": [0, 100_000]})
    assert svg.count('opacity="0.04"') == views * (~within).sum()


def test_a_brush_over_an_axis_does_the_same() -> None:
    study = tl.load_study(searched(3))
    values = study.finished()["values_1"]
    limit = values.min() + 0.3 * (values.max() - values.min())
    svg = drawn_with(pareto_front(study).to_dict(), axis_brush={"x": [0.9, 1.1], "y": [0, 0.3]})
    assert svg.count('opacity="0.04"') == 4 * (values > limit).sum()


def test_far_trials_leave_the_view_to_the_others_and_are_counted() -> None:
    chart = pareto_front(tl.load_study(FAR))
    encoding = chart.to_dict()["layer"][0]["encoding"]
    assert encoding["x"]["scale"]["domain"] == encoding["y"]["scale"]["domain"] == [0, 9]
    assert "1 trial beyond the view" in note(chart)


def test_values_that_are_not_finite_are_left_out_and_counted() -> None:
    chart = pareto_front(tl.load_study(NOT_FINITE))
    assert {row["number"] for row in rows(chart.to_dict())} == {0, 1, 4}
    assert "2 trials with values that are not finite left out" in note(chart)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    st.lists(st.floats(-1e6, 1e6), max_size=3),
)
def test_a_view_holds_what_is_to_be_kept_and_nothing_but_the_values(
    values: list[float], keep: list[float]
) -> None:
    everything = np.array(values + keep)
    low, high = view(everything, np.array(keep))
    assert low < high
    assert all(low <= value <= high for value in keep)
    if everything.min() < everything.max():
        assert everything.min() <= low
        assert high <= everything.max()
    assert np.mean((everything >= low) & (everything <= high)) >= 0.9 - 2 / len(everything)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_hypervolume_is_that_of_optuna(data: st.DataObject) -> None:
    directions = data.draw(st.lists(st.sampled_from(AIMS), min_size=2, max_size=4))
    value = st.integers(-5, 5).map(float)
    row = st.tuples(*[value] * len(directions))
    study = made(data.draw(st.lists(row, min_size=1, max_size=12)), directions)
    reference = data.draw(row)
    ours = hypervolume_history_data(tl.load_study(study), reference=reference)
    theirs = _get_hypervolume_history_info(study, np.array(reference))
    assert ours["number"].tolist() == theirs.trial_numbers
    np.testing.assert_allclose(ours["hypervolume"], theirs.values, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours["gain"].cumsum(), ours["hypervolume"], atol=1e-9)


def test_the_history_says_its_reference_and_keeps_the_trials_that_added() -> None:
    # By hand, from (4, 4): 3 * 1, then 1 more for (2, 2), nothing for (3, 3), 2 for (1, 1) ...
    study = tl.load_study(made([(1, 3), (2, 2), (3, 3), (4, 4), (1, 1), (2, 2)]))
    data = hypervolume_history_data(study)
    assert data["hypervolume"].tolist() == [3, 5, 5, 5, 9, 9]
    assert data["gain"].tolist() == [3, 2, 0, 0, 4, 0]
    chart = hypervolume_history(study)
    assert "9 after 6 complete trials, of which 3 added to it" in note(chart)
    assert "Reference: value 0 4, value 1 4, the worst values" in note(chart)
    assert [row["number"] for row in rows(chart.to_dict())] == [0, 1, 4, 5]
    line = chart.to_dict()["layer"][0]["mark"]
    assert line["interpolate"] == "step-after"
    given_one = note(hypervolume_history(study, reference=(2.5, 3)))
    assert "Reference: value 0 2.5, value 1 3; 3 trials not better" in given_one


def test_axes_of_hyperparameters_are_those_of_the_search() -> None:
    params: list[dict[str, Any]] = [
        {"net.rate[0]": 0.01, "layers": 3, "activation": "tanh", "momentum": 0.25, "fixed": 3},
        {"net.rate[0]": 1.0, "layers": 5, "activation": None, "fixed": 3},
        {"net.rate[0]": 1e-4, "layers": 1, "activation": "relu", "momentum": 1.0, "fixed": 3},
    ]
    study = tl.load_study(made([(0, 5), (5, 5), (10, 5)], params=params))
    data = parallel_coordinates_data(study)
    # By hand: half of four powers of ten, ints and categories evenly, and a gap where it is unset.
    # What not all have is at the left.
    expected = {
        "params_momentum": [0.25, np.nan, 1],
        "params_net.rate[0]": [0.5, 1, 0],
        "params_layers": [0.5, 1, 0],
        "params_activation": [0.5, 1, 0],
        "params_fixed": [0.5, 0.5, 0.5],
        "values_0": [0, 0.5, 1],
    }
    pd.testing.assert_frame_equal(data.positions, pd.DataFrame(expected))
    labels = {axis: part["label"].tolist() for axis, part in data.ticks.groupby("axis")}
    assert labels["params_net.rate[0]"] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert labels["params_layers"] == ["1", "2", "3", "4", "5"]
    assert labels["params_activation"] == ["relu", "tanh", "None"]
    assert labels["params_fixed"] == ["3"]
    at = {row["number"]: row["at"] for row in rows(parallel_coordinates(study).to_dict())}
    assert at[1] == [None, 1, 1, 1, 0.5, 0.5]
    in_order = parallel_coordinates_data(study, params=["layers", "momentum"])
    assert [*in_order.positions] == ["params_layers", "params_momentum", "values_0"]


def test_labels_are_short() -> None:
    assert labels_of([1e-5, 0.001, 0.3]) == ["1e−5", "0.001", "0.3"]
    assert labels_of([0, 500, 1_500, 20_000, 3e6]) == ["0", "500", "1.5k", "20k", "3M"]
    assert labels_of([-2.0, 0.0, 2048.0]) == ["−2", "0", "2048"]


@pytest.mark.parametrize("objective", ["accuracy", 1])
def test_the_better_a_trial_the_darker_and_the_higher_it_lies(objective: int | str) -> None:
    study = tl.load_study(searched(2))
    column, direction = study.objective(objective)
    maximize = direction == "maximize"
    chart = parallel_coordinates(study, objective=objective)
    spec = chart.to_dict()
    values = [row[column] for row in rows(spec)]
    # What comes later in a picture lies on top.
    assert values == sorted(values, reverse=not maximize)
    finished = study.finished()
    best = finished.sort_values(column, ascending=not maximize)["number"].iloc[0]
    assert f"the best, trial {best}, is orange" in note(chart)
    stroke = spec["layer"][0]["encoding"]["stroke"]
    # Viridis is dark at its low end.
    assert stroke["scale"]["scheme"] == "viridis"
    assert stroke["scale"]["reverse"] == maximize
    name = study.objectives[study.value_columns.index(column)]
    assert stroke["legend"]["title"] == (f"{name} ({'higher' if maximize else 'lower'} is better)")


def test_the_trial_under_the_pointer_is_named_with_all_its_values() -> None:
    spec = parallel_coordinates(tl.load_study(searched(2))).to_dict() | {"width": 600}
    trial = rows(spec)[7]
    assert f">trial {trial['number']}: " not in drawn_with(spec)
    svg = drawn_with(spec, hovered=[{"number": trial["number"]}])
    assert f">trial {trial['number']}: {trial['values_0']:.4g}<" in svg
    assert f">{trial['params_layers']:.4g}<" in svg


def test_a_rectangle_over_an_axis_leaves_the_trials_that_pass_through_it() -> None:
    study = tl.load_study(searched(2))
    spec = parallel_coordinates(study, params=["layers", "activation"]).to_dict()
    spec["width"] = 600
    # All but the lowest of five places on the first axis.
    svg = drawn_with(spec, brush={"x": [-0.1, 0.1], "y": [0.2, 1]})
    assert svg.count('opacity="0.03"') == (study.finished()["params_layers"] == 1).sum()


def test_a_value_between_two_gaps_is_a_dot() -> None:
    def lone(study: optuna.Study) -> list[Any]:
        spec = parallel_coordinates(tl.load_study(study)).to_dict()
        return [layer for layer in spec["layer"] if layer["mark"]["type"] == "point"]

    # The last trial has its first hyperparameter, not the second, and then its value.
    assert len(lone(GAPS)) == 1
    assert not lone(FAR)


def test_an_objective_far_away_stands_at_the_end_of_its_axis_which_says_so() -> None:
    data = parallel_coordinates_data(tl.load_study(FAR))
    assert data.positions["values_0"].iloc[-1] == 1
    ticks = data.ticks[data.ticks["axis"] == "values_0"]
    assert ticks["label"].iloc[-1] == "≥ 9"
    assert data.positions["values_0"].iloc[3] == pytest.approx(3 / 9)


def test_of_50000_trials_the_whole_frontier_is_drawn_and_some_of_the_others(many: Study) -> None:
    for objectives in ([0, 1], None):
        table = pareto_front_data(many, objectives=objectives)
        front = set(table["number"][table["kind"] == "frontier"])
        chart = pareto_front(many, objectives=objectives)
        spec = chart.to_dict()
        assert len(json.dumps(spec)) < 1e6
        drawn = rows(spec)
        assert {row["number"] for row in drawn if row["kind"] == "frontier"} == front
        assert len(front) < len(drawn) < 5_000
        assert f"{len(front):,} of 50,000 complete trials on the frontier" in note(chart)
        assert f"Drawn are {len(drawn):,}: the whole frontier" in note(chart)
    assert len(offline.svg(spec)) < 2e6


def test_of_a_frontier_that_is_too_large_some_are_drawn_and_the_ends_of_it() -> None:
    angle = np.linspace(0, math.pi / 2, 6_000)
    study = Study(
        Recorded(
            "shell",
            ("minimize",) * 3,
            None,
            {},
            [
                create_trial(values=[math.cos(a), math.sin(a), math.sin(a)], params={})
                for a in angle
            ],
        )
    )
    chart = pareto_front(study)
    spec = chart.to_dict()
    assert len(json.dumps(spec)) < 1e6
    drawn = pd.DataFrame(rows(spec))
    assert len(drawn) < 3_000
    assert drawn["values_0"].agg(["min", "max"]).tolist() == pytest.approx([0, 1], abs=1e-9)
    assert "6,000 of 6,000 complete trials on the frontier" in note(chart)


def test_of_50000_lines_the_best_are_kept_and_an_even_choice_of_the_others(many: Study) -> None:
    chart = parallel_coordinates(many, objective=2)
    spec = chart.to_dict()
    assert len(json.dumps(spec)) < 1e6
    drawn = [row["number"] for row in rows(spec)]
    assert len(drawn) == len(set(drawn)) == MOST_LINES
    by_value = many.trials.sort_values("values_2")["number"].tolist()
    assert set(drawn[-200:]) == set(by_value[:200])
    # Every tenth of the trials, sorted by value, is drawn as often.
    place = {number: rank for rank, number in enumerate(by_value)}
    counts = np.histogram([place[number] for number in drawn[:-200]], 10, (0, 50_000))[0]
    assert counts.max() - counts.min() <= 3
    assert "Drawn are 1,000 of them: the best 200 and an even choice" in note(chart)


def test_a_history_of_50000_trials_is_its_steps(many: Study) -> None:
    two = Study(
        Recorded(
            "two",
            ("minimize", "minimize"),
            None,
            {},
            [
                create_trial(values=trial.values[:2], params={}, distributions={})
                for trial in many.frozen[:20_000]
            ],
        )
    )
    data = hypervolume_history_data(two)
    spec = hypervolume_history(two).to_dict()
    assert len(json.dumps(spec)) < 1e6
    drawn = {row["number"]: row["hypervolume"] for row in rows(spec)}
    steps = data[data["gain"] > 1e-12 * data["hypervolume"]]
    assert set(steps["number"]) <= set(drawn)
    assert [drawn[n] for n in steps["number"]] == pytest.approx(steps["hypervolume"].tolist())


def test_three_objectives_in_space_hold_the_same_frontier() -> None:
    study = searched(3)
    figure = pareto_front_3d(tl.load_study(study))
    traces = {trace.name: trace for trace in figure.data}
    assert set(traces) == {"dominated", "frontier"}
    best = {tuple(trial.values) for trial in study.best_trials}
    front = traces["frontier"]
    assert {*zip(front.x, front.y, front.z, strict=True)} == best
    assert front.marker.symbol != traces["dominated"].marker.symbol
    assert figure.layout.scene.yaxis.title.text == "size [kB]<br>(lower is better)"
    assert all("net.rate[0]: " in words for words in front.hovertext)
    assert f"{len(study.best_trials)} of" in figure.layout.title.text


def test_the_figure_in_space_needs_no_network() -> None:
    html = pareto_front_3d(tl.load_study(searched(3))).to_html(include_plotlyjs=True)
    assert not re.search(r"<(script|link)[^>]+(src|href)=", html)


def test_without_plotly_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(BadArgument, match=r'pip install "tarslab\[plotly\]"'):
        pareto_front_3d(tl.load_study(searched(3)))


def test_without_a_complete_trial_there_is_nothing_to_draw() -> None:
    study = optuna.create_study(directions=DIRECTIONS[:2])
    study.add_trial(create_trial(state=TrialState.FAIL, params={"fixed": 3}, distributions=FIXED))
    loaded = tl.load_study(study)
    for draw in (pareto_front, hypervolume_history, parallel_coordinates):
        with pytest.raises(NoTrials, match="1 FAIL"):
            draw(loaded)
    for draw in (pareto_front, parallel_coordinates):
        with pytest.raises(NoTrials, match="finite"):
            draw(tl.load_study(made([(INF, INF)], params=[{"fixed": 3}])))


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (lambda s: pareto_front(s, objectives=[0]), "at least 2 different ones of accuracy"),
        (lambda s: pareto_front(s, objectives=[0, "accuracy"]), "trial_scores draws a single one"),
        (lambda s: pareto_front(s, objectives="accuracy"), "at least 2 different ones"),
        (
            lambda s: pareto_front(s, objectives=[0, "speed"]),
            "objective must be one of 0 (accuracy)",
        ),
        (lambda s: pareto_front(s, line=True), "choose two by objectives="),
        (lambda s: pareto_front_3d(s, objectives=[0, 1]), "must be three of accuracy"),
        (lambda s: parallel_coordinates(s, params=[]), "params is empty"),
        (lambda s: parallel_coordinates(s, params=["depth"]), "no parameter depth; there are"),
        (lambda s: parallel_coordinates(s, objective=9), "objective must be one of"),
        (lambda s: hypervolume_history(s, reference=[1, 2]), "reference must be 3 numbers"),
        (lambda s: hypervolume_history(s, reference=[-INF, INF, INF]), "give a finite one"),
    ],
)
def test_what_cannot_be_drawn_says_why(draw: Callable[[Study], object], why: str) -> None:
    with pytest.raises(BadArgument, match=re.escape(why)):
        draw(tl.load_study(searched(3, n=20)))


def test_a_study_of_one_objective_is_sent_to_its_own_chart() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=1.0))
    for draw in (pareto_front, pareto_front_3d, hypervolume_history):
        with pytest.raises(BadArgument, match=r"one objective.*trial_scores"):
            draw(tl.load_study(study))
    with pytest.raises(BadArgument, match="no hyperparameters"):
        parallel_coordinates(tl.load_study(study))


def test_pictures_of_synthetic_trials_say_so() -> None:
    trials = [
        create_trial(values=[i, -i, i], params={"fixed": 3}, distributions=FIXED)
        for i in (1.0, 2.0)
    ]
    study = Study(Recorded("made up", ("minimize",) * 3, None, {}, trials), source="synthetic")
    for draw in (pareto_front, parallel_coordinates, hypervolume_history):
        assert "Synthetic data" in note(draw(study))
    assert "Synthetic data" in pareto_front_3d(study).layout.title.text
