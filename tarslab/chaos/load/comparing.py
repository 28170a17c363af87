"""Whether latency changed between two runs, by a bootstrap over blocks of seconds."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from tarslab.chaos.load.evaluation import measured, selected
from tarslab.chaos.load.histograms import Floats, Ints, highest
from tarslab.chaos.load.results import LoadResult, selector
from tarslab.errors import BadArgument
from tarslab.stats.resampling import Interval, Options, Seed

LEAST_SECONDS = 5
# Replications whose buckets are in memory at once.
CHUNK = 200


@dataclass(frozen=True)
class Change:
    """How a quantile of a metric differs between two runs."""

    metric: str
    quantile: float
    before: Interval[float]
    """Milliseconds."""
    after: Interval[float]
    change: Interval[float]
    """Relative: 0.1 is 10 % slower."""
    confidence: float
    doubts: tuple[str, ...]
    """Why the runs say nothing about the target: those in which the generator was the limit."""

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out that nothing changed."""
        return self.change.low > 0 or self.change.high < 0

    def worse_than(self, limit: float) -> bool:
        """Whether it clearly became slower, and by more than ``limit`` (0.1 is 10 %)."""
        return self.change.low > 0 and self.change.estimate > limit

    def __str__(self) -> str:
        name = f"P{self.quantile * 100:g} of {self.metric}"
        sure = f"{self.confidence * 100:g} % interval"
        span = f"{sure} {self.change.low:+.0%} to {self.change.high:+.0%}".replace("%", " %")
        span = span.replace("  %", " %")
        values = f"{self.before.estimate:.3g} ms before, {self.after.estimate:.3g} ms after"
        if self.clear:
            verb = "rose" if self.change.estimate > 0 else "fell"
            said = f"{name} {verb} by {abs(self.change.estimate) * 100:.0f} % ({span}): {values}."
        else:
            said = f"{name} did not clearly change ({span}): {values}."
        return " ".join([said, *self.doubts])


def compare(
    before: LoadResult,
    after: LoadResult,
    *,
    metric: str = "http_req_duration",
    quantile: float = 0.95,
    reps: int = 2000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Change:
    """Whether a quantile changed, with a percentile bootstrap interval; its ``str`` is a sentence.

    What is drawn are blocks of seconds that follow each other, round the end to the start, since
    the requests of a second, and seconds close together, are not independent (circular block
    bootstrap, Politis and Romano 1992); a block has the cube root of the number of seconds.

    metric: with tags, if only some requests are meant: ``http_req_duration{name:login}``.
    seed: the same int gives the same interval.

    Raises:
        BadArgument: A run is shorter than five seconds, or has no samples of the metric, or an
            option is out of its range.
    """
    options = Options(reps, confidence, seed).checked()
    if not 0 < quantile < 1:
        raise BadArgument(f"quantile must be between 0 and 1, not {quantile!r}")
    stream = np.random.default_rng(seed)
    estimates, replications = [], []
    for name, result in (("before", before), ("after", after)):
        estimates.append(_estimate(name, result, metric, quantile))
        replications.append(_replicate(result, metric, quantile, options.reps, stream))
    levels = (1 - confidence) / 2, (1 + confidence) / 2

    def around(estimate: float, values: Floats) -> Interval[float]:
        low, high = np.quantile(values, levels)
        return Interval(estimate, float(low), float(high))

    doubts = tuple(
        f"But the run {name} was limited by its generator."
        for name, result in (("before", before), ("after", after))
        if result.audit.limited
    )
    return Change(
        metric,
        quantile,
        around(estimates[0], replications[0]),
        around(estimates[1], replications[1]),
        around(estimates[1] / estimates[0] - 1, replications[1] / replications[0] - 1),
        confidence,
        doubts,
    )


def _estimate(name: str, result: LoadResult, metric: str, quantile: float) -> float:
    if _seconds(result) < LEAST_SECONDS:
        raise BadArgument(
            f"{name}: a run of {result.seconds:.1f} s is too short; {LEAST_SECONDS} are needed"
        )
    sums = measured(result.cells, result.series, selector(metric))
    value = float(sums.quantile(quantile)[0]) / 1e3
    # What lies below a microsecond has no relative change.
    if not value > 0:
        raise BadArgument(f"metric: the run {name} has no times of {metric}")
    return value


def _replicate(
    result: LoadResult, metric: str, quantile: float, reps: int, stream: np.random.Generator
) -> Floats:
    """The quantile in so many resampled runs, in milliseconds."""
    rows = selected(result.cells, result.series, selector(metric))
    seconds = _seconds(result)
    rows = rows.between(0, seconds)
    known, column = np.unique(rows.buckets, return_inverse=True)
    counts = np.zeros((seconds, len(known)), np.float32)
    np.add.at(counts, (np.repeat(rows.second, rows.lengths), column), rows.counts)
    values = highest(known) / 1e3
    quantiles = np.empty(reps)
    for start in range(0, reps, CHUNK):
        weights = _weights(min(CHUNK, reps - start), seconds, stream)
        cumulated = np.cumsum(weights.astype(np.float32) @ counts, axis=1, dtype=np.float64)
        wanted = np.maximum(1, np.ceil(quantile * cumulated[:, -1:] - 1e-9))
        quantiles[start : start + CHUNK] = values[np.argmax(cumulated >= wanted, axis=1)]
    return quantiles


def _weights(reps: int, seconds: int, stream: np.random.Generator) -> Ints:
    """How often each second is in each resampled run, shape (reps, seconds)."""
    block = max(1, round(seconds ** (1 / 3)))
    starts = stream.integers(seconds, size=(reps, ceil(seconds / block)))
    drawn = (starts[:, :, np.newaxis] + np.arange(block)) % seconds
    of_run = drawn.reshape(reps, -1)[:, :seconds] + np.arange(reps)[:, np.newaxis] * seconds
    weights: Ints = np.bincount(of_run.ravel(), minlength=reps * seconds).reshape(reps, seconds)
    return weights


def _seconds(result: LoadResult) -> int:
    """Those in which iterations started, without a last one that is cut short."""
    return int(min(result.seconds, result.test.duration))
