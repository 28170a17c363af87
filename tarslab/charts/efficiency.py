"""Sample efficiency: the score of algorithms after equally many steps."""

from collections.abc import Callable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tarslab import stats
from tarslab.charts.algorithms import (
    LOOSE,
    TIGHT,
    AlgorithmScores,
    Axis,
    banded_lines,
    bootstrap_note,
    interval_text,
    score_title,
    scores_of,
)
from tarslab.charts.curves import POINTS
from tarslab.charts.synthetic import says_so
from tarslab.errors import BadArgument
from tarslab.runs import Runs
from tarslab.runs.scores import Curves, learning_curves
from tarslab.stats.resampling import Seed
from tarslab.stats.rolling import as_series

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Any]

STATISTICS: dict[Statistic, str] = {
    stats.median: "median",
    stats.iqm: "IQM",
    stats.mean: "mean",
    stats.optimality_gap: "optimality gap",
}


def sample_efficiency_data(
    scores: AlgorithmScores,
    *,
    steps: ArrayLike | None = None,
    statistic: Statistic = stats.iqm,
    reps: int = 50_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> pd.DataFrame:
    """The numbers behind ``sample_efficiency``.

    Returns
    -------
    DataFrame
        ``algorithm``, ``step``, ``estimate`` (of ``statistic`` over runs and tasks), ``low`` and
        ``high`` (NaN from one run) and ``runs``. At most 500 rows an algorithm.
    """
    given = learning_curves(scores) if isinstance(scores, Runs) else scores
    arrays = scores_of(given, dimensions=3)
    parts = []
    for algorithm, array in arrays.items():
        at = _steps(given, algorithm, array.shape[-1], steps)
        kept = np.unique(np.linspace(0, len(at) - 1, min(len(at), POINTS)).round().astype(int))
        found = stats.sample_efficiency(
            array[:, :, kept], statistic, reps=reps, confidence=confidence, seed=seed
        )
        columns = {"algorithm": algorithm, "step": at[kept], **found._asdict()}
        parts.append(pd.DataFrame({**columns, "runs": len(array)}))
    return pd.concat(parts, ignore_index=True)


@says_so
def sample_efficiency(
    scores: AlgorithmScores,
    *,
    steps: ArrayLike | None = None,
    statistic: Statistic = stats.iqm,
    reps: int = 50_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> alt.LayerChart:
    """The interquartile mean over runs and tasks by step of training, with its interval.

    Parameters
    ----------
    scores
        ``Curves`` of ``runs.scores.learning_curves``, or a mapping from algorithm to an array of
        shape (runs, tasks, checkpoints); a ``Runs`` is interpolated by the defaults of
        ``learning_curves``. Each algorithm's line ends where its first run ends.
    steps
        The steps of the checkpoints of plain arrays, shape (checkpoints,); by default they are
        counted from 1. Curves bring their own.
    statistic
        ``stats.iqm`` (default), ``median``, ``mean``, ``optimality_gap`` or any function from
        shape (runs, tasks) to a number.
    reps, confidence, seed
        Of the pointwise bootstrap band: as in ``stats.sample_efficiency``.

    Raises
    ------
    BadArgument
        Algorithms have not the same number of tasks, the steps are not as many as the
        checkpoints, or an argument is out of its range.

    References
    ----------
    Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021.
    """
    given = learning_curves(scores) if isinstance(scores, Runs) else scores
    table = sample_efficiency_data(
        given, steps=steps, statistic=statistic, reps=reps, confidence=confidence, seed=seed
    )
    counted = steps is None and not isinstance(given, Curves)
    name = STATISTICS.get(statistic) or getattr(statistic, "__name__", "statistic")
    return banded_lines(
        table,
        Axis("step", "checkpoint" if counted else "step", TIGHT),
        Axis("estimate", f"{name} of {score_title(scores)}", LOOSE),
        note=bootstrap_note(scores_of(given, dimensions=3), confidence, reps, pointwise=True),
        tooltip=[
            alt.Tooltip("algorithm:N", title="algorithm"),
            alt.Tooltip("step:Q", title="checkpoint" if counted else "step", format=",.0f"),
            *interval_text(table, ",.5~g"),
            alt.Tooltip("runs:Q", title="runs (n)"),
        ],
    )


def _steps(given: object, algorithm: str, checkpoints: int, steps: ArrayLike | None) -> Floats:
    if isinstance(given, Curves):
        if steps is not None:
            raise BadArgument("steps are those of the curves: leave them out")
        return given.steps[algorithm].astype(np.float64)
    if steps is None:
        return np.arange(1.0, checkpoints + 1)
    at = as_series(steps, "steps")
    if at.shape != (checkpoints,) or not np.all(np.diff(at) > 0):
        raise BadArgument(
            f"steps must be {checkpoints} increasing numbers, one a checkpoint of {algorithm}, "
            f"not of shape {at.shape}"
        )
    return at
