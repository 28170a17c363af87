"""Percentiles and rates of load by time, in one view that follows the width of its page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts import theme
from tarslab.charts.algorithms import heading
from tarslab.charts.curves import HOVER_POINTS, POINTS, columns_of, legend_toggle
from tarslab.charts.fault_windows import Clock, time_zoom
from tarslab.charts.log_axis import log_domain, log_ticks
from tarslab.stats import downsample

QUANTILES = {"p50": "P50", "p95": "P95", "p99": "P99"}
RATES = {
    "intended": "arrivals intended",
    "achieved": "arrivals done",
    "requests": "requests",
    "failed": "requests failed",
}
COLOURS = {
    "P50": theme.PALETTE[4],
    "P95": theme.PALETTE[0],
    "P99": theme.PALETTE[3],
    "arrivals intended": theme.PALETTE[6],
    "arrivals done": theme.PALETTE[2],
    "requests": theme.PALETTE[2],
    "requests failed": theme.PALETTE[1],
}
DASHES = {
    "P95": [6, 3],
    "P99": [2, 2],
    "arrivals intended": [3, 3],
    "requests failed": [8, 3, 2, 3],
}
# Percentiles above, names of faults between, rates below: in pixels from the top.
LATENCY, NAMES, RATE, HEIGHT = (205, 0), 225, (340, 245), 340


class Limit(NamedTuple):
    """A threshold on a line."""

    text: str
    value: float
    line: str


def load_lines(
    table: pd.DataFrame,
    windows: pd.DataFrame,
    clock: Clock,
    *,
    limits: Sequence[Limit] = (),
    what: str,
    note: list[str],
    description: str,
) -> alt.LayerChart:
    """Percentiles above, rates below, faults shaded through both.

    table: as of ``latency_timeline_data``, a row for each second.
    windows: as of ``fault_windows``.
    limits: on the percentiles.
    what: is in milliseconds, for the axis.
    """
    lines = _lines(table)
    names = list(dict.fromkeys(lines["line"]))
    toggle = legend_toggle("line", names)
    base = (
        alt.Chart(columns_of(lines, ["line"]))
        .transform_flatten(["wall_time", "value", "alone"])
        .transform_filter(toggle)
        .encode(x=clock.x(), **_look(names))
    )
    seen = lines["value"][lines["line"].isin(QUANTILES.values())]
    domain = log_domain([*seen.dropna(), *(limit.value for limit in limits)])
    latency = alt.Y(
        "value:Q",
        title=f"{what} (ms)",
        scale=alt.Scale(type="log", domain=list(domain), range=list(LATENCY), nice=False),
        axis=alt.Axis(values=log_ticks(*domain), labelExpr="format(datum.value, ',~g')"),
    )
    rate = alt.Y(
        "value:Q",
        title="per second",
        scale=alt.Scale(range=list(RATE), zero=True),
        axis=alt.Axis(tickCount=3, orient="left"),
    )
    above, below = (
        base.transform_filter(alt.FieldOneOfPredicate("line", list(of.values())))
        for of in (QUANTILES, RATES)
    )
    upper = [*_drawn(above.encode(y=latency), lines), *_limits(limits)]
    lower = _drawn(below.encode(y=rate), lines)
    lower[0] = lower[0].add_params(toggle, time_zoom())
    chart: alt.LayerChart = alt.LayerChart(
        layer=[
            *clock.shades(windows, HEIGHT, names=NAMES),
            alt.LayerChart(layer=upper),
            alt.LayerChart(layer=lower),
            _hover(table, windows, clock),
        ],
        width="container",
        height=HEIGHT,
        title=heading(note),
        description=description,
    ).resolve_scale(y="independent")
    return chart


def _lines(table: pd.DataFrame) -> pd.DataFrame:
    """``line``, ``wall_time`` (the middle of its second), ``value``, and whether it is ``alone``.

    Of a long run the points that keep the shape of each line.
    """
    columns = {**QUANTILES, **RATES}
    # Arrivals and requests say nearly the same: what was done is drawn once.
    if table["achieved"].notna().any():
        del columns["requests"]
    parts = []
    middle = table["wall_time"].to_numpy() + 0.5
    for column, line in columns.items():
        value = table[column].to_numpy()
        # A logarithmic axis has no 0.
        value = np.where(value > 0, value, np.nan) if column in QUANTILES else value
        known = np.isfinite(value)
        if not known.any():
            continue
        beside = np.concatenate([[False], known, [False]])
        alone = known & ~beside[:-2] & ~beside[2:]
        kept = np.arange(len(value))
        if len(value) > POINTS:
            kept = downsample(middle, value, POINTS)
        parts.append(
            pd.DataFrame(
                {
                    "line": line,
                    "wall_time": middle[kept],
                    "value": value[kept],
                    "alone": alone[kept].astype(float),
                }
            )
        )
    columns_of_none = ["line", "wall_time", "value", "alone"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns_of_none)


def _look(names: list[str]) -> dict[str, Any]:
    colours = alt.Scale(domain=names, range=[COLOURS[name] for name in names])
    dashes = alt.Scale(domain=names, range=[DASHES.get(name, [1, 0]) for name in names])
    legend = alt.Legend(columns=len(names))
    return {
        "color": alt.Color("line:N", scale=colours, legend=legend),
        "strokeDash": alt.StrokeDash("line:N", scale=dashes, legend=legend),
    }


def _drawn(base: alt.Chart, lines: pd.DataFrame) -> list[alt.Chart]:
    """Lines, and a dot for each second that has none beside it."""
    line = base.mark_line(strokeWidth=1.6, clip=True)
    if not (lines["alone"] > 0).any():
        return [line]
    return [line, base.transform_filter("datum.alone").mark_circle(size=30, opacity=1, clip=True)]


def _hover(table: pd.DataFrame, windows: pd.DataFrame, clock: Clock) -> alt.Chart:
    """Invisible stripes that carry the tooltips, each with all that is known of a second."""
    columns = [name for name in (*QUANTILES, *RATES, "dropped") if table[name].notna().any()]
    titles = {**QUANTILES, **RATES, "dropped": "arrivals dropped"}
    records = []
    for row in table.iloc[:: -(-len(table) // HOVER_POINTS) or 1].to_dict("records"):
        second = float(row["wall_time"])
        during = windows[(windows["start"] < second + 1) & ~(windows["end"] < second)]
        said = {name: _said(name, float(row[name])) for name in columns}
        times = {"wall_time": round(1000 * second), "until": round(1000 * (second + 1))}
        records.append(times | said | {"during": ", ".join(during["fault"])})
    tooltip = [alt.Tooltip("wall_time:T", title="time (UTC)", format="%H:%M:%S")]
    tooltip += [alt.Tooltip(f"{name}:N", title=titles[name]) for name in columns]
    if len(windows):
        tooltip.append(alt.Tooltip("during:N", title="fault"))
    hover: alt.Chart = (
        alt.Chart(alt.InlineData(values=records), name=theme.HOVER_LAYER)
        .mark_rect(opacity=0, aria=False, clip=True)
        .encode(x=clock.x(), x2="until:T", y=alt.value(0), y2=alt.value(HEIGHT), tooltip=tooltip)
    )
    return hover


def _said(column: str, value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:,.4g} ms" if column in QUANTILES else f"{value:,.4g} a second"


def _limits(limits: Sequence[Limit]) -> list[alt.Chart]:
    if not limits:
        return []
    records: list[dict[str, Any]] = []
    for text, limit, line in sorted(limits, key=lambda each: each.value):
        # Labels of limits that lie close stand side by side.
        close = records and limit < 1.5 * records[-1]["value"]
        place = 0 if not close else records[-1]["place"] - 90
        records.append(
            {"text": text, "value": limit, "colour": COLOURS.get(line, theme.INK), "place": place}
        )
    base = alt.Chart(alt.InlineData(values=records)).encode(
        y="value:Q", color=alt.Color("colour:N", scale=None)
    )
    return [
        base.mark_rule(strokeDash=[4, 4], strokeWidth=1.2),
        base.mark_text(align="right", baseline="bottom", dy=-2, fontSize=11).encode(
            x=alt.value("width"), xOffset=alt.XOffset("place:Q", scale=None), text="text:N"
        ),
    ]
