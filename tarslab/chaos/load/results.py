"""What came of a run of load: tables, thresholds, errors, and a verdict."""

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from math import ceil, floor, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, structs

from tarslab.chaos.load import tables
from tarslab.chaos.load.audit import INVALID, Audit, audit
from tarslab.chaos.load.histograms import Cells
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.recording import Series
from tarslab.chaos.load.tables import Measures
from tarslab.chaos.load.thresholds import Selector
from tarslab.errors import BadArgument

if TYPE_CHECKING:
    import pandas as pd

# Exit codes: k6's of a broken threshold, and one that is none of k6's.
PASSED, BROKEN, NOT_VALID = 0, 99, 3
WINDOW = 10


class About(Struct, frozen=True):
    """The circumstances of a run."""

    options: dict[str, Any]
    """Of the load test as it ran: scaled."""
    name: str
    target: str
    engine: str
    scale: float
    started_at: float
    """Unix seconds."""
    seconds: float
    """How long it measured."""
    shards: int = 1
    interrupted: bool = False
    """Whether somebody ended it early."""
    aborted_by: str | None = None
    """The threshold with abortOnFail that ended it."""
    cpu_seconds: float = 0.0
    """Of processor, that the generator took."""
    unfinished: int = 0
    """Iterations that were broken off at the end."""
    fault: tuple[float, float] | None = None
    """Start and end of a fault, in Unix seconds."""


