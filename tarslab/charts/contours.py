"""The value of trials over two hyperparameters."""

from itertools import pairwise
from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from tarslab.charts import theme
from tarslab.charts.algorithms import heading
from tarslab.charts.bars import bar_records
from tarslab.charts.curves import wheel_zoom
from tarslab.charts.seeds import SCHEME
from tarslab.charts.slicing import (
    BEST,
    Floats,
    best_of,
    comparable,
    objective_title,
    on_axis,
    positions,
    search_range,
    setting_axis,
    spread,
    trials_note,
)
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import (
    categories,
    fields_of,
    is_log,
    is_numeric,
    most_points,
    parameter_columns,
    seen,
)
from tarslab.errors import BadArgument, NoTrials
from tarslab.studies import Study

# Along an axis: so many that a cell would hold two trials if they lay evenly.
FEWEST_CELLS, MOST_CELLS = 4, 24
# More dots than this would hide the cells.
MOST_DOTS = 600


def contour_data(
    study: Study, x: str | None = None, y: str | None = None, *, objective: int | str = 0
) -> pd.DataFrame:
    """The cells of ``contour`` that hold a trial.

    Returns
    -------
    DataFrame
        ``x`` and ``y`` (what the cell spans, in words), ``x_low``, ``x_high``, ``y_low``,
        ``y_high`` (its edges; of a category half a place around its place among the choices),
        ``median`` and ``best`` of the values in it, ``n`` (its trials).
    """
    trials = comparable(study, objective)
    x, y = _chosen(study, x, y, objective)
    points = _points(study, x, y, trials)
    return _cells(points, *_grids(study, x, y, points), study.objective(objective)[1])


@says_so
def contour(
    study: Study, x: str | None = None, y: str | None = None, *, objective: int | str = 0
) -> alt.LayerChart:
    """What an objective came to over two hyperparameters: a heat map with the trials as dots.

    A cell is the median of the complete trials in it: the best of them would flatter the cells
    where the sampler tried most often. Nothing is interpolated, a cell without a trial stays white.
    The axes span what was searched, logarithmic where the search was. Brighter is better; colours
    end at Tukey's fences of the cells (1.5 interquartile ranges beyond the quartiles), so that
    a trial which diverged does not stretch them. The diamond is the best trial. Drag pans, Shift
    and wheel zooms, a double click goes back.

    Parameters
    ----------
    study
        A study with a complete trial.
    x, y
        Names of two hyperparameters. By default the two that PED-ANOVA finds most important among
        the numeric ones, or among all where fewer than two are numeric.
    objective
        Its place or name, default the first.

    Raises
    ------
    NoTrials
        No complete trial has both hyperparameters and a finite value.
    BadArgument
        An unknown hyperparameter or objective, twice the same, or a study that has but one.
    """
    trials = comparable(study, objective)
    x, y = _chosen(study, x, y, objective)
    points = _points(study, x, y, trials)
    columns, rows = _grids(study, x, y, points)
    direction = study.objective(objective)[1]
    cells = _cells(points, columns, rows, direction)
    best = best_of(study, points, objective)
    title = objective_title(study, objective)
    along_x = setting_axis(x, study.parameters[x], columns.ends, theme.WIDTH)
    along_y = setting_axis(y, study.parameters[y], rows.ends, theme.HEIGHT, vertical=True)
    along_x["axis"]["grid"] = along_y["axis"]["grid"] = False
    zoom = wheel_zoom()
    minimize = direction == "minimize"
    colour = alt.Color(
        "median:Q",
        scale=alt.Scale(
            scheme=SCHEME, domain=_fences(cells["median"]), clamp=True, reverse=minimize
        ),
        legend=alt.Legend(
            title=f"median {title}, bright is good ({'low' if minimize else 'high'})",
            titleOrient="left",
            titleFontWeight="normal",
            titlePadding=8,
            titleLimit=340,
            gradientLength=200,
        ),
    )
    number = ",.5~g"
    heat = (
        alt.Chart(bar_records(cells))
        # A cell reaches under its neighbours, where antialiasing would leave seams.
        .mark_rect(clip=True, x2Offset=0.6, y2Offset=-0.6)
        .encode(
            x=alt.X("x_low:Q", **along_x),
            x2="x_high:Q",
            y=alt.Y("y_low:Q", **along_y),
            y2="y_high:Q",
            color=colour,
            tooltip=[
                alt.Tooltip("x:N", title=x),
                alt.Tooltip("y:N", title=y),
                alt.Tooltip("median:Q", title=f"median {title}", format=number),
                alt.Tooltip("best:Q", title=f"best {title}", format=number),
                alt.Tooltip("n:Q", title="trials"),
            ],
        )
        .add_params(zoom)
    )
    dots = _dots(study, x, y, points, best.number)
    fields = fields_of(dots)
    shown = ["number", "value", *parameter_columns(study)]
    drawn = alt.Chart(fields.data).encode(
        x=alt.X(fields.names["x"], **along_x),
        y=alt.Y(fields.names["y"], **along_y),
        tooltip=fields.tooltip(shown),
    )
    dot = drawn.mark_circle(
        size=16,
        color=theme.INK,
        stroke="white",
        strokeWidth=0.6,
        opacity=0.9,
        clip=True,
        aria=False,
    )
    diamond = drawn.transform_filter(f"datum.number == {best.number}").mark_point(
        shape="diamond", filled=True, size=130, color=BEST, stroke="white", opacity=1, clip=True
    )
    note = trials_note(study, points, best)
    if len(dots) < len(points):
        note += f". Dots: {len(dots):,} of the trials"
    return alt.LayerChart(
        layer=[heat, dot, diamond],
        width="container",
        title=heading([note]),
        description=f"Heat map of the median {title} by {x} and {y}, {len(cells)} cells with "
        f"trials; the best is trial {best.number} with {best.value:.5g}",
    )


