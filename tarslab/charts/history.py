"""The value of every trial of a study, and the best so far."""

import math
from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tarslab.charts import theme
from tarslab.charts.algorithms import Floats, counted, heading
from tarslab.charts.curves import columns_of, legend_toggle, si_axis, wheel_zoom
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import (
    MOST_POINTS,
    STATE_COLOURS,
    fields_of,
    most_points,
    parameter_columns,
    seen,
    state_colours,
    state_shapes,
)
from tarslab.errors import BadArgument, NoTrials
from tarslab.stats import downsample
from tarslab.studies import Study

# Values that lie so many times the spread of the middle half outside of it leave the view. More
# on the good side, where a search that has found something is to be seen.
FAR_WORSE, FAR_BETTER = 30, 10_000
MARGIN = 0.08
# Of more points than these, small ones, no screen reader reads out each.
FEW = 1_000

ARROW_UP = "M0,-1.4L1,0H0.4V1.4H-0.4V0H-1Z"
ARROW_DOWN = "M0,1.4L1,0H0.4V-1.4H-0.4V0H-1Z"


def trial_scores_data(study: Study, *, objective: int | str = 0) -> pd.DataFrame:
    """The numbers behind ``trial_scores``, one row for each trial of the study.

    Returns
    -------
    DataFrame
        ``number``, ``state``, ``value`` (NaN where a trial has none, of a pruned trial the last
        that it reported), ``best`` (of the complete trials up to this one that keep their
        constraints; NaN before the first), ``duration`` (seconds), ``feasible`` where trials have
        constraints, and ``params_<name>``.
    """
    column, _ = study.objective(objective)
    if study.trials.empty:
        raise NoTrials(f"{study.name}: the study has no trials yet, so there are no values to draw")
    constrained = ["feasible"] if "feasible" in study.trials else []
    columns = ["number", "state", column, "duration", *constrained, *parameter_columns(study)]
    table = study.trials[columns].rename(columns={column: "value"})
    best = pd.Series(np.nan, index=table.index)
    if _counts(table).any():
        history = study.best_so_far(study.value_columns.index(column)).set_index("number")["best"]
        best = table["number"].map(history).astype(np.float64).ffill()
    table.insert(3, "best", best)
    return table


@says_so
def trial_scores(study: Study, *, objective: int | str = 0, log: bool = False) -> alt.LayerChart:
    """Every trial's value by its number, and the best so far as a line.

    Trials without a value stand at the bottom edge. Values so far off that the others would look
    alike are arrows at the edge; zooming out shows where they lie. A hollow mark breaks its
    constraints, and does not count as best. A click on a legend entry hides or shows a state, drag
    pans, Shift and wheel zooms.

    Parameters
    ----------
    study
        A study of any number of objectives.
    objective
        The place or the name of the one to draw, default the first.
    log
        Draw values on a logarithmic scale, default False.

    Raises
    ------
    NoTrials
        The study has no trials at all.
    BadArgument
        No such objective, or a value that is not positive with ``log=True``.
    """
    table = trial_scores_data(study, objective=objective)
    column, direction = study.objective(objective)
    name = study.objectives[study.value_columns.index(column)]
    if log:
        _require_positive(table)
    domain = robust_domain(table["value"], direction, log=log)
    table = table.assign(place=_places(table["value"], domain))
    improves = table["best"].notna() & (table["best"] != table["best"].shift())
    best = _thinned_steps(table[improves], table["number"].iloc[-1])
    drawn = table.iloc[_drawn(table, domain, best["number"], log)].drop(columns="best")

    states = list(dict.fromkeys(table["state"]))
    toggle = legend_toggle("state", states)
    zoom = wheel_zoom()
    number = alt.X(
        "number:Q",
        title="trial number",
        scale=whole_scale(table["number"]),
        axis=whole_axis(table["number"]),
    )
    value = alt.Y(
        "value:Q",
        title=f"{name} ({direction})",
        scale=alt.Scale(type="log" if log else "linear", domain=list(domain), nice=False),
        axis=_value_axis(table["value"], domain, log),
    )
    marks = _marks(drawn, toggle, states, name).encode(x=number)
    shape = alt.Shape("state:N", scale=state_shapes(states), legend=state_legend())
    inside = _with_value(marks, states, few=len(drawn) <= FEW)
    layers = [
        inside.encode(y=value, shape=shape),
        *_at_the_edges(marks, set(drawn["place"]), shape),
    ]
    if len(best):
        layers.append(_best_line(best).encode(x=number, y=value))
    layers[0] = layers[0].add_params(toggle, zoom)
    return alt.LayerChart(
        layer=layers,
        width="container",
        title=heading(_note(table, len(drawn), improves)),
        description=f"Scatter plot of {name} ({direction}) by trial number, "
        + counts_of(table["state"]),
    )


