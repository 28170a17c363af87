"""``monitor.csv``: one row an episode, as stable-baselines3's Monitor writes it.

The first line is ``#`` and a JSON object (``t_start`` in Unix seconds, ``env_id``), the second the
column names, of which ``r`` (return), ``l`` (length in steps) and ``t`` (seconds since ``t_start``)
are needed. The step of an episode is the cumulative ``l``. Of several environments trained side by
side (``0.monitor.csv``, ``1.monitor.csv``, ...) the episodes are put in order of their end, as
stable-baselines3's own ``load_results`` does.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tarslab.errors import BadLog
from tarslab.runs.formats.parallel import in_processes
from tarslab.runs.formats.text import as_numbers, complete_lines, parse_csv
from tarslab.runs.recording import Recording, Series

NAME = "monitor"
LOOKED_FOR = "stable-baselines3 monitor.csv"

SHARED_NAME = re.compile(r"(\d+\.)*monitor\.csv")
COLUMNS = ("r", "l", "t")
RETURN, LENGTH = "monitor/r", "monitor/l"


def matches(path: Path, head: bytes) -> bool:
    """A first line ``#{... "t_start" ...}``; or the name, where the file is empty."""
    if not head:
        return path.name.endswith("monitor.csv")
    first = head.removeprefix(BOM_UTF8).split(b"\n", 1)[0]
    return first.startswith((b"#{", b"# {")) and b'"t_start"' in first


def home(path: Path) -> Path:
    """The folder, for monitor.csv and <number>.monitor.csv."""
    return path.parent if SHARED_NAME.fullmatch(path.name) else path


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """One Recording a home, with every tag."""
    return in_processes(NAME, lambda paths: [read(paths)], homes)


def read(paths: Sequence[Path]) -> Recording:
    """One run from the monitors of its environments; a damaged monitor costs only itself."""
    recording = Recording(NAME)
    episodes = []
    for path in paths:
        try:
            table = _read_file(path, recording)
        except BadLog as error:
            recording.warnings.append(str(error))
            continue
        if len(table):
            episodes.append(table)
    if not episodes:
        return recording
    merged = pd.concat(episodes, ignore_index=True)
    if len(episodes) > 1:
        merged = merged.sort_values("ended", kind="stable", ignore_index=True)
    step = merged["l"].cumsum()
    returns = Series.of(step, merged["ended"], merged["r"])
    recording.series = {
        RETURN: returns.take(merged["known"].to_numpy()),
        LENGTH: Series.of(step, merged["ended"], merged["l"]),
    }
    return recording


def _read_file(path: Path, recording: Recording) -> pd.DataFrame:
    """The episodes of one file: ``r``, ``l``, the Unix time of their end ``ended``, and whether
    the return is ``known``."""
    text, warnings = complete_lines(path)
    recording.warnings += warnings
    if not text:
        return pd.DataFrame()
    header, _, rows = text.partition("\n")
    try:
        stated = json.loads(header.removeprefix("#"))
        started = float(stated["t_start"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadLog(f"{path}: the first line is not a monitor header: {error}") from None
    if stated.get("env_id") not in (None, "None"):
        recording.config.setdefault("env_id", stated["env_id"])
    table, warnings = parse_csv(path, rows, skipped_lines=1)
    recording.warnings += warnings
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise BadLog(
            f"{path}: no column {', '.join(missing)}: a monitor.csv has r, l and t, "
            f"this one has {', '.join(map(str, table.columns)) or 'none'}"
        )
    returns, no_return = as_numbers(table["r"])
    lengths, _ = as_numbers(table["l"])
    clock, _ = as_numbers(table["t"])
    whole = np.isfinite(lengths) & (lengths >= 0) & (lengths == np.floor(lengths))
    usable = np.asarray(whole & np.isfinite(clock))
    for fault, left_out in (
        ("a whole length or a time", ~usable),
        ("a number as return", np.asarray(no_return)),
    ):
        if left_out.any():
            recording.warnings.append(
                f"{path}: {int(left_out.sum())} episodes without {fault}, the first in line "
                f"{int(np.flatnonzero(left_out)[0]) + 3}; left out"
            )
    episodes = pd.DataFrame({"r": returns, "l": lengths, "t": clock, "known": ~no_return})[usable]
    # A resumed training starts its clock again: its episodes follow those before.
    times = episodes["t"].to_numpy()
    resets = np.where(np.diff(times, prepend=times[:1]) < 0, np.roll(times, 1), 0.0)
    episodes["ended"] = started + times + np.cumsum(resets)
    return episodes
