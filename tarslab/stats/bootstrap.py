"""Bootstrap intervals of a statistic of scores over runs and tasks, stratified over the tasks.

A replication draws, for each task on its own, as many runs as there are, with replacement: it
asks what other seeds would have given on the same tasks (Agarwal et al. 2021). The checkpoints
of a curve share their draws: a run is resampled whole.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tarslab.errors import BadArgument
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
from tarslab.stats.scores import as_scores, iqm, mean, median, optimality_gap, quarter

Method = Literal["percentile", "bca"]
Statistic = Callable[[Floats], Any]


def bootstrap_ci(
    scores: ArrayLike,
    statistic: Statistic = iqm,
    *,
    reps: int = 50_000,
    confidence: float = 0.95,
    method: Method = "percentile",
    seed: Seed = 0,
) -> Interval[Any]:
    """Stratified bootstrap confidence interval of ``statistic``, pointwise along a curve.

    ``percentile`` takes quantiles of the replications. ``bca`` corrects them for bias, ties
    counting half, and for skew by an acceleration from the jackknife that leaves out one run of
    all tasks at a time, as rliable does; with one task that is Efron's BCa.

    One run says nothing about the spread between runs: the bounds are NaN then, and where BCa is
    not defined because all replications lie on one side of the estimate.

    Parameters
    ----------
    scores : array_like, shape (runs, tasks) or (runs, tasks, checkpoints); (runs,) is one task
    statistic : callable
        ``iqm``, ``median``, ``mean`` and ``optimality_gap`` (with another gamma as
        ``functools.partial(optimality_gap, gamma=...)``) run compiled. Any other is called with
        one resampled array after the other, of the shape of ``scores``, and returns a number or
        an array.
    reps : int, number of replications
    confidence : float between 0 and 1
    method : "percentile" or "bca"
    seed : int or numpy.random.Generator
        The same int gives the same interval; a Generator moves on with each call.

    Returns
    -------
    Interval of numbers, or of arrays of shape (checkpoints,), or of what ``statistic`` returns

    Raises
    ------
    BadArgument
        ``scores`` is empty, of another shape, ragged, or holds a value that is not finite, or an
        option is out of its range.

    References
    ----------
    Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS
    2021. Efron, Better bootstrap confidence intervals, JASA 82 (1987).
    """
    table = as_scores(scores)
    options = Options(reps, confidence, seed).checked()
    if method not in ("percentile", "bca"):
        raise BadArgument(f'method must be "percentile" or "bca", not {method!r}')
    estimate = np.asarray(statistic(table), dtype=np.float64)
    if len(table) == 1:
        return unknown_interval(estimate)
    compiled = _compiled(statistic, table)
    return interval(
        estimate,
        compiled or _called(statistic, table),
        options,
        left_out=_without_each_run(statistic, table) if method == "bca" else None,
        parallel=compiled is not None,
    )


def sample_efficiency(
    scores: ArrayLike,
    statistic: Statistic = iqm,
    *,
    reps: int = 50_000,
    confidence: float = 0.95,
    method: Method = "percentile",
    seed: Seed = 0,
) -> Interval[Floats]:
    """Sample-efficiency curve: ``statistic`` at every checkpoint, with its pointwise interval.

    Parameters
    ----------
    scores : array_like, shape (runs, tasks, checkpoints)
    statistic : callable
        From shape (runs, tasks) to a number; it is applied to one checkpoint at a time.
    reps, confidence, method, seed
        As ``bootstrap_ci``.

    Returns
    -------
    Interval of arrays, shape (checkpoints,)

    Raises
    ------
    BadArgument
        As ``bootstrap_ci``, and where ``scores`` has no axis of checkpoints.
    """
    table = as_scores(scores)
    if table.ndim != 3:
        raise BadArgument(
            f"scores must have the shape (runs, tasks, checkpoints), not {np.shape(scores)}; "
            "the curves of one task: scores[:, np.newaxis, :]"
        )
    ours = _unwrapped(statistic)[0] in (iqm, mean, median, optimality_gap)
    curve = statistic if ours else partial(_at_every_checkpoint, statistic)
    return bootstrap_ci(table, curve, reps=reps, confidence=confidence, method=method, seed=seed)


def trimmed_means(table: Floats, cut: int) -> Replicate:
    """Replications of the mean of all scores but ``cut`` at both ends, a value each checkpoint."""
    from tarslab.stats.kernels import bootstrap as kernels

    runs, tasks = table.shape[:2]
    flat = np.ascontiguousarray(table.reshape(runs * tasks, -1).T)
    ascending = np.argsort(flat, axis=1, kind="stable")
    padding = ((0, 0), (0, -flat.shape[1] % kernels.STRIDE))
    ranked = np.pad(np.take_along_axis(flat, ascending, axis=1), padding)
    order = np.pad(ascending, padding, constant_values=runs * tasks).astype(np.uint32)

    def replicate(stream: np.random.Generator, reps: int, part: slice) -> Floats:
        draws = draw_runs(stream, reps, table)
        return kernels.trimmed_means(draws, order[part], ranked[part], cut)

    return replicate


def _compiled(statistic: Statistic, table: Floats) -> Replicate | None:
    """Replications by compiled code, where there is some for the statistic."""
    function, options = _unwrapped(statistic)
    if function is iqm:
        return trimmed_means(table, quarter(table.shape[0] * table.shape[1]))
    if function is mean:
        return trimmed_means(table, 0)
    if function is median:
        return _medians(table)
    if function is optimality_gap:
        return _gaps(table, options.get("gamma", 1.0))
    return None


def _unwrapped(statistic: Statistic) -> tuple[Statistic, dict[str, Any]]:
    """The function and the options of a ``functools.partial``, or the statistic itself."""
    if isinstance(statistic, partial) and not statistic.args:
        return statistic.func, statistic.keywords
    return statistic, {}


def _medians(table: Floats) -> Replicate:
    from tarslab.stats.kernels.bootstrap import task_means

    curve = np.ascontiguousarray(np.moveaxis(np.atleast_3d(table), -1, 0))

    def replicate(stream: np.random.Generator, reps: int, part: slice) -> Floats:
        draws = draw_runs(stream, reps, table)
        return np.stack([np.median(task_means(draws, at), axis=1) for at in curve[part]])

    return replicate


def _gaps(table: Floats, gamma: float) -> Replicate:
    clipped = trimmed_means(np.minimum(table, gamma), 0)
    return lambda stream, reps, part: gamma - clipped(stream, reps, part)


def _called(statistic: Statistic, table: Floats) -> Replicate:
    """Replications by calling ``statistic`` with one resampled table after the other."""
    tasks = np.arange(table.shape[1])

    def replicate(stream: np.random.Generator, reps: int, part: slice) -> Floats:
        draws = draw_runs(stream, reps, table)
        values = [np.ravel(statistic(table[draw, tasks]))[part] for draw in draws]
        return np.stack(values, axis=1).astype(np.float64)

    return replicate


def _at_every_checkpoint(statistic: Statistic, table: Floats) -> Floats:
    return np.array([statistic(table[..., at]) for at in range(table.shape[-1])], dtype=np.float64)


def _without_each_run(statistic: Statistic, table: Floats) -> Floats:
    """The jackknife: the values of ``statistic`` without one run of all tasks, a row each."""
    return np.stack(
        [np.ravel(statistic(np.delete(table, run, axis=0))) for run in range(len(table))]
    ).astype(np.float64)
