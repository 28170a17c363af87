"""Convergence of self-play to a Nash equilibrium."""

from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts import theme
from tarslab.charts.curves import Band, Smoothing, curve_chart, curve_table
from tarslab.charts.synthetic import says_so
from tarslab.errors import BadArgument
from tarslab.runs import Runs

GAPS = ("nash_gap", "exploitability")


class NashConvergence(NamedTuple):
    """The numbers behind ``nash_convergence``."""

    curves: pd.DataFrame
    """As in ``charts.curves.curve_table``; what is not positive, and no log scale shows, is NaN."""
    crossings: pd.DataFrame
    """``series``, ``step`` and ``value`` of each line's first point under the threshold."""


def nash_convergence_data(
    runs: Runs,
    *,
    metric: str | None = None,
    threshold: float = 0.01,
    by: str | None = None,
    band: Band = "std",
) -> NashConvergence:
    """The numbers behind ``nash_convergence``.

    A run's crossing is found on its full series, a group's on the grid of its line.
    """
    if metric is None:
        metric = next((gap for gap in GAPS if gap in runs.metrics), GAPS[0])
    if threshold <= 0:
        raise BadArgument(f"threshold must be positive on a log scale, not {threshold}")
    curves = curve_table(runs, [metric], by=by, smoothing=Smoothing(window=1), band=band)
    if by is None:
        lines = [(run, series.step, series.value) for run, series in runs.series(metric)]
    else:
        groups = curves.groupby("series", sort=False)
        lines = [(str(name), g["step"].to_numpy(), g["value"].to_numpy()) for name, g in groups]
    crossings = []
    for name, step, gap in lines:
        under = np.flatnonzero(gap < threshold)
        if len(under):
            crossings.append((name, int(step[under[0]]), float(gap[under[0]])))
    drawn = ["value", "low", "high"]
    curves[drawn] = curves[drawn].where(curves[drawn] > 0)
    return NashConvergence(curves, pd.DataFrame(crossings, columns=["series", "step", "value"]))


@says_so
def nash_convergence(
    runs: Runs,
    *,
    metric: str | None = None,
    threshold: float = 0.01,
    by: str | None = None,
    band: Band = "std",
) -> alt.LayerChart:
    """Distance to equilibrium by iteration on a log scale, a threshold, and where it is met.

    Parameters
    ----------
    runs
        Runs with ``nash_gap`` (NashConv, the sum over players of what a best response gains) or
        ``exploitability`` (NashConv / players).
    metric
        One of the two; None (default) takes the first there is.
    threshold
        Height of the dashed line; the first iteration under it is marked and labelled.
    by, band
        As in ``reward_curve``; a single run has no band, since its gap is not smoothed.

    Raises
    ------
    NotLogged
        No run has the metric.
    BadArgument
        The threshold is not positive, or ``by`` is no column of ``runs.table``.
    """
    curves, crossings = nash_convergence_data(
        runs, metric=metric, threshold=threshold, by=by, band=band
    )
    chart = curve_chart(
        curves,
        y_title=theme.title_of(str(curves["metric"].iloc[0])),
        x_title="iteration",
        raw=False,
        log_y=True,
        lines_at={"threshold": threshold},
    )
    if crossings.empty:
        return chart
    names = list(dict.fromkeys(curves["series"]))
    # A gap of zero has no place on a log scale: its mark stands on the threshold.
    records = [
        {
            "series": series,
            "step": int(step),
            "value": float(f"{value if value > 0 else threshold:.9g}"),
        }
        for series, step, value in zip(*(crossings[name] for name in crossings), strict=True)
    ]
    marks = (
        alt.Chart(alt.InlineData(values=records))
        .transform_filter({"param": "toggle_series"})
        .encode(
            x="step:Q",
            y="value:Q",
            color=alt.Color("series:N", scale=theme.colours(names)),
            tooltip=[
                alt.Tooltip("series:N", title="series"),
                alt.Tooltip("step:Q", title="first under the threshold", format=","),
                alt.Tooltip("value:Q", title="value", format=".4~g"),
            ],
        )
    )
    label = marks.mark_text(align="left", dx=6, dy=-6, fontSize=11).encode(
        text=alt.Text("step:Q", format=",")
    )
    dot = marks.mark_point(filled=True, size=70, stroke="white")
    chart.layer += [dot, label]
    return chart
