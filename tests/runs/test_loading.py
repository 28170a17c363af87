"""From paths to Runs."""

import gzip
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import tarslab as tl
from tarslab.errors import BadArgument, BadLog, LogNotFound, LogWarning, NotLogged
from tarslab.runs import Runs, fingerprint
from tarslab.runs.discovery import find_runs
from tarslab.runs.formats import Format, detect, json_lines

MONITOR = '#{"t_start": 1000.0, "env_id": "CartPole-v1"}\nr,l,t\n9.0,9,0.5\n20.0,20,1.5\n'


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_bundled_recordings_are_whole() -> None:
    runs = tl.load(["bundled:cartpole", "bundled:pendulum"])
    table = runs.table.groupby("algo")["seed"].apply(lambda seeds: sorted(map(int, seeds)))
    assert table.to_dict() == {algo: [0, 1, 2, 3, 4] for algo in ("a2c", "ddpg", "dqn", "ppo")}
    assert set(runs.table["format"]) == {"monitor+tfevents+csv"}
    assert (runs.table["non_finite"] == 0).all()
    canonical = {"reward", "value_loss", "policy_loss", "td_loss", "critic_loss", "actor_loss"}
    canonical |= {"total_loss", "entropy", "epsilon", "noise_std", "learning_rate", "fps"}
    assert canonical <= set(runs.metrics)


def test_poker_recordings_hold_nash_gap_and_exploitability_as_half_of_it() -> None:
    runs = tl.load("bundled:poker")
    gaps, halves = dict(runs.series("nash_gap")), dict(runs.series("exploitability"))
    assert len(gaps) == 6
    for run, gap in gaps.items():
        np.testing.assert_allclose(halves[run].value, gap.value / 2, rtol=1e-6)


def test_scalars_are_long_sorted_and_of_the_stated_types() -> None:
    scalars = tl.load("bundled:pendulum").scalars
    assert list(scalars.columns) == ["run", "metric", "step", "wall_time", "value"]
    types = {name: str(kind) for name, kind in scalars.dtypes.items()}
    assert types == {
        **{"run": "category", "metric": "category", "step": "int64"},
        **{"wall_time": "float64", "value": "float64"},
    }
    codes = [scalars[name].cat.codes for name in ("run", "metric")]
    order = np.lexsort([scalars["step"], codes[1], codes[0]])
    assert (order == np.arange(len(scalars))).all()


def test_entropy_is_positive_although_stable_baselines3_logs_it_negated() -> None:
    entropy = tl.load("bundled:cartpole/ppo/seed_0", metrics="entropy").scalars["value"]
    # Two actions: at most ln 2.
    assert entropy.between(0, np.log(2) + 1e-6).all()


def test_every_format_of_a_folder_is_one_run_and_the_best_source_gives_the_reward(
    tmp_path: Path, write_events
) -> None:
    folder = tmp_path / "ppo" / "seed_1"
    put(folder / "monitor.csv", MONITOR)
    put(folder / "progress.csv", "time/total_timesteps,rollout/ep_rew_mean,x\n30,14.5,1\n")
    write_events(folder, [("rollout/ep_rew_mean", 30, 14.5)])
    runs = tl.load(tmp_path)
    assert runs.table[["run", "algo", "env", "seed", "format"]].to_dict("records") == [
        {
            **{"run": "ppo/seed_1", "algo": "ppo", "env": "CartPole-v1", "seed": 1},
            "format": "monitor+tfevents+csv",
        }
    ]
    assert dict(runs.series("reward"))["ppo/seed_1"].value.tolist() == [9.0, 20.0]
    assert dict(runs.series("rollout/ep_rew_mean"))["ppo/seed_1"].value.tolist() == [14.5]


