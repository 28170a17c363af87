"""The chaos dashboard without a browser: a real stack is broken, watched and mended."""

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest

import tarslab as tl
from tarslab.chaos import experiments
from tarslab.chaos.experiments import ExperimentRun
from tarslab.chaos.platforms import Call, LocalPlatform
from tarslab.chaos.undo import Entry, Journal, new_id
from tarslab.dashboards import ChaosDashboard
from tarslab.dashboards.chaos import dashboard as module
from tarslab.errors import BadArgument
from tarslab.stack import Stack

# Conditions are waited for so long at most, seconds.
LIMIT = 60
ACTIONS = "tarslab.chaos.experiments.actions"
USERS = {
    "executor": "constant-arrival-rate",
    "exec": "mixed",
    "rate": 10,
    "duration": "1h",
    "preAllocatedVUs": 20,
    "gracefulStop": "1s",
}

# A machine that has other work makes the generator late: here that is no reason.
PATIENT = {"thresholds": {"http_req_service_duration": ["max<1000000"]}}


def action(name: str, function: str, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": ACTIONS, "func": function, "arguments": arguments}
    return {"name": name, "type": "action", "provider": provider}


def experiment(*method: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": "Is automl back?",
        "description": "It is held up for a while.",
        "controls": [
            {
                "name": "tarslab",
                "provider": {"type": "python", "module": "tarslab.chaos.experiments.control"},
            }
        ],
        "method": list(method),
        "rollbacks": [action("what is broken is undone", "undo")],
        "extensions": [
            {
                "name": "tarslab",
                "criteria": [
                    {"criterion": "all is back", "measure": "recovery", "required": "< 30"}
                ],
            }
        ],
    }


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tl.stack.up() as stack:
        yield stack


@pytest.fixture
def platform(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalPlatform:
    """The stack with all services ready, and an empty journal."""
    monkeypatch.setenv("TARSLAB_CHAOS_UNDO", str(tmp_path / "undo"))
    stack.wait_ready()
    return LocalPlatform(stack)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A short experiment with load, and one that would hold its fault for minutes."""
    users = action("users come", "load", scenario={"scenarios": {"users": USERS}} | PATIENT)
    users["background"] = True
    hang = action("automl hangs", "pause", service="automl", seconds=2)
    short = experiment(users, hang, action("users go", "end_load"))
    long = experiment(users, action("automl hangs", "pause", service="automl", seconds=250))
    paths = []
    for name, content in (("short", short), ("long", long)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(content))
    return paths


class Operator:
    """Somebody at the dashboard."""

    def __init__(self, dashboard: ChaosDashboard) -> None:
        self.dashboard = dashboard

    async def plan(self, name: str) -> None:
        self.dashboard.experiment.value = name
        await self.press(self.dashboard.show)

    async def arm(self, name: str) -> None:
        await self.plan(name)
        self.dashboard.arm.value = True

    async def press(self, button: widgets.Button) -> None:
        """Click, and wait until what it does is done."""
        self.click(button)
        await self.until(lambda: not self.dashboard._busy)

    def click(self, button: widgets.Button) -> None:
        assert not button.disabled
        button.click()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT):
            while not condition():
                await asyncio.sleep(0.02)


def live(
    dashboard: Callable[[], ChaosDashboard], story: Callable[[Operator], Coroutine[Any, Any, None]]
) -> None:
    async def begin() -> None:
        made = dashboard()
        try:
            await story(Operator(made))
        finally:
            made.close()

    asyncio.run(begin())


def paused(platform: LocalPlatform) -> bool:
    return platform.units("automl")[0].state == "paused"


def said(*several: widgets.HTML) -> str:
    return "\n".join(each.value for each in several)


def test_nothing_can_be_run_without_a_plan_that_was_seen_and_an_arming(
    platform: LocalPlatform, files: list[Path]
) -> None:
    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        assert dashboard.arm.disabled
        assert dashboard.go.disabled
        assert dashboard.stop.disabled
        # A front end that says so all the same.
        dashboard.arm.value = True
        assert not dashboard.arm.value
        with pytest.raises(BadArgument, match="not armed"):
            await dashboard.begin()
        await operator.plan("short")
        assert not dashboard.arm.disabled
        assert dashboard.go.disabled
        with pytest.raises(BadArgument, match="not armed"):
            await dashboard.begin()
        dashboard.arm.value = True
        assert not dashboard.go.disabled

    live(lambda: tl.dashboards.chaos(platform, files), story)


def test_the_plan_says_exactly_what_would_be_touched_and_touches_nothing(
    platform: LocalPlatform, files: list[Path]
) -> None:
    (unit,) = platform.units("automl")

    async def story(operator: Operator) -> None:
        await operator.plan("short")
        assert f"process {unit.id} (automl): SIGSTOP" in operator.dashboard.plan.value
        assert "Nothing has been" in operator.dashboard.status.value

    live(lambda: tl.dashboards.chaos(platform, files), story)
    assert platform.units("automl") == (unit,)
    assert Journal().entries() == ()


def test_what_would_touch_something_else_by_now_is_not_run(
    platform: LocalPlatform, files: list[Path]
) -> None:
    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        await operator.arm("long")
        # Another process has its place by now.
        platform.restart("automl")
        await asyncio.to_thread(platform.wait_ready, "automl")
        (unit,) = platform.units("automl")
        await operator.press(dashboard.go)
        assert "nothing was: here is the plan as it is now" in dashboard.status.value
        assert f"process {unit.id} (automl): SIGSTOP" in dashboard.plan.value
        assert dashboard.run is None
        assert not dashboard.arm.value

    live(lambda: tl.dashboards.chaos(platform, files), story)
    assert not paused(platform)


def test_another_choice_takes_the_plan_and_the_arming_back(
    platform: LocalPlatform, files: list[Path]
) -> None:
    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        for control, value in (
            (dashboard.experiment, "long"),
            (dashboard.scale, "a tenth"),
            (dashboard.target, "the same"),
        ):
            await operator.arm("short")
            assert not dashboard.go.disabled
            control.value = value
            assert dashboard.plan.value == ""
            assert not dashboard.arm.value
            assert dashboard.go.disabled

    targets = {"one": platform, "the same": platform}
    live(lambda: tl.dashboards.chaos(targets, files), story)


def test_an_arming_that_is_not_used_is_over_soon(
    platform: LocalPlatform, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ARMED", 0.05)

    async def story(operator: Operator) -> None:
        await operator.arm("short")
        await operator.until(lambda: not operator.dashboard.arm.value)
        assert operator.dashboard.go.disabled
        assert "nobody ran it in time" in operator.dashboard.status.value

    live(lambda: tl.dashboards.chaos(platform, files), story)


def test_a_run_is_watched_to_its_end_and_says_what_came_of_it(
    stack: Stack, platform: LocalPlatform, files: list[Path], tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        await operator.arm("short")
        operator.click(dashboard.go)
        # One arming is for one run.
        await operator.until(lambda: dashboard.running)
        assert not dashboard.arm.value
        assert dashboard.show.disabled
        assert dashboard.go.disabled
        assert not dashboard.stop.disabled
        await operator.until(lambda: not dashboard._busy)

        assert dashboard.result is not None
        assert dashboard.result.verdict == "passed"
        assert "Passed; what was broken is undone." in dashboard.status.value
        assert "✓ passed" in dashboard.outcome.value
        assert "Nothing is broken" in dashboard.journal.value
        assert "pause automl" in dashboard.events.value
        first, second = (view.chart.to_dict()["description"] for view in dashboard.views.children)
        assert "1 fault: pause automl" in first
        assert second.startswith("Line chart of latency and rate by time")
        # A second run takes a second arming.
        assert not dashboard.arm.disabled
        assert dashboard.go.disabled

    live(lambda: tl.dashboards.chaos(stack, files, out=tmp_path / "results"), story)
    assert (tmp_path / "results" / "short-1" / "result.json").is_file()
    assert not paused(platform)


def test_an_abort_undoes_what_is_broken(platform: LocalPlatform, files: list[Path]) -> None:
    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        await operator.arm("long")
        operator.click(dashboard.go)
        # Watched all along: what is broken, what is to be undone, and two charts.
        await operator.until(lambda: "broken now: pause automl" in dashboard.status.value)
        await operator.until(lambda: "to be undone: pause automl" in dashboard.journal.value)
        assert dashboard.undo.layout.display == "none"
        await operator.until(lambda: len(dashboard.views.children) == 2)
        drawn = dashboard.views.children[0].spec
        await operator.until(lambda: dashboard.views.children[0].spec != drawn)
        assert paused(platform)
        operator.click(dashboard.stop)
        assert "Aborting" in dashboard.status.value
        await operator.until(lambda: not dashboard._busy)
        assert dashboard.result is not None
        assert dashboard.result.verdict == "interrupted"
        assert "Interrupted; what was broken is undone." in dashboard.status.value
        assert "Nothing is broken" in dashboard.journal.value
        assert dashboard.stop.disabled

    live(lambda: tl.dashboards.chaos(platform, files), story)
    assert not paused(platform)
    assert Journal().entries() == ()


def test_closing_the_dashboard_aborts_what_goes_on(
    platform: LocalPlatform, files: list[Path]
) -> None:
    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        await operator.arm("long")
        operator.click(dashboard.go)
        await operator.until(lambda: dashboard.running and paused(platform))
        dashboard.close()
        await operator.until(lambda: not dashboard.running)

    live(lambda: tl.dashboards.chaos(platform, files), story)
    assert not paused(platform)
    assert Journal().entries() == ()


def test_closing_it_while_a_run_starts_aborts_that_too(
    platform: LocalPlatform, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[ExperimentRun] = []
    starting, closed = threading.Event(), threading.Event()

    def start(*arguments: Any, **options: Any) -> ExperimentRun:
        starting.set()
        assert closed.wait(LIMIT)
        runs.append(experiments.start(*arguments, **options))
        return runs[0]

    class Recorded:
        """Experiments whose runs are kept."""

        def __getattr__(self, name: str) -> Any:
            return start if name == "start" else getattr(experiments, name)

    monkeypatch.setattr(module, "experiments", Recorded())

    async def story(operator: Operator) -> None:
        await operator.arm("long")
        operator.click(operator.dashboard.go)
        await operator.until(starting.is_set)
        operator.dashboard.close()
        # The task that waited for it has ended before it is there.
        await operator.until(lambda: not operator.dashboard._tasks)
        closed.set()
        await operator.until(lambda: bool(runs) and not runs[0].running)

    live(lambda: tl.dashboards.chaos(platform, files), story)
    assert not paused(platform)
    assert Journal().entries() == ()


def test_a_run_whose_results_cannot_be_kept_says_so_and_what_came_of_it(
    platform: LocalPlatform, files: list[Path], tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        await operator.arm("long")
        operator.click(dashboard.go)
        await operator.until(lambda: dashboard.running and paused(platform))
        shutil.rmtree(tmp_path / "results" / "long-1")
        (tmp_path / "results" / "long-1").write_text("a file in its place")
        operator.click(dashboard.stop)
        await operator.until(lambda: not dashboard._busy)
        assert str(tmp_path / "results" / "long-1") in dashboard.status.value
        assert "what was broken is undone" in dashboard.status.value
        assert "all is back" in dashboard.outcome.value

    live(lambda: tl.dashboards.chaos(platform, files, out=tmp_path / "results"), story)
    assert not paused(platform)


def test_a_picture_that_fails_leaves_nothing_unwatched(
    platform: LocalPlatform, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tl.charts, "availability", fail)

    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        await operator.arm("short")
        await operator.press(dashboard.go)
        assert dashboard.result is not None
        assert "what was broken is undone" in dashboard.status.value
        assert len(dashboard.views.children) == 1

    live(lambda: tl.dashboards.chaos(platform, files), story)


def test_what_a_run_that_is_gone_has_left_can_be_undone(
    platform: LocalPlatform, files: list[Path]
) -> None:
    (unit,) = platform.units("automl")
    # Of a process that began at another time than that which has its number now.
    Journal().add(
        Entry(
            id=new_id(),
            fault="pause automl",
            platform=platform.reference(),
            undo=(Call("resume", unit),),
            units=(("automl", "automl"),),
            began=1.0,
            until=2.0,
            owner=(os.getpid(), 1.0),
        )
    )
    platform.pause(unit)

    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        assert "pause automl since 00:00:01, left by a run that is gone" in dashboard.journal.value
        assert dashboard.undo.layout.display == ""
        await operator.press(dashboard.undo)
        assert "Undone: pause automl." in dashboard.status.value
        assert "Nothing is broken" in dashboard.journal.value
        assert dashboard.undo.layout.display == "none"

    live(lambda: tl.dashboards.chaos(platform, files), story)
    assert not paused(platform)


def test_what_cannot_be_planned_is_said_and_can_be_tried_again(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(experiment(action("it hangs", "pause", service="<b>nobody</b>"))))

    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        await operator.plan("wrong")
        assert "&lt;b&gt;nobody&lt;/b&gt;" in dashboard.status.value
        assert "<b>nobody" not in dashboard.status.value
        assert dashboard.arm.disabled
        assert not dashboard.show.disabled

    live(lambda: tl.dashboards.chaos(platform, [wrong]), story)


def test_no_secret_is_in_the_state_of_a_dashboard_that_was_used(
    stack: Stack, platform: LocalPlatform, files: list[Path]
) -> None:
    states: list[str] = []

    async def story(operator: Operator) -> None:
        dashboard = operator.dashboard
        await operator.plan("redis-outage")
        states.extend(json.dumps(each.get_state(), default=repr) for each in below(dashboard))
        await operator.arm("short")
        await operator.press(dashboard.go)
        states.extend(json.dumps(each.get_state(), default=repr) for each in below(dashboard))
        states.append(repr(dashboard))

    live(lambda: tl.dashboards.chaos(stack, files), story)
    assert any("automl hangs" in state for state in states)
    for secret in (stack.admin_password, stack.redis_url.rpartition("@")[0].rpartition(":")[2]):
        assert secret
        assert not [state for state in states if secret in state]


def test_a_target_or_an_experiment_that_is_none_is_refused(
    platform: LocalPlatform, files: list[Path]
) -> None:
    with pytest.raises(BadArgument, match="targets: there is none"):
        tl.dashboards.chaos({})
    with pytest.raises(BadArgument, match="targets: here must be a stack or a platform"):
        tl.dashboards.chaos({"here": "http://127.0.0.1"})  # type: ignore[dict-item]
    with pytest.raises(BadArgument, match="two experiments by the name 'short'"):
        tl.dashboards.chaos(platform, [files[0], files[0]])


def test_every_control_has_a_label_and_a_page_without_a_kernel_a_word(
    platform: LocalPlatform,
) -> None:
    dashboard = tl.dashboards.chaos(platform)
    controls = [each for each in below(dashboard) if hasattr(each, "disabled")]
    assert len(controls) == 8
    assert all(each.description for each in controls)
    assert "JupyterLab" in dashboard._repr_mimebundle_()["text/html"]
    assert repr(dashboard).startswith("<ChaosDashboard of the stack in")
    dashboard.close()


def below(box: Any) -> Iterator[Any]:
    yield box
    for child in getattr(box, "children", ()):
        yield from below(child)
