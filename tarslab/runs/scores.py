"""From runs to what statistics take: a score a run, a curve a run, when each reached a target.

The arrays have rliable's shapes, (runs, tasks) and (runs, tasks, checkpoints), one for each
algorithm; a task is an environment.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tarslab.errors import BadArgument, LogWarning
from tarslab.runs.recording import Series
from tarslab.runs.table import Runs
from tarslab.stats import (
    TimeToTarget,
    common_grid,
    interpolate_onto,
    rolling_mean_std,
    time_to_target,
)
from tarslab.stats.survival import Direction

Floats = NDArray[np.float64]
Bounds = Mapping[str, Sequence[float]]
Budget = Literal["shared", "own"] | int

UNKNOWN_TASK = "env unknown"

# A run that ends further than this share of the training before the others was cut short.
_EARLY = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class AlgorithmArrays(Mapping[str, Floats]):
    """A mapping from algorithm to array, and what its numbers are."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    arrays: Mapping[str, Floats]
    tasks: tuple[str, ...]
    metric: str
    normalised: bool
    """Whether 0 and 1 are the ``bounds`` of each task; else the values are as they were logged."""
    synthetic: bool
    """Whether any of the runs was made by ``tarslab.synth``."""

    def __getitem__(self, algorithm: str) -> Floats:
        return self.arrays[algorithm]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        runs = ", ".join(f"{name} {array.shape}" for name, array in self.arrays.items())
        return f"<{type(self).__name__} of {self.metric}: {runs}>"


@dataclass(frozen=True, eq=False, repr=False)
class Scores(AlgorithmArrays):
    """One score a run: from each algorithm to an array of shape (runs, tasks)."""

    last: float
    """The share of the training whose mean a score is."""
    table: pd.DataFrame
    """A row a run, as the arrays have them: ``algorithm``, ``task``, ``run``, ``seed``, ``steps``
    (that its training counts for) and ``score``."""

    def steps(self, algorithm: str) -> tuple[int, ...]:
        """How many steps of training count, for each task."""
        own = self.table[self.table["algorithm"] == algorithm]
        return tuple(int(own["steps"][own["task"] == task].iloc[0]) for task in self.tasks)


@dataclass(frozen=True, eq=False, repr=False)
class Curves(AlgorithmArrays):
    """One curve a run: from each algorithm to an array of shape (runs, tasks, checkpoints)."""

    steps: Mapping[str, NDArray[np.int64]]
    """The steps of each algorithm's checkpoints; those of one a part of a grid common to all."""


def final_scores(
    runs: Runs,
    *,
    metric: str = "reward",
    by: str = "algo",
    last: float = 0.1,
    budget: Budget = "shared",
    bounds: Bounds | None = None,
) -> Scores:
    """One score a run: the mean of what it logged over the last part of its training.

    Parameters
    ----------
    runs
        Every algorithm with as many runs for each of its tasks; different algorithms may have
        different numbers of runs.
    metric
        Default ``"reward"``.
    by
        The column of ``runs.table`` whose values are compared, default ``"algo"``.
    last
        The part of the training that counts, default 0.1: every value logged in its last tenth,
        each with the same weight. One evaluation alone would be mostly luck.
    budget
        How much training is compared. ``"shared"`` (default) ends at the step that every
        algorithm has come to on a task, as more training is an advantage of its own; ``"own"``
        takes what each algorithm has; a number of steps is the most that counts.
    bounds
        For each environment the value that counts 0 and the one that counts 1, such as the
        return of random play and of an expert. Needed where there are several environments; with
        one, the default None leaves scores as they are.

    Raises
    ------
    NotLogged
        No run has the metric.
    BadArgument
        An algorithm has not as many runs for each task; a run has no value in that last part, or
        one that is not finite: leaving out runs that broke off or diverged would flatter their
        algorithm, so that is for the caller to decide; there are several environments and no
        bounds; or an argument is out of its range. Each message names the runs.
    """
    if not 0 < last <= 1:
        raise BadArgument(f"last must be above 0 and at most 1, not {last!r}")
    recordings = _recordings(runs, metric, by)
    tasks = _tasks(recordings)
    scale = _Scale(tasks, bounds)
    steps = _steps_that_count(recordings, budget)
    table = pd.DataFrame(
        [
            (
                each.algorithm,
                each.task,
                each.run,
                each.seed,
                steps[each.algorithm, each.task],
                float(scale(each.task, _score(each, metric, last, steps))),
            )
            for each in recordings
        ],
        columns=["algorithm", "task", "run", "seed", "steps", "score"],
    ).astype({"seed": "Int64"})
    arrays = {
        str(algorithm): np.stack(
            [of_one["score"][of_one["task"] == task].to_numpy() for task in tasks], axis=1
        )
        for algorithm, of_one in table.groupby("algorithm", sort=False)
    }
    return Scores(arrays, tasks, metric, scale.normalised, runs.synthetic, last, table)


