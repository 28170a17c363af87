"""Experiments on the real stack: those that come with tarslab, and what can go wrong in one."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import tarslab as tl
from tarslab.admin import AdminClient
from tarslab.chaos import experiments
from tarslab.chaos.experiments import Event, ExperimentFailed, ExperimentResult
from tarslab.chaos.experiments.writing import Writes
from tarslab.chaos.guards import Guard, Refused
from tarslab.chaos.load.errors import LoadFailed
from tarslab.chaos.platforms import LocalPlatform, PlatformGone
from tarslab.chaos.undo import Journal
from tarslab.errors import BadArgument
from tarslab.stack import Stack
from tests.chaos.experiments import made
from tests.stack.waiting import LIMIT, wait_until

# What other work on this machine may spoil.
BUSY = ("success", "availability", "recovery", "downtime")
CHAOS = (sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file")


def state(platform: LocalPlatform, service: str) -> str:
    """Of its one unit."""
    units = platform.units(service)
    return units[0].state if units else "none"


def check(result: ExperimentResult) -> None:
    """Everything was back, and every criterion holds that is none of time."""
    rows = result.criteria
    bad = rows[(rows["passed"] != True) & ~rows["measure"].isin(BUSY)]  # noqa: E712
    assert bad.empty, result.explain()
    assert result.recoveries["recovery"].max() < math.inf
    assert result.about.status == "completed"


def test_redis_goes_down_and_no_acknowledged_write_is_lost(
    platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    result = experiments.run("redis-outage", platform, scale=0.05, out=tmp_path)
    check(result)
    measured = result.criteria.set_index("measure")["measured"]
    assert measured["acknowledged_writes"] > 0
    assert measured["lost_writes"] == 0
    assert result.observed.counts["logins in legacy mode"] >= 1
    assert result.observed.counts["logins in normal mode"] >= 1
    # Writes went on while Redis was down, and were refused then.
    (fault,) = result.faults
    assert fault.ended is not None
    during = result.writes.query("@fault.began < sent < @fault.ended - 1")
    assert len(during) > 0
    assert not during.iloc[-1]["acknowledged"]
    # All is on one clock.
    assert result.load_result is not None
    assert result.about.started_at < fault.began < fault.ended < result.about.ended_at
    assert result.load_result.about.fault == (fault.began, fault.ended)
    assert result.probes.between(fault.began, fault.ended).failed("redis") > 0
    assert journal.entries() == ()
    assert ExperimentResult.load(tmp_path).verdict == result.verdict


def test_killed_services_come_back_each_time(platform: LocalPlatform, journal: Journal):
    result = experiments.run("pod-kill", platform, scale=0.02, variables={"repeats": 1})
    check(result)
    assert [each.name for each in result.faults] == [
        "kill orchestration",
        "kill automl",
        "kill hypersync",
    ]


def test_repeated_kills_give_an_interval(platform: LocalPlatform, journal: Journal):
    content = made.experiment(made.action("kill", service="hypersync", repeats=2, pause=0))
    result = experiments.run(content, platform)
    assert [each.repeat for each in result.faults] == [0, 1]
    interval = result.recovery("hypersync")
    assert 0 <= interval.low <= interval.estimate <= interval.high < math.inf
    units = [window.recovered for window in result.faults]
    assert None not in units


def test_services_bear_a_slow_redis(platform: LocalPlatform, journal: Journal):
    result = experiments.run("redis-latency", platform, scale=0.02)
    check(result)
    assert [each.name for each in result.faults] == [
        f"latency {milliseconds} ms on redis" for milliseconds in (100, 300, 1000)
    ]


def test_a_service_that_hangs_goes_on(platform: LocalPlatform, journal: Journal):
    before = platform.units("orchestration")
    result = experiments.run("pause", platform, scale=0.02)
    check(result)
    assert result.probes.failures("orchestration").keys() == {"timeout"}
    assert platform.units("orchestration")[0].id == before[0].id


def test_a_rotation_survives_a_kill_in_its_midst(journal: Journal):
    # One whose signing keys may be rotated soon.
    with tl.stack.up(proxied=True, settings={"jwks_cache_seconds": 1}) as stack:
        result = experiments.run(
            "kill-during-rotation", stack, scale=0.02, variables={"repeats": 1}
        )
    # Whether the one kill came in time is a matter of luck here.
    rows = result.criteria.query("criterion != 'rotations are interrupted at all'")
    left = rows[~rows["measure"].isin(BUSY)]
    assert (left["passed"] == True).all(), result.explain()  # noqa: E712
    assert set(left["measure"]) == {"steady_state", "count"}


def test_chaos_toolkit_itself_runs_the_same_file(
    stack: Stack, platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    content = made.experiment(
        made.load(),
        made.action("outage", service="redis", seconds=1),
        made.action("end_load"),
        criteria=[
            made.criterion("mode_seen", ">= 1", mode="legacy"),
            made.criterion("downtime", "< 0", service="redis"),
        ],
    )
    (tmp_path / "one.json").write_text(json.dumps(content))
    done = subprocess.run(
        [*CHAOS, "run", "one.json"],
        cwd=tmp_path,
        env=os.environ
        | {
            "TARSLAB_CHAOS_PLATFORM": json.dumps(platform.reference()),
            "TARSLAB_CHAOS_OUT": str(tmp_path / "kept"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads((tmp_path / "journal.json").read_text())
    passed = {row["measure"]: row["passed"] for row in said["tarslab"]["criteria"]}
    assert passed == {"mode_seen": True, "downtime": False}, done.stderr
    # Redis was down, which one criterion does not allow.
    assert said["deviated"]
    assert done.returncode == 1
    assert [each["status"] for each in said["run"]] == ["succeeded"] * 3
    kept = ExperimentResult.load(tmp_path / "kept")
    assert kept.verdict == "failed"
    assert kept.load_result is not None


def test_ctrl_c_in_chaos_toolkit_ends_the_load_too(
    stack: Stack, platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    # Its own pause is none that an action of tarslab would see the end of.
    pausing = made.action("wait", seconds=0) | {"pauses": {"after": 3600}}
    content = made.experiment(made.load(), pausing, made.action("end_load"))
    (tmp_path / "one.json").write_text(json.dumps(content))
    with subprocess.Popen(
        [*CHAOS, "run", "one.json"],
        cwd=tmp_path,
        env=os.environ | {"TARSLAB_CHAOS_PLATFORM": json.dumps(platform.reference())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            said = next(line for line in process.stdout if "Pausing after activity" in line)
            assert "3600" in said
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    kept = json.loads((tmp_path / "journal.json").read_text())
    assert kept["status"] == "interrupted"
    assert kept["tarslab"]["verdict"] == "interrupted"


def test_an_abort_takes_back_what_was_written(
    stack: Stack, platform: LocalPlatform, journal: Journal
):
    content = made.experiment(made.action("write", rate=20), made.action("wait", seconds=LIMIT))
    run = experiments.start(content, platform)
    wait_until(lambda: (run._session.observed.writes or Writes(())).acknowledged >= 3)
    run.abort()
    result = run.wait()
    names = set(result.writes.query("acknowledged")["key"])
    with AdminClient(stack.url, username="admin", password=stack.admin_password) as admin:
        states = {key.name: key.state for key in admin.api_keys.list()}
    assert {states[name] for name in names} == {"revoked"}
    assert not any("could not be taken back" in event.text for event in run.events)


def test_a_plan_says_what_would_be_touched_and_touches_nothing(
    platform: LocalPlatform, journal: Journal
):
    (unit,) = platform.units("redis")
    plan = experiments.plan("redis-outage", platform, scale=0.05)
    assert f"process {unit.id} (redis): SIGKILL, and held down" in str(plan)
    assert "started, if it is held down" in str(plan)
    assert [step.what for step in plan.steps if step.phase == "rollbacks"] == [
        "whatever is still broken is undone"
    ]
    # A baseline of 0.5 s, twice, and an outage of 2 s at least.
    assert plan.seconds == pytest.approx(3.0)
    assert platform.units("redis") == (unit,)
    assert journal.entries() == ()
    assert len(plan.criteria) == 8


@pytest.mark.parametrize("name", experiments.shipped())
def test_every_shipped_one_can_be_planned(name: str, platform: LocalPlatform, journal: Journal):
    plan = experiments.plan(name, platform)
    touched = [step for step in plan.steps if "on the stack in" in step.what]
    assert touched, str(plan)
    assert journal.entries() == ()


def test_an_unknown_service_is_refused_before_anything_is_touched(
    platform: LocalPlatform, journal: Journal
):
    content = made.experiment(
        made.action("outage", service="redis"), made.action("kill", service="sql")
    )
    with pytest.raises(BadArgument, match=r"service must be one of .*redis.*, not 'sql'"):
        experiments.run(content, platform)
    assert state(platform, "redis") == "ready"


def test_users_that_would_never_go_are_refused(platform: LocalPlatform, journal: Journal):
    content = made.experiment(made.action("sign_in", background=True))
    with pytest.raises(BadArgument, match="until the action end_load, which the method lacks"):
        experiments.run(content, platform)


def test_what_is_not_ready_is_not_broken(platform: LocalPlatform, journal: Journal):
    content = made.experiment(made.action("kill", service="automl"))
    (unit,) = platform.units("automl")
    platform.pause(unit)
    try:
        with pytest.raises(Refused, match="0 units of automl are ready"):
            experiments.run(content, platform)
    finally:
        platform.resume(unit)


def test_a_fault_that_would_take_longer_than_it_may_is_refused(
    platform: LocalPlatform, journal: Journal
):
    content = made.experiment(
        made.action("outage", service="redis", seconds=2),
        made.action("pause", service="automl", seconds=60),
    )
    with pytest.raises(Refused, match="pause automl is to be held for 60 s, and 30 s may be"):
        experiments.run(content, platform, guard=Guard(max_seconds=30))
    with pytest.raises(BadArgument, match="dry_run touches nothing; plan says"):
        experiments.run(content, platform, guard=Guard(dry_run=True))
    assert state(platform, "redis") == "ready"


def test_a_target_that_nobody_listens_at_is_named(platform: LocalPlatform, journal: Journal):
    content = made.experiment(made.load(), made.action("outage", service="redis"))
    with pytest.raises(
        LoadFailed, match=r"http://127\.0\.0\.1:1: nobody accepts connections there"
    ):
        experiments.run(content, platform, target="http://127.0.0.1:1")
    assert state(platform, "redis") == "ready"


def at_fault(do: Callable[[], object]) -> Callable[[Event], None]:
    """Calls something once a fault has begun."""

    def hear(event: Event) -> None:
        if event.kind == "fault":
            do()

    return hear


def kill_load() -> None:
    """SIGKILL to the processes that send the load of this one."""
    for process in psutil.Process().children(recursive=True):
        if "tarslab.chaos.load.engine" in process.cmdline():
            process.kill()


def test_a_load_that_is_killed_breaks_off_and_the_fault_is_undone(
    platform: LocalPlatform, journal: Journal
):
    content = made.experiment(
        made.load(), made.action("outage", service="redis", seconds=LIMIT), made.action("end_load")
    )
    with pytest.raises(ExperimentFailed, match="broke off: the engine's process ended") as failed:
        experiments.run(content, platform, on_event=at_fault(kill_load))
    result = failed.value.result
    assert result is not None
    assert result.verdict == "broken off"
    assert result.faults[0].ended is not None
    assert [each["status"] for each in result.journal["rollbacks"]] == ["succeeded"]
    platform.wait_ready("redis")
    assert journal.entries() == ()


def test_a_platform_that_is_lost_breaks_off(journal: Journal):
    content = made.experiment(made.action("outage", service="redis", seconds=LIMIT))
    with tl.stack.up() as lost:
        with pytest.raises(ExperimentFailed, match=r"broke off: the stack in .* is down") as failed:
            experiments.run(content, lost, on_event=at_fault(lost.down))
        assert isinstance(failed.value.__cause__, PlatformGone)
    assert failed.value.result is not None
    # There is nothing left to undo.
    assert journal.entries() == ()


def test_an_abort_undoes_and_gives_what_was_measured(platform: LocalPlatform, journal: Journal):
    content = made.experiment(
        made.load(), made.action("outage", service="redis", seconds=LIMIT), made.action("end_load")
    )
    run = experiments.start(content, platform)
    wait_until(lambda: bool(run.snapshot().faults))
    snapshot = run.snapshot()
    assert (snapshot.phase, snapshot.doing) == ("method", "outage")
    assert snapshot.probes is not None
    assert not snapshot.over
    assert state(platform, "redis") == "none"
    run.abort()
    result = run.wait()
    assert result.verdict == "interrupted"
    assert run.snapshot().over
    assert [event.kind for event in run.events if event.kind in ("fault", "undone")] == [
        "fault",
        "undone",
    ]
    platform.wait_ready("redis")
    assert journal.entries() == ()


def test_ctrl_c_undoes(platform: LocalPlatform, journal: Journal):
    content = made.experiment(made.action("outage", service="redis", seconds=LIMIT))
    assert threading.current_thread() is threading.main_thread()
    result = experiments.run(
        content, platform, on_event=at_fault(lambda: signal.raise_signal(signal.SIGINT))
    )
    assert result.verdict == "interrupted"
    assert result.exit_code == 130
    platform.wait_ready("redis")


def test_a_run_that_is_killed_leaves_nothing_broken(
    stack: Stack, platform: LocalPlatform, journal: Journal
):
    content = made.experiment(made.action("outage", service="redis", seconds=LIMIT))
    script = (
        "import json, sys; from tarslab.chaos import experiments; "
        "from tarslab.chaos.platforms import LocalPlatform; "
        "experiments.run(json.loads(sys.argv[1]), LocalPlatform.at(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, json.dumps(content), stack.folder])
    try:
        wait_until(lambda: state(platform, "redis") == "none")
        process.kill()
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: journal.entries() == ())
    platform.wait_ready("redis")


def test_one_experiment_runs_at_a_time(platform: LocalPlatform, journal: Journal):
    content = made.experiment(made.action("wait", seconds=LIMIT))
    run = experiments.start(content, platform)
    with pytest.raises(BadArgument, match="an experiment is running in this process"):
        experiments.start(content, platform)
    run.abort()
    run.wait()


def test_a_steady_state_that_is_not_there_breaks_nothing(platform: LocalPlatform, journal: Journal):
    probe = {
        "type": "probe",
        "name": "is it in legacy mode?",
        "tolerance": "legacy",
        "provider": {
            "type": "python",
            "module": "tarslab.chaos.experiments.probes",
            "func": "mode",
        },
    }
    hypothesis: Any = {"title": "legacy", "probes": [probe]}
    content = made.experiment(
        made.action("outage", service="redis"), **{"steady-state-hypothesis": hypothesis}
    )
    result = experiments.run(content, platform)
    assert result.verdict == "failed"
    assert result.faults == ()
    assert result.criteria["note"].tolist() == [
        "not so: is it in legacy mode?",
        "it was not looked at",
    ]


def test_results_that_cannot_be_written_are_said_before_anything_is_touched(
    platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    (tmp_path / "file").touch()
    content = made.experiment(made.action("outage", service="redis"))
    with pytest.raises(ExperimentFailed, match="the results cannot be written"):
        experiments.run(content, platform, out=tmp_path / "file" / "kept")
    assert state(platform, "redis") == "ready"
