"""An Altair chart as a widget that draws without a network."""

from collections.abc import Mapping, Sequence
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

    def draw(self, chart: alt.LayerChart, *, as_looked_at: bool = False) -> None:
        """Show this chart instead; ``as_looked_at``, with the lines hidden and the part of the axes
        in view that the reader has chosen."""
        chart = _of_fixed_width(chart)
        if as_looked_at:
            before = _params(self.chart)
            for name, param in _params(chart).items():
                store = (self._vl_selections.get(name) or {}).get("store")
                if store and name in before:
                    param.value = _chosen(store, before[name].value, param.value)
        self.chart = chart


def _params(chart: Any) -> dict[str, Any]:
    return {str(param.name): param for param in chart.params}


def _chosen(store: Sequence[Mapping[str, Any]], before: Any, default: Any) -> Any:
    """The value with which a selection starts as one of its name was left.

    ``store`` is Vega's of that one, ``before`` its own first value.
    """
    fields = store[0]["fields"]
    if "channel" in fields[0]:
        return {f["channel"]: extent for f, extent in zip(fields, store[0]["values"], strict=True)}
    left = [
        {field["field"]: value for field, value in zip(fields, one["values"], strict=True)}
        for one in store
    ]
    hidden = [one for one in before if one not in left]
    return [one for one in default if one not in hidden]


def _of_fixed_width(chart: alt.LayerChart) -> alt.LayerChart:
    """A widget is drawn before it has a width that the chart could follow."""
    fixed: alt.LayerChart = chart.properties(width=WIDTH)
    return fixed


def _without_imports(source: str) -> str:
    """The bundler imports Vega-Embed itself; Altair's imports are addresses on the network."""
    return "\n".join(line for line in source.split("\n") if not line.startswith("import"))