def learning_curves(
    runs: Runs,
    *,
    metric: str = "reward",
    by: str = "algo",
    window: int = 10,
    checkpoints: int = 100,
    bounds: Bounds | None = None,
) -> Curves:
    """One curve a run: its rolling mean, on steps that all runs of an algorithm have in common.

    Values between two logged steps are interpolated, none are extrapolated: an algorithm's curve
    begins where the last of its runs has begun and ends where the first has ended, with a
    LogWarning where that is more than 5 % short of its longest. The checkpoints of all algorithms
    are on one grid: the logged steps themselves where they are no more than ``checkpoints``, else
    equidistant. It begins and ends within 5 % of the first and the last step of all, where most
    runs do (``stats.common_grid``), so that a run that stopped a little early costs no interval.

    Parameters
    ----------
    runs, metric, by, bounds
        As ``final_scores``.
    window
        Points in the rolling mean, default 10.
    checkpoints
        The most points that the grid has, default 100.

    Raises
    ------
    NotLogged
        No run has the metric.
    BadArgument
        As ``final_scores``, or the runs of an algorithm have no step in common.
    """
    if checkpoints < 2:
        raise BadArgument(f"checkpoints must be at least 2, not {checkpoints!r}")
    recordings = _recordings(runs, metric, by)
    tasks = _tasks(recordings)
    scale = _Scale(tasks, bounds)
    shared = common_grid([each.series.step for each in recordings], checkpoints)
    grid = np.unique(np.rint(shared).astype(np.int64))
    lines: dict[str, dict[str, list[Floats]]] = {}
    for each in recordings:
        mean = rolling_mean_std(each.series.value, window)[0]
        line = scale(each.task, interpolate_onto(grid, each.series.step, mean))
        lines.setdefault(each.algorithm, {}).setdefault(each.task, []).append(line)
    arrays, steps = {}, {}
    for algorithm, of_tasks in lines.items():
        curves = np.stack([np.stack(of_tasks[task]) for task in tasks], axis=1)
        part = _shared_part(grid, curves, [r for r in recordings if r.algorithm == algorithm])
        arrays[algorithm], steps[algorithm] = curves[:, :, part], grid[part]
    return Curves(arrays, tasks, metric, scale.normalised, runs.synthetic, steps)


def times_to_target(
    runs: Runs,
    target: float | Mapping[str, float],
    *,
    metric: str = "reward",
    by: str = "algo",
    window: int = 10,
    direction: Direction = "up",
    confidence: float = 0.95,
) -> dict[str, TimeToTarget]:
    """When the runs of each algorithm reached a target, those counted that never did.

    A run gets there at the first step at which the mean of its last ``window`` values does: one
    lucky episode is no success. Values that are not finite are skipped. See
    ``stats.time_to_target`` for what follows from that.

    Parameters
    ----------
    runs, metric, by
        As ``final_scores``; the numbers of runs may differ.
    target
        The value to reach, or one for each environment.
    window
        Values in the rolling mean, default 10; the first mean is that of the first ``window``.
    direction
        ``"up"`` (default) where more is better, ``"down"`` for losses and gaps.
    confidence
        Of the bands and of the medians' intervals, default 0.95.

    Returns
    -------
    dict from algorithm, or ``"algorithm · environment"`` where there are several environments

    Raises
    ------
    NotLogged
        No run has the metric.
    BadArgument
        An environment has no target, a run has fewer than ``window`` finite values, or an argument
        is out of its range.
    """
    recordings = _recordings(runs, metric, by)
    tasks = tuple(dict.fromkeys(each.task for each in recordings))
    heights = target if isinstance(target, Mapping) else dict.fromkeys(tasks, target)
    if missing := [task for task in tasks if task not in heights]:
        raise BadArgument(
            f"target names no value for {', '.join(missing)}: give target={{{missing[0]!r}: ...}}"
        )
    curves: dict[tuple[str, str], list[tuple[ArrayLike, ArrayLike]]] = {}
    for each in recordings:
        line = _full_window_means(each, window)
        curves.setdefault((each.algorithm, each.task), []).append(line)
    return {
        algorithm if len(tasks) == 1 else f"{algorithm} · {task}": time_to_target(
            lines, heights[task], direction=direction, confidence=confidence
        )
        for (algorithm, task), lines in curves.items()
    }


