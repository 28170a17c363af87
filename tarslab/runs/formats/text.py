"""Text files that a killed run may have left unfinished."""

import csv
import io
from pathlib import Path

import pandas as pd

from tarslab.errors import BadLog


def complete_lines(path: Path) -> tuple[str, list[str]]:
    """The text up to its last complete line, and a warning where there was more.

    A line is complete when it ends, outside quotes: in one without an end even a number that looks
    whole may have been cut. Raises BadLog where the file is not UTF-8 text.
    """
    data = path.read_bytes()
    if not data.strip():
        return "", [f"{path}: the file is empty; the writer may not have flushed yet"]
    end = data.rfind(b"\n") + 1
    while end and data.count(b'"', 0, end) % 2:
        end = data.rfind(b"\n", 0, end - 1) + 1
    try:
        text = data[:end].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadLog(
            f"{path}: byte {error.start} is not UTF-8 text; convert the file to UTF-8 "
            "(or, if it is a binary file, give it another ending)"
        ) from None
    warnings = []
    if data[end:].strip():
        warnings.append(
            f"{path}: the last line is cut off at byte {len(data)} (it has no line end); "
            f"all before byte {end} was read"
        )
    return text.replace("\r\n", "\n"), warnings


def parse_csv(path: Path, text: str, skipped_lines: int = 0, separator: str = ",") -> pd.DataFrame:
    """The cells as text, '' where a cell is empty; BadLog names the line that does not fit."""
    if not text.strip():
        return pd.DataFrame()
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            index_col=False,
            skipinitialspace=True,
        )
    except pd.errors.ParserError:
        raise BadLog(_misfit(path, text, skipped_lines, separator)) from None


def _misfit(path: Path, text: str, skipped_lines: int, separator: str) -> str:
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    width = len(next(rows))
    for row in rows:
        if len(row) > width:
            return (
                f"{path}: line {rows.line_num + skipped_lines} has {len(row)} cells where the "
                f"header names {width}; mend or remove that line"
            )
    return f"{path}: not a readable CSV file"
