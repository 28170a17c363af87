"""An Altair chart as a widget that draws without a network."""

from typing import Any

import altair as alt
from altair.jupyter.jupyter_chart import load_js_src

from tarslab.charts import offline
from tarslab.charts.theme import WIDTH


class LiveChart(alt.JupyterChart):
    """``altair.JupyterChart`` with Vega inside; ``draw`` redraws."""

    def __init__(self, chart: alt.LayerChart, **options: Any) -> None:
        if not self._is_offline:
            # Set on the first use and not on import: bundling may take seconds.
            type(self)._esm = offline.vega_bundle(_without_imports(load_js_src()))
            type(self)._is_offline = True
        embed_options = {"actions": False, "renderer": "svg"}
        super().__init__(_of_fixed_width(chart), embed_options=embed_options, **options)

    def draw(self, chart: alt.LayerChart) -> None:
        """Show this chart instead."""
        self.chart = _of_fixed_width(chart)


def _of_fixed_width(chart: alt.LayerChart) -> alt.LayerChart:
    """A widget is drawn before it has a width that the chart could follow."""
    fixed: alt.LayerChart = chart.properties(width=WIDTH)
    return fixed


def _without_imports(source: str) -> str:
    """The bundler imports Vega-Embed itself; Altair's imports are addresses on the network."""
    return "\n".join(line for line in source.split("\n") if not line.startswith("import"))
