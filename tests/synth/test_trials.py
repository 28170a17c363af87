"""Synthetic searches: such as Optuna has them, with a front and an importance that are known."""

import random
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tarslab import synth
from tarslab.errors import BadArgument
from tarslab.studies import Study, load_study

optuna.logging.set_verbosity(optuna.logging.ERROR)

NUMBERS = {
    "plain": FloatDistribution(-1.0, 1.0),
    "fixed": FloatDistribution(2.0, 2.0),
    "tenths": FloatDistribution(0.0, 1.0, step=0.1),
    "wide": IntDistribution(1, 1_000_000, log=True),
    "odd": IntDistribution(1, 9, step=2),
    "one": IntDistribution(3, 3),
    "choice": CategoricalDistribution((None, True, 2, "three")),
}


def in_optuna(study: Study) -> optuna.Study:
    """The same trials in a study of Optuna, which checks each of them."""
    directions = [StudyDirection[direction.upper()] for direction in study.directions]
    real = optuna.create_study(directions=directions)
    real.add_trials(study.frozen)
    return real


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_optuna_takes_every_trial_and_finds_the_same_front(objectives: int) -> None:
    study = synth.study(objectives=objectives, trials=300)
    real = in_optuna(study)
    assert sorted(trial.number for trial in real.best_trials) == study.attributes["front"]
    again = load_study(real)
    shared = ["number", "state", *study.value_columns, "datetime_start", "duration"]
    assert again.trials[shared].equals(study.trials[shared])


@settings(max_examples=40, deadline=None)
@given(
    objectives=st.integers(1, 4),
    trials=st.integers(1, 120),
    seed=st.integers(0, 2**63),
    space=st.sampled_from([None, NUMBERS]),
)
def test_the_front_is_the_known_one(
    objectives: int, trials: int, seed: int, space: dict[str, Any] | None
) -> None:
    study = synth.study(objectives=objectives, trials=trials, params=space, seed=seed)
    assert study.front()["number"].tolist() == study.attributes["front"]


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_front_lies_on_the_unit_sphere_and_all_else_off_it(objectives: int) -> None:
    study = synth.study(objectives=objectives, trials=500)
    finished = study.finished()
    costs = finished[study.value_columns].to_numpy(np.float64, copy=True)
    # The return is 500 (2 - f) of the first function of DTLZ2.
    costs[:, 0] = 2 - costs[:, 0] / 500
    radius = np.linalg.norm(costs, axis=1)
    known = finished["number"].isin(study.attributes["front"]).to_numpy()
    assert (costs > -1e-9).all()
    assert radius[known] == pytest.approx(1)
    assert radius[~known].min() > 1
    assert known.sum() == len(costs) // 10


def test_the_best_of_one_objective_is_known() -> None:
    study = synth.study()
    assert study.finished()["value"].max() == 500
    assert study.front()["value"].tolist() == [500]


@pytest.mark.parametrize(
    ("method", "seed"), [("ped-anova", 0), ("ped-anova", 1), ("ped-anova", 2), ("fanova", 3)]
)
def test_importance_finds_the_parameter_that_matters(method: Any, seed: int) -> None:
    study = synth.study(seed=seed)
    found = study.importance(method, bootstrap=0)
    assert study.attributes["important"] == "learning_rate"
    assert found["parameter"].iloc[0] == "learning_rate"
    shares = dict(zip(found["parameter"], found["importance"], strict=True))
    assert shares["learning_rate"] > shares["gamma"] > shares["net.width[0]"]


def test_the_first_parameter_matters_most_whatever_it_is() -> None:
    space = {f"p{place}": FloatDistribution(0, 1) for place in (4, 1, 3)}
    study = synth.study(params=space, trials=400)
    assert [*study.parameters] == ["p4", "p1", "p3"]
    assert study.importance(bootstrap=0)["parameter"].tolist()[:2] == ["p4", "p1"]


def test_later_trials_are_better_and_closer_together() -> None:
    study = synth.study(trials=2_000)
    finished = study.finished()
    early, late = finished[finished["number"] < 500], finished[finished["number"] >= 1_500]
    assert late["value"].mean() > early["value"].mean() + 30
    rates = [np.log10(part["params_learning_rate"]) for part in (early, late)]
    assert rates[1].std() < 0.8 * rates[0].std()


def test_some_trials_are_pruned_and_some_fail() -> None:
    study = synth.study(trials=4_000)
    shares = study.trials["state"].value_counts(normalize=True)
    assert shares["PRUNED"] == pytest.approx(0.25, abs=0.03)
    assert shares["FAIL"] == pytest.approx(0.03, abs=0.015)
    assert not (study.trials["state"][:10] == "PRUNED").any()
    value = study.trials.groupby("state")["value"]
    assert value.median()["PRUNED"] < value.median()["COMPLETE"]
    assert value.count()["FAIL"] == 0


