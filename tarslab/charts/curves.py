"""Learning curves: the table behind them and the picture, shared by the training charts."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.charts import theme
from tarslab.errors import BadArgument, LogWarning
from tarslab.runs import Runs, Series
from tarslab.stats import (
    common_grid,
    downsample,
    ema,
    interpolate_onto,
    mean_std_over_runs,
    rolling_mean_std,
)

XAxis = Literal["step", "episode", "wall_time", "relative"]
Band = Literal["std"] | None

POINTS = 500
HOVER_POINTS = 2_000
RAW_SERIES = 8
Floats = NDArray[np.float64]


class Smoothing(NamedTuple):
    """How a run's values become its line: rolling mean, or TensorBoard's EMA where it is set."""

    window: int = 10
    ema_weight: float = 0.0


def curve_table(
    runs: Runs,
    metrics: Sequence[str],
    *,
    x: XAxis = "step",
    by: str | None = None,
    smoothing: Smoothing = Smoothing(),
    band: Band = "std",
) -> pd.DataFrame:
    """The lines of some metrics, smoothed on the full series and then downsampled.

    With ``by=None`` a line is a run, and its band the rolling standard deviation. With a column of
    ``runs.table`` a line is the mean of a group's runs, each smoothed, then interpolated to a
    common grid without extrapolation; its band is the sample standard deviation over the runs.

    Returns
    -------
    DataFrame
        ``metric``, ``series``, the column named by ``x`` (``wall_time`` in Unix seconds),
        ``value``, ``low``, ``high`` (NaN without a band), ``raw`` (NaN where a point is not shown
        or lines are groups) and ``n``, the number of runs in the point. At most 500 rows a line.
    """
    labels = _labels(runs, by)
    tables = []
    for metric in metrics:
        lines: dict[str, list[tuple[Floats, Floats]]] = {}
        for run, series in runs.series(metric):
            for position, values in _on_axis(run, series, x):
                if by is None:
                    tables.append(_run_line(metric, labels[run], position, values, smoothing, band))
                else:
                    line = _smooth(values, smoothing)[0]
                    lines.setdefault(labels[run], []).append((position, line))
        tables += [_group_line(metric, label, lines[label], band) for label in sorted(lines)]
    if not tables:
        raise BadArgument(f"no run has wall times for x={x!r}: use x='step'")
    return pd.concat(tables, ignore_index=True).rename(columns={"x": x})


def curve_chart(
    table: pd.DataFrame,
    *,
    y_title: str,
    x_title: str | None = None,
    colour: Literal["series", "metric"] = "series",
    raw: bool | None = None,
    log_y: bool = False,
    lines_at: dict[str, float | None] | None = None,
) -> alt.LayerChart:
    """Draw a curve table: band, faint raw points, line, tooltips, labelled horizontal lines.

    A group's line is pale where some of its runs have no value, since its mean may jump there.
    A click on a legend entry hides or shows its lines, and the y-scale follows what is visible.
    Drag pans, Shift and wheel zooms, a double click goes back.
    """
    x = next(name for name in XAxis.__args__ if name in table)  # type: ignore[attr-defined]
    base = alt.Chart(columns_of(table, ["metric", "series"])).transform_flatten(
        [str(name) for name in table if name not in ("metric", "series")]
    )
    names = {key: list(dict.fromkeys(table[key].astype(str))) for key in ("series", "metric")}
    several = len(names["series"]) > 1
    toggles = [_legend_toggle(colour, names[colour])]
    dash = None
    if colour == "series" and several:
        dash = alt.StrokeDash("series:N", scale=theme.dashes(names["series"]))
    elif colour == "metric" and several and len(names["series"]) <= len(theme.DASHES):
        dash = alt.StrokeDash("series:N", scale=theme.dashes(names["series"]))
        toggles.append(_legend_toggle("series", names["series"]))
    for toggle in toggles:
        base = base.transform_filter(toggle)

    scale = alt.Scale(type="log") if log_y else alt.Scale(zero=False)
    axis = _axis(table["value"], tickCount=6) if log_y else _axis(table["value"])
    y = alt.Y("value:Q", title=y_title, scale=scale, axis=axis)
    base = base.encode(
        x=_x_encoding(x, table, x_title or theme.title_of(x)),
        y=y,
        color=alt.Color(f"{colour}:N", scale=theme.colours(names[colour])),
        detail=["metric:N", "series:N"],
    )
    layers = []
    if table["low"].notna().any():
        layers.append(
            base.mark_area(fillOpacity=0.15, aria=False).encode(
                y=alt.Y("low:Q", title=y_title), y2="high:Q"
            )
        )
    if raw is None:
        raw = len(names["series"]) <= RAW_SERIES
    if raw and table["raw"].notna().any():
        layers.append(base.mark_circle(size=8, fillOpacity=0.3, aria=False).encode(y="raw:Q"))
    layers.append(_line_layer(base, table, dash))
    layers.append(_hover(base, table, x))
    for text, level in (lines_at or {}).items():
        if level is not None:
            layers += _horizontal_line(text, level)
    layers[0] = layers[0].add_params(*toggles, _zoom())
    lines = len(table[["metric", "series"]].drop_duplicates())
    return alt.LayerChart(
        layer=layers,
        width="container",
        description=f"Line chart of {y_title} by {theme.title_of(x)}, {lines} lines: "
        + ", ".join(names[colour][:12]),
    )


def _line_layer(base: alt.Chart, table: pd.DataFrame, dash: alt.StrokeDash | None) -> alt.Chart:
    line: alt.Chart = base.mark_line(strokeWidth=1.8, clip=True)
    if dash is not None:
        line = line.encode(strokeDash=dash)
    runs = table.groupby(["metric", "series"], observed=True)["n"]
    if runs.transform("max").eq(table["n"]).all():
        return line
    line = (
        line.transform_joinaggregate(runs="max(n)", groupby=["metric", "series"])
        .transform_calculate(partial="datum.n < datum.runs")
        .encode(
            strokeOpacity=alt.when("datum.partial").then(alt.value(0.3)).otherwise(alt.value(1)),
            detail=["metric:N", "series:N", "partial:N"],
        )
    )
    return line


def columns_of(table: pd.DataFrame, groups: list[str]) -> alt.InlineData:
    """A table as Vega data in one record a group, its other columns as arrays to be flattened.

    A tenth of the size of one record a row. Numbers are cut to nine significant digits; NaN and
    infinities become null, which Vega draws as gaps.
    """
    records = []
    for key, part in table.groupby(groups, sort=False, observed=True):
        record: dict[str, Any] = dict(zip(groups, map(str, key), strict=True))
        for name in table:
            if name not in groups:
                record[str(name)] = _json_numbers(part[name].to_numpy(np.float64), str(name))
        records.append(record)
    return alt.InlineData(values=records)


def _labels(runs: Runs, by: str | None) -> dict[str, str]:
    """Run name to line label; groups that span environments are told apart."""
    table = runs.table
    if by is None:
        return {name: name for name in runs.names}
    if by not in table:
        raise BadArgument(
            f"by must be a column of runs.table, not {by!r}: {', '.join(map(str, table))}"
        )
    label = table[by].astype("object").where(table[by].notna(), f"{by} unknown").map(str)
    if by != "env" and table["env"].nunique() > 1:
        label = label + " · " + table["env"].fillna("env unknown")
    return dict(zip(table["run"], label, strict=True))


def _on_axis(run: str, series: Series, x: XAxis) -> Iterator[tuple[Floats, Floats]]:
    """Position on the x-axis and value of a run's points, nothing where the axis is unknown."""
    values = np.where(np.isfinite(series.value), series.value, np.nan)
    if x == "step":
        yield series.step.astype(np.float64), values
    elif x == "episode":
        yield np.arange(1.0, len(values) + 1), values
    elif x in ("wall_time", "relative"):
        if np.isnan(series.wall_time).any():
            warnings.warn(f"{run} has no wall times and is left out", LogWarning, stacklevel=4)
            return
        order = np.argsort(series.wall_time, kind="stable")
        start = series.wall_time[order[0]] if x == "relative" else 0.0
        yield series.wall_time[order] - start, values[order]
    else:
        raise BadArgument(f"x must be step, episode, wall_time or relative, not {x!r}")


