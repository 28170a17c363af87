"""Fewer points for a picture, with every visible extreme kept."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tsdownsample import MinMaxDownsampler, MinMaxLTTBDownsampler

from tarslab.cores import over_cores
from tarslab.errors import BadArgument
from tarslab.stats.rolling import Floats, as_series, read_only

Places = NDArray[np.int64]
Keep = Callable[[Floats, Floats, int], Places]

# Points in all series together from which loading numba pays within a few calls.
_COMPILED_FROM = 2_000_000


def downsample(x: ArrayLike, y: ArrayLike, n_out: int = 500) -> Places:
    """Indices of at most ``n_out`` points that keep the picture of a line.

    MinMaxLTTB chooses among the finite points, cut into buckets of equal count. It takes one
    point a bucket, even where there are spikes both ways; so the minimum and the maximum of each
    of ``n_out / 4`` buckets are kept besides, in exchange for those of its points that span the
    smallest triangles with their neighbours. The first, last, lowest and highest finite points
    are always kept.

    Where ``y`` is not finite the line has a gap: one non-finite point of each gap is kept, of the
    longest gaps first, up to a fifth of ``n_out``; the line has so many points fewer.

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
    Van Der Donckt et al.: MinMaxLTTB, IEEE VIS 2023 (library tsdownsample).
    """
    _require_room(n_out)
    positions, series = _as_line(x, y, "x", "y")
    if not _is_ordered(positions):
        raise BadArgument(f"x {_NOT_ORDERED}")
    return _choose(positions, series, n_out, _keep)


def downsample_many(
    xs: Sequence[ArrayLike] | Floats, ys: Sequence[ArrayLike] | Floats, n_out: int = 500
) -> list[Places]:
    """``downsample`` of each of many series, of the same or of different lengths.

    Many points are one compiled batch on all cores; the indices are those of ``downsample``.

    Parameters
    ----------
    xs, ys : sequences of array_like of shapes (n_i,), or arrays of shape (series, n)
    n_out : int, at least 10, of each series

    Returns
    -------
    list of ndarray of int64, one a series

    Raises
    ------
    BadArgument
        As ``downsample``, for any of the series, or there are not as many ``xs`` as ``ys``.
    """
    _require_room(n_out)
    if len(xs) != len(ys):
        raise BadArgument(f"there are {len(xs)} xs and {len(ys)} ys")
    lines = [
        _as_line(x, y, f"xs[{i}]", f"ys[{i}]") for i, (x, y) in enumerate(zip(xs, ys, strict=True))
    ]
    if sum(len(y) for _, y in lines) < _COMPILED_FROM:
        is_ordered, keep, at_least = _is_ordered, _keep, len(lines)
    else:
        from tarslab.stats.kernels import downsampling

        is_ordered, keep, at_least = downsampling.is_ordered, downsampling.keep, 1
    chosen: list[Places] = [np.arange(0)] * len(lines)

    def work(start: int, end: int) -> None:
        for i in range(start, end):
            x, y = lines[i]
            if not is_ordered(x):
                raise BadArgument(f"xs[{i}] {_NOT_ORDERED}")
            chosen[i] = _choose(x, y, n_out, keep)

    over_cores(work, len(lines), at_least=at_least)
    return chosen


_NOT_ORDERED = "must be finite and must not decrease: sort by x first"


def _require_room(n_out: int) -> None:
    if n_out < 10:
        raise BadArgument(f"n_out must be at least 10, not {n_out}")


def _as_line(x: ArrayLike, y: ArrayLike, x_name: str, y_name: str) -> tuple[Floats, Floats]:
    positions, series = as_series(x, x_name), as_series(y, y_name)
    if positions.shape != series.shape:
        raise BadArgument(f"{x_name} has {len(positions)} points and {y_name} has {len(series)}")
    return read_only(positions), read_only(series)


def _is_ordered(x: Floats) -> bool:
    return bool(np.all(np.isfinite(x)) and np.all(x[:-1] <= x[1:]))


def _choose(x: Floats, y: Floats, n_out: int, keep: Keep) -> Places:
    """All of a short line; else what ``keep`` keeps of its finite points, and places in gaps."""
    if len(y) <= n_out:
        return np.arange(len(y))
    finite = np.isfinite(y)
    if np.count_nonzero(finite) == len(y):
        return keep(x, y, n_out)
    known, gaps = np.flatnonzero(finite), _longest_gaps(finite, at_most=n_out // 5)
    budget = n_out - len(gaps)
    if len(known) > budget:
        known = known[keep(read_only(x[known]), read_only(y[known]), budget)]
    return np.union1d(known, gaps)


def _keep(x: Floats, y: Floats, n_out: int) -> Places:
    """MinMaxLTTB's points and the extremes of buckets, less the points that show least."""
    extreme = np.zeros(len(y), np.bool_)
    extreme[MinMaxDownsampler().downsample(y, n_out=n_out // 4 * 2)] = True
    kept = extreme.copy()
    kept[MinMaxLTTBDownsampler().downsample(y, n_out=n_out)] = True
    places = np.flatnonzero(kept)
    surplus = len(places) - n_out
    if surplus <= 0:
        return places
    of = 1 + np.flatnonzero(~extreme[places[1:-1]])
    a, b, c = places[of - 1], places[of], places[of + 1]
    # Of a diverged series an area may overflow: a large one.
    with np.errstate(over="ignore", invalid="ignore"):
        area = np.abs((x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a]))
    area[np.isnan(area)] = np.inf
    kept[b[np.argsort(area, kind="stable")[:surplus]]] = False
    return np.flatnonzero(kept)


def _longest_gaps(finite: NDArray[np.bool_], at_most: int) -> Places:
    """The middle of each run of False, of the longest ``at_most`` runs."""
    edges = np.diff(np.concatenate([[True], finite, [True]]).astype(np.int8))
    starts, ends = np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)
    longest = np.argsort(starts - ends, kind="stable")[:at_most]
    return (starts[longest] + ends[longest] - 1) // 2
