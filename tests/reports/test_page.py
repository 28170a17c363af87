"""One notebook as one page."""

import nbformat
import pytest

from tarslab.charts.offline import VEGALITE_MIME
from tarslab.reports.page import page, summary
from tarslab.reports.provenance import Provenance

NOWHERE = Provenance([], [], [])


def notebook_of(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.v4.new_notebook(cells=list(cells))
    return notebook


def shown(notebook: nbformat.NotebookNode) -> str:
    return page(notebook, "n", NOWHERE, "now", None)


def test_title_and_question_come_from_the_first_cell() -> None:
    opening = nbformat.v4.new_markdown_cell("# The title\n\nWhat is\nasked?\n\nMore.")
    assert summary(notebook_of(opening), "n") == ("The title", "What is asked?", "")
    assert summary(notebook_of(), "n") == ("n", "", "")


@pytest.mark.parametrize(
    ("source", "math"),
    [
        ("So $a_1 < b$ holds.", 1),
        ("$$\\frac{1}{2}$$", 1),
        ("A price of \\$5 and \\$6.", 0),
        ("`$x$` in code", 0),
        ("```\n$x$\n```", 0),
    ],
)
def test_tex_between_dollars_becomes_mathml_and_nothing_else_does(source: str, math: int) -> None:
    assert shown(notebook_of(nbformat.v4.new_markdown_cell(source))).count("<math") == math


def test_math_that_cannot_be_converted_is_shown_as_typed() -> None:
    html = shown(notebook_of(nbformat.v4.new_markdown_cell("$\\left( x$ and on")))
    assert "<code>\\left( x</code>" in html
    assert "and on" in html


def test_a_chart_cannot_end_its_script_early() -> None:
    cell = nbformat.v4.new_code_cell("chart")
    spec = {"title": "</script><script>alert(1)</script>"}
    cell.outputs = [nbformat.v4.new_output("display_data", data={VEGALITE_MIME: spec})]
    html = shown(notebook_of(cell))
    assert "<\\/script><script>alert(1)<\\/script>" in html
    assert "</script><script>alert" not in html


def test_a_page_without_charts_carries_no_vega() -> None:
    html = shown(notebook_of(nbformat.v4.new_markdown_cell("# T")))
    assert len(html) < 50_000
