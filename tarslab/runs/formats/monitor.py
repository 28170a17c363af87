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
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tarslab.errors import BadLog
from tarslab.runs.formats import csv_numbers
from tarslab.runs.formats.columns import Column, columns_of
from tarslab.runs.formats.csv_numbers import NOTHING_AHEAD, Ahead
from tarslab.runs.formats.growing import Contents
from tarslab.runs.formats.parallel import Read, in_threads
from tarslab.runs.formats.text import Content, content, decoded, parse_csv, sound_lines
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
    compiled = csv_numbers.pays(homes)

    def prepared(paths: Sequence[Path]) -> Read:
        ahead = csv_numbers.read_ahead(paths, lines_before=1)
        return lambda of_home: [read(of_home, compiled=True, ahead=ahead)]

    return in_threads(NAME, lambda paths: [read(paths)], homes, prepared if compiled else None)


def follow() -> Read:
    """Reads the files of a home again and again, of each only what is new."""
    contents = Contents()
    return lambda paths: [read(paths, content=contents)]


def read(
    paths: Sequence[Path],
    *,
    compiled: bool = False,
    content: Content = content,
    ahead: Mapping[Path, Ahead] = NOTHING_AHEAD,
) -> Recording:
    """One run from the monitors of its environments; a damaged monitor costs only itself.

    ``compiled`` and ``ahead`` change nothing but the speed.
    """
    recording = Recording(NAME)
    episodes = []
    for path in paths:
        try:
            data = ahead[path].data if path in ahead else decoded(content(path))
            columns = ahead[path].columns if path in ahead else None
            if path not in ahead and compiled:
                columns = csv_numbers.number_columns(data, data.find(b"\n") + 1)
            of_file = _read_file(path, recording, data, columns)
        except BadLog as error:
            recording.warnings.append(str(error))
            continue
        if of_file is not None and len(of_file.length):
            episodes.append(of_file)
    if not episodes:
        return recording
    merged = Episodes.joined(episodes)
    if len(episodes) > 1:
        merged = merged.take(np.argsort(merged.ended, kind="stable"))
    step = merged.length.cumsum().astype(np.int64)
    returns = Series(step, merged.ended, merged.returned)
    recording.series = {
        RETURN: returns if merged.known.all() else returns.take(merged.known),
        LENGTH: Series(step, merged.ended, merged.length),
    }
    return recording


class Episodes(NamedTuple):
    """The episodes of one file, or of several; arrays of one length."""

    returned: NDArray[np.float64]
    known: NDArray[np.bool_]
    """Whether the return is a number."""
    length: NDArray[np.float64]
    """In steps, whole."""
    ended: NDArray[np.float64]
    """In Unix seconds."""

    @classmethod
    def joined(cls, parts: Sequence["Episodes"]) -> "Episodes":
        """The episodes of several files, one after the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def take(self, places: NDArray[Any]) -> "Episodes":
        """The episodes at these places (indices or a mask)."""
        return Episodes(
            self.returned[places], self.known[places], self.length[places], self.ended[places]
        )


def _read_file(
    path: Path, recording: Recording, data: bytes, columns: dict[str, Column] | None
) -> Episodes | None:
    if columns is None:
        data, warnings = sound_lines(path, data)
        recording.warnings += warnings
        if not data:
            return None
    header, _, rows = data.removeprefix(BOM_UTF8).partition(b"\n")
    try:
        stated = json.loads(header.removeprefix(b"#"))
        started = float(stated["t_start"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadLog(f"{path}: the first line is not a monitor header: {error}") from None
    if stated.get("env_id") not in (None, "None"):
        recording.config.setdefault("env_id", stated["env_id"])
    if columns is None:
        table, warnings = parse_csv(path, rows, skipped_lines=1)
        recording.warnings += warnings
        columns = columns_of(table)
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise BadLog(
            f"{path}: no column {', '.join(missing)}: a monitor.csv has r, l and t, "
            f"this one has {', '.join(columns) or 'none'}"
        )
    episodes, warnings = _episodes(path, *(columns[name] for name in COLUMNS))
    recording.warnings += warnings
    return episodes._replace(ended=started + _without_resets(episodes.ended))


def _episodes(
    path: Path, returned: Column, length: Column, clock: Column
) -> tuple[Episodes, list[str]]:
    """The episodes with a length and a time, ``ended`` by the file's own clock."""
    known = np.ones(len(returned.number), dtype=bool)
    if returned.numeric is not None:
        known = returned.numeric
    lengths = length.number
    usable = np.isfinite(clock.number) & (lengths >= 0) & (lengths < 2**63)
    usable &= lengths == np.floor(lengths)
    warnings = [
        f"{path}: {int(left_out.sum())} episodes without {fault}, the first in line "
        f"{int(left_out.argmax()) + 3}; left out"
        for fault, left_out in (
            ("a whole length or a time", ~usable),
            ("a number as return", ~known),
        )
        if left_out.any()
    ]
    episodes = Episodes(returned.number, known, lengths, clock.number)
    if not usable.all():
        episodes = episodes.take(usable)
    return episodes, warnings


def _without_resets(clock: NDArray[np.float64]) -> NDArray[np.float64]:
    """A resumed training starts its clock again: its episodes follow those before."""
    resets = np.where(np.diff(clock, prepend=clock[:1]) < 0, np.roll(clock, 1), 0.0)
    return np.asarray(clock + np.cumsum(resets))
