"""What an experiment is judged by: measures of what was observed, and the limits of criteria."""

import inspect
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tarslab.chaos.prober import Probe
from tarslab.chaos.probes import Downtime, ProbeResult
from tarslab.errors import BadArgument

if TYPE_CHECKING:
    from tarslab.chaos.experiments.writing import Writes
    from tarslab.chaos.load.results import LoadResult

NORMAL, LEGACY = "normal", "legacy"
# Seconds for which a service has to be good before it counts as back.
SETTLED = 1.0
REQUIRED = re.compile(r"\s*(<=|>=|==|<|>)\s*(-?\d+(?:\.\d+)?)\s*")
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
Part = Literal["before", "during", "after", "run"]
PARTS = ("before", "during", "after", "run")
QUANTILES = ("p50", "p95", "p99")


class FaultWindow(NamedTuple):
    """One time for which something was broken; moments in Unix seconds."""

    name: str
    services: tuple[str, ...]
    began: float
    ended: float | None
    """None while it goes on."""
    since: float
    """From when recovery counts: a kill from its start, what is held from its end."""
    repeat: int = 0
    """Of faults of this name, from 0."""
    recovered: float | None = None
    """When every service was back; None where that was not seen."""


@dataclass(frozen=True)
class Observed:
    """All that was seen while an experiment ran."""

    probes: ProbeResult
    faults: tuple[FaultWindow, ...] = ()
    load: "LoadResult | None" = None
    writes: "Writes | None" = None
    counts: Mapping[str, float] = field(default_factory=dict)
    """Of what actions count, such as ``tokens broken``."""

    def named(self, fault: str | None) -> tuple[FaultWindow, ...]:
        """The faults of a name, by default all."""
        return tuple(each for each in self.faults if fault in (None, each.name))

    def until_next(self, fault: FaultWindow) -> ProbeResult:
        """The probes sent from a fault on, and answered before another begins after its end."""
        over = max(fault.began, fault.ended or fault.began)
        end = min((each.began for each in self.faults if each.began > over), default=math.inf)
        seen = self.probes.between(fault.began, end)
        return replace(seen, probes=tuple(probe for probe in seen.probes if probe.done < end))


class Measured(NamedTuple):
    """A figure; NaN where nothing was measured."""

    value: float
    note: str = ""


Function = Callable[..., Measured]


class Measure(NamedTuple):
    """How something is measured."""

    name: str
    function: Function
    unit: str
    by_load: bool
    """Whether it says nothing where the load was limited by its generator."""


MEASURES: dict[str, Measure] = {}


def measure(unit: str = "", *, by_load: bool = False) -> Callable[[Function], Function]:
    """Make a function of ``Observed`` a measure that criteria can name."""

    def register(function: Function) -> Function:
        name = function.__name__
        MEASURES[name] = Measure(name, function, unit, by_load)
        return function

    return register


