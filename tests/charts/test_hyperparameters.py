"""The charts of hyperparameters: importances, slices, contours."""

import json
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

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
from optuna.trial import FrozenTrial, TrialState, create_trial

import tarslab as tl
from tarslab.charts import offline
from tarslab.charts.contours import contour, contour_data
from tarslab.charts.importance import param_importance, param_importance_data
from tarslab.charts.slicing import slices, slices_data, spread
from tarslab.errors import BadArgument, NoTrials
from tarslab.studies.storages import Recorded

Chart = Any
Direction = Literal["minimize", "maximize"]
SPACE: dict[str, BaseDistribution] = {
    "net.rate[0]": FloatDistribution(1e-5, 1e-1, log=True),
    "layers": IntDistribution(1, 3),
    "kind": CategoricalDistribution(["relu", None, 3]),
    "gamma": FloatDistribution(0, 1),
}


def evaluate(trial: optuna.Trial) -> float:
    rate = trial.suggest_float("net.rate[0]", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 6)
    kind = trial.suggest_categorical("kind", ["relu", None, 3])
    trial.suggest_int("width", 16, 512, log=True)
    if layers > 3:
        trial.suggest_float("drop.out", 0, 0.5)
    if layers == 6:
        raise ValueError("diverged")
    trial.report(layers, 0)
    if layers == 5:
        raise optuna.TrialPruned
    return (math.log10(rate) + 3) ** 2 + 0.1 * layers + 3 * (kind is None)


@pytest.fixture(scope="module")
def search() -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=4))
    study.optimize(evaluate, 90, catch=(ValueError,))
    return study


@pytest.fixture(scope="module")
def study(search: optuna.Study) -> tl.Study:
    return tl.load_study(search)


def trial(
    value: float | Sequence[float], attrs: dict[str, Any] | None = None, **params: Any
) -> FrozenTrial:
    named = {name.replace("rate", "net.rate[0]"): setting for name, setting in params.items()}
    values = [value] if isinstance(value, int | float) else list(value)
    space = {name: SPACE[name] for name in named}
    return create_trial(values=values, params=named, distributions=space, system_attrs=attrs)


def made(
    trials: Sequence[FrozenTrial], directions: Sequence[Direction] = ("minimize",)
) -> tl.Study:
    given = optuna.create_study(directions=directions)
    given.add_trials(trials)
    return tl.load_study(given)


@pytest.fixture(scope="module")
def many() -> tl.Study:
    """50,000 trials, the best of them hidden among the early ones."""
    n, rng = 50_000, np.random.default_rng(0)
    rate, gamma = 10 ** rng.uniform(-5, -1, n), rng.uniform(0, 1, n)
    value = (np.log10(rate) + 3) ** 2 + rng.normal(0, 1, n)
    value[17] = -100
    trials = []
    for number in range(n):
        params = {"net.rate[0]": rate[number], "layers": 1 + number % 3, "gamma": gamma[number]}
        params["kind"] = ["relu", None, 3][number % 7 % 3]
        trials.append(create_trial(value=value[number], params=params, distributions=SPACE))
        trials[-1].number = number
    return tl.Study(Recorded("many", ("minimize",), None, {}, trials))


def note(chart: Chart) -> str:
    return " | ".join(chart.to_dict()["title"]["text"])


def parts(spec: Any) -> list[dict[str, Any]]:
    """Every object within a specification, its data left out."""
    if isinstance(spec, list):
        return [found for part in spec for found in parts(part)]
    if not isinstance(spec, dict):
        return []
    inner = [found for key, part in spec.items() if key != "datasets" for found in parts(part)]
    return [spec, *inner]


def rows_of(spec: dict[str, Any], *owners: dict[str, Any]) -> list[dict[str, Any]]:
    """The data of the first of these parts that has its own."""
    name = next(owner["data"]["name"] for owner in owners if "data" in owner)
    rows: list[dict[str, Any]] = spec["datasets"][name]
    return rows


def marked(layers: list[dict[str, Any]], mark: str, **options: Any) -> dict[str, Any]:
    """The only layer with this mark and these options of it."""
    (found,) = [
        layer
        for layer in layers
        if layer["mark"]["type"] == mark and options.items() <= layer["mark"].items()
    ]
    return found


