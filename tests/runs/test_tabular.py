"""What kind of table it is, and which runs and metrics stand in it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.errors import BadLog
from tarslab.runs.formats import tabular
from tarslab.runs.identity import identify
from tarslab.runs.recording import Recording

SOURCE = Path("export.csv")


def read(text: str, source: Path = SOURCE) -> dict[str, Recording]:
    """The runs in a CSV, by name."""
    table = arrow_csv.read_csv(pa.py_buffer(text.encode()))
    found = tabular.recordings(source, "csv", table)
    assert len({recording.run for recording in found}) == len(found)
    return {recording.run: recording for recording in found}


def points(recording: Recording) -> dict[str, list[tuple[int, float]]]:
    return {
        tag: list(zip(series.step.tolist(), series.value.tolist(), strict=True))
        for tag, series in recording.series.items()
    }


def rows(*runs: str, steps: int = 4) -> str:
    """Rows of several runs one after the other: ``step,<run>,10 * step``."""
    return "".join(f"{step},{run},{10 * step}\n" for run in runs for step in range(1, steps + 1))


@pytest.mark.parametrize(
    ("column", "values", "names"),
    [
        ("seed", ("3", "4"), ["seed_3", "seed_4"]),
        ("run", ("ppo/a", "ppo/b"), ["ppo/a", "ppo/b"]),
        ("Run Name", ("x", "y"), ["x", "y"]),
        ("trial", ("0", "1"), ["trial_0", "trial_1"]),
        ("experiment_name", ("pipe_1", "pipe_2"), ["pipe_1", "pipe_2"]),
        ("algorithm", ("ppo", "dqn"), ["ppo", "dqn"]),
        ("env_id", ("CartPole-v1", "Acrobot-v1"), ["CartPole-v1", "Acrobot-v1"]),
        ("config/seed", ("3", "4"), ["seed_3", "seed_4"]),
        ("dir_name", ("/logs/a", "/logs/b"), ["logs/a", "logs/b"]),
    ],
)
def test_a_column_that_names_runs_tells_them_apart(
    column: str, values: tuple[str, str], names: list[str]
) -> None:
    found = read(f"step,{column},r\n" + rows(*values))
    assert list(found) == names
    for recording in found.values():
        assert points(recording) == {"r": [(1, 10), (2, 20), (3, 30), (4, 40)]}


def test_rows_of_several_runs_may_be_mixed() -> None:
    found = read("step,seed,r\n1,0,5\n1,1,6\n2,0,7\n2,1,8\n3,1,9\n3,0,10\n")
    assert points(found["seed_0"]) == {"r": [(1, 5), (2, 7), (3, 10)]}
    assert points(found["seed_1"]) == {"r": [(1, 6), (2, 8), (3, 9)]}


def test_algorithm_environment_and_seed_make_up_the_name_and_are_known_of_each_run() -> None:
    # As openrlbenchmark and CleanRL name them.
    runs = [
        f"{algo},{env},{seed}"
        for algo in ("ppo", "dqn")
        for env in ("A-v0", "B-v1")
        for seed in (1, 2)
    ]
    found = read("global_step,exp_name,env_id,seed,charts/episodic_return\n" + rows(*runs))
    assert len(found) == 8
    recording = found["dqn/B-v1/seed_2"]
    assert recording.config == {"exp_name": "dqn", "env_id": "B-v1", "seed": 2}
    assert list(recording.series) == ["charts/episodic_return"]
    assert identify(recording.config, Path(recording.run)) == {
        "algo": "dqn",
        "env": "B-v1",
        "seed": 2,
    }


def test_a_name_that_is_enough_by_itself_stands_alone() -> None:
    found = read("step,run,algo,seed,r\n" + rows("a,ppo,0", "b,ppo,1", "c,dqn,0"))
    assert list(found) == ["a", "b", "c"]
    assert found["c"].config == {"algo": "dqn", "seed": 0}


def test_the_seed_of_a_single_run_is_no_metric() -> None:
    (recording,) = read("step,seed,algo,r\n1,7,ppo,5\n2,7,ppo,6\n").values()
    assert (recording.run, list(recording.series)) == ("", ["r"])
    assert recording.config == {"algo": "ppo", "seed": 7}


def test_seeds_of_episodes_are_not_runs() -> None:
    text = "episode,seed,r\n" + "".join(f"{i},{1000 + i},{i}\n" for i in range(60))
    assert list(read(text)) == [""]


def test_environments_that_one_run_meets_in_turn_are_not_runs() -> None:
    text = "step,env,r\n" + "".join(f"{i},{'ab'[i % 2]},{i}\n" for i in range(20))
    assert list(read(text)) == [""]


def test_a_trial_that_was_moved_to_another_machine_is_one_run() -> None:
    text = (
        "training_iteration,experiment_id,hostname,r\n"
        "1,x,a,1\n2,x,a,2\n3,x,a,3\n2,y,b,4\n3,y,b,5\n4,y,b,6\n"
    )
    (recording,) = read(text).values()
    assert [step for step, _ in points(recording)["r"]] == [1, 2, 3, 2, 3, 4]


def test_words_that_may_tell_runs_or_metrics_apart_are_asked_about() -> None:
    with pytest.raises(
        BadLog, match=r"export.csv: column phase tells 2 .* \(train, eval\).*call it"
    ):
        read("step,phase,loss\n1,train,5\n1,eval,6\n2,train,3\n2,eval,4\n3,train,1\n3,eval,2\n")


def test_a_table_of_final_results_has_no_curves() -> None:
    # As Weights & Biases exports its table of runs.
    with pytest.raises(BadLog, match=r"column Name names 3 runs in 3 rows \(.*no curves"):
        read("Name,State,global_step,charts/episodic_return\na,ok,500,1\nb,ok,400,2\nc,ok,500,3\n")


@pytest.mark.parametrize("metric", ["metric", "tag", "name", "key", "variable"])
def test_a_long_table_has_one_row_a_point(metric: str) -> None:
    (recording,) = read(
        f"step,{metric},value\n1,loss,5\n1,reward,6\n2,loss,4\n3,reward,\n"
    ).values()
    assert points(recording) == {"loss": [(1, 5), (2, 4)], "reward": [(1, 6)]}


def test_a_long_table_may_hold_several_runs() -> None:
    text = "run,seed,step,tag,value\n" + "".join(
        f"{run},{seed},{step},{tag},{step}\n"
        for run, seed in (("a", 0), ("b", 1))
        for tag in ("x", "y")
        for step in (1, 2)
    )
    found = read(text)
    assert {name: list(r.series) for name, r in found.items()} == {"a": ["x", "y"], "b": ["x", "y"]}
    assert found["b"].config == {"seed": 1}


def test_of_a_long_table_other_numbers_are_named_and_left_out() -> None:
    (recording,) = read("step,metric,value,std\n1,a,5,0.5\n2,a,6,0.5\n").values()
    assert list(recording.series) == ["a"]
    assert "values are those of column value; std left out" in recording.warnings[0]


def test_a_chart_of_weights_and_biases_holds_one_run_in_three_columns() -> None:
    names = [
        f"{run} - {m}{end}"
        for run in ("lucky-sun-1", "Group: b - 2")
        for m in ("loss", "_step")
        for end in ("", "__MIN", "__MAX")
    ]
    text = ",".join(["global_step", *names]) + "\n" + "8,1,0,2,8,8,8,,,,,,\n9,,,,,,,3,2,4,9,9,9\n"
    found = read(text)
    assert {name: points(r) for name, r in found.items()} == {
        "lucky-sun-1": {"loss": [(8, 1)]},
        "b - 2": {"loss": [(9, 3)]},
    }


def test_a_chart_over_time_has_the_steps_of_each_run() -> None:
    names = [
        f"{run} - {m}{end}"
        for run in "ab"
        for m in ("loss", "_step")
        for end in ("", "__MIN", "__MAX")
    ]
    text = (
        ",".join(["Relative Time (Process)", *names])
        + "\n"
        + "0.5,1,1,1,7,7,7,,,,,,\n0.6,,,,,,,2,2,2,9,9,9\n"
    )
    found = read(text)
    assert tabular.has_steps(text.splitlines()[0].split(","))
    assert (points(found["a"]), points(found["b"])) == ({"loss": [(7, 1)]}, {"loss": [(9, 2)]})
    assert found["a"].warnings == []


def test_a_history_of_weights_and_biases_goes_by_the_synced_step() -> None:
    text = (
        "_step,_runtime,_timestamp,global_step,losses/entropy\n"
        "0,1.5,1690000000.5,128,0.7\n1,2,1690000001,256,0.6\n"
    )
    (recording,) = read(text).values()
    assert points(recording) == {"losses/entropy": [(128, 0.7), (256, 0.6)]}
    assert recording.series["losses/entropy"].wall_time.tolist() == [1690000000.5, 1690000001]


@pytest.mark.parametrize(
    ("name", "run", "tag"),
    [
        ("run-PPO_1-tag-rollout_ep_rew_mean.csv", "PPO_1", "rollout/ep_rew_mean"),
        ("run-a2c-x-tag-charts_episodic_return (2).csv", "a2c-x", "charts/episodic_return"),
        ("run-.-tag-my_loss.csv", "", "my_loss"),
        ("reward.csv", "", "Value"),
    ],
)
def test_scalars_of_tensorboard_have_their_run_and_tag_in_the_name_of_the_file(
    name: str, run: str, tag: str
) -> None:
    found = read("Wall time,Step,Value\n1690000000.5,1,2\n", Path("logs", name))
    assert {run: list(recording.series) for run, recording in found.items()} == {run: [tag]}


def test_the_configuration_that_rllib_repeats_in_every_row_is_no_metric() -> None:
    text = (
        "timesteps_total,env_runners/episode_return_mean,config/lr,config/env,config/model/dim,config/clip\n"
        "100,5,0.001,CartPole-v1,64,0.2\n200,6,0.001,CartPole-v1,64,0.1\n"
    )
    (recording,) = read(text).values()
    assert recording.config == {"lr": 0.001, "env": "CartPole-v1", "model.dim": 64}
    assert list(recording.series) == ["env_runners/episode_return_mean", "config/clip"]


def test_a_step_column_without_numbers_makes_way_for_the_next() -> None:
    (recording,) = read("timesteps_total,training_iteration,r\n,1,5\n,2,6\n").values()
    assert points(recording) == {"r": [(1, 5), (2, 6)]}


@pytest.mark.parametrize(
    "time",
    [
        "1690000000.25",
        "1690000000250",
        "1690000000250000",
        "2023-07-22T04:26:40.250",
        "2023-07-22 06:26:40.250+02:00",
    ],
)
def test_wall_times_of_any_kind_are_unix_seconds(time: str) -> None:
    table = pa.table({"step": [1], "timestamp": [time], "r": [2.0]})
    (recording,) = tabular.recordings(SOURCE, "csv", table)
    assert recording.series["r"].wall_time.tolist() == [1690000000.25]


def test_newest_rows_first_are_turned_in_each_run() -> None:
    found = read("step,run,r\n2,a,20\n1,a,10\n5,b,50\n4,b,40\n")
    assert points(found["a"]) == {"r": [(1, 10), (2, 20)]}
    assert points(found["b"]) == {"r": [(4, 40), (5, 50)]}


def test_only_wanted_tags_are_made() -> None:
    table = pa.table({"step": [1, 2], "a": [1.0, 2.0], "b": ["x", "3"]})
    (recording,) = tabular.recordings(SOURCE, "csv", table, wanted={"a"})
    assert (list(recording.series), recording.warnings) == (["a"], [])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("run,metric,step,wall_time,value\nppo/a,r,1,,5\n", ["ppo/a"]),
        ("run,metric,step,wall_time,value\na,r,1,,5\nb,r,1,,6\n", ["a", "b"]),
        ("Run,Metric,Step,Wall Time,Value\n0,r,1,,5\n1,r,1,,6\n", ["run_0", "run_1"]),
    ],
)
def test_scalars_of_tarslab_name_every_run(text: str, names: list[str]) -> None:
    assert list(read(text)) == names


@pytest.mark.parametrize("text", ["step,timestamp,seed,r\n", "step,timestamp,r\n,2023-07-22,5\n"])
def test_a_table_without_any_step_is_a_run_without_any_point(text: str) -> None:
    (recording,) = read(text).values()
    assert recording.series == {}


def test_null_is_not_logged_and_nan_is_a_value() -> None:
    table = pa.table({"step": [1, 2, 3], "r": pa.array([None, np.nan, 5.0])})
    (recording,) = tabular.recordings(SOURCE, "csv", table)
    assert recording.series["r"].step.tolist() == [2, 3]


def test_structures_are_taken_apart_and_lists_and_truths_left_out() -> None:
    columns: dict[str, list[Any]] = {
        "step": [1], "loss": [{"value": 2.5, "policy": 1}], "image": [[1, 2]], "done": [True]
    }  # fmt: skip
    (recording,) = tabular.recordings(SOURCE, "csv", pa.table(columns))
    assert list(recording.series) == ["loss.value", "loss.policy"]


@pytest.mark.parametrize("order", ["blocks", "by step"])
@given(data=st.data())
def test_a_table_of_several_runs_reads_as_their_own_tables_would(
    order: str, data: st.DataObject
) -> None:
    """The oracle is the same reader on each run alone."""
    names = data.draw(
        st.lists(st.sampled_from(["ppo", "dqn", "sac", "td3"]), min_size=2, unique=True)
    )
    runs = {name: sorted(data.draw(st.sets(st.integers(0, 9), min_size=3))) for name in names}
    lines = [(name, step) for name, steps in runs.items() for step in steps]
    if order == "by step":
        lines.sort(key=lambda line: line[1])
    found = read("run,step,r\n" + "".join(f"{n},{s},{hash((n, s)) % 100}\n" for n, s in lines))
    assert set(found) == set(names)
    for name, steps in runs.items():
        assert points(found[name])["r"] == [(s, hash((name, s)) % 100) for s in steps]
