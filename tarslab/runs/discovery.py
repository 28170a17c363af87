"""From a path to the runs below it: which files are logs, and which of them are one run."""

import glob
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePath
from typing import NamedTuple

from tarslab import bundled
from tarslab.errors import BadArgument, BadLog, LogNotFound, LogWarning
from tarslab.runs import identity, remote
from tarslab.runs.formats import FORMATS, Format, detect

PathLike = str | os.PathLike[str]


@dataclass
class RunFiles:
    """The log files of one home, by format: of one run, or of several that share a file."""

    name: str
    path: Path
    """The run's folder, or its file where the file is a run of its own."""
    files: dict[str, list[Path]] = field(default_factory=dict)
    below: PurePath = field(default_factory=PurePath)
    """The path from the folder that was asked for on."""

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def by_format(self) -> Iterator[tuple[Format, list[Path]]]:
        """Formats in order of trust."""
        for format in FORMATS:
            if format.NAME in self.files:
                yield format, self.files[format.NAME]


def find_runs(paths: PathLike | Iterable[PathLike]) -> list[RunFiles]:
    """The runs in folders, files, globs, URLs or ``bundled:`` names, in order of their names.

    A run is named by its path below the folder that was asked for. Raises LogNotFound where a
    path does not exist or nothing is found, BadLog where a file that was named is no log. Warns
    (LogWarning) of what cannot be opened.
    """
    targets = _targets(paths)
    base = _common_folder([target.path for target in targets])
    seen: Counter[str] = Counter()
    found: dict[Path, RunFiles] = {}
    for target in targets:
        for path in _files_below(target.path):
            try:
                format = detect(path)
            except OSError as error:
                warnings.warn(f"{path}: {error.strerror}; left out", LogWarning, stacklevel=3)
                seen["unreadable"] += 1
                continue
            if format is None:
                if target.named and target.path.is_file():
                    raise BadLog(
                        f"{remote.shown(path)}: not a log that tarslab reads ({_looked_for()})"
                    )
                seen[path.suffix or "no ending"] += 1
                continue
            own = format.home(path)
            run = found.setdefault(Path(os.path.abspath(own)), RunFiles("", own))
            files = run.files.setdefault(format.NAME, [])
            if not any(path.samefile(other) for other in files):
                files.append(path)
    if not found:
        places = ", ".join(remote.shown(target.path) for target in targets)
        kinds = ", ".join(f"{count} {kind}" for kind, count in seen.most_common(8))
        raise LogNotFound(
            f"no training logs in {places}: looked for {_looked_for()}; "
            f"saw {f'{seen.total()} other files ({kinds})' if seen else 'no files at all'}"
        )
    _name(found, base)
    return sorted(found.values(), key=lambda run: run.name)


def fingerprint(paths: PathLike | Iterable[PathLike]) -> str:
    """SHA-256 over the names and contents of the files that ``load`` would read, in hex."""
    digest = sha256()
    for run in find_runs(paths):
        files = [path for _, paths_of in run.by_format() for path in paths_of]
        for path in sorted({*files, *identity.config_files(run.folder)}):
            digest.update(f"{run.name}/{path.name}\0".encode())
            digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class _Target(NamedTuple):
    path: Path
    named: bool
    """Whether the user named this very path, and not a glob that it matches."""


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
            targets += [_Target(path, not remote.is_glob(text)) for path in remote.fetch(text)]
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


def _files_below(target: Path) -> Iterator[Path]:
    """The files of a folder tree, hidden ones left out; links are followed, each folder once."""
    if target.is_file():
        yield target
        return

    def unreadable(error: OSError) -> None:
        warnings.warn(f"{error.filename}: {error.strerror}; left out", LogWarning, stacklevel=5)

    visited: set[str] = set()
    for folder, subfolders, names in os.walk(target, followlinks=True, onerror=unreadable):
        if (real := os.path.realpath(folder)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _common_folder(targets: Sequence[Path]) -> Path:
    folders = [os.path.abspath(t if t.is_dir() else t.parent) for t in targets]
    return Path(os.path.commonpath(folders))


def _name(found: dict[Path, RunFiles], base: Path) -> None:
    """Name runs by their path below ``base``; a file keeps its ending where two would clash."""
    names = {}
    for path, run in found.items():
        relative = path.relative_to(base)
        stem = relative.with_suffix("") if path.is_file() else relative
        run.below = PurePath(base.name) / stem
        full = relative.as_posix()
        names[path] = (path.name if relative == Path() else stem.as_posix(), full)
    taken = Counter(short for short, _ in names.values())
    for path, run in found.items():
        short, full = names[path]
        run.name = identity.printable(full if taken[short] > 1 else short)


def _looked_for() -> str:
    return ", ".join(format.LOOKED_FOR for format in FORMATS)
