"""Pareto frontiers, non-dominated sorting and hypervolume, for any number of objectives.

One point dominates another when it is no worse in any objective and better in at least one.
moocore's C algorithms do the work; in front of them a compiled sieve drops most of the dominated
points of a large cloud, and costs next to nothing where few are dominated.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tarslab.errors import BadArgument

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp] | slice

# Fewer points take moocore a few milliseconds: not worth importing numba for.
_LARGE = 8192
# moocore's own limits.
_MOST_OBJECTIVES = 255
_MOST_OBJECTIVES_OF_A_VOLUME = 31
# The sieve: its sample in square roots of n, and how many of the sample's frontier it uses.
_SAMPLED = 6
_GUARDS = 256


def pareto_mask(points: ArrayLike, directions: str | Sequence[str] = "minimize") -> Bools:
    """Which points no other point dominates.

    All copies of a frontier point are on the frontier, as in Optuna's ``Study.best_trials``. A
    point with a NaN is never on it and dominates nothing; infinities are ordinary values.

    Parameters
    ----------
    points : array_like, shape (n, objectives)
    directions : "minimize" or "maximize", for all objectives, or a sequence of them, one each

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    BadArgument
        ``points`` is no table of numbers with at least one objective, a direction is unknown, or
        there are not as many directions as objectives.

    References
    ----------
    Kung, Luccio, Preparata: On finding the maxima of a set of vectors, Journal of the ACM 22
    (1975), as implemented in moocore.
    """
    table, maximize = _as_objectives(points, directions)
    mask = np.zeros(len(table), dtype=np.bool_)
    rows, candidates = _candidates(table, maximize)
    known = _without_nan(candidates)
    if not known.all():
        rows, candidates = _narrowed(rows, known), candidates[known]
    few = len(candidates) < _LARGE <= len(table)
    # moocore takes n log n time up to 3 objectives, and more with each further one.
    nondominated = _nondominated_of_few if few and table.shape[1] > 3 else _nondominated
    mask[rows] = nondominated(candidates, maximize)
    return mask


def pareto_ranks(
    points: ArrayLike, directions: str | Sequence[str] = "minimize"
) -> NDArray[np.int64]:
    """Which frontier each point is on when one after the other is taken away, from 0.

    Rank 0 is the frontier of ``pareto_mask``, rank 1 the frontier of the rest, and so on, as in
    moocore and in Optuna's NSGA-II. Copies share a rank; a point with a NaN has the rank -1 and
    does not count for the others; infinities are ordinary values.

    Parameters
    ----------
    points : array_like, shape (n, objectives)
    directions : "minimize" or "maximize", for all objectives, or a sequence of them, one each

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    BadArgument
        As ``pareto_mask``.

    References
    ----------
    Deb et al.: A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE Transactions on
    Evolutionary Computation 6 (2002). With two objectives Jensen's O(n log n) algorithm, with
    more one frontier at a time, as implemented in moocore.
    """
    table, maximize = _as_objectives(points, directions)
    ranks = np.full(len(table), -1, dtype=np.int64)
    known = _without_nan(table)
    ranks[known] = _sorted_into_frontiers(_minimized(_finite(table[known]), maximize))
    return ranks


def hypervolume(
    points: ArrayLike, reference: ArrayLike, directions: str | Sequence[str] = "minimize"
) -> float:
    """The volume of all that some point dominates and that is better than the reference point.

    Only points better than the reference in every objective count, so one with a NaN never does;
    without any the volume is 0. It is infinite when such a point or the reference is, and when a
    product of extents is beyond float64.

    Parameters
    ----------
    points : array_like, shape (n, objectives)
    reference : array_like, shape (objectives,)
    directions : "minimize" or "maximize", for all objectives, or a sequence of them, one each

    Returns
    -------
    float

    Raises
    ------
    BadArgument
        As ``pareto_mask``; or ``reference`` holds a NaN or not one number an objective.

    References
    ----------
    Fonseca, Paquete, López-Ibáñez: An improved dimension-sweep algorithm for the hypervolume
    indicator, CEC (2006); Guerreiro, Fonseca: Computing and updating hypervolume contributions in
    up to four dimensions, IEEE Transactions on Evolutionary Computation 22 (2018), as implemented
    in moocore.
    """
    corner = _as_reference(reference)
    table, maximize = _as_objectives(points, directions, len(corner))
    if table.shape[1] != len(corner):
        raise BadArgument(
            f"reference must be {table.shape[1]} numbers, one an objective, not {len(corner)}"
        )
    if not (np.isfinite(corner).all() and np.isfinite(table).all()):
        table = table[_better_than(corner, table, maximize)]
        if len(table) == 0:
            return 0.0
        if not (np.isfinite(corner).all() and np.isfinite(table).all()):
            return math.inf
    _, candidates = _candidates(table, maximize)
    volume = _volume(candidates, corner, maximize)
    # Infinite parts that cancel each other leave a NaN.
    return math.inf if math.isnan(volume) else volume


def _as_objectives(
    points: ArrayLike, directions: str | Sequence[str], objectives: int | None = None
) -> tuple[Floats, Bools]:
    """The points as a table, and which objectives are to be maximized; or BadArgument.

    An empty list has no columns: it is taken to have as many as ``objectives`` or directions.
    """
    try:
        table = np.asarray(points, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise BadArgument(f"points must be numbers, a row a point: {error}") from None
    if table.shape == (0,):
        of_directions = 1 if isinstance(directions, str) else len(directions)
        table = table.reshape(0, objectives or of_directions)
    if table.ndim != 2 or table.shape[1] == 0:
        raise BadArgument(f"points must be of shape (n, objectives), not {table.shape}")
    words = [directions] * table.shape[1] if isinstance(directions, str) else list(directions)
    unknown = [word for word in words if word not in ("minimize", "maximize")]
    if unknown:
        raise BadArgument(f"directions must be 'minimize' or 'maximize', not {unknown[0]!r}")
    if len(words) != table.shape[1]:
        raise BadArgument(
            f"directions must be {table.shape[1]}, one an objective, not {len(words)}"
        )
    return table, np.array([word == "maximize" for word in words])


def _as_reference(reference: ArrayLike) -> Floats:
    try:
        corner = np.asarray(reference, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadArgument(f"reference must be numbers: {error}") from None
    if corner.ndim != 1 or np.isnan(corner).any():
        raise BadArgument(f"reference must be one number an objective, none a NaN, not {corner}")
    return corner


def _candidates(points: Floats, maximize: Bools) -> tuple[Rows, Floats]:
    """Which rows may be on the frontier, and these: all of it, and as few others as is cheap."""
    rows: Rows = slice(None)
    left = points
    while len(left) >= _LARGE and 2 <= points.shape[1] <= _MOST_OBJECTIVES:
        guards = _frontier_of_sample(left, maximize)
        if guards is None:
            break
        from tarslab.stats.kernels.pareto import sieve

        rows = _narrowed(rows, sieve(_read_only(left), guards[:_GUARDS], maximize))
        before, left = len(left), points[rows]
        # Where points are copies of each other, or share bins with guards, no sieve helps.
        if len(left) > before / 2:
            break
    return rows, left


def _frontier_of_sample(points: Floats, maximize: Bools) -> Floats | None:
    """None if more than half of the sample is on it.

    The share on the frontier is about the share of all points that this frontier leaves: a few
    times the square root of n points tell at little cost what a sieve would drop. Where nearly
    none is dominated, a look at the first of them is enough.
    """
    import moocore

    frontier = points[:0]
    sampled = _SAMPLED * math.isqrt(len(points))
    for size, most in ((64, 60), (sampled, sampled // 2)):
        sample = points[_spread(size, len(points))]
        finite = np.isfinite(sample)
        if not finite.all():
            sample = sample[finite.all(axis=1)]
        frontier = sample[moocore.is_nondominated(sample, maximise=maximize)]
        if not 0 < len(frontier) <= most:
            return None
    return frontier


@lru_cache(maxsize=16)
def _spread(size: int, n: int) -> NDArray[np.intp]:
    """Rows of a table by Fibonacci hashing: as good as random here, and quicker to make."""
    return np.arange(size) * 2654435769 % n


def _read_only(points: Floats) -> Floats:
    """A view. Pandas' arrays are read-only and others not: numba would compile for both kinds."""
    view = points.view()
    view.flags.writeable = False
    return view


