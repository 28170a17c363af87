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
from tarslab.runs.vocabulary import CANONICAL


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
        names = sorted(run.name for run in runs)
        if repeated := {a for a, b in pairwise(names) if a == b}:
            raise BadArgument(f"two runs are named {sorted(repeated)[0]!r}")
        runs = sorted(runs, key=lambda run: run.name)
        metrics = sorted({metric for run in runs for metric in run.series}, key=_metric_order)
        series = [
            (run_code, metric_code, run.series[metric])
            for run_code, run in enumerate(runs)
            for metric_code, metric in enumerate(metrics)
            if metric in run.series
        ]
        lengths = [one.points for _, _, one in series]
        joined = Series.joined([one for _, _, one in series] or [Series.of([], [], [])])
        scalars = pd.DataFrame(
            {
                "run": _category([code for code, _, _ in series], lengths, names),
                "metric": _category([code for _, code, _ in series], lengths, metrics),
                "step": joined.step,
                "wall_time": joined.wall_time,
                "value": joined.value,
            }
        )
        return cls(scalars, _about(runs, scalars))

    @property
    def names(self) -> list[str]:
        """The runs' names, sorted."""
        return [str(name) for name in self.table["run"]]

    @property
    def metrics(self) -> list[str]:
        """The metrics that any run has, canonical ones first."""
        present = self.scalars["metric"].cat.categories
        return sorted((str(metric) for metric in present), key=_metric_order)

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
            values = _as_list(wanted)
            known = set(self.table[column].dropna())
            unknown = [value for value in values if value not in known]
            chosen = table[table[column].isin(values)]
            if unknown or chosen.empty:
                there = ", ".join(sorted({str(v) for v in table[column].dropna()})) or "none"
                raise BadArgument(f"no run has {column} {unknown or values}; there are {there}")
            table = chosen
        scalars = self.scalars[self.scalars["run"].isin(table["run"])]
        if metric is not None:
            metrics = _as_list(metric)
            unknown = [name for name in metrics if name not in self.metrics]
            scalars = scalars[scalars["metric"].isin(metrics)]
            if unknown or scalars.empty:
                raise NotLogged(
                    f"no run has a metric {', '.join(map(str, unknown or metrics))}; "
                    f"there are {', '.join(self.metrics)}"
                )
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
        return (
            f"<Runs: {len(self)} {runs}, {len(self.metrics)} metrics, {len(self.scalars)} points>"
        )

    def _repr_html_(self) -> str:
        shown = self.table[["run", "algo", "env", "seed", "format", "points", "non_finite"]]
        shown = shown.assign(seed=shown["seed"].astype("str").where(shown["seed"].notna(), ""))
        return str(shown.to_html(index=False, max_rows=20, na_rep="", border=0, justify="left"))


def _about(runs: Sequence[Run], scalars: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "run": pd.Series([run.name for run in runs], dtype="str"),
            "algo": pd.Series([run.algo for run in runs], dtype="str"),
            "env": pd.Series([run.env for run in runs], dtype="str"),
            "seed": pd.array([run.seed for run in runs], dtype="Int64"),
            "format": pd.Series([run.format for run in runs], dtype="str"),
            "path": pd.Series([run.path for run in runs], dtype="str"),
            **_counts(scalars, [run.name for run in runs]),
            "episodes": pd.array(
                [run.series["reward"].points if run.episodic else None for run in runs],
                dtype="Int64",
            ),
        }
    )
    parameters = pd.DataFrame([dict(run.hyperparameters) for run in runs], index=table.index)
    parameters = parameters.reindex(columns=sorted(parameters.columns)).convert_dtypes()
    return pd.concat([table, parameters], axis=1)


def _counts(scalars: pd.DataFrame, names: Iterable[str]) -> dict[str, NDArray[np.int64]]:
    """The columns ``points`` and ``non_finite`` for the runs of these names."""
    codes, runs = scalars["run"].cat.codes, scalars["run"].cat.categories
    places = runs.get_indexer(pd.Index(list(names)))
    non_finite = codes[~np.isfinite(scalars["value"])]
    return {
        name: np.bincount(of_points, minlength=len(runs))[places]
        for name, of_points in (("points", codes), ("non_finite", non_finite))
    }


def _category(codes: Sequence[int], lengths: Sequence[int], names: Sequence[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(
        np.repeat(np.asarray(codes, dtype=np.int32), lengths), pd.Index(list(names), dtype="str")
    )


def _metric_order(metric: str) -> tuple[int, str]:
    return (CANONICAL.index(metric) if metric in CANONICAL else len(CANONICAL), metric)


def _as_list(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, list | tuple | set | np.ndarray) else [wanted]
