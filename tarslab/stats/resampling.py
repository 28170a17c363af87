"""From replications of a statistic to the interval around it.

Replications come in chunks of 1,024, each from a random stream of its own, so that the same seed
gives the same interval on any number of cores and only one block of values is ever in memory.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import scipy  # whose parts load at first use: scipy.special takes 0.1 s
from numpy.typing import NDArray

from tarslab.cores import over_cores
from tarslab.errors import BadArgument

Floats = NDArray[np.float64]
Draws = NDArray[np.unsignedinteger[Any]]
Seed = int | np.random.Generator
Value = TypeVar("Value")

Replicate = Callable[[np.random.Generator, int, slice], Floats]
"""From a random stream, a number of replications and a part of the values (checkpoints, say) to
the replications of those values, shape (values, replications)."""

Over = Callable[[Callable[[int, int], object], int], object]
"""Calls work(start, end) for parts of range(n), as ``tarslab.cores.over_cores`` does."""

CHUNK = 1024
"""Replications drawn from one random stream; another size would give other intervals."""

BLOCK = 1 << 24
"""Replications held in memory at once, over all values: 128 MB."""


class Interval(NamedTuple, Generic[Value]):
    """A point estimate and the bounds of its confidence interval: numbers, or equal arrays."""

    estimate: Value
    low: Value
    high: Value


class Options(NamedTuple):
    """How many replications, the coverage, and where the draws come from."""

    reps: int
    confidence: float
    seed: Seed

    def checked(self) -> "Options":
        """These options, or BadArgument."""
        if self.reps != int(self.reps) or self.reps < 1:
            raise BadArgument(f"reps must be a whole number of at least 1, not {self.reps!r}")
        if not 0 < self.confidence < 1:
            raise BadArgument(f"confidence must be between 0 and 1, not {self.confidence!r}")
        of_numpy = isinstance(self.seed, np.random.Generator)
        if not of_numpy and not (isinstance(self.seed, int | np.integer) and self.seed >= 0):
            raise BadArgument(
                f"seed must be a whole number of at least 0 or a Generator, not {self.seed!r}"
            )
        return self._replace(reps=int(self.reps))


def interval(
    estimate: Floats,
    replicate: Replicate,
    options: Options,
    *,
    left_out: Floats | None = None,
    parallel: bool = True,
) -> Interval[Any]:
    """The percentile interval around every value of ``estimate``, or BCa.

    BCa needs ``left_out``: the values without the first run, the second, and so on, one a row.
    ``parallel`` is for what compiled code replicates; Python callables run one at a time.
    """
    values = estimate.ravel()
    skew = None if left_out is None else _acceleration(left_out)
    over = over_cores if parallel else _at_once
    streams = _streams(options)
    bounds = np.empty((2, values.size))
    for part in _parts(values.size, options.reps):
        rows = _replications(replicate, part, options.reps, streams, over)
        skew_of_part = None if skew is None else skew[part]
        bounds[:, part] = _bounds(rows, values[part], skew_of_part, options.confidence, over)
    low, high = bounds.reshape(2, *estimate.shape)
    return Interval(estimate[()], low[()], high[()])


def unknown_interval(estimate: Floats) -> Interval[Any]:
    """An estimate whose spread nothing is known about: the bounds are NaN."""
    return Interval(estimate[()], *(np.full(estimate.shape, np.nan)[()] for _ in range(2)))


def draw_runs(stream: np.random.Generator, reps: int, table: Floats) -> Draws:
    """For each replication and task as many runs as ``table`` has, shape (reps, runs, tasks)."""
    runs, tasks = table.shape[:2]
    return stream.integers(runs, size=(reps, runs, tasks), dtype=np.min_scalar_type(runs - 1))


def _streams(options: Options) -> list[np.random.SeedSequence]:
    """One seed a chunk; a Generator is asked for fresh entropy and so moves on."""
    seed = options.seed
    if isinstance(seed, np.random.Generator):
        sequence = np.random.SeedSequence(seed.integers(1 << 32, size=4).tolist())
    else:
        sequence = np.random.SeedSequence(int(seed))
    return sequence.spawn(-(-options.reps // CHUNK))


def _parts(values: int, reps: int) -> Iterator[slice]:
    """The values in parts whose replications fit into one block."""
    size = max(1, BLOCK // reps)
    return (slice(start, min(start + size, values)) for start in range(0, values, size))


def _replications(
    replicate: Replicate,
    part: slice,
    reps: int,
    streams: list[np.random.SeedSequence],
    over: Over,
) -> Floats:
    """All replications of a part of the values, a row each."""
    rows = np.empty((part.stop - part.start, reps))

    def fill(first: int, last: int) -> None:
        for chunk in range(first, last):
            columns = rows[:, chunk * CHUNK : (chunk + 1) * CHUNK]
            stream = np.random.default_rng(streams[chunk])
            columns[:] = replicate(stream, columns.shape[1], part)

    over(fill, len(streams))
    return rows


def _bounds(
    rows: Floats, values: Floats, skew: Floats | None, confidence: float, over: Over
) -> Floats:
    """Low and high, shape (2, values); the rows are reordered."""
    levels = np.array([(1 - confidence) / 2, 1 - (1 - confidence) / 2])
    bounds = np.empty((2, len(rows)))

    def bound(first: int, last: int) -> None:
        for at in range(first, last):
            row = rows[at]
            of_row = levels if skew is None else _bca_levels(levels, row, values[at], skew[at])
            bounds[:, at] = _quantiles(row, of_row)

    over(bound, len(rows))
    return bounds


def _bca_levels(levels: Floats, row: Floats, estimate: float, acceleration: float) -> Floats:
    """The quantiles to take in place of ``levels``; NaN where all replications lie on one side.

    Replications that differ from the estimate by rounding alone are ties, which count half.
    """
    rounding = 1e-12 * np.abs(row).max()
    below = np.count_nonzero(row < estimate - rounding)
    up_to = np.count_nonzero(row <= estimate + rounding)
    bias = scipy.special.ndtri((below + up_to) / (2 * row.size))
    shifted = bias + scipy.special.ndtri(levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected: Floats = scipy.special.ndtr(bias + shifted / (1 - acceleration * shifted))
    return corrected


def _acceleration(left_out: Floats) -> Floats:
    """Skew of the jackknife, a value each; 0 where leaving out a run changes nothing."""
    change = left_out.mean(axis=0) - left_out
    spread = np.sum(change**2, axis=0) ** 1.5
    skew = np.sum(change**3, axis=0)
    known = spread > 0
    acceleration: Floats = np.zeros_like(skew)
    acceleration[known] = skew[known] / (6 * spread[known])
    return acceleration


def _quantiles(row: Floats, levels: Floats) -> Floats:
    """Linearly interpolated, as numpy's and rliable's; ``row`` is reordered."""
    if np.isnan(levels).any():
        return np.full(2, np.nan)
    quantiles: Floats = np.quantile(row, levels, overwrite_input=True)
    return quantiles


def _at_once(work: Callable[[int, int], object], n: int) -> None:
    work(0, n)
