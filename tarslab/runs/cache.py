"""What was loaded before, kept as Parquet files in the user's cache folder.

An entry is one file: the answer to one call of ``load``. It is named after the call and the readers
(their own source, so that a change to them makes every entry another's) and says of which state of
which files it was made. Its columns are ``step``, ``wall_time`` and ``value`` of ``Runs.scalars``,
each in the smallest type that holds it exactly, and its metadata hold everything else.

An entry is believed only where the files are as they were and every checksum is right; else the
logs are read again and it is written anew. What goes wrong with the cache costs nothing but time.

The file is Parquet of the plainest kind, uncompressed and with one page a column and row group. So
the numbers of a column are simply its last bytes, and go from the file to where they are needed,
part by part: decoded by Arrow they would be in memory twice.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import google_crc32c
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from platformdirs import user_cache_path

from tarslab.cores import over_cores
from tarslab.runs import formats
from tarslab.runs.discovery import PathLike, RunFiles, Seen, Stamp, settings_files, starts
from tarslab.runs.formats import FORMATS, Format, mlflow
from tarslab.runs.recording import Series
from tarslab.runs.table import Contents, Run

if TYPE_CHECKING:
    import pyarrow.parquet as pq

# Hidden, since a copy looks like a log, and the cache folder may lie among the logs.
FOLDER = ".loads"

# Less than this many bytes of logs are read in some hundredths of a second.
SMALLEST_LOGS = 1_000_000
# All entries together; the one not used for the longest goes first.
LARGEST_CACHE = 2_000_000_000

# A file that changed so shortly before it was looked at may change again with its time unchanged.
SETTLED_NS = 2_000_000_000

GROUP_ROWS = 1 << 20
# Small enough to stay in the processor's cache from the checksum to the widening.
PART_ROWS = 1 << 16

# The types of the columns, and the smallest that many of them fit into: event files hold 32 bits,
# and many logs no times.
WIDE = {"step": np.int64, "wall_time": np.float64, "value": np.float64}
NARROW = {"step": np.int32, "wall_time": np.float32, "value": np.float32}
ABOUT = b"tarslab"
CHECKSUM_SIZE = 4
# The size of the metadata and the magic number.
FOOTER_END = 8


class Kept(NamedTuple):
    """What an entry holds."""

    contents: Contents
    problems: list[str]
    """What the load warned of."""


class Entry:
    """The place of one answer, and what stands there.

    ``question`` is all that the answer depends on but the files. To be made before any of those is
    looked at.
    """

    def __init__(self, question: object) -> None:
        self._began = time.time_ns()
        name = sha256(repr((question, _readers())).encode()).hexdigest()[:32]
        self.path = user_cache_path("tarslab") / FOLDER / f"{name}.parquet"
        self._state: dict[str, Any] | None = None
        self._starts: list[str] | None = None
        self.seen: Seen = {}
        _wait_for(self.path)
        self._footer: pq.FileMetaData | None = None
        self._about: Mapping[str, Any] = {"state": {"homes": [], "stamps": {}}}
        with suppress(OSError, _NotSound), open(self.path, "rb", buffering=0) as file:
            self._footer = _sound_footer(file)
            self._about = json.loads(self._footer.metadata[ABOUT])
        self._formats = {
            path: format
            for *_, files in self._about["state"]["homes"]
            for format in FORMATS
            # Whether a file is a log of MLflow stands in another file.
            if format is not mlflow
            for path in files.get(format.NAME, ())
        }

    def detect(self, path: Path) -> Format | None:
        """``formats.detect``, without opening a file that is as it was."""
        known = self._formats.get(str(path))
        if known and self._about["state"]["stamps"][str(path)] == [*Stamp.of(os.stat(path))]:
            return known
        return formats.detect(path)

    def read_unseen(self, paths: Sequence[PathLike]) -> Kept | None:
        """The answer for the runs in these paths, where every file and folder that was looked at
        to find them is as it was; None where that is not so, or not known."""
        self._starts = starts(paths)
        if self._starts is None or self._about.get("starts") != self._starts:
            return None
        return self._read(all(map(_is_as_it_was, *self._about["seen"])))

    def read(self, found: Sequence[RunFiles]) -> Kept | None:
        """The answer for these runs.

        None where there is none, or one of another state of their files, or not a sound one.
        """
        try:
            self._state = _state(found)
        except OSError:
            return None
        return self._read(self._about["state"] == self._state)

    def _read(self, is_answer: bool) -> Kept | None:
        if self._footer is None or not is_answer:
            return None
        try:
            kept = _read(self.path, self._footer, self._about)
        except (OSError, _NotSound):
            return None
        with suppress(OSError):
            os.utime(self.path)
        return kept

    def write(self, contents: Contents, scalars: pd.DataFrame, problems: Sequence[str]) -> None:
        """Keep the answer, after ``read``: its contents and the table made of them.

        Not where it is not worth it, nor where a file may have changed since without a sign of it.
        A thread does it, for which the process waits.
        """
        if self._state is None:
            return
        stamps = [Stamp(*stamp) for stamp in self._state["stamps"].values()]
        settled = self._began - SETTLED_NS
        if sum(stamp.size for stamp in stamps) < SMALLEST_LOGS or any(
            max(stamp.modified, stamp.changed) > settled for stamp in stamps
        ):
            return
        about = _about(contents) | {"state": self._state, "problems": [*problems]}
        if seen := self._all_seen(settled):
            about |= {"starts": self._starts, "seen": [[*seen], [*map(list, seen.values())]]}
        # While there is this second frame, pandas copies what is changed in the first.
        held = scalars.copy(deep=False)
        _in_background(self.path, lambda: _write(self.path, about, held))

    def _all_seen(self, settled: int) -> dict[str, Stamp] | None:
        """All on which it depends what is found and read; None where that is not known."""
        assert self._state is not None
        beside = {path: Stamp(*stamp) for path, stamp in self._state["stamps"].items()}
        seen = {path: stamp for path, stamp in (self.seen | beside).items() if stamp}
        if (
            len(seen) < len(self.seen | beside)
            or any(max(stamp.modified, stamp.changed) > settled for stamp in seen.values())
            # Its logs are told by other files, wherever they are.
            or any(mlflow.NAME in files for *_, files in self._state["homes"])
        ):
            return None
        return seen


class _NotSound(Exception):
    """An entry is damaged, or not one."""


def _state(found: Sequence[RunFiles]) -> dict[str, Any]:
    """All that is known of some runs before they are read, as JSON has it."""
    homes = [
        [
            *(home.name, str(home.path), str(home.below), home.shown),
            {name: [str(path) for path in paths] for name, paths in home.files.items()},
        ]
        for home in found
    ]
    stamps = {str(path): [*stamp] for home in found for path, stamp in home.stamps.items()}
    beside = {str(path): [*Stamp.of(os.stat(path))] for path in settings_files(found)}
    return {"homes": homes, "stamps": stamps | beside}


def _is_as_it_was(path: str, stamp: Sequence[int]) -> bool:
    try:
        stat = os.stat(path)
    except OSError:
        return False
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] == stamp


def _about(contents: Contents) -> dict[str, Any]:
    """All but the columns, as JSON has it."""
    return {
        "runs": [
            {**vars(run), "series": {}, "hyperparameters": dict(run.hyperparameters)}
            for run in contents.runs
        ],
        "episodes": [*contents.episodes],
        "non_finite": [*contents.non_finite],
        "metrics": [*contents.metrics],
        "series": [contents.run.tolist(), contents.metric.tolist(), contents.points.tolist()],
    }


def _sound_footer(file: FileIO) -> "pq.FileMetaData":
    """The metadata, which are not even parsed where they are damaged."""
    import pyarrow.parquet as pq

    end = file.seek(0, os.SEEK_END) - FOOTER_END
    file.seek(max(end, 0))
    start = end - int.from_bytes(file.read(4), "little")
    if start < CHECKSUM_SIZE:
        raise _NotSound
    file.seek(start - CHECKSUM_SIZE)
    checksum, footer = file.read(CHECKSUM_SIZE), file.read()
    if checksum != _checksum(footer):
        raise _NotSound
    return pq.read_metadata(pa.BufferReader(footer))


def _seal(file: str) -> None:
    """Put the checksum of the metadata before them, where Parquet lets anything stand."""
    with open(file, "r+b") as written:
        written.seek(-FOOTER_END, os.SEEK_END)
        size = int.from_bytes(written.read(4), "little")
        start = written.seek(-FOOTER_END - size, os.SEEK_END)
        footer = written.read()
        written.seek(start)
        written.write(_checksum(footer) + footer)


def _read(path: Path, footer: "pq.FileMetaData", about: Mapping[str, Any]) -> Kept:
    run, metric, points = (np.array(numbers, dtype=np.int64) for numbers in about["series"])
    columns = [np.empty(points.sum(), kind) for kind in WIDE.values()]
    groups = [*enumerate(_groups(len(columns[0])))]
    stored = [(np.dtype(kind), checksums) for kind, checksums in about["columns"].values()]

    def fill(first: int, last: int) -> None:
        with open(path, "rb", buffering=0) as file:
            for group, (start, end) in groups[first:last]:
                of_group = footer.row_group(group)
                for number, (kind, checksums) in enumerate(stored):
                    part, chunk = columns[number][start:end], of_group.column(number)
                    size = part.size * kind.itemsize
                    file.seek(chunk.data_page_offset + chunk.total_compressed_size - size)
                    if _fill(part, file, kind) != checksums[group]:
                        raise _NotSound

    over_cores(fill, len(groups))
    contents = Contents(
        [Run(**of_run) for of_run in about["runs"]],
        about["episodes"],
        about["non_finite"],
        about["metrics"],
        run.astype(np.int32),
        metric.astype(np.int32),
        points,
        Series(*columns),
    )
    return Kept(contents, about["problems"])


def _fill(column: NDArray[Any], file: FileIO, kind: np.dtype[Any]) -> int:
    """Read a column that is stored as ``kind``, and say its checksum."""
    checksum = 0
    scratch = np.empty(PART_ROWS, kind)
    for start in range(0, len(column), PART_ROWS):
        wide = column[start : start + PART_ROWS]
        stored = wide if kind == wide.dtype else scratch[: len(wide)]
        if file.readinto(stored.data) != stored.nbytes:
            raise _NotSound
        checksum = google_crc32c.extend(checksum, stored)
        if stored is not wide:
            wide[:] = stored
    return checksum


def _write(path: Path, about: dict[str, Any], scalars: pd.DataFrame) -> None:
    columns = {name: scalars[name].to_numpy() for name in WIDE}
    kinds = {name: _smallest(columns[name], NARROW[name]) for name in WIDE}
    if len(scalars) * sum(kind.itemsize for kind in kinds.values()) > LARGEST_CACHE:
        return
    # Without a place to write to, or room there, the logs are read every time.
    with suppress(OSError, pa.ArrowException, MemoryError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _in_place_of(path) as temporary:
            _write_parquet(temporary, about, columns, kinds)
        _make_room(path.parent)


def _smallest(column: NDArray[Any], kind: type) -> np.dtype[Any]:
    """The type, if it holds every number of a column to the last bit; else the column's own."""
    with np.errstate(all="ignore"):
        for start, end in _groups(len(column)):
            part = column[start:end]
            again = part.astype(kind).astype(column.dtype)
            if not np.array_equal(again.view(np.int64), part.view(np.int64)):
                return column.dtype
    return np.dtype(kind)


