"""CSV files of nothing but numbers, the bulk of all logs, read by compiled loops."""

# mypy: disable-error-code="no-untyped-call"

import os
import sys
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tarslab.runs.formats.columns import Column, is_index
from tarslab.runs.formats.text import separator_of

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


def number_columns(data: bytes, start: int = 0) -> dict[str, Column] | None:
    """The columns of a CSV that begins with its header at ``start``, as ``columns_of`` has them.

    None where the file must be read with more care: where a cell is neither number nor empty, a
    row does not fit, the file does not end with a line end, or two columns have one name.
    """
    from tarslab.runs.formats import csv_kernels as kernels

    rows = data.find(b"\n", start) + 1
    try:
        header = data[start:rows].removeprefix(BOM_UTF8).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return None
    separator = separator_of(data[start:rows])
    names = [name.strip() for name in header.split(separator)]
    if not header.strip() or '"' in header or len(set(names)) < len(names):
        return None
    cells = np.frombuffer(data, dtype=np.uint8)
    shape = len(names), kernels.line_feeds(cells, rows)
    number, numeric = np.empty(shape), np.empty(shape, dtype=bool)
    odd = np.empty((ODD_NUMBERS, 4), dtype=np.int64)
    count, odds = kernels.parse(
        cells, rows, ord(separator), kernels.POWERS_OF_FIVE, kernels.POWERS_OF_TEN,
        number, numeric, odd,
    )  # fmt: skip
    if count < 0:
        return None
    for column, row, first, after in odd[:odds]:
        number[column, row] = float(data[first:after])
    number, numeric = number[:, :count], numeric[:, :count]
    whole = [bool(known.all()) for known in numeric]
    return {
        name: Column(values, None if full else known)
        for name, values, known, full in zip(names, number, numeric, whole, strict=True)
        if not is_index(name)
    }