@dataclass(frozen=True)
class Criterion:
    """What is promised: a measure, and what is required of it."""

    says: str
    measure: Measure
    arguments: Mapping[str, Any]
    required: str
    """Such as ``< 30``."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Criterion":
        """From a file; ValueError, which begins with the key, where it is none."""
        members = dict(given)
        texts: dict[str, str] = {}
        for key in ("criterion", "measure", "required"):
            texts[key] = value = members.pop(key, None)
            if not isinstance(value, str) or not value:
                raise ValueError(f"{key}: must be a text, not {value!r}")
        if texts["measure"] not in MEASURES:
            known = ", ".join(sorted(MEASURES))
            raise ValueError(f"measure: must be one of {known}, not {texts['measure']!r}")
        if REQUIRED.fullmatch(texts["required"]) is None:
            raise ValueError(f"required: must be such as '< 30', not {texts['required']!r}")
        found = MEASURES[texts["measure"]]
        try:
            inspect.signature(found.function).bind(None, **members)
        except TypeError as error:
            raise ValueError(f"measure: {found.name}: {error}") from None
        for key, allowed in (("part", PARTS), ("quantile", QUANTILES)):
            if key in members and members[key] not in allowed:
                raise ValueError(f"{key}: must be one of {', '.join(allowed)}")
        return cls(texts["criterion"], found, members, texts["required"])

    @property
    def limit(self) -> float:
        """The number in what is required."""
        return float(self._parsed[1])

    def holds(self, value: float) -> bool:
        """Whether a figure is as required; where nothing was measured it is not."""
        return OPERATORS[self._parsed[0]](value, self.limit)

    def judge(self, observed: Observed) -> dict[str, Any]:
        """Its row in the table of criteria."""
        try:
            value, note = self.measure.function(observed, **self.arguments)
        except BadArgument as error:
            value, note = math.nan, str(error)
        passed: bool | None = self.holds(value)
        if self.measure.by_load and observed.load is not None and observed.load.audit.limited:
            passed, note = None, "the load was limited by its generator"
        return self.row() | {"measured": float(value), "passed": passed, "note": note}

    def row(self) -> dict[str, Any]:
        """The same before anything was measured."""
        return {
            "criterion": self.says,
            "measure": self.measure.name,
            "service": self.arguments.get("service", ""),
            "fault": self.arguments.get("fault", ""),
            "required": self.required,
            "limit": self.limit,
            "measured": math.nan,
            "unit": self.measure.unit,
            "passed": None,
            "note": "",
        }

    @property
    def _parsed(self) -> tuple[str, str]:
        match = REQUIRED.fullmatch(self.required)
        assert match is not None
        return match[1], match[2]


@measure("share", by_load=True)
def success(observed: Observed, *, part: Part = "during", fault: str | None = None) -> Measured:
    """The share of the load's requests that were answered as they should be.

    An arrival that was dropped because the target held all users is a request that failed.

    part: of the time from the first of the faults to the end of the last, or around it.
    """
    load = _load(observed, part, fault)
    if load is None:
        return Measured(math.nan, f"no load {part} the fault")
    failed, dropped = load.over_time("http_req_failed"), load.audit.dropped_by_target
    sent = int(failed["count"].sum())
    if not sent + dropped:
        return Measured(math.nan, f"no request {part} the fault")
    note = f"of {sent} requests"
    if dropped:
        note += f", and {dropped} arrivals that were dropped, as all users waited"
    bad = float(failed["total"].sum()) + dropped
    return Measured(1 - bad / (sent + dropped), note)


@measure("ms", by_load=True)
def latency(
    observed: Observed,
    *,
    quantile: str = "p95",
    part: Part = "during",
    fault: str | None = None,
) -> Measured:
    """A quantile of the load's latency, from when requests were due; part as for success."""
    load = _load(observed, part, fault)
    if load is None:
        return Measured(math.nan, f"no load {part} the fault")
    summary = load.summary().query("metric == 'http_req_duration' and name == ''")
    if summary.empty:
        return Measured(math.nan, f"no request {part} the fault")
    return Measured(float(summary.iloc[0][quantile]))


@measure("share")
def availability(
    observed: Observed, *, service: str | None = None, fault: str | None = None
) -> Measured:
    """The share of probes that were answered while a fault went on, of the worst service."""
    worst = Measured(math.nan, "nothing was probed during the fault")
    for name in _services(observed, service):
        probes = [
            probe
            for window in observed.named(fault)
            for probe in observed.probes.of(name)
            if window.began <= probe.sent < (window.ended or math.inf)
        ]
        if probes:
            share = sum(probe.ok for probe in probes) / len(probes)
            if not share >= worst.value:
                worst = Measured(share, f"{name}, {len(probes)} probes")
    return worst


@measure("answers")
def mode_seen(
    observed: Observed, *, mode: str = LEGACY, service: str | None = None, fault: str | None = None
) -> Measured:
    """How many probes were answered in a mode while a fault went on; the least of the services.

    Only services that say their mode at all count.
    """
    least: Measured | None = None
    for name in _services(observed, service):
        if not any(probe.mode for probe in observed.probes.of(name)):
            continue
        seen = sum(
            probe.mode == mode and window.began <= probe.done <= (window.ended or math.inf)
            for window in observed.named(fault)
            for probe in observed.probes.of(name)
        )
        if least is None or seen < least.value:
            least = Measured(float(seen), name)
    return least or Measured(math.nan, "no service said its mode")


@measure("s")
def downtime(
    observed: Observed, *, service: str | None = None, fault: str | None = None
) -> Measured:
    """The longest time for which a service was down, from a fault until the next begins.

    From the last good answer before it, or from the fault, to the next good one: the longest that
    it can have been. Infinite where a service was down when it was last looked at.
    """
    worst = Measured(math.nan, "there was no such fault")
    for name in _services(observed, service):
        for window in observed.named(fault):
            worst = _worse(worst, _downtime(observed, window, name))
    return worst


@measure("s")
def recovery(
    observed: Observed, *, service: str | None = None, fault: str | None = None
) -> Measured:
    """Seconds until a service was back, at worst; infinite where one was not.

    It is back at the first answer of a second in which every probe is answered, in normal mode. A
    killed one counts from its kill, other faults from their end.
    """
    worst = Measured(math.nan, "there was no such fault")
    for name in _services(observed, service):
        for window in observed.named(fault):
            seconds = recovery_time(observed, window, name)
            note = f"{name} was not back" if math.isinf(seconds) else name
            worst = _worse(worst, Measured(seconds, note))
    return worst


@measure("writes")
def acknowledged_writes(observed: Observed) -> Measured:
    """How many writes were acknowledged, from before the fault until after it."""
    if observed.writes is None:
        return Measured(math.nan, "nothing was written")
    return Measured(float(observed.writes.acknowledged), f"of {len(observed.writes)}")


