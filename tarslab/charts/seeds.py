"""Every run as one row of colours: which seeds learned, and when."""

import json
import math
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.charts import theme
from tarslab.charts.curves import columns_of, si_axis
from tarslab.charts.synthetic import says_so
from tarslab.errors import BadArgument
from tarslab.runs import Runs, Series

Order = Literal["value", "seed"]
Floats = NDArray[np.float64]

MOST_BINS = 500
FINAL_SHARE = 0.1
# Even steps to the eye, and lighter throughout, so that no kind of sight confuses two of them.
SCHEME: Literal["viridis"] = "viridis"
# Runs that leave so many times the usual range diverged, and do not stretch the colours.
DIVERGED = 1_000
NOT_FINITE = "NaN or infinite"


def seed_heatmap_data(
    runs: Runs, *, metric: str = "reward", order: Order = "value", bins: int = 200
) -> pd.DataFrame:
    """The cells of ``seed_heatmap`` that hold a point, row by row from the top.

    Returns
    -------
    DataFrame
        ``group`` (algorithm, with the environment where there are several), ``run``, ``seed``
        (missing where not known), ``step`` and ``step_end`` (the cell holds the points from the
        one up to, and without, the other), ``value`` (the mean of its finite points, NaN where
        none is finite), ``n`` (its points) and ``non_finite`` (how many of them are not finite).
    """
    if order not in get_args(Order):
        raise BadArgument(f"order must be {' or '.join(get_args(Order))}, not {order!r}")
    if not 1 <= bins <= MOST_BINS:
        raise BadArgument(f"bins must be from 1 to {MOST_BINS}, not {bins!r}")
    series = dict(runs.series(metric))
    edges = _edges(series.values(), bins)
    cells = [
        _cells(series[row.run], edges).assign(group=row.group, run=row.run, seed=row.seed)
        for row in _rows(runs, series, order)
    ]
    columns = ["group", "run", "seed", "step", "step_end", "value", "n", "non_finite"]
    return pd.concat(cells, ignore_index=True)[columns].astype({"seed": "Int64"})


@says_so
def seed_heatmap(
    runs: Runs, *, metric: str = "reward", order: Order = "value", bins: int = 200
) -> alt.LayerChart:
    """A row of colours a run, over steps: which seeds learned, which fell back, and when.

    A cell is the mean over a stretch of steps, the same stretches for all runs and no shorter
    than the runs usually go without a point. Where a run has no point its row is empty; a black
    dash marks cells whose points are all NaN or infinite. Colours run from the 1st to the 99th
    percentile of the runs' cells, diverged runs left out; the tooltip has the value itself.
    Environments share one scale: ``runs.select(env=...)`` where theirs differ.

    Parameters
    ----------
    runs
        Runs of which at least one has the metric; the others have no row.
    metric
        Any metric, default ``"reward"``.
    order
        Runs stand together by environment and algorithm, and among these from the highest final
        value down (``"value"``, default: the mean over the last tenth of a run's finite points)
        or by ``"seed"``.
    bins
        At most so many cells a row, from 1 to 500, default 200.

    Raises
    ------
    NotLogged
        No run has the metric.
    BadArgument
        ``order`` or ``bins`` is out of range.
    """
    table = seed_heatmap_data(runs, metric=metric, order=order, bins=bins)
    rows = list(dict.fromkeys(table["run"]))
    cells = _cell_encoding(table, rows, theme.title_of(metric))
    finite = np.isfinite(table["value"])
    layers = []
    if finite.any():
        layers.append(_coloured(cells, table[finite], theme.title_of(metric)))
    if not finite.all():
        layers.append(_dashed(cells))
    return alt.LayerChart(
        layer=layers + _group_marks(table, rows),
        width="container",
        height=alt.Step(22 if len(rows) <= 20 else 14),
        description=f"Heat map of {theme.title_of(metric)} by step, {len(rows)} runs from the top: "
        + ", ".join(rows[:12]),
    )


class _Row(NamedTuple):
    group: str
    run: str
    seed: int | None


def _rows(runs: Runs, series: dict[str, Series], order: Order) -> list[_Row]:
    table = runs.table[runs.table["run"].isin(list(series))].sort_values("run")
    table = table.assign(final=[-_final(series[run].value) for run in table["run"]])
    by_env = ["env"] if table["env"].nunique() > 1 else []
    first = "final" if order == "value" else "seed"
    table = table.sort_values([*by_env, "algo", first], kind="stable")
    return [
        _Row(
            group=" · ".join(row[name] for name in ("algo", *by_env) if pd.notna(row[name])),
            run=row["run"],
            seed=None if pd.isna(row["seed"]) else int(row["seed"]),
        )
        for row in table.to_dict("records")
    ]


