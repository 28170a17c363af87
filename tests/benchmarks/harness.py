"""Contenders measured side by side in one run, and the Markdown that says how they did.

A benchmark module ``bench_<topic>.py`` has ``HEADING`` and ``comparisons()``, which yields one
``Comparison`` after the other. ``python -m tests.benchmarks`` runs them all.
"""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Timing(NamedTuple):
    """What one call cost; a contender that runs in another process returns it itself."""

    wall: float
    """Seconds by the clock."""
    cpu: float
    """Seconds of all cores together."""
    peak: float | None = None
    """Memory added at the highest, in bytes."""


Contender = Callable[[], object]


@dataclass
class Comparison:
    """Medians of tarslab and its peers on one task."""

    task: str
    timings: dict[str, Timing]
    ours: str = "tarslab"
    by: str = "wall"
    """What the ratios are of: ``wall`` or ``cpu``."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """By peer, how many times tarslab's time it should take at least."""
    note: str = ""

    def ratio(self, peer: str) -> float:
        """How many times as long as tarslab the peer took."""
        return float(
            getattr(self.timings[peer], self.by) / getattr(self.timings[self.ours], self.by)
        )

    def markdown(self) -> str:
        """A heading, a table with one row a contender, and the note."""
        with_peak = any(timing.peak is not None for timing in self.timings.values())
        head = ["", "wall", "CPU", *(["peak memory"] if with_peak else [])]
        head += [f"{self.by} ratio", "target"]
        lines = [f"### {self.task}", "", _row(head), _row(["---"] * len(head))]
        for name, timing in self.timings.items():
            row = [name, _seconds(timing.wall), _seconds(timing.cpu)]
            if with_peak:
                row.append("" if timing.peak is None else f"{timing.peak / 1e6:.0f} MB")
            row.append("1" if name == self.ours else f"{self.ratio(name):.3g}×")
            row.append(self._verdict(name))
            lines.append(_row(row))
        return "\n".join([*lines, *(["", self.note] if self.note else [])]) + "\n"

    def _verdict(self, name: str) -> str:
        if name not in self.targets:
            return ""
        target = self.targets[name]
        return f"≥ {target:g}×: {'met' if self.ratio(name) >= target else 'missed'}"


def compare(
    task: str,
    contenders: Mapping[str, Contender],
    *,
    repeats: int = 5,
    by: str = "wall",
    targets: Mapping[str, float] | None = None,
    note: str = "",
    slow: Mapping[str, int] | None = None,
) -> Comparison:
    """Time every contender ``repeats`` times in turn, after one call that is not counted.

    ``slow`` gives the number of repeats of contenders that take minutes; those have no first call.
    """
    slow = slow or {}
    timings: dict[str, list[Timing]] = {name: [] for name in contenders}
    for name, call in contenders.items():
        if name not in slow:
            call()
    for turn in range(repeats):
        for name, call in contenders.items():
            if turn < slow.get(name, repeats):
                timings[name].append(timed(call))
    medians = {name: _median(of_calls) for name, of_calls in timings.items()}
    return Comparison(task, medians, by=by, targets=targets or {}, note=note)


def timed(call: Contender) -> Timing:
    """One call, unless the contender has measured itself."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    took = Timing(time.perf_counter() - wall, time.process_time() - cpu)
    return result if isinstance(result, Timing) else took


def _median(timings: list[Timing]) -> Timing:
    peaks = [timing.peak for timing in timings if timing.peak is not None]
    return Timing(
        statistics.median(timing.wall for timing in timings),
        statistics.median(timing.cpu for timing in timings),
        statistics.median(peaks) if peaks else None,
    )


def _seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
