"""Performance profiles: whole distributions of scores side by side."""

from typing import Literal

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tarslab import stats
from tarslab.charts.algorithms import (
    SHARES,
    TIGHT,
    AlgorithmScores,
    Axis,
    banded_lines,
    bootstrap_note,
    interval_text,
    score_title,
    scored,
    scores_of,
)
from tarslab.charts.synthetic import says_so
from tarslab.stats.resampling import Seed
from tarslab.stats.rolling import as_series

Kind = Literal["score", "average_score"]
Floats = NDArray[np.float64]

THRESHOLDS = 250


def performance_profile_data(
    scores: AlgorithmScores,
    *,
    tau: ArrayLike | None = None,
    kind: Kind = "score",
    reps: int = 2_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> pd.DataFrame:
    """The numbers behind ``performance_profile``.

    Returns
    -------
    DataFrame
        ``algorithm``, ``tau``, ``estimate`` (the share of scores above tau), ``low`` and ``high``
        (NaN from one run) and ``runs``. At most 252 rows an algorithm, or as many as ``tau`` has.
    """
    arrays = scores_of(scores)
    thresholds = _thresholds(arrays, kind) if tau is None else np.sort(as_series(tau, "tau"))
    parts = []
    for algorithm, array in arrays.items():
        found = stats.performance_profile(
            array, thresholds, kind=kind, reps=reps, confidence=confidence, seed=seed
        )
        columns = {"algorithm": algorithm, "tau": thresholds, **found._asdict()}
        parts.append(pd.DataFrame({**columns, "runs": len(array)}))
    return pd.concat(parts, ignore_index=True)


@says_so
def performance_profile(
    scores: AlgorithmScores,
    *,
    tau: ArrayLike | None = None,
    kind: Kind = "score",
    reps: int = 2_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> alt.LayerChart:
    """Share of the scores above each threshold tau: where a line lies higher, more runs did better.

    A line above another everywhere is better in every respect (stochastic dominance); where two
    cross, which is better depends on what one asks for. Of more than 250 scores the middle 98 %
    are in view; drag or zoom out for the rest.

    Parameters
    ----------
    scores
        ``Scores`` of ``runs.scores.final_scores``, or a mapping from algorithm to an array of
        shape (runs, tasks), such as published normalised scores; a ``Runs`` is scored by the
        defaults of ``final_scores``.
    tau
        The thresholds; by default every score that there is, at which the profile steps down, or
        250 of them at equal ranks where there are more.
    kind
        ``"score"`` (default) counts every run of every task, ``"average_score"`` the tasks by the
        mean over their runs.
    reps, confidence, seed
        Of the pointwise bootstrap band: as in ``stats.performance_profile``.

    Raises
    ------
    BadArgument
        Algorithms have not the same number of tasks, or an argument is out of its range.

    References
    ----------
    Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021.
    """
    scores = scored(scores)
    table = performance_profile_data(
        scores, tau=tau, kind=kind, reps=reps, confidence=confidence, seed=seed
    )
    arrays = scores_of(scores)
    counted = "runs" if kind == "score" else "tasks"
    title = score_title(scores)
    return banded_lines(
        table,
        Axis("tau", f"{title} τ", _shown(arrays) if tau is None else TIGHT),
        Axis("estimate", f"share of {counted} above τ", SHARES, "%"),
        note=bootstrap_note(arrays, confidence, reps, pointwise=True),
        tooltip=[
            alt.Tooltip("algorithm:N", title="algorithm"),
            alt.Tooltip("tau:Q", title="τ", format=",.5~g"),
            *interval_text(table, ".1%"),
            alt.Tooltip("runs:Q", title="runs (n)"),
        ],
        interpolate="step-after",
    )


def _thresholds(arrays: dict[str, Floats], kind: Kind) -> Floats:
    """Where any profile steps down, with a little room on both sides."""
    counted = [array if kind == "score" else array.mean(axis=0) for array in arrays.values()]
    steps: Floats = np.unique(np.concatenate([np.ravel(values) for values in counted]))
    room = 0.02 * (steps[-1] - steps[0]) or 0.02 * abs(steps[0]) or 1.0
    steps = steps[np.linspace(0, len(steps) - 1, min(len(steps), THRESHOLDS)).round().astype(int)]
    return np.concatenate([[steps[0] - room], steps, [steps[-1] + room]])


def _shown(arrays: dict[str, Floats]) -> alt.Scale:
    """All of few scores, else the middle 98 %: a single score far out would leave little to see."""
    scores = np.concatenate([np.ravel(array) for array in arrays.values()])
    low, high = np.quantile(scores, [0.01, 0.99])
    if len(scores) <= THRESHOLDS or low == high:
        return TIGHT
    return alt.Scale(domain=[float(f"{low:.4g}"), float(f"{high:.4g}")], nice=False)
