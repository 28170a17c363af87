"""One executed notebook as one HTML file that needs nothing else."""

import copy
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from latex2mathml import converter, exceptions
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from tarslab.charts import offline
from tarslab.reports.provenance import Provenance

TEMPLATES = Path(__file__).parent / "templates"
TEX_ERRORS = tuple(
    e for e in vars(exceptions).values() if isinstance(e, type) and issubclass(e, Exception)
)
PLACEHOLDER = '<div data-chart="{number}"></div>'


class Summary(NamedTuple):
    """What the index shows of a page."""

    title: str
    question: str
    """The first paragraph under the title."""
    picture: str
    """The first chart as SVG, or ''."""


def summary(notebook: NotebookNode, name: str) -> Summary:
    """Title, question and first picture of a notebook; the title is ``name`` where it has none."""
    opening = next((c.source for c in notebook.cells if c.cell_type == "markdown"), "")
    blocks = [block.strip() for block in opening.split("\n\n") if block.strip()]
    title, question = name, ""
    if blocks and blocks[0].startswith("# "):
        title, *rest = blocks[0].removeprefix("# ").split("\n", 1)
        question = rest[0] if rest else (blocks[1] if len(blocks) > 1 else "")
    pictures = (data["image/svg+xml"] for data in _outputs(notebook) if "image/svg+xml" in data)
    return Summary(title, " ".join(question.split()), next(pictures, ""))


def page(
    notebook: NotebookNode, title: str, provenance: Provenance, times: str, error: str | None
) -> str:
    """The page of an executed notebook: charts live, math shown, nothing loaded."""
    notebook, charts = _take_out_charts(notebook)
    exporter = HTMLExporter(template_name="page", extra_template_basedirs=[str(TEMPLATES)])
    exporter.register_filter("markdown2html", _markdown_to_html)
    resources = {
        "tarslab": {
            "title": title,
            "style": style(),
            "provenance": provenance,
            "times": times,
            "error": error,
        }
    }
    html, _ = exporter.from_notebook_node(notebook, resources)
    # The exporter parses and writes its result anew: what must stay as it is comes after.
    for number, chart in enumerate(charts):
        html = html.replace(PLACEHOLDER.format(number=number), chart)
    return html.replace("</body>", f"{vega_script() if charts else ''}</body>")


def template(name: str, **values: Any) -> str:
    """Fill one of the templates in ``templates/``."""
    environment = Environment(
        loader=PackageLoader("tarslab.reports"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)


def figure(data: Mapping[str, Any]) -> str:
    """A chart's MIME bundle as HTML: its picture, and what the script draws in its place."""
    spec = json.dumps(data[offline.VEGALITE_MIME], separators=(",", ":"))
    still, spec = data.get("image/svg+xml", ""), spec.replace("</", "<\\/")
    return (
        f'<figure class="chart"><div class="still">{still}</div>'
        f'<script type="application/vnd.vegalite+json">{spec}</script></figure>'
    )


def style() -> str:
    """The style of all pages."""
    return (TEMPLATES / "style.css").read_text(encoding="utf-8")


def vega_script() -> str:
    """The script that draws the charts of a page, and all that it needs."""
    snippet = (TEMPLATES / "draw_charts.js").read_text(encoding="utf-8")
    bundle = offline.vega_bundle(snippet).replace("</script", "<\\/script")
    return f'<script type="module">{bundle}</script>'


def _take_out_charts(notebook: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """The notebook with a placeholder for every chart, and the charts' HTML."""
    notebook, charts = copy.deepcopy(notebook), []
    for data in _outputs(notebook):
        if offline.VEGALITE_MIME in data:
            charts.append(figure(data))
            data.clear()
            data["text/html"] = PLACEHOLDER.format(number=len(charts) - 1)
    return notebook, charts


def _outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]


class _MathRenderer(IPythonRenderer):
    """TeX math as MathML, which browsers draw by themselves."""

    def inline_math(self, body: str) -> str:
        return _mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return _mathml(body, "block")


def _markdown_to_html(source: str) -> str:
    renderer = _MathRenderer(escape=False, exclude_anchor_links=True)
    return str(MarkdownWithMath(renderer=renderer).render(source))


def _mathml(tex: str, display: str) -> str:
    try:
        return str(converter.convert(tex.strip(), display=display))
    except TEX_ERRORS:
        # Math that the converter does not know is shown as it was typed.
        return f"<code>{escape(tex)}</code>"
