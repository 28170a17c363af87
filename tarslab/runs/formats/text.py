"""Text files that a killed run may have left unfinished, and the tables in them."""

import csv
import io
import re
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv

from tarslab.errors import BadLog
from tarslab.runs.recording import Unfinished

GZIP = b"\x1f\x8b"
FIRST_LINE = re.compile(rb"\S[^\r\n]*")
QUOTED_CELL = re.compile(rb'(?:\A|[,;\t\n])[ ]*(")(?:[^"]|"")*("|\Z)')
# pyarrow takes a quote for one only at the very start of a cell.
LATE_QUOTE = re.compile(rb'[,;\t]\s+"|^\s+"', re.MULTILINE)
BLOCK = 1 << 20

Content = Callable[[Path], bytes]


def content(path: Path) -> bytes:
    """The bytes of a file."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def decoded(data: bytes) -> bytes:
    """The bytes of a file, or its first, unpacked where it is gzip, as UTF-8 where it is UTF-16.

    Of a gzip file that is cut off or damaged, what can be unpacked.
    """
    if data.startswith(GZIP):
        data = _unpacked(data)
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace").encode("utf-8")
    return data


def sound_lines(path: Path, data: bytes) -> tuple[bytes, list[str]]:
    """The content of a file up to its last sound line, and a warning where there was more.

    A line is sound when it is UTF-8 and ends, outside quotes: in one without an end even a number
    that looks whole may have been cut. Lines end with a line feed in what is returned, and there
    is no mark at its head. Raises BadLog where not even the first line is text.
    """
    if not data or data.isspace():
        return b"", [Unfinished(f"{path}: the file is empty; the writer may not have flushed yet")]
    end = data.rfind(b"\n") + 1
    kind: type[str] = Unfinished
    damage = f"the last line is cut off at byte {len(data)} (it has no line end)"
    open_quote = _open_quote(data[:end])
    if open_quote is not None:
        end = data.rfind(b"\n", 0, open_quote) + 1
        line = data.count(b"\n", 0, open_quote) + 1
        kind, damage = str, f"the quote in line {line} (byte {open_quote}) is never closed"
    try:
        if not data.isascii():
            data[:end].decode("utf-8")
    except UnicodeDecodeError as error:
        kind, damage = str, f"byte {error.start} is not UTF-8 text"
        end = data.rfind(b"\n", 0, error.start) + 1
    warnings = []
    if data[end:].strip():
        if end == 0 and kind is str:
            raise BadLog(f"{path}: {damage}, and no line before it; mend the file or remove it")
        what_was_read = f"all before byte {end} was read" if end else "there is no line before it"
        warnings.append(kind(f"{path}: {damage}; {what_was_read}"))
    sound = data[:end].removeprefix(BOM_UTF8)
    if b"\r" in sound:
        sound = sound.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return sound, warnings


def parse_csv(
    path: Path, data: bytes, *, separator: str = ",", skipped_lines: int = 0
) -> tuple[pa.Table, list[str]]:
    """The table in sound lines: null or '' where a cell is empty, text where a column holds any.

    A line with more or fewer cells than the header is left out, with a warning: which cell is
    which is not known.
    """
    if not data or data.isspace():
        return pa.table({}), []
    if b'"' not in data or not LATE_QUOTE.search(data):
        try:
            return _read(data, separator), []
        except pa.ArrowInvalid:
            pass
    return _fitting_lines(path, data.decode(), separator, skipped_lines)


def separator_of(data: bytes) -> str:
    """What stands most often between the names of the header."""
    header = FIRST_LINE.search(data)
    return max(",\t;", key=lambda mark: header[0].count(mark.encode())) if header else ","


def _unpacked(data: bytes) -> bytes:
    parts = []
    while data.startswith(GZIP):
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            parts.append(member.decompress(data))
        except zlib.error:
            break
        data = member.unused_data
    return b"".join(parts)


def _read(data: bytes, separator: str) -> pa.Table:
    """The table, where every line has as many cells as the header; else ArrowInvalid."""
    table = _read_as(data, separator, {})
    # Times of day, dates and addresses in memory are words here.
    hexadecimal = _has_hexadecimal(data)
    words = {
        field.name: pa.string()
        for field in table.schema
        if pa.types.is_temporal(field.type) or (hexadecimal and pa.types.is_integer(field.type))
    }
    return _read_as(data, separator, words) if words else table


def _has_hexadecimal(data: bytes) -> bool:
    """Whether a cell may be one; the search for an ``x`` alone is much the faster."""
    rows = data.find(b"\n")
    return (data.find(b"x", rows) > 0 or data.find(b"X", rows) > 0) and b"0x" in data.lower()


def _read_as(data: bytes, separator: str, types: dict[str, pa.DataType]) -> pa.Table:
    return arrow_csv.read_csv(
        pa.py_buffer(data),
        read_options=arrow_csv.ReadOptions(use_threads=len(data) > BLOCK, block_size=BLOCK),
        parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types, null_values=[""], true_values=[], false_values=[]
        ),
    )


def _fitting_lines(
    path: Path, text: str, separator: str, skipped_lines: int
) -> tuple[pa.Table, list[str]]:
    """The lines that have as many cells as the header, all as text, and a warning of the others."""
    rows = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    fitting: list[list[str]] = []
    misfits: list[tuple[int, list[str]]] = []
    try:
        header = next((row for row in rows if any(row)), [])
        for row in rows:
            if any(row[len(header) :]) or 0 < len(row) < len(header):
                if any(row):
                    misfits.append((rows.line_num + skipped_lines, row))
            elif row:
                fitting.append(row[: len(header)])
    except csv.Error as error:
        line = rows.line_num + skipped_lines
        raise BadLog(f"{path}: line {line} cannot be read as CSV: {error}") from None
    if not fitting and all(len(row) == len(header) + 1 for _, row in misfits):
        # R's write.table puts a name before each row and none into the header.
        fitting, misfits = [row[1:] for _, row in misfits], []
    columns = list(zip(*fitting, strict=True)) or [()] * len(header)
    table = pa.Table.from_arrays([pa.array(cells, pa.string()) for cells in columns], names=header)
    if not misfits:
        return table, []
    line, cells = misfits[0][0], len(misfits[0][1])
    warning = (
        f"{path}: {len(misfits)} lines do not fit the header, the first is line {line} with "
        f"{cells} cells where the header names {len(header)}; they were left out"
    )
    return table, [warning]


def _open_quote(data: bytes) -> int | None:
    """Where a quoted cell starts that never ends; a quote inside a cell opens nothing."""
    if data.count(b'"') % 2 == 0:
        return None
    last = deque(QUOTED_CELL.finditer(data), maxlen=1)
    return last[0].start(1) if last and not last[0][2] else None
