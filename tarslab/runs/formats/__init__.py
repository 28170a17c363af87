"""The log formats that tarslab reads, one module each.

A format module has four names, and adding a format is adding a module to ``FORMATS``:

``NAME``
    what stands in the ``format`` column of ``Runs.table``
``LOOKED_FOR``
    how to say to a user which files it reads
``matches(path, head)``
    whether the file is of this format, from its first ``HEAD_BYTES`` bytes (the name decides only
    where the content cannot, as in an empty file)
``speaks_for_folder(path)``
    whether the file belongs to the run that its folder is, or is a run of its own name
``read(paths)``
    the Recording of one run from all its files of this format
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tarslab.runs.formats import monitor, tfevents, wide_csv
from tarslab.runs.recording import Recording

HEAD_BYTES = 65_536


class Format(Protocol):
    """The interface of a format module."""

    NAME: str
    LOOKED_FOR: str

    def matches(self, path: Path, head: bytes) -> bool: ...
    def speaks_for_folder(self, path: Path) -> bool: ...
    def read(self, paths: Sequence[Path]) -> Recording: ...


# Where two formats of a run hold the same metric, the earlier one is believed: monitor.csv has
# every episode, event files have wall times and full tags, progress.csv repeats them.
FORMATS: tuple[Format, ...] = (monitor, tfevents, wide_csv)


def detect(path: Path) -> Format | None:
    """The format of a file, or None where it is no log that tarslab knows."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    return next((format for format in FORMATS if format.matches(path, head)), None)
