"""Results of experiments on disk.

result.json       the verdict, criteria, faults, circumstances and versions
experiment.json   the file that was run
journal.json      Chaos Toolkit's
probes.parquet    a row for each probe
writes.parquet    a row for each write, where there were some
load/             as tarslab.chaos.load keeps it, where there was some
"""

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pandas as pd
import pyarrow as pa
from msgspec import Struct

from tarslab import bundled
from tarslab.chaos.experiments.errors import ExperimentFailed
from tarslab.chaos.experiments.measures import FaultWindow, Observed
from tarslab.chaos.experiments.results import About, ExperimentResult
from tarslab.chaos.experiments.writing import Writes
from tarslab.chaos.load.errors import LoadFailed
from tarslab.chaos.load.results import LoadResult
from tarslab.chaos.load.saving import RESULT
from tarslab.chaos.probes import ProbeResult
from tarslab.errors import BadArgument

VERSION = 1
FILES = ("probes.parquet", "writes.parquet", "experiment.json", "journal.json")
DAMAGED = (OSError, pa.ArrowException, KeyError, ValueError, TypeError, msgspec.DecodeError)
# JSON has no infinity and no NaN.
INFINITE = "infinite"

R = TypeVar("R", bound=ExperimentResult)


class Kept(Struct, frozen=True):
    """What ``result.json`` has."""

    version: int
    verdict: str
    about: About
    criteria: list[dict[str, Any]]
    faults: list[FaultWindow]
    counts: dict[str, float]
    rate: float
    """Of the probes."""
    timeout: float
    repeated_writes: int


def save(result: ExperimentResult, folder: Path) -> Path:
    """As ``ExperimentResult.save``."""
    observed, probes = result.observed, result.observed.probes
    kept = Kept(
        VERSION,
        result.verdict,
        result.about,
        [_writable(row) for row in result.rows],
        list(observed.faults),
        dict(observed.counts),
        probes.rate,
        probes.timeout,
        0 if observed.writes is None else observed.writes.repeated,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Last of all, so that a folder which has it is complete.
        (folder / RESULT).unlink(missing_ok=True)
        probes.to_frame().to_parquet(folder / "probes.parquet", compression="zstd")
        if observed.writes is not None:
            observed.writes.to_frame().to_parquet(folder / "writes.parquet", compression="zstd")
        if observed.load is not None:
            observed.load.save(folder / "load")
        _write(folder / "experiment.json", result.content)
        _write(folder / "journal.json", result.journal)
        (folder / RESULT).write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1))
    except (OSError, LoadFailed) as error:
        raise ExperimentFailed(
            f"{folder}: the results cannot be written: {error}", result
        ) from None
    return folder


def load(kind: type[R], folder: Path) -> R:
    """As ``ExperimentResult.load``."""
    if str(folder).startswith(bundled.PREFIX):
        folder = bundled.data(str(folder).removeprefix(bundled.PREFIX))
    try:
        kept = msgspec.json.decode((folder / RESULT).read_bytes(), type=Kept)
        if kept.version != VERSION:
            raise BadArgument(
                f"{folder / RESULT}: of version {kept.version}, where this tarslab reads {VERSION}"
            )
        frame = pd.read_parquet(folder / "probes.parquet")
        probes = ProbeResult.of_frame(frame, rate=kept.rate, timeout=kept.timeout)
        writes, load = None, None
        if (folder / "writes.parquet").exists():
            written = pd.read_parquet(folder / "writes.parquet")
            writes = Writes.of_frame(written, kept.repeated_writes)
        if (folder / "load").exists():
            load = LoadResult.load(folder / "load")
        content = json.loads((folder / "experiment.json").read_text())
        journal = json.loads((folder / "journal.json").read_text())
    except FileNotFoundError as error:
        raise BadArgument(
            f"{folder}: no results of an experiment there ({Path(error.filename).name} is missing)"
        ) from None
    except BadArgument:
        raise
    except DAMAGED as error:
        raise BadArgument(
            f"{folder}: results of an experiment that cannot be read: {error}"
        ) from None
    observed = Observed(probes, tuple(kept.faults), load, writes, kept.counts)
    rows = tuple(_readable(row) for row in kept.criteria)
    return kind(kept.about, rows, observed, journal, content)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, default=str) + "\n")


def _writable(row: dict[str, Any]) -> dict[str, Any]:
    value = row["measured"]
    return row | {"measured": INFINITE if value == float("inf") else value}


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    value = row["measured"]
    known = {None: float("nan"), INFINITE: float("inf")}
    return row | {"measured": known[value] if value in known else float(value)}