def test_runs_are_named_by_their_path_below_what_was_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "a" / "b" / "monitor.csv", MONITOR)
    put(tmp_path / "a" / "alone.csv", "step,reward\n1,2\n")
    assert tl.load(tmp_path).names == ["a/alone", "a/b"]
    assert tl.load(tmp_path / "a").names == ["alone", "b"]
    assert tl.load(tmp_path / "a" / "b").names == ["b"]
    assert tl.load(tmp_path / "a" / "b" / "monitor.csv").names == ["b"]
    assert tl.load([tmp_path / "a" / "b", tmp_path / "a" / "alone.csv"]).names == ["alone", "b"]


def test_globs_home_and_relative_paths_are_understood(tmp_path: Path, monkeypatch) -> None:
    for seed in range(3):
        put(tmp_path / "logs" / f"seed_{seed}" / "monitor.csv", MONITOR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(tl.load("logs/seed_[01]")) == 2
    assert len(tl.load("~/logs")) == 3
    assert len(tl.load("logs/**/monitor.csv")) == 3


def test_the_format_is_found_from_the_content(tmp_path: Path, write_events) -> None:
    write_events(tmp_path / "a", [("x", 0, 1.0)], name="no-telling-name.log")
    put(tmp_path / "b" / "episodes.dat", MONITOR)
    assert sorted(tl.load(tmp_path).table["format"]) == ["monitor", "tfevents"]


def test_metrics_keeps_only_what_was_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "monitor.csv", MONITOR)
    assert tl.load(tmp_path, metrics=["reward"]).metrics == ["reward"]
    with pytest.raises(NotLogged, match="there are reward, episode_length"):
        tl.load(tmp_path, metrics="entropy")


def test_a_missing_path_says_what_is_there_instead(tmp_path: Path) -> None:
    put(tmp_path / "run_1" / "monitor.csv", MONITOR)
    with pytest.raises(LogNotFound, match=r"run_2: no such file or folder; .* holds run_1"):
        tl.load(tmp_path / "run_2")


def test_a_folder_without_logs_says_what_was_looked_for_and_seen(tmp_path: Path) -> None:
    put(tmp_path / "model.zip", "x")
    put(tmp_path / "notes.txt", "x")
    with pytest.raises(LogNotFound, match=r"looked for .*monitor\.csv.* saw 2 other files"):
        tl.load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LogNotFound, match="saw no files at all"):
        tl.load(tmp_path / "empty")


def test_a_named_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLog, match=r"notes\.txt: not a log"):
        tl.load(put(tmp_path / "notes.txt", "hello"))


def test_unknown_recordings_and_bad_arguments_list_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(LogNotFound, match="there are automl, cartpole, pendulum, poker"):
        tl.load("bundled:doom")
    with pytest.raises(LogNotFound, match="no bundled recordings"):
        tl.load("bundled:../tarslab")
    with pytest.raises(BadArgument, match="restarts"):
        tl.load(tmp_path, restarts="first")  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="no path"):
        tl.load([])


def test_one_bad_file_does_not_cost_the_other_runs(tmp_path: Path) -> None:
    put(tmp_path / "good" / "monitor.csv", MONITOR)
    put(tmp_path / "bad" / "monitor.csv", '#{"t_start": 0}\nr,x\n1,2\n')
    put(tmp_path / "empty" / "events.out.tfevents.1", "")
    with pytest.warns(LogWarning) as caught:
        runs = tl.load(tmp_path)
    assert runs.names == ["good"]
    messages = "\n".join(str(w.message) for w in caught)
    assert "no column l, t" in messages
    assert "events.out.tfevents.1: the event file is empty" in messages


def test_when_nothing_can_be_read_the_error_holds_every_reason(tmp_path: Path) -> None:
    put(tmp_path / "a" / "monitor.csv", '#{"t_start": 0}\nr,x\n1,2\n')
    put(tmp_path / "b" / "progress.csv", "")
    with pytest.raises(BadLog, match=r"(?s)no column l, t.*file is empty"):
        tl.load(tmp_path)


def test_a_cut_event_file_warns_once(tmp_path: Path, write_events) -> None:
    path = write_events(tmp_path, [("x", step, 1.0) for step in range(5)])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.warns(LogWarning) as caught:
        runs = tl.load(tmp_path)
    assert len(caught) == 1
    assert len(runs.scalars) == 4


