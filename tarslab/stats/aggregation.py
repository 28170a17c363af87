"""Several runs on one grid of steps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tarslab.errors import BadArgument
from tarslab.stats.rolling import as_series

Floats = NDArray[np.float64]


def common_grid(xs: Sequence[ArrayLike], n_out: int = 500) -> Floats:
    """At most ``n_out`` points on which several series can be averaged.

    The grid begins where the last of the series has begun and ends where the first has ended, so
    that the mean does not jump as one series after the other runs out. A series that begins or
    ends more than 5 % of the whole span away from the others (a run that was killed) does not
    narrow the grid: it is missing from a part of it. Where all series together have no more than
    ``n_out`` distinct ``x``, those are the grid, else the points are equidistant.

    Parameters
    ----------
    xs : sequence of array_like, each of shape (n_i,)
    n_out : int, default 500

    Returns
    -------
    ndarray of float64, shape (m,), m <= n_out, increasing; empty where all series are
    """
    series = [x for x in (as_series(x, "x") for x in xs) if len(x)]
    if not series:
        return np.empty(0)
    starts, ends = np.array([x.min() for x in series]), np.array([x.max() for x in series])
    near = 0.05 * (ends.max() - starts.min())
    first = starts[starts <= starts.min() + near].max()
    last = ends[ends >= ends.max() - near].min()
    if first > last:
        first, last = starts.min(), ends.max()
    distinct = np.unique(np.concatenate(series))
    distinct = distinct[(distinct >= first) & (distinct <= last)]
    return distinct if len(distinct) <= n_out else np.linspace(first, last, n_out)


def interpolate_onto(grid: ArrayLike, x: ArrayLike, y: ArrayLike) -> Floats:
    """``y`` at the points of ``grid``: linear between neighbours, never extrapolated.

    NaN before the first and after the last ``x``, and next to a non-finite ``y``: a gap stays a
    gap. Points that share an ``x`` count as their mean.

    Parameters
    ----------
    grid : array_like, shape (m,)
    x : array_like, shape (n,), non-decreasing
    y : array_like, shape (n,)

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    points, positions, series = as_series(grid, "grid"), as_series(x, "x"), as_series(y, "y")
    if positions.shape != series.shape:
        raise BadArgument(f"x has {len(positions)} points and y has {len(series)}")
    if len(positions) == 0:
        return np.full(len(points), np.nan)
    distinct, place = np.unique(positions, return_inverse=True)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, weights=series) / np.bincount(place)
    mean = np.where(np.isfinite(mean), mean, np.nan)
    inside = np.interp(points, distinct, mean)
    return np.where((points < distinct[0]) | (points > distinct[-1]), np.nan, inside)


def mean_std_over_runs(matrix: ArrayLike) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Mean, sample standard deviation (ddof=1) and number of runs at each point.

    NaN entries are runs that have no value there. The standard deviation of a single run is NaN.

    Parameters
    ----------
    matrix : array_like, shape (runs, points)

    Returns
    -------
    mean, std : ndarray of float64, shape (points,)
    n : ndarray of int64, shape (points,)
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2:
        raise BadArgument(f"matrix must be of shape (runs, points), not {values.shape}")
    known = np.isfinite(values)
    n = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    square = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
    std = np.sqrt(square / np.maximum(n - 1, 1))
    return np.where(n > 0, mean, np.nan), np.where(n > 1, std, np.nan), n
