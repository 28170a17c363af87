"""A study in panels that know of one another: what is brushed in one stands out in all."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts.algorithms import counted, heading
from tarslab.charts.curves import si_axis
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import (
    MOST_POINTS,
    Fields,
    categories,
    fields_of,
    is_log,
    parameter_columns,
    seen,
    state_colours,
    state_shapes,
    title_of,
)
from tarslab.errors import NoTrials
from tarslab.studies import Study

BRUSH = "brush"
WIDE, NARROW, HEIGHT, SMALL = 670, 200, 230, 130
# Panels of hyperparameters beside those of the objectives.
PANELS = 6
COLUMNS = 3
# Of more points than these no screen reader reads out each.
FEW = 200


class LinkedTrials(NamedTuple):
    """The trials that ``linked_trials`` draws from, and what they are called there."""

    table: pd.DataFrame
    """``number``, ``state``, the objectives' columns and ``params_<name>``; of every trial that has
    a value of the first objective."""
    fields: Mapping[str, str]
    """From each column to its field in the chart, as a selection names it."""


def linked_trials_data(
    study: Study,
    *,
    objectives: Sequence[int | str] = (0,),
    params: Sequence[str] | None = None,
    numbers: Sequence[int] | None = None,
) -> LinkedTrials:
    """The trials behind ``linked_trials``."""
    values = [study.objective(objective)[0] for objective in objectives]
    parameters = parameter_columns(study, params)
    table = study.trials[["number", "state", *values, *parameters]]
    if numbers is not None:
        table = table[table["number"].isin(list(numbers))]
    table = table[np.isfinite(table[values[0]])].reset_index(drop=True)
    names = fields_of(table.head(0)).names
    return LinkedTrials(table, {column: name.partition(":")[0] for column, name in names.items()})


@says_so
def linked_trials(
    study: Study,
    *,
    objectives: Sequence[int | str] = (0,),
    params: Sequence[str] | None = None,
    numbers: Sequence[int] | None = None,
) -> alt.VConcatChart:
    """Values by trial, the objectives against each other, and against hyperparameters, linked.

    A box drawn in any panel (drag) marks the trials in it in all of them; a double click lets all
    stand out again. Of many trials the frontier is drawn, and of the others a choice spread over
    all that they cover.

    Parameters
    ----------
    study
    objectives
        Places or names of one or two objectives; the first is drawn by trial and against the
        hyperparameters.
    params
        The hyperparameters that get a panel; default the first six.
    numbers
        The trials to draw; default all that have a value.

    Raises
    ------
    NoTrials
        None of the trials has a value.
    BadArgument
        No such objective or hyperparameter.
    """
    names = list(study.parameters)[:PANELS] if params is None else list(params)
    data = linked_trials_data(study, objectives=objectives, params=names, numbers=numbers)
    if data.table.empty:
        raise NoTrials(f"{study.name}: none of these trials has a value to draw")
    values = [study.objective(objective)[0] for objective in objectives]
    # Each panel draws them all.
    table = _thinned(data.table, values, study, MOST_POINTS // (len(names) + len(values)))
    fields = fields_of(table)
    titles = {
        study.objective(objective)[0]: _objective_title(study, objective)
        for objective in objectives
    }
    look = _Look(fields, titles, list(dict.fromkeys(table["state"])))
    of_second = 0 if len(values) == 1 else HEIGHT
    first = [_panel(look, table, "number", values[0], WIDE - 1.25 * of_second, HEIGHT)]
    if of_second:
        first.append(_panel(look, table, values[1], values[0], of_second, HEIGHT))
    small = [
        _panel(look, table, f"params_{name}", values[0], NARROW, SMALL, study.parameters[name])
        for name in names
    ]
    panels = [*first, *small]
    for place, panel in enumerate(panels):
        panel.name = f"panel_{place}"
    rows = [alt.hconcat(*first, spacing=14)]
    rows += [
        alt.hconcat(*small[start : start + COLUMNS], spacing=14)
        for start in range(0, len(small), COLUMNS)
    ]
    note = counted(len(data.table), "trial") + " with a value"
    if len(table) < len(data.table):
        note += f", {len(table):,} of them drawn"
    chart: alt.VConcatChart = alt.VConcatChart(
        vconcat=rows,
        data=fields.data,
        spacing=12,
        params=[
            alt.TopLevelSelectionParameter(
                name=BRUSH,
                select=alt.IntervalSelectionConfig(type="interval", resolve="global"),
                views=[str(panel.name) for panel in panels],
            )
        ],
        title=heading([f"{note}. Drag a box in any panel to mark its trials in all"]),
        description=f"Linked scatter plots of {counted(len(table), 'trial')} of {study.name}",
    ).resolve_scale(color="shared", shape="shared")
    return chart


class _Look(NamedTuple):
    fields: Fields
    titles: Mapping[str, str]
    states: list[str]


def _panel(
    look: _Look,
    table: pd.DataFrame,
    x: str,
    y: str,
    width: float,
    height: int,
    distribution: Any = None,
) -> alt.Chart:
    legend = alt.Legend(title=None, symbolType="circle") if len(look.states) > 1 else None
    chart: alt.Chart = (
        alt.Chart(width=width, height=height)
        .mark_point(filled=True, size=34, aria=len(table) <= FEW)
        .encode(
            x=_axis(look, table, x, distribution, alt.X),
            y=_axis(look, table, y, None, alt.Y),
            color=alt.Color("state:N", scale=state_colours(look.states), legend=legend),
            shape=alt.Shape("state:N", scale=state_shapes(look.states), legend=legend),
            opacity=alt.OpacityValue(0.08, condition=alt.value(0.85) | {"param": BRUSH}),
            tooltip=look.fields.tooltip(map(str, table)),
        )
    )
    return chart


def _axis(look: _Look, table: pd.DataFrame, column: str, distribution: Any, channel: Any) -> Any:
    title = look.titles.get(column, title_of(column))
    field = look.fields.names[column]
    if distribution is not None and (words := categories(distribution)):
        axis = alt.Axis(labelAngle=0 if sum(map(len, words)) < 30 else -45)
        return channel(f"{field.partition(':')[0]}:N", title=title, sort=words, axis=axis)
    large = bool(table[column].abs().max() >= 10_000)
    log = distribution is not None and is_log(distribution)
    scale = alt.Scale(nice=False, padding=8)
    if log:
        scale["type"] = "log"
    else:
        scale["zero"] = False
    axis = si_axis(large, tickCount=5, grid=not log)
    if pd.api.types.is_integer_dtype(table[column]):
        axis["tickMinStep"] = 1
    return channel(field, title=title, scale=scale, axis=axis)


def _thinned(table: pd.DataFrame, values: list[str], study: Study, most: int) -> pd.DataFrame:
    """Those that would be seen by their value, the frontier and the best always."""
    kept = np.zeros(len(table), np.bool_)
    # None where no trial is complete, or none keeps its constraints.
    with suppress(NoTrials):
        kept = table["number"].isin(study.front()["number"]).to_numpy()
    against = values[1] if len(values) > 1 else "number"
    places = seen(
        table[against],
        table[values[0]],
        keep=kept,
        groups=table["state"],
        most=most,
    )
    return table.iloc[places]


def _objective_title(study: Study, objective: int | str) -> str:
    column, direction = study.objective(objective)
    name = study.objectives[study.value_columns.index(column)]
    return f"{name} ({'lower' if direction == 'minimize' else 'higher'} is better)"
