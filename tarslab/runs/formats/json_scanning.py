"""Rows of JSON objects as columns, read by compiled loops that look only for the wanted keys."""

# mypy: disable-error-code="no-untyped-call"

import json
import sys
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tarslab.runs.formats.json_rows import SKIPPED, FrozenTree, Values, by_tag, mixed_values
from tarslab.runs.vocabulary import MODULE

# What must follow the text in a buffer: the loops look at so many bytes at once.
PADDING = 65

# The kinds of a cell: OTHER is what stands in the text, SAME what the row before has.
MISSING, FLOAT, INTEGER, OTHER, SAME = range(5)
# What stands below a key: the number of a level; nothing that is read; or a cell, of which the
# number is CELL minus it.
SKIP, CELL = -1, -2

# Seconds for importing numba and calling its first loop, for loading these, and what a byte costs
# more without them, where some keys are wanted and where all are.
START, LOAD, BYTE, BYTE_OF_ALL = 0.5, 0.02, 5e-10, 3e-9


class _Account:
    """What this process lost so far by reading without the compiled loops."""

    seconds = 0.0


def pays(size: int, wanted: Collection[str] | None) -> bool:
    """Whether to read so many bytes with the compiled loops.

    They are loaded once they would have saved what it takes to load them: of a process that reads
    more and more no more than half the time is lost, whichever way it was better to begin.
    """
    if "tarslab.runs.formats.json_kernels" in sys.modules:
        return True
    _Account.seconds += size * (BYTE_OF_ALL if wanted is None else BYTE)
    return _Account.seconds > LOAD + (0 if "tarslab.compiled" in sys.modules else START)


class Scanner:
    """Does what ``Schema`` does, for lines without anything unusual."""

    def __init__(self, tree: FrozenTree, lax: bool) -> None:
        from tarslab.runs.formats import json_kernels as kernels

        self._kernels = kernels
        levels, self._tags, below = _levels(tree)
        keys = [key.encode() for level in levels for key, _ in level if key != MODULE]
        lengths = [len(key) for key in keys]
        starts = [0, *accumulate(lengths)][:-1]
        self._letters = np.frombuffer(b"".join(keys) + bytes(8), np.uint8)
        self._spans = np.array([starts, lengths], np.int64).T.copy()
        self._below = np.array(below, np.int64)
        counts = [sum(key != MODULE for key, _ in level) for level in levels]
        self._starts = np.array([0, *accumulate(counts)], np.int64)
        self._strict = np.array(
            [
                not (lax and n) or any(key == MODULE for key, _ in one)
                for n, one in enumerate(levels)
            ]
        )

    def decode(self, buffer: bytearray, size: int) -> tuple[int, dict[str, Values]] | None:
        """The rows and columns of the lines that a buffer begins with; None where there is anything
        that must be read with more care. The byte after the lines becomes zero."""
        kernels = self._kernels
        buffer[size] = 0
        text = np.frombuffer(buffer, np.uint8)
        address = text.ctypes.data
        number = np.empty((len(self._tags), kernels.most_lines(address, size)))
        kind = np.zeros(number.shape, np.uint8)
        places = np.empty((*number.shape, 2), np.int64)
        seen = np.empty(len(self._below), np.int64)
        rows = kernels.scan(
            address, size, self._starts, self._strict, self._letters.ctypes.data,
            self._spans, self._below, kernels.POWERS_OF_FIVE, kernels.POWERS_OF_TEN, seen,
            number, kind, places,
        )  # fmt: skip
        if rows < 0:
            return None
        kind = kind[:, :rows]
        least, greatest = kind.min(axis=1, initial=OTHER), kind.max(axis=1, initial=MISSING)
        cells = zip(
            self._tags, least.tolist(), greatest.tolist(), number, kind, places, strict=True
        )
        return rows, by_tag(_columns(buffer, cells, rows))


def _columns(buffer: bytearray, cells: Iterator[Any], rows: int) -> Iterator[tuple[str, Values]]:
    for tag, least, greatest, number, kind, places in cells:
        values = number[:rows]
        if greatest == MISSING:
            continue
        if least == greatest == FLOAT:
            yield tag, values
        elif least == greatest == INTEGER:
            yield tag, values.astype(np.int64)
        else:
            mixture = _mixture(buffer, values, kind, places)
            has_inner = set(map(type, mixture)) & {dict, list}
            yield from mixed_values(mixture, tag) if has_inner else [(tag, mixture)]


def _mixture(buffer: bytearray, number: Any, kind: Any, places: Any) -> list[Any]:
    """The values of cells of several kinds."""
    values: list[Any] = number.tolist()
    others = np.flatnonzero(kind == OTHER)
    decoded = iter(_decoded(buffer, places[others]))
    for row, what in enumerate(kind.tolist()):
        if what == MISSING:
            values[row] = None
        elif what == INTEGER:
            values[row] = int(values[row])
        elif what == OTHER:
            values[row] = next(decoded)
        elif what == SAME:
            values[row] = values[row - 1]
    return values


@lru_cache(maxsize=64)
def scanner(tree: FrozenTree, lax: bool) -> Scanner:
    """The Scanner for a tree, made once."""
    return Scanner(tree, lax)


def _decoded(buffer: bytearray, places: NDArray[np.int64]) -> list[Any]:
    """The values that stand at some places."""
    text = b"[" + b",".join([buffer[first:after] for first, after in places.tolist()]) + b"]"
    try:
        found: list[Any] = msgspec.json.decode(text)
    except ValueError:
        # msgspec knows no NaN.
        found = json.loads(text)
    return found


def _levels(tree: FrozenTree) -> tuple[list[FrozenTree], list[str], list[int]]:
    """The levels of a tree, the outermost first; the tags of its cells; and of every key of every
    level what is below."""
    levels, below = [tree], []
    above: list[tuple[str, ...]] = [()]
    cells = {path: n for n, path in enumerate(_cells(tree, ()))}
    for path, level in zip(above, levels, strict=False):
        for key, inner in level:
            if key == MODULE:
                continue
            if isinstance(inner, tuple):
                below.append(len(levels))
                levels.append(inner)
                above.append((*path, key))
            else:
                below.append(SKIP if inner == SKIPPED else CELL - cells[*path, key])
    return levels, ["/".join(path) for path in cells], below


def _cells(tree: FrozenTree, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The keys to each value that is read, in the order of the tree."""
    for key, below in tree:
        if isinstance(below, tuple) and key != MODULE:
            yield from _cells(below, (*above, key))
        elif below is None:
            yield (*above, key)