class _Recording(NamedTuple):
    """One run's series of the metric, and what it counts for."""

    algorithm: str
    task: str
    run: str
    seed: int | None
    series: Series


def _recordings(runs: Runs, metric: str, by: str) -> list[_Recording]:
    """The runs that have the metric, sorted by algorithm, task, seed and name."""
    if by not in runs.table:
        raise BadArgument(
            f"by must be a column of runs.table, not {by!r}: {', '.join(map(str, runs.table))}"
        )
    series = dict(runs.series(metric))
    if without := [name for name in runs.names if name not in series]:
        warnings.warn(f"{_some(without)}: no {metric}, left out", LogWarning, stacklevel=3)
    table = runs.table.set_index("run", drop=False).loc[list(series)]
    unknown = [str(name) for name in table.index[table[by].isna()]]
    if unknown:
        raise BadArgument(
            f"the {by} of {_some(unknown)} is not known: leave such runs out with runs.select, "
            "or compare by another column"
        )
    tasks = table["env"].fillna(UNKNOWN_TASK)
    recordings = [
        _Recording(str(algorithm), str(task), str(run), _seed(seed), series[str(run)])
        for run, algorithm, task, seed in zip(
            table.index, table[by], tasks, table["seed"], strict=True
        )
    ]
    return sorted(recordings, key=lambda r: (r.algorithm, r.task, _after(r.seed), r.run))


def _tasks(recordings: list[_Recording]) -> tuple[str, ...]:
    """The tasks, every algorithm having as many runs for each; or BadArgument."""
    tasks = tuple(sorted({each.task for each in recordings}))
    algorithms = list(dict.fromkeys(each.algorithm for each in recordings))
    seeds: dict[tuple[str, str], list[int | None]] = {
        pair: [] for pair in product(algorithms, tasks)
    }
    for each in recordings:
        seeds[each.algorithm, each.task].append(each.seed)
    for algorithm in algorithms:
        numbers = {task: len(seeds[algorithm, task]) for task in tasks}
        if missing := [task for task, number in numbers.items() if not number]:
            raise BadArgument(
                f"{algorithm} has no run of {_some(missing)}: compare the environments that every "
                "algorithm was run on, runs.select(env=[...])"
            )
        if len(set(numbers.values())) > 1:
            raise BadArgument(
                f"{algorithm} has not as many runs for each environment ("
                + ", ".join(f"{number} of {task}" for task, number in numbers.items())
                + f"): {_mend_of_uneven([seeds[algorithm, task] for task in tasks])}"
            )
    return tasks


def _mend_of_uneven(seeds: list[list[int | None]]) -> str:
    """Which runs to keep is said by their seeds, not chosen here: it can change the result."""
    mend = "train what is missing, or leave runs out with runs.select"
    shared = set.intersection(*(set(of_one) for of_one in seeds))
    common = sorted(seed for seed in shared if seed is not None)
    if not common:
        return mend
    return f"{mend}, such as runs.select(seed={common}), which all have"


def _steps_that_count(recordings: list[_Recording], budget: Budget) -> dict[tuple[str, str], int]:
    """For each algorithm and task."""
    furthest: dict[tuple[str, str], int] = {}
    for each in recordings:
        pair = each.algorithm, each.task
        furthest[pair] = max(furthest.get(pair, 0), int(each.series.step[-1]))
    if budget == "own":
        return furthest
    if budget == "shared":
        most = {
            task: min(end for (_, of), end in furthest.items() if of == task)
            for _, task in furthest
        }
    elif _is_whole(budget) and budget > 0:
        most = {task: int(budget) for _, task in furthest}
    else:
        raise BadArgument(
            f'budget must be "shared", "own" or a positive number of steps, not {budget!r}'
        )
    return {(algorithm, task): min(end, most[task]) for (algorithm, task), end in furthest.items()}


def _is_whole(number: Any) -> bool:
    return (
        isinstance(number, int | float | np.number)
        and not isinstance(number, bool)
        and (float(number).is_integer())
    )


