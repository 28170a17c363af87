"""The ``Runs`` table: every scalar of every run, and one row about each run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.errors import BadArgument, NotLogged
from tarslab.runs.recording import Series
from tarslab.runs.vocabulary import metric_order

# The format of what no log was read for.
SYNTHETIC = "synthetic"


@dataclass
class Run:
    """One run, as ``Runs.of`` takes it."""

    name: str
    series: Mapping[str, Series]
    """By metric; steps must not decrease."""
    path: str = ""
    format: str = ""
    algo: str | None = None
    env: str | None = None
    seed: int | None = None
    episodic: bool = False
    """Whether every point of ``reward`` is one episode."""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


class Runs:
    """Training runs as two tables.

    Attributes
    ----------
    scalars : DataFrame
        ``run`` and ``metric`` (categories), ``step`` (int64), ``wall_time`` (float64, Unix seconds,
        NaN where the source has none), ``value`` (float64); sorted by run, metric, step.
    table : DataFrame
        One row a run: ``run``, ``algo``, ``env``, ``seed`` (missing where not known), ``format``,
        ``path``, ``points``, ``non_finite`` (points that are NaN or infinite), ``episodes`` (how
        many were recorded one by one, missing where only means over several were),
        ``hp.<name>``.
    """

    def __init__(self, scalars: pd.DataFrame, table: pd.DataFrame) -> None:
        self.scalars = scalars
        self.table = table

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Runs":
        """Build the tables from runs, whose names must differ."""
        return Contents.of(runs).tables()

    @property
    def names(self) -> list[str]:
        """The runs' names, sorted."""
        return [str(name) for name in self.table["run"]]

    @property
    def synthetic(self) -> bool:
        """Whether any run was made by ``tarslab.synth``, and not by a training."""
        return bool((self.table["format"] == SYNTHETIC).any())

    @property
    def metrics(self) -> list[str]:
        """The metrics that any run has, canonical ones first."""
        present = self.scalars["metric"].cat.categories
        return sorted((str(metric) for metric in present), key=metric_order)

    def select(self, metric: str | Sequence[str] | None = None, **columns: Any) -> "Runs":
        """The runs and metrics that match every condition.

        ``metric`` and each keyword, a column of ``table`` (``algo``, ``env``, ``seed``, ``run``,
        ...), take one value or a list. ``points`` and ``non_finite`` are counted anew. Raises
        BadArgument, with the values there are, where a name is unknown or nothing matches.
        """
        table = self.table
        for column, wanted in columns.items():
            if column not in table:
                raise BadArgument(f"no column {column!r}; runs have {', '.join(table.columns)}")
            values = as_list(wanted)
            known = set(self.table[column].dropna())
            unknown = [value for value in values if value not in known]
            chosen = table[table[column].isin(values)]
            if unknown or chosen.empty:
                there = ", ".join(sorted({str(v) for v in table[column].dropna()})) or "none"
                raise BadArgument(f"no run has {column} {unknown or values}; there are {there}")
            table = chosen
        chosen_rows = _rows(self.scalars["run"], table["run"])
        if metric is not None:
            metrics = as_list(metric)
            unknown = [name for name in metrics if name not in self.metrics]
            chosen_rows &= _rows(self.scalars["metric"], metrics)
            if unknown or not chosen_rows.any():
                raise NotLogged(
                    f"no run has a metric {', '.join(map(str, unknown or metrics))}; "
                    f"there are {', '.join(self.metrics)}"
                )
        scalars = self.scalars[chosen_rows]
        scalars = scalars.assign(
            run=scalars["run"].cat.remove_unused_categories(),
            metric=scalars["metric"].cat.remove_unused_categories(),
        )
        remaining = table[table["run"].isin(scalars["run"].cat.categories)]
        remaining = remaining.assign(**_counts(scalars, remaining["run"]))
        return Runs(scalars.reset_index(drop=True), remaining.reset_index(drop=True))

    def series(self, metric: str) -> Iterator[tuple[str, Series]]:
        """Run name and series of every run that has the metric, as views of ``scalars``."""
        if metric not in self.scalars["metric"].cat.categories:
            raise NotLogged(f"no run has a metric {metric!r}; there are {', '.join(self.metrics)}")
        code = self.scalars["metric"].cat.categories.get_loc(metric)
        rows = np.flatnonzero(self.scalars["metric"].cat.codes.to_numpy() == code)
        runs = self.scalars["run"].cat.codes.to_numpy()[rows]
        columns = [self.scalars[name].to_numpy() for name in ("step", "wall_time", "value")]
        cuts = np.flatnonzero(np.diff(runs)) + 1
        for part in np.split(rows, cuts):
            place = slice(part[0], part[-1] + 1)
            name = self.scalars["run"].cat.categories[self.scalars["run"].cat.codes.iloc[part[0]]]
            yield str(name), Series(*(column[place] for column in columns))

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        runs = "run" if len(self) == 1 else "runs"
        metrics, points = len(self.metrics), len(self.scalars)
        return f"<{type(self).__name__}: {len(self)} {runs}, {metrics} metrics, {points} points>"

    def _repr_html_(self) -> str:
        shown = self.table[["run", "algo", "env", "seed", "format", "points", "non_finite"]]
        shown = shown.assign(seed=shown["seed"].astype("str").where(shown["seed"].notna(), ""))
        return str(shown.to_html(index=False, max_rows=20, na_rep="", border=0, justify="left"))


