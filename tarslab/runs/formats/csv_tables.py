"""CSV tables: ``progress.csv`` and exports of any kind.

stable-baselines3 and RLlib write ``progress.csv``, Spinning Up a tab-separated ``progress.txt``;
Weights & Biases, TensorBoard and ``Runs.scalars.to_csv`` give files of any name. What stands in
which column is found in ``tabular``. An empty cell means that the metric was not logged in that
row; ``nan`` and ``inf`` are values. A column without any number is no metric. Files may be
gzip-compressed (``.csv.gz``) or UTF-16.
"""

import csv
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from tarslab.errors import BadLog
from tarslab.runs.formats import csv_numbers, tabular
from tarslab.runs.formats.columns import Column, columns_of
from tarslab.runs.formats.csv_numbers import NOTHING_AHEAD, Ahead, number_columns
from tarslab.runs.formats.growing import Contents
from tarslab.runs.formats.parallel import Read, in_threads
from tarslab.runs.formats.text import (
    FIRST_LINE,
    Content,
    content,
    decoded,
    parse_csv,
    separator_of,
    sound_lines,
)
from tarslab.runs.recording import Recording

NAME = "csv"
LOOKED_FOR = "progress.csv and other CSV tables with a step column"

FOLDER_NAMES = {f"{name}{gz}" for name in ("progress.csv", "progress.txt") for gz in ("", ".gz")}
SUFFIXES = {".csv", ".tsv", ".txt"}


def matches(path: Path, head: bytes) -> bool:
    """A header line that names a step column; or a name that promises one."""
    if path.name in FOLDER_NAMES:
        return True
    if not SUFFIXES.intersection(path.suffixes[-2:] if path.suffix == ".gz" else [path.suffix]):
        return False
    text = decoded(head)
    if b"\0" in text:
        return False
    header = _header(text.removeprefix(BOM_UTF8))
    return len(header) > 1 and tabular.has_steps(header)


def home(path: Path) -> Path:
    """The folder, where the name says that the file is one of those of its run."""
    return path.parent if path.name in FOLDER_NAMES or tabular.downloaded(path) else path


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """One Recording for every run in the files of a home."""
    compiled = csv_numbers.pays(homes)
    read_files = partial(read, wanted=wanted, compiled=compiled)

    def prepared(paths: Sequence[Path]) -> Read:
        return partial(read_files, ahead=csv_numbers.read_ahead(paths))

    return in_threads(NAME, read_files, homes, prepared if compiled else None)


def follow() -> Read:
    """Reads the files of a home again and again, of each only what is new."""
    return partial(read, content=Contents())


def read(
    paths: Sequence[Path],
    wanted: Collection[str] | None = None,
    *,
    compiled: bool = False,
    content: Content = content,
    ahead: Mapping[Path, Ahead] = NOTHING_AHEAD,
) -> list[Recording]:
    """The runs in some files, what several say of one run put together; ``compiled`` and ``ahead``
    change nothing but the speed."""

    def read_file(path: Path) -> list[Recording]:
        if path in ahead:
            return _read_file(path, wanted, *ahead[path])
        data = decoded(content(path))
        return _read_file(path, wanted, data, number_columns(data) if compiled else None)

    return tabular.of_files(NAME, paths, read_file)


def _read_file(
    path: Path, wanted: Collection[str] | None, data: bytes, columns: dict[str, Column] | None
) -> list[Recording]:
    if columns is not None:
        return tabular.of_columns(path, NAME, columns, wanted)
    lines, warnings = sound_lines(path, data)
    if not lines:
        return [Recording(NAME, warnings=warnings)]
    try:
        table, misfits = parse_csv(path, lines, separator=separator_of(lines))
        warnings += misfits
        found = tabular.of_columns(path, NAME, columns_of(table), wanted)
    except BadLog as error:
        return [Recording(NAME, warnings=[*warnings, str(error)])]
    found[0].warnings[:0] = warnings
    return found


def _header(text: bytes) -> list[str]:
    line = FIRST_LINE.search(text)
    header = line[0].decode(errors="replace") if line else ""
    try:
        return next(csv.reader([header], delimiter=separator_of(text), skipinitialspace=True), [])
    except csv.Error:
        return []