def _score(
    each: _Recording, metric: str, last: float, steps: Mapping[tuple[str, str], int]
) -> float:
    end = steps[each.algorithm, each.task]
    start = (1 - last) * end
    at = each.series.step
    values = each.series.value[((at > start) | (at == end) | (last == 1)) & (at <= end)]
    if not len(values):
        raise BadArgument(
            f"{each.run} has no {metric} from step {start:,.0f} to {end:,}, where it would be "
            f"scored; its last is at {at[-1]:,}: give a larger last or a smaller budget, or leave "
            "it out with runs.select if what ended it has nothing to do with how well it did"
        )
    if not np.isfinite(values).all():
        raise BadArgument(
            f"{each.run} has a {metric} that is not finite from step {start:,.0f} to {end:,}, "
            "where it would be scored: a run that diverged is a result too; give a budget from "
            "before that, or leave it out with runs.select and say so"
        )
    return float(values.mean())


class _Scale:
    """Values as logged, or with the bounds of each task at 0 and 1."""

    def __init__(self, tasks: tuple[str, ...], bounds: Bounds | None) -> None:
        self.normalised = bool(bounds)
        if not bounds:
            # The smallest and largest value seen would do as bounds, but then the scores of one
            # algorithm would change with what it is compared with.
            if len(tasks) > 1:
                example = ", ".join(f"{task!r}: (…, …)" for task in tasks[:2])
                raise BadArgument(
                    f"bounds are needed to average over {len(tasks)} environments: give the value "
                    "that counts 0 and the one that counts 1 for each, such as the return of "
                    f"random play and of an expert, bounds={{{example}}}"
                )
            self._bounds = dict.fromkeys(tasks, (0.0, 1.0))
            return
        if missing := [task for task in tasks if task not in bounds]:
            raise BadArgument(f"bounds name no values for {_some(missing)}")
        self._bounds = {task: _pair(task, bounds[task]) for task in tasks}

    def __call__(self, task: str, values: Any) -> Any:
        zero, one = self._bounds[task]
        return (values - zero) / (one - zero)


def _pair(task: str, given: Sequence[float]) -> tuple[float, float]:
    pair = np.asarray(given, dtype=np.float64)
    if pair.shape != (2,) or not np.isfinite(pair).all() or pair[0] == pair[1]:
        raise BadArgument(
            f"bounds[{task!r}] must be two different numbers, for 0 and for 1, not {given!r}"
        )
    return float(pair[0]), float(pair[1])


def _shared_part(grid: NDArray[np.int64], curves: Floats, recordings: list[_Recording]) -> slice:
    """The checkpoints at which all runs of an algorithm have a value, up to the first gap."""
    algorithm = recordings[0].algorithm
    known = np.atleast_1d(np.isfinite(curves).all(axis=(0, 1)))
    if not known.any():
        raise BadArgument(
            f"the {len(recordings)} runs of {algorithm} have none of {len(grid)} checkpoints in "
            "common: give more checkpoints, or leave out the runs that broke off"
        )
    first = int(known.argmax())
    gaps = np.flatnonzero(~known[first:])
    part = slice(first, first + int(gaps[0]) if len(gaps) else len(grid))
    ends = {each.run: int(each.series.step[-1]) for each in recordings}
    longest = grid[grid <= max(ends.values())][-1]
    if grid[part][-1] < (1 - _EARLY) * longest:
        shortest = min(ends, key=lambda run: ends[run])
        why = f"{shortest} ends at {ends[shortest]:,}"
        if ends[shortest] > grid[part.stop]:
            why = "beyond, one has no finite value"
        warnings.warn(
            f"the curve of {algorithm} ends at step {grid[part][-1]:,} of {longest:,}, the last "
            f"that all its runs have ({why})",
            LogWarning,
            stacklevel=3,
        )
    return part


def _full_window_means(each: _Recording, window: int) -> tuple[Floats, Floats]:
    """Steps and rolling means, from the first that has all its values."""
    known = each.series.take(np.isfinite(each.series.value))
    mean = rolling_mean_std(known.value, window)[0]
    if len(mean) < window:
        raise BadArgument(
            f"{each.run} has {len(mean)} finite values, fewer than window={window}: give a smaller "
            "window"
        )
    return known.step[window - 1 :].astype(np.float64), mean[window - 1 :]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _seed(seed: Any) -> int | None:
    return None if pd.isna(seed) else int(seed)


def _after(seed: int | None) -> tuple[bool, int]:
    """Sorts unknown seeds last."""
    return seed is None, seed or 0
