"""From a path to the runs below it: which files are logs, and which of them are one run."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tarslab import bundled
from tarslab.errors import BadArgument, BadLog, LogNotFound
from tarslab.runs import identity
from tarslab.runs.formats import FORMATS, Format, detect

PathLike = str | os.PathLike[str]


@dataclass
class RunFiles:
    """The log files of one run, by format."""

    name: str
    path: Path
    """The run's folder, or its file where the file is a run of its own."""
    files: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def by_format(self) -> Iterator[tuple[Format, list[Path]]]:
        """Formats in order of trust."""
        for format in FORMATS:
            if format.NAME in self.files:
                yield format, self.files[format.NAME]


def find_runs(paths: PathLike | Iterable[PathLike]) -> list[RunFiles]:
    """The runs in folders, files, globs or ``bundled:`` names, in order of their names.

    A run is named by its path below the folder that was asked for. Raises LogNotFound where a
    path does not exist or nothing is found, BadLog where a file that was named is no log.
    """
    targets = _targets(paths)
    seen: Counter[str] = Counter()
    runs: dict[Path, RunFiles] = {}
    base = _common_folder(targets)
    for target in targets:
        for path in _files_below(target):
            format = detect(path)
            if format is None:
                if target.is_file():
                    raise BadLog(f"{path}: not a log that tarslab reads ({_looked_for()})")
                seen[path.suffix or "no ending"] += 1
                continue
            run_path = path.parent if format.speaks_for_folder(path) else path
            run = runs.setdefault(run_path, RunFiles(_name(run_path, base), run_path))
            files = run.files.setdefault(format.NAME, [])
            if path not in files:
                files.append(path)
    if not runs:
        places = ", ".join(str(target) for target in targets)
        kinds = ", ".join(f"{count} {kind}" for kind, count in seen.most_common(8))
        raise LogNotFound(
            f"no training logs in {places}: looked for {_looked_for()}; "
            f"saw {f'{seen.total()} other files ({kinds})' if seen else 'no files at all'}"
        )
    return sorted(runs.values(), key=lambda run: run.name)


def fingerprint(paths: PathLike | Iterable[PathLike]) -> str:
    """SHA-256 over the names and contents of the files that ``load`` would read, in hex."""
    digest = sha256()
    for run in find_runs(paths):
        files = [path for _, paths_of in run.by_format() for path in paths_of]
        for path in sorted({*files, *identity.config_files(run.folder)}):
            digest.update(f"{run.name}/{path.name}\0".encode())
            digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _targets(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    asked = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not asked:
        raise BadArgument("no path was given: name a folder, file or glob of training logs")
    targets = []
    for one in asked:
        text = os.fspath(one)
        if text.startswith(bundled.PREFIX):
            targets.append(bundled.data(text.removeprefix(bundled.PREFIX)))
            continue
        path = Path(text).expanduser()
        if path.exists():
            targets.append(path)
        elif matches := sorted(glob.glob(str(path), recursive=True)):
            targets += [Path(match) for match in matches]
        else:
            raise LogNotFound(f"{text}: no such file or folder{_nearest(path)}")
    return targets


def _nearest(path: Path) -> str:
    """What stands where the path stops to exist."""
    parent = next((p for p in path.parents if p.is_dir()), None)
    if parent is None:
        return ""
    names = sorted(os.listdir(parent))
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"; {parent}{os.sep} holds {shown or 'nothing'}"


def _files_below(target: Path) -> Iterator[Path]:
    if target.is_file():
        yield target
        return
    for folder, subfolders, names in os.walk(target):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file() and os.access(path, os.R_OK):
                yield path


def _common_folder(targets: Sequence[Path]) -> Path:
    folders = [os.path.abspath(t if t.is_dir() else t.parent) for t in targets]
    return Path(os.path.commonpath(folders))


def _name(run_path: Path, base: Path) -> str:
    relative = Path(os.path.abspath(run_path)).relative_to(base)
    if relative == Path():
        return Path(os.path.abspath(run_path)).name
    return (relative.with_suffix("") if run_path.is_file() else relative).as_posix()


def _looked_for() -> str:
    return ", ".join(format.LOOKED_FOR for format in FORMATS)
