"""What came of a suite: an entry for each load test and experiment."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tarslab.chaos.experiments.results import (
    BROKEN_OFF,
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    INVALID,
    PASSED,
    ExperimentResult,
)

if TYPE_CHECKING:
    import pandas as pd

    from tarslab.chaos.load.results import LoadResult

SKIPPED = "skipped"
Kind = Literal["load", "resilience"]


@dataclass(frozen=True)
class Entry:
    """One load test or experiment of a suite."""

    kind: Kind
    name: str
    verdict: str
    """As that of its result, or ``broken off`` without one; ``skipped`` after an interrupt."""
    seconds: float = 0.0
    error: str | None = None
    """Why it broke off."""
    result: "LoadResult | ExperimentResult | None" = field(default=None, repr=False)

    @property
    def folder(self) -> str:
        """Where its result is, within that of the suite."""
        return f"{self.kind}/{self.name}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Its criteria: ``criterion``, ``required``, ``measured``, ``unit``, ``passed``, ``note``.

        Those of a load test are its thresholds over the whole run.
        """
        if isinstance(self.result, ExperimentResult):
            return [dict(row) for row in self.result.rows]
        if self.result is None:
            return []
        rows = self.result.thresholds.query("part == 'run'").to_dict("records")
        limited = self.result.audit.limited
        return [_of_threshold({str(k): v for k, v in row.items()}, limited) for row in rows]


@dataclass(frozen=True)
class SuiteResult:
    """What came of a suite."""

    folder: Path
    entries: tuple[Entry, ...]
    started_at: float
    """Unix seconds."""
    seconds: float
    scale: float
    environment: dict[str, Any] = field(repr=False)

    @property
    def verdict(self) -> str:
        """The worst of the entries': interrupted, failed, broken off, invalid, passed."""
        verdicts = {entry.verdict for entry in self.entries} | {PASSED}
        if SKIPPED in verdicts:
            return INTERRUPTED
        order = (INTERRUPTED, FAILED, BROKEN_OFF, INVALID, PASSED)
        return next(verdict for verdict in order if verdict in verdicts)

    @property
    def passed(self) -> bool:
        """Whether every criterion of every entry holds."""
        return self.verdict == PASSED

    @property
    def exit_code(self) -> int:
        """0 if passed, 1 if failed, 2 if broken off, 3 if invalid, 130 if interrupted."""
        return EXIT_CODES[self.verdict]

    def summary(self) -> "pd.DataFrame":
        """A row for each criterion: ``kind``, ``name``, ``verdict``, and as ``Entry.rows``."""
        import pandas as pd

        columns = ["criterion", "required", "measured", "unit", "passed", "note"]
        rows = [
            {"kind": entry.kind, "name": entry.name, "verdict": entry.verdict}
            | {column: row[column] for column in columns}
            for entry in self.entries
            for row in entry.rows
        ]
        return pd.DataFrame(rows, columns=["kind", "name", "verdict", *columns])


def _of_threshold(row: dict[str, Any], limited: bool) -> dict[str, Any]:
    held, at_worst = bool(row["held"]), bool(row["held_at_worst"])
    note = "the load was limited by its generator" if limited else ""
    if held and not at_worst and not limited:
        note = "not if the arrivals that were dropped had never been answered"
    value = float(row["value"])
    return {
        "criterion": f"{row['metric']}: {row['threshold']}",
        "required": str(row["threshold"]),
        "measured": value,
        "unit": "" if math.isnan(value) or "rate" in row["threshold"] else "ms",
        "passed": None if limited else held and at_worst,
        "note": note,
    }