ONE = made([trial(1, rate=1e-3, layers=2, kind=None)])
EQUAL = made([trial(5, rate=1e-3, layers=layers, kind="relu") for layers in (1, 2, 2, 3)])
WITH_INFINITY = made(
    [
        trial(value, rate=10**-rate, layers=2 + rate % 2, kind="relu")
        for rate, value in enumerate([3, math.inf, 1, -20_000, 2], start=1)
    ]
)
TWO_AIMS = made(
    [trial([i, -i], rate=10 ** (-1 - i / 3), gamma=i / 12) for i in range(12)],
    ["minimize", "maximize"],
)
WORDS = made([trial(i, kind=["relu", None, 3][i % 3], layers=1 + i % 3) for i in range(9)])

DRAWN: dict[str, Callable[[tl.Study], Chart]] = {
    "importance": partial(param_importance, bootstrap=5),
    "importance without intervals": partial(param_importance, bootstrap=0),
    "importance of one": partial(param_importance, bootstrap=5, top=1),
    "slices": slices,
    "a contour": contour,
    "a contour of categories": lambda study: contour(study, "kind", "layers"),
    "a contour of conditional ones": lambda study: contour(study, "drop.out", "kind"),
    "slices of one trial": lambda _: slices(ONE),
    "slices of equal values": lambda _: slices(EQUAL),
    "slices of large and infinite values": lambda _: slices(WITH_INFINITY),
    "slices of a second objective": lambda _: slices(TWO_AIMS, objective=1),
    "a contour of one trial": lambda _: contour(ONE),
    "a contour of equal values": lambda _: contour(EQUAL),
    "a contour of large and infinite values": lambda _: contour(WITH_INFINITY),
    "a contour of a second objective": lambda _: contour(TWO_AIMS, objective="value 1"),
    "a contour of the same settings": lambda _: contour(EQUAL, "net.rate[0]", "kind"),
    "the importance for a second objective": lambda _: param_importance(TWO_AIMS, objective=1),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_every_chart_can_be_drawn_and_says_what_it_shows(
    study: tl.Study, draw: Callable[[tl.Study], Chart]
) -> None:
    spec = draw(study).to_dict()  # which Altair checks against the schema of Vega-Lite
    svg = offline.svg(spec)
    assert "<svg" in svg
    assert not re.search(r">(NaN|undefined|null|Infinity)<|NaN", svg)
    assert spec["description"]
    assert "NaN" not in json.dumps(spec)
    assert "Infinity" not in json.dumps(spec)
    named = {part["field"] for part in parts(spec) if isinstance(part.get("field"), str)}
    assert named
    assert not {name for name in named if "." in name or "[" in name}


def test_the_same_study_draws_the_same_chart(study: tl.Study) -> None:
    for draw in (partial(param_importance, bootstrap=3), slices, contour):
        assert json.dumps(draw(study).to_dict()) == json.dumps(draw(study).to_dict())


def test_importances_are_those_of_the_study(study: tl.Study, search: optuna.Study) -> None:
    table = param_importance_data(study, bootstrap=7, confidence=0.8, seed=2)
    expected = study.importance(bootstrap=7, confidence=0.8, seed=2)
    pd.testing.assert_frame_equal(table[list(expected)], expected)
    assert table["importance"].is_monotonic_decreasing
    rows = table.set_index("parameter")
    assert rows["searched"].to_dict() == {
        "net.rate[0]": "1e-05 to 0.1, logarithmic",
        "layers": "1 to 6",
        "kind": "relu, None, 3",
        "width": "16 to 512, logarithmic",
        "drop.out": "0 to 0.5",
    }
    complete = search.get_trials(states=[TrialState.COMPLETE])
    assert rows["trials"]["kind"] == len(complete)
    assert rows["trials"]["drop.out"] == sum("drop.out" in t.params for t in complete)


def test_bars_intervals_and_names_are_drawn_from_the_most_important_down(study: tl.Study) -> None:
    spec = param_importance(study, bootstrap=10).to_dict()
    table = param_importance_data(study, bootstrap=10)
    bar, interval = marked(spec["layer"], "bar"), marked(spec["layer"], "rule")
    assert bar["encoding"]["y"]["sort"] == table["parameter"].tolist()
    assert bar["encoding"]["x"]["field"] == "importance"
    assert bar["encoding"]["x"]["scale"]["domain"][0] == 0
    ends = [interval["encoding"][end]["field"] for end in ("x", "x2")]
    for row, expected in zip(rows_of(spec, spec), table.itertuples(), strict=True):
        assert row["importance"] == pytest.approx(expected.importance)
        assert [row[end] for end in ends] == pytest.approx([expected.low, expected.high])
    furthest = table[["importance", "high"]].max().max()
    assert furthest < bar["encoding"]["x"]["scale"]["domain"][1]


def test_what_is_not_among_the_top_is_counted(study: tl.Study) -> None:
    table = param_importance_data(study, bootstrap=0)
    chart = param_importance(study, top=2, bootstrap=0)
    rest = table["importance"].iloc[2:].sum()
    assert f"Not drawn: 3 others, together {rest:.2f}" in note(chart)
    assert len(rows_of(chart.to_dict(), chart.to_dict())) == 2
    assert "Not drawn" not in note(param_importance(study, top=5, bootstrap=0))


def test_the_subtitle_says_method_bars_trials_and_intervals(study: tl.Study) -> None:
    complete = (study.trials["state"] == "COMPLETE").sum()
    said = note(param_importance(study, bootstrap=20, confidence=0.9))
    assert f"PED-ANOVA of {complete} complete trials" in said
    assert "what sets the best tenth of the trials apart" in said
    assert "90 % bootstrap intervals, from 20 resamples of the trials" in said
    assert "bootstrap" not in note(param_importance(study, bootstrap=0))
    assert "Mean decrease in impurity" in note(param_importance(study, method="mdi", bootstrap=0))


@pytest.mark.parametrize("top", [0, -1, 2.5])
def test_at_least_one_bar_is_asked_for(study: tl.Study, top: Any) -> None:
    with pytest.raises(BadArgument, match="top must be a whole number of at least 1"):
        param_importance(study, top=top)


def test_slices_hold_every_complete_trial_with_each_parameter_that_it_has(
    study: tl.Study, search: optuna.Study
) -> None:
    table = slices_data(study)
    complete = search.get_trials(states=[TrialState.COMPLETE])
    assert table["parameter"].unique().tolist() == list(study.parameters)
    for name, rows in table.groupby("parameter"):
        held = [t for t in complete if str(name) in t.params]
        assert rows["number"].tolist() == [t.number for t in held]
        assert rows["value"].tolist() == [t.value for t in held]
        settings = [t.params[str(name)] for t in held]
        assert rows["setting"].tolist() == (
            list(map(str, settings)) if name == "kind" else settings
        )
    kinds = table[table["parameter"] == "kind"]
    places = kinds.groupby("setting")["position"].unique().map(list).to_dict()
    assert places == {"relu": [0], "None": [1], "3": [2]}


def test_trials_that_are_infeasible_or_infinite_are_no_part_of_slices_and_contours() -> None:
    broken = trial(-5, {"constraints:memory": 1.0}, layers=2, gamma=0.5)
    given = [trial(2, layers=1, gamma=0.1), broken, trial(math.inf, layers=2, gamma=0.2)]
    mixed = made([*given, trial(3, layers=3, gamma=0.9)])
    assert set(slices_data(mixed)["number"]) == {0, 3}
    assert contour_data(mixed)["n"].sum() == 2
    assert (
        "2 complete trials (2 others left out). Diamond: the best of them, trial 0 with 2"
        in note(slices(mixed))
    )


def test_slices_stand_in_rows_of_three_in_the_order_that_was_asked_for(study: tl.Study) -> None:
    spec = slices(study, params=["width", "kind", "net.rate[0]", "layers"]).to_dict()
    assert spec["columns"] == 3
    axes = [panel["layer"][0]["encoding"]["x"] for panel in spec["concat"]]
    assert [axis["title"] for axis in axes] == ["width", "kind", "net.rate[0]", "layers"]
    assert [axis["scale"]["type"] for axis in axes] == ["log", "linear", "log", "linear"]
    assert axes[0]["scale"]["domain"] == [16, 512]
    assert axes[2]["scale"]["domain"] == [1e-5, 1e-1]
    assert '["relu", "None", "3"]' in axes[1]["axis"]["labelExpr"]
    values = [panel["layer"][0]["encoding"]["y"] for panel in spec["concat"]]
    assert [value["title"] for value in values] == ["value", None, None, "value"]
    assert len({json.dumps(value["scale"]) for value in values}) == 1
    # A click in one panel is seen in all.
    (picked,) = spec["params"]
    assert picked["views"] == [panel["layer"][0]["name"] for panel in spec["concat"]]


def test_early_trials_are_pale_and_late_ones_strong(study: tl.Study) -> None:
    spec = slices(study).to_dict()
    numbers = slices_data(study)["number"]
    for panel in spec["concat"]:
        scale = panel["layer"][0]["encoding"]["color"]["scale"]
        assert scale["domain"] == [numbers.min(), numbers.max()]
        brightness = [sum(bytes.fromhex(colour[1:])) for colour in scale["range"]]
        assert brightness == sorted(brightness, reverse=True)
        drawn = [row["number"] for row in rows_of(spec, panel["layer"][0], panel)]
        assert drawn == sorted(drawn)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_trial_is_marked(search: optuna.Study, direction: Direction) -> None:
    turned = optuna.create_study(direction=direction)
    turned.add_trials(search.get_trials())
    best = turned.best_trial
    study = tl.load_study(turned)
    for chart in (slices(study), contour(study, "net.rate[0]", "kind")):
        assert f"the best of them, trial {best.number} with {best.value:.5g}" in note(chart)
        diamonds = [
            part
            for part in parts(chart.to_dict())
            if isinstance(part.get("mark"), dict) and part["mark"].get("shape") == "diamond"
        ]
        assert diamonds
        for diamond in diamonds:
            assert diamond["transform"] == [{"filter": f"datum.number == {best.number}"}]


def test_the_median_of_each_category_is_drawn_from_all_of_its_trials(study: tl.Study) -> None:
    spec = slices(study, params=["kind"]).to_dict()
    (panel,) = spec["concat"]
    drawn = {row["x"] + 0.4: row["value"] for row in rows_of(spec, marked(panel["layer"], "rule"))}
    table = slices_data(study, params=["kind"])
    assert drawn == pytest.approx(table.groupby("position")["value"].median().to_dict())
    assert "median" not in note(slices(study, params=["layers"]))


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50), st.integers(0, 2))
def test_trials_of_a_category_stay_within_its_band(numbers: list[int], place: int) -> None:
    position = np.full(len(numbers), float(place))
    beside = spread(position, np.array(numbers), SPACE["kind"])
    assert (np.abs(beside - place) <= 0.35 + 1e-12).all()
    np.testing.assert_array_equal(beside, spread(position, np.array(numbers), SPACE["kind"]))
    np.testing.assert_array_equal(spread(position, np.array(numbers), SPACE["gamma"]), position)


