"""Reward, or any one metric, over training."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

from tarslab.charts.curves import Band, Smoothing, XAxis, curve_chart, curve_table
from tarslab.charts.synthetic import says_so
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


@says_so
def reward_curve(
    runs: Runs,
    *,
    metric: str = "reward",
    window: int = 10,
    smoothing: float = 0.0,
    x: XAxis = "step",
    by: str | None = None,
    band: Band = "std",
    target: float | Mapping[str, float] | None = None,
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
        TensorBoard's EMA weight in [0, 1); 0 (default) draws the rolling mean instead. An EMA has
        no band of its own.
    x
        ``"step"`` (default), ``"episode"`` (of runs whose episodes were recorded one by one),
        ``"wall_time"`` (single runs only) or ``"relative"`` (seconds since the first point). A run
        that cannot be placed on the axis is left out with a LogWarning.
    by
        A column of ``runs.table``, for example ``"algo"``: one line a group, the mean over its
        runs on a common grid, and the sample standard deviation over runs as the band.
    band
        ``"std"`` (default) or None.
    target
        Height of a dashed line; or a height for each environment, drawn for those that the runs
        have.
    raw
        Whether to show the raw points; by default up to eight lines.

    Raises
    ------
    NotLogged
        No run has the metric, or what the x-axis needs.
    BadArgument
        An argument is out of range; the message lists what there is.
    """
    table = reward_curve_data(
        runs, metric=metric, window=window, smoothing=smoothing, x=x, by=by, band=band
    )
    return curve_chart(table, y_title=title_of(metric), raw=raw, lines_at=_targets(runs, target))


def _targets(runs: Runs, target: float | Mapping[str, float] | None) -> dict[str, float]:
    """Label and height of each target line."""
    if target is None:
        return {}
    if not isinstance(target, Mapping):
        return {"target": target}
    heights = {env: target[env] for env in runs.table["env"].dropna().unique() if env in target}
    if len(heights) == 1:
        return {"target": next(iter(heights.values()))}
    return {f"target of {env}": height for env, height in heights.items()}
