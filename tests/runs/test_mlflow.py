"""MLflow's file store, laid out as mlflow 3.17 writes it."""

from pathlib import Path

import numpy as np
import pytest

import tarslab as tl
from tarslab.errors import LogNotFound, LogWarning
from tarslab.runs.formats.mlflow import read

EXPERIMENT = "995695151559160928"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_run(
    store: Path, number: int, *, name: str = "ppo_seed0", stage: str = "active", **params: object
) -> Path:
    run = store / EXPERIMENT / f"{number:032x}"
    put(
        run / "meta.yaml",
        f"artifact_uri: file://{run}/artifacts\nend_time: 1795482900001\nentry_point_name: ''\n"
        f"experiment_id: '{EXPERIMENT}'\nlifecycle_stage: {stage}\nrun_id: {run.name}\n"
        f"run_name: {name}\nstart_time: 1795482899997\nstatus: 3\nuser_id: root\n",
    )
    put(run / "tags" / "mlflow.runName", name)
    for key, value in params.items():
        put(run / "params" / key, str(value))
    points = [(1795482899963 + 10 * n, float(n), 100 * n) for n in range(3)]
    lines = "".join(f"{time} {value} {step}\n" for time, value, step in points)
    put(run / "metrics" / "rollout" / "ep_rew_mean", lines)
    return run


def test_a_run_has_its_metrics_its_settings_and_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mlruns", 1, algo="ppo", env="CartPole-v1", seed=4, lr=3e-4, on=True)
    put(run / "metrics" / "train" / "loss", "1795482899963 nan 0\n1795482899973 -inf 100\n")
    runs = tl.load(tmp_path)
    (row,) = runs.table.to_dict("records")
    assert row["run"] == f"mlruns/{EXPERIMENT}/{run.name}/ppo_seed0"
    assert (row["algo"], row["env"], row["seed"]) == ("ppo", "CartPole-v1", 4)
    assert (row["hp.lr"], row["hp.on"], row["non_finite"]) == (3e-4, True, 2)
    reward = runs.select(metric="reward").scalars
    assert reward["step"].tolist() == [0, 100, 200]
    assert reward["value"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(reward["wall_time"].diff().dropna(), 0.01, rtol=1e-4)


def test_runs_of_one_name_stay_apart(tmp_path: Path) -> None:
    for number in range(3):
        make_run(tmp_path, number)
    assert len(set(tl.load(tmp_path).names)) == 3


def test_the_name_in_meta_yaml_will_do(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1, name='"it: is"')
    (run / "tags" / "mlflow.runName").unlink()
    assert tl.load(tmp_path).names[0].endswith("/it: is")


def test_deleted_runs_are_passed_over(tmp_path: Path) -> None:
    make_run(tmp_path, 1)
    make_run(tmp_path, 2, stage="deleted")
    assert len(tl.load(tmp_path)) == 1


def test_a_metrics_folder_of_something_else_is_no_run(tmp_path: Path) -> None:
    put(tmp_path / "metrics" / "accuracy", "1795482899963 0.5 1\n")
    with pytest.raises(LogNotFound, match="MLflow runs"):
        tl.load(tmp_path)
    # A logged model has a meta.yaml and metrics as well.
    put(tmp_path / "meta.yaml", "model_id: m-1\nlifecycle_stage: active\n")
    with pytest.raises(LogNotFound):
        tl.load(tmp_path)


def test_lines_with_a_data_set_or_without_a_step_are_points(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1)
    metric = put(run / "metrics" / "x", "1000 1.5 7 train ab12\n2000 2.5 8\n3000 3.5\n")
    (recording,) = read([metric])
    assert recording.series["x"].step.tolist() == [7, 8, 0]
    assert recording.series["x"].wall_time.tolist() == [1, 2, 3]


def test_points_without_steps_are_numbered_with_a_word(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1)
    metric = put(run / "metrics" / "x", "1000 1.5 0\n2000 2.5 0\n")
    (recording,) = read([metric])
    assert recording.series["x"].step.tolist() == [0, 1]
    assert recording.warnings == [
        f"{metric}: logged without steps; its points were numbered in their order"
    ]


def test_broken_lines_and_a_cut_end_are_left_out_and_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1)
    metric = put(run / "metrics" / "x", "1000 1.5 1\n1000 one 2\n???\n3000 3.5 3\n4000 4.5 3")
    with pytest.warns(LogWarning) as caught:
        runs = tl.load(tmp_path)
    assert runs.select(metric="x").scalars["step"].tolist() == [1, 3]
    assert sorted(str(one.message) for one in caught) == [
        f"{metric}: 2 lines are not 'timestamp value step', the first is line 2; they were left "
        "out",
        f"{metric}: the last line is cut off at byte 47 (it has no line end); all before it was "
        "read",
    ]


def test_only_wanted_metrics_are_opened(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1)
    other = put(run / "metrics" / "x", "1000 1.5 0\n2000 2.5 0\n")
    reward = run / "metrics" / "rollout" / "ep_rew_mean"
    (recording,) = read([reward, other], {"rollout/ep_rew_mean"})
    assert list(recording.series) == ["rollout/ep_rew_mean"]
    assert recording.warnings == []