def test_cells_of_a_contour_by_hand() -> None:
    trials = [
        trial(1, layers=1, kind="relu"),
        trial(5, layers=1, kind="relu"),
        trial(9, layers=1, kind="relu"),
        trial(4, layers=3, kind=None),
        trial(2, layers=3, kind=None),
    ]
    cells = contour_data(made(trials), "layers", "kind")
    assert cells.to_dict("records") == [
        # Of three whole numbers each is a column, of three categories each a row.
        {"x": "1", "x_low": 0.5, "x_high": 1.5, "y": "relu", "y_low": -0.5, "y_high": 0.5}
        | {"median": 5, "best": 1, "n": 3},
        {"x": "3", "x_low": 2.5, "x_high": 3.5, "y": "None", "y_low": 0.5, "y_high": 1.5}
        | {"median": 3, "best": 2, "n": 2},
    ]
    highest = contour_data(made(trials, ["maximize"]), "layers", "kind")
    assert highest["best"].tolist() == [9, 4]
    assert highest["median"].tolist() == [5, 3]


SETTINGS = {
    "net.rate[0]": st.floats(1e-5, 1e-1),
    "layers": st.integers(1, 3),
    "kind": st.sampled_from(["relu", None, 3]),
    "gamma": st.floats(0, 1),
}


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.fixed_dictionaries(SETTINGS), st.floats(-1e6, 1e6)), min_size=1),
    st.permutations(list(SPACE)),
)
def test_every_trial_is_in_exactly_one_cell(
    drawn: list[tuple[dict[str, Any], float]], names: list[str]
) -> None:
    study = made([create_trial(value=value, params=p, distributions=SPACE) for p, value in drawn])
    x, y, *_ = names
    cells = contour_data(study, x, y)
    assert cells["n"].sum() == len(drawn)

    def place(name: str, setting: Any) -> float:
        return float(["relu", None, 3].index(setting)) if name == "kind" else setting

    for cell in cells.to_dict("records"):
        # The last cell of an axis holds its end also.
        inside = [
            value
            for params, value in drawn
            if all(
                low <= place(name, params[name]) < high
                or place(name, params[name]) == high == ends.max()
                for name, low, high, ends in (
                    (x, cell["x_low"], cell["x_high"], cells["x_high"]),
                    (y, cell["y_low"], cell["y_high"], cells["y_high"]),
                )
            )
        ]
        assert cell["n"] == len(inside)
        assert cell["median"] == pytest.approx(np.median(inside))
        assert cell["best"] == min(inside)


