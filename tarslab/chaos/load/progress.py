"""A run while it goes on: how far it is, and what its thresholds say so far."""

from typing import NamedTuple

from tarslab.chaos.load.evaluation import Outcome


class Progress(NamedTuple):
    """A run so far, twice a second."""

    name: str
    elapsed: float
    """Seconds since the start."""
    duration: float
    """Seconds until the last iteration starts."""
    users: int
    """In an iteration now."""
    requests: int
    rate: float
    """Requests a second since the last one of these; in the last, over the whole run."""
    failed: int
    dropped: int
    p50: float
    """Milliseconds from when requests were due, as p95 and p99."""
    p95: float
    p99: float
    thresholds: tuple[tuple[str, Outcome], ...]
    over: bool = False
    """Whether it is the last of these."""

    def __str__(self) -> str:
        text = f"{self.rate:.0f}/s, {self.users} users, {self.requests} requests"
        if self.requests:
            text += f", {self.failed / self.requests:.1%} failed, P95 {self.p95:.0f} ms"
        if self.dropped:
            text += f", {self.dropped} dropped"
        broken = [said for said, outcome in self.thresholds if not outcome.held]
        return text + (f"; broken: {', '.join(broken)}" if broken and self.requests else "")