def _without_nan(points: Floats) -> Bools:
    missing = np.isnan(points)
    # To look along the rows takes ten times as long as to look at all at once.
    if not missing.any():
        return np.ones(len(points), dtype=np.bool_)
    known: Bools = ~np.any(missing, axis=1)
    return known


def _better_than(corner: Floats, points: Floats, maximize: Bools) -> Bools:
    """Which points are better than the corner in every objective; none with a NaN."""
    better: Bools = np.all(np.where(maximize, points > corner, points < corner), axis=1)
    return better


def _narrowed(rows: Rows, kept: Bools) -> Rows:
    """Of the rows those kept. All rows stay a slice, with which indexing copies nothing."""
    if kept.all():
        return rows
    return np.flatnonzero(kept) if isinstance(rows, slice) else rows[kept]


def _nondominated_of_few(points: Floats, maximize: Bools) -> Bools:
    from tarslab.stats.kernels.pareto import frontier_of_few

    certain, mask = frontier_of_few(points, maximize)
    if not certain:
        mask[mask] = _nondominated(points[mask], maximize)
    return mask


def _nondominated(points: Floats, maximize: Bools) -> Bools:
    if points.shape[1] > _MOST_OBJECTIVES:
        oriented = _minimized(points, maximize)
        return np.array([not _is_dominated(point, oriented) for point in oriented], dtype=np.bool_)
    import moocore

    mask: Bools = moocore.is_nondominated(_finite(points), maximise=maximize, keep_weakly=True)
    return mask


