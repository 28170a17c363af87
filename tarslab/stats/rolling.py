"""Smoothing of one series: rolling mean and standard deviation, exponential moving average."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter

from tarslab.errors import BadArgument

Floats = NDArray[np.float64]


def rolling_mean_std(values: ArrayLike, window: int = 10) -> tuple[Floats, Floats]:
    """Mean and population standard deviation (ddof=0) over the trailing ``window`` points.

    Non-finite values are skipped: they take a place in the window but no part in its figures.
    The first ``window - 1`` points use the values there are; a window without any finite value
    gives NaN.

    The series is cut into blocks of ``window`` points, so that each window is a suffix of one
    block and a prefix of the next. Sums run over differences from a value inside that part, and
    the two parts are joined by Chan's formula: no figure depends on values outside its window,
    and a large common offset costs no precision. O(n) time and memory, any window.

    Parameters
    ----------
    values : array_like, shape (n,)
    window : int, at least 1

    Returns
    -------
    mean, std : ndarray of float64, shape (n,)

    Raises
    ------
    BadArgument
        ``values`` is not one-dimensional, or ``window`` is not a whole number of at least 1.

    References
    ----------
    Chan, Golub, LeVeque: Algorithms for computing the sample variance, The American Statistician
    37 (1983).
    """
    series = as_series(values, "values")
    if window != int(window) or window < 1:
        raise BadArgument(f"window must be a whole number of at least 1, not {window!r}")
    n, window = len(series), min(int(window), max(len(series), 1))
    blocks = -(-n // window)
    flat = np.full(blocks * window, np.nan)
    flat[:n] = series
    padded = flat.reshape(blocks, window)

    # The window that ends at offset j of block k is block k's prefix of j + 1 values and
    # block k - 1's suffix of window - 1 - j.
    prefix = _running_moments(padded)
    reversed_suffix = _running_moments(padded[:, ::-1])
    suffix = _Moments(*(_shift_to_next_block(moment) for moment in reversed_suffix))
    mean, std = _join(prefix, suffix)
    return mean.ravel()[:n], std.ravel()[:n]


def ema(values: ArrayLike, weight: float = 0.6) -> Floats:
    """Exponential moving average in TensorBoard's debiased form.

    ``last = weight * last + (1 - weight) * x`` from zero, divided by ``1 - weight ** n`` after the
    n-th finite value. Non-finite values pass through and are not counted; a constant series is
    returned as it is.

    Parameters
    ----------
    values : array_like, shape (n,)
    weight : float in [0, 1), 0 leaves the series as it is

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    BadArgument
        ``values`` is not one-dimensional, or ``weight`` is outside [0, 1).

    References
    ----------
    TensorBoard, ``line-chart`` smoothing (``resmoothDataset``).
    """
    series = as_series(values, "values")
    if not 0 <= weight < 1:
        raise BadArgument(f"weight must be in [0, 1), not {weight!r}")
    smoothed = series.copy()
    finite = np.isfinite(series)
    known = series[finite]
    if weight == 0 or len(known) == 0 or np.all(known == known[0]):
        return smoothed
    filtered = lfilter([1 - weight], [1, -weight], known)
    smoothed[finite] = filtered / -np.expm1(np.log(weight) * np.arange(1, len(known) + 1))
    return smoothed


def as_series(values: ArrayLike, name: str) -> Floats:
    """``values`` as a one-dimensional float64 array, or BadArgument."""
    try:
        series = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadArgument(f"{name} must be numbers: {error}") from None
    if series.ndim != 1:
        raise BadArgument(f"{name} must be one-dimensional, not of shape {series.shape}")
    return series


class _Moments(NamedTuple):
    """Of a set of values: count, an anchor among them, mean less anchor, squared deviations.

    The anchor stays apart so that a large common offset never meets the small differences.
    """

    n: Floats
    anchor: Floats
    shift: Floats
    square: Floats


def _running_moments(blocks: Floats) -> _Moments:
    """The moments of every prefix of every row; zeros where a prefix has no finite value."""
    finite = np.isfinite(blocks)
    first = np.argmax(finite, axis=1)[:, np.newaxis]
    anchor = np.take_along_axis(blocks, first, axis=1)
    anchor = np.where(np.isfinite(anchor), anchor, 0.0)
    deviation = np.where(finite, blocks - anchor, 0.0)
    count = np.cumsum(finite, axis=1, dtype=np.float64)
    total = np.cumsum(deviation, axis=1)
    square = np.cumsum(deviation**2, axis=1)
    shift = total / np.maximum(count, 1)
    return _Moments(
        count, np.broadcast_to(anchor, blocks.shape), shift, np.maximum(square - total * shift, 0.0)
    )


def _shift_to_next_block(reversed_moment: Floats) -> Floats:
    """A moment of each row's suffixes, laid where the next row's windows end.

    Offset j of row k receives the moment of row k - 1's last ``window - 1 - j`` values.
    """
    shifted = np.zeros_like(reversed_moment)
    shifted[1:, :-1] = reversed_moment[:-1, ::-1][:, 1:]
    return shifted


def _join(a: _Moments, b: _Moments) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the union of two disjoint parts, NaN where both are empty."""
    count = a.n + b.n
    of_values = np.maximum(count, 1)
    both = (a.n > 0) & (b.n > 0)
    gap = np.where(both, (b.anchor - a.anchor) + (b.shift - a.shift), 0.0)
    from_a = a.n > 0
    anchor, shift = np.where(from_a, a.anchor, b.anchor), np.where(from_a, a.shift, b.shift)
    mean = anchor + (shift + gap * b.n / of_values)
    variance = (a.square + b.square + gap**2 * a.n * b.n / of_values) / of_values
    empty = count == 0
    return np.where(empty, np.nan, mean), np.where(empty, np.nan, np.sqrt(variance))
