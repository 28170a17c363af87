"""CSV files of nothing but numbers, the bulk of all logs, read by compiled loops."""

# mypy: disable-error-code="no-untyped-call"

import os
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from tarslab.runs.formats.columns import Column, is_index
from tarslab.runs.formats.text import content, decoded, separator_of

# Bytes of files that are read with others: all of them are in memory at once.
MOST_AHEAD = 16_000_000

# Numbers that only Python reads: more of them, and the file is read in another way.
ODD_NUMBERS = 64

# Seconds for importing numba and for loading the loops, and what a file and a byte of it cost more
# without them.
IMPORT, LOAD, FILE, BYTE = 0.5, 0.3, 6e-4, 5e-9


def pays(homes: Sequence[Sequence[Path]]) -> bool:
    """Whether the compiled loops save more time than it takes to load them."""
    if "tarslab.runs.formats.csv_kernels" in sys.modules:
        return True
    paths = [path for home in homes for path in home]
    saved = FILE * len(paths) + BYTE * sum(map(os.path.getsize, paths))
    return saved > LOAD + (0 if "numba" in sys.modules else IMPORT)


class Ahead(NamedTuple):
    """A file that was read with others."""

    data: bytes
    """As UTF-8, unpacked."""
    columns: dict[str, Column] | None
    """As ``number_columns`` gives them."""


NOTHING_AHEAD: Mapping[Path, Ahead] = MappingProxyType({})


def read_ahead(paths: Sequence[Path], *, lines_before: int = 0) -> dict[Path, Ahead]:
    """Several files whose header comes after some lines: none of them where they are large, and
    none that cannot be opened."""
    texts: dict[Path, bytes] = {}
    with suppress(OSError):
        if sum(map(os.path.getsize, paths)) > MOST_AHEAD:
            return {}
        for path in paths:
            texts[path] = decoded(content(path))
    starts = []
    for text in texts.values():
        start = 0
        for _ in range(lines_before):
            start = text.find(b"\n", start) + 1
        starts.append(start)
    columns = all_number_columns([*texts.values()], starts)
    return {
        path: Ahead(text, of_file)
        for (path, text), of_file in zip(texts.items(), columns, strict=True)
    }


def number_columns(data: bytes, start: int = 0) -> dict[str, Column] | None:
    """The columns of a CSV that begins with its header at ``start``, as ``columns_of`` has them.

    None where the file must be read with more care: where a cell is neither number nor empty, a
    row does not fit, the file does not end with a line end, or two columns have one name.
    """
    return all_number_columns([data], [start])[0]


def all_number_columns(
    texts: Sequence[bytes], starts: Sequence[int]
) -> list[dict[str, Column] | None]:
    """``number_columns`` of several files, those with the same header at once.

    While the compiled loops run, other threads do too; file by file they would mostly wait.
    """
    found: list[dict[str, Column] | None] = [None] * len(texts)
    by_header: dict[bytes, list[int]] = {}
    for place, (text, start) in enumerate(zip(texts, starts, strict=True)):
        by_header.setdefault(text[start : text.find(b"\n", start) + 1], []).append(place)
    for header, places in by_header.items():
        if (names := _names(header)) is not None:
            rows = [starts[place] + len(header) for place in places]
            columns = _parsed([texts[place] for place in places], rows, names, separator_of(header))
            for place, of_file in zip(places, columns, strict=True):
                found[place] = of_file
    return found


def _names(header: bytes) -> list[str] | None:
    """The names of the columns; None where they are none, or not plain."""
    try:
        line = header.removeprefix(BOM_UTF8).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return None
    names = [name.strip() for name in line.split(separator_of(header))]
    if not line.strip() or '"' in line or len(set(names)) < len(names):
        return None
    return names


def _parsed(
    texts: Sequence[bytes], starts: Sequence[int], names: Sequence[str], separator: str
) -> Iterator[dict[str, Column] | None]:
    from tarslab.runs.formats import csv_kernels as kernels

    cells = [np.frombuffer(text, np.uint8) for text in texts]
    addresses = np.array([letters.ctypes.data for letters in cells], np.int64)
    begins, ends = np.array(starts, np.int64), np.array([len(text) for text in texts], np.int64)
    lines = [
        np.count_nonzero(letters[start:] == kernels.LINE_FEED)
        for letters, start in zip(cells, starts, strict=True)
    ]
    firsts = np.concatenate([[0], np.cumsum(lines)])
    number = np.empty((len(names), firsts[-1]))
    numeric = np.empty(number.shape, dtype=bool)
    odd = np.empty((len(texts), ODD_NUMBERS, 4), dtype=np.int64)
    counts = np.empty((len(texts), 2), dtype=np.int64)
    kernels.parse_all(
        addresses, begins, ends, ord(separator), kernels.POWERS_OF_FIVE, kernels.POWERS_OF_TEN,
        number, numeric, firsts, counts, odd,
    )  # fmt: skip
    for place, (text, (count, odds)) in enumerate(zip(texts, counts.tolist(), strict=True)):
        if count < 0:
            yield None
            continue
        rows = slice(firsts[place], firsts[place] + count)
        of_file, known = number[:, rows], numeric[:, rows]
        for column, row, first, after in odd[place, :odds].tolist():
            of_file[column, row] = float(text[first:after])
        full = [bool(cells.all()) for cells in known]
        yield {
            name: Column(values, None if whole else cells)
            for name, values, cells, whole in zip(names, of_file, known, full, strict=True)
            if not is_index(name)
        }
