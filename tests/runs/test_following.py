"""Runs that are followed while another process trains them."""

import os
import shutil
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tarslab as tl
from tarslab import bundled
from tarslab.errors import BadArgument, BadLog, LogNotFound, LogWarning, NotLogged


def assert_as_loaded(live: tl.LiveRuns, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LogWarning)
        loaded = tl.load(path, cache=False)
    pd.testing.assert_frame_equal(live.scalars, loaded.scalars)
    pd.testing.assert_frame_equal(live.table, loaded.table)


def test_runs_grow_with_what_another_process_logs(tmp_path, train) -> None:
    log = train("ppo/seed_0")
    log(10)
    live = tl.follow(tmp_path)
    assert live.scalars["value"].tolist() == list(range(10))
    assert not live.update()
    log(5)
    assert live.update()
    assert live.scalars["value"].tolist() == list(range(15))
    assert_as_loaded(live, tmp_path)


def test_runs_that_start_later_and_files_that_are_rotated_come_in(tmp_path, train) -> None:
    log = train("ppo/seed_0")
    log(3)
    live = tl.follow(tmp_path)
    train("ppo/seed_1")(4)
    assert live.update()
    assert live.names == ["ppo/seed_0", "ppo/seed_1"]
    # A resumed training writes a file beside the one of before.
    (first,) = (tmp_path / "ppo/seed_0").iterdir()
    first.rename(first.with_name("events.out.tfevents.0"))
    train("ppo/seed_0")(6)
    with pytest.warns(LogWarning, match="steps go back"):
        assert live.update()
    assert live.select(run="ppo/seed_0").scalars["value"].tolist() == list(range(6))
    assert_as_loaded(live, tmp_path)


def test_select_and_charts_take_live_runs_as_any_other(tmp_path, train) -> None:
    train("ppo/seed_0")(20)
    live = tl.follow(tmp_path, metrics="reward")
    assert type(live.select(algo="ppo")) is tl.Runs
    assert tl.charts.reward_curve(live).to_dict()
    assert repr(live) == "<LiveRuns: 1 run, 1 metrics, 20 points>"


def test_where_the_logs_are_gone_what_was_read_stays(tmp_path, train) -> None:
    log = train("ppo/seed_0")
    log(5)
    live = tl.follow(tmp_path)
    shutil.rmtree(tmp_path / "ppo")
    assert not live.update()
    assert len(live.scalars) == 5


def test_a_path_without_logs_and_unknown_restarts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LogNotFound, match="no training logs"):
        tl.follow(tmp_path)
    with pytest.raises(BadArgument, match="restarts"):
        tl.follow(tmp_path, restarts="first")  # type: ignore[arg-type]
    (tmp_path / "events.out.tfevents.1").touch()
    with pytest.raises(BadLog, match="nothing was logged yet"):
        tl.follow(tmp_path)


def test_a_file_that_was_named_may_be_empty_for_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,2\n")
    live = tl.follow(path)
    path.write_text("")
    assert not live.update()
    assert len(live.scalars) == 1
    path.write_text("step,loss\n1,2\n2,3\n")
    assert live.update()
    assert len(live.scalars) == 2


def test_a_metric_that_is_gone_for_a_while_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "progress.csv"
    path.write_text("step,loss,other\n1,2,3\n")
    live = tl.follow(tmp_path, metrics="loss")
    path.write_text("step,other\n1,2\n2,5\n")
    assert not live.update()
    assert live.metrics == ["loss"]
    path.write_text("step,loss,other\n1,2,3\n2,5,3\n")
    assert live.update()
    assert live.scalars["value"].tolist() == [2, 5]


def test_a_metric_that_no_run_has_is_answered_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "progress.csv").write_text("step,loss,other\n1,2,3\n")
    with pytest.raises(NotLogged, match="there are loss, other"):
        tl.follow(tmp_path, metrics="reward")


def test_a_url_is_refused_without_its_secrets() -> None:
    with pytest.raises(BadArgument, match="only files of this machine") as caught:
        tl.follow("s3://someone:hunter2@bucket/runs")
    assert "hunter2" not in str(caught.value)


def test_what_is_said_once_is_not_said_again_with_other_counts(tmp_path: Path) -> None:
    monitor = tmp_path / "monitor.csv"
    monitor.write_text('#{"t_start": 1.0}\nr,l,t\n' + "1,10,1\n" * 3)
    progress = tmp_path / "progress.csv"
    rows = [f"{step},1\n" for step in range(0, 50_000, 500)]
    progress.write_text("time/total_timesteps,loss\n" + "".join(rows[:50]))
    with pytest.warns(LogWarning, match="the episodes in monitor"):
        live = tl.follow(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in (60, 70):
            progress.write_text("time/total_timesteps,loss\n" + "".join(rows[:n]))
            assert live.update()
    assert len(live.problems) == 1


def test_damage_is_warned_of_once_and_an_unfinished_event_never(tmp_path, write_events) -> None:
    path = write_events(tmp_path / "a", [("x", step, 1.0) for step in range(50)])
    data = path.read_bytes()
    path.write_bytes(data[:600])
    live = tl.follow(tmp_path)
    path.write_bytes(data[:1_000])
    assert live.update()
    path.write_bytes(data[:1_000] + bytes(100))
    with pytest.warns(LogWarning, match="checksum") as caught:
        assert live.update()
    assert len(caught) == 1
    write_events(tmp_path / "b", [("x", 0, 1.0)])
    assert live.update()


SOURCE = bundled.data("cartpole") / "ppo" / "seed_0"
FILES = ["events.out.tfevents.0", "progress.csv", "0.monitor.csv", "1.monitor.csv", "config.json"]
CONTENTS = {name: (SOURCE / name).read_bytes() for name in FILES}

Step = tuple[str, str, str, float]
STEPS = st.tuples(
    st.sampled_from(["grow", "grow", "grow", "truncate", "replace", "remove", "link away"]),
    st.sampled_from(["ppo/seed_0", "ppo/seed_1"]),
    st.sampled_from(FILES),
    st.floats(0, 1),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(STEPS, st.booleans()), max_size=12))
@example(
    [
        (("grow", "ppo/seed_0", "events.out.tfevents.0", 0.5), True),
        (("grow", "ppo/seed_0", "progress.csv", 1.0), True),
        (("grow", "ppo/seed_0", "config.json", 1.0), True),
    ]
)
@pytest.mark.filterwarnings("ignore::tarslab.errors.LogWarning")
def test_whatever_happens_to_the_files_live_runs_are_what_loading_gives(
    tmp_path: Path, steps: list[tuple[Step, bool]]
) -> None:
    folder = tmp_path / "logs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SOURCE, folder / "ppo" / "seed_9")
    live = tl.follow(folder)
    for step, look in steps:
        happen(folder, *step)
        if look:
            live.update()
            assert_as_loaded(live, folder)
    live.update()
    assert_as_loaded(live, folder)


def happen(folder: Path, what: str, run: str, name: str, share: float) -> None:
    path = folder / run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    size = path.stat().st_size if path.exists() else 0
    data = CONTENTS[name]
    if what == "grow":
        with path.open("ab") as file:
            file.write(data[size : size + int(share * 20_000)])
    elif what == "replace":
        other = folder / "other"
        other.write_bytes(data[: int(share * len(data))])
        other.replace(path)
    elif size and what == "truncate":
        os.truncate(path, int(share * size))
    elif size and what == "remove":
        path.unlink()
    elif size:
        path.rename(path.with_name(f"old.{name}"))
    # Some file systems tell the time in steps of milliseconds.
    time.sleep(0.002)
