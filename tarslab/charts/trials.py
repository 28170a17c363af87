"""What the charts of studies share: trials as records, which of many are drawn, how states look."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tarslab.charts import theme
from tarslab.charts.bars import bar_records
from tarslab.errors import BadArgument
from tarslab.studies import Study

Bools = NDArray[np.bool_]

# What a chart holds at most, so that a page of it stays below 3 MB: cells of its table.
MOST_CELLS = 40_000
MOST_POINTS = 5_000

STATE_COLOURS = {
    "COMPLETE": theme.PALETTE[0],
    "PRUNED": theme.PALETTE[5],
    "FAIL": theme.PALETTE[1],
    "RUNNING": theme.PALETTE[2],
    "WAITING": theme.PALETTE[6],
}
STATE_SHAPES = {
    "COMPLETE": "circle",
    "PRUNED": "triangle-down",
    "FAIL": "cross",
    "RUNNING": "diamond",
    "WAITING": "square",
}


class Fields(NamedTuple):
    """Columns of a table under names that Vega takes, which reads ``.`` and ``[`` as paths."""

    data: alt.InlineData
    names: Mapping[str, str]
    """From each column to its field."""

    def tooltip(self, columns: Iterable[str]) -> list[alt.Tooltip]:
        """A line for each of these columns, parameters by their own names."""
        return [
            alt.Tooltip(self.names[column], title=title_of(column), format=self._format(column))
            if self._format(column)
            else alt.Tooltip(self.names[column], title=title_of(column))
            for column in columns
        ]

    def _format(self, column: str) -> str:
        return ".5~g" if self.names[column].endswith(":Q") else ""


def fields_of(table: pd.DataFrame) -> Fields:
    """The rows of a table as records; numbers cut to nine digits, what is not finite left out."""
    names, plain = {}, {}
    for place, column in enumerate(map(str, table)):
        safe = column if column.replace("_", "").isalnum() else f"column_{place}"
        numeric = pd.api.types.is_numeric_dtype(table[column])
        kind = "Q" if numeric and not pd.api.types.is_bool_dtype(table[column]) else "N"
        names[column], plain[column] = f"{safe}:{kind}", safe
    return Fields(bar_records(table.rename(columns=plain)), names)


def title_of(column: str) -> str:
    """A column of ``Study.trials`` for people."""
    for prefix in ("params_", "user_attrs_"):
        if column.startswith(prefix):
            return column.removeprefix(prefix)
    return theme.title_of(column)


def state_colours(present: Iterable[str]) -> alt.Scale:
    """A fixed colour for each state."""
    shown = _in_order(present)
    return alt.Scale(domain=shown, range=[STATE_COLOURS[state] for state in shown])


def state_shapes(present: Iterable[str]) -> alt.Scale:
    """A fixed shape for each state, for those who do not tell the colours apart."""
    shown = _in_order(present)
    return alt.Scale(domain=shown, range=[STATE_SHAPES[state] for state in shown])


def parameter_columns(study: Study, names: Sequence[str] | None = None) -> list[str]:
    """The columns of these parameters, all by default; BadArgument where one is unknown."""
    chosen = [*study.parameters] if names is None else list(names)
    if unknown := [name for name in chosen if name not in study.parameters]:
        raise BadArgument(
            f"{study.name} has no parameter {', '.join(unknown)}; there are "
            f"{', '.join(study.parameters) or 'none'}"
        )
    return [f"params_{name}" for name in chosen]


def is_numeric(distribution: BaseDistribution) -> bool:
    """Whether a parameter lies on a scale; categories of numbers do not."""
    return isinstance(distribution, FloatDistribution | IntDistribution)


def is_log(distribution: BaseDistribution) -> bool:
    """Whether a parameter was searched on a logarithmic scale."""
    return bool(getattr(distribution, "log", False))


def categories(distribution: BaseDistribution) -> list[str]:
    """The choices of a categorical parameter, as words in their order."""
    if not isinstance(distribution, CategoricalDistribution):
        return []
    return [str(choice) for choice in distribution.choices]


def seen(
    x: ArrayLike,
    y: ArrayLike,
    *,
    keep: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    most: int = MOST_POINTS,
) -> NDArray[np.int64]:
    """Which of many points to draw: those that a reader would see, in order.

    Of points of one group (a state, say) in one cell of a grid, which is as fine as ``most``
    allows, the first is drawn, as the others would lie under it. ``keep`` are drawn always.
    Points that are not finite are left out unless they are kept.

    Parameters
    ----------
    x, y : array_like, shape (n,), where the points lie, on the scale of the picture
    keep : array_like of bool, shape (n,), optional
    groups : array_like, shape (n,), optional
    most : int
        The largest number of points, those that are kept not counted.

    Returns
    -------
    ndarray of int64, shape (m,), increasing
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kept = np.zeros(len(xs), np.bool_) if keep is None else np.asarray(keep, np.bool_)
    codes = np.zeros(len(xs), np.int64) if groups is None else pd.factorize(np.asarray(groups))[0]
    drawable = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    if len(drawable) > most:
        cells = theme.WIDTH
        while True:
            column, row = (_cells(values[drawable], cells) for values in (xs, ys))
            cell = (codes[drawable] * cells + column) * cells + row
            _, first = np.unique(cell, return_index=True)
            if len(first) <= most or cells == 1:
                break
            cells = max(1, int(cells * 0.8))
        drawable = drawable[np.sort(first)]
    places: NDArray[np.int64] = np.union1d(drawable, np.flatnonzero(kept)).astype(np.int64)
    return places


def most_points(columns: int) -> int:
    """How many points fit into a chart whose table has so many columns."""
    return max(200, min(MOST_POINTS, MOST_CELLS // max(columns, 1)))


def _cells(values: NDArray[np.float64], cells: int) -> NDArray[np.int64]:
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(len(values), np.int64)
    cell: NDArray[np.int64] = np.minimum((values - low) / (high - low) * cells, cells - 1).astype(
        np.int64
    )
    return cell


def _in_order(present: Iterable[str]) -> list[str]:
    there = set(present)
    return [state for state in STATE_COLOURS if state in there]
