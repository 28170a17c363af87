"""Thresholds put to what was measured."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tarslab.chaos.load.histograms import Cells, Sums
from tarslab.chaos.load.recording import Series
from tarslab.chaos.load.thresholds import METRICS, Expression, Kind, Selector

# Metrics that an arrival which was dropped would have had a sample of.
OF_DROPPED = ("http_req_duration", "http_req_failed", "iteration_duration")


class Outcome(NamedTuple):
    """What came of a threshold."""

    value: float
    """Of its expression; times in milliseconds, NaN where nothing was measured."""
    held: bool
    held_at_worst: bool
    """Whether it would hold even if no arrival that was dropped had ever been answered."""


def evaluate(
    cells: Cells,
    series: Sequence[Series],
    selector: Selector,
    expression: Expression,
    seconds: float,
) -> Outcome:
    """A threshold over some seconds of a run.

    Without samples a counter is 0, and everything else is unknown: that does not hold.
    """
    sums = measured(cells, series, selector)
    kind = kind_of(series, selector, expression)
    if kind == "gauge":
        value = _last(cells, series, selector)
    else:
        value = _value(kind, expression, sums, seconds, 0.0)
    held = expression.holds(value)
    dropped = _dropped(cells, series, selector)
    if not dropped or expression.operator not in ("<", "<="):
        return Outcome(value, held, held)
    answered = measured(cells, series, selector, dropped=False)
    at_worst = _value(kind, expression, answered, seconds, dropped)
    return Outcome(value, held, held and expression.holds(at_worst))


def measured(
    cells: Cells, series: Sequence[Series], selector: Selector, *, dropped: bool = True
) -> Sums:
    """One group of all samples that are meant; with or without those of dropped arrivals."""
    rows = selected(cells, series, selector, dropped=dropped)
    return rows.grouped(np.zeros(len(rows), np.int64), 1)


def selected(
    cells: Cells, series: Sequence[Series], selector: Selector, *, dropped: bool = True
) -> Cells:
    """The rows of the series that are meant."""
    meant = np.zeros(len(series) + 1, bool)
    for number, of in enumerate(series):
        tags = dict(of.tags)
        meant[number] = selector.selects(of.metric, tags) and (dropped or "dropped" not in tags)
    return cells.where(meant[cells.series])


def kind_of(series: Sequence[Series], selector: Selector, expression: Expression) -> Kind:
    """Of a metric; where a flow has not used its own yet, what the expression can be about."""
    known = METRICS.get(selector.metric)
    if known is not None:
        return known
    seen = next((of.kind for of in series if of.metric == selector.metric), None)
    return seen or ("counter" if expression.method in ("count", "rate") else "trend")


def _value(
    kind: Kind, expression: Expression, sums: Sums, seconds: float, unanswered: float
) -> float:
    count, total = float(sums.count[0]) + unanswered, float(sums.total[0])
    if expression.method == "count":
        return total if kind == "counter" else count
    if kind == "counter":
        return total / seconds if seconds else float("nan")
    if not count:
        return float("nan")
    if kind == "rate":
        return (total + unanswered) / count
    if expression.method in ("p", "med"):
        quantile = float(sums.quantile_with(expression.level / 100, unanswered)[0])
        return quantile if quantile == float("inf") else quantile / 1e3
    if unanswered and expression.method in ("avg", "max"):
        return float("inf")
    of = {"avg": total / count, "min": float(sums.low[0]), "max": float(sums.high[0])}
    return of[expression.method] / 1e3


def _last(cells: Cells, series: Sequence[Series], selector: Selector) -> float:
    """A gauge as it was at the end; that of shards is theirs together."""
    rows = selected(cells, series, selector)
    if not len(rows):
        return float("nan")
    return float(rows.total[rows.second == rows.second.max()].sum())


def _dropped(cells: Cells, series: Sequence[Series], selector: Selector) -> float:
    if selector.metric not in OF_DROPPED:
        return 0.0
    of = Selector("dropped_iterations", selector.tags)
    return float(measured(cells, series, of).total[0])
