"""Trials as lines across their hyperparameters, and the parallel axes for that."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import IntDistribution

from tarslab.charts import theme
from tarslab.charts.algorithms import counted, heading
from tarslab.charts.bars import bar_records
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import (
    Fields,
    categories,
    fields_of,
    is_log,
    is_numeric,
    parameter_columns,
)
from tarslab.errors import BadArgument, NoTrials
from tarslab.studies import Study

Floats = NDArray[np.float64]

# Lines that can be told apart, and their corners on the axes that fit into a page.
MOST_LINES = 1_000
MOST_CORNERS = 8_000
MOST_TICKS = 16
# Even steps to the eye, and lighter throughout.
SCHEME: Literal["viridis"] = "viridis"
# Values that lie so many times the usual range away from it would flatten all others.
FAR = 2.0


class ParallelAxis(NamedTuple):
    """One of several parallel axes."""

    title: str
    positions: Floats
    """Where each row lies, from 0 at the bottom to 1, NaN where it has no value; shape (n,)."""
    ticks: list[tuple[float, str]]
    """Positions and their labels."""


class ParallelCoordinates(NamedTuple):
    """The numbers behind ``parallel_coordinates``."""

    trials: pd.DataFrame
    """One row a trial: ``number``, ``params_<name>`` and the column of the objective."""
    positions: pd.DataFrame
    """Where these rows cross the axes, from 0 to 1, under the names of the columns."""
    ticks: pd.DataFrame
    """``axis`` (a column of ``positions``), ``position`` and ``label``."""


def parallel_coordinates_data(
    study: Study, *, params: Sequence[str] | None = None, objective: int | str = 0
) -> ParallelCoordinates:
    """The numbers behind ``parallel_coordinates``, of all complete trials."""
    trials, axes = _trials_and_axes(study, params, objective)
    ticks = [(name, *tick) for name, axis in axes.items() for tick in axis.ticks]
    return ParallelCoordinates(
        trials,
        pd.DataFrame({name: axis.positions for name, axis in axes.items()}, index=trials.index),
        pd.DataFrame(ticks, columns=["axis", "position", "label"]),
    )


@says_so
def parallel_coordinates(
    study: Study, *, params: Sequence[str] | None = None, objective: int | str = 0
) -> alt.LayerChart:
    """Every complete trial as a line across its hyperparameters to the objective at the right.

    The darker a line the better, and the better ones lie on top. An axis spans what was searched,
    logarithmic where the search was; a trial without a hyperparameter leaves a gap there. The
    pointer picks out a trial, and a rectangle dragged over an axis those that pass through it.

    Parameters
    ----------
    params
        The hyperparameters to draw, in this order; by default all, at the left those that the
        fewest trials have, so that gaps are far from the objective.
    objective
        Its place or name.

    Raises
    ------
    NoTrials
        No complete trial has a finite value.
    BadArgument
        A hyperparameter or the objective is unknown, or there are no hyperparameters.

    References
    ----------
    Inselberg, The plane with parallel coordinates, The Visual Computer 1 (1985) 69.
    """
    trials, named_axes = _trials_and_axes(study, params, objective)
    axes = list(named_axes.values())
    column, direction = study.objective(objective)
    sign = 1 if direction == "minimize" else -1
    values = trials[column].to_numpy(np.float64)
    # From the worst to the best, of equals the first last: what comes later lies on top.
    order = np.lexsort((-trials["number"].to_numpy(), -sign * values))
    drawn = order[_lines(len(order), len(axes))]
    best = int(trials["number"].iloc[order[-1]])
    shown = trials.iloc[drawn]
    fields = fields_with_places(shown.assign(said=_said(shown)), axes, drawn)

    is_best = f"datum.number == {best}"
    scale = alt.Scale(
        scheme=SCHEME, domain=_colour_limits(sign * values, sign), clamp=True, reverse=sign < 0
    )
    base = across(axes).encode(
        opacity=alt.when(f"!({passes_through('brush', len(axes))})")
        .then(alt.value(0.03))
        .when(is_best)
        .then(alt.value(1))
        .otherwise(alt.value(min(0.85, max(0.2, 60 / len(drawn))))),
        stroke=alt.condition(
            is_best,
            alt.value(theme.PALETTE[1]),
            alt.Stroke(fields.names[column], scale=scale, legend=_legend(study, column, sign)),
        ),
    )
    line = base.mark_line(aria=False).encode(
        detail="number:Q",
        strokeWidth=alt.condition(is_best, alt.value(3), alt.value(1.3)),
    )
    layers = [line.add_params(alt.selection_interval(name="brush"))]
    if _has_lone(axes, drawn):
        # A value between two gaps, of which a line shows nothing.
        lone = base.transform_filter(
            "!isValid(datum.at[datum.axis - 1]) && !isValid(datum.at[datum.axis + 1])"
        )
        layers.append(lone.mark_point(size=4, strokeWidth=2.5, aria=False))
    tooltip = tooltip_of(study, fields, ["number", column, *list(named_axes)[:-1]])
    layers += [*tick_labels(axes), *_pointed_at(axes, tooltip)]
    return alt.LayerChart(
        data=fields.data,
        layer=layers,
        width="container",
        title=heading(_note(study, len(trials), len(drawn), best)),
        description=f"Parallel coordinates of {counted(len(trials), 'trial')} of {study.name}: "
        + ", ".join(axis.title for axis in axes),
    )


def view(values: Floats, keep: Floats) -> tuple[float, float]:
    """From where to where an axis shows these values: all but few that lie far away.

    ``keep`` lies within; what is not finite does not count.
    """
    finite, kept = values[np.isfinite(values)], keep[np.isfinite(keep)]
    usual = np.concatenate([np.quantile(finite, (0.05, 0.95)), kept])
    far = FAR * (usual.max() - usual.min()) or math.inf
    near = finite[(finite >= usual.min() - far) & (finite <= usual.max() + far)]
    low, high = float(near.min()), float(near.max())
    room = 0.0 if low < high else abs(low) / 10 or 1.0
    return low - room, high + room


def objective_axis(title: str, values: Floats, limits: tuple[float, float]) -> ParallelAxis:
    """An axis of an objective; what lies beyond its limits stands at its end, which says so."""
    low, high = limits
    shown = _even(low, high)
    finite = values[np.isfinite(values)]
    below, above = bool(finite.min() < low), bool(finite.max() > high)
    if below:
        shown = [low, *(tick for tick in shown if tick > low + (high - low) / 10)]
    if above:
        shown = [*(tick for tick in shown if tick < high - (high - low) / 10), high]
    labels = labels_of(shown)
    if below:
        labels[0] = f"≤ {labels[0]}"
    if above:
        labels[-1] = f"≥ {labels[-1]}"
    ticks = [
        ((tick - low) / (high - low), label) for tick, label in zip(shown, labels, strict=True)
    ]
    positions = np.clip((values - low) / (high - low), 0, 1)
    return ParallelAxis(title, np.where(np.isfinite(values), positions, np.nan), ticks)


def plain_parameters(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``study.trials`` with numbers as floats and categories as words, for Vega."""
    plain: dict[str, Any] = {}
    for name, distribution in study.parameters.items():
        column = f"params_{name}"
        if is_numeric(distribution):
            plain[column] = table[column].to_numpy(np.float64, na_value=np.nan)
        else:
            # A category may be None, and then only the trial itself knows whether it has one.
            held = [study.frozen[row].params for row in table.index]
            words = [str(cells[name]) if name in cells else None for cells in held]
            plain[column] = pd.Series(words, index=table.index, dtype="object")
    return table.assign(**plain)