@measure("writes")
def lost_writes(observed: Observed) -> Measured:
    """How many writes were acknowledged and not there when they were read back."""
    if observed.writes is None or not observed.writes.read_back:
        return Measured(math.nan, "nothing was acknowledged and read back")
    return Measured(float(observed.writes.lost), f"of {observed.writes.acknowledged} acknowledged")


@measure("writes")
def repeated_writes(observed: Observed) -> Measured:
    """How many writes were there more than once when they were read back."""
    if observed.writes is None or not observed.writes.read_back:
        return Measured(math.nan, "nothing was acknowledged and read back")
    return Measured(float(observed.writes.repeated))


@measure()
def count(observed: Observed, *, of: str) -> Measured:
    """What an action has counted, such as ``tokens broken``."""
    return Measured(observed.counts.get(of, math.nan))


def recovery_time(observed: Observed, fault: FaultWindow, service: str) -> float:
    """Seconds from ``fault.since`` until the service was good for ``SETTLED`` on end.

    0 where it never was bad until then, infinite where it was not back before the next fault, NaN
    where it was not probed, or was not bad yet and the fault goes on.
    """
    seen = _since(observed.until_next(fault), service, _looked_from(observed, fault, service))
    if not seen:
        return math.nan
    back = _first_stretch(seen)
    before = seen if back is None else [p for p in seen if p.sent < back[0].sent]
    if all(map(_good, before)):
        return 0.0
    return math.inf if back is None else max(0.0, min(p.done for p in back) - fault.since)


def downtimes(observed: Observed, fault: FaultWindow, service: str) -> tuple[Downtime, ...]:
    """Of a service, from a fault until the next begins, each as long as it can have been.

    One of which no probe since the fault was good before begins with the fault.
    """
    probes = observed.until_next(fault)
    if service not in probes.services:
        return ()
    return tuple(
        down if down.last_good is not None else down._replace(last_good=fault.began)
        for down in probes.downtimes(service)
    )


def longest_downtime(observed: Observed, fault: FaultWindow, service: str) -> float:
    """Seconds; 0 where no probe failed, infinite where it was not back, NaN if not probed."""
    return _downtime(observed, fault, service).value


def is_back(observed: Observed, since: float) -> bool:
    """Whether every service has been good for ``SETTLED`` on end since a moment."""
    probes = observed.probes
    return all(_first_stretch(_since(probes, name, since)) for name in probes.services)


def _downtime(observed: Observed, fault: FaultWindow, service: str) -> Measured:
    if service not in observed.until_next(fault).services:
        return Measured(math.nan, f"{service} was not probed")
    several = downtimes(observed, fault, service)
    if not several:
        return Measured(0.0, f"{service}: no probe failed")
    if several[-1].first_good is None:
        return Measured(math.inf, f"{service} was not back")
    longest = max(several, key=lambda down: down.seconds)
    return Measured(longest.seconds, f"{service}, at most {longest.resolution:.2f} s too long")


def _looked_from(observed: Observed, fault: FaultWindow, service: str) -> float:
    """From when a good second is one after the fault, and not one before it acts.

    A kill may take its time, by a grace or by the cluster, in which all is well.
    """
    if fault.since != fault.began:
        return fault.since
    ended = math.inf if fault.ended is None else fault.ended
    seen = _since(observed.until_next(fault), service, fault.began)
    return next((p.sent for p in seen if p.sent < ended and not _good(p)), ended)


def _since(probes: ProbeResult, service: str, moment: float) -> list[Probe]:
    """Those of a service that were sent since then, in that order."""
    seen = [probe for probe in probes.probes if probe.service == service and probe.sent >= moment]
    return sorted(seen, key=lambda probe: probe.sent)


def _first_stretch(seen: list[Probe]) -> list[Probe] | None:
    """The first probes that were good for ``SETTLED`` on end."""
    stretch: list[Probe] = []
    for probe in seen:
        stretch = [*stretch, probe] if _good(probe) else []
        if stretch and probe.sent - stretch[0].sent >= SETTLED:
            return stretch
    return None


def _worse(one: Measured, other: Measured) -> Measured:
    """The greater one; what was not measured says nothing."""
    return other if math.isnan(one.value) or other.value > one.value else one


def _good(probe: Probe) -> bool:
    return probe.ok and probe.mode in ("", NORMAL)


def _services(observed: Observed, service: str | None) -> Iterable[str]:
    if service is None:
        return observed.probes.services
    observed.probes.of(service)
    return (service,)


def _load(observed: Observed, part: Part, fault: str | None) -> "LoadResult | None":
    """The load in a part of the run."""
    load, windows = observed.load, observed.named(fault)
    if load is None or part == "run":
        return load
    if not windows:
        return None
    last = windows[-1]
    end = last.ended or load.about.started_at + load.seconds
    try:
        return load.around(windows[0].began, max(end, windows[0].began)).phase(part)
    except BadArgument:
        return None
