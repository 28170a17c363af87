"""What the charts that compare algorithms share: the arrays they take, bands, bars and notes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tarslab.charts import theme
from tarslab.charts.curves import (
    columns_of,
    hover_points,
    legend_toggle,
    lone_points,
    si_axis,
    wheel_zoom,
)
from tarslab.errors import BadArgument
from tarslab.runs import Runs
from tarslab.runs.scores import AlgorithmArrays, final_scores
from tarslab.stats.scores import as_scores

Floats = NDArray[np.float64]
AlgorithmScores = Runs | Mapping[str, ArrayLike]

# Percentile intervals of the mean of one task hold the truth in about 75 of 100 experiments with
# 3 normal scores, in 85 with 5, in 88 with 10, in 93 with 30 (400 experiments, nominally 95);
# with 26 tasks in 90, 90 and 93 with 3, 5 and 10.
FEW_RUNS = 10

# No line is cut in half where it lies at the edge.
SHARES = alt.Scale(domain=[-0.015, 1.015], nice=False)
LOOSE = alt.Scale(zero=False, nice=False, padding=8)
TIGHT = alt.Scale(zero=False, nice=False)


def scores_of(scores: AlgorithmScores, dimensions: Literal[2, 3] = 2) -> dict[str, Floats]:
    """The array of each algorithm, all of as many tasks; a ``Runs`` is scored by the defaults."""
    scores = scored(scores)
    assert not isinstance(scores, Runs)
    if not scores:
        raise BadArgument("scores is empty: give {algorithm: array of shape (runs, tasks)}")
    arrays = {str(name): as_scores(given, f"scores[{name!r}]") for name, given in scores.items()}
    for name, array in arrays.items():
        if array.ndim != dimensions:
            wanted = "(runs, tasks)" if dimensions == 2 else "(runs, tasks, checkpoints)"
            raise BadArgument(f"scores[{name!r}] must have the shape {wanted}, not {array.shape}")
    tasks = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(tasks.values())) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in tasks.items())
        raise BadArgument(f"scores must be of the same tasks for every algorithm, not {listed}")
    return arrays


def scored(scores: AlgorithmScores) -> AlgorithmScores:
    """A ``Runs`` scored by the defaults; scores as they are."""
    return final_scores(scores) if isinstance(scores, Runs) else scores


def score_title(scores: AlgorithmScores) -> str:
    """What the numbers are, for an axis."""
    if isinstance(scores, Runs):
        return theme.title_of("reward")
    if isinstance(scores, AlgorithmArrays):
        return ("normalised " if scores.normalised else "") + theme.title_of(scores.metric)
    return "score"


def percent(confidence: float) -> str:
    """0.95 as 95 %."""
    return f"{100 * confidence:.6g} %"


def runs_and_tasks(arrays: Mapping[str, Floats]) -> str:
    """How much an interval stands on: ``5 runs of 1 task``."""
    numbers = sorted({len(array) for array in arrays.values()})
    tasks = next(iter(arrays.values())).shape[1]
    runs = counted(numbers[0], "run")
    if len(numbers) > 1:
        runs = f"{numbers[0]} to {numbers[-1]} runs"
    return f"{runs} of 1 task" if tasks == 1 else f"{runs} of each of {tasks} tasks"


def counted(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def bootstrap_note(
    arrays: Mapping[str, Floats], confidence: float, reps: int, *, pointwise: bool = False
) -> list[str]:
    """What the bands or bars are, and how little they mean where there are few runs."""
    fewest = min(len(array) for array in arrays.values())
    kind = f"{percent(confidence)} bootstrap intervals" + (", point by point" if pointwise else "")
    lines = [f"{runs_and_tasks(arrays)}; {kind} ({reps:,} replications)"]
    if fewest == 1:
        lines.append("An algorithm with one run has no interval: nothing is known of its spread")
    elif fewest < FEW_RUNS:
        lines.append(
            f"From {fewest} runs such intervals come out too narrow: the doubt is larger than shown"
        )
    return lines


def heading(lines: Iterable[str]) -> alt.Title:
    """Quiet lines above a chart."""
    return alt.Title(
        text=list(lines),
        fontSize=11,
        fontWeight="normal",
        color=theme.QUIET,
        lineHeight=15,
        anchor="start",
        frame="group",
        offset=8,
    )


class Axis(NamedTuple):
    """A column of a table, and how it is drawn."""

    column: str
    title: str
    scale: alt.Scale
    format: str | None = None

    def axis(self, values: "pd.Series[Any]") -> alt.Axis:
        """SI prefixes for large numbers where no format is set."""
        large = values.abs().max() >= 10_000
        return si_axis(large) if self.format is None else alt.Axis(format=self.format)


def banded_lines(
    table: pd.DataFrame,
    x: Axis,
    y: Axis,
    *,
    note: list[str],
    tooltip: list[alt.Tooltip],
    interpolate: Literal["linear", "step-after"] = "linear",
    labels: Mapping[str, str] | None = None,
) -> alt.LayerChart:
    """A line with a band for each algorithm, of a table with ``algorithm``, ``low`` and ``high``.

    A click on a legend entry hides or shows a line, drag pans, Shift and wheel zooms.
    """
    names = list(dict.fromkeys(table["algorithm"].astype(str)))
    numbers: list[Any] = [str(column) for column in table if column != "algorithm"]
    toggle = legend_toggle("algorithm", names)
    zoom = wheel_zoom()
    legend = _legend(names, labels or {})
    base = (
        alt.Chart(columns_of(table, ["algorithm"]))
        .transform_flatten(numbers)
        .transform_filter(toggle)
        .encode(
            x=alt.X(
                f"{x.column}:Q",
                title=x.title,
                axis=x.axis(table[x.column]),
                scale=x.scale,
            ),
            y=alt.Y(
                f"{y.column}:Q",
                title=y.title,
                axis=y.axis(table[y.column]),
                scale=y.scale,
            ),
            color=alt.Color("algorithm:N", scale=theme.colours(names), legend=legend),
        )
    )
    layers = []
    if table["low"].notna().any():
        opacity = min(0.15, 0.6 / len(names))
        band = base.mark_area(fillOpacity=opacity, aria=False, interpolate=interpolate, clip=True)
        layers.append(band.encode(y=alt.Y("low:Q", title=y.title), y2="high:Q"))
    line = base.mark_line(strokeWidth=1.8, interpolate=interpolate, clip=True)
    if len(names) > 1:
        dash = alt.StrokeDash("algorithm:N", scale=theme.dashes(names), legend=legend)
        line = line.encode(strokeDash=dash)
    layers.append(line)
    known = table[y.column].notna().groupby(table["algorithm"], sort=False).sum()
    if (known == 1).any():
        layers.append(lone_points(base, y.column, ["algorithm"]))
    layers.append(hover_points(base, len(table), tooltip))
    layers[0] = layers[0].add_params(toggle, zoom)
    return alt.LayerChart(
        layer=layers,
        width="container",
        title=heading(note),
        description=f"Line chart of {y.title} by {x.title}, {counted(len(names), 'algorithm')}: "
        + ", ".join(names[:12]),
    )


def interval_text(table: pd.DataFrame, form: str) -> list[alt.Tooltip]:
    """The tooltips of an estimate and its limits, where there are any."""
    tooltip = [alt.Tooltip("estimate:Q", title="estimate", format=form)]
    if table["low"].notna().any():
        tooltip += [
            alt.Tooltip("low:Q", title="low", format=form),
            alt.Tooltip("high:Q", title="high", format=form),
        ]
    return tooltip


def _legend(names: list[str], labels: Mapping[str, str]) -> alt.Legend | None:
    """In as many columns as fit; none for a single name that says nothing more than itself."""
    if len(names) == 1 and not labels:
        return None
    longest = max(len(labels.get(name, name)) for name in names)
    columns = max(1, min(4, theme.WIDTH // (40 + 7 * longest)))
    if not labels:
        return alt.Legend(columns=columns)
    return alt.Legend(
        columns=columns, labelExpr=f"{json.dumps(dict(labels))}[datum.label] || datum.label"
    )