def test_values_that_are_not_finite_are_kept_and_counted(tmp_path: Path, write_events) -> None:
    write_events(tmp_path / "r", [("x", 0, 1.0), ("x", 1, np.nan), ("x", 2, np.inf)])
    runs = tl.load(tmp_path)
    assert runs.table["non_finite"].tolist() == [2]
    assert runs.table["points"].tolist() == [3]
    np.testing.assert_array_equal(runs.scalars["value"], [1.0, np.nan, np.inf])


@pytest.fixture
def resumed(tmp_path: Path, write_events) -> Path:
    """Steps 0 to 40, then, after a restart from a checkpoint, 20 to 60."""
    folder = tmp_path / "run"
    write_events(folder, [("x", s, 1.0) for s in range(0, 50, 10)], name="1.tfevents", start=1e9)
    write_events(folder, [("x", s, 2.0) for s in range(20, 70, 10)], name="2.tfevents", start=2e9)
    return tmp_path


def test_the_later_pass_of_a_resumed_run_is_kept_by_default(resumed: Path) -> None:
    with pytest.warns(LogWarning, match=r"from step 40 to 20.*3 points"):
        scalars = tl.load(resumed).scalars
    assert scalars["step"].tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert scalars["value"].tolist() == [1, 1, 2, 2, 2, 2, 2]


def test_all_points_of_a_resumed_run_are_kept_on_request(resumed: Path) -> None:
    scalars = tl.load(resumed, restarts="all").scalars
    assert scalars["step"].tolist() == [0, 10, 20, 20, 30, 30, 40, 40, 50, 60]


def test_a_resumed_run_is_refused_on_request(resumed: Path) -> None:
    with pytest.raises(BadLog, match="steps go back"):
        tl.load(resumed, restarts="error")


def test_repeated_steps_are_no_restart(tmp_path: Path, write_events) -> None:
    write_events(tmp_path, [("x", 5, 1.0), ("x", 5, 2.0), ("x", 6, 3.0)])
    assert tl.load(tmp_path, restarts="error").scalars["value"].tolist() == [1.0, 2.0, 3.0]


def test_many_large_runs_are_read_by_several_processes_with_the_same_result(
    tmp_path: Path, monkeypatch
) -> None:
    rows = "".join(f"{i},1,{i}\n" for i in range(20_000))
    for run in range(3):
        put(tmp_path / f"seed_{run}" / "monitor.csv", '#{"t_start": 0}\nr,l,t\n' + rows)
    alone = tl.load(tmp_path)
    monkeypatch.setattr("tarslab.runs.formats.parallel.PROCESSES_PAY", 0)
    together = tl.load(tmp_path)
    assert alone.scalars.equals(together.scalars)
    assert alone.table.equals(together.table)


def test_a_script_without_a_main_guard_can_load_in_parallel(tmp_path: Path) -> None:
    for run in range(2):
        put(tmp_path / f"seed_{run}" / "monitor.csv", MONITOR)
    script = put(
        tmp_path / "script.py",
        "import tarslab as tl\n"
        "from tarslab.runs.formats import parallel\n"
        "parallel.PROCESSES_PAY = 0\n"
        f"print(len(tl.load({str(tmp_path)!r})))\n",
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert result.stdout == "2\n"


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "run" / "monitor.csv", MONITOR)
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    (chosen / "linked").symlink_to(tmp_path / "elsewhere" / "run")
    (chosen / "loop").symlink_to(chosen)
    assert tl.load(chosen).names == ["linked"]


def test_a_glob_takes_the_logs_among_what_it_matches(tmp_path: Path) -> None:
    put(tmp_path / "run" / "monitor.csv", MONITOR)
    put(tmp_path / "notes.md", "hello")
    assert tl.load(tmp_path / "*").names == ["run"]


