"""An Altair chart as a widget that draws without a network."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
from altair.jupyter.jupyter_chart import load_js_src

from tarslab.charts import offline
from tarslab.charts.theme import WIDTH

# To what each view of a chart listens anew.
RENEWED = ("_params", "_py_to_js_updates")


class LiveChart(alt.JupyterChart):
    """``altair.JupyterChart`` with Vega inside; ``draw`` redraws."""

    def __init__(self, chart: Any, **options: Any) -> None:
        if not self._is_offline:
            # Set on the first use and not on import: bundling may take seconds.
            type(self)._esm = offline.vega_bundle(_front_end(load_js_src()))
            type(self)._is_offline = True
        embed_options = {"actions": False, "renderer": "svg"}
        chart = _of_fixed_width(chart)
        self._defaults = _values(chart)
        self._choices: dict[str, _Choice] = {}
        super().__init__(chart, embed_options=embed_options, **options)

    def draw(self, chart: Any, *, as_looked_at: bool = False) -> None:
        """Show this chart instead; ``as_looked_at``, with the lines hidden and the part of the axes
        in view that the reader has chosen."""
        chart = _of_fixed_width(chart)
        defaults = _values(chart)
        for name, seen in self._vl_selections.items():
            # A front end that has not drawn yet has said nothing.
            if seen["value"] is not None:
                self._choices[name] = _choice(seen["store"], self._defaults[name])
        if not as_looked_at:
            self._choices.clear()
        for param in _params(chart):
            if choice := self._choices.get(str(param.name)):
                param.value = choice.applied_to(param.value)
        self._defaults = defaults
        self.chart = chart


class _Choice(NamedTuple):
    """What a reader has made of a selection."""

    hidden: list[Any]
    extent: dict[str, Any]
    """By channel the part of its axis that is in view."""

    def applied_to(self, default: Any) -> Any:
        if self.extent:
            return self.extent
        if isinstance(default, list):
            return [one for one in default if one not in self.hidden]
        return default


def _choice(store: Sequence[Mapping[str, Any]], all_of_it: Any) -> _Choice:
    """What Vega's store of a selection says, whose start was ``all_of_it``."""
    if not store:
        # Nothing chosen, so all is shown.
        return _Choice([], {})
    fields = store[0]["fields"]
    if "channel" in fields[0]:
        extents = zip(fields, store[0]["values"], strict=True)
        return _Choice([], {field["channel"]: extent for field, extent in extents})
    left = [
        {field["field"]: value for field, value in zip(fields, one["values"], strict=True)}
        for one in store
    ]
    return _Choice([one for one in all_of_it if one not in left], {})


def _values(chart: Any) -> dict[str, Any]:
    """With what each selection of a chart starts, if with anything."""
    return {str(param.name): param.value for param in _params(chart)}


def _params(chart: Any) -> list[Any]:
    return list(chart.params)


def _of_fixed_width(chart: Any) -> Any:
    """A widget is drawn before it has a width that the chart could follow."""
    if getattr(chart, "width", None) != "container":
        return chart
    fixed: alt.LayerChart = chart.properties(width=WIDTH)
    return fixed


def _front_end(source: str) -> str:
    """Altair's program without its imports, which are addresses on the network (the bundler imports
    Vega-Embed itself), and without the views of the charts before, to which it goes on listening.
    """
    lines = [line for line in source.split("\n") if not line.startswith("import")]
    start = next(n for n, line in enumerate(lines) if "const reembed = " in line) + 1
    lines[start:start] = [f"model.off('change:{name}');" for name in RENEWED]
    return "\n".join(lines)
