"""``tarslab chaos`` on the real stack."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tarslab.chaos.experiments import ExperimentResult
from tarslab.chaos.platforms import Call, LocalPlatform
from tarslab.chaos.undo import Entry, Journal, new_id
from tarslab.cli import app
from tarslab.stack import Stack
from tests.chaos.experiments import made
from tests.chaos.experiments.test_results import loaded
from tests.stack.waiting import LIMIT, wait_until

# Within which criteria hold here, and one that does not.
QUICK = made.experiment(
    made.action("pause", service="hypersync", seconds=2),
    criteria=[made.criterion("count", ">= 0", of="nothing")],
    configuration={"repeats": 1},
)


@pytest.fixture
def named(
    stack: Stack, platform: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The name by which the command line finds the stack."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = tmp_path / "state" / "tarslab" / "stacks" / "shared"
    place.parent.mkdir(parents=True)
    place.symlink_to(stack.folder)
    return "shared"


def call(*arguments: str) -> Result:
    """The command, wide enough for its tables."""
    return CliRunner().invoke(app, ["chaos", *arguments], env={"COLUMNS": "200"})


def written(folder: Path) -> str:
    """``QUICK`` as a file."""
    path = folder / "quick.json"
    path.write_text(json.dumps(QUICK))
    return str(path)


def test_what_comes_with_tarslab_is_listed():
    result = call("list")
    assert result.exit_code == 0
    for name in ("redis-outage", "pod-kill", "sustained", "jwt-stress"):
        assert name in result.stdout


def test_a_plan_touches_nothing(named: str, platform: LocalPlatform, journal: Journal):
    (unit,) = platform.units("redis")
    result = call("plan", "redis-outage", "--stack", named)
    assert result.exit_code == 0, result.output
    assert f"process {unit.id} (redis): SIGKILL, and held down" in result.stdout
    assert platform.units("redis") == (unit,)


def test_a_run_says_what_came_of_it_and_fails_by_a_criterion(
    named: str, journal: Journal, tmp_path: Path
):
    out = tmp_path / "kept"
    result = call("run", written(tmp_path), "--stack", named, "--out", str(out))
    assert result.exit_code == 1, result.output
    assert "nothing was measured, required >= 0" in result.stdout
    assert "fault: pause hypersync" in result.stderr
    assert ExperimentResult.load(out).verdict == "failed"


def test_errors_are_one_message(named: str, journal: Journal, tmp_path: Path):
    for arguments, says in {
        ("run", "redis-outrage", "--stack", named): "none of those that come with tarslab",
        ("run", "redis-outage", "--stack", "other"): "no stack 'other' is up",
        ("run", written(tmp_path), "--stack", named, "--var", "a"): "--var: must be name=value",
        ("run", written(tmp_path), "--stack", named, "--var", "a=1"): "has repeats, and not 'a'",
        ("plan", "pause", "--context", "prod"): "--namespace: name that of the services in prod",
        ("plan", "pause", "--context", "prod", "--namespace", "tars"): "'prod' is not among those",
        ("suite", "--stack", named, "--only", "no"): "only: must be of",
        ("compare", str(tmp_path / "a"), str(tmp_path / "b")): "no folder of results",
    }.items():
        result = call(*arguments)
        assert result.exit_code == 2, result.output
        assert says in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_undoes_and_shows_what_there_is(
    number: signal.Signals, named: str, platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    content = made.experiment(made.action("outage", service="redis", seconds=LIMIT))
    (tmp_path / "long.json").write_text(json.dumps(content))
    command = [sys.executable, "-m", "tarslab", "chaos", "run", str(tmp_path / "long.json")]
    process = subprocess.Popen(
        [*command, "--stack", named], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: platform.units("redis") == ())
        process.send_signal(number)
        said, errors = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, errors
    assert "interrupted: What comes of it?" in said
    assert "undone: outage of redis" in errors
    assert journal.entries() == ()
    platform.wait_ready("redis")


def test_undo_finishes_what_a_run_has_left(named: str, platform: LocalPlatform, journal: Journal):
    (unit,) = platform.units("automl")
    now = time.time()
    left = Entry(
        id=new_id(),
        fault="pause automl",
        platform=platform.reference(),
        undo=(Call("resume", unit),),
        units=(("automl", "automl"),),
        began=now,
        until=now + 300,
        # Another process had this number.
        owner=(os.getpid(), 1.0),
    )
    journal.add(left)
    platform.pause(unit)
    result = call("undo")
    assert result.exit_code == 0, result.output
    assert "pause automl: undone" in result.stdout
    assert platform.units("automl")[0].state == "ready"
    assert call("undo").stdout == "nothing is broken\n"


def test_compare_fails_where_it_became_worse(tmp_path: Path):
    loaded().save(tmp_path / "a")
    from tests.chaos.load.made import Made

    slow = Made(started_at=0.0).late([0.0] * 10)
    for second in range(10):
        slow.requests(second, [50, 60])
    slow.result().save(tmp_path / "b")
    before, after = str(tmp_path / "a"), str(tmp_path / "b")
    worse = call("compare", before, after, "--fail-if-worse", "10%")
    assert worse.exit_code == 1, worse.output
    assert "P95 of http_req_duration rose" in worse.stdout
    assert call("compare", after, before, "--fail-if-worse", "10%").exit_code == 0
    assert call("compare", before, after).exit_code == 0