def _is_dominated(point: Floats, points: Floats) -> bool:
    no_worse = points[(points <= point).all(axis=1)]
    return bool((no_worse < point).any())


def _sorted_into_frontiers(points: Floats) -> NDArray[np.int64]:
    """Ranks of points without NaN or infinities, all objectives minimized."""
    if points.shape[1] <= _MOST_OBJECTIVES:
        import moocore

        return np.asarray(moocore.pareto_rank(points), dtype=np.int64)
    ranks = np.zeros(len(points), dtype=np.int64)
    rest = np.arange(len(points))
    while len(rest):
        dominated = np.array([_is_dominated(point, points[rest]) for point in points[rest]])
        rest = rest[dominated]
        ranks[rest] += 1
    return ranks


def _volume(points: Floats, corner: Floats, maximize: Bools) -> float:
    if points.shape[1] <= _MOST_OBJECTIVES_OF_A_VOLUME:
        import moocore

        return float(moocore.hypervolume(points, ref=corner, maximise=maximize))
    points = points[_better_than(corner, points, maximize)]
    return _volume_by_exclusion(_minimized(points, maximize), _minimized(corner, maximize))


def _volume_by_exclusion(points: Floats, corner: Floats) -> float:
    """Each point's box, less what later points dominate of it.

    While, Bradstreet, Barone: A fast way of calculating exact hypervolumes, IEEE Transactions on
    Evolutionary Computation 16 (2012).
    """
    volume = 0.0
    for i, point in enumerate(points):
        shared = np.unique(np.maximum(point, points[i + 1 :]), axis=0)
        shared = shared[[not _is_dominated(each, shared) for each in shared]]
        volume += float(np.prod(corner - point)) - _volume_by_exclusion(shared, corner)
    return volume


def _minimized(points: Floats, maximize: Bools) -> Floats:
    return np.where(maximize, -points, points) if maximize.any() else points


def _finite(points: Floats) -> Floats:
    """The points in the same order of dominance; moocore's process dies of an infinity."""
    finite = np.isfinite(points)
    if finite.all():
        return points
    ordered = points.copy()
    for objective in np.flatnonzero(~finite.all(axis=0)):
        ordered[:, objective] = np.unique(points[:, objective], return_inverse=True)[1]
    return ordered