def fields_with_places(
    table: pd.DataFrame, axes: Sequence[ParallelAxis], rows: NDArray[np.int64]
) -> Fields:
    """The fields of a table that holds these rows of the axes, with its places on them: ``at``."""
    places = np.stack([axis.positions[rows] for axis in axes], axis=1).round(4)
    at = [[None if math.isnan(place) else place for place in row] for row in places.tolist()]
    return fields_of(table.assign(at=pd.Series(at, index=table.index)))


def across(axes: Sequence[ParallelAxis], *more: str) -> alt.Chart:
    """A chart of a record's places on all axes, unfolded: ``axis`` (0, 1, ...), ``position``.

    ``more`` are other fields of as many parts.
    """
    chart: alt.Chart = (
        alt.Chart()
        .transform_calculate(places=f"sequence({len(axes)})")
        .transform_flatten(["places", "at", *more], as_=["axis", "position", *more])
        .encode(x=_x(axes), y=_y())
    )
    return chart


def passes_through(brush: str, axes: int) -> str:
    """An expression: whether a record is within a rectangle on each axis that this covers."""
    within = (
        f"(!inrange({axis}, {brush}.axis) || "
        f"isValid(datum.at[{axis}]) && inrange(datum.at[{axis}], {brush}.position))"
        for axis in range(axes)
    )
    return f"!isValid({brush}.position) || {' && '.join(within)}"


