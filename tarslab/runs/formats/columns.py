"""The columns of a table as numbers and text."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:nan(\(\w*\))?|inf|infinity)$"


class Column(NamedTuple):
    """One column: arrays of one length."""

    number: NDArray[np.float64]
    """NaN where the cell holds none."""
    numeric: NDArray[np.bool_] | None = None
    """Which cells hold a number; None where all do."""
    cells: "pa.StringArray | None" = None
    """The cells as text, '' where empty; None where the source holds no text."""

    def take(self, rows: NDArray[np.intp]) -> "Column":
        """The rows at these places."""
        return Column(
            self.number[rows],
            None if self.numeric is None else self.numeric[rows],
            None if self.cells is None else self.cells.take(pa.array(rows)),
        )

    @property
    def numbers(self) -> int:
        """How many cells hold a number."""
        return len(self.number) if self.numeric is None else int(np.count_nonzero(self.numeric))

    @property
    def words(self) -> int:
        """How many cells hold text that is no number."""
        return 0 if self.cells is None else int(np.count_nonzero(self.logged)) - self.numbers

    @property
    def logged(self) -> NDArray[np.bool_]:
        """Which cells are not empty."""
        if self.cells is not None:
            return np.asarray(pc.not_equal(self.cells, "").to_numpy(zero_copy_only=False))
        return np.ones(len(self.number), dtype=bool) if self.numeric is None else self.numeric

    def kinds(self) -> tuple[NDArray[np.intp], list[Any]]:
        """Of every row the place of its value in the list of the values, which has no order.

        A value is a float where all cells hold numbers or nothing, else text; '' for NaN and for
        an empty cell.
        """
        if self.words:
            return self.labels()
        values, codes = np.unique(self.number, return_inverse=True)
        kinds: list[Any] = values.tolist()
        if kinds and kinds[-1] != kinds[-1]:
            # NaN comes last.
            kinds[-1] = ""
        return codes, kinds

    def labels(self) -> tuple[NDArray[np.intp], list[Any]]:
        """``kinds`` of a column that has text, numbers as text too."""
        assert self.cells is not None
        encoded = self.cells.dictionary_encode()
        return np.asarray(encoded.indices, dtype=np.intp), encoded.dictionary.to_pylist()


class Rows(NamedTuple):
    """Rows that have a step."""

    step: NDArray[np.int64]
    wall_time: NDArray[np.float64]
    columns: dict[str, Column]
    """All others."""

    def take(self, rows: NDArray[np.intp]) -> "Rows":
        """The rows at these places."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return Rows(self.step[rows], self.wall_time[rows], columns)


@cache
def plain(name: str) -> str:
    """The name of a column as readers compare it: without regard to case, a space as ``_``."""
    return name.strip().lower().replace(" ", "_")


def columns_of(table: pa.Table) -> dict[str, Column]:
    """The columns that hold numbers or text, by their names without space around them.

    Structures are taken apart as ``outer.inner``; a time becomes its ISO text; truth values and
    lists are left out. A null or a text of spaces is an empty cell. Of columns of one name the
    later are called ``name.1``, ``name.2``; those without one, as an index of pandas, are left out.
    """
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    columns = {}
    for name, chunks in zip(_distinct(table.column_names), table.columns, strict=True):
        if not is_index(name) and (column := _column(chunks)) is not None:
            columns[name] = column
    return columns


def is_index(name: str) -> bool:
    """Whether a column of this name only counts the rows: pandas gives it no name."""
    return not name or name.startswith("Unnamed:")


def numbers(cells: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Text cells as numbers, NaN where one is none, and which are; nan and inf are numbers."""
    numeric = pc.match_substring_regex(cells, NUMBER)
    values = pc.cast(pc.if_else(numeric, cells, None), pa.float64())
    return _array(pc.fill_null(values, np.nan)), _array(numeric)


def _column(chunks: pa.ChunkedArray) -> Column | None:
    kind = chunks.type
    if pa.types.is_null(kind):
        return Column(np.full(len(chunks), np.nan), np.zeros(len(chunks), dtype=bool))
    if pa.types.is_dictionary(kind):
        chunks, kind = chunks.cast(kind.value_type), kind.value_type
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        chunks, kind = chunks.cast(pa.string()), pa.string()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        array = chunks.cast(pa.large_string()).combine_chunks()
        # Most columns of text repeat a few words.
        encoded = pc.fill_null(array, "").dictionary_encode()
        words = pc.utf8_trim_whitespace(encoded.dictionary)
        number, numeric = numbers(words)
        codes = np.asarray(encoded.indices)
        return Column(number[codes], numeric[codes], words.take(encoded.indices))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        # "safe" would refuse what is above 2**53.
        array = chunks.cast(pa.float64(), safe=False).combine_chunks()
        if not array.null_count:
            return Column(_array(array))
        return Column(_array(pc.fill_null(array, np.nan)), _array(array.is_valid()))
    return None


def _array(values: pa.Array) -> NDArray[Any]:
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _distinct(names: Sequence[str]) -> list[str]:
    """The names without space around them, unless two would then be one."""
    stripped = [name.strip() for name in names]
    names = [
        name if name != short and short in names else short
        for name, short in zip(names, stripped, strict=True)
    ]
    distinct: list[str] = []
    for name in names:
        repeats = 0
        free = name
        while free in distinct:
            repeats += 1
            free = f"{name}.{repeats}"
        distinct.append(free)
    return distinct
