"""What a search of several objectives found: the trials that no other trial dominates."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab import stats
from tarslab.charts import theme
from tarslab.charts.algorithms import counted, heading
from tarslab.charts.curves import legend_toggle, si_axis, wheel_zoom
from tarslab.charts.parallel import (
    across,
    fields_with_places,
    objective_axis,
    passes_through,
    plain_parameters,
    tick_labels,
    tooltip_of,
    view,
)
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import fields_of, most_points, seen
from tarslab.errors import BadArgument, NoTrials
from tarslab.studies import Study

Floats = NDArray[np.float64]
Objectives = Sequence[int | str]

# From the bottom of a picture to its top.
KINDS = ("infeasible", "dominated", "frontier")
COLOURS = (theme.PALETTE[1], theme.PALETTE[6], theme.PALETTE[0])
SHAPES = ("cross", "circle", "diamond")
SIZES = (36, 22, 70)
OPACITIES = (0.4, 0.45, 0.95)
LINE_OPACITIES = (0.35, 0.35, 0.8)
FADED = 0.04

# Points that fit into a page, in one panel and in all panels together.
MOST_IN_ONE = 3_000
MOST_IN_ALL = 5_500


class Objective(NamedTuple):
    """One of the objectives that are drawn."""

    name: str
    column: str
    """Its column of ``Study.trials``."""
    direction: str


class Front(NamedTuple):
    """What is drawn of a frontier and of the trials around it."""

    objectives: list[Objective]
    trials: pd.DataFrame
    """The rows of ``pareto_front_data`` that are drawn, those on top last."""
    views: list[tuple[float, float]]
    """From where to where each objective is shown."""
    note: list[str]


def pareto_front_data(study: Study, *, objectives: Objectives | None = None) -> pd.DataFrame:
    """The numbers behind ``pareto_front``, of all complete trials.

    Returns
    -------
    DataFrame
        ``number``, ``kind`` (frontier, dominated, or infeasible: against a constraint), and the
        columns of the objectives and hyperparameters as in ``Study.trials``.
    """
    chosen = chosen_objectives(study, objectives)
    columns = [one.column for one in chosen]
    finished = study.finished()
    on_it = stats.pareto_mask(
        finished[columns].to_numpy(np.float64), [one.direction for one in chosen]
    )
    complete = study.trials[study.trials["state"] == "COMPLETE"]
    kind = pd.Series("infeasible", index=complete.index, dtype="str")
    kind[finished.index] = np.where(on_it, "frontier", "dominated")
    table = complete[["number", *columns, *(f"params_{name}" for name in study.parameters)]].copy()
    table.insert(1, "kind", kind)
    return table


@says_so
def pareto_front(
    study: Study, *, objectives: Objectives | None = None, line: bool = False
) -> alt.LayerChart | alt.VConcatChart:
    """The trials that no other dominates, among all complete ones.

    Two objectives are a scatter plot: drag pans, Shift and wheel zooms. Of more there is a panel
    for every two, and a line a trial across all of them; a rectangle that is dragged in one panel
    keeps its trials strong in all, as does one over an axis among the lines. The frontier is that
    of all the objectives together, so that in a panel of two it is a cloud. A click on the legend
    hides or shows a kind of trials.

    Parameters
    ----------
    objectives
        Two or more by place or name, by default all; the frontier is that of the chosen ones.
    line
        Join the frontier of two objectives by steps, the border of what it dominates.

    Raises
    ------
    NoTrials
        No complete trial keeps its constraints, or none on the frontier has finite values.
    BadArgument
        There are fewer than two objectives, or one is unknown, or a line is asked for of more.
    """
    chosen = chosen_objectives(study, objectives)
    if len(chosen) == 2:
        front = drawn_front(study, chosen, MOST_IN_ONE)
        return _scatter(study, front, line)
    if line:
        raise BadArgument("line joins a frontier of two objectives: choose two by objectives=")
    panels = math.comb(len(chosen), 2) + 1
    return _matrix(study, drawn_front(study, chosen, MOST_IN_ALL // panels))


def chosen_objectives(
    study: Study, objectives: Objectives | None, fewest: int = 2
) -> list[Objective]:
    """The objectives by place or name, all by default; BadArgument where they are too few."""
    if len(study.directions) < 2:
        raise BadArgument(
            f"{study.name} has one objective, and so no frontier: draw it with trial_scores"
        )
    given = range(len(study.directions)) if objectives is None else objectives
    if isinstance(given, int | str):
        given = [given]
    columns = dict(map(study.objective, given))
    if len(columns) < fewest:
        raise BadArgument(
            f"objectives must be at least {fewest} different ones of "
            f"{', '.join(study.objectives)}, not {objectives!r}; trial_scores draws a single one"
        )
    names = dict(zip(study.value_columns, study.objectives, strict=True))
    return [Objective(names[column], column, aim) for column, aim in columns.items()]


def drawn_front(study: Study, chosen: list[Objective], most: int) -> Front:
    """At most so many trials, more only where the frontier alone has nearly as many."""
    table = pareto_front_data(study, objectives=[one.name for one in chosen])
    values = table[[one.column for one in chosen]].to_numpy(np.float64)
    finite = np.isfinite(values).all(axis=1)
    trials, values = table[finite], values[finite]
    on_it = (trials["kind"] == "frontier").to_numpy()
    if not on_it.any():
        raise NoTrials(f"{study.name}: no trial on the frontier has finite values")
    views = [view(column, column[on_it]) for column in values.T]
    low, high = np.transpose(views)
    places = (values - low) / (high - low)
    within = np.clip(places, 0, 1)
    drawn = _drawn(within, trials["kind"].to_numpy(), min(most, most_points(trials.shape[1])))
    rank = trials["kind"].map(KINDS.index).to_numpy()[drawn]
    note = [
        f"{on_it.sum():,} of {counted(len(table), 'complete trial')} on the frontier",
    ]
    if infeasible := int((table["kind"] == "infeasible").sum()):
        note[0] += f", {infeasible:,} against a constraint"
    if len(drawn) < len(trials):
        whole = on_it[drawn].sum() == on_it.sum()
        note.append(
            f"Drawn are {len(drawn):,}: "
            + ("the whole frontier, and of the others " if whole else "")
            + ("one in each cell of a grid" if len(chosen) == 2 else "an even choice")
        )
    if beyond := int((places != within).any(axis=1).sum()):
        note.append(f"{counted(beyond, 'trial')} beyond the view, far from the others")
    if left_out := int((~finite).sum()):
        note.append(f"{counted(left_out, 'trial')} with values that are not finite left out")
    plain = plain_parameters(study, trials.iloc[drawn[np.argsort(rank, kind="stable")]])
    return Front(chosen, plain, views, note)


def _drawn(places: Floats, kinds: Any, most: int) -> NDArray[np.int64]:
    """The frontier where it is not too large, and some of the others; or some of all."""
    rows = np.arange(len(places))
    if len(rows) <= most:
        return rows
    on_it = kinds == "frontier"
    kept = on_it if on_it.sum() <= most else np.zeros_like(on_it)
    left = max(most - int(kept.sum()), most // 4)
    if places.shape[1] == 2:
        return seen(*places.T, keep=kept, groups=kinds, most=left)
    # Along one objective, and with the ends of all: what lies at the border is of interest.
    others = rows[~kept][np.argsort(places[~kept, 0], kind="stable")]
    evenly = others[np.linspace(0, len(others) - 1, min(left, len(others))).astype(np.int64)]
    return np.unique(
        np.concatenate([rows[kept], evenly, places.argmin(axis=0), places.argmax(axis=0)])
    )


def _scatter(study: Study, front: Front, line: bool) -> alt.LayerChart:
    x, y = front.objectives
    fields = fields_of(front.trials)
    toggle = _toggle(front)
    zoom = wheel_zoom()
    base = (
        alt.Chart()
        .transform_filter(toggle)
        .encode(
            x=alt.X(**_axis(front, 0, f"{x.name} ({better(x)})", tickCount=10)),
            y=alt.Y(**_axis(front, 1, f"{y.name} ({better(y)})")),
        )
    )
    points = base.mark_point(filled=True, clip=True, aria=False).encode(
        **_look(front),
        opacity=alt.OpacityValue(**_of_kinds(OPACITIES)),
        tooltip=tooltip_of(study, fields, [*map(str, front.trials)]),
    )
    layers = [points.add_params(toggle, zoom)]
    if line:
        # Towards the worse side of x a point holds its level until the next better one.
        steps = base.transform_filter("datum.kind == 'frontier'").mark_line(
            interpolate="step-after" if x.direction == "minimize" else "step-before",
            color=COLOURS[-1],
            strokeWidth=1.5,
            clip=True,
            aria=False,
        )
        layers.insert(0, steps)
    return alt.LayerChart(
        data=fields.data,
        layer=layers,
        width="container",
        height=380,
        title=heading(front.note),
        description=f"Scatter plot of {y.name} by {x.name} of {study.name}: {front.note[0]}",
    )


def _matrix(study: Study, front: Front) -> alt.VConcatChart:
    axes = [
        objective_axis(
            f"{'↓' if one.direction == 'minimize' else '↑'} {one.name}",
            front.trials[one.column].to_numpy(np.float64),
            limits,
        )
        for one, limits in zip(front.objectives, front.views, strict=True)
    ]
    fields = fields_with_places(front.trials, axes, np.arange(len(front.trials)))
    tooltip = tooltip_of(study, fields, [*map(str, front.trials)])
    faint = {
        "test": {"not": {"and": [{"param": "brush"}, passes_through("axis_brush", len(axes))]}},
        "value": FADED,
    }
    counts = [max(1, int((front.trials["kind"] == kind).sum())) for kind in KINDS]
    of_lines = [
        min(most, max(0.06, 50 / count)) for most, count in zip(LINE_OPACITIES, counts, strict=True)
    ]
    toggle = _toggle(front)
    last = len(axes) - 1
    width = theme.WIDTH - 70
    points = (
        alt.Chart()
        .transform_filter(toggle)
        .mark_point(filled=True, clip=True, aria=False)
        .encode(
            **_look(front, share=0.5),
            opacity=alt.OpacityValue(**_of_kinds(OPACITIES, faint)),
            tooltip=tooltip,
        )
        .properties(width=(width - 12 * (last - 1)) // last, height=180 if last == 2 else 130)
    )
    rows = []
    for row in range(1, last + 1):
        panels = [
            points.encode(
                x=alt.X(**_outer(front, column, row == last)),
                y=alt.Y(**_outer(front, row, column == 0, minExtent=52, maxExtent=52)),
            ).properties(name=f"panel_{column}_{row}")
            for column in range(row)
        ]
        rows.append(panels)
    names = [panel.name for panels in rows for panel in panels]
    brush = alt.TopLevelSelectionParameter(name="brush", select="interval", views=names)
    rows[0][0] = rows[0][0].add_params(toggle)
    line = across(axes).transform_filter(toggle).mark_line(strokeWidth=1.2, aria=False)
    lines = line.encode(
        detail="number:Q",
        color=_look(front)["color"],
        opacity=alt.OpacityValue(**_of_kinds(of_lines, faint)),
        tooltip=tooltip,
    ).add_params(alt.selection_interval(name="axis_brush"))
    parallel = alt.layer(lines, *tick_labels(axes)).properties(width=width, height=220)
    chart: alt.VConcatChart = alt.VConcatChart(
        data=fields.data,
        vconcat=[*(alt.hconcat(*panels, spacing=12, bounds="flush") for panels in rows), parallel],
        params=[brush],
        spacing=12,
        title=heading([f"{front.note[0]}; arrows point to where it is better", *front.note[1:]]),
        description=f"Scatter matrix and parallel coordinates of {study.name}: {front.note[0]}; "
        + ", ".join(one.name for one in front.objectives),
    ).resolve_scale(color="shared", shape="shared")
    return chart


def _toggle(front: Front) -> alt.Parameter:
    return legend_toggle("kind", _present(front))


def _present(front: Front) -> list[str]:
    return [kind for kind in KINDS if (front.trials["kind"] == kind).any()]


def _look(front: Front, share: float = 1.0) -> dict[str, Any]:
    """Colour, shape and size of each kind."""
    shown = _present(front)
    legend = alt.Legend(symbolSize=90, symbolStrokeWidth=0)
    colours, shapes = (
        alt.Scale(domain=shown, range=[looks[KINDS.index(kind)] for kind in shown])
        for looks in (COLOURS, SHAPES)
    )
    return {
        "color": alt.Color("kind:N", scale=colours, legend=legend),
        "shape": alt.Shape("kind:N", scale=shapes, legend=legend),
        "size": alt.SizeValue(**_of_kinds([share * size for size in SIZES])),
    }


def _of_kinds(levels: Sequence[float], *before: dict[str, Any]) -> dict[str, Any]:
    """A level for each kind, where no condition before it holds."""
    *others, last = zip(KINDS, levels, strict=True)
    conditions = [{"test": f"datum.kind == '{kind}'", "value": level} for kind, level in others]
    return {"condition": [*before, *conditions], "value": last[1]}


def _axis(front: Front, place: int, title: str | None, **options: Any) -> dict[str, Any]:
    low, high = front.views[place]
    return {
        "shorthand": f"{front.objectives[place].column}:Q",
        "title": title,
        "scale": alt.Scale(domain=[low, high], nice=False, zero=False, padding=8),
        "axis": si_axis(max(abs(low), abs(high)) >= 10_000, **options),
    }


def _outer(front: Front, place: int, outer: bool, **options: Any) -> dict[str, Any]:
    """The axis of a panel, with words at the edge of the matrix alone."""
    one = front.objectives[place]
    # Along y the title is turned, and its arrow with it.
    title = f"{'←' if one.direction == 'minimize' else '→'} {one.name}"
    ends = options if outer else {}
    return _axis(
        front, place, title if outer else None, labels=outer, ticks=outer, tickCount=4, **ends
    )


def better(objective: Objective) -> str:
    return "lower is better" if objective.direction == "minimize" else "higher is better"
