"""From a path to the runs below it: which files are logs, and which of them are one run."""

import glob
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePath
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple

from tarslab import bundled
from tarslab.errors import BadArgument, BadLog, LogNotFound, LogWarning
from tarslab.runs import identity, remote
from tarslab.runs.formats import FORMATS, Format, detect, mlflow

PathLike = str | os.PathLike[str]
Detect = Callable[[Path], Format | None]


class Stamp(NamedTuple):
    """What changes with a file."""

    size: int
    modified: int
    """In nanoseconds, as the writer may set it."""
    changed: int
    """In nanoseconds, as no writer can set it (on Windows when the file was made)."""

    @classmethod
    def of(cls, stat: os.stat_result) -> "Stamp":
        """The stamp in what ``os.stat`` says."""
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


# By path all that was looked at, from before it was; None for what could not be.
Seen = dict[str, Stamp | None]


@dataclass
class RunFiles:
    """The log files of one home, by format: of one run, or of several that share a file."""

    name: str
    path: Path
    """The run's folder, or its file where the file is a run of its own."""
    folder: Path
    """The run's folder, or that of its file."""
    shown: str
    """The path for people: of a local copy the URL."""
    files: dict[str, list[Path]] = field(default_factory=dict)
    below: PurePath = field(default_factory=PurePath)
    """The path from the folder that was asked for on."""
    stamps: dict[Path, Stamp] = field(default_factory=dict)
    """Of each log file, from before its first byte was read."""
    configs: list[Path] = field(default_factory=list)
    """The configuration files beside the logs."""


def find_runs(
    paths: PathLike | Iterable[PathLike], *, detect: Detect = detect, seen: Seen | None = None
) -> list[RunFiles]:
    """The runs in folders, files, globs, URLs or ``bundled:`` names, in order of their names.

    A run is named by its path below the folder that was asked for. ``seen`` gets all files and
    folders that were looked at. Raises LogNotFound where a path does not exist or nothing is found,
    BadLog where a file that was named is no log. Warns (LogWarning) of what cannot be opened.
    """
    targets = _targets(paths)
    seen = {} if seen is None else seen
    others: Counter[str] = Counter()
    unreadable: list[OSError] = []
    found: dict[str, RunFiles] = {}
    known: set[tuple[str, int, int]] = set()
    listed: dict[str, list[str]] = {}
    for target in targets:
        for file, stat, stamp in _files_below(target.path, listed, unreadable, seen):
            path = Path(file)
            try:
                format = detect(path)
            except OSError as error:
                unreadable.append(OSError(error.errno, error.strerror, file))
                others["unreadable"] += 1
                continue
            if format is None:
                if target.named and target.path.is_file():
                    raise BadLog(
                        f"{remote.shown(path)}: not a log that tarslab reads ({_looked_for()})"
                    )
                others[path.suffix or "no ending"] += 1
                continue
            own = format.home(path)
            home = os.path.abspath(own)
            # Reached in two ways it is one file still.
            if (home, stat.st_dev, stat.st_ino) in known:
                continue
            known.add((home, stat.st_dev, stat.st_ino))
            if home not in found:
                folder = path.parent if own == path else own
                shown = remote.shown(own) if target.copied else str(own)
                found[home] = RunFiles("", own, folder, shown)
            found[home].files.setdefault(format.NAME, []).append(path)
            found[home].stamps[path] = stamp
    for closed in unreadable:
        place = remote.shown(closed.filename)
        warnings.warn(f"{place}: {closed.strerror}; left out", LogWarning, stacklevel=3)
        seen[closed.filename] = None
    if not found:
        places = ", ".join(remote.shown(target.path) for target in targets)
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(8))
        raise LogNotFound(
            f"no training logs in {places}: looked for {_looked_for()}; "
            f"saw {f'{others.total()} other files ({kinds})' if others else 'no files at all'}"
        )
    _name(found, _common_folder([target.path for target in targets], found))
    folders = {run.folder for run in found.values()}
    for beside in {str(place) for folder in folders for place in identity.config_folders(folder)}:
        if beside not in seen and (of_beside := _stat(beside)):
            seen[beside] = Stamp.of(of_beside)
    configs = {folder: identity.config_files(folder, listed) for folder in folders}
    for run in found.values():
        run.configs = configs[run.folder]
    return sorted(found.values(), key=lambda run: run.name)


def settings_files(runs: Iterable[RunFiles]) -> list[Path]:
    """The files beside the logs that are read with them."""
    runs = list(runs)
    found = [*dict.fromkeys(path for run in runs for path in run.configs)]
    for home in (run.path for run in runs if mlflow.NAME in run.files):
        found += [home / mlflow.META, home / "tags" / "mlflow.runName"]
        found += sorted((home / mlflow.PARAMS).rglob("*"))
    return [path for path in found if path.is_file()]


def starts(paths: PathLike | Iterable[PathLike]) -> list[str] | None:
    """The files and folders where ``find_runs`` starts; None where what lies behind a URL must be
    looked at for that. Raises as it does where there is nothing."""
    asked = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if any(remote.is_url(os.fspath(one)) for one in asked):
        return None
    return [str(target.path) for target in _targets(asked)]


