"""``Study``: what was tried in a hyperparameter search, as tables."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from tarslab import stats
from tarslab.errors import BadArgument, NoTrials
from tarslab.studies.storages import Recorded

Floats = NDArray[np.float64]
Method = Literal["ped-anova", "fanova", "mdi"]

SYNTHETIC = "synthetic"
STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")


class Study:
    """A hyperparameter search.

    Attributes
    ----------
    name : str
    directions : tuple of str
        ``minimize`` or ``maximize``, one an objective.
    objectives : tuple of str
        What the objectives are called: the metric names of the study, else ``value`` or
        ``value 0``, ``value 1``, ...
    parameters : dict from name to optuna.distributions.BaseDistribution
        In the order they came up; of a parameter whose range changed the last.
    trials : DataFrame
        One row a trial, by number, with the columns of Optuna's own ``trials_dataframe()``:
        ``number``, ``state``, ``value`` (of several objectives ``values_0``, ``values_1``, ...; NaN
        where a trial has none, of a pruned trial the last that it reported), ``datetime_start`` and
        ``datetime_complete`` (UTC, NaT where not there), ``duration`` (seconds), ``params_<name>``,
        ``user_attrs_<name>``; and ``feasible`` where trials have constraints.
    reported : DataFrame
        Intermediate values, in long form: ``number``, ``step``, ``value``.
    attributes : dict
        The user attributes of the study.
    frozen : list of optuna.trial.FrozenTrial
        The trials as Optuna has them, in the order of the rows.
    source : str
        Where it was loaded from; '' for a study in memory.
    """

    def __init__(self, recorded: Recorded, source: str = "") -> None:
        self.name = recorded.name
        self.directions = recorded.directions
        self.source = source
        self.attributes = recorded.attributes
        self.frozen = sorted(recorded.trials, key=lambda trial: trial.number)
        self.objectives = recorded.metric_names or _objective_names(len(self.directions))
        self.parameters: dict[str, BaseDistribution] = {}
        for trial in self.frozen:
            self.parameters |= trial.distributions
        for name, distribution in self.parameters.items():
            if not getattr(distribution, "log", False):
                continue
            tried = [t.params[name] for t in self.frozen if name in t.params]
            if min(tried) <= 0:
                # It was searched on a plain scale before, which such values need.
                self.parameters[name] = _plain(distribution, tried)
        self.trials = _trials(self.frozen, len(self.directions), self.parameters)

    @cached_property
    def reported(self) -> pd.DataFrame:
        rows = [
            (trial.number, step, value)
            for trial in self.frozen
            for step, value in sorted(trial.intermediate_values.items())
        ]
        table = pd.DataFrame(rows, columns=["number", "step", "value"])
        return table.astype({"number": np.int64, "step": np.int64, "value": np.float64})

    @property
    def synthetic(self) -> bool:
        """Whether it was made by ``tarslab.synth``, and not by a search."""
        return self.source == SYNTHETIC

    @property
    def value_columns(self) -> list[str]:
        """The columns of ``trials`` that hold the objectives."""
        n = len(self.directions)
        return ["value"] if n == 1 else [f"values_{place}" for place in range(n)]

    def finished(self) -> pd.DataFrame:
        """The rows of complete trials that keep their constraints, whose values count.

        Raises NoTrials, with the number of trials in each state, where there is none.
        """
        chosen = self.trials["state"] == "COMPLETE"
        if not chosen.any():
            raise NoTrials(f"{self.name}: no trial has been completed yet; it has {self._counts()}")
        if "feasible" in self.trials:
            chosen &= self.trials["feasible"]
            if not chosen.any():
                raise NoTrials(
                    f"{self.name}: no complete trial keeps its constraints; it has {self._counts()}"
                )
        return self.trials[chosen]

    def front(self) -> pd.DataFrame:
        """The rows of the trials that no other dominates; of one objective, of the best.

        As Optuna's ``best_trials``: complete trials that keep their constraints; trials with the
        same values are all on it.
        """
        finished = self.finished()
        values = finished[self.value_columns].to_numpy(np.float64)
        return finished[stats.pareto_mask(values, self.directions)]

    def summary(self, trials: int = 5) -> pd.DataFrame:
        """The best trials and what they were made of, as text for people: a column each.

        Of several objectives those on the frontier, the best in the first objective first. Numbers
        have three digits.
        """
        column, direction = self.value_columns[0], self.directions[0]
        rows = self.finished() if len(self.directions) == 1 else self.front()
        rows = rows.sort_values(column, ascending=direction == "minimize", kind="stable")
        rows = rows.head(trials).set_index("number")
        parameters = {f"params_{name}": name for name in self.parameters}
        names = dict(zip(self.value_columns, self.objectives, strict=True)) | parameters
        return rows[list(names)].rename(columns=names).map(_in_words).T

    def best_so_far(self, objective: int = 0) -> pd.DataFrame:
        """``number`` and ``best``: after each complete trial the best value of an objective."""
        column, direction = self.objective(objective)
        finished = self.finished()
        values = finished[column].to_numpy(np.float64)
        best = np.fmin if direction == "minimize" else np.fmax
        return pd.DataFrame(
            {"number": finished["number"].to_numpy(), "best": best.accumulate(values)}
        )

    def objective(self, objective: int | str = 0) -> tuple[str, str]:
        """The column and the direction of an objective, given by its place or name."""
        if isinstance(objective, str) and objective in self.objectives:
            objective = self.objectives.index(objective)
        if not isinstance(objective, int) or not 0 <= objective < len(self.directions):
            listed = ", ".join(f"{n} ({name})" for n, name in enumerate(self.objectives))
            raise BadArgument(f"objective must be one of {listed}, not {objective!r}")
        return self.value_columns[objective], self.directions[objective]

    def importance(
        self,
        method: Method = "ped-anova",
        *,
        objective: int | str = 0,
        bootstrap: int = 100,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> pd.DataFrame:
        """How much each hyperparameter matters to an objective, with how sure that is.

        Parameters
        ----------
        method
            ``"ped-anova"`` (default; Watanabe et al. 2023), which asks what sets the best trials
            apart; ``"fanova"`` (Hutter et al. 2014) and ``"mdi"`` explain the variance over all
            trials by a random forest, and take only parameters that every complete trial has.
        objective
            Its place or name.
        bootstrap
            How often the importances are computed again from trials drawn with replacement, since
            those of one fit are unstable. 0 leaves out the intervals.
        confidence, seed
            Of the percentile intervals; the same seed gives the same interval.

        Returns
        -------
        DataFrame
            ``parameter``, ``importance`` (they sum to 1; equal to Optuna's own with this seed),
            ``low`` and ``high`` (NaN with ``bootstrap=0``), the most important first.

        Raises
        ------
        NoTrials
            Fewer than two complete trials, or no parameter that varies among them.
        """
        # Optuna's evaluators bring scikit-learn, which takes a second.
        from tarslab.studies.importance import importances

        place = self.value_columns.index(self.objective(objective)[0])
        self.finished()
        return importances(
            self.frozen,
            self.directions,
            place,
            method,
            bootstrap=bootstrap,
            confidence=confidence,
            seed=seed,
        )

    def reference(self) -> Floats:
        """The worst finite value that a complete trial has in each objective, shape (objectives,).

        Raises NoTrials where an objective has no finite value.
        """
        values = self.finished()[self.value_columns].to_numpy(np.float64)
        finite = np.isfinite(values)
        if not finite.any(axis=0).all():
            raise NoTrials(f"{self.name}: no complete trial has a finite value of each objective")
        minimize = np.array([d == "minimize" for d in self.directions])
        worst: Floats = np.where(
            minimize,
            np.where(finite, values, -np.inf).max(axis=0),
            np.where(finite, values, np.inf).min(axis=0),
        )
        return worst

    def hypervolume_history(self, reference: Sequence[float] | None = None) -> pd.DataFrame:
        """How much the frontier has gained with each trial.

        Parameters
        ----------
        reference
            A point that is worse than those that count, one number an objective; by default
            ``reference()``, the worst finite values seen, at which a trial adds nothing. Volumes of
            two studies can be compared only with the same reference.

        Returns
        -------
        DataFrame
            ``number`` of each complete trial that keeps its constraints, and ``hypervolume`` of all
            up to it, as Optuna's ``plot_hypervolume_history``.
        """
        finished = self.finished()
        corner = self.reference() if reference is None else np.asarray(reference, np.float64)
        values = finished[self.value_columns].to_numpy(np.float64)
        return pd.DataFrame(
            {
                "number": finished["number"].to_numpy(),
                "hypervolume": _volumes(values, corner, self.directions),
            }
        )

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        aims = ", ".join(
            f"{direction} {name}"
            for name, direction in zip(self.objectives, self.directions, strict=True)
        )
        return f"<Study {self.name}: {self._counts()}, {len(self.parameters)} parameters, {aims}>"

    def _repr_html_(self) -> str:
        shown = [c for c in self.trials if c != "datetime_start" and c != "datetime_complete"]
        table = self.trials[shown].to_html(index=False, max_rows=12, na_rep="", border=0)
        return f"<p>{escape(repr(self)[1:-1])}</p>{table}"

    def _counts(self) -> str:
        if self.trials.empty:
            return "no trials"
        counts = self.trials["state"].value_counts()
        listed = ", ".join(f"{counts[state]} {state}" for state in STATES if state in counts)
        return f"{len(self)} trial{'' if len(self) == 1 else 's'} ({listed})"


def _objective_names(n: int) -> tuple[str, ...]:
    return ("value",) if n == 1 else tuple(f"value {place}" for place in range(n))


def _trials(
    frozen: Sequence[FrozenTrial], objectives: int, parameters: Mapping[str, BaseDistribution]
) -> pd.DataFrame:
    values = np.full((len(frozen), objectives), np.nan)
    for row, trial in enumerate(frozen):
        # A pruned trial of one objective has its last report as its value, a failed one nothing.
        if trial.values is not None:
            values[row, : len(trial.values)] = trial.values
    names = ["value"] if objectives == 1 else [f"values_{place}" for place in range(objectives)]
    start = pd.Series([_utc(trial.datetime_start) for trial in frozen], dtype="datetime64[us]")
    end = pd.Series([_utc(trial.datetime_complete) for trial in frozen], dtype="datetime64[us]")
    columns: dict[str, Any] = {
        "number": np.array([trial.number for trial in frozen], dtype=np.int64),
        "state": pd.Series([trial.state.name for trial in frozen], dtype="str"),
        **dict(zip(names, values.T, strict=True)),
        "datetime_start": start,
        "datetime_complete": end,
        "duration": (end - start).dt.total_seconds(),
    }
    for name, distribution in parameters.items():
        cells = [trial.params.get(name) for trial in frozen]
        columns[f"params_{name}"] = _parameter(cells, distribution)
    for name in dict.fromkeys(name for trial in frozen for name in trial.user_attrs):
        cells = [trial.user_attrs.get(name) for trial in frozen]
        columns[f"user_attrs_{name}"] = pd.Series(cells, dtype="object").infer_objects()
    constraints = [trial.constraints.values() for trial in frozen]
    if any(constraints):
        # As in Optuna, a trial without any keeps them.
        columns["feasible"] = np.array(
            [all(value <= 0 for value in one) for one in constraints], np.bool_
        )
    return pd.DataFrame(columns)


def _plain(distribution: BaseDistribution, tried: Sequence[float]) -> BaseDistribution:
    if isinstance(distribution, IntDistribution):
        low, high = int(min(tried)), int(max(*tried, distribution.high))
        return IntDistribution(low, high)
    assert isinstance(distribution, FloatDistribution)
    return FloatDistribution(min(tried), max(*tried, distribution.high))


def _in_words(cell: Any) -> str:
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return ""
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def _utc(time: datetime | None) -> datetime | None:
    """Naive UTC from the naive local time of Optuna's trials, which differs between readers."""
    return time and time.astimezone(UTC).replace(tzinfo=None)


def _parameter(cells: list[Any], distribution: BaseDistribution) -> "pd.Series[Any]":
    if isinstance(distribution, CategoricalDistribution):
        words = all(isinstance(choice, str) for choice in distribution.choices)
        return pd.Series(cells, dtype="str" if words else "object")
    whole = isinstance(distribution, IntDistribution)
    return pd.Series(cells, dtype="Int64" if whole else "float64")


def _volumes(values: Floats, corner: Floats, directions: Iterable[str]) -> Floats:
    """The hypervolume of the first row, of the first two, and so on."""
    aims = tuple(directions)
    volumes = np.zeros(len(values))
    front = values[:0]
    volume = 0.0
    for row, point in enumerate(values):
        joined = np.vstack([front, point])
        kept = stats.pareto_mask(joined, aims)
        # A point that another dominates, or equals, adds nothing.
        if kept[-1] and not (front == point).all(axis=1).any():
            front = joined[kept]
            volume = stats.hypervolume(front, corner, aims)
        volumes[row] = volume
    return volumes
