"""The log formats that tarslab reads, one module each.

A format module has these names, and adding a format is adding a module to ``FORMATS``:

``NAME``
    what stands in the ``format`` column of ``Runs.table``
``LOOKED_FOR``
    how to say to a user which files it reads
``matches(path, head)``
    whether the file is of this format, from its first ``HEAD_BYTES`` bytes (the name decides only
    where the content cannot, as in an empty file)
``home(path)``
    where the run of the file lives: in a folder with other files, or in the file alone
``read_all(homes, wanted)``
    from the files of every home, in order, its Recordings: one, or several where a file holds
    several runs; a file that cannot be read raises nothing, its Recording warns of it. ``wanted``
    are the only tags that will be used, where that is known: a reader may leave out all others
``follow()``
    a function that reads the files of one home, and at each later call only what they have grown
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tarslab.runs.formats import (
    csv_tables,
    evaluations,
    json_lines,
    mlflow,
    monitor,
    parquet,
    tfevents,
)
from tarslab.runs.formats.parallel import Read
from tarslab.runs.recording import Recording

HEAD_BYTES = 65_536


class Format(Protocol):
    """The interface of a format module."""

    NAME: str
    LOOKED_FOR: str

    def matches(self, path: Path, head: bytes) -> bool: ...
    def home(self, path: Path) -> Path: ...
    def read_all(
        self, homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
    ) -> Iterator[list[Recording]]: ...
    def follow(self) -> Read: ...


# Where two formats of a run hold the same metric, the earlier one is believed: monitor.csv has
# every episode, RLlib's result.json all that its event files and progress.csv hold a part of, event
# files have wall times and full tags and survive a resumption, evaluations.npz and progress.csv
# repeat them.
FORMATS: tuple[Format, ...] = (
    monitor,
    json_lines,
    tfevents,
    evaluations,
    csv_tables,
    mlflow,
    parquet,
)


def detect(path: Path) -> Format | None:
    """The format of a file, or None where it is no log that tarslab knows."""
    with open(path, "rb", buffering=0) as file:
        head = file.read(HEAD_BYTES)
    return next((format for format in FORMATS if format.matches(path, head)), None)
