"""The four executors of k6: who starts iterations of a flow, and when."""

from collections.abc import Iterable
from typing import ClassVar

from msgspec import Struct, field

from tarslab.chaos.load.durations import Duration

SECOND = Duration(1)
GRACE = Duration(30)


class Stage(Struct, frozen=True, forbid_unknown_fields=True):
    """On the way to ``target`` (a rate, or a number of users) for ``duration``, linearly."""

    duration: Duration
    target: int


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the four executors have in common."""

    exec: str
    """The flow: what one user does."""
    start_time: Duration = field(default=Duration(0), name="startTime")
    graceful_stop: Duration = field(default=GRACE, name="gracefulStop")
    """How long iterations may go on when the time is over."""
    tags: dict[str, str] = {}
    env: dict[str, str] = {}

    executor: ClassVar[str]

    @property
    def length(self) -> Duration:
        """For how long it starts iterations."""
        raise NotImplementedError

    @property
    def path(self) -> list[tuple[float, float]]:
        """The rate a second, or the number of users, as (seconds, value) corners."""
        raise NotImplementedError


class Arrivals(Scenario, frozen=True, kw_only=True):
    """Iterations start when they are due, whether or not earlier ones are done."""

    pre_allocated_vus: int = field(name="preAllocatedVUs")
    max_vus: int | None = field(default=None, name="maxVUs")
    time_unit: Duration = field(default=SECOND, name="timeUnit")

    @property
    def most_vus(self) -> int:
        """Users at the same time at most: an arrival that finds them all busy is dropped."""
        return self.pre_allocated_vus if self.max_vus is None else self.max_vus


class ConstantArrivalRate(
    Arrivals, frozen=True, kw_only=True, tag_field="executor", tag="constant-arrival-rate"
):
    """``rate`` iterations start every ``timeUnit``, whether or not earlier ones are done."""

    rate: int
    duration: Duration

    executor = "constant-arrival-rate"

    @property
    def length(self) -> Duration:
        return self.duration

    @property
    def path(self) -> list[tuple[float, float]]:
        rate = self.rate / self.time_unit
        return [(0, rate), (self.duration, rate)]


class RampingArrivalRate(
    Arrivals, frozen=True, kw_only=True, tag_field="executor", tag="ramping-arrival-rate"
):
    """The rate of arrivals goes linearly from stage to stage."""

    stages: tuple[Stage, ...]
    start_rate: int = field(default=0, name="startRate")

    executor = "ramping-arrival-rate"

    @property
    def length(self) -> Duration:
        return Duration(sum(stage.duration for stage in self.stages))

    @property
    def path(self) -> list[tuple[float, float]]:
        corners = _corners(self.start_rate, self.stages)
        return [(at, rate / self.time_unit) for at, rate in corners]


class ConstantVUs(Scenario, frozen=True, kw_only=True, tag_field="executor", tag="constant-vus"):
    """``vus`` users, each of whom begins anew as soon as it is done."""

    duration: Duration
    vus: int = 1

    executor = "constant-vus"

    @property
    def length(self) -> Duration:
        return self.duration

    @property
    def path(self) -> list[tuple[float, float]]:
        return [(0, self.vus), (self.duration, self.vus)]


class RampingVUs(Scenario, frozen=True, kw_only=True, tag_field="executor", tag="ramping-vus"):
    """The number of users goes linearly from stage to stage."""

    stages: tuple[Stage, ...]
    start_vus: int = field(default=1, name="startVUs")
    graceful_ramp_down: Duration = field(default=GRACE, name="gracefulRampDown")
    """How long an iteration may go on when its user is no longer wanted."""

    executor = "ramping-vus"

    @property
    def length(self) -> Duration:
        return Duration(sum(stage.duration for stage in self.stages))

    @property
    def path(self) -> list[tuple[float, float]]:
        return _corners(self.start_vus, self.stages)


EXECUTORS: dict[str, type[Scenario]] = {
    kind.executor: kind
    for kind in (ConstantArrivalRate, RampingArrivalRate, ConstantVUs, RampingVUs)
}


def _corners(start: float, stages: Iterable[Stage]) -> list[tuple[float, float]]:
    corners = [(0.0, float(start))]
    for stage in stages:
        corners.append((corners[-1][0] + stage.duration, float(stage.target)))
    return corners
