"""The control, where there is nothing to measure on."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import InterruptExecution

from tarslab.chaos.experiments import actions, control
from tarslab.chaos.platforms import LocalPlatform
from tarslab.chaos.undo import Journal
from tarslab.errors import BadArgument
from tests.chaos.experiments import made

CONTENT = made.experiment(made.action("wait", seconds=1))


@pytest.fixture(autouse=True)
def _no_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_a_stack_that_is_not_up_interrupts_with_the_mend(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TARSLAB_CHAOS_PLATFORM", "mine")
    with pytest.raises(InterruptExecution, match="no stack 'mine' is up: tarslab stack up"):
        control.before_experiment_control(CONTENT)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("{", "TARSLAB_CHAOS_PLATFORM: no reference of a platform"),
        ('{"kind": "local", "folder": "/nowhere"}', "no stack is up in /nowhere"),
        ('{"kind": "moon"}', "a platform of the kind 'moon' is not known"),
    ],
)
def test_a_reference_that_cannot_be_used_interrupts(
    reference: str, says: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TARSLAB_CHAOS_PLATFORM", reference)
    with pytest.raises(InterruptExecution, match=says):
        control.before_experiment_control(CONTENT)


def test_a_scale_that_is_no_number_interrupts(
    platform: LocalPlatform, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TARSLAB_CHAOS_PLATFORM", json.dumps(platform.reference()))
    monkeypatch.setenv("TARSLAB_CHAOS_SCALE", "fast")
    with pytest.raises(InterruptExecution, match="TARSLAB_CHAOS_SCALE: must be a number"):
        control.before_experiment_control(CONTENT)


def test_an_action_without_the_control_says_what_is_missing():
    with pytest.raises(BadArgument, match=r"add the control tarslab\.chaos\.experiments\.control"):
        actions.outage("redis")


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Chaos Toolkit's journal of an experiment of the control that has gone through."""
    monkeypatch.setattr(control, "_own", made.session(made.action("wait", seconds=1)))
    return {"status": "completed", "deviated": False, "experiment": CONTENT}


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What Chaos Toolkit's log says, wherever it goes to."""
    log = logging.getLogger("chaostoolkit")
    log.addHandler(caplog.handler)
    yield caplog
    log.removeHandler(caplog.handler)


def test_a_result_that_cannot_be_saved_fails_the_run(
    state: dict[str, Any],
    said: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TARSLAB_CHAOS_OUT", str(tmp_path / "file" / "kept"))
    control.after_experiment_control(CONTENT, state)
    assert state["status"] == "failed"
    assert state["tarslab"]["verdict"] == "passed"
    assert "file/kept: the results cannot be written" in state["tarslab"]["error"]
    assert "the results cannot be written" in said.text


def test_an_error_in_judging_fails_the_run(
    state: dict[str, Any], said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def judged(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(control, "judged", judged)
    control.after_experiment_control(CONTENT, state)
    assert state["status"] == "failed"
    assert state["tarslab"]["error"] == "ZeroDivisionError: by nothing"
    assert "by nothing" in said.text


def test_a_result_that_can_be_saved_passes(
    state: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TARSLAB_CHAOS_OUT", str(tmp_path / "kept"))
    control.after_experiment_control(CONTENT, state)
    assert state["status"] == "completed"
    assert not state["deviated"]
    assert (tmp_path / "kept" / "result.json").exists()


def test_an_activity_that_was_broken_off_ends_what_goes_on_beside_it(state: dict[str, Any]):
    session = control._own
    assert session is not None
    control.after_activity_control(CONTENT["method"][0], {"status": "failed"})
    assert not session.aborted.is_set()
    # Chaos Toolkit has no state of one that Ctrl-C has ended.
    control.after_activity_control(CONTENT["method"][0], None)
    assert session.aborted.is_set()