def _final(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return -math.inf
    return float(finite[-math.ceil(FINAL_SHARE * len(finite)) :].mean())


def _edges(series: Iterable[Series], bins: int) -> NDArray[np.int64]:
    """Steps at which cells begin, and the one after the last step."""
    steps = [one.step for one in series]
    first, end = min(step[0] for step in steps), max(step[-1] for step in steps) + 1
    gaps = [np.quantile(np.diff(step), 0.95) for step in steps if len(step) > 1]
    usual = max(np.median(gaps), 1) if gaps else 1
    cells = int(np.clip((end - first) // usual, 1, bins))
    edges: NDArray[np.int64] = first + (end - first) * np.arange(cells + 1) // cells
    return edges


def _cells(series: Series, edges: NDArray[np.int64]) -> pd.DataFrame:
    place = np.searchsorted(edges, series.step, side="right") - 1
    finite = np.isfinite(series.value)
    n = np.bincount(place, minlength=len(edges) - 1)
    known = np.bincount(place[finite], minlength=len(n))
    total = np.bincount(place[finite], series.value[finite], minlength=len(n))
    held = np.flatnonzero(n)
    with np.errstate(invalid="ignore"):
        mean = total[held] / known[held]
    return pd.DataFrame(
        {
            "step": edges[held],
            "step_end": edges[held + 1],
            "value": mean,
            "n": n[held],
            "non_finite": (n - known)[held],
        }
    )


def _cell_encoding(table: pd.DataFrame, rows: list[str], title: str) -> alt.Chart:
    columns: list[str | alt.FieldName] = ["step", "step_end", "value", "n", "non_finite"]
    large = table["step_end"].max() >= 10_000
    steps = si_axis(large, tickCount=10, tickMinStep=1, labelSeparation=6)
    names = alt.Axis(labelLimit=240, ticks=False, domain=False)
    bands = alt.Scale(paddingInner=0.12, paddingOuter=0.06)
    return (
        alt.Chart(columns_of(table.drop(columns=["group", "seed"]), ["run"]))
        .transform_flatten(columns)
        .encode(
            x=alt.X("step:Q", title="step", axis=steps, scale=alt.Scale(nice=False, zero=False)),
            x2="step_end:Q",
            y=alt.Y("run:N", sort=rows, title=None, axis=names, scale=bands),
            tooltip=[
                alt.Tooltip("run:N", title="run"),
                alt.Tooltip("step:Q", title="from step", format=","),
                alt.Tooltip("step_end:Q", title="up to step", format=","),
                alt.Tooltip("value:Q", title=title, format=",.5~g"),
                alt.Tooltip("n:Q", title="points"),
                alt.Tooltip("non_finite:Q", title="of them NaN or infinite"),
            ],
        )
    )


def _coloured(cells: alt.Chart, table: pd.DataFrame, title: str) -> alt.Chart:
    colour = alt.Color(
        "value:Q",
        scale=alt.Scale(scheme=SCHEME, domain=_colour_limits(table), clamp=True),
        legend=alt.Legend(
            title=title, titleOrient="left", titleFontWeight="normal", titlePadding=8
        ),
    )
    # A cell reaches under its neighbour, where antialiasing would leave a seam.
    known = cells.transform_filter("isValid(datum.value)").mark_rect(x2Offset=0.6, clip=True)
    coloured: alt.Chart = known.encode(color=colour)
    return coloured


def _colour_limits(table: pd.DataFrame) -> list[float]:
    runs = table.groupby("run")["value"]
    lows, highs = runs.quantile(0.01), runs.quantile(0.99)
    low, high = lows.median(), highs.median()
    # Where most runs are flat, their height says how large the values are.
    far = DIVERGED * max(high - low, abs(low), 1.0)
    lows, highs = lows[lows >= low - far], highs[highs <= high + far]
    low, high = (float(f"{end:.4g}") for end in (lows.min(), highs.max()))
    return [low, high] if low < high else [low - 1, low + 1]


def _dashed(cells: alt.Chart) -> alt.Chart:
    scale = alt.Scale(domain=[NOT_FINITE], range=[theme.INK])
    dashes: alt.Chart = (
        cells.transform_filter("!isValid(datum.value)")
        .transform_calculate(mark=json.dumps(NOT_FINITE))
        .mark_rule(strokeWidth=3, clip=True)
        .encode(stroke=alt.Stroke("mark:N", scale=scale))
    )
    return dashes


def _group_marks(table: pd.DataFrame, rows: list[str]) -> list[alt.Chart]:
    """Lines between groups, and a group's name where its runs' own names do not say it."""
    runs = table.drop_duplicates("run")
    first = runs.drop_duplicates("group")
    if not 1 < len(first) < len(runs):
        return []
    unsaid = any(
        group.split(" · ")[0].lower() not in run.lower()
        for group, run in zip(runs["group"], runs["run"], strict=True)
    )
    records = [
        {"run": run, "group": group if unsaid else "", "below_another": run != rows[0]}
        for run, group in zip(first["run"], first["group"], strict=True)
    ]
    base = alt.Chart(alt.InlineData(values=records))
    line = (
        base.transform_filter("datum.below_another")
        .mark_rule(color=theme.QUIET, yOffset=-1.3)
        .encode(y=alt.Y("run:N", sort=rows, bandPosition=0))
    )
    name = base.mark_text(align="left", dx=8, color=theme.INK, fontSize=12).encode(
        x=alt.value("width"), y=alt.Y("run:N", sort=rows), text="group:N"
    )
    return [line, name] if unsaid else [line]
