"""From paths to Runs."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tarslab as tl
from tarslab.errors import BadArgument, BadLog, LogNotFound, LogWarning, NotLogged
from tarslab.runs import fingerprint
from tarslab.runs.formats import detect

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
    with pytest.raises(LogNotFound, match="there are cartpole, pendulum, poker"):
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


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch) -> None:
    put(tmp_path / "good" / "monitor.csv", MONITOR)
    locked = put(tmp_path / "locked" / "monitor.csv", MONITOR)

    def refuse_one(path: Path) -> object:
        # The superuser, who runs the tests in a container, may read every file.
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return detect(path)

    monkeypatch.setattr("tarslab.runs.discovery.detect", refuse_one)
    with pytest.warns(LogWarning, match=r"locked/monitor\.csv: Permission denied"):
        assert tl.load(tmp_path).names == ["good"]


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