def tick_labels(axes: Sequence[ParallelAxis]) -> list[alt.Chart]:
    """The labels beside each axis, legible above lines."""
    rows = [
        {"axis": place, "position": position, "label": label}
        for place, axis in enumerate(axes)
        for position, label in axis.ticks
    ]
    base = alt.Chart(bar_records(pd.DataFrame(rows))).encode(x=_x(axes), y=_y(), text="label:N")
    room = max(30, theme.WIDTH // len(axes) - 14)
    look: dict[str, Any] = {"align": "left", "dx": 5, "fontSize": 10.5, "limit": room}
    halo = base.mark_text(stroke="white", strokeWidth=3, strokeJoin="round", aria=False, **look)
    return [halo, base.mark_text(color=theme.INK, **look)]


def tooltip_of(study: Study, fields: Fields, columns: Sequence[str]) -> list[alt.Tooltip]:
    """The lines of a tooltip, objectives by their own names."""
    names = {"number": "trial", **dict(zip(study.value_columns, study.objectives, strict=True))}
    lines = fields.tooltip(columns)
    for line, column in zip(lines, columns, strict=True):
        if column in names:
            line["title"] = names[column]
        if column == "number":
            line["format"] = "d"
    return lines


def labels_of(ticks: Sequence[float]) -> list[str]:
    """Numbers for a narrow place: ``1e5`` as ``100k``, all of an axis alike."""
    large = max(map(abs, ticks)) >= 10_000
    return [_label(tick, large).replace("-", "−") for tick in ticks]


def _trials_and_axes(
    study: Study, params: Sequence[str] | None, objective: int | str
) -> tuple[pd.DataFrame, dict[str, ParallelAxis]]:
    """The trials with a finite value, and their axes by column: parameters, then the objective."""
    column, direction = study.objective(objective)
    chosen = list(dict.fromkeys(parameter_columns(study, params)))
    if not chosen:
        listed = ", ".join(study.parameters)
        raise BadArgument(
            f"params is empty: leave it out, or give some of {listed}"
            if listed
            else f"{study.name} has no hyperparameters that could be drawn"
        )
    finished = study.finished()
    trials = plain_parameters(study, finished[np.isfinite(finished[column])])
    if trials.empty:
        raise NoTrials(f"{study.name}: no complete trial has a finite {column}")
    if params is None:
        chosen.sort(key=lambda name: len(trials[name].dropna()))
    axes = {name: _parameter_axis(study, name, trials) for name in chosen}
    values = trials[column].to_numpy(np.float64)
    best = values.min() if direction == "minimize" else values.max()
    title = study.objectives[study.value_columns.index(column)]
    axes[column] = objective_axis(title, values, view(values, np.array([best])))
    return trials[["number", *axes]], axes


def _parameter_axis(study: Study, column: str, trials: pd.DataFrame) -> ParallelAxis:
    name = column.removeprefix("params_")
    distribution: Any = study.parameters[name]
    if not is_numeric(distribution):
        words = categories(distribution)
        places = [0.5] if len(words) == 1 else np.linspace(0, 1, len(words)).tolist()
        held = [study.frozen[row].params for row in trials.index]
        positions = [
            places[distribution.to_internal_repr(cells[name])] if name in cells else math.nan
            for cells in held
        ]
        ticks = list(zip(places, words, strict=True))
        return ParallelAxis(name, np.array(positions), ticks[:: _every(len(ticks))])
    values = trials[column].to_numpy(np.float64)
    # Wider than the last range that was searched, where an earlier one was another.
    low = float(np.nanmin([distribution.low, *values]))
    high = float(np.nanmax([distribution.high, *values]))
    if low == high:
        return ParallelAxis(
            name, np.where(np.isnan(values), np.nan, 0.5), [(0.5, labels_of([low])[0])]
        )
    log = is_log(distribution)
    whole = isinstance(distribution, IntDistribution)
    shown = _even_logs(low, high) if log else _even(low, high, least=1.0 if whole else 0.0)
    scaled: Any = np.log if log else np.asarray
    start, end = scaled([low, high])
    at = (scaled(shown) - start) / (end - start)
    return ParallelAxis(
        name,
        (scaled(values) - start) / (end - start),
        list(zip(at.tolist(), labels_of(shown), strict=True)),
    )


def _label(value: float, large: bool) -> str:
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if large and size <= abs(value) < 1e12:
            return f"{value / size:.4g}{prefix}"
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _even(low: float, high: float, *, least: float = 0.0) -> list[float]:
    """Some eight round numbers from ``low`` to ``high``, a step of at least ``least`` apart."""
    size = 10.0 ** math.floor(math.log10((high - low) / 8))
    step = next(size * by for by in (1, 2, 5, 10, 20) if size * by * 8.001 >= high - low)
    step = max(step, least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def _even_logs(low: float, high: float) -> list[float]:
    """Powers of ten; where there are hardly any, numbers between them too."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5), range(1, 10)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) >= 3:
            return ticks[:: _every(len(ticks))]
    return [low, high]


def _every(ticks: int) -> int:
    return -(-ticks // MOST_TICKS)


def _lines(trials: int, axes: int) -> NDArray[np.int64]:
    """Which trials, sorted from the worst, are drawn: the best ones, and some throughout."""
    most = min(MOST_LINES, MOST_CORNERS // axes)
    best = min(trials, most // 5)
    others = min(trials - best, most - best)
    evenly = np.linspace(0, trials - best - 1, others).round().astype(np.int64)
    return np.concatenate([evenly, np.arange(trials - best, trials)])


def _has_lone(axes: Iterable[ParallelAxis], rows: NDArray[np.int64]) -> bool:
    known = np.stack([~np.isnan(axis.positions[rows]) for axis in axes])
    beside = np.pad(known, ((1, 1), (0, 0)))
    return bool((known & ~beside[:-2] & ~beside[2:]).any())


def _pointed_at(axes: Sequence[ParallelAxis], tooltip: list[alt.Tooltip]) -> list[alt.Chart]:
    """The line under the pointer with its values, and all lines broad and invisible to be found.

    A tooltip alone would show only where a line has a corner.
    """
    hovered = alt.selection_point(
        name="hovered", fields=["number"], on="pointerover", clear="pointerout", empty=False
    )
    picked = across(axes, "said").transform_filter(hovered)
    line = picked.mark_line(color=theme.INK, strokeWidth=3, aria=False)
    words = picked.transform_filter("isValid(datum.position)").encode(text="said:N")
    look: dict[str, Any] = {"align": "right", "dx": -6, "fontSize": 11, "fontWeight": "bold"}
    halo = words.mark_text(stroke="white", strokeWidth=4, strokeJoin="round", aria=False, **look)
    broad = across(axes).mark_line(strokeWidth=9, opacity=0, aria=False)
    return [
        line.encode(detail="number:Q"),
        halo,
        words.mark_text(color=theme.INK, aria=False, **look),
        broad.encode(detail="number:Q", tooltip=tooltip).add_params(hovered),
    ]


def _said(trials: pd.DataFrame) -> "pd.Series[Any]":
    """What is written beside the corners of the line under the pointer."""
    rows = [
        [_label(value, large=False) if isinstance(value, float) else value or "" for value in row]
        for row in trials.drop(columns="number").itertuples(index=False, name=None)
    ]
    for row, number in zip(rows, trials["number"], strict=True):
        row[-1] = f"trial {number}: {row[-1]}"
    return pd.Series(rows, index=trials.index)


def _colour_limits(losses: Floats, sign: int) -> list[float]:
    """From the best value to where the worst tenth begins, which a search soon leaves behind."""
    limits = sorted(sign * np.array([losses.min(), np.quantile(losses, 0.9)]))
    low, high = (float(f"{limit:.9g}") for limit in limits)
    return [low, high] if low < high else [low - 1, low + 1]


def _legend(study: Study, column: str, sign: int) -> alt.Legend:
    name = study.objectives[study.value_columns.index(column)]
    return alt.Legend(
        title=f"{name} ({'lower' if sign > 0 else 'higher'} is better)",
        titleOrient="left",
        titleFontWeight="normal",
        titlePadding=8,
        type="gradient",
        gradientOpacity=1,
    )


def _note(study: Study, trials: int, drawn: int, best: int) -> list[str]:
    kind = "feasible trial" if "feasible" in study.trials else "complete trial"
    lines = [
        f"{counted(trials, kind)}; the best, trial {best}, is orange; colours run from its value "
        "to where the worst tenth begins"
    ]
    if drawn < trials:
        lines.append(
            f"Drawn are {drawn:,} of them: the best {drawn // 5:,} and an even choice of the others"
        )
    if left_out := len(study.finished()) - trials:
        lines.append(f"{counted(left_out, 'trial')} without a finite value left out")
    return lines


def _x(axes: Sequence[ParallelAxis]) -> alt.X:
    titles = [axis.title for axis in axes]
    slanted = max(map(len, titles)) * 6.2 > theme.WIDTH / len(axes)
    pixel = (len(axes) - 1) / (theme.WIDTH - 100)
    return alt.X(
        "axis:Q",
        title=None,
        scale=alt.Scale(domain=[-45 * pixel, len(axes) - 1 + 55 * pixel], nice=False, zero=False),
        axis=alt.Axis(
            values=list(range(len(axes))),
            labelExpr=f"{json.dumps(titles)}[datum.value]",
            labelColor=theme.INK,
            labelFontSize=12,
            labelOverlap=False,
            labelLimit=180,
            labelAngle=-20 if slanted else 0,
            orient="top",
            domain=False,
            ticks=False,
            gridColor="#999999",
        ),
    )


def _y() -> alt.Y:
    scale = alt.Scale(domain=[-0.04, 1.04], nice=False, zero=False)
    return alt.Y("position:Q", axis=None, scale=scale)
