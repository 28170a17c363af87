"""What a study says of its trials, against Optuna's own answers."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

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
from optuna.visualization._hypervolume_history import _get_hypervolume_history_info

import tarslab as tl
from tarslab.errors import BadArgument, NoTrials

START = datetime(2024, 1, 1)
SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(-1e9, 1e9),
    "net.rate[0]": FloatDistribution(1e-6, 1, log=True),
    "layers": IntDistribution(0, 2**40),
    "kind": CategoricalDistribution([None, True, 2, 0.5, "relu"]),
    "word": CategoricalDistribution(["a", "b"]),
}
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "x": st.floats(-1e9, 1e9),
    "net.rate[0]": st.floats(1e-6, 1),
    "layers": st.integers(0, 2**40),
    "kind": st.sampled_from([None, True, 2, 0.5, "relu"]),
    "word": st.sampled_from(["a", "b"]),
}
FINITE = st.integers(-3, 3).map(float)
VALUES = FINITE | st.sampled_from([math.inf, -math.inf])
DIRECTIONS = st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=4)


@st.composite
def trials(draw: Any, objectives: int = 1, values: Any = VALUES) -> FrozenTrial:
    """A trial of any state, with any of the parameters, attributes and constraints."""
    state = draw(st.sampled_from(list(TrialState)))
    has_values = state == TrialState.COMPLETE or (
        state == TrialState.PRUNED and objectives == 1 and draw(st.booleans())
    )
    params = draw(st.fixed_dictionaries({}, optional=SETTINGS))
    trial = create_trial(
        state=state,
        values=draw(st.lists(values, min_size=objectives, max_size=objectives))
        if has_values
        else None,
        params=params,
        distributions={name: SPACE[name] for name in params},
        user_attrs=draw(st.fixed_dictionaries({}, optional={"seed": st.integers(0, 9)})),
        system_attrs=draw(
            st.just({})
            | st.lists(st.sampled_from([-1.0, 0.0, 0.5]), max_size=2).map(
                lambda old: {"constraints": old}
            )
            | st.sampled_from([-1.0, 0.0, 0.5]).map(lambda new: {"constraints:memory": new})
        ),
    )
    if state != TrialState.WAITING:
        trial.datetime_start = START
    if state.is_finished():
        trial.datetime_complete = START + timedelta(seconds=draw(st.floats(0, 1e6)))
    return trial


@st.composite
def searches(draw: Any, values: Any = VALUES, most: int = 12) -> optuna.Study:
    directions = draw(DIRECTIONS)
    return made(
        draw(st.lists(trials(len(directions), values), max_size=most)), directions=directions
    )


def made(trials: Sequence[FrozenTrial], **options: Any) -> optuna.Study:
    study = optuna.create_study(**options)
    study.add_trials(trials)
    return study


def completed(*values: float | Sequence[float], **options: Any) -> optuna.Study:
    rows = [[value] if isinstance(value, int | float) else list(value) for value in values]
    return made([create_trial(values=row) for row in rows], **options)


def plain(column: "pd.Series[Any]") -> list[Any]:
    """The cells of a column, whatever stands for one that is missing."""
    if column.dtype.kind == "m":
        column = column.dt.total_seconds()
    return [None if pd.isna(cell) else cell for cell in column]


@settings(deadline=None, max_examples=40)
@given(searches())
def test_trials_are_those_of_trials_dataframe(search: optuna.Study) -> None:
    ours, theirs = tl.load_study(search).trials, search.trials_dataframe()
    assert len(ours) == len(theirs)
    shared = [column for column in theirs if not str(column).startswith("system_attrs_")]
    assert set(shared) <= set(ours)
    for column in shared:
        assert plain(ours[column]) == plain(theirs[column]), column


def test_columns_have_the_type_of_what_they_hold(search: Any) -> None:
    table = tl.load_study(search()).trials
    assert table["number"].dtype == np.int64
    assert table["state"].dtype == "str"
    assert table["params_layers"].dtype == "Int64"
    assert table["params_net.rate[0]"].dtype == np.float64
    assert table["params_activation"].dtype == "str"
    assert table["duration"].dtype == np.float64
    assert set(table["state"]) == {"COMPLETE", "PRUNED", "FAIL"}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_parameters_and_objectives_are_those_of_the_search(search: Any) -> None:
    given = search(objectives=2)
    study = tl.load_study(given)
    assert study.parameters == {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
    assert study.objectives == ("value 0", "value 1")
    assert study.directions == ("minimize", "maximize")
    given.set_metric_names(["loss", "return"])
    named = tl.load_study(given)
    assert named.objectives == ("loss", "return")
    assert named.objective("return") == named.objective(1) == ("values_1", "maximize")


@pytest.mark.parametrize("objective", [2, -1, "speed", 0.0, None])
def test_an_unknown_objective_is_answered_with_those_there_are(search: Any, objective: Any) -> None:
    study = tl.load_study(search(objectives=2))
    with pytest.raises(BadArgument, match=r"one of 0 \(value 0\), 1 \(value 1\), not"):
        study.objective(objective)


def test_reports_are_in_long_form(search: Any) -> None:
    given = search()
    expected = [
        (trial.number, step, value)
        for trial in given.trials
        for step, value in sorted(trial.intermediate_values.items())
    ]
    reported = tl.load_study(given).reported
    assert list(reported.itertuples(index=False, name=None)) == expected
    assert len(expected) > 20


@settings(deadline=None, max_examples=80)
@given(searches(most=20))
def test_the_frontier_is_optunas_best_trials(search: optuna.Study) -> None:
    study, best = tl.load_study(search), search.best_trials
    if best:
        assert study.front()["number"].tolist() == [trial.number for trial in best]
    else:
        with pytest.raises(NoTrials):
            study.front()


def test_a_constraint_of_zero_is_kept_and_a_trial_without_any_is_feasible() -> None:
    search = made(
        [
            create_trial(value=1, system_attrs={"constraints": [0.0, -1.0]}),
            create_trial(value=0, system_attrs={"constraints": [0.0, 0.1]}),
            create_trial(value=1, system_attrs={"constraints:memory": -1.0}),
            create_trial(value=0, system_attrs={"constraints:memory": 1.0}),
            create_trial(value=1),
        ]
    )
    study = tl.load_study(search)
    assert study.trials["feasible"].tolist() == [True, False, True, False, True]
    assert study.front()["number"].tolist() == [0, 2, 4]


def test_a_study_without_constraints_has_no_such_column(search: Any) -> None:
    assert "feasible" not in tl.load_study(search()).trials


def test_the_best_so_far_by_hand() -> None:
    search = made(
        [
            create_trial(value=3),
            create_trial(state=TrialState.FAIL),
            create_trial(value=math.inf),
            create_trial(value=1),
            create_trial(state=TrialState.PRUNED, value=-9),
            create_trial(value=2),
        ]
    )
    best = tl.load_study(search).best_so_far()
    assert best["number"].tolist() == [0, 2, 3, 5]
    assert best["best"].tolist() == [3, 3, 1, 1]
    highest = completed([1, 5], [2, 4], [0, 6], directions=["minimize", "maximize"])
    assert tl.load_study(highest).best_so_far(1)["best"].tolist() == [5, 5, 6]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_the_hypervolume_history_is_optunas(data: Any) -> None:
    # Small whole numbers, of which both sides' sums are exact.
    search = data.draw(searches(FINITE, most=20))
    study = tl.load_study(search)
    if not search.best_trials:
        with pytest.raises(NoTrials):
            study.hypervolume_history()
        return
    places = st.sampled_from([-2.0, 0.0, 4.0])
    for reference in (None, [data.draw(places) for _ in search.directions]):
        history = study.hypervolume_history(reference)
        corner = np.array(study.reference() if reference is None else reference)
        info = _get_hypervolume_history_info(search, corner)
        # Optuna's has a row for an infeasible trial also, which adds nothing.
        theirs = dict(zip(info.trial_numbers, info.values, strict=True))
        assert history["number"].tolist() == study.finished()["number"].tolist()
        assert history["hypervolume"].tolist() == [theirs[n] for n in history["number"]]


def test_the_reference_is_the_worst_finite_value_of_each_objective() -> None:
    directions = ["minimize", "maximize"]
    search = completed([1, 2], [math.inf, 3], [4, -math.inf], [0, 2], directions=directions)
    study = tl.load_study(search)
    assert study.reference().tolist() == [4, 2]
    # By hand: (1, 2) and (inf, 3) are no better than (4, 2) in both.
    assert study.hypervolume_history([4, 0])["hypervolume"].tolist() == [6, 6, 6, 8]
    nowhere = tl.load_study(completed([math.inf, 1], directions=directions))
    with pytest.raises(NoTrials, match="no complete trial has a finite value of each objective"):
        nowhere.reference()


def test_an_empty_study_has_an_empty_table_and_no_answers() -> None:
    study = tl.load_study(optuna.create_study(study_name="new", directions=["minimize"] * 2))
    assert len(study) == 0
    assert study.parameters == {}
    assert {"number", "state", "values_0", "values_1", "duration"} <= set(study.trials)
    assert study.reported.empty
    assert repr(study) == (
        "<Study new: no trials, 0 parameters, minimize value 0, minimize value 1>"
    )
    assert "no trials" in study._repr_html_()
    for ask in (study.finished, study.front, study.best_so_far, study.hypervolume_history):
        with pytest.raises(
            NoTrials, match="new: no trial has been completed yet; it has no trials"
        ):
            ask()
    with pytest.raises(NoTrials, match="it has no trials"):
        study.importance()


def test_a_study_of_failures_says_what_it_has() -> None:
    failed = [create_trial(state=TrialState.FAIL)] * 3
    search = made([*failed, create_trial(state=TrialState.PRUNED)], study_name="bad luck")
    study = tl.load_study(search)
    said = r"bad luck: no trial has been completed yet; it has 4 trials \(1 PRUNED, 3 FAIL\)"
    for ask in (study.finished, study.front, study.reference, study.importance):
        with pytest.raises(NoTrials, match=said):
            ask()


def test_a_study_that_keeps_no_constraint_says_so() -> None:
    broken = create_trial(value=1, system_attrs={"constraints:memory": 1.0})
    study = tl.load_study(made([broken, broken], study_name="tight"))
    with pytest.raises(NoTrials, match=r"tight: no complete trial keeps its .* \(2 COMPLETE\)"):
        study.front()


def test_repr_counts_the_trials_by_state(search: Any) -> None:
    given = search()
    study = tl.load_study(given)
    states = [trial.state for trial in given.trials]
    counts = ", ".join(
        f"{states.count(state)} {state.name}"
        for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    assert repr(study) == (
        f"<Study found: 30 trials ({counts}), {len(study.parameters)} parameters, minimize value>"
    )


def test_html_shows_the_trials_and_runs_nothing_that_a_study_says() -> None:
    script = "<script>alert(1)</script>"
    trial = create_trial(
        value=0.25,
        params={script: script},
        distributions={script: CategoricalDistribution([script])},
    )
    html = tl.load_study(made([trial], study_name=script))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "0.25" in html
    assert "<table" in html


def test_trials_stand_by_number_whatever_order_they_come_in() -> None:
    search = completed(1, 2, 3)
    shuffled = search.get_trials()[::-1]
    search.get_trials = lambda **_: shuffled  # type: ignore[method-assign]
    study = tl.load_study(search)
    assert study.trials["number"].tolist() == [0, 1, 2]
    assert [trial.number for trial in study.frozen] == [0, 1, 2]


def test_the_summary_shows_the_best_trials_for_people() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    for number, rate in enumerate([0.12345, 1e-7, None]):
        space: dict[str, Any] = {"kind": CategoricalDistribution(["a", "b"])}
        params: dict[str, Any] = {"kind": "ab"[number % 2]}
        if rate is not None:
            space["rate"] = FloatDistribution(1e-8, 1, log=True)
            params["rate"] = rate
        study.add_trial(create_trial(value=number / 3, params=params, distributions=space))
    summary = tl.load_study(study).summary(trials=2)
    columns: list[Any] = list(summary.columns)
    assert columns == [2, 1]
    assert summary.T.to_dict("list") == {
        "value": ["0.667", "0.333"],
        "kind": ["a", "b"],
        "rate": ["", "1e-07"],
    }


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_choices_that_are_lists_are_choices() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    choices: Any = [[64, 64], [128]]
    study.optimize(lambda t: float(len(t.suggest_categorical("net", choices))), n_trials=10)
    found = tl.load_study(study)
    summary = found.summary(trials=1)
    assert list(summary.index) == ["value", "net"]
    assert str(summary.iloc[1, 0]) == "[128]"
    assert found.importance("mdi", bootstrap=2)["parameter"].tolist() == ["net"]
    with pytest.raises(NoTrials, match="can judge no hyperparameter"):
        found.importance(bootstrap=2)


def test_a_range_that_was_plain_before_it_was_logarithmic_is_plain() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    for low, high, log, value in ((0.0, 1.0, False, 0.0), (1e-3, 2.0, True, 0.5)):
        space = {"x": FloatDistribution(low, high, log=log)}
        study.add_trial(create_trial(value=value, params={"x": value}, distributions=dict(space)))
    assert tl.load_study(study).parameters == {"x": FloatDistribution(0.0, 2.0)}
