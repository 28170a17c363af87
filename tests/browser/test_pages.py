"""The report pages in a real browser that has no network."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from tarslab import bundled
from tarslab.reports import building
from tarslab.reports.execution import Execution
from tarslab.reports.parameters import read_notebook

# A line of several points, a bar or a symbol.
DRAWN = re.compile(r"M.*([LhvAC].*){2}", re.DOTALL)
MARKS = ", ".join(f".role-mark.mark-{kind} path" for kind in ("line", "rect", "symbol"))
NOTEBOOKS = [path.stem for path in bundled.notebooks()]
# What it shows needs a kernel.
WITHOUT_CHART = ["30_operator_dashboard"]
WITH_CHART = [name for name in NOTEBOOKS if name not in WITHOUT_CHART]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the notebooks with the outputs that are committed: nbval executes them."""
    out = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "execute", as_committed)
        reports = building.build(bundled.notebooks(), out)
    assert [report.error for report in reports] == [None] * len(NOTEBOOKS)
    return out


def as_committed(notebook: Path, *_: object, **__: object) -> Execution:
    return Execution(read_notebook(notebook), 0.0, None)


@pytest.fixture
def offline(context: BrowserContext, page: Page) -> Page:
    """A page whose network is cut, and that fails the test on any request or script error."""
    context.set_offline(True)
    trouble: list[str] = []

    def on_request(request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            trouble.append(request.url)

    page.on("request", on_request)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
    page.trouble = trouble  # type: ignore[attr-defined]
    return page


@pytest.mark.parametrize("name", WITH_CHART)
def test_every_chart_of_every_page_is_drawn_live_without_a_network(
    offline: Page, pages: Path, name: str
) -> None:
    offline.goto((pages / f"{name}.html").as_uri())
    figures = offline.locator("figure.chart")
    assert figures.count() >= 1
    for number in range(figures.count()):
        marks = figures.nth(number).locator(".live svg").locator(MARKS)
        expect(marks.first).to_have_attribute("d", DRAWN)
    expect(offline.locator("figure.chart .still")).to_have_count(0)
    assert offline.trouble == []  # type: ignore[attr-defined]


def test_a_click_on_the_legend_hides_a_line_and_the_scale_follows(
    offline: Page, pages: Path
) -> None:
    offline.goto((pages / "10_training_curves.html").as_uri())
    losses = offline.locator("figure.chart").nth(2)
    legend = losses.locator(".live .role-legend-entry")
    lines = losses.locator(".live .mark-line.role-mark path")
    expect(legend.get_by_text("value_loss")).to_be_visible()
    before, top = lines.count(), losses.locator(".role-axis-label text").last.text_content()
    legend.get_by_text("value_loss").click()
    expect(lines).not_to_have_count(before)
    hidden = before - lines.count()
    # A2C and PPO log a value loss.
    assert hidden == 2
    expect(losses.locator(".role-axis-label text").last).not_to_have_text(top or "")
    legend.get_by_text("value_loss").click()
    expect(lines).to_have_count(before)


def test_a_tooltip_gives_the_values_and_the_number_of_runs(offline: Page, pages: Path) -> None:
    offline.goto((pages / "10_training_curves.html").as_uri())
    plot = offline.locator("figure.chart").first.locator(".live svg")
    expect(plot.locator(".mark-line path").first).to_be_visible()
    point = plot.locator(".mark-symbol path[transform]").nth(100)
    point.hover(force=True)
    tooltip = offline.locator("#vg-tooltip-element")
    expect(tooltip).to_contain_text("runs (n)")
    expect(tooltip).to_contain_text("mean + std")


@pytest.mark.parametrize("name", WITHOUT_CHART)
def test_a_page_that_needs_a_kernel_says_so(offline: Page, pages: Path, name: str) -> None:
    offline.goto((pages / f"{name}.html").as_uri())
    expect(offline.get_by_text("works where a kernel runs")).to_be_visible()
    assert offline.trouble == []  # type: ignore[attr-defined]


def test_the_index_leads_to_every_page_and_shows_its_chart(offline: Page, pages: Path) -> None:
    offline.goto((pages / "index.html").as_uri())
    links = offline.locator("a.report")
    expect(links).to_have_count(len(NOTEBOOKS))
    for name in WITH_CHART:
        picture = offline.locator(f"a.report[href='{name}.html'] svg")
        expect(picture.locator(MARKS).first).to_be_visible()
    links.nth(1).click()
    expect(offline).to_have_url((pages / f"{NOTEBOOKS[1]}.html").as_uri())
    assert offline.trouble == []  # type: ignore[attr-defined]


def test_math_is_shown_as_math(offline: Page, pages: Path) -> None:
    offline.goto((pages / "12_nash_convergence.html").as_uri())
    formula = offline.locator("math[display=block]")
    expect(formula).to_be_visible()
    for paragraph in offline.locator("main p").all_text_contents():
        assert "$" not in paragraph


def test_a_narrow_window_narrows_the_chart(offline: Page, pages: Path) -> None:
    offline.set_viewport_size({"width": 600, "height": 900})
    offline.goto((pages / "00_quickstart.html").as_uri())
    plot = offline.locator("figure.chart .live svg").first
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 600
