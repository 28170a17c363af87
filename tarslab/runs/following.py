"""``follow``: runs that grow while they train."""

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import pandas as pd

from tarslab.errors import BadArgument, BadLog, LogNotFound, LogWarning
from tarslab.runs import formats, remote
from tarslab.runs.discovery import PathLike, RunFiles, Stamp, find_runs, settings_files
from tarslab.runs.formats import FORMATS, Format
from tarslab.runs.formats.parallel import Read, careful
from tarslab.runs.loading import Restarts, load, read_config, settle
from tarslab.runs.recording import Unfinished
from tarslab.runs.table import Run, Runs, as_list

COUNT = re.compile(r"\d[\d,]*")


def follow(
    path: PathLike | Iterable[PathLike],
    *,
    metrics: str | Sequence[str] | None = None,
    restarts: Restarts = "last",
) -> "LiveRuns":
    """Read training runs as ``load`` does, and go on reading them while they train.

    ``update`` of what is returned takes what was logged since: of text logs and event files it
    reads only the new lines and events, of other formats the files that have changed; files and
    runs that are new come in, and a file that was truncated, rotated or written anew is read from
    its start. ``dashboards.training`` of it draws itself anew.

    Parameters, errors and warnings are those of ``load``, except that a last line or event which is
    not yet complete is waited for and not warned of, and that a URL is refused (BadArgument): each
    look would fetch whole files.
    """
    if restarts not in get_args(Restarts):
        raise BadArgument(f"restarts must be one of {get_args(Restarts)}, not {restarts!r}")
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if urls := [os.fspath(one) for one in paths if remote.is_url(os.fspath(one))]:
        raise BadArgument(
            f"{remote.without_secrets(urls[0])}: only files of this machine can be followed; "
            "load the URL, and load it again"
        )
    asked = None if metrics is None else [str(metric) for metric in as_list(metrics)]
    return LiveRuns(paths, asked, restarts)


class LiveRuns(Runs):
    """``Runs`` that grow.

    Attributes
    ----------
    scalars, table : DataFrame
        As of the last ``update`` that found anything.
    version : int
        How many of them have.
    problems : list of str
        What cannot be used of the logs as they are now.
    """

    def __init__(
        self, paths: Sequence[PathLike], metrics: Sequence[str] | None, restarts: Restarts
    ) -> None:
        self._paths = paths
        self._metrics = metrics
        self._restarts = restarts
        self._detect = _Formats()
        self._homes: dict[Path, _Home] = {}
        self._warned: set[str] = set()
        self.problems: list[str] = []
        self._read()
        runs = [run for home in self._homes.values() for run in home.runs]
        if not runs:
            problems = [p for home in self._homes.values() for p in home.problems]
            raise BadLog("nothing was logged yet:\n" + "\n".join(f"- {p}" for p in problems))
        now = Runs.of(runs)
        if self._metrics is not None and not set(self._metrics) <= set(now.metrics):
            # Of what was left out no one can say what there is.
            now = load(paths, restarts=restarts, cache=False).select(metric=self._metrics)
        super().__init__(*self._chosen(now))
        self.version = 0
        self._shown = self._state()

    def update(self) -> bool:
        """Take what was logged since; whether there was anything.

        Raises BadLog where steps go back under ``restarts="error"``, and warns (LogWarning) of what
        cannot be used, of the same kind of damage to a run once. Where all logs are gone, or hold
        nothing for the moment, what was read of them stays.
        """
        try:
            self._read()
        except LogNotFound:
            return False
        state = self._state()
        runs = [run for home in self._homes.values() for run in home.runs]
        if state == self._shown or not runs:
            return False
        now = Runs.of(runs)
        if self._metrics is not None and not set(self._metrics) & set(now.metrics):
            return False
        self.scalars, self.table = self._chosen(now)
        self._shown = state
        self.version += 1
        return True

    def _read(self) -> None:
        """Take what is new in the files."""
        with warnings.catch_warnings(record=True, action="always", category=LogWarning) as caught:
            homes = self._found()
        found = {home.path: home for home in homes}
        for path in self._homes.keys() - found.keys():
            del self._homes[path]
        for path, home in found.items():
            self._homes.setdefault(path, _Home()).update(home, self._restarts, self._metrics)
        self._homes = {path: self._homes[path] for path in found}
        of_homes = [p for home in self._homes.values() for p in home.problems]
        self.problems = [str(warning.message) for warning in caught]
        self.problems += [p for p in of_homes if not isinstance(p, Unfinished)]
        for problem in self.problems:
            # Where it stands and how much of it there is changes while a file grows.
            kind = COUNT.sub("", problem)
            if kind not in self._warned:
                self._warned.add(kind)
                warnings.warn(problem, LogWarning, stacklevel=4)

    def _found(self) -> list[RunFiles]:
        try:
            return find_runs(self._paths, detect=self._detect)
        except BadLog as error:
            if not self._homes:
                raise
            # A file that was named, and is empty or half written at this moment.
            raise LogNotFound(str(error)) from None

    def _state(self) -> tuple[tuple[Path, int], ...]:
        """What changes with anything that was read."""
        return tuple((path, home.reads) for path, home in self._homes.items())

    def _chosen(self, now: Runs) -> tuple[pd.DataFrame, pd.DataFrame]:
        if self._metrics is not None:
            now = now.select(metric=[m for m in self._metrics if m in now.metrics])
        return now.scalars, now.table


class _Home:
    """What was read of one home so far."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.problems: list[str] = []
        self.reads = 0
        self._readers: dict[str, Read] = {}
        self._seen: tuple[str, dict[Path, Stamp]] | None = None

    def update(self, home: RunFiles, restarts: Restarts, metrics: Sequence[str] | None) -> None:
        """Read what is new."""
        beside = {path: Stamp.of(os.stat(path)) for path in settings_files([home])}
        state = home.name, home.stamps | beside
        if self._seen == state:
            return
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
        self.reads += 1


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