def _chosen(study: Study, x: str | None, y: str | None, objective: int | str) -> tuple[str, str]:
    given = [name for name in (x, y) if name is not None]
    parameter_columns(study, given)
    if len(set(given)) < len(given):
        raise BadArgument(f"x and y must be two hyperparameters, not {x} twice")
    if len(study.parameters) < 2:
        raise BadArgument(
            f"a contour needs two hyperparameters; {study.name} has "
            f"{', '.join(study.parameters) or 'none'}"
        )
    if x is not None and y is not None:
        return x, y
    left = [name for name in _by_importance(study, objective) if name not in given]
    numeric = [name for name in left if is_numeric(study.parameters[name])]
    free = numeric if len(numeric) + len(given) >= 2 else left
    chosen = iter(free)
    return x or next(chosen), y or next(chosen)


def _by_importance(study: Study, objective: int | str) -> list[str]:
    """All hyperparameters, first those that can be judged."""
    try:
        judged = study.importance(objective=objective, bootstrap=0)["parameter"].tolist()
    except NoTrials:
        judged = []
    return list(dict.fromkeys([*judged, *study.parameters]))


def _points(study: Study, x: str, y: str, trials: pd.DataFrame) -> pd.DataFrame:
    """``number``, ``value`` and the positions ``x`` and ``y`` of the trials that have both."""
    placed = trials.assign(
        x=positions(study, x, trials.index), y=positions(study, y, trials.index)
    ).dropna()
    if placed.empty:
        raise NoTrials(f"{study.name}: no complete trial has both {x} and {y}")
    return placed


class _Grid(NamedTuple):
    """The cells along one axis."""

    edges: Floats
    words: list[str]
    """What each cell spans."""

    @property
    def ends(self) -> tuple[float, float]:
        return float(self.edges[0]), float(self.edges[-1])

    def places(self, position: "pd.Series[float]") -> NDArray[np.int64]:
        """The cell that each position falls into."""
        found = np.searchsorted(self.edges, position.to_numpy(), side="right") - 1
        return np.clip(found, 0, len(self.words) - 1).astype(np.int64)


def _grids(study: Study, x: str, y: str, points: pd.DataFrame) -> tuple[_Grid, _Grid]:
    most = int(np.clip(np.sqrt(len(points) / 2), FEWEST_CELLS, MOST_CELLS))
    of_x, of_y = study.parameters[x], study.parameters[y]
    return (
        _grid(of_x, points["x"].to_numpy(), most),
        _grid(of_y, points["y"].to_numpy(), most),
    )


def _grid(distribution: BaseDistribution, position: Floats, most: int) -> _Grid:
    if words := categories(distribution):
        return _Grid(np.arange(len(words) + 1, dtype=np.float64) - 0.5, words)
    low, high = search_range(distribution, position)
    step = getattr(distribution, "step", None)
    if step:
        # Edges lie half a step from what can be chosen, so that every cell can hold a choice.
        low, high = low - step / 2, high + step / 2
    space = np.geomspace if is_log(distribution) else np.linspace
    edges = np.asarray(space(low, high, most + 1), np.float64)
    if not step:
        return _Grid(edges, [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)])
    edges = low + step * np.unique(np.round((edges - low) / step))
    choices = [(a + step / 2, b - step / 2) for a, b in pairwise(edges)]
    return _Grid(
        edges, [f"{a:.6g}" if b - a < step / 2 else f"{a:.6g} to {b:.6g}" for a, b in choices]
    )


def _cells(points: pd.DataFrame, columns: _Grid, rows: _Grid, direction: str) -> pd.DataFrame:
    placed = points.assign(column=columns.places(points["x"]), row=rows.places(points["y"]))
    cells = placed.groupby(["column", "row"], as_index=False).agg(
        median=("value", "median"),
        best=("value", "min" if direction == "minimize" else "max"),
        n=("value", "size"),
    )
    column, row = cells["column"].to_numpy(), cells["row"].to_numpy()
    return pd.DataFrame(
        {
            "x": [columns.words[place] for place in column],
            "y": [rows.words[place] for place in row],
            "x_low": columns.edges[column],
            "x_high": columns.edges[column + 1],
            "y_low": rows.edges[row],
            "y_high": rows.edges[row + 1],
            "median": cells["median"],
            "best": cells["best"],
            "n": cells["n"],
        }
    )


def _fences(medians: "pd.Series[float]") -> list[float]:
    """Tukey's fences, no further than the values go."""
    low, high = float(medians.min()), float(medians.max())
    first, third = (float(quartile) for quartile in np.quantile(medians, [0.25, 0.75]))
    if first < third:
        reach = 1.5 * (third - first)
        low, high = max(low, first - reach), min(high, third + reach)
    low, high = float(f"{low:.4g}"), float(f"{high:.4g}")
    return [low, high] if low < high else [low - 1, high + 1]


def _dots(study: Study, x: str, y: str, points: pd.DataFrame, best: int) -> pd.DataFrame:
    """The trials that are drawn: where, and all that their tooltips say."""
    at = {
        axis: spread(points[axis].to_numpy(), points["number"].to_numpy(), study.parameters[name])
        for axis, name in (("x", x), ("y", y))
    }
    parameters = parameter_columns(study)
    drawn = seen(
        on_axis(at["x"], study.parameters[x]),
        on_axis(at["y"], study.parameters[y]),
        keep=points["number"] == best,
        most=min(MOST_DOTS, most_points(len(parameters) + 4)),
    )
    rows = points[["number", "value"]].assign(**at).iloc[drawn]
    return rows.join(study.trials[parameters])
