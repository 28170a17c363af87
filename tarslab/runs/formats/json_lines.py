"""JSON lines: one object a step, as RLlib's ``result.json`` and exports of Weights & Biases.

Objects inside an object are taken apart, so that ``{"learners": {"main": {"entropy": 1}}}`` is the
tag ``learners/main/entropy``, as RLlib's own ``progress.csv`` has it; an object in a list has its
place in the list as its name. A key that is missing or null was not logged. NaN and Infinity, which
Python writes and JSON forbids, are values. Truth values and lists of numbers are no metrics. RLlib
repeats its whole ``config`` in every line: the first is the run's.

A file may also be one list of such objects.
"""

import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import numpy as np

from tarslab.errors import BadLog
from tarslab.runs.formats import json_rows, json_scanning, tabular
from tarslab.runs.formats.columns import plain
from tarslab.runs.formats.growing import Contents
from tarslab.runs.formats.json_rows import Schema, Tree, Values, frozen, taken_apart
from tarslab.runs.formats.json_scanning import PADDING, Scanner, scanner
from tarslab.runs.formats.parallel import Read, in_processes
from tarslab.runs.formats.several import tells_of_runs
from tarslab.runs.identity import flat
from tarslab.runs.recording import Recording, Unfinished

NAME = "json"
LOOKED_FOR = "JSON lines with a step (RLlib's result.json, *.jsonl)"

FOLDER_NAMES = {
    *("result.json", "progress.json", "metrics.jsonl", "scores.jsonl", "wandb-history.jsonl")
}
CONFIG = "config"

# Decoded at once: large enough for few calls, small enough to stay in the processor's cache.
PART_BYTES = 1 << 19
MARK = b"\xef\xbb\xbf"

Opened = Callable[[Path], FileIO | BytesIO]

OF_THE_ROW = {*tabular.STEP_COLUMNS, *tabular.WALL_TIME_COLUMNS}
BETWEEN = re.compile(r"[\s,]*")
STEP_KEY = re.compile(
    ('"(' + "|".join(map(re.escape, tabular.STEP_COLUMNS)) + r')"\s*:').encode(), re.IGNORECASE
)


def matches(path: Path, head: bytes) -> bool:
    """A first or second line that is an object with a step, or a list of such; or a name that
    promises one. A single object in a ``.json`` is a summary or a configuration."""
    promised = path.name in FOLDER_NAMES
    text = head.removeprefix(MARK).lstrip()
    if not text:
        return promised
    if text.startswith(b"["):
        return _has_step(_first_of_list(text))
    if not text.startswith(b"{"):
        return False
    promised = promised or path.suffix in (".jsonl", ".ndjson")
    lines = text.split(b"\n")
    if len(lines) == 1 and _object(text) is None:
        # Longer than what was looked at, or cut off.
        return promised and STEP_KEY.search(text) is not None
    if not promised and not any(line.startswith(b"{") for line in lines[1:]):
        return False
    return any(_has_step(_object(line)) for line in lines[:2])


def home(path: Path) -> Path:
    """The folder, where trainers give the name to the log of the folder's run."""
    return path.parent if path.name in FOLDER_NAMES else path


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """The runs in the files of every home; of each run only the wanted tags."""
    return in_processes(NAME, partial(read, wanted=wanted), homes)


def follow() -> Read:
    """Reads the files of a home again and again, of each only what is new."""
    contents = Contents()
    return partial(read, opened=lambda path: BytesIO(contents(path)))


def read(
    paths: Sequence[Path],
    wanted: Collection[str] | None = None,
    *,
    opened: Opened = FileIO,
) -> list[Recording]:
    """The runs in the files of one home; where two files of a run hold a tag, the first is it."""
    runs: dict[str, Recording] = {}
    for path in paths:
        for found in _read_file(path, wanted, opened):
            run = runs.setdefault(found.run, Recording(NAME, found.run))
            run.series = found.series | run.series
            run.config = found.config | run.config
            run.warnings += found.warnings
    return list(runs.values())


