"""Fewer points for a picture, with every visible extreme kept."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tsdownsample import MinMaxDownsampler

from tarslab.errors import BadArgument
from tarslab.stats.rolling import as_series


def downsample(x: ArrayLike, y: ArrayLike, n_out: int = 500) -> NDArray[np.int64]:
    """Indices of at most ``n_out`` points that keep the picture of a line.

    The finite points are cut into buckets of equal count, and the minimum and maximum of each
    bucket are kept, besides the first and the last point. Where ``y`` is not finite the line has
    a gap: one non-finite point of each gap is kept, of the longest gaps first, up to a fifth of
    ``n_out``.

    Parameters
    ----------
    x : array_like, shape (n,), non-decreasing
    y : array_like, shape (n,)
    n_out : int, at least 10

    Returns
    -------
    ndarray of int64, shape (m,), m <= n_out, increasing

    Raises
    ------
    BadArgument
        Shapes differ, ``x`` decreases or is not finite, or ``n_out`` is below 10.

    References
    ----------
    Van Der Donckt et al.: MinMaxLTTB, IEEE VIS 2023 (the min-max selection; library tsdownsample).
    """
    positions, series = as_series(x, "x"), as_series(y, "y")
    if positions.shape != series.shape:
        raise BadArgument(f"x has {len(positions)} points and y has {len(series)}")
    if n_out < 10:
        raise BadArgument(f"n_out must be at least 10, not {n_out}")
    if not np.all(np.isfinite(positions)) or np.any(np.diff(positions) < 0):
        raise BadArgument("x must be finite and must not decrease: sort by x first")
    if len(series) <= n_out:
        return np.arange(len(series))

    finite = np.isfinite(series)
    gaps = _longest_gaps(finite, at_most=n_out // 5)
    known = np.flatnonzero(finite)
    # Two places are for the ends; the downsampler takes an even count.
    budget = (n_out - len(gaps) - 2) // 2 * 2
    if len(known) > budget + 2:
        inner = known[MinMaxDownsampler().downsample(series[known], n_out=budget).astype(np.int64)]
        known = np.concatenate([known[:1], inner, known[-1:]])
    return np.unique(np.concatenate([known, gaps]))


def _longest_gaps(finite: NDArray[np.bool_], at_most: int) -> NDArray[np.int64]:
    """The middle of each run of False, of the longest ``at_most`` runs."""
    edges = np.diff(np.concatenate([[True], finite, [True]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)
    longest = np.argsort(starts - ends, kind="stable")[:at_most]
    return (starts[longest] + ends[longest] - 1) // 2