def fingerprint(paths: PathLike | Iterable[PathLike]) -> str:
    """SHA-256 over the names and contents of the files that ``load`` would read, in hex."""
    digest = sha256()
    for run in find_runs(paths):
        for path in sorted({*run.stamps, *settings_files([run])}):
            inside = path.relative_to(run.folder).as_posix()
            digest.update(f"{run.name}/{inside}\0".encode())
            digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def absolute(path: PathLike) -> str:
    """A path, glob, URL or ``bundled:`` name as it means the same in every folder."""
    text = os.fspath(path)
    if remote.is_url(text) or text.startswith(bundled.PREFIX):
        return text
    return os.path.abspath(os.path.expanduser(text.removeprefix("file://")))


class _Target(NamedTuple):
    path: Path
    named: bool
    """Whether the user named this very path, and not a glob that it matches."""
    copied: bool = False
    """Whether it is a local copy of what a URL names."""


def _targets(paths: PathLike | Iterable[PathLike]) -> list[_Target]:
    asked = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not asked:
        raise BadArgument("no path was given: name a folder, file or glob of training logs")
    targets = []
    for one in asked:
        text = os.fspath(one)
        if not text:
            raise BadArgument("the path is empty: name a folder, file or glob of training logs")
        if text.startswith(bundled.PREFIX):
            targets.append(_Target(bundled.data(text.removeprefix(bundled.PREFIX)), True))
            continue
        if remote.is_url(text):
            named = not remote.is_glob(text)
            targets += [_Target(path, named, copied=True) for path in remote.fetch(text)]
            continue
        path = Path(text.removeprefix("file://")).expanduser()
        if os.path.exists(path):
            targets.append(_Target(path, True))
        elif matches := sorted(glob.glob(str(path), recursive=True)):
            targets += [_Target(Path(match), False) for match in matches]
        else:
            raise LogNotFound(f"{text}: no such file or folder{_nearest(path)}")
    return targets


def _nearest(path: Path) -> str:
    """What stands where the path stops to exist."""
    parent = next((p for p in path.parents if os.path.isdir(p)), None)
    if parent is None:
        return ""
    names = sorted(os.listdir(parent))
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"; {parent}{os.sep} holds {shown or 'nothing'}"


def _files_below(
    target: Path, listed: dict[str, list[str]], unreadable: list[OSError], seen: Seen
) -> Iterator[tuple[str, os.stat_result, Stamp]]:
    """The files of a folder tree, hidden ones left out; links are followed, each folder once.

    Adds to ``listed`` the names in each folder, to ``unreadable`` what cannot be looked into, and
    all to ``seen``.
    """
    stat = target.stat()
    seen[str(target)] = stamp = Stamp.of(stat)
    if S_ISREG(stat.st_mode):
        yield str(target), stat, stamp
        return
    visited: set[tuple[int, int]] = set()
    waiting = [(str(target), stat)]
    while waiting:
        folder, stat = waiting.pop()
        if (stat.st_dev, stat.st_ino) in visited:
            continue
        visited.add((stat.st_dev, stat.st_ino))
        try:
            names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        except OSError as error:
            unreadable.append(error)
            continue
        listed[folder] = names
        folders = []
        for path in (os.path.join(folder, name) for name in names):
            found = _stat(path)
            if found is None:
                seen[path] = None
                continue
            seen[path] = stamp = Stamp.of(found)
            if S_ISREG(found.st_mode):
                yield path, found, stamp
            elif S_ISDIR(found.st_mode):
                folders.append((path, found))
        waiting += reversed(folders)


def _stat(path: str) -> os.stat_result | None:
    """None for what is gone, and for a link that leads nowhere."""
    try:
        return os.stat(path)
    except OSError:
        return None


def _common_folder(targets: Sequence[Path], homes: Iterable[str]) -> str:
    """The lowest folder above all that was asked for, and above what that turned out to be of."""
    folders = [os.path.abspath(t if t.is_dir() else t.parent) for t in targets]
    return os.path.commonpath([*folders, *homes])


def _name(found: dict[str, RunFiles], base: str) -> None:
    """Name runs by their path below ``base``; a file keeps its ending where two would clash."""
    names = {}
    for home, run in found.items():
        full = home[len(base) :].strip(os.sep).replace(os.sep, "/")
        short = full if run.folder == run.path else _without_endings(full)
        run.below = PurePath(os.path.basename(base), short)
        names[home] = (short or os.path.basename(home), full or ".")
    taken = Counter(short for short, _ in names.values())
    for home, run in found.items():
        short, full = names[home]
        run.name = identity.printable(full if taken[short] > 1 else short)


def _without_endings(name: str) -> str:
    stem, ending = os.path.splitext(name)
    return os.path.splitext(stem)[0] if ending == ".gz" else stem


def _looked_for() -> str:
    return ", ".join(format.LOOKED_FOR for format in FORMATS)