def _smooth(values: Floats, smoothing: Smoothing) -> tuple[Floats, Floats]:
    """Line and rolling standard deviation, with a gap where the value itself is missing."""
    mean, std = rolling_mean_std(values, smoothing.window)
    line = ema(values, smoothing.ema_weight) if smoothing.ema_weight else mean
    missing = np.isnan(values)
    return np.where(missing, np.nan, line), np.where(missing, np.nan, std)


def _run_line(
    metric: str, label: str, x: Floats, values: Floats, smoothing: Smoothing, band: Band
) -> pd.DataFrame:
    line, std = _smooth(values, smoothing)
    std = std if band == "std" and smoothing.window > 1 else np.full(len(line), np.nan)
    shown_raw = places = np.arange(len(x))
    if len(x) > POINTS:
        shown_raw = downsample(x, values, POINTS // 2)
        places = np.union1d(shown_raw, downsample(x, line, POINTS // 2))
    smoothed = smoothing.window > 1 or smoothing.ema_weight > 0
    raw = np.full(len(values), np.nan)
    if smoothed:
        raw[shown_raw] = values[shown_raw]
    return _line(metric, label, x, line, line - std, line + std, raw, np.ones(len(x))).iloc[places]


def _group_line(
    metric: str, label: str, lines: list[tuple[Floats, Floats]], band: Band
) -> pd.DataFrame:
    grid = common_grid([x for x, _ in lines], POINTS)
    matrix = np.array([interpolate_onto(grid, x, y) for x, y in lines])
    mean, std, n = mean_std_over_runs(matrix)
    std = std if band == "std" else np.full(len(grid), np.nan)
    raw = np.full(len(grid), np.nan)
    return _line(metric, label, grid, mean, mean - std, mean + std, raw, n)


def _line(metric: str, label: str, *columns: NDArray[Any]) -> pd.DataFrame:
    names = ("x", "value", "low", "high", "raw", "n")
    values = dict(zip(names, columns, strict=True))
    return pd.DataFrame({"metric": metric, "series": label, **values}).astype({"n": np.int64})


def _json_numbers(values: Floats, name: str) -> list[float | int | None]:
    # Vega's time is in milliseconds.
    values = values * 1000 if name == "wall_time" else values
    if np.all(values == np.round(values)) and np.all(np.abs(values) < 2**53):
        return [int(value) for value in values]
    digits = 16 if name == "wall_time" else 9
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in values]


def _x_encoding(x: str, table: pd.DataFrame, title: str) -> alt.X:
    if x == "wall_time":
        return alt.X("wall_time:T", title=title, scale=alt.Scale(type="utc"))
    scale = alt.Scale(nice=False, zero=False)
    return alt.X(f"{x}:Q", title=title, axis=_axis(table[x]), scale=scale)


def _axis(values: pd.Series, **options: Any) -> alt.Axis:
    """SI prefixes for large numbers; small ones read better as they are."""
    if values.abs().max() >= 10_000:
        options["format"] = "~s"
    return alt.Axis(**options)


def _hover(base: alt.Chart, table: pd.DataFrame, x: str) -> alt.Chart:
    """Invisible points that carry the tooltips: a line's own tooltip knows one point only."""
    every = -(-len(table) // HOVER_POINTS)
    when = alt.Tooltip("wall_time:T", title="time (UTC)", format="%Y-%m-%d %H:%M:%S")
    where = alt.Tooltip(f"{x}:Q", title=theme.title_of(x), format=",.0f")
    tooltip = [
        alt.Tooltip("series:N", title="series"),
        alt.Tooltip("metric:N", title="metric"),
        when if x == "wall_time" else where,
        alt.Tooltip("value:Q", title="value", format=",.5~g"),
    ]
    if table["low"].notna().any():
        tooltip.append(alt.Tooltip("low:Q", title="mean − std", format=",.5~g"))
        tooltip.append(alt.Tooltip("high:Q", title="mean + std", format=",.5~g"))
    tooltip.append(alt.Tooltip("n:Q", title="runs (n)"))
    hover: alt.Chart = base
    if every > 1:
        hover = hover.transform_window(place="row_number()").transform_filter(
            f"datum.place % {every} == 0"
        )
    hover = (
        hover.mark_point(size=60, filled=True, aria=False)
        .encode(opacity=alt.value(0), tooltip=tooltip)
        .properties(name=HOVER_LAYER)
    )
    return hover


HOVER_LAYER = "hover"


def _legend_toggle(field: str, names: list[str]) -> alt.Parameter:
    return alt.selection_point(
        name=f"toggle_{field}",
        fields=[field],
        bind="legend",
        toggle="true",
        value=[{field: name} for name in names],
    )


def _zoom() -> alt.Parameter:
    return alt.selection_interval(name="zoom", bind="scales", zoom="wheel![event.shiftKey]")


def _horizontal_line(text: str, level: float) -> list[alt.Chart]:
    rule = alt.Chart(alt.InlineData(values=[{"level": level, "text": f"{text} {level:g}"}]))
    return [
        rule.mark_rule(color=theme.INK, strokeDash=[4, 4], strokeWidth=1.2).encode(y="level:Q"),
        rule.mark_text(align="right", baseline="bottom", dy=-3, color=theme.INK).encode(
            x=alt.value("width"), y="level:Q", text="text:N"
        ),
    ]
