"""Charts and the dashboard in a real JupyterLab whose browser reaches nothing else."""

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

Lab = tuple[str, Path]

LOAD = "import tarslab as tl\nruns = tl.load('bundled:cartpole')"


@pytest.fixture
def notebook(lab: Lab, page: Page, context: BrowserContext):
    """Opens a notebook of these cells in JupyterLab and runs them all."""
    address, folder = lab
    beyond: list[str] = []

    def only_the_lab(route: Route) -> None:
        if route.request.url.startswith(address):
            route.continue_()
        else:
            beyond.append(route.request.url)
            route.abort()

    context.route(re.compile(r"^https?://"), only_the_lab)

    def run(name: str, *cells: str) -> Page:
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        made.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
        }
        nbformat.write(made, folder / f"{name}.ipynb")
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset&token=t")
        expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator('[data-command="runmenu:run-all"]').click()
        return page

    yield run
    assert beyond == []


def test_a_chart_is_drawn_live(notebook) -> None:
    page = notebook("chart", LOAD, "tl.charts.reward_curve(runs, by='algo', target=475)")
    chart = page.locator(".jp-RenderedVegaCommon5, .vega-embed").first
    expect(chart).to_be_visible(timeout=60_000)
    expect(chart.locator("canvas, svg").first).to_be_visible()
    assert page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0


def test_the_dashboard_is_widgets_and_each_control_changes_the_chart(notebook) -> None:
    page = notebook("dashboard", LOAD, "tl.dashboards.training(runs)")
    lines = page.locator(".vega-embed svg .mark-line.role-mark path")
    expect(lines).to_have_count(3, timeout=60_000)
    axis = page.locator(".vega-embed svg .role-axis-title")

    page.get_by_label("Algorithms", exact=True).select_option("ppo")
    expect(lines).to_have_count(1)
    expect(page.get_by_text("5 of 15 runs")).to_be_visible()

    page.get_by_label("One line per", exact=True).select_option("run")
    expect(lines).to_have_count(5)

    page.get_by_label("X-axis", exact=True).select_option("episode")
    expect(axis.get_by_text("episode", exact=True)).to_be_visible()

    page.get_by_label("Metric", exact=True).select_option("losses")
    expect(lines).to_have_count(15)
    page.get_by_role("button", name="value_loss").click()
    expect(lines).to_have_count(10)

    page.get_by_label("Search", exact=True).fill("seed_9")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.get_by_text("no run has 'seed_9'")).to_be_visible()
    page.get_by_label("Search", exact=True).fill("seed_1")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(lines).to_have_count(2)

    legend = page.locator(".vega-embed .role-legend-entry")
    legend.get_by_text("policy_loss").click()
    expect(lines).to_have_count(1)


def test_a_dashboard_follows_a_training_and_keeps_what_was_hidden(
    notebook, tmp_path: Path, train
) -> None:
    log = train("ppo/seed_0")
    log(20)
    train("ppo/seed_1")(20)
    page = notebook(
        "live",
        f"import tarslab as tl\ndashboard = tl.dashboards.training(tl.follow({str(tmp_path)!r}))",
        "dashboard",
    )
    lines = page.locator(".vega-embed svg .mark-line.role-mark path")
    expect(lines).to_have_count(2, timeout=60_000)
    page.locator(".vega-embed .role-legend-entry").get_by_text("ppo/seed_1").click()
    expect(lines).to_have_count(1)
    axis = page.locator(".vega-embed svg .role-axis-label").first
    last_label = axis.locator("text").last
    for points in (500, 5_000):
        before = last_label.text_content() or ""
        log(points)
        expect(last_label).not_to_have_text(before)
        expect(lines).to_have_count(1)


SEARCH = """
import optuna, tarslab as tl
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
study.optimize(lambda trial: trial.suggest_float('net.rate', 1e-3, 1, log=True), 40)
dashboard = tl.dashboards.automl(study)
"""


def test_a_box_over_trials_selects_them_for_python(notebook) -> None:
    page = notebook("automl", SEARCH, "dashboard")
    points = page.locator(".vega-embed svg .mark-symbol.role-mark path")
    expect(points.first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("40 of 40 trials selected")).to_be_visible()
    panel = page.locator(".vega-embed svg .mark-symbol.role-mark").first.bounding_box()
    assert panel is not None
    page.mouse.move(panel["x"] + 2, panel["y"] + 2)
    page.mouse.down()
    page.mouse.move(panel["x"] + panel["width"] / 2, panel["y"] + panel["height"], steps=5)
    page.mouse.up()
    expect(page.get_by_text("40 of 40 trials selected")).not_to_be_visible()
    expect(page.get_by_text(re.compile(r"^[12]\d of 40 trials selected"))).to_be_visible()
    faded = page.locator(".vega-embed svg .mark-symbol.role-mark path[opacity='0.08']")
    expect(faded.first).to_be_attached()

    # What a range leaves out is not drawn any more.
    drawn = points.count()
    page.get_by_text("Hyperparameters", exact=True).click()
    page.locator(".noUi-handle-lower").press("PageUp")
    expect(points).not_to_have_count(drawn)
    expect(page.get_by_text(re.compile(r"^\d+ of 40 trials selected"))).to_be_visible()
