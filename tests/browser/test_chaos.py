"""The chaos dashboard in JupyterLab, worked by the keyboard: a real stack is broken and mended."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import BrowserContext, Locator, Page, expect

import tarslab as tl
from tarslab.chaos.platforms import LocalPlatform
from tarslab.stack import Stack
from tests.browser.conftest import ARTEFACTS

ACTIONS = "tarslab.chaos.experiments.actions"


def action(name: str, function: str, **arguments: object) -> dict[str, object]:
    provider = {"type": "python", "module": ACTIONS, "func": function, "arguments": arguments}
    return {"name": name, "type": "action", "provider": provider}


USERS = {
    "executor": "constant-arrival-rate",
    "exec": "mixed",
    "rate": 10,
    "duration": "1h",
    "preAllocatedVUs": 20,
    "gracefulStop": "1s",
}
EXPERIMENT = {
    "title": "Is automl back?",
    "description": "It hangs for minutes, unless somebody ends that.",
    "controls": [
        {
            "name": "tarslab",
            "provider": {"type": "python", "module": "tarslab.chaos.experiments.control"},
        }
    ],
    "method": [
        action("users come", "load", scenario={"scenarios": {"users": USERS}})
        | {"background": True},
        action("automl hangs", "pause", service="automl", seconds=250),
    ],
    "rollbacks": [action("what is broken is undone", "undo")],
    "extensions": [
        {
            "name": "tarslab",
            "criteria": [{"criterion": "all is back", "measure": "recovery", "required": "< 30"}],
        }
    ],
}
NOTEBOOK = """
import os
import tarslab as tl
from tarslab.chaos.platforms import LocalPlatform
os.environ["TARSLAB_CHAOS_UNDO"] = {undo!r}
dashboard = tl.dashboards.chaos({{"my stack": LocalPlatform.at({stack!r})}}, [{experiment!r}])
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tl.stack.up() as stack:
        yield stack


@pytest.fixture
def dashboard(
    lab: tuple[str, Path], page: Page, context: BrowserContext, stack: Stack, tmp_path: Path
) -> Locator:
    """The dashboard in a notebook of JupyterLab."""
    address, folder = lab
    experiment = tmp_path / "hang.json"
    experiment.write_text(json.dumps(EXPERIMENT))
    first = NOTEBOOK.format(
        undo=str(tmp_path / "undo"), stack=str(stack.folder), experiment=str(experiment)
    )
    cells = [nbformat.v4.new_code_cell(cell) for cell in (first, "dashboard")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    nbformat.write(notebook, folder / "chaos.ipynb")
    page.set_viewport_size({"width": 1280, "height": 1700})
    page.goto(f"{address}/lab/tree/chaos.ipynb?reset&token=t")
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('[data-command="runmenu:run-all"]').click()
    expect(page.get_by_role("button", name="Show the plan")).to_be_visible(timeout=90_000)
    return page.locator(".tars-chaos")


def test_a_plan_is_seen_armed_run_watched_and_aborted_by_the_keyboard(
    dashboard: Locator, page: Page, stack: Stack
) -> None:
    platform = LocalPlatform(stack)
    (unit,) = platform.units("automl")
    status = dashboard.get_by_role("status")
    arm, run = dashboard.get_by_label("Arm: break this target as planned"), button(page, "Run")
    abort = button(page, "Abort and undo")
    expect(run).to_be_disabled()
    expect(arm).to_be_disabled()

    dashboard.get_by_label("Experiment", exact=True).focus()
    page.keyboard.type("hang")
    tab_to(page, button(page, "Show the plan"))
    page.keyboard.press("Enter")
    plan = dashboard.get_by_role("region", name="Plan")
    expect(plan).to_contain_text(f"process {unit.id} (automl): SIGSTOP")
    picture(dashboard, "chaos-plan")

    tab_to(page, arm)
    page.keyboard.press("Space")
    expect(status.first).to_contain_text("Armed for 60 s: Run breaks my stack.")
    tab_to(page, run)
    page.keyboard.press("Enter")

    expect(status.first).to_contain_text("broken now: pause automl", timeout=60_000)
    expect(status.last).to_contain_text("to be undone: pause automl")
    assert platform.units("automl")[0].state == "paused"
    charts = dashboard.locator(".vega-embed[role=graphics-document]")
    expect(charts).to_have_count(2)
    # What hangs is down by now; what a chart shows is said by its description too.
    down = re.compile(r"automl \d+\.\d+ %, \d+\.\d+ s down in 1 downtime.*1 fault: pause automl")
    expect(charts.first).to_have_attribute("aria-label", down)
    expect(charts.last).to_have_attribute("aria-label", re.compile(r"s so far, \d+ requests"))
    violations = Axe().run(page, context=".tars-chaos").response["violations"]
    assert [each["id"] for each in violations] == []
    picture(dashboard, "chaos-running")

    tab_to(page, abort)
    page.keyboard.press("Enter")
    expect(status.first).to_contain_text("Interrupted; what was broken is undone.", timeout=60_000)
    expect(status.last).to_contain_text("Nothing is broken.")
    expect(dashboard.get_by_role("table")).to_contain_text("all is back")
    expect(charts.last).to_have_attribute("aria-label", re.compile(r"; 1 fault: pause automl$"))
    picture(dashboard, "chaos-aborted")
    assert platform.units("automl")[0].state != "paused"
    expect(run).to_be_disabled()
    expect(abort).to_be_disabled()


def button(page: Page, name: str) -> Locator:
    return page.locator(".tars-chaos").get_by_role("button", name=name, exact=True)


def tab_to(page: Page, control: Locator) -> None:
    """Press Tab until a control has the focus."""
    expect(control).to_be_enabled()
    is_there: Callable[[], bool] = lambda: control.evaluate("it => it === document.activeElement")  # noqa: E731
    for _ in range(20):
        if is_there():
            return
        page.keyboard.press("Tab")
    raise AssertionError("no number of tabs leads there")


def picture(dashboard: Locator, name: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    dashboard.screenshot(path=ARTEFACTS / f"{name}.png")
