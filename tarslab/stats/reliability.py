"""Whole distributions of scores compared: performance profiles, probability of improvement.

Both after Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice,
NeurIPS 2021, with percentile intervals from the bootstrap stratified over the tasks.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tarslab.errors import BadArgument
from tarslab.stats.bootstrap import trimmed_means
from tarslab.stats.resampling import (
    Floats,
    Interval,
    Options,
    Replicate,
    Seed,
    draw_runs,
    interval,
    unknown_interval,
)
from tarslab.stats.rolling import as_series
from tarslab.stats.scores import as_scores


def performance_profile(
    scores: ArrayLike,
    tau: ArrayLike,
    *,
    kind: Literal["score", "average_score"] = "score",
    reps: int = 2_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Interval[Floats]:
    """Share of the scores above each threshold ``tau``, with its pointwise interval.

    ``score`` counts every run of every task (run-score distribution), ``average_score`` the tasks
    by the mean over their runs. Where one algorithm's profile lies above another's throughout, it
    dominates stochastically.

    Parameters
    ----------
    scores : array_like, shape (runs, tasks); (runs,) is one task
    tau : array_like, shape (thresholds,)
    kind : "score" or "average_score"
    reps : int, number of replications
    confidence : float between 0 and 1
    seed : int or numpy.random.Generator
        The same int gives the same interval; a Generator moves on with each call.

    Returns
    -------
    Interval of arrays, shape (thresholds,); its bounds are NaN where there is one run only

    Raises
    ------
    BadArgument
        ``scores`` is empty, of another shape, ragged, or holds a value that is not finite;
        ``tau`` is not one-dimensional or holds NaN; or an option is out of its range.
    """
    table = _final_scores(scores, "scores")
    thresholds = _thresholds(tau)
    options = Options(reps, confidence, seed).checked()
    if kind == "score":
        above = (table[:, :, np.newaxis] > thresholds).astype(np.float64)
        estimate = above.mean(axis=(0, 1))
    elif kind == "average_score":
        estimate = _share_above(table.mean(axis=0), thresholds)
    else:
        raise BadArgument(f'kind must be "score" or "average_score", not {kind!r}')
    if len(table) == 1:
        return unknown_interval(estimate)
    replicate = trimmed_means(above, 0) if kind == "score" else _average_shares(table, thresholds)
    return interval(estimate, replicate, options)


def probability_of_improvement(
    scores_x: ArrayLike,
    scores_y: ArrayLike,
    *,
    reps: int = 2_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Interval[float]:
    """Probability that a run of X scores above a run of Y on the same task, mean over the tasks.

    Ties count half: in each task it is the Mann-Whitney U of X over its number of pairs of runs.
    The runs of X and of Y are resampled apart from each other.

    Parameters
    ----------
    scores_x : array_like, shape (runs of X, tasks); (runs,) is one task
    scores_y : array_like, shape (runs of Y, tasks)
    reps : int, number of replications
    confidence : float between 0 and 1
    seed : int or numpy.random.Generator
        The same int gives the same interval; a Generator moves on with each call.

    Returns
    -------
    Interval of numbers; its bounds are NaN where X or Y has one run only

    Raises
    ------
    BadArgument
        The tasks are not as many, scores are empty, of another shape, ragged, or hold a value
        that is not finite, or an option is out of its range.
    """
    x, y = _final_scores(scores_x, "scores_x"), _final_scores(scores_y, "scores_y")
    options = Options(reps, confidence, seed).checked()
    if x.shape[1] != y.shape[1]:
        raise BadArgument(
            f"scores_x and scores_y must have the same tasks, not {x.shape[1]} and {y.shape[1]}"
        )
    wins = np.stack([_wins(*columns) for columns in zip(x.T, y.T, strict=True)])
    estimate = wins.mean()
    if min(len(x), len(y)) == 1:
        return unknown_interval(estimate)
    return interval(estimate, _improvements(x, y, wins), options)


def _final_scores(scores: ArrayLike, name: str) -> Floats:
    table = as_scores(scores, name)
    if table.ndim != 2:
        raise BadArgument(
            f"{name} must have the shape (runs, tasks), not {table.shape}: take one checkpoint"
        )
    return table


def _thresholds(tau: ArrayLike) -> Floats:
    thresholds = as_series(tau, "tau")
    if thresholds.size == 0 or np.isnan(thresholds).any():
        raise BadArgument(f"tau must be at least one number, none of them NaN, not {tau!r}")
    return thresholds


def _share_above(values: Floats, thresholds: Floats) -> Floats:
    """Of the last axis of ``values``, shape (thresholds, ...)."""
    return np.stack([np.mean(values > threshold, axis=-1) for threshold in thresholds])


def _average_shares(table: Floats, thresholds: Floats) -> Replicate:
    from tarslab.stats.kernels.bootstrap import task_means

    def replicate(stream: np.random.Generator, reps: int, part: slice) -> Floats:
        return _share_above(task_means(draw_runs(stream, reps, table), table), thresholds[part])

    return replicate


def _wins(x: Floats, y: Floats) -> Floats:
    """1 where a run of x (row) is above a run of y (column), ½ where equal, else 0."""
    return (np.sign(x[:, np.newaxis] - y) + 1) / 2


def _improvements(x: Floats, y: Floats, wins: Floats) -> Replicate:
    from tarslab.stats.kernels.bootstrap import improvement_probabilities

    def replicate(stream: np.random.Generator, reps: int, part: slice) -> Floats:
        draws_x, draws_y = draw_runs(stream, reps, x), draw_runs(stream, reps, y)
        return improvement_probabilities(draws_x, draws_y, wins)[np.newaxis]

    return replicate