def as_list(wanted: Any) -> list[Any]:
    """What is asked for as one value or a list of them."""
    return list(wanted) if isinstance(wanted, list | tuple | set | np.ndarray) else [wanted]


@dataclass
class Contents:
    """What the tables are made of: every series of every run, one after the other."""

    runs: Sequence[Run]
    """In order of their names. Of their ``series`` nothing is needed any more."""
    episodes: Sequence[int | None]
    """How many each run recorded one by one."""
    non_finite: Sequence[int]
    """How many points of each run are NaN or infinite."""
    metrics: Sequence[str]
    """In the order that they have in each run."""
    run: NDArray[np.int32]
    """Of each series its place in ``runs``."""
    metric: NDArray[np.int32]
    """Of each series its place in ``metrics``."""
    points: NDArray[np.int64]
    """The length of each series."""
    columns: Series
    """All series joined."""

    @classmethod
    def of(cls, runs: Sequence[Run], *, copy: bool = True) -> "Contents":
        """What the tables of some runs are made of; their names must differ.

        Without ``copy`` the series may become the columns themselves: nobody else must hold them.
        """
        runs = sorted(runs, key=lambda run: run.name)
        if repeated := [a.name for a, b in pairwise(runs) if a.name == b.name]:
            raise BadArgument(f"two runs are named {repeated[0]!r}")
        metrics = sorted({metric for run in runs for metric in run.series}, key=metric_order)
        places = {metric: place for place, metric in enumerate(metrics)}
        present = [
            (run_place, places[metric], run.series[metric])
            for run_place, run in enumerate(runs)
            for metric in sorted(run.series, key=places.__getitem__)
        ]
        every = [series for _, _, series in present] or [Series.of([], [], [])]
        columns = Series.joined(every, copy=copy)
        of_runs = [sum(series.points for series in run.series.values()) for run in runs]
        ends = np.cumsum([0, *of_runs])
        return cls(
            runs,
            [run.series["reward"].points if run.episodic else None for run in runs],
            [_non_finite(columns.value[start:end]) for start, end in pairwise(ends)],
            metrics,
            np.array([run for run, _, _ in present], dtype=np.int32),
            np.array([metric for _, metric, _ in present], dtype=np.int32),
            np.array([series.points for _, _, series in present], dtype=np.int64),
            columns,
        )

    def tables(self) -> Runs:
        """The two tables; the columns of ``scalars`` are those here, not copied."""
        names = [run.name for run in self.runs]
        scalars = pd.DataFrame(
            {
                "run": _category(self.run, self.points, names),
                "metric": _category(self.metric, self.points, self.metrics),
                "step": self.columns.step,
                "wall_time": self.columns.wall_time,
                "value": self.columns.value,
            },
            copy=False,
        )
        table = pd.DataFrame(
            {
                "run": pd.Series(names, dtype="str"),
                "algo": pd.Series([run.algo for run in self.runs], dtype="str"),
                "env": pd.Series([run.env for run in self.runs], dtype="str"),
                "seed": pd.array([run.seed for run in self.runs], dtype="Int64"),
                "format": pd.Series([run.format for run in self.runs], dtype="str"),
                "path": pd.Series([run.path for run in self.runs], dtype="str"),
                "points": np.bincount(self.run, self.points, len(names)).astype(np.int64),
                "non_finite": np.array(self.non_finite, dtype=np.int64),
                "episodes": pd.array(self.episodes, dtype="Int64"),
            }
        )
        return Runs(scalars, pd.concat([table, _parameters(self.runs)], axis=1))


def _parameters(runs: Sequence[Run]) -> pd.DataFrame:
    """One column a hyperparameter."""
    parameters = pd.DataFrame([dict(run.hyperparameters) for run in runs], index=range(len(runs)))
    return parameters.reindex(columns=sorted(parameters.columns)).convert_dtypes()


def _counts(scalars: pd.DataFrame, names: Iterable[str]) -> dict[str, NDArray[np.int64]]:
    """The columns ``points`` and ``non_finite`` for the runs of these names."""
    codes, runs = scalars["run"].cat.codes.to_numpy(), scalars["run"].cat.categories
    values = scalars["value"].to_numpy()
    # Rows are sorted by run.
    cuts = np.searchsorted(codes, np.arange(len(runs) + 1, dtype=codes.dtype))
    non_finite = np.array([_non_finite(values[a:b]) for a, b in pairwise(cuts)], dtype=np.int64)
    places = runs.get_indexer(pd.Index(list(names)))
    return {"points": np.diff(cuts)[places], "non_finite": non_finite[places]}


def _non_finite(values: NDArray[np.float64]) -> int:
    return len(values) - int(np.count_nonzero(np.isfinite(values)))


def _rows(column: pd.Series, wanted: Iterable[Any]) -> NDArray[np.bool_]:
    """Which rows of a column of categories hold one of the wanted values."""
    return column.cat.categories.isin(list(wanted))[column.cat.codes.to_numpy()]


def _category(
    places: NDArray[np.int32], points: NDArray[np.int64], names: Sequence[str]
) -> pd.Categorical:
    categories = pd.CategoricalDtype(pd.Index(list(names), dtype="str"))
    # The smallest type, as pandas has it.
    sizes = (np.int8, np.int16, np.int32)
    size = next(kind for kind in sizes if len(names) < np.iinfo(kind).max)
    return pd.Categorical.from_codes(
        np.repeat(places.astype(size), points), dtype=categories, validate=False
    )
