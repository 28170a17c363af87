"""Reward, or any one metric, over training."""

import altair as alt
import pandas as pd

from tarslab.charts.curves import Band, Smoothing, XAxis, curve_chart, curve_table
from tarslab.charts.theme import title_of
from tarslab.runs import Runs


def reward_curve_data(
    runs: Runs,
    *,
    metric: str = "reward",
    window: int = 10,
    smoothing: float = 0.0,
    x: XAxis = "step",
    by: str | None = None,
    band: Band = "std",
) -> pd.DataFrame:
    """The numbers behind ``reward_curve``; columns as in ``charts.curves.curve_table``."""
    return curve_table(
        runs, [metric], x=x, by=by, smoothing=Smoothing(window, smoothing), band=band
    )


def reward_curve(
    runs: Runs,
    *,
    metric: str = "reward",
    window: int = 10,
    smoothing: float = 0.0,
    x: XAxis = "step",
    by: str | None = None,
    band: Band = "std",
    target: float | None = None,
    raw: bool | None = None,
) -> alt.LayerChart:
    """Rolling mean of the return with a band, the raw points behind it and a target line.

    Parameters
    ----------
    runs
        Runs of which at least one has the metric.
    metric
        Any metric, default ``"reward"``.
    window
        Points in the rolling mean and standard deviation, default 10.
    smoothing
        TensorBoard's EMA weight in [0, 1); 0 (default) draws the rolling mean instead.
    x
        ``"step"`` (default), ``"episode"`` (the metric's points counted), ``"wall_time"`` or
        ``"relative"`` (seconds since the run's first point).
    by
        A column of ``runs.table``, for example ``"algo"``: one line a group, the mean over its
        runs on a common grid, and the sample standard deviation over runs as the band.
    band
        ``"std"`` (default) or None.
    target
        Height of a dashed line.
    raw
        Whether to show the raw points; by default up to eight lines.

    Raises
    ------
    BadArgument
        No run has the metric, or an argument is out of range; the message lists what there is.
    """
    table = reward_curve_data(
        runs, metric=metric, window=window, smoothing=smoothing, x=x, by=by, band=band
    )
    return curve_chart(table, y_title=title_of(metric), raw=raw, lines_at={"target": target})
