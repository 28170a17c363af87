"""What came of an experiment: criteria, recoveries, what probes, load and writes saw, a verdict."""

import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from msgspec import Struct

from tarslab.chaos.experiments.measures import (
    FaultWindow,
    Observed,
    downtimes,
    longest_downtime,
    recovery_time,
)
from tarslab.errors import BadArgument
from tarslab.stats.resampling import Interval

if TYPE_CHECKING:
    import pandas as pd

    from tarslab.chaos.load.results import LoadResult
    from tarslab.chaos.probes import ProbeResult

PASSED, FAILED, INVALID = "passed", "failed", "invalid: generator-limited"
INTERRUPTED, BROKEN_OFF = "interrupted", "broken off"
EXIT_CODES = {PASSED: 0, FAILED: 1, BROKEN_OFF: 2, INVALID: 3, INTERRUPTED: 130}
COLUMNS = (
    "criterion",
    "measure",
    "service",
    "fault",
    "required",
    "limit",
    "measured",
    "unit",
    "passed",
    "note",
)


class About(Struct, frozen=True):
    """The circumstances of an experiment."""

    name: str
    title: str
    description: str
    target: str
    """URL that load and writes went to."""
    started_at: float
    """Unix seconds."""
    ended_at: float
    scale: float
    status: str
    """Chaos Toolkit's."""
    error: str | None
    """What broke it off."""
    interrupted: bool
    environment: dict[str, Any]
    """Of ``environment.environment``."""


class Recovery(NamedTuple):
    """How a service came back from one fault."""

    fault: str
    service: str
    repeat: int
    since: float
    """Unix seconds, from when it counts."""
    recovery: float
    """Seconds; infinite where it was not back, NaN where it was not probed."""
    detected: float
    """Seconds from the fault until a probe was known to have failed; NaN where none did."""
    downtime: float
    """The longest, in seconds."""
    resolution: float
    """Seconds by which that may be too long."""
    failed: int
    """Probes."""


