"""The bundled searches: two storages of the same trials, and the learning curves beside them."""

import re
import shutil
from pathlib import Path

import optuna
import pandas as pd
import pytest

import tarslab as tl
from tarslab import bundled

AUTOML = bundled.data("automl")
DATABASE, JOURNAL = "bundled:automl/studies.db", "bundled:automl/studies.log"
CARTPOLE = "cartpole-a2c"

AIMS = {
    CARTPOLE: {"value": "maximize"},
    "digits-two-objectives": {"accuracy": "maximize", "parameters": "minimize"},
    "breast-cancer-three-objectives": {
        "balanced accuracy": "maximize",
        "log-loss": "minimize",
        "nodes": "minimize",
    },
}
EVERY_SEARCH = pytest.mark.parametrize("name", AIMS)


@pytest.fixture(scope="module")
def cartpole() -> tl.Study:
    return tl.load_study(DATABASE, CARTPOLE)


@pytest.fixture(scope="module")
def runs() -> tl.Runs:
    return tl.load("bundled:automl/runs")


@EVERY_SEARCH
@pytest.mark.parametrize("storage", [DATABASE, JOURNAL])
def test_both_storages_hold_every_search(storage, name) -> None:
    study = tl.load_study(storage, name)
    assert study.name == name
    assert dict(zip(study.objectives, study.directions, strict=True)) == AIMS[name]
    assert len(study) >= 100
    assert study.trials["number"].tolist() == list(range(len(study)))
    assert set(study.trials["state"]) <= {"COMPLETE", "PRUNED", "FAIL"}


@EVERY_SEARCH
def test_the_journal_holds_the_trials_of_the_database(name) -> None:
    recorded, copied = tl.load_study(DATABASE, name), tl.load_study(JOURNAL, name)
    pd.testing.assert_frame_equal(recorded.trials, copied.trials)
    pd.testing.assert_frame_equal(recorded.reported, copied.reported)
    assert recorded.parameters == copied.parameters


@EVERY_SEARCH
def test_the_frontier_is_that_of_optuna(name, tmp_path: Path) -> None:
    # Optuna opens a database to write to it.
    copy = shutil.copyfile(AUTOML / "studies.db", tmp_path / "studies.db")
    by_optuna = optuna.load_study(study_name=name, storage=f"sqlite:///{copy}")
    front = tl.load_study(DATABASE, name).front()
    assert front["number"].tolist() == sorted(trial.number for trial in by_optuna.best_trials)
    assert len(front) > 1 or len(AIMS[name]) == 1


@pytest.mark.parametrize("name", [CARTPOLE, "digits-two-objectives"])
def test_trials_were_completed_pruned_and_failed(name) -> None:
    trials = tl.load_study(DATABASE, name).trials
    assert set(trials["state"]) == {"COMPLETE", "PRUNED", "FAIL"}
    failed = trials["state"] == "FAIL"
    reasons = trials.loc[failed, "user_attrs_error"]
    assert reasons.str.contains("invalid values|non-finite").all()
    assert trials.loc[~failed, "user_attrs_error"].isna().all()


def test_some_trees_miss_more_tumours_than_they_may() -> None:
    trials = tl.load_study(DATABASE, "breast-cancer-three-objectives").trials
    assert (trials["feasible"] == (trials["user_attrs_sensitivity"] >= 0.92)).all()
    assert trials["feasible"].nunique() == 2


def test_some_parameters_are_asked_for_only_beside_others(cartpole) -> None:
    trials = cartpole.trials
    with_momentum = trials["params_momentum"].notna()
    assert (with_momentum == (trials["params_optimizer"] == "sgd")).all()
    assert with_momentum.nunique() == 2


def test_pruned_trials_stopped_early_with_what_they_last_reported(cartpole) -> None:
    trials = cartpole.trials.set_index("number")
    completed, pruned = (trials[trials["state"] == state] for state in ("COMPLETE", "PRUNED"))
    assert (completed["user_attrs_steps"] >= 20_000).all()
    assert (pruned["user_attrs_steps"] < 20_000).all()
    last = cartpole.reported.groupby("number")["value"].last()
    assert (last[pruned.index] == pruned["value"]).all()
    assert (last[completed.index] == completed["value"]).all()


def test_two_workers_searched_at_once(cartpole) -> None:
    trials = cartpole.trials.sort_values("datetime_start")
    ends_before = trials["datetime_complete"].shift()
    assert (trials["datetime_start"] < ends_before).sum() > len(trials) / 4


def test_every_trial_of_cartpole_has_its_learning_curve(cartpole, runs) -> None:
    table = runs.table.sort_values("hp.trial")
    assert table["hp.trial"].tolist() == cartpole.trials["number"].tolist()
    assert table["run"].tolist() == [f"trial_{number}" for number in cartpole.trials["number"]]
    assert set(table["hp.study"]) == {CARTPOLE}
    assert set(table["algo"]) == {"a2c"}
    for name in cartpole.parameters:
        configured, asked = table[f"hp.{name}"], cartpole.trials[f"params_{name}"]
        assert configured.dropna().tolist() == asked.dropna().tolist()


def test_the_evaluations_in_a_learning_curve_are_those_that_were_reported(cartpole, runs) -> None:
    curves = runs.select(metric="eval_reward").scalars
    trial_of = dict(zip(runs.table["run"], runs.table["hp.trial"], strict=True))
    logged = pd.Series(
        curves["value"].to_numpy(),
        index=pd.MultiIndex.from_arrays(
            [curves["run"].astype(str).map(trial_of), curves["step"]], names=["number", "step"]
        ),
    )
    reported = cartpole.reported.set_index(["number", "step"])["value"]
    pd.testing.assert_series_equal(
        logged.sort_index(), reported.sort_index(), check_names=False, check_index_type=False
    )


def test_nothing_of_the_machine_is_in_the_files() -> None:
    for path in AUTOML.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not re.search(rb"/(home|root|tmp|usr|var|Users|work)/|[A-Z]:\\", content), path
    written = {"error", "parameters", "sensitivity", "steps"}
    for name in AIMS:
        study = tl.load_study(DATABASE, name)
        assert study.attributes == {}
        assert {key for trial in study.frozen for key in trial.user_attrs} <= written


def test_the_searches_are_under_two_and_a_half_megabytes() -> None:
    files = [path for path in AUTOML.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "studies.db",
        "studies.log",
        "progress.csv",
        "config.json",
    }
    assert sum(path.stat().st_size for path in files) < 2_500_000