def _read_file(path: Path, wanted: Collection[str] | None, opened: Opened) -> list[Recording]:
    compiled = json_scanning.pays(os.path.getsize(path), wanted)
    log = _Log(path, wanted, compiled)
    with opened(path) as file:
        log.read(file)
    if not log.rows:
        empty = Unfinished(f"{path}: the file is empty; nothing was written yet")
        return [Recording(NAME, warnings=log.warnings or [empty])]
    columns = {tag: json_rows.column(log.values(tag)) for tag in log.columns}
    of_the_process = tabular.OF_THE_PROCESS
    held = {t: column for t, column in columns.items() if column and t not in of_the_process}
    found = tabular.of_columns(path, NAME, held, wanted)
    for recording in found:
        recording.config = flat(log.config) | recording.config
    found[0].warnings[:0] = log.warnings
    return found


class _Log:
    """What one file has said so far."""

    def __init__(self, path: Path, wanted: Collection[str] | None, compiled: bool) -> None:
        self.path = path
        # What to read of each line; None for all.
        self.wanted = wanted
        self.rows = 0
        # By tag the values of some rows, and the first of them.
        self.columns: dict[str, list[tuple[int, Values]]] = {}
        self.config: dict[str, Any] = {}
        self.warnings: list[str] = []
        self._tree: Tree = {}
        self._compiled = compiled
        self._schema: Schema | None = None
        self._scanner: Scanner | None = None
        # Where lines begin that are no objects.
        self._bad: list[int] = []

    def read(self, file: FileIO | BytesIO) -> None:
        """Take all that a file holds."""
        start = file.read(4096).removeprefix(MARK).lstrip()
        file.seek(0)
        if start.startswith(b"["):
            self._take(self._list(file.read().removeprefix(MARK)))
        else:
            self._read_lines(file)

    def values(self, tag: str) -> Values:
        """The value of every row, None where it has none."""
        parts = [values for _, values in self.columns[tag]]
        arrays = [values for values in parts if isinstance(values, np.ndarray)]
        if len(arrays) == len(parts) and sum(map(len, parts)) == self.rows:
            return np.concatenate(arrays)
        found: list[Any] = [None] * self.rows
        for first, values in self.columns[tag]:
            plain = values.tolist() if isinstance(values, np.ndarray) else values
            found[first : first + len(plain)] = plain
        return found

    def _read_lines(self, file: FileIO | BytesIO) -> None:
        for byte, buffer, size in _parts(file):
            if not self._tree:
                self._learn_some(bytes(buffer[:size]))
            try:
                rows, columns = self._decoded(buffer, size)
            except (ValueError, RecursionError):
                # A key is new or such as no type can have, a line is no object, or cut off.
                file.seek(byte)
                self._take(self._objects(file.read(size), byte))
            else:
                self._add(rows, columns)
        if self._bad:
            file.seek(0)
            line = file.read(self._bad[0]).count(b"\n") + 1
            self.warnings.append(
                f"{self.path}: {len(self._bad)} lines are not JSON objects, the first is line "
                f"{line} at byte {self._bad[0]}; they were left out"
            )

    def _decoded(self, buffer: bytearray, size: int) -> tuple[int, dict[str, Values]]:
        if self._schema is None:
            tree, lax = frozen(self._tree), self.wanted is not None
            self._schema = Schema(tree, lax)
            self._scanner = scanner(tree, lax) if self._compiled else None
        found = self._scanner.decode(buffer, size) if self._scanner else None
        return found or self._schema.decode(buffer, size)

    def _learn_some(self, text: bytes) -> None:
        """Learn the keys of the first lines of a part, of the last and of some between."""
        lines = text.splitlines()
        places = {0, 1, 2, len(lines) // 4, len(lines) // 2, len(lines) - 1} & {*range(len(lines))}
        objects = [one for place in sorted(places) if (one := _object(lines[place])) is not None]
        if any(_is_long(one) for one in objects):
            # One row a point: the tags stand in the rows.
            self.wanted = None
        for one in objects:
            self._learn(one)

    def _learn(self, one: dict[str, Any]) -> None:
        """Take the configuration, and the keys for the lines to come."""
        stated = one.get(CONFIG)
        if not self.config and isinstance(stated, dict):
            self.config = stated
        if self.wanted is None:
            json_rows.grow(self._tree, one, {CONFIG, *tabular.OF_THE_PROCESS})
        else:
            words = {key for key in one if isinstance(one[key], str) or _is_of_the_row(key)}
            besides = (OF_THE_ROW | words) - {CONFIG, *tabular.OF_THE_PROCESS}
            json_rows.grow_chosen(self._tree, one, self.wanted, besides)
        self._schema = None

    def _take(self, objects: Sequence[dict[str, Any]]) -> None:
        """Take objects of whatever keys."""
        columns: dict[str, Any] = {}
        for row, one in enumerate(objects):
            self._learn(one)
            for tag, value in taken_apart(one, skipped=CONFIG):
                columns.setdefault(tag, [None] * len(objects))[row] = value
        self._add(len(objects), columns)

    def _add(self, rows: int, columns: dict[str, Values]) -> None:
        for tag, values in columns.items():
            self.columns.setdefault(tag, []).append((self.rows, values))
        self.rows += rows

    def _objects(self, text: bytes, byte: int) -> list[dict[str, Any]]:
        """The lines that are objects, the first of them at ``byte``; the others are noted."""
        objects = []
        for line in text.splitlines(keepends=True):
            one = _object(line)
            if one is not None:
                objects.append(one)
            elif line.strip() and line.endswith(b"\n"):
                self._bad.append(byte)
            elif line.strip():
                self.warnings.append(
                    Unfinished(
                        f"{self.path}: the last line is cut off at byte {byte + len(line)} (it has "
                        f"no line end); all before byte {byte} was read"
                    )
                )
            byte += len(line)
        return objects

    def _list(self, data: bytes) -> list[dict[str, Any]]:
        """The objects in one list, up to where it breaks off."""
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise BadLog(f"{self.path}: byte {error.start} is not UTF-8 text") from None
        objects: list[dict[str, Any]] = []
        decoder, place = json.JSONDecoder(), text.index("[") + 1
        while True:
            place = _past(text, place)
            if text[place : place + 1] == "]":
                return objects
            try:
                one, place = decoder.raw_decode(text, place)
            except (ValueError, RecursionError):
                self.warnings.append(
                    Unfinished(
                        f"{self.path}: the list breaks off at character {place} of {len(text)}; "
                        "all before it was read"
                    )
                )
                return objects
            if isinstance(one, dict):
                objects.append(one)


def _parts(file: FileIO | BytesIO) -> Iterator[tuple[int, bytearray, int]]:
    """The file in parts that end with a line: where each starts, and a buffer that begins with it
    and is used again, with its size."""
    start = len(MARK) if file.read(len(MARK)) == MARK else 0
    file.seek(start)
    buffer = bytearray(PART_BYTES + PADDING)
    while size := file.readinto(memoryview(buffer)[:-PADDING]):
        end = buffer.rfind(b"\n", 0, size) + 1
        if not end and size == len(buffer) - PADDING:
            # Not even one line fits.
            buffer = bytearray(2 * size + PADDING)
        else:
            yield start, buffer, end or size
            start += end or size
        file.seek(start)


def _is_long(one: dict[str, Any]) -> bool:
    names = {plain(key) for key in one}
    return not names.isdisjoint(tabular.METRIC_COLUMNS) and not names.isdisjoint(
        tabular.VALUE_COLUMNS
    )


def _is_of_the_row(key: str) -> bool:
    """Whether a column says which step, time or run a row is of."""
    return plain(key) in OF_THE_ROW or tells_of_runs(key)


def _has_step(one: dict[str, Any] | None) -> bool:
    return one is not None and tabular.has_steps(
        tag for tag, value in taken_apart(one, skipped=CONFIG) if isinstance(value, int | float)
    )


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _first_of_list(text: bytes) -> dict[str, Any] | None:
    """The first object of a list of which only a part may be at hand."""
    decoded = text.decode("utf-8", errors="replace")
    try:
        found, _ = json.JSONDecoder().raw_decode(decoded, _past(decoded, 1))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _past(text: str, place: int) -> int:
    """The place after spaces and commas."""
    found = BETWEEN.match(text, place)
    return found.end() if found else place
