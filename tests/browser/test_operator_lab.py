"""The operator dashboard in JupyterLab, and what a notebook that was used and saved holds of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import BrowserContext, Page, expect

import tarslab as tl
from tarslab.reports import normalise
from tarslab.stack import Stack
from tests.browser.operating import TOKENS, Operator

STATE = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tl.stack.up() as stack:
        yield stack


@pytest.fixture
def ops(lab: tuple[str, Path], page: Page, context: BrowserContext, stack: Stack) -> Operator:
    """An admin at a notebook with the dashboard, which JupyterLab is told to save widgets of."""
    address, folder = lab
    settings = folder.parent / "settings" / "@jupyter-widgets" / "jupyterlab-manager"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "plugin.jupyterlab-settings").write_text(json.dumps({"saveState": True}))
    cells = [
        f"import tarslab as tl\ndashboard = tl.dashboards.operator({stack.url!r})",
        "dashboard",
        "dashboard.poller.running",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    nbformat.write(notebook, folder / "operator.ipynb")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.set_viewport_size({"width": 1280, "height": 1300})
    page.goto(f"{address}/lab/tree/operator.ipynb?reset&token=t")
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('[data-command="runmenu:run-all"]').click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=90_000)
    return Operator(page, stack)


def test_a_notebook_that_was_used_saved_and_exported_holds_no_secret(
    ops: Operator, lab: tuple[str, Path], tmp_path: Path
) -> None:
    address, folder = lab
    page = ops.page
    ops.sign_in(password="typed by mistake")
    expect(ops.text("Wrong user name or password.")).to_be_visible()
    ops.sign_in()
    expect(ops.text("signed in as admin")).to_be_visible()
    for tab in ("Agents", "Signing keys", "Audit", "Health", "API keys"):
        ops.open(tab)
    ops.page.get_by_label("Name", exact=True).fill("ci")
    ops.page.get_by_label("agents:read", exact=True).check()
    ops.button("Create key").click()
    shown = page.get_by_label("Key “ci”: copy it now")
    expect(shown).to_be_visible()
    key = shown.input_value()
    assert TOKENS.fullmatch(key)
    # A password that is typed and not sent, and a key that is on screen, while it is saved.
    ops.open("Sign in")
    ops.open("API keys")
    ops.picture("lab", window=True)
    saved = save(ops, folder / "operator.ipynb")

    assert "signed in as admin" in saved
    notebook = nbformat.reads(saved, as_version=4)
    asked = page.request.get(f"{address}/nbconvert/html/operator.ipynb?token=t")
    assert asked.ok
    exported, _ = HTMLExporter().from_notebook_node(notebook)
    log = (folder.parent / "log").read_text()
    written = {
        "the notebook": saved,
        "JupyterLab's HTML": asked.text(),
        "nbconvert's HTML": exported,
        "the notebook as it is committed": nbformat.writes(normalise(notebook)),
        "the log": log,
        "the page": page.content(),
    }
    for where, text in written.items():
        for secret in (ops.stack.admin_password, "typed by mistake", key):
            assert secret not in text, where
        assert not TOKENS.search(text), where


def test_it_is_worked_and_rests_once_its_cell_is_cleared(ops: Operator) -> None:
    ops.sign_in()
    expect(ops.text("signed in as admin")).to_be_visible()
    ops.open("Agents")
    # JupyterLab has shortcuts of its own for the keys that choose here.
    ops.page.get_by_role("radio", name="a2c").focus()
    ops.page.keyboard.press("ArrowDown")
    expect(ops.page.get_by_role("radio", name="ddpg")).to_be_checked()
    ops.choose("dqn")
    ops.page.get_by_label("Version", exact=True).select_option("2")
    ops.button("Promote").click()
    expect(ops.dialog).to_contain_text("It runs version 1 now")
    ops.answer("Promote")
    expect(ops.text("dqn runs version 2.")).to_be_visible()
    assert running(ops) == "True"
    ops.page.get_by_text("dashboard", exact=True).last.click()
    ops.page.get_by_role("menuitem", name="Edit", exact=True).click()
    ops.page.locator('[data-command="editmenu:clear-current"]').click()
    expect(ops.whole).not_to_be_visible()
    ops.until(lambda: running(ops) == "False")


def running(ops: Operator) -> str:
    """What the last cell says of whether anything is refreshed."""
    cell = ops.page.locator(".jp-CodeCell").last
    cell.locator(".cm-content").click()
    before = cell.locator(".jp-InputPrompt").inner_text()
    ops.page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-InputPrompt")).not_to_have_text(before)
    expect(cell.locator(".jp-InputPrompt")).not_to_have_text("[*]:")
    return cell.locator(".jp-OutputArea-output").inner_text().strip()


def save(ops: Operator, path: Path) -> str:
    """Save the notebook; what is in the file, once its widgets are."""
    ops.page.keyboard.press("Control+s")
    ops.until(lambda: STATE in path.read_text())
    return path.read_text()
