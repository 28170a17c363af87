"""CSV tables with one column a metric and one row a step: ``progress.csv`` and its like.

stable-baselines3 and RLlib write ``progress.csv``, Spinning Up a tab-separated ``progress.txt``;
an export has any name. The step column is found by name. An empty cell means that the metric was
not logged in that row; ``nan`` and ``inf`` are values. A column without any number is no metric.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tarslab.errors import BadLog
from tarslab.runs.formats.text import complete_lines, parse_csv
from tarslab.runs.recording import Recording, Series

NAME = "csv"
LOOKED_FOR = "progress.csv and other CSV tables with a step column"

FOLDER_NAMES = {"progress.csv", "progress.txt", "metrics.csv", "log.csv"}

# In order of preference, compared without regard to case.
STEP_COLUMNS = (
    "time/total_timesteps",
    "num_env_steps_sampled_lifetime",
    "timesteps_total",
    "global_step",
    "total_timesteps",
    "misc/total_timesteps",
    "totalenvinteracts",
    "env_step",
    "total_steps",
    "timesteps",
    "step",
    "_step",
    "iteration",
)
WALL_TIME_COLUMNS = ("wall_time", "_timestamp", "timestamp")


def matches(path: Path, head: bytes) -> bool:
    """A header line that names a step column; or a name that promises one."""
    if path.name in FOLDER_NAMES:
        return True
    if b"\0" in head or path.suffix not in (".csv", ".tsv", ".txt"):
        return False
    header = _columns(head.decode("utf-8-sig", errors="replace"))
    return len(header) > 1 and _find(header, STEP_COLUMNS) is not None


def speaks_for_folder(path: Path) -> bool:
    """Whether the name is one that trainers give to the log of the folder's run."""
    return path.name in FOLDER_NAMES


def read(paths: Sequence[Path]) -> Recording:
    """One run from its table (or from several, one after the other)."""
    recording = Recording(NAME)
    parts: dict[str, list[Series]] = {}
    for path in paths:
        for tag, series in _read_file(path, recording).items():
            parts.setdefault(tag, []).append(series)
    recording.series = {tag: Series.joined(series) for tag, series in parts.items()}
    return recording


def _read_file(path: Path, recording: Recording) -> dict[str, Series]:
    text, warnings = complete_lines(path)
    recording.warnings += warnings
    if not text:
        return {}
    table = parse_csv(path, text, separator=_separator(text))
    columns = [str(name) for name in table.columns]
    step_column = _find(columns, STEP_COLUMNS)
    if step_column is None:
        raise BadLog(
            f"{path}: no step column among {', '.join(columns[:20])}; "
            f"name one of the columns {', '.join(STEP_COLUMNS)}"
        )
    step = pd.to_numeric(table[step_column], errors="coerce").to_numpy(np.float64)
    stepped = np.isfinite(step) & (np.abs(step) < 2**63)
    if not stepped.all():
        first = int(np.flatnonzero(~stepped)[0]) + 2
        recording.warnings.append(
            f"{path}: {int((~stepped).sum())} rows without a number in {step_column}, the first "
            f"in row {first}; they were left out"
        )
    if np.any(step[stepped] != np.floor(step[stepped])):
        raise BadLog(f"{path}: column {step_column} holds fractions; steps are whole numbers")

    wall_column = _find(columns, WALL_TIME_COLUMNS)
    wall_time = np.full(len(table), np.nan)
    if wall_column is not None:
        wall_time = pd.to_numeric(table[wall_column], errors="coerce").to_numpy(np.float64)
    series = {}
    for name in columns:
        if name in (step_column, wall_column):
            continue
        cells = table[name]
        logged = stepped & (cells != "").to_numpy()
        values = pd.to_numeric(cells[logged], errors="coerce").to_numpy(np.float64)
        said_nan = cells[logged].str.strip().str.lower().isin(("nan", "-nan", "+nan")).to_numpy()
        readable = ~np.isnan(values) | said_nan
        if not readable.any():
            continue
        if not readable.all():
            recording.warnings.append(
                f"{path}: {int((~readable).sum())} cells of column {name} are not numbers; "
                "they were left out"
            )
        places = np.flatnonzero(logged)[readable]
        series[name] = Series.of(step[places], wall_time[places], values[readable])
    return series


def _columns(text: str) -> list[str]:
    header = text.splitlines()[0] if text.strip() else ""
    try:
        return next(csv.reader([header], delimiter=_separator(header), skipinitialspace=True), [])
    except csv.Error:
        return []


def _separator(text: str) -> str:
    header = text.split("\n", 1)[0]
    return "\t" if "\t" in header and "," not in header else ","


def _find(columns: Sequence[str], wanted: Sequence[str]) -> str | None:
    by_name = {name.strip().lower(): name for name in reversed(columns)}
    return next((by_name[name] for name in wanted if name in by_name), None)
