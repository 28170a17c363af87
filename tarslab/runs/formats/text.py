"""Text files that a killed run may have left unfinished."""

import csv
import io
import re
import warnings
from collections import deque
from pathlib import Path

import pandas as pd

from tarslab.errors import BadLog

QUOTED_CELL = re.compile(rb'(?:\A|[,;\t\n])[ ]*(")(?:[^"]|"")*("|\Z)')


def complete_lines(path: Path) -> tuple[str, list[str]]:
    """The text up to its last sound line, and a warning where there was more.

    A line is sound when it is UTF-8 and ends, outside quotes: in one without an end even a number
    that looks whole may have been cut. Raises BadLog where not even the first line is text.
    """
    data = path.read_bytes()
    if not data.strip():
        return "", [f"{path}: the file is empty; the writer may not have flushed yet"]
    end = data.rfind(b"\n") + 1
    damage = f"the last line is cut off at byte {len(data)} (it has no line end)"
    open_quote = _open_quote(data[:end])
    if open_quote is not None:
        end = data.rfind(b"\n", 0, open_quote) + 1
        line = data.count(b"\n", 0, open_quote) + 1
        damage = f"the quote in line {line} (byte {open_quote}) is never closed"
    try:
        data[:end].decode("utf-8")
    except UnicodeDecodeError as error:
        end = data.rfind(b"\n", 0, error.start) + 1
        damage = f"byte {error.start} is not UTF-8 text"
    warnings = []
    if data[end:].strip():
        if end == 0:
            raise BadLog(f"{path}: {damage}, and no line before it; mend the file or remove it")
        warnings.append(f"{path}: {damage}; all before byte {end} was read")
    text = data[:end].decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n"), warnings


def parse_csv(
    path: Path, text: str, *, separator: str = ",", skipped_lines: int = 0
) -> tuple[pd.DataFrame, list[str]]:
    """The cells as text, '' where a cell is empty, and a warning where lines do not fit.

    A line with more or fewer cells than the header is left out: which cell is which is not known.
    """
    if not text.strip():
        return pd.DataFrame(), []
    try:
        table = _read(text, separator)
    except (pd.errors.ParserError, pd.errors.ParserWarning):
        table = None
    # Where a line is too short, pandas fills it up with NaN.
    if table is not None and not table.isna().to_numpy().any():
        return table, []
    fitting, found = _fitting_lines(path, text, separator, skipped_lines)
    return _read(fitting, ","), found


def _read(text: str, separator: str) -> pd.DataFrame:
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            index_col=False,
            skipinitialspace=True,
        )


def _fitting_lines(
    path: Path, text: str, separator: str, skipped_lines: int
) -> tuple[str, list[str]]:
    """The lines that have as many cells as the header, as CSV, and a warning of the others."""
    rows = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    fitting: list[list[str]] = []
    misfits: list[tuple[int, list[str]]] = []
    try:
        header = next(rows)
        for row in rows:
            if any(row[len(header) :]) or 0 < len(row) < len(header):
                misfits.append((rows.line_num + skipped_lines, row))
            elif row:
                fitting.append(row[: len(header)])
    except csv.Error as error:
        line = rows.line_num + skipped_lines
        raise BadLog(f"{path}: line {line} cannot be read as CSV: {error}") from None
    if not fitting and all(len(row) == len(header) + 1 for _, row in misfits):
        # R's write.table puts a name before each row and none into the header.
        fitting, misfits = [row[1:] for _, row in misfits], []
    kept = io.StringIO()
    csv.writer(kept).writerows([header, *fitting])
    if not misfits:
        return kept.getvalue(), []
    line, cells = misfits[0][0], len(misfits[0][1])
    warning = (
        f"{path}: {len(misfits)} lines do not fit the header, the first is line {line} with "
        f"{cells} cells where the header names {len(header)}; they were left out"
    )
    return kept.getvalue(), [warning]


def _open_quote(data: bytes) -> int | None:
    """Where a quoted cell starts that never ends; a quote inside a cell opens nothing."""
    if data.count(b'"') % 2 == 0:
        return None
    last = deque(QUOTED_CELL.finditer(data), maxlen=1)
    return last[0].start(1) if last and not last[0][2] else None


def as_numbers(cells: "pd.Series[str]") -> tuple["pd.Series[float]", "pd.Series[bool]"]:
    """Cells as numbers, and which of them are none; the words nan and inf are numbers here."""
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    said_nan = cells.str.strip().str.lower().isin(("nan", "-nan", "+nan"))
    return numbers, numbers.isna() & ~said_nan