@contextmanager
def _in_place_of(path: Path) -> Iterator[str]:
    """A file that takes the place of another when it is whole; only its owner may read it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    os.close(descriptor)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _write_parquet(
    file: str,
    about: dict[str, Any],
    columns: Mapping[str, NDArray[Any]],
    kinds: Mapping[str, np.dtype[Any]],
) -> None:
    import pyarrow.parquet as pq

    schema = pa.schema(
        [pa.field(name, pa.from_numpy_dtype(kind), nullable=False) for name, kind in kinds.items()]
    )
    checksums: dict[str, list[int]] = {name: [] for name in columns}
    with pq.ParquetWriter(
        file,
        schema,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
        data_page_size=1 << 30,
        max_rows_per_page=GROUP_ROWS,
    ) as writer:
        for start, end in _groups(len(columns["step"])):
            parts = {name: columns[name][start:end].astype(kinds[name]) for name in columns}
            for name, part in parts.items():
                checksums[name].append(google_crc32c.value(part))
            writer.write_table(pa.table(parts, schema=schema), row_group_size=GROUP_ROWS)
        stored = {name: [kinds[name].str, checksums[name]] for name in columns}
        writer.add_key_value_metadata({ABOUT: json.dumps(about | {"columns": stored}).encode()})
    _seal(file)


def _make_room(folder: Path) -> None:
    """Remove what was not used for the longest, down to the size that all may have together."""
    stats = {path: path.stat() for path in folder.iterdir()}
    size = 0
    for path in sorted(stats, key=lambda path: -stats[path].st_mtime):
        size += stats[path].st_size
        if size > LARGEST_CACHE:
            path.unlink(missing_ok=True)


def _groups(rows: int) -> Iterator[tuple[int, int]]:
    return pairwise([*range(0, rows, GROUP_ROWS), rows])


def _checksum(data: bytes) -> bytes:
    value: int = google_crc32c.value(data)
    return value.to_bytes(CHECKSUM_SIZE, "little")


_writing: tuple[Path, threading.Thread] | None = None


def _in_background(path: Path, work: Callable[[], None]) -> None:
    """One entry is written at a time; the process does not end before."""
    global _writing
    if _writing is not None:
        _writing[1].join()
    thread = threading.Thread(target=work, daemon=False)
    # Where no more threads are to be had, nothing is kept.
    with suppress(RuntimeError):
        thread.start()
        _writing = path, thread


def _wait_for(path: Path) -> None:
    if _writing is not None and _writing[0] == path:
        _writing[1].join()


@cache
def _readers() -> str:
    """What changes with the readers: their source."""
    from tarslab import __version__

    digest = sha256(__version__.encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