class LoadResult:
    """A run of load, by seconds, metrics and tags.

    A sample counts in the second in which its request was due, from the start of the run. Times
    are in milliseconds, from HDR histograms: off by 0.1 % at most.
    """

    def __init__(
        self, about: About, series: Sequence[Series], cells: Cells, points: Path | None = None
    ) -> None:
        self.about = about
        self.series = tuple(series)
        self.cells = cells.merged()
        self.points_path = points
        """Where single requests are, if they were asked for by ``raw=True``."""
        self.test = LoadTest.of(about.options)

    @property
    def seconds(self) -> float:
        """How long it measured."""
        return self.about.seconds

    @property
    def interrupted(self) -> bool:
        """Whether somebody ended it early: this is what was measured until then."""
        return self.about.interrupted

    @cached_property
    def requests(self) -> "pd.DataFrame":
        """A row for each second, metric and set of tags.

        Columns: ``second`` from the start, ``time`` in Unix seconds, ``metric``, a column for each
        tag (empty where a series lacks it), ``count`` of the samples, ``total`` (the sum of a
        counter, the hits of a rate, the value of a gauge, milliseconds of a trend), and for trends
        ``mean``, ``p50``, ``p95``, ``p99``, ``min`` and ``max`` in milliseconds.
        """
        return tables.by_second(self._measures, self.about.started_at)

    def over_time(self, metric: str = "http_req_duration") -> "pd.DataFrame":
        """A row for each second of one metric, such as ``http_req_duration{name:login}``.

        The histograms of all its tags are merged. The columns are those of ``requests`` without
        the tags, and ``rate``: the share of hits of a rate.
        """
        return tables.over_time(self._measures, selector(metric), self.about.started_at)

    def summary(self) -> "pd.DataFrame":
        """A row for each metric, and below ``http_req_duration`` for each name of a request.

        Columns: ``metric``, ``name`` (empty for all together), ``kind``, ``count`` of samples,
        ``total`` of a counter, ``rate`` (hits of a rate; a second of a counter), and of a trend
        ``mean``, ``p50``, ``p95``, ``p99``, ``min`` and ``max`` in milliseconds.
        """
        return tables.summary(self._measures)

    @cached_property
    def thresholds(self) -> "pd.DataFrame":
        """A row for each threshold and part of the run.

        Columns: ``metric``, ``threshold``, ``part`` (``run``; ``before``, ``during`` and ``after``
        a fault; ``worst 10 s``, the sliding window in which it did worst), ``start`` and ``end`` in
        seconds, ``value``, ``held``, and ``held_at_worst``: whether it would hold even if no
        arrival that was dropped had ever been answered.
        """
        return tables.thresholds(self._measures, self.test.expressions, self._parts, WINDOW)

    def windows(self, metric: str, threshold: str, length: int = WINDOW) -> "pd.DataFrame":
        """A threshold, also one of yours, in every window of ``length`` seconds, each second anew.

        Columns: ``start`` and ``end`` in seconds, ``value``, ``held``, ``held_at_worst``.
        """
        if length < 1:
            raise BadArgument(f"length must be at least 1 second, not {length!r}")
        try:
            return tables.windows(self._measures, selector(metric), threshold, length)
        except ValueError as error:
            raise BadArgument(f"threshold: must be {error}") from None

    @cached_property
    def errors(self) -> "pd.DataFrame":
        """A row for each kind of error, the most frequent first.

        Columns: ``error`` (``HTTP 503``, ``timeout``, ``connection refused``, or ``flow:`` and an
        exception of the flow), ``scenario``, ``name``, ``count``, and the ``first`` and ``last``
        second.
        """
        return tables.errors(self._measures)

    @cached_property
    def points(self) -> "pd.DataFrame":
        """Single requests, of a run with ``raw=True``.

        Columns: ``due``, ``sent`` and ``done`` in seconds from the start, ``scenario``, ``name``,
        ``method``, ``status`` and ``error``.
        """
        import pandas as pd

        if self.points_path is None:
            raise BadArgument("there are no single requests: ask for them by run_load(raw=True)")
        return pd.read_parquet(self.points_path)

    @cached_property
    def audit(self) -> Audit:
        """What the generator says about itself."""
        return audit(
            self.test,
            self.cells,
            self.series,
            engine=self.about.engine,
            cpu_seconds=self.about.cpu_seconds,
            unfinished=self.about.unfinished,
        )

    @property
    def verdict(self) -> str:
        """``passed``, ``failed``, or ``invalid: generator-limited``.

        Invalid where the generator was the bottleneck, by the rules of ``Audit``: then the figures
        are its own rather than the target's. Failed where a threshold does not hold over the whole
        run, or would not if the arrivals that the target caused to be dropped had never been
        answered. Thresholds of parts and windows do not count.
        """
        if self.audit.limited:
            return INVALID
        whole = self.thresholds[self.thresholds["part"] == "run"]
        held = whole["held"] & whole["held_at_worst"]
        return "passed" if held.all() and self.about.aborted_by is None else "failed"

    @property
    def exit_code(self) -> int:
        """0 if passed, 99 (k6's) if failed, 3 if invalid."""
        return {"passed": PASSED, "failed": BROKEN}.get(self.verdict, NOT_VALID)

    def explain(self) -> str:
        """Why the verdict is what it is, in sentences."""
        lines = [f"{self.verdict}: {self.about.name} against {self.about.target}"]
        lines += self.audit.reasons
        for row in self.thresholds.query("part == 'run'").to_dict("records"):
            said, value = f"{row['metric']}: {row['threshold']}", float(row["value"])
            if not row["held"]:
                shown = "nothing was measured" if isnan(value) else f"it is {value:g}"
                lines.append(f"{said} does not hold: {shown}")
            elif not row["held_at_worst"]:
                lines.append(
                    f"{said} holds ({value:g}), but not if the arrivals that were dropped had "
                    "never been answered: raise maxVUs to measure them"
                )
        if self.audit.dropped_by_target:
            lines.append(
                f"{self.audit.dropped_by_target} of {self.audit.arrivals} arrivals found all users "
                "(maxVUs) waiting for the target and were dropped; the least that they would have "
                "waited is in http_req_duration"
            )
        if self.about.aborted_by:
            lines.append(f"it was ended by {self.about.aborted_by}")
        if self.interrupted:
            lines.append("somebody ended it early")
        return "\n".join(lines)

    def around(self, start: float, end: float) -> "LoadResult":
        """The same, with thresholds also before, during and after a fault, in Unix seconds.

        Every second that the fault touches is during it.
        """
        if not start <= end:
            raise BadArgument(f"end: a fault ends after its start, not at {end} after {start}")
        about = structs.replace(self.about, fault=(start, end))
        return LoadResult(about, self.series, self.cells, self.points_path)

    def phase(self, name: str) -> "LoadResult":
        """Only what was due ``before``, ``during`` or ``after`` the fault that ``around`` said."""
        if name not in self._parts:
            known = ", ".join(self._parts) or "none; say by around(start, end) when the fault was"
            raise BadArgument(f"name: no phase {name!r}; there is {known}")
        part = self._parts[name]
        about = structs.replace(
            self.about,
            seconds=part.seconds,
            started_at=self.about.started_at + part.start,
            fault=None,
        )
        shifted = Cells.join([part.cells])
        shifted.second[:] -= part.start
        return LoadResult(about, self.series, shifted)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``result.json``, ``histograms.parquet`` and, if asked for, ``points.parquet``.

        Raises:
            LoadFailed: They cannot be written; its ``result`` is this.
        """
        from tarslab.chaos.load.saving import save

        return save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "LoadResult":
        """What ``save`` wrote; BadArgument where it is not there, or damaged."""
        from tarslab.chaos.load.saving import load

        return load(Path(folder))

    def __repr__(self) -> str:
        return f"<LoadResult {self.about.name}: {self.verdict}, {self.seconds:.0f} s>"

    @property
    def _measures(self) -> Measures:
        return Measures(self.series, self.cells, 0, self.seconds)

    @property
    def _parts(self) -> dict[str, Measures]:
        if self.about.fault is None:
            return {}
        start, end = (moment - self.about.started_at for moment in self.about.fault)
        first, last = max(0, floor(start)), max(0, ceil(end))
        spans = {
            "before": (0, float(first)),
            "during": (first, float(last)),
            "after": (last, self.seconds),
        }
        return {
            name: self._measures.part(begin, until)
            for name, (begin, until) in spans.items()
            if begin < min(until, self.seconds)
        }


def merge(results: Iterable[LoadResult]) -> LoadResult:
    """The results of several generators of the same load, as if it were one.

    Exact: counts of buckets add up. Seconds count from the earliest start.

    Raises:
        BadArgument: There is none, or they are of different load tests or targets.
    """
    several = list(results)
    if not several:
        raise BadArgument("results: there is none")
    first = several[0].about
    for each in several:
        if (each.about.options, each.about.target) != (first.options, first.target):
            raise BadArgument("results: of different load tests or targets")
    started_at = min(each.about.started_at for each in several)
    numbers: dict[Series, int] = {}
    parts = []
    seconds = 0.0
    for each in several:
        late = round(each.about.started_at - started_at)
        own = [numbers.setdefault(of, len(numbers)) for of in each.series]
        part = Cells.join([each.cells])
        part.series[:] = np.array([*own, 0])[part.series]
        part.second[:] += late
        parts.append(part)
        seconds = max(seconds, late + each.seconds)
    about = structs.replace(
        first,
        started_at=started_at,
        seconds=seconds,
        shards=sum(each.about.shards for each in several),
        interrupted=any(each.about.interrupted for each in several),
        aborted_by=next((each.about.aborted_by for each in several if each.about.aborted_by), None),
        cpu_seconds=sum(each.about.cpu_seconds for each in several),
        unfinished=sum(each.about.unfinished for each in several),
    )
    return LoadResult(about, list(numbers), Cells.join(parts))


def selector(text: str) -> Selector:
    """From its text; BadArgument where it is none."""
    try:
        return Selector.parse(text)
    except ValueError as error:
        raise BadArgument(f"metric: must be {error}") from None
