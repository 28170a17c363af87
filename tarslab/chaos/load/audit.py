"""Whether a run says something about the target, or about the generator."""

from collections.abc import Sequence
from dataclasses import dataclass

from tarslab.chaos.load.evaluation import measured
from tarslab.chaos.load.histograms import Cells
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.recording import Series
from tarslab.chaos.load.scenarios import Arrivals
from tarslab.chaos.load.thresholds import METRICS, Selector

INVALID = "invalid: generator-limited"
LEAST_LIMIT = 10.0
"""Milliseconds that a generator may always be late."""
SHARE = 0.1
"""Of the smallest threshold about a time, that it may be late."""
DROPPED_SHARE = 0.001
"""Of the arrivals, that the generator may drop."""


@dataclass(frozen=True)
class Audit:
    """What the generator says about itself."""

    lateness: float
    """Milliseconds by which 1 % of the dispatches were late at least (P99); NaN if not known."""
    lateness_limit: float
    """What it may be: 10 ms, or a tenth of the smallest threshold about a time."""
    arrivals: int
    """Iterations that were due in the open model."""
    dropped_by_target: int
    """Arrivals for which no user was free, while most users waited for answers of the target."""
    dropped_by_generator: int
    """Arrivals for which no user was free for another reason: the flow itself takes longer than
    maxVUs allows, or the generator stood still and then had all at once."""
    cpu_per_request: float
    """Microseconds of processor that a request took the generator."""
    unfinished: int
    """Iterations that were broken off at the end."""
    engine: str
    """``embedded``, or ``k6``, which says neither how late it was nor why it drops an arrival: what
    it drops counts as dropped by the generator."""

    @property
    def limited(self) -> bool:
        """Whether the generator was the bottleneck."""
        return bool(self.reasons)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was, a sentence each."""
        why = []
        if self.lateness > self.lateness_limit:
            why.append(
                f"1 % of the dispatches were {self.lateness:.1f} ms late or more, where "
                f"{self.lateness_limit:.1f} ms are allowed: let the generator have a processor of "
                "its own, or lower the rate"
            )
        if self.dropped_by_generator > DROPPED_SHARE * self.arrivals:
            when = "while the users were not waiting for the target"
            if self.engine == "k6":
                when = "for want of users, and k6 does not say what they would have waited"
            why.append(
                f"{self.dropped_by_generator} of {self.arrivals} arrivals were dropped {when}: "
                "raise preAllocatedVUs and maxVUs, or lower the rate"
            )
        return tuple(why)


def audit(
    test: LoadTest,
    cells: Cells,
    series: Sequence[Series],
    *,
    engine: str,
    cpu_seconds: float,
    unfinished: int,
) -> Audit:
    """The generator's own figures of a run."""

    def total(selector: Selector) -> float:
        return float(measured(cells, series, selector).total[0])

    late = measured(cells, series, Selector("dispatch_lateness"))
    dropped = {
        cause: int(total(Selector("dropped_iterations", (("cause", cause),))))
        for cause in ("target", "generator")
    }
    # What k6 drops has no cause.
    dropped["generator"] += int(total(Selector("dropped_iterations"))) - sum(dropped.values())
    opened = [name for name, each in test.scenarios.items() if isinstance(each, Arrivals)]
    done = sum(total(Selector("iterations", (("scenario", name),))) for name in opened)
    requests = total(Selector("http_reqs"))
    return Audit(
        lateness=float(late.quantile(0.99)[0]) / 1e3,
        lateness_limit=_limit(test),
        arrivals=int(done) + sum(dropped.values()),
        dropped_by_target=dropped["target"],
        dropped_by_generator=dropped["generator"],
        cpu_per_request=cpu_seconds / requests * 1e6 if requests else float("nan"),
        unfinished=unfinished,
        engine=engine,
    )


def _limit(test: LoadTest) -> float:
    times = [
        threshold.expression.limit
        for selector, threshold in test.expressions
        if METRICS.get(selector.metric, "trend") == "trend"
        and threshold.expression.method not in ("count", "rate")
        and threshold.expression.operator in ("<", "<=")
    ]
    return max(LEAST_LIMIT, SHARE * min(times, default=0.0))