@dataclass(frozen=True)
class ExperimentResult:
    """What came of an experiment; all moments are Unix seconds of one clock."""

    about: About
    rows: tuple[dict[str, Any], ...]
    """Of ``criteria``."""
    observed: Observed
    journal: dict[str, Any] = field(repr=False)
    """Chaos Toolkit's."""
    content: dict[str, Any] = field(repr=False)
    """Of the file of the experiment."""

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self.about.name

    @property
    def title(self) -> str:
        """What it asked."""
        return self.about.title

    @property
    def faults(self) -> tuple[FaultWindow, ...]:
        """When what was broken."""
        return self.observed.faults

    @property
    def probes(self) -> "ProbeResult":
        """What probes saw of each service."""
        return self.observed.probes

    @property
    def load_result(self) -> "LoadResult | None":
        """What the load saw, with its phases before, during and after the faults."""
        load, faults = self.observed.load, self.faults
        if load is None or not faults:
            return load
        return load.around(faults[0].began, max(each.ended or each.began for each in faults))

    @property
    def writes(self) -> "pd.DataFrame":
        """A row for each record that was to be created.

        Columns: ``number``, ``key`` (its name), ``sent``, ``done``, ``status`` (0: no answer),
        ``error``, ``acknowledged``, ``found`` (NA: not looked for) and ``lost``.
        """
        from tarslab.chaos.experiments.writing import Writes

        return (self.observed.writes or Writes(())).to_frame()

    @property
    def criteria(self) -> "pd.DataFrame":
        """A row for each criterion, those of the steady state first.

        Columns: ``criterion`` in words, ``measure``, ``service``, ``fault``, ``required`` (``<
        30``), ``limit`` (30), ``measured`` (NaN: nothing was), ``unit``, ``passed`` (None: the load
        was limited by its generator) and ``note``.
        """
        import pandas as pd

        frame = pd.DataFrame(list(self.rows), columns=list(COLUMNS))
        return frame.astype({"passed": object})

    @cached_property
    def recoveries(self) -> "pd.DataFrame":
        """A row for each fault and service; the columns are the fields of ``Recovery``."""
        import pandas as pd

        rows = [
            self._recovery(fault, service)
            for fault in self.faults
            for service in self.probes.services
        ]
        return pd.DataFrame(rows, columns=list(Recovery._fields))

    def recovery(self, service: str, fault: str | None = None) -> Interval[float]:
        """The mean time to recover of a service, with a 95 % bootstrap interval over the repeats.

        fault: by default those that touch the service, and all where none does.

        The bounds are NaN for a single one, and all is infinite where it was not back once.
        """
        from tarslab.stats import bootstrap_ci, mean

        own = {each.name for each in self.faults if service in each.services}
        wanted = {fault} if fault is not None else own
        rows = self.recoveries.query("service == @service")
        if wanted:
            rows = rows[rows["fault"].isin(wanted)]
        if rows.empty:
            raise BadArgument(f"there is no recovery of {service!r} from {fault or 'a fault'}")
        times = rows["recovery"].dropna().to_numpy()
        if not len(times):
            return Interval(math.nan, math.nan, math.nan)
        if math.isinf(times.max()):
            return Interval(math.inf, math.inf, math.inf)
        return Interval(*map(float, bootstrap_ci(times, mean)))

    def summary(self) -> "pd.DataFrame":
        """A row for each service.

        Columns: those of ``ProbeResult.summary``, and ``recovery``, ``recovery_low`` and
        ``recovery_high``: the mean time to recover in seconds, with its interval.
        """
        frame = self.probes.summary()
        if not self.faults or frame.empty:
            return frame
        intervals = [self.recovery(service) for service in frame["service"]]
        for place, column in enumerate(("recovery", "recovery_low", "recovery_high")):
            frame[column] = [each[place] for each in intervals]
        return frame

    @property
    def verdict(self) -> str:
        """``passed``, ``failed``, ``invalid: generator-limited``, ``interrupted``, ``broken off``.

        Failed where a criterion does not hold that was measured well, or a threshold with
        abortOnFail ended the load; invalid where the others hold, and some rest on a load whose
        generator was the bottleneck. The load's own thresholds are no criteria.
        """
        if self.about.error is not None:
            return BROKEN_OFF
        if self.about.interrupted:
            return INTERRUPTED
        outcomes = [row["passed"] for row in self.rows]
        load = self.observed.load
        limited = load is not None and load.audit.limited
        aborted = load is not None and load.about.aborted_by is not None
        if False in outcomes or (aborted and not limited):
            return FAILED
        return INVALID if None in outcomes or limited else PASSED

    @property
    def exit_code(self) -> int:
        """0 if passed, 1 if failed, 2 if broken off, 3 if invalid, 130 if interrupted."""
        return EXIT_CODES[self.verdict]

    def explain(self) -> str:
        """Why the verdict is what it is, in sentences."""
        lines = [f"{self.verdict}: {self.title}"]
        if self.about.error is not None:
            lines.append(self.about.error)
        for row in self.rows:
            if row["passed"] is not True:
                lines.append(f"{row['criterion']}: {in_words(row)}")
        if self.observed.load is not None:
            lines += self.observed.load.audit.reasons
        return "\n".join(lines)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write all of it: JSON, Parquet, and ``load/`` as ``LoadResult.save`` does.

        Raises:
            ExperimentFailed: It cannot be written; its ``result`` is this.
        """
        from tarslab.chaos.experiments.saving import save

        return save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """What ``save`` wrote; BadArgument where it is not there, or damaged.

        ``bundled:chaos/kubernetes/pod-kill`` is one that comes with tarslab.
        """
        from tarslab.chaos.experiments.saving import load

        return load(cls, Path(folder))

    def __repr__(self) -> str:
        return f"<ExperimentResult {self.name}: {self.verdict}>"

    def _recovery(self, fault: FaultWindow, service: str) -> Recovery:
        probes = self.observed.until_next(fault)
        several = downtimes(self.observed, fault, service)
        longest = max(several, key=lambda down: down.seconds, default=None)
        detected, failed = None, 0
        if service in probes.services:
            detected = probes.time_to_detect(service, fault.began)
            failed = probes.failed(service)
        return Recovery(
            fault=fault.name,
            service=service,
            repeat=fault.repeat,
            since=fault.since,
            recovery=recovery_time(self.observed, fault, service),
            detected=math.nan if detected is None else detected,
            downtime=longest_downtime(self.observed, fault, service),
            resolution=1 / self.probes.rate if longest is None else longest.resolution,
            failed=failed,
        )


def in_words(row: dict[str, Any]) -> str:
    """What was measured of a criterion, and what is required."""
    value, note = row["measured"], f" ({row['note']})" if row["note"] else ""
    if row.get("measure") == "steady_state":
        return f"{'met' if value == 1 else 'not met'}{note}"
    if math.isnan(value):
        shown = "nothing was measured"
    elif row["unit"] == "share":
        shown = f"{value:.2%}"
    else:
        shown = f"{value:.4g} {row['unit']}".strip()
    return f"{shown}{note}, required {row['required']}"