def robust_domain(values: ArrayLike, direction: str, *, log: bool = False) -> tuple[float, float]:
    """The limits of an axis of values, a margin included: of all, but for those far off.

    A value is far off where it would flatten the others: on the worse side 30 times the spread of
    the middle half of the values from it, on the better side 10,000 times. Where half of the values
    are the same, the spread is that of the middle 80 or 96 %; without any, nothing is far off.

    Parameters
    ----------
    values : array_like, shape (n,); those that are not finite are left out
    direction
        ``minimize`` or ``maximize``.
    log
        Spreads and margins on a logarithmic scale, default False; all values are positive.

    Returns
    -------
    low, high : float, low < high; 0 and 1 (with ``log`` 1 and 10) where no value is finite
    """
    at: Floats = np.asarray(values, np.float64)
    at = at[np.isfinite(at)]
    if not len(at):
        return (1, 10) if log else (0, 1)
    if log:
        at = np.log10(at)
    below, above = (FAR_BETTER, FAR_WORSE)[:: 1 if direction == "minimize" else -1]
    near = at
    for tail in (0.25, 0.1, 0.02):
        first = float(np.quantile(at, tail, method="higher"))
        last = float(np.quantile(at, 1 - tail, method="lower"))
        if first < last:
            spread = last - first
            near = at[(at >= first - below * spread) & (at <= last + above * spread)]
            break
    low, high = float(near.min()), float(near.max())
    margin = MARGIN * (high - low) or MARGIN * abs(high) or 1.0
    low, high = low - margin, high + margin
    return (10**low, 10**high) if log else (low, high)


def state_legend(**options: Any) -> alt.Legend:
    """A legend of states in full colour, with symbols of the size of marks."""
    return alt.Legend(symbolSize=90, symbolOpacity=1, columns=5, **options)


def whole_scale(numbers: "pd.Series[int]") -> alt.Scale:
    """From the first to the last, whatever of it the legend hides."""
    domain = [int(numbers.min()), int(numbers.max())]
    return alt.Scale(domain=domain, nice=False, zero=False, padding=8)


def whole_axis(numbers: "pd.Series[int]") -> alt.Axis:
    """An axis of whole numbers; between few of them Vega would write halves."""
    low, high = int(numbers.min()), int(numbers.max())
    each = {"values": list(range(low, high + 1)), "format": "d"} if high - low < 10 else {}
    return si_axis(high >= 10_000, tickMinStep=1, **each)


def counts_of(states: "pd.Series[str]") -> str:
    """How many trials there are in each state: ``3 trials: 2 complete, 1 running``."""
    counts = states.value_counts()
    listed = (f"{counts[state]:,} {state.lower()}" for state in STATE_COLOURS if state in counts)
    return f"{counted(len(states), 'trial')}: {', '.join(listed)}"


