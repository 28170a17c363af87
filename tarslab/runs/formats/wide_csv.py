"""CSV tables with one column a metric and one row a step: ``progress.csv`` and its like.

stable-baselines3 and RLlib write ``progress.csv``, Spinning Up a tab-separated ``progress.txt``;
an export has any name. The step column is found by name. An empty cell means that the metric was
not logged in that row; ``nan`` and ``inf`` are values. A column without any number is no metric.
"""

import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.errors import BadLog
from tarslab.runs.formats.parallel import in_processes
from tarslab.runs.formats.text import as_numbers, complete_lines, parse_csv
from tarslab.runs.recording import Recording, Series

NAME = "csv"
LOOKED_FOR = "progress.csv and other CSV tables with a step column"

FOLDER_NAMES = {"progress.csv", "progress.txt"}

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
    "timestepssofar",
    "step",
    "steps",
    "_step",
    "iteration",
)
WALL_TIME_COLUMNS = ("wall_time", "wall time", "_timestamp", "timestamp")

# Numeric columns that tell runs apart; columns of words are looked at whatever their name.
RUN_COLUMNS = {"seed", "run", "run_id", "trial", "worker"}


def matches(path: Path, head: bytes) -> bool:
    """A header line that names a step column; or a name that promises one."""
    if path.name in FOLDER_NAMES:
        return True
    if b"\0" in head or path.suffix not in (".csv", ".tsv", ".txt"):
        return False
    header = _columns(head.decode("utf-8-sig", errors="replace"))
    return len(header) > 1 and _find(header, STEP_COLUMNS) is not None


def home(path: Path) -> Path:
    """The folder, where trainers give the name to the log of the folder's run."""
    return path.parent if path.name in FOLDER_NAMES else path


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """One Recording a home, with every tag."""
    return in_processes(NAME, lambda paths: [read(paths)], homes)


def read(paths: Sequence[Path]) -> Recording:
    """One run from its table (or from several, one after the other)."""
    recording = Recording(NAME)
    parts: dict[str, list[Series]] = {}
    for path in paths:
        try:
            read_series = _read_file(path, recording)
        except BadLog as error:
            recording.warnings.append(str(error))
            continue
        for tag, series in read_series.items():
            parts.setdefault(tag, []).append(series)
    recording.series = {tag: Series.joined(series) for tag, series in parts.items()}
    return recording


def _read_file(path: Path, recording: Recording) -> dict[str, Series]:
    text, warnings = complete_lines(path)
    recording.warnings += warnings
    if not text:
        return {}
    table, warnings = parse_csv(path, text, separator=_separator(text))
    recording.warnings += warnings
    # pandas names an index column, which has no name in the file, "Unnamed: 0".
    spaced = [name for name in table.columns if name.strip() not in table.columns]
    table = table.rename(columns={name: name.strip() for name in spaced})
    table = table.loc[:, [not name.startswith("Unnamed:") for name in table.columns]]
    columns = list(table.columns)
    step_column = _find(columns, STEP_COLUMNS)
    if step_column is None:
        raise BadLog(
            f"{path}: no step column among {', '.join(columns[:20])}; "
            f"name one of the columns {', '.join(STEP_COLUMNS)}"
        )
    step = pd.to_numeric(table[step_column], errors="coerce").to_numpy(np.float64)
    if len(step) > 1 and np.all(np.diff(step) < 0):
        # Newest row first.
        table, step = table.iloc[::-1].reset_index(drop=True), step[::-1]
    stepped = np.isfinite(step) & (np.abs(step) < 2**63)
    if not stepped.all():
        first = int(np.flatnonzero(~stepped)[0]) + 2
        recording.warnings.append(
            f"{path}: {int((~stepped).sum())} rows without a number in {step_column}, the first "
            f"in row {first}; they were left out"
        )
    if np.any(step[stepped] != np.floor(step[stepped])):
        raise BadLog(f"{path}: column {step_column} holds fractions; steps are whole numbers")

    _refuse_several_runs(path, table[stepped], step[stepped], step_column)
    wall_column = _find(columns, WALL_TIME_COLUMNS)
    wall_time = np.full(len(table), np.nan)
    if wall_column is not None:
        wall_time = pd.to_numeric(table[wall_column], errors="coerce").to_numpy(np.float64)
        # Seconds of this size lie thousands of years ahead: these are milliseconds.
        wall_time = np.where(wall_time > 1e11, wall_time / 1000, wall_time)
    series = {}
    for name in columns:
        if name in (step_column, wall_column):
            continue
        cells = table[name]
        logged = stepped & (cells != "").to_numpy()
        values, words = as_numbers(cells[logged])
        readable = ~words.to_numpy()
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


def _refuse_several_runs(
    path: Path, table: pd.DataFrame, step: NDArray[np.float64], step_column: str
) -> None:
    """BadLog where a column tells several runs or metrics apart that stand in one table.

    Read as one run they would be mixed up. Such a column repeats its values, and while the steps
    of the whole table go back or repeat, those of each value go on.
    """
    if not np.any(np.diff(step) <= 0):
        return
    for name in table.columns:
        words = name != step_column and pd.to_numeric(table[name], errors="coerce").isna().all()
        if not words and name.lower() not in RUN_COLUMNS:
            continue
        kinds = table[name].unique()
        if not 1 < len(kinds) <= len(table) // 3:
            continue
        if all(np.all(np.diff(step[(table[name] == kind).to_numpy()]) > 0) for kind in kinds):
            shown = ", ".join(map(str, kinds[:4])) + (", ..." if len(kinds) > 4 else "")
            raise BadLog(
                f"{path}: column {name} tells {len(kinds)} runs or metrics apart ({shown}); "
                "write one file for each run, with one column for each metric"
            )


def _columns(text: str) -> list[str]:
    header = next((line for line in text.splitlines() if line.strip()), "")
    try:
        return next(csv.reader([header], delimiter=_separator(header), skipinitialspace=True), [])
    except csv.Error:
        return []


def _separator(text: str) -> str:
    header = next((line for line in text.split("\n") if line.strip()), "")
    return max(",\t;", key=header.count)


def _find(columns: Sequence[str], wanted: Sequence[str]) -> str | None:
    by_name = {name.strip().lower(): name for name in reversed(columns)}
    return next((by_name[name] for name in wanted if name in by_name), None)
