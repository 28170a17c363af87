"""Learning curves: the table behind them and the picture, shared by the training charts."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.charts import theme
from tarslab.errors import BadArgument, LogWarning, NotLogged
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

    With ``by=None`` a line is a run, and its band the rolling standard deviation (none around an
    EMA). With a column of ``runs.table`` a line is the mean of a group's runs, each smoothed, then
    interpolated to a common grid without extrapolation; its band is the sample standard deviation
    over the runs.

    Returns
    -------
    DataFrame
        ``metric``, ``series``, the column named by ``x`` (``wall_time`` in Unix seconds),
        ``value``, ``low``, ``high`` (NaN without a band), ``raw`` (NaN where a point is not shown
        or lines are groups) and ``n``, the number of runs in the point. At most 500 rows a line.
    """
    if x not in get_args(XAxis):
        raise BadArgument(f"x must be {', '.join(get_args(XAxis))}, not {x!r}")
    if by is not None and x == "wall_time":
        raise BadArgument("x='wall_time' cannot be averaged over runs: use x='relative' or by=None")
    labels = _labels(runs, by)
    axis = _Axis(runs, x)
    lines: list[_Line] = []
    for metric in metrics:
        groups: dict[str, list[tuple[Floats, Floats]]] = {}
        for run, series in runs.series(metric):
            for position, values in axis.place(run, metric, series):
                if by is None:
                    lines.append(_run_line(metric, labels[run], position, values, smoothing, band))
                else:
                    line = _smooth(values, smoothing)[0]
                    groups.setdefault(labels[run], []).append((position, line))
        lines += [_group_line(metric, label, groups[label], band) for label in sorted(groups)]
    if not lines:
        raise NotLogged(f"no run has {axis.needs} for x={x!r}: use x='step'")
    lengths = [len(line.x) for line in lines]
    names = {
        "metric": np.repeat([line.metric for line in lines], lengths),
        "series": np.repeat([line.series for line in lines], lengths),
    }
    columns = zip(*(line[2:] for line in lines), strict=True)
    joined = (np.concatenate(column) for column in columns)
    numbers = dict(zip((x, *_Line._fields[3:]), joined, strict=True))
    return pd.DataFrame(names | numbers).astype({"n": np.int64})


def curve_chart(
    table: pd.DataFrame,
    *,
    y_title: str,
    x_title: str | None = None,
    colour: Literal["series", "metric"] = "series",
    raw: bool | None = None,
    log_y: bool = False,
    lines_at: dict[str, float] | None = None,
) -> alt.LayerChart:
    """Draw a curve table: band, faint raw points, line, tooltips, labelled horizontal lines.

    A group's line is pale where some of its runs have no value, since its mean may jump there.
    A click on a legend entry hides or shows its lines, and the y-scale follows what is visible.
    Drag pans, Shift and wheel zooms, a double click goes back.
    """
    x = next(name for name in get_args(XAxis) if name in table)
    base = alt.Chart(columns_of(table, ["metric", "series"])).transform_flatten(
        [str(name) for name in table if name not in ("metric", "series")]
    )
    names = {key: list(dict.fromkeys(table[key].astype(str))) for key in ("series", "metric")}
    several = len(names["series"]) > 1
    toggles = [legend_toggle(colour, names[colour])]
    dash = None
    if colour == "series" and several:
        dash = alt.StrokeDash("series:N", scale=theme.dashes(names["series"]))
    elif colour == "metric" and several and len(names["series"]) <= len(theme.DASHES):
        dash = alt.StrokeDash("series:N", scale=theme.dashes(names["series"]))
        toggles.append(legend_toggle("series", names["series"]))
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
    known = table["value"].notna().groupby([table["metric"], table["series"]]).sum()
    if (known == 1).any():
        layers.append(lone_points(base, "value", ["metric", "series"]))
    layers.append(hover_points(base, len(table), _tooltip(table, x)))
    for text, level in (lines_at or {}).items():
        layers += _horizontal_line(text, level)
    layers[0] = layers[0].add_params(*toggles, wheel_zoom())
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


def lone_points(base: alt.Chart, y: str, groups: list[str | alt.FieldName]) -> alt.Chart:
    """A dot for each line of a single value, of which a line mark shows nothing."""
    lone: alt.Chart = (
        base.transform_joinaggregate(known=f"valid({y})", groupby=groups)
        .transform_filter("datum.known == 1")
        .mark_circle(size=40, opacity=1)
    )
    return lone


