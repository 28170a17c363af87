"""Event files that are being written to: each event is read once."""

import os
from pathlib import Path

from tarslab.runs.formats.growing import Place
from tarslab.runs.formats.tfevents.reading import (
    COMPILED_PAYS,
    EventFile,
    new_reader,
    read_part,
    warning_of,
)
from tarslab.runs.recording import Series


class Tail:
    """The event files of one home, as far as they were read."""

    def __init__(self) -> None:
        self._files: dict[Path, _GrowingFile] = {}

    def read(self, path: Path) -> EventFile:
        """All that a file holds by now."""
        return self._files.setdefault(path, _GrowingFile(path)).read()


class _GrowingFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._start_again(0)

    def read(self) -> EventFile:
        with open(self._path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if not self._place.holds(file):
                self._start_again(size)
            reached, damage = read_part(file, self._reader, self._place.reached, size)
            self._place.move(file, reached)
        for tag, series in self._reader.series().items():
            known = self._series.get(tag)
            self._series[tag] = Series.joined([known, series]) if known else series
        warning = warning_of(self._path, damage, reached, size)
        return EventFile(
            self._reader.started, dict(self._series), dict(self._reader.config), warning
        )

    def _start_again(self, size: int) -> None:
        self._place = Place()
        self._reader = new_reader(size >= COMPILED_PAYS)
        self._series: dict[str, Series] = {}