def test_runs_whose_names_would_clash_keep_their_endings(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    for name in ("a.csv", "a.tsv", "a/progress.csv", "progress.csv", "logs/progress.csv"):
        separator = "\t" if name.endswith("tsv") else ","
        put(logs / name, f"step{separator}r\n1{separator}2\n")
    assert tl.load(logs).names == [".", "a", "a.csv", "a.tsv", "logs"]


def test_a_run_that_is_named_twice_is_one_run(tmp_path: Path, monkeypatch) -> None:
    put(tmp_path / "run" / "monitor.csv", MONITOR)
    monkeypatch.chdir(tmp_path)
    runs = tl.load(["run", tmp_path / "run"])
    assert len(runs) == 1
    assert len(runs.scalars) == 4


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    put(tmp_path / "good" / "monitor.csv", MONITOR)
    locked = put(tmp_path / "locked" / "monitor.csv", MONITOR)

    def refuse_one(path: Path) -> Format | None:
        # The superuser, who runs the tests in a container, may read every file.
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return detect(path)

    with pytest.warns(LogWarning, match=r"locked/monitor\.csv: Permission denied"):
        assert [run.name for run in find_runs(tmp_path, detect=refuse_one)] == ["good"]


def test_names_that_are_no_unicode_are_escaped(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/r\xe9sultat"
    os.mkdir(folder)
    put(Path(os.fsdecode(folder)) / "monitor.csv", MONITOR)
    assert tl.load(tmp_path).names == ["r\\udce9sultat"]


@pytest.mark.parametrize("path", ["", "x" * 300])
def test_an_empty_and_an_endless_path_are_refused(path: str) -> None:
    with pytest.raises((BadArgument, LogNotFound)):
        tl.load(path)


def test_what_stands_above_the_folder_asked_for_says_nothing_of_the_run(tmp_path: Path) -> None:
    put(tmp_path / "sac" / "seed_3" / "logs" / "run" / "monitor.csv", MONITOR)
    row = tl.load(tmp_path / "sac" / "seed_3" / "logs").table.iloc[0]
    assert row[["algo", "seed"]].isna().all()
    inside = tl.load(tmp_path / "sac").table.iloc[0]
    assert (inside["algo"], inside["seed"]) == ("sac", 3)


def test_a_file_named_after_an_algorithm_is_of_it(tmp_path: Path) -> None:
    put(tmp_path / "ppo.csv", "step,reward\n1,2\n")
    assert tl.load(tmp_path).table["algo"].tolist() == ["ppo"]


def test_a_whole_csv_is_used_where_the_event_file_is_damaged(tmp_path: Path, write_events) -> None:
    path = write_events(tmp_path, [("x", step, float(step)) for step in range(10)])
    put(tmp_path / "progress.csv", "step,x\n" + "".join(f"{i},{i}\n" for i in range(10)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(LogWarning) as caught:
        runs = tl.load(tmp_path)
    assert "csv holds more of 1 metrics" in str(caught[1].message)
    assert runs.scalars["step"].tolist() == list(range(10))


def test_a_monitor_that_began_again_after_a_resume_is_named(tmp_path: Path, write_events) -> None:
    put(tmp_path / "monitor.csv", MONITOR)
    write_events(tmp_path, [("train/value_loss", step, 1.0) for step in (30, 600)])
    with pytest.warns(LogWarning, match=r"monitor\.csv end at step 29 and the other logs at 600"):
        tl.load(tmp_path)


def test_episodes_are_counted_where_they_are_recorded_one_by_one(
    tmp_path: Path, write_events
) -> None:
    put(tmp_path / "single" / "monitor.csv", MONITOR)
    write_events(tmp_path / "means", [("rollout/ep_rew_mean", 30, 1.0)])
    episodes = tl.load(tmp_path).table.set_index("run")["episodes"]
    assert episodes["single"] == 2
    assert pd.isna(episodes["means"])


def test_hidden_files_and_pipes_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "r" / "monitor.csv", MONITOR)
    put(tmp_path / ".cache" / "monitor.csv", MONITOR)
    os.mkfifo(tmp_path / "pipe")
    assert tl.load(tmp_path).names == ["r"]


def test_a_config_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    put(tmp_path / "r" / "monitor.csv", MONITOR)
    put(tmp_path / "r" / "config.json", "{")
    with pytest.warns(LogWarning, match=r"config\.json"):
        assert len(tl.load(tmp_path)) == 1


def test_hyperparameters_become_columns(tmp_path: Path) -> None:
    put(tmp_path / "r" / "monitor.csv", MONITOR)
    put(tmp_path / "r" / "config.json", json.dumps({"algo": "ppo", "lr": 0.1, "net": {"n": 2}}))
    row = tl.load(tmp_path).table.iloc[0]
    assert (row["algo"], row["hp.lr"], row["hp.net.n"]) == ("ppo", 0.1, 2)


def test_the_fingerprint_changes_with_any_byte_of_the_logs_and_nothing_else(
    tmp_path: Path,
) -> None:
    log = put(tmp_path / "r" / "monitor.csv", MONITOR)
    before = fingerprint(tmp_path)
    put(tmp_path / "r" / "model.zip", "weights")
    assert fingerprint(tmp_path) == before
    config = put(tmp_path / "r" / "config.json", "{}")
    with_config = fingerprint(tmp_path)
    assert with_config != before
    config.unlink()
    log.write_text(MONITOR.replace("9.0", "8.0"))
    assert fingerprint(tmp_path) not in (before, with_config)


def test_loading_sound_logs_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tl.load("bundled:poker")


def same(one: Runs, other: Runs) -> None:
    """Equal to the last bit, types and all."""
    assert_frame_equal(one.scalars, other.scalars, check_exact=True)
    assert_frame_equal(one.table, other.table, check_exact=True)


@pytest.mark.parametrize("name", ["cartpole", "pendulum", "poker"])
@pytest.mark.parametrize("restarts", ["last", "all"])
def test_asking_for_metrics_gives_what_selecting_them_from_all_gives(
    name: str, restarts: Any
) -> None:
    everything = tl.load(f"bundled:{name}", restarts=restarts)
    for metric in everything.metrics:
        same(
            tl.load(f"bundled:{name}", metrics=metric, restarts=restarts),
            everything.select(metric=metric),
        )


# Tags with one meaning, with one that hangs on the others, with none, and of whole families.
TAGS = (
    *("charts/episodic_return", "rollout/ep_rew_mean", "env_runners/episode_return_mean", "x/own"),
    *("train/loss", "rollout/exploration_rate", "train/policy_gradient_loss", "train/entropy_loss"),
    *("learners/a/policy_loss", "learners/b/policy_loss", "learners/a/alpha_value", "entropy"),
    *("train/q_loss", "train/actor_loss", "update/loss", "update/loss/vf", "train/eps"),
)
NAMES = ("reward", "entropy", "policy_loss", "actor_loss", "td_loss", "total_loss", "critic_loss")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    runs=st.lists(
        st.dictionaries(
            st.sampled_from(["result.json", "progress.csv", "extra.csv"]),
            st.lists(st.sampled_from(TAGS), min_size=1, max_size=5, unique=True),
            min_size=1,
        ),
        min_size=1,
        max_size=3,
    ),
    asked=st.lists(st.sampled_from([*NAMES, *TAGS]), min_size=1, max_size=2, unique=True),
)
def test_asking_for_metrics_of_any_logs_is_selecting_them(
    tmp_path_factory: pytest.TempPathFactory, runs: list[dict[str, list[str]]], asked: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    for number, files in enumerate(runs):
        for file, tags in files.items():
            rows = [{tag: step + n for n, tag in enumerate(tags)} for step in range(3)]
            put(folder / f"run_{number}" / file, table(file, rows))
        put(folder / f"run_{number}" / "config.json", json.dumps({f"lr_{number}": 1}))
    expected = outcome(lambda: tl.load(folder).select(metric=asked))
    found = outcome(lambda: tl.load(folder, metrics=asked))
    if isinstance(expected, Runs) and isinstance(found, Runs):
        same(found, expected)
    else:
        assert found == expected


def outcome(call: Callable[[], Runs]) -> Runs | str:
    try:
        return call()
    except NotLogged as error:
        return str(error)


def table(file: str, rows: list[dict[str, int]]) -> str:
    if file.endswith("json"):
        return "".join(
            json.dumps({"step": step, "seed": 1, **row}) + "\n" for step, row in enumerate(rows)
        )
    return pd.DataFrame(rows).rename_axis("step").to_csv()


def test_readers_are_told_what_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "result.json", '{"step": 1, "episode_reward_mean": 2, "other": 3}\n')
    told: list[Collection[str] | None] = []
    read_all = json_lines.read_all

    def note(homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None) -> object:
        if homes:
            told.append(wanted)
        return read_all(homes, wanted)

    monkeypatch.setattr(json_lines, "read_all", note)
    tl.load(tmp_path)
    tl.load(tmp_path, metrics="reward")
    assert told[0] is None
    assert told[1] is not None
    assert "episode_reward_mean" in told[1]
    assert "other" not in told[1]


def test_a_metric_that_is_not_there_is_answered_with_all_that_are(tmp_path: Path) -> None:
    put(tmp_path / "log.jsonl", '{"step": 1, "a": 2, "b": 3}\n')
    with pytest.raises(NotLogged, match="no run has a metric entropy; there are a, b"):
        tl.load(tmp_path, metrics=["a", "entropy"])


def test_episodes_are_counted_whatever_is_asked_for(tmp_path: Path) -> None:
    header = "global_step,charts/episodic_return,losses/entropy\n"
    put(tmp_path / "progress.csv", header + "1,5,0.1\n2,6,0.2\n")
    assert tl.load(tmp_path, metrics="entropy").table["episodes"].tolist() == [2]


def test_ray_tunes_event_file_and_result_json_are_one(tmp_path: Path, write_events) -> None:
    folder = tmp_path / "PPO_CartPole-v1_a6535_00000_0_2026-11-24_00-54-49"
    rows = [
        {"num_env_steps_sampled_lifetime": 400 * n, "training_iteration": n, "loss": float(n)}
        for n in (1, 2)
    ]
    put(folder / "result.json", "".join(json.dumps(row) + "\n" for row in rows))
    scalars = [
        (f"ray/tune/{tag}", n, value)
        for n in (1, 2)
        for tag, value in (
            ("num_env_steps_sampled_lifetime", 400 * n),
            ("loss", n),
            ("in_events", n),
        )
    ]
    write_events(folder, scalars)
    runs = tl.load(tmp_path)
    assert runs.table["format"].tolist() == ["json+tfevents"]
    assert {"loss", "in_events"} <= set(runs.metrics)
    assert not [metric for metric in runs.metrics if metric.startswith("ray/")]
    (in_events,) = (one for _, one in runs.series("in_events"))
    assert in_events.step.tolist() == [400, 800]
    same(tl.load(tmp_path, metrics="in_events"), runs.select(metric="in_events"))


def test_times_come_from_another_log_of_the_same_points(tmp_path: Path, write_events) -> None:
    put(
        tmp_path / "progress.json",
        '{"time/total_timesteps": 10, "train/value_loss": 1.5, "time/fps": 70}\n'
        '{"time/total_timesteps": 20, "train/value_loss": 0.1, "time/fps": 71}\n',
    )
    scalars = [("train/value_loss", 10, 1.5), ("train/value_loss", 20, 0.1), ("time/fps", 10, 70.0)]
    write_events(tmp_path, scalars)
    runs = tl.load(tmp_path)
    (loss,) = (one for _, one in runs.series("value_loss"))
    # The value is that of the more trusted log, with all its digits.
    assert loss.value.tolist() == [1.5, 0.1]
    assert loss.wall_time.tolist() == [1_700_000_000, 1_700_000_001]
    (fps,) = (one for _, one in runs.series("fps"))
    assert np.isnan(fps.wall_time).all()


def test_a_packed_table_is_named_without_its_endings(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"step,r\n1,2\n"))
    put(tmp_path / "b.1.csv", "step,r\n1,2\n")
    assert tl.load(tmp_path).names == ["a", "b.1"]
    put(tmp_path / "a.csv", "step,r\n1,2\n")
    assert tl.load(tmp_path).names == ["a.csv", "a.csv.gz", "b.1"]


def test_a_run_of_which_only_a_part_was_asked_for_has_its_own_name(tmp_path: Path) -> None:
    run = tmp_path / "mlruns" / "1" / "abc"
    put(run / "meta.yaml", "run_id: abc\nlifecycle_stage: active\n")
    put(run / "params" / "lr", "0.5")
    put(run / "metrics" / "x", "1795482899963 1.0 0\n")
    whole = tl.load(tmp_path / "mlruns")
    part = tl.load(run / "metrics")
    assert (whole.names, part.names) == (["1/abc"], ["abc"])
    assert part.table["hp.lr"].tolist() == [0.5]


def test_settings_of_mlflow_are_in_the_fingerprint(tmp_path: Path) -> None:
    run = tmp_path / "1" / "abc"
    put(run / "meta.yaml", "run_id: abc\nlifecycle_stage: active\n")
    put(run / "metrics" / "x", "1795482899963 1.0 0\n")
    rate = put(run / "params" / "lr", "0.5")
    before = fingerprint(tmp_path)
    rate.write_text("0.6")
    assert fingerprint(tmp_path) != before


def test_files_of_one_name_in_two_folders_of_a_run_differ_in_the_fingerprint(
    tmp_path: Path,
) -> None:
    prints = []
    for kind in ("train", "eval"):
        run = tmp_path / kind / "1" / "abc"
        put(run / "meta.yaml", "run_id: abc\nlifecycle_stage: active\n")
        put(run / "metrics" / kind / "loss", "1795482899963 1.0 0\n")
        prints.append(fingerprint(tmp_path / kind / "1"))
    assert prints[0] != prints[1]


def test_a_file_of_a_folder_that_is_reached_twice_is_read_once(tmp_path: Path) -> None:
    put(tmp_path / "run" / "monitor.csv", MONITOR)
    os.link(tmp_path / "run" / "monitor.csv", tmp_path / "run" / "0.monitor.csv")
    assert tl.load(tmp_path).table["points"].tolist() == [4]


def test_a_broken_link_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "run" / "monitor.csv", MONITOR)
    (tmp_path / "run" / "nowhere").symlink_to(tmp_path / "none")
    (tmp_path / "run" / "itself").symlink_to(tmp_path / "run" / "itself")
    assert tl.load(tmp_path).names == ["run"]


def test_what_comes_from_a_url_is_named_by_it(tmp_path: Path, put_far: Callable[..., None]) -> None:
    put_far("runs/a/progress.csv", "step,r\n1,2\n3")
    put_far("runs/a/config.json", "{")
    with pytest.warns(LogWarning) as caught:
        runs = tl.load("memory://shelf/runs")
    assert runs.table["path"].tolist() == ["memory://shelf/runs/a"]
    messages = sorted(str(warning.message) for warning in caught)
    assert [message.split(": ")[0] for message in messages] == [
        "memory://shelf/runs/a/config.json",
        "memory://shelf/runs/a/progress.csv",
    ]
    put_far("bad/progress.csv", "")
    with pytest.raises(BadLog, match=r"- memory://shelf/bad/progress\.csv: the file is empty"):
        tl.load("memory://shelf/bad")


@pytest.fixture
def put_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a file of the file system in memory."""
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")

    def put(path: str, text: str) -> None:
        files.pipe_file(f"/shelf/{path}", text.encode())

    return put


def test_a_generator_of_paths_is_a_list_of_them(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / name / "monitor.csv", MONITOR)
    assert tl.load(tmp_path / name for name in "ab").names == ["a", "b"]