def hover_points(base: alt.Chart, rows: int, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """Invisible points that carry the tooltips: a line's own tooltip knows one point only."""
    every = -(-rows // HOVER_POINTS)
    hover: alt.Chart = base
    if every > 1:
        hover = hover.transform_window(place="row_number()").transform_filter(
            f"datum.place % {every} == 0"
        )
    hover = (
        hover.mark_point(size=60, filled=True, aria=False, clip=True)
        .encode(opacity=alt.value(0), tooltip=tooltip)
        .properties(name=theme.HOVER_LAYER)
    )
    return hover


def legend_toggle(field: str, names: Iterable[str]) -> alt.Parameter:
    """A click on a legend entry hides or shows what has this name; all are shown at first."""
    return alt.selection_point(
        name=f"toggle_{field}",
        fields=[field],
        bind="legend",
        toggle="true",
        value=[{field: name} for name in names],
    )


def wheel_zoom() -> alt.Parameter:
    """Drag pans, Shift and wheel zooms, a double click goes back."""
    return alt.selection_interval(name="zoom", bind="scales", zoom="wheel![event.shiftKey]")


def si_axis(large: bool, **options: Any) -> alt.Axis:
    """An axis with SI prefixes where its numbers are large; as a format it would write 0k."""
    return (
        alt.Axis(labelExpr="format(datum.value, '~s')", **options) if large else alt.Axis(**options)
    )


def columns_of(table: pd.DataFrame, groups: list[str]) -> alt.InlineData:
    """A table as Vega data in one record a group, its other columns as arrays to be flattened.

    Much smaller than one record a row. Numbers are cut to nine significant digits; NaN and
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
    """Run name to line label; groups that span environments are told apart.

    A run of which the grouping is not known stands for itself.
    """
    table = runs.table
    if by is None:
        return {name: name for name in runs.names}
    if by not in table:
        raise BadArgument(
            f"by must be a column of runs.table, not {by!r}: {', '.join(map(str, table))}"
        )
    label = table[by].astype("object").map(str)
    if by != "env" and table["env"].nunique() > 1:
        label = label + " · " + table["env"].fillna("env unknown")
    return dict(zip(table["run"], label.where(table[by].notna(), table["run"]), strict=True))


class _Axis:
    """Where the points of a run stand on the x-axis."""

    def __init__(self, runs: Runs, x: XAxis) -> None:
        self.x = x
        self.needs = "single episodes" if x == "episode" else "wall times"
        self._episode_ends: dict[str, NDArray[np.int64]] = {}
        if x == "episode" and "reward" in runs.metrics:
            one_by_one = set(runs.table["run"][runs.table["episodes"].notna()])
            ends = {run: series.step for run, series in runs.series("reward")}
            self._episode_ends = {run: ends[run] for run in one_by_one & ends.keys()}

    def place(self, run: str, metric: str, series: Series) -> Iterator[tuple[Floats, Floats]]:
        """Positions and values; nothing, with a word, where the axis is unknown for the run."""
        values = np.where(np.isfinite(series.value), series.value, np.nan)
        if self.x == "step":
            yield series.step.astype(np.float64), values
        elif self.x == "episode" and run in self._episode_ends:
            # Environments side by side end several episodes at one step.
            ended = np.searchsorted(self._episode_ends[run], series.step, side="right")
            number = np.arange(1, len(values) + 1) if metric == "reward" else ended
            yield number.astype(np.float64), values
        elif self.x != "episode" and not np.isnan(series.wall_time).any():
            order = np.argsort(series.wall_time, kind="stable")
            start = series.wall_time[order[0]] if self.x == "relative" else 0.0
            yield series.wall_time[order] - start, values[order]
        else:
            message = f"{run} has no {self.needs} and is left out"
            warnings.warn(message, LogWarning, stacklevel=4)


def _smooth(values: Floats, smoothing: Smoothing) -> tuple[Floats, Floats]:
    """Line and rolling standard deviation, with a gap where the value itself is missing."""
    mean, std = rolling_mean_std(values, smoothing.window)
    line = ema(values, smoothing.ema_weight) if smoothing.ema_weight else mean
    missing = np.isnan(values)
    return np.where(missing, np.nan, line), np.where(missing, np.nan, std)


class _Line(NamedTuple):
    """One line of a curve table: whose it is, and its columns."""

    metric: str
    series: str
    x: Floats
    value: Floats
    low: Floats
    high: Floats
    raw: Floats
    n: NDArray[Any]


def _run_line(
    metric: str, label: str, x: Floats, values: Floats, smoothing: Smoothing, band: Band
) -> _Line:
    line, std = _smooth(values, smoothing)
    banded = band == "std" and smoothing.window > 1 and not smoothing.ema_weight
    std = std if banded else np.full(len(line), np.nan)
    shown_raw = places = np.arange(len(x))
    if len(x) > POINTS:
        shown_raw = downsample(x, values, POINTS // 2)
        places = np.union1d(shown_raw, downsample(x, line, POINTS // 2))
    raw = np.full(len(values), np.nan)
    if smoothing.window > 1 or smoothing.ema_weight > 0:
        raw[shown_raw] = values[shown_raw]
    columns = (x, line, line - std, line + std, raw, np.ones(len(x)))
    return _Line(metric, label, *(column[places] for column in columns))


def _group_line(metric: str, label: str, lines: list[tuple[Floats, Floats]], band: Band) -> _Line:
    grid = common_grid([x for x, _ in lines], POINTS)
    matrix = np.array([interpolate_onto(grid, x, y) for x, y in lines])
    mean, std, n = mean_std_over_runs(matrix)
    std = std if band == "std" else np.full(len(grid), np.nan)
    return _Line(metric, label, grid, mean, mean - std, mean + std, np.full(len(grid), np.nan), n)


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
    return si_axis(bool(values.abs().max() >= 10_000), **options)


def _tooltip(table: pd.DataFrame, x: str) -> list[alt.Tooltip]:
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
    return [*tooltip, alt.Tooltip("n:Q", title="runs (n)")]


def _horizontal_line(text: str, level: float) -> list[alt.Chart]:
    rule = alt.Chart(alt.InlineData(values=[{"level": level, "text": f"{text} {level:g}"}]))
    return [
        rule.mark_rule(color=theme.INK, strokeDash=[4, 4], strokeWidth=1.2).encode(y="level:Q"),
        rule.mark_text(align="right", baseline="bottom", dy=-3, color=theme.INK).encode(
            x=alt.value("width"), y="level:Q", text="text:N"
        ),
    ]
