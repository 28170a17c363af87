"""``monitor.csv``: one row an episode, as stable-baselines3's Monitor writes it.

The first line is ``#`` and a JSON object (``t_start`` in Unix seconds, ``env_id``), the second the
column names, of which ``r`` (return), ``l`` (length in steps) and ``t`` (seconds since ``t_start``)
are needed. The step of an episode is the cumulative ``l``. Of several environments trained side by
side (``0.monitor.csv``, ``1.monitor.csv``, ...) the episodes are put in order of their end, as
stable-baselines3's own ``load_results`` does.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tarslab.errors import BadLog
from tarslab.runs.formats.text import complete_lines, parse_csv
from tarslab.runs.recording import Recording, Series

NAME = "monitor"
LOOKED_FOR = "stable-baselines3 monitor.csv"

SHARED_NAME = re.compile(r"(\d+\.)*monitor\.csv")
COLUMNS = ("r", "l", "t")


def matches(path: Path, head: bytes) -> bool:
    """A first line ``#{... "t_start" ...}``; or the name, where the file is empty."""
    if not head:
        return path.name.endswith("monitor.csv")
    first = head.split(b"\n", 1)[0]
    return first.startswith(b"#{") and b'"t_start"' in first


def speaks_for_folder(path: Path) -> bool:
    """Whether the name is monitor.csv or <number>.monitor.csv."""
    return SHARED_NAME.fullmatch(path.name) is not None


def read(paths: Sequence[Path]) -> Recording:
    """One run from the monitors of its environments."""
    recording = Recording(NAME)
    episodes = []
    for path in paths:
        table = _read_file(path, recording)
        if table is not None:
            episodes.append(table)
    if not episodes:
        return recording
    merged = pd.concat(episodes, ignore_index=True)
    if len(episodes) > 1:
        merged = merged.sort_values("ended", kind="stable", ignore_index=True)
    step = merged["l"].cumsum()
    recording.series = {
        "r": Series.of(step, merged["ended"], merged["r"]),
        "l": Series.of(step, merged["ended"], merged["l"]),
    }
    return recording


def _read_file(path: Path, recording: Recording) -> pd.DataFrame | None:
    """The episodes of one file with the Unix time of their end, None where there are none."""
    text, warnings = complete_lines(path)
    recording.warnings += warnings
    if not text:
        return None
    header, _, rows = text.partition("\n")
    try:
        stated = json.loads(header.removeprefix("#"))
        started = float(stated["t_start"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadLog(f"{path}: the first line is not a monitor header: {error}") from None
    if stated.get("env_id") not in (None, "None"):
        recording.config.setdefault("env_id", stated["env_id"])
    table = parse_csv(path, rows, skipped_lines=1)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise BadLog(
            f"{path}: no column {', '.join(missing)}: a monitor.csv has r, l and t, "
            f"this one has {', '.join(map(str, table.columns)) or 'none'}"
        )
    numbers = table[list(COLUMNS)].apply(pd.to_numeric, errors="coerce")
    usable = numbers["l"].notna() & numbers["t"].notna()
    if not usable.all():
        first = int(np.flatnonzero(~usable)[0]) + 3
        recording.warnings.append(
            f"{path}: {int((~usable).sum())} rows without a number in l or t, the first in line "
            f"{first}; they were left out"
        )
    episodes = numbers[usable].reset_index(drop=True)
    # A resumed training starts its clock again: its episodes follow those before.
    clock = episodes["t"].to_numpy()
    resets = np.concatenate([[0.0], np.where(np.diff(clock) < 0, clock[:-1], 0.0)])
    if len(episodes):
        episodes["ended"] = started + clock + np.cumsum(resets)
    return episodes if len(episodes) else None