def test_cells_are_even_on_the_axis_that_was_searched(study: tl.Study) -> None:
    cells = contour_data(study, "net.rate[0]", "width")
    ratios = cells["x_high"] / cells["x_low"]
    np.testing.assert_allclose(ratios, ratios.iloc[0])
    # Whole numbers lie within cells, never between two.
    assert (cells[["y_low", "y_high"]] % 1 == 0.5).all(axis=None)
    spec = contour(study, "net.rate[0]", "width").to_dict()
    heat = marked(spec["layer"], "rect")
    assert [heat["encoding"][axis]["scale"]["type"] for axis in "xy"] == ["log", "log"]
    assert heat["encoding"]["x"]["scale"]["domain"] == pytest.approx([1e-5, 1e-1])
    assert heat["encoding"]["y"]["scale"]["domain"] == [15.5, 512.5]


def test_a_cell_without_a_trial_is_not_drawn(study: tl.Study) -> None:
    spec = contour(study).to_dict()
    cells = rows_of(spec, marked(spec["layer"], "rect"))
    assert len(cells) == len(contour_data(study)) < 6 * 6
    assert min(cell["n"] for cell in cells) == 1


def test_a_contour_is_of_the_two_most_important_numeric_parameters() -> None:
    rates = np.random.default_rng(1).permutation(np.linspace(-5, -1, 60))
    study = made(
        [
            trial(
                20 * (i % 3) + 4 * abs(rates[i] + 3) + layers,
                gamma=i * 0.37 % 1,
                layers=layers,
                rate=10 ** rates[i],
                kind=["relu", None, 3][i % 3],
            )
            for i in range(60)
            for layers in [1 + i // 3 % 3]
        ]
    )
    ranked = study.importance(bootstrap=0)["parameter"].tolist()
    numeric = [name for name in ranked if name != "kind"]
    assert set(ranked[:2]) == {"net.rate[0]", "kind"}

    def axes(chart: Chart) -> list[str]:
        encoding = marked(chart.to_dict()["layer"], "rect")["encoding"]
        return [encoding["x"]["title"], encoding["y"]["title"]]

    assert axes(contour(study)) == numeric[:2]
    assert axes(contour(study, x="kind")) == ["kind", numeric[0]]
    assert axes(contour(study, y=numeric[0])) == [numeric[1], numeric[0]]
    assert set(axes(contour(WORDS))) == {"kind", "layers"}
    # Of one trial no importance can be told.
    assert axes(contour(ONE)) == ["net.rate[0]", "layers"]


def test_bright_is_good_and_a_diverged_trial_does_not_stretch_the_colours() -> None:
    trials = [trial(i % 10, rate=10 ** (-1 - i / 10), gamma=i % 7 / 7) for i in range(40)]
    far = trial(1e9, rate=1e-5, gamma=1)
    for direction in get_args(Direction):
        spec = contour(made([*trials, far], [direction])).to_dict()
        colour = marked(spec["layer"], "rect")["encoding"]["color"]
        assert colour["scale"]["reverse"] == (direction == "minimize")
        assert colour["scale"]["domain"][1] < 100
        assert (
            f"bright is good ({'low' if direction == 'minimize' else 'high'})"
            in (colour["legend"]["title"])
        )


def test_a_dot_tells_all_that_was_tried(study: tl.Study) -> None:
    spec = contour(study).to_dict()
    dots = marked(spec["layer"], "circle")
    told = [line["title"] for line in dots["encoding"]["tooltip"]]
    assert told == ["number", "value", *study.parameters]
    rows = rows_of(spec, dots)
    assert {row["number"] for row in rows} == set(study.finished()["number"])
    (zoom,) = spec["params"]
    assert zoom["name"] == "zoom"
    assert zoom["bind"] == "scales"


def test_a_contour_needs_two_parameters_that_were_tried_together() -> None:
    with pytest.raises(BadArgument, match="x and y must be two hyperparameters, not kind twice"):
        contour(WORDS, "kind", "kind")
    with pytest.raises(BadArgument, match="has no parameter speed; there are kind, layers"):
        contour(WORDS, "speed")
    with pytest.raises(BadArgument, match=r"a contour needs two hyperparameters; .* has gamma"):
        contour(made([trial(1, gamma=0.5)]))
    apart = made([trial(1, gamma=0.5), trial(2, layers=1)])
    with pytest.raises(NoTrials, match="no complete trial has both gamma and layers"):
        contour(apart, "gamma", "layers")


def test_a_study_without_a_complete_trial_has_no_slices() -> None:
    failed = made([create_trial(state=TrialState.FAIL)])
    for draw in (slices, contour, param_importance):
        with pytest.raises(NoTrials, match=r"it has 1 trial \(1 FAIL\)"):
            draw(failed)
    with pytest.raises(NoTrials, match="no complete trial has a finite value"):
        slices(made([trial(math.inf, gamma=0.5)]))
    with pytest.raises(NoTrials, match="none of its complete trials has such a hyperparameter"):
        slices(made([create_trial(value=1)]))
    with pytest.raises(BadArgument, match="has no parameter speed"):
        slices(WORDS, params=["speed"])


@pytest.fixture(scope="module")
def charts_of_many(many: tl.Study) -> dict[str, Chart]:
    return {
        "bars": param_importance(many, bootstrap=0),
        "slices": slices(many),
        "contour": contour(many, "net.rate[0]", "gamma"),
    }


@pytest.mark.parametrize("name", ["bars", "slices", "contour"])
def test_50_000_trials_fit_into_a_page(charts_of_many: dict[str, Chart], name: str) -> None:
    spec = charts_of_many[name].to_dict()
    size = len(json.dumps(spec))
    assert size < 500_000
    # With the 0.9 MB of Vega this is the page.
    assert size + len(offline.svg(spec)) < 2_000_000


def test_of_many_trials_the_best_and_the_latest_are_drawn(
    many: tl.Study, charts_of_many: dict[str, Chart]
) -> None:
    spec = charts_of_many["slices"].to_dict()
    for panel in spec["concat"]:
        drawn = [row["number"] for row in rows_of(spec, panel["layer"][0], panel)]
        assert 17 in drawn
        assert 100 < len(drawn) < 2_000
        assert np.median(drawn) > 40_000
    assert "the latest is drawn" in note(charts_of_many["slices"])
    medians = rows_of(spec, marked(spec["concat"][2]["layer"], "rule"))
    expected = slices_data(many, params=["kind"]).groupby("position")["value"].median()
    assert [row["value"] for row in medians] == pytest.approx(expected.tolist())


def test_cells_of_many_trials_hold_them_all_though_few_are_dots(
    charts_of_many: dict[str, Chart],
) -> None:
    spec = charts_of_many["contour"].to_dict()
    cells = rows_of(spec, marked(spec["layer"], "rect"))
    dots = rows_of(spec, marked(spec["layer"], "circle"))
    assert sum(cell["n"] for cell in cells) == 50_000
    assert 17 in {dot["number"] for dot in dots}
    assert f"Dots: {len(dots):,} of the trials" in note(charts_of_many["contour"])
