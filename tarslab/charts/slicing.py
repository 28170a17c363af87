"""The value of trials against each hyperparameter."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from tarslab.charts import theme
from tarslab.charts.algorithms import counted, heading
from tarslab.charts.bars import bar_records
from tarslab.charts.curves import si_axis
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import (
    MOST_POINTS,
    categories,
    is_log,
    parameter_columns,
    seen,
)
from tarslab.errors import NoTrials
from tarslab.studies import Study

Floats = NDArray[np.float64]

COLUMNS, PANEL_WIDTH, PANEL_HEIGHT = 3, 205, 150
FEWEST_POINTS = 50
PICKED = "picked"
# Labels of more categories than this would lie on one another.
MOST_WORDS = 15
# Early trials are pale, late ones strong.
AGES = ["#BDD7EE", "#4F94C9", "#08306B"]
BEST = theme.PALETTE[1]
# The share of its band over which the trials of a category are spread.
SPREAD = 0.7


def slices_data(
    study: Study, *, params: Sequence[str] | None = None, objective: int | str = 0
) -> pd.DataFrame:
    """The points of ``slices``, before any of them is left out.

    Returns
    -------
    DataFrame
        ``parameter``, ``number`` (of the trial), ``setting`` (the hyperparameter's value, of a
        category its name), ``position`` (the same as a number, of a category its place among the
        choices) and ``value``. Of complete trials that keep their constraints and have a finite
        value, each with the hyperparameters that it has.
    """
    names = [column.removeprefix("params_") for column in parameter_columns(study, params)]
    trials = comparable(study, objective)
    parts = []
    for name in names:
        position = positions(study, name, trials.index)
        rows = trials[np.isfinite(position)]
        position = position[np.isfinite(position)]
        words = categories(study.parameters[name])
        setting = [words[int(place)] for place in position] if words else position
        part = {
            "parameter": pd.Series([name] * len(rows), dtype="str"),
            "number": rows["number"].to_numpy(),
            "setting": pd.Series(setting, dtype="object"),
            "position": position,
            "value": rows["value"].to_numpy(),
        }
        parts.append(pd.DataFrame(part))
    if not any(map(len, parts)):
        raise NoTrials(f"{study.name}: none of its complete trials has such a hyperparameter")
    return pd.concat(parts, ignore_index=True)


@says_so
def slices(
    study: Study, *, params: Sequence[str] | None = None, objective: int | str = 0
) -> alt.ConcatChart:
    """The value of every complete trial against each hyperparameter, a small panel for each.

    Panels share the axis of the value, and each spans what was searched, on a logarithmic axis
    where the search was logarithmic. Early trials are pale, late ones strong; the diamond is the
    best. Trials of a category stand side by side, and a line across them shows their median. A
    click on a trial rings it in all panels. Of many trials those are drawn that no later one hides.

    Parameters
    ----------
    study
        A study with a complete trial.
    params
        Names of hyperparameters, in the order of the panels; default all.
    objective
        Its place or name, default the first.

    Raises
    ------
    NoTrials
        No complete trial keeps its constraints and has a finite value.
    BadArgument
        An unknown hyperparameter or objective.
    """
    table = slices_data(study, params=params, objective=objective)
    trials = comparable(study, objective)
    best = best_of(study, trials, objective)
    title = objective_title(study, objective)
    names = list(dict.fromkeys(table["parameter"]))
    large = bool(trials["value"].abs().max() >= 10_000)
    look = _Look(
        y=alt.Scale(domain=_extent(trials["value"]), nice=False, padding=8),
        large=large,
        title=title,
        ages=alt.Scale(domain=_extent(trials["number"]), range=AGES),
        legend=_legend() if len(trials) > 1 else None,
        best=best.number,
        most=max(FEWEST_POINTS, MOST_POINTS // len(names)),
    )
    by_name = dict(list(table.groupby("parameter")))
    panels = [
        _panel(place, name, by_name[name], study.parameters[name], look)
        for place, name in enumerate(names)
    ]
    lines = [trials_note(study, trials, best)]
    if any(categories(study.parameters[name]) for name in names):
        lines[0] += ". Line across a category: its median"
    if any(len(rows) > look.most for rows in by_name.values()):
        lines.append("Of trials that would lie on one another the latest is drawn")
    chart: alt.ConcatChart = alt.ConcatChart(
        concat=panels,
        columns=COLUMNS,
        spacing={"row": 12, "column": 14},
        params=[
            alt.TopLevelSelectionParameter(
                name=PICKED,
                select=alt.PointSelectionConfig(type="point", fields=["number"], on="click"),
                views=[_view(place) for place in range(len(panels))],
            )
        ],
        title=heading(lines),
        description=f"Scatter plots of {title} by hyperparameter: {', '.join(names[:12])}",
    ).resolve_scale(color="shared")
    return chart


def comparable(study: Study, objective: int | str) -> pd.DataFrame:
    """``number`` and ``value`` of the trials whose values can be set side by side.

    Complete trials that keep their constraints and have a finite value, by their rows in
    ``study.trials``. NoTrials where there is none.
    """
    column, _ = study.objective(objective)
    finished = study.finished()
    finished = finished[np.isfinite(finished[column])]
    if finished.empty:
        raise NoTrials(f"{study.name}: no complete trial has a finite value")
    return pd.DataFrame({"number": finished["number"], "value": finished[column]})


class Best(NamedTuple):
    """The best trial."""

    number: int
    value: float


def best_of(study: Study, trials: pd.DataFrame, objective: int | str) -> Best:
    """The best of the trials of ``comparable``, of several the first."""
    values = trials["value"].to_numpy()
    minimize = study.objective(objective)[1] == "minimize"
    place = int(values.argmin() if minimize else values.argmax())
    return Best(int(trials["number"].iloc[place]), float(values[place]))


def objective_title(study: Study, objective: int | str) -> str:
    """The name of an objective, for an axis."""
    return theme.title_of(
        study.objectives[study.value_columns.index(study.objective(objective)[0])]
    )


def trials_note(study: Study, trials: pd.DataFrame, best: Best) -> str:
    """How many trials are drawn, and which is the best."""
    drawn = counted(len(trials), "complete trial")
    others = len(study) - len(trials)
    return (
        drawn
        + (f" ({counted(others, 'other')} left out)" if others else "")
        + f". Diamond: the best of them, trial {best.number} with {best.value:.5g}"
    )


def positions(study: Study, name: str, rows: pd.Index) -> Floats:
    """Where trials lie on the axis of a hyperparameter; NaN where a trial is without it.

    A number is its own position, a category the place that it has among the choices.
    """
    distribution = study.parameters[name]
    if not isinstance(distribution, CategoricalDistribution):
        column = study.trials[f"params_{name}"].loc[rows]
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan))
    # From the trials themselves, since None may be a choice.
    held = (study.frozen[row].params for row in rows)
    return np.array(
        [
            distribution.to_internal_repr(params[name]) if name in params else np.nan
            for params in held
        ],
        np.float64,
    )


def spread(position: Floats, numbers: NDArray[np.int64], distribution: BaseDistribution) -> Floats:
    """The positions with trials of one category side by side, evenly and always the same."""
    if not categories(distribution):
        return position
    golden = (5**0.5 - 1) / 2
    beside: Floats = position + SPREAD * ((numbers * golden) % 1 - 0.5)
    return beside


def on_axis(position: Floats, distribution: BaseDistribution) -> Floats:
    """The positions as they lie in the picture."""
    return np.asarray(np.log10(position)) if is_log(distribution) else position


def search_range(distribution: BaseDistribution, position: Floats) -> tuple[float, float]:
    """The lowest and highest position that was searched, or tried where the range has changed."""
    if words := categories(distribution):
        return -0.5, len(words) - 0.5
    low, high = (float(getattr(distribution, end)) for end in ("low", "high"))
    low, high = min(low, np.nanmin(position)), max(high, np.nanmax(position))
    if low < high:
        return low, high
    return (low / 2, high * 2) if is_log(distribution) else (low - 0.5, high + 0.5)


def setting_axis(
    name: str,
    distribution: BaseDistribution,
    ends: tuple[float, float],
    length: int,
    *,
    vertical: bool = False,
) -> dict[str, Any]:
    """Title, scale and axis of a hyperparameter, for an axis of so many pixels."""
    words, log = categories(distribution), is_log(distribution)
    scale = alt.Scale(type="log" if log else "linear", domain=list(ends), nice=False)
    if not words:
        # Room for a mark at either end.
        scale["padding"] = 6
    if not words:
        axis = _number_axis(distribution, ends, length)
    elif vertical:
        axis = _category_axis(words, labelAlign="right", labelLimit=160)
    elif max(map(len, words)) * 6.5 < length / len(words):
        axis = _category_axis(words, labelAngle=0)
    else:
        axis = _category_axis(words, labelAngle=-35, labelAlign="right", labelLimit=80)
    return {"title": name, "scale": scale, "axis": axis}


def _category_axis(words: list[str], **options: Any) -> alt.Axis:
    return alt.Axis(
        values=list(range(len(words))),
        labelExpr=f"{json.dumps(words)}[datum.value]",
        labelOverlap=len(words) > MOST_WORDS,
        grid=False,
        ticks=False,
        **options,
    )


def _number_axis(
    distribution: BaseDistribution, ends: tuple[float, float], length: int
) -> alt.Axis:
    text = "format(datum.value, '.6~g')"
    if is_log(distribution):
        decades = math.log10(ends[1] / ends[0])
        if decades >= 3:
            return alt.Axis(labelExpr=text, tickCount=min(round(decades), length // 45))
        first = "format(datum.value, '.1e')[0]"
        return alt.Axis(labelExpr=f"indexof('125', {first}) >= 0 ? {text} : ''", tickCount=10)
    axis = alt.Axis(
        labelExpr=f"abs(datum.value) < 10000 ? {text} : format(datum.value, '~s')",
        tickCount=max(3, length // 45),
    )
    if getattr(distribution, "step", None) == 1:
        axis["tickMinStep"] = 1
    return axis


class _Look(NamedTuple):
    """What the panels have in common."""

    y: alt.Scale
    large: bool
    title: str
    ages: alt.Scale
    legend: alt.Legend | None
    best: int
    most: int


def _panel(
    place: int, name: str, rows: pd.DataFrame, distribution: BaseDistribution, look: _Look
) -> alt.LayerChart:
    position = rows["position"].to_numpy()
    numbers = rows["number"].to_numpy()
    ends = search_range(distribution, position)
    x = spread(position, numbers, distribution)
    # From the last on: of those that lie on one another the latest is on top.
    drawn = (
        len(rows)
        - 1
        - seen(
            on_axis(x, distribution)[::-1],
            rows["value"].to_numpy()[::-1],
            keep=(numbers == look.best)[::-1],
            most=look.most,
        )
    )
    table = rows.assign(x=x).iloc[np.sort(drawn)][["number", "setting", "x", "value"]]
    first = place % COLUMNS == 0
    axis = si_axis(look.large, tickCount=5, labels=first, ticks=first)
    y = alt.Y("value:Q", title=look.title if first else None, scale=look.y, axis=axis)
    base = alt.Chart(bar_records(table)).encode(
        x=alt.X("x:Q", **setting_axis(name, distribution, ends, PANEL_WIDTH)),
        y=y,
        tooltip=[
            alt.Tooltip("number:Q", title="trial"),
            alt.Tooltip("setting:N", title=name)
            if categories(distribution)
            else alt.Tooltip("setting:Q", title=name, format=".5~g"),
            alt.Tooltip("value:Q", title=look.title, format=",.5~g"),
        ],
    )
    age = alt.Color("number:Q", scale=look.ages, legend=look.legend)
    dots = base.mark_circle(size=22, opacity=0.85, aria=False).encode(color=age)
    picked = alt.ParameterPredicate(param=PICKED, empty=False)
    ring = base.transform_filter(picked).mark_point(size=130, color=theme.INK, strokeWidth=2)
    best = base.transform_filter(f"datum.number == {look.best}").mark_point(
        shape="diamond", filled=True, size=110, color=BEST, stroke="white", opacity=1
    )
    layers = [dots.properties(name=_view(place))]
    if categories(distribution):
        layers.append(_medians(rows, y))
    return alt.LayerChart(layer=[*layers, ring, best], width=PANEL_WIDTH, height=PANEL_HEIGHT)


def _legend() -> alt.Legend:
    return alt.Legend(
        title="trial",
        titleOrient="left",
        titleFontWeight="normal",
        titlePadding=8,
        format=",d",
        gradientLength=200,
        tickCount=4,
    )


def _view(place: int) -> str:
    return f"trials_{place}"


def _medians(rows: pd.DataFrame, y: alt.Y) -> alt.Chart:
    found = rows.groupby("position", as_index=False)["value"].median()
    found = found.assign(x=found["position"] - 0.4, x2=found["position"] + 0.4)
    base = alt.Chart(bar_records(found[["x", "x2", "value"]]))
    line: alt.Chart = base.mark_rule(color=theme.INK, strokeWidth=2).encode(
        x="x:Q", x2="x2:Q", y=y, tooltip=[alt.Tooltip("value:Q", title="median", format=",.5~g")]
    )
    return line


def _extent(values: "pd.Series[float]") -> list[float]:
    low, high = float(values.min()), float(values.max())
    return [low, high] if low < high else [low - 1, high + 1]