def test_reports_lead_to_the_value_and_break_off_where_a_trial_did() -> None:
    study = synth.study(trials=300)
    for trial in study.frozen:
        steps = [*trial.intermediate_values]
        assert steps == [10_000 * k for k in range(1, len(steps) + 1)]
        assert len(steps) == 8 or trial.state != TrialState.COMPLETE
        assert 1 <= len(steps) <= 8
        if trial.state != TrialState.FAIL:
            assert trial.value == trial.intermediate_values[steps[-1]]
    assert study.reported["value"].max() <= 500


def test_trials_with_several_objectives_report_nothing_and_are_never_pruned() -> None:
    # Optuna refuses both: optuna.Trial.report raises NotImplementedError.
    study = synth.study(objectives=2, trials=400)
    assert study.reported.empty
    assert set(study.trials["state"]) == {"COMPLETE", "FAIL"}
    assert study.directions == ("maximize", "minimize")
    assert study.objectives == ("return", "cost 1")


def test_four_workers_are_always_busy() -> None:
    trials = synth.study(trials=400).trials
    assert trials["datetime_start"].is_monotonic_increasing
    assert (trials["duration"] > 0).all()
    for worker, own in trials.groupby("user_attrs_worker"):
        assert worker in range(4)
        assert own["datetime_start"].iloc[1:].tolist() == own["datetime_complete"].tolist()[:-1]
    busy = trials["duration"].sum()
    span = (trials["datetime_complete"].max() - trials["datetime_start"].min()).total_seconds()
    assert busy / span == pytest.approx(4, abs=0.1)


def test_parameters_are_of_every_kind() -> None:
    study = synth.study(trials=400)
    kinds = study.parameters
    assert kinds["learning_rate"] == FloatDistribution(1e-5, 1e-1, log=True)
    assert isinstance(kinds["net.width[0]"], IntDistribution)
    assert isinstance(kinds["optimizer"], CategoricalDistribution)
    momentum = study.trials["params_momentum"].notna()
    assert momentum.equals(study.trials["params_optimizer"] == "sgd")
    assert 0 < momentum.sum() < 400


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**63), trials=st.integers(1, 60))
def test_values_of_parameters_lie_in_their_distributions(seed: int, trials: int) -> None:
    study = synth.study(params=NUMBERS, trials=trials, seed=seed)
    real = in_optuna(study)  # which refuses a value that is not
    assert len(real.trials) == trials
    assert {type(trial.params["odd"]) for trial in study.frozen} == {int}


def test_every_value_of_a_grid_comes_up() -> None:
    study = synth.study(params=NUMBERS, trials=2_000)
    assert {*study.trials["params_odd"]} == {1, 3, 5, 7, 9}
    tenths = study.trials["params_tenths"].round(9)
    assert sorted({*tenths}) == pytest.approx(np.arange(11) / 10)
    # The ends have full shares too: 2,000 / 11 = 182, and the search stays clear of none.
    assert (tenths.value_counts() > 90).all()


def test_the_same_seed_gives_the_same_trials_and_another_gives_others() -> None:
    one, again, other = (synth.study(objectives=2, seed=seed) for seed in (1, 1, 2))
    assert one.frozen == again.frozen
    assert one.trials.equals(again.trials)
    assert not np.array_equal(one.trials["values_0"], other.trials["values_0"])


def test_no_global_random_state_is_touched() -> None:
    legacy, builtin = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    synth.study(trials=50)
    assert str(np.random.get_state(legacy=False)) == str(legacy)  # noqa: NPY002
    assert random.getstate() == builtin


def test_trials_share_nothing_that_could_be_changed() -> None:
    study = synth.study(objectives=2, trials=3)
    study.frozen[0].distributions.clear()
    study.frozen[0].intermediate_values[1] = 1.0
    assert len(study.frozen[1].distributions) >= 6
    assert study.frozen[1].intermediate_values == {}


def test_a_study_says_that_it_is_synthetic() -> None:
    study = synth.study(trials=5)
    assert study.source == "synthetic"
    assert study.attributes["synthetic"] is True
    assert "synthetic" in repr(study)


def test_fifty_thousand_trials_are_made_with_their_front() -> None:
    study = synth.study(objectives=3, trials=50_000)
    assert len(study) == 50_000
    assert study.front()["number"].tolist() == study.attributes["front"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"objectives": 0}, "objectives must be a whole number of at least 1, not 0"),
        ({"trials": 1.5}, "trials must be a whole number of at least 1, not 1.5"),
        ({"seed": -3}, "seed must be a whole number of at least 0, not -3"),
        ({"params": {}}, "params must have at least objectives=1 parameters, not 0"),
        (
            {"params": {"x": FloatDistribution(0, 1)}, "objectives": 2},
            "params must have at least objectives=2 parameters, not 1",
        ),
        ({"params": {"x": (0, 1)}}, r"params\['x'\] must be a FloatDistribution, .* not \(0, 1\)"),
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        synth.study(**wrong)
