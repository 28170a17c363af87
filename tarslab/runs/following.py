"""``follow``: runs that grow while they train."""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from tarslab.errors import BadArgument, BadLog, LogNotFound, LogWarning
from tarslab.runs import formats, remote
from tarslab.runs.discovery import PathLike, RunFiles, Stamp, find_runs, settings_files
from tarslab.runs.formats import FORMATS, Format
from tarslab.runs.formats.parallel import Read, careful
from tarslab.runs.loading import Restarts, read_config, settle
from tarslab.runs.recording import Unfinished
from tarslab.runs.table import Run, Runs, as_list


def follow(
    path: PathLike | Iterable[PathLike],
    *,
    metrics: str | Sequence[str] | None = None,
    restarts: Restarts = "last",
) -> "LiveRuns":
    """Read training runs as ``load`` does, and go on reading them while they train.

    ``update`` of what is returned takes what was logged since, and reads only that: new lines and
    events of files that have grown, files and runs that are new; a file that was truncated, rotated
    or written anew is read from its start. ``dashboards.training`` of it draws itself anew.

    Parameters, errors and warnings are those of ``load``, except that a last line or event which is
    not yet complete is waited for and not warned of.
    """
    if restarts not in get_args(Restarts):
        raise BadArgument(f"restarts must be one of {get_args(Restarts)}, not {restarts!r}")
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    asked = None if metrics is None else [str(metric) for metric in as_list(metrics)]
    return LiveRuns(paths, asked, restarts)


class LiveRuns(Runs):
    """``Runs`` that grow: ``scalars`` and ``table`` are as of the last ``update``."""

    def __init__(
        self, paths: Sequence[PathLike], metrics: Sequence[str] | None, restarts: Restarts
    ) -> None:
        self._paths = paths
        self._metrics = metrics
        self._restarts = restarts
        self._detect = _Formats()
        self._homes: dict[Path, _Home] = {}
        self._warned: set[str] = set()
        now = self._read()
        super().__init__(now.scalars, now.table)

    def update(self) -> bool:
        """Take what was logged since; whether there was anything.

        Raises BadLog where steps go back under ``restarts="error"``, and warns (LogWarning) of what
        cannot be used, once. Where all logs are gone, what was read of them stays.
        """
        try:
            now = self._read(self)
        except LogNotFound:
            return False
        changed = now is not self
        self.scalars, self.table = now.scalars, now.table
        return changed

    def _read(self, before: Runs | None = None) -> Runs:
        """All runs as they are now; ``before`` itself where they are as they were."""
        found = {home.path: home for home in find_runs(self._paths, detect=self._detect)}
        gone = self._homes.keys() - found.keys()
        for path in gone:
            del self._homes[path]
        changed = [
            self._homes.setdefault(path, _Home()).update(home, self._restarts, self._metrics)
            for path, home in found.items()
        ]
        if before is not None and not gone and not any(changed):
            return before
        homes = [self._homes[path] for path in found]
        runs = [run for home in homes for run in home.runs]
        if not runs:
            if before is not None:
                return before
            listed = "\n".join(f"- {remote.shown_in(p)}" for home in homes for p in home.problems)
            raise BadLog(f"nothing was logged yet:\n{listed}")
        damage = [p for home in homes for p in home.problems if not isinstance(p, Unfinished)]
        for problem in damage:
            if problem not in self._warned:
                warnings.warn(remote.shown_in(problem), LogWarning, stacklevel=4)
        self._warned.update(damage)
        now = Runs.of(runs)
        return now if self._metrics is None else now.select(metric=self._metrics)


class _Home:
    """What was read of one home so far."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.problems: list[str] = []
        self._readers: dict[str, Read] = {}
        self._seen: tuple[str, dict[Path, Stamp]] | None = None

    def update(self, home: RunFiles, restarts: Restarts, metrics: Sequence[str] | None) -> bool:
        """Read what is new; whether there was anything."""
        beside = {path: Stamp.of(os.stat(path)) for path in settings_files([home])}
        state = home.name, home.stamps | beside
        if self._seen == state:
            return False
        recordings = []
        for format in FORMATS:
            if files := home.files.get(format.NAME):
                read = self._readers.get(format.NAME) or format.follow()
                self._readers[format.NAME] = read
                recordings += careful(format.NAME, read, files)
        config, unreadable = read_config(home.folder)
        kept = None if metrics is None else {*metrics, "reward"}
        self.runs, unusable = settle(home, recordings, config, restarts, kept)
        self.problems = [*unreadable, *unusable]
        self._seen = state
        return True


class _Detected(NamedTuple):
    format: Format | None
    inode: int
    size: int


class _Formats:
    """``formats.detect`` that opens a file again only where it may have become a log."""

    def __init__(self) -> None:
        self._known: dict[Path, _Detected] = {}

    def __call__(self, path: Path) -> Format | None:
        stat = os.stat(path)
        known = self._known.get(path)
        if (
            known is None
            or known.inode != stat.st_ino
            or (known.format is None and known.size != stat.st_size)
        ):
            known = _Detected(formats.detect(path), stat.st_ino, stat.st_size)
            self._known[path] = known
        return known.format
