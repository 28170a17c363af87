"""The control, where there is nothing to measure on."""

import json
from pathlib import Path

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
