"""What a table of scores over runs and tasks says in one number.

Scores have the shape (runs, tasks), or (runs, tasks, checkpoints) for training curves, and are
normalised so that tasks can be set side by side; shape (runs,) is one task. The definitions are
those of Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice,
NeurIPS 2021, and of their library rliable.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tarslab.errors import BadArgument

Floats = NDArray[np.float64]


def iqm(scores: ArrayLike) -> float | Floats:
    """Interquartile mean: the mean of the middle half of all runs and tasks together.

    A quarter of the scores, rounded down, is cut off at both ends (``scipy.stats.trim_mean``).
    Robust to outliers as the median is, with far narrower intervals.

    Parameters
    ----------
    scores : array_like, shape (runs, tasks) or (runs, tasks, checkpoints); (runs,) is one task

    Returns
    -------
    float, or ndarray of shape (checkpoints,)

    Raises
    ------
    BadArgument
        ``scores`` is empty, of another shape, ragged, or holds a value that is not finite.
    """
    flat = as_scores(scores)
    flat = flat.reshape(flat.shape[0] * flat.shape[1], *flat.shape[2:])
    cut = quarter(len(flat))
    last = len(flat) - cut
    middle = np.partition(flat, (cut, last - 1), axis=0)[cut:last]
    return _plain(middle.mean(axis=0))


def median(scores: ArrayLike) -> float | Floats:
    """Median over the tasks of the mean over the runs; shapes and errors as ``iqm``."""
    return _plain(np.median(as_scores(scores).mean(axis=0), axis=0))


def mean(scores: ArrayLike) -> float | Floats:
    """Mean over the tasks of the mean over the runs; shapes and errors as ``iqm``."""
    return _plain(as_scores(scores).mean(axis=0).mean(axis=0))


def optimality_gap(scores: ArrayLike, gamma: float = 1.0) -> float | Floats:
    """How far the scores stay below ``gamma`` on average; scores above it count as ``gamma``.

    0 is best. ``gamma`` is the score from which more no longer matters, by default 1, the level
    that scores are normalised by. Shapes and errors as ``iqm``; ``gamma`` has to be finite.
    """
    if not np.isfinite(gamma):
        raise BadArgument(f"gamma must be a finite number, not {gamma!r}")
    return _plain(gamma - np.minimum(as_scores(scores), gamma).mean(axis=(0, 1)))


def as_scores(scores: ArrayLike, name: str = "scores") -> Floats:
    """A float64 copy of shape (runs, tasks) or (runs, tasks, checkpoints), or BadArgument.

    A copy in C order, as compiled code would be compiled anew for any other kind of array.
    """
    try:
        table = np.array(scores, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise BadArgument(
            f"{name} must be numbers of shape (runs, tasks) or (runs, tasks, checkpoints), "
            f"with as many runs for every task: {error}"
        ) from None
    if table.ndim == 1:
        table = table[:, np.newaxis]
    if table.ndim not in (2, 3) or table.size == 0:
        raise BadArgument(
            f"{name} must have the shape (runs, tasks) or (runs, tasks, checkpoints), with at "
            f"least one of each, not {np.shape(scores)}"
        )
    if not np.isfinite(table).all():
        raise BadArgument(_first_not_finite(table, name))
    return table


def quarter(n: int) -> int:
    """How many of ``n`` scores the interquartile mean cuts off at each end."""
    return int(0.25 * n)


def _first_not_finite(table: Floats, name: str) -> str:
    where = np.argwhere(~np.isfinite(table))[0]
    axes = ("run", "task", "checkpoint")
    place = ", ".join(f"{axis} {index}" for axis, index in zip(axes, where, strict=False))
    return (
        f"{name} holds {table[tuple(where)]} at {place} (counted from 0): leave that run out of "
        "every task, cut the curves where the shortest ends, or fill in the score"
    )


def _plain(statistic: "np.float64 | Floats") -> float | Floats:
    """A number where there is one, an array where there is one a checkpoint."""
    return statistic if np.ndim(statistic) else float(statistic)
