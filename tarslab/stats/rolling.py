"""Smoothing along series: rolling mean and standard deviation, exponential moving average."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tarslab.errors import BadArgument

Floats = NDArray[np.float64]

# Points from which the compiled loops are quicker even where numba has to be loaded first.
_COMPILED_FROM = 100_000


def rolling_mean_std(values: ArrayLike, window: int = 10) -> tuple[Floats, Floats]:
    """Mean and population standard deviation (ddof=0) over the trailing ``window`` points.

    Non-finite values are skipped: they take a place in the window but no part in its figures.
    The first ``window - 1`` points use the values there are; a window without any finite value
    gives NaN.

    No figure depends on values outside its window, and a large common offset costs no precision:
    sums run over differences from a value of the window, and what leaves the window was never in
    them. Large arrays take O(n) time, and all cores.

    Parameters
    ----------
    values : array_like, shape (n,) or (series, n)
        One series, or one a row; no window reaches into another row. Shorter series are padded
        with NaN at their end.
    window : int, at least 1

    Returns
    -------
    mean, std : ndarray of float64, shape as ``values``

    Raises
    ------
    BadArgument
        ``values`` are not numbers in one or two dimensions, or ``window`` is not a whole number
        of at least 1.

    References
    ----------
    Chan, Golub, LeVeque: Algorithms for computing the sample variance, The American Statistician
    37 (1983).
    """
    series = _as_one_or_more_series(values)
    if window != int(window) or window < 1:
        raise BadArgument(f"window must be a whole number of at least 1, not {window!r}")
    rows = np.atleast_2d(series)
    if rows.size < _COMPILED_FROM:
        mean, std = _roll_by_doubling(rows, int(window))
    else:
        from tarslab.stats.kernels import rolling

        mean, std = rolling.rolling_mean_std(read_only(rows), int(window))
    return mean.reshape(series.shape), std.reshape(series.shape)


def ema(values: ArrayLike, weight: float = 0.6) -> Floats:
    """Exponential moving average in TensorBoard's debiased form.

    ``last = weight * last + (1 - weight) * x`` from zero, divided by ``1 - weight ** n`` after the
    n-th finite value. Non-finite values pass through and are not counted; a constant series is
    returned as it is.

    Parameters
    ----------
    values : array_like, shape (n,) or (series, n)
        One series, or one a row.
    weight : float in [0, 1), 0 leaves the series as it is

    Returns
    -------
    ndarray of float64, shape as ``values``

    Raises
    ------
    BadArgument
        ``values`` are not numbers in one or two dimensions, or ``weight`` is outside [0, 1).

    References
    ----------
    TensorBoard, ``line-chart`` smoothing (``resmoothDataset``).
    """
    series = _as_one_or_more_series(values)
    if not 0 <= weight < 1:
        raise BadArgument(f"weight must be in [0, 1), not {weight!r}")
    rows = np.atleast_2d(series)
    if rows.size < _COMPILED_FROM:
        smoothed = np.array([_smooth_by_doubling(row, weight) for row in rows])
    else:
        from tarslab.stats.kernels import rolling

        smoothed = rolling.ema(read_only(rows), float(weight))
    return smoothed.reshape(series.shape)


def as_series(values: ArrayLike, name: str) -> Floats:
    """``values`` as a one-dimensional float64 array, or BadArgument."""
    series = _as_floats(values, name)
    if series.ndim != 1:
        raise BadArgument(f"{name} must be one-dimensional, not of shape {series.shape}")
    return series


def read_only(values: Floats) -> Floats:
    """A contiguous read-only view or copy: one type of array, so that loops compile once."""
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False
    return view


def _as_one_or_more_series(values: ArrayLike) -> Floats:
    series = _as_floats(values, "values")
    if series.ndim not in (1, 2):
        raise BadArgument(f"values must have one or two dimensions, not shape {series.shape}")
    return series


def _as_floats(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadArgument(f"{name} must be numbers: {error}") from None


class _Moments(NamedTuple):
    """Of the finite values in some windows: count, mean, squared deviations.

    The mean is a value of the window, the anchor, and the shift from there, so that a large
    common offset never meets the small differences. Zeros where there is no finite value.
    """

    n: Floats
    anchor: Floats
    shift: Floats
    square: Floats


def _roll_by_doubling(rows: Floats, window: int) -> tuple[Floats, Floats]:
    """Windows joined from windows of 1, 2, 4, … points, as the binary digits of ``window`` say."""
    window = min(window, max(rows.shape[1], 1))
    finite = np.isfinite(rows)
    zeros = np.zeros_like(rows)
    doubled = _Moments(finite.astype(np.float64), np.where(finite, rows, 0.0), zeros, zeros)
    joined, width = _Moments(zeros, zeros, zeros, zeros), 0
    # The squares of a diverged series may overflow: its standard deviation is then infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        for digit in range(window.bit_length()):
            if digit:
                doubled = _join(_delayed(doubled, 2 ** (digit - 1)), doubled)
            if window >> digit & 1:
                joined, width = _join(_delayed(doubled, width), joined), width + 2**digit
        mean, std = joined.anchor + joined.shift, np.sqrt(joined.square / joined.n)
    empty = joined.n == 0
    return np.where(empty, np.nan, mean), np.where(empty, np.nan, std)


def _delayed(moments: _Moments, by: int) -> _Moments:
    """At each point the moments of ``by`` points before, empty where there are none."""
    if by == 0:
        return moments
    delayed = [np.zeros_like(moment) for moment in moments]
    for later, moment in zip(delayed, moments, strict=True):
        later[:, by:] = moment[:, :-by]
    return _Moments(*delayed)


def _join(a: _Moments, b: _Moments) -> _Moments:
    """The moments of the union of two disjoint windows (Chan)."""
    n = a.n + b.n
    of_b = b.n / np.maximum(n, 1)
    both = (a.n > 0) & (b.n > 0)
    from_a = a.n > 0
    gap = np.where(both, (b.anchor - a.anchor) + (b.shift - a.shift), 0.0)
    return _Moments(
        n,
        np.where(from_a, a.anchor, b.anchor),
        np.where(from_a, a.shift, b.shift) + gap * of_b,
        a.square + b.square + gap**2 * a.n * of_b,
    )


def _smooth_by_doubling(series: Floats, weight: float) -> Floats:
    """Averages over the last 1, 2, 4, … finite values, until older ones weigh nothing."""
    finite = np.isfinite(series)
    known = series[finite]
    if np.all(known == known[:1]):
        return series
    # ``full`` is the same average of ones: what ``last`` would be had it not begun at zero.
    last, full = (1 - weight) * known, np.full_like(known, 1 - weight)
    width, of_older = 1, weight
    while width < len(known) and of_older > 0:
        last[width:] += of_older * last[:-width]
        full[width:] += of_older * full[:-width]
        width, of_older = 2 * width, of_older**2
    smoothed = series.copy()
    smoothed[finite] = last / full
    return smoothed