def _counts(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which trials count for the best: as in ``Study.finished``."""
    complete = table["state"] == "COMPLETE"
    return complete & table["feasible"] if "feasible" in table else complete


def _require_positive(table: pd.DataFrame) -> None:
    wrong = table[table["value"] <= 0]
    if len(wrong):
        first = wrong.iloc[0]
        raise BadArgument(
            f"log=True needs values above 0, and trial {first['number']} has {first['value']:g}; "
            "leave log out"
        )


def _value_axis(values: "pd.Series[float]", domain: tuple[float, float], log: bool) -> alt.Axis:
    if not np.isfinite(values).any():
        return alt.Axis(labels=False, ticks=False, grid=False)
    if not log:
        return si_axis(max(map(abs, domain)) >= 10_000)
    label = "format(datum.value, datum.value < 1000 ? '~g' : '~s')"
    low, high = np.log10(domain)
    powers = range(math.ceil(low), math.floor(high) + 1)
    # Where there are none or one, Vega chooses.
    if len(powers) < 2:
        return alt.Axis(labelExpr=label, tickCount=6)
    return alt.Axis(labelExpr=label, values=[10.0**power for power in powers])


def _places(values: "pd.Series[float]", domain: tuple[float, float]) -> NDArray[np.str_]:
    low, high = domain
    return np.select(
        [values.isna(), values < low, values > high], ["none", "below", "above"], "inside"
    )


def _thinned_steps(improvements: pd.DataFrame, last: int) -> pd.DataFrame:
    """The corners of the best-so-far line, which goes on to the last trial."""
    steps = improvements[["number", "best"]]
    if len(steps) > MOST_POINTS:
        steps = steps.iloc[downsample(steps["number"], steps["best"], MOST_POINTS)]
    if steps.empty or steps["number"].iloc[-1] == last:
        return steps
    return pd.concat([steps, steps.iloc[-1:].assign(number=last)], ignore_index=True)


def _drawn(
    table: pd.DataFrame, domain: tuple[float, float], best: Iterable[int], log: bool
) -> NDArray[np.int64]:
    """Which trials to draw: those that improve on the best, and the others that would be seen."""
    at = table["value"].fillna(domain[0]).clip(*domain).to_numpy(np.float64)
    keep = table["number"].isin(list(best)) & table["value"].notna()
    # Of trials in their order the first of each cell would be at its left edge, a stripe.
    shuffled = np.random.default_rng(0).permutation(len(table))
    chosen = seen(
        table["number"].to_numpy()[shuffled],
        (np.log10(at) if log else at)[shuffled],
        keep=keep.to_numpy()[shuffled],
        groups=(table["state"] + table["place"]).to_numpy()[shuffled],
        most=most_points(table.shape[1]),
    )
    drawn: NDArray[np.int64] = np.sort(shuffled[chosen])
    return drawn


def _marks(
    drawn: pd.DataFrame, toggle: alt.Parameter, states: Iterable[str], name: str
) -> alt.Chart:
    fields = fields_of(drawn)
    parameters = [name for name in map(str, drawn) if name.startswith("params_")]
    tooltip = [
        alt.Tooltip("number:Q", title="trial", format="d"),
        alt.Tooltip("state:N", title="state"),
        alt.Tooltip("value:Q", title=name, format=",.5~g"),
        alt.Tooltip("duration:Q", title="duration (s)", format=",.3~f"),
        *fields.tooltip(["feasible"] if "feasible" in drawn else []),
        *fields.tooltip(parameters),
    ]
    marks: alt.Chart = (
        alt.Chart(fields.data)
        .transform_filter(toggle)
        .encode(
            color=alt.Color("state:N", scale=state_colours(states), legend=state_legend()),
            tooltip=tooltip,
        )
    )
    return marks


def _with_value(marks: alt.Chart, states: Iterable[str], *, few: bool) -> alt.Chart:
    """All trials with a value; those beyond the view show when a reader zooms out."""
    size = 45 if few else 20
    hollow = alt.when("datum.feasible === false").then(alt.value(0)).otherwise(alt.value(1))
    points: alt.Chart = (
        marks.transform_filter("datum.place != 'none'")
        .mark_point(filled=True, size=size, opacity=0.8, strokeWidth=1.2, clip=True, aria=few)
        .encode(
            stroke=alt.Stroke("state:N", scale=state_colours(states), legend=state_legend()),
            fillOpacity=hollow,
        )
    )
    return points


def _at_the_edges(marks: alt.Chart, places: set[str], shape: alt.Shape) -> list[alt.Chart]:
    """Trials without a value, and arrows to those whose value lies beyond the view."""
    layers = []
    if "none" in places:
        without = marks.transform_filter("datum.place == 'none'").mark_point(
            filled=True, size=45, opacity=0.8, yOffset=-5
        )
        layers.append(without.encode(y=alt.value("height"), shape=shape))
    for place, arrow, at, offset in (
        ("above", ARROW_UP, 0, 8),
        ("below", ARROW_DOWN, "height", -18 if layers else -8),
    ):
        if place in places:
            beyond = marks.transform_filter(f"datum.place == '{place}'").mark_point(
                filled=True, shape=arrow, size=60, opacity=1, yOffset=offset
            )
            layers.append(beyond.encode(y=alt.value(at)))
    return layers


def _best_line(best: pd.DataFrame) -> alt.Chart:
    line: alt.Chart = (
        alt.Chart(columns_of(best.rename(columns={"best": "value"}).assign(line="best"), ["line"]))
        .transform_flatten(["number", "value"])
        .mark_line(
            interpolate="step-after", color=theme.INK, strokeWidth=1.6, clip=True, aria=False
        )
    )
    return line


def _note(table: pd.DataFrame, drawn: int, improves: "pd.Series[bool]") -> list[str]:
    lines = [counts_of(table["state"])]
    if improves.any():
        best = table[improves].iloc[-1]
        lines[0] += f"; line: best so far, {best['best']:.5g} in trial {best['number']}"
    valued, where = table["value"].notna(), table["place"]
    beyond = table["value"][where.isin(["above", "below"])]
    edges, looks = [], []
    if not valued.all():
        edges.append(f"{counted(int((~valued).sum()), 'trial')} without a value at the bottom edge")
    if len(beyond):
        farthest = beyond.iloc[int(beyond.abs().argmax())]
        edges.append(f"arrows: {len(beyond):,} far beyond the view, one of {farthest:.3g}")
    if (valued & (table["state"] == "PRUNED")).any():
        looks.append("pruned trials stand at the last value that they reported")
    if "feasible" in table and (valued & ~table["feasible"]).any():
        looks.append("hollow: breaks its constraints")
    lines += ["; ".join(parts) for parts in (edges, looks) if parts]
    if drawn < len(table):
        lines.append(
            f"{drawn:,} of {len(table):,} trials are drawn, the others lie beneath them; the line "
            "is that of all"
        )
    return lines
