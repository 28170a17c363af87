"""Parquet tables, wide or long: ``Runs.scalars.to_parquet`` and exports of other tools.

What stands in which column is found in ``tabular``. Where it is known which tags are wanted, only
their columns are read, and those that tell of steps, times and runs.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from tarslab.errors import BadLog
from tarslab.runs.formats import tabular
from tarslab.runs.formats.parallel import Read, in_threads
from tarslab.runs.recording import Recording

NAME = "parquet"
LOOKED_FOR = "Parquet tables with a step column"

MAGIC = b"PAR1"
SUFFIXES = {".parquet", ".pq"}
FOLDER_NAMES = {"progress.parquet"}


def matches(path: Path, head: bytes) -> bool:
    """Parquet whose schema names a step column; or whose schema is lost, by the name alone."""
    if path.name in FOLDER_NAMES:
        return True
    if not head.startswith(MAGIC):
        return False
    import pyarrow.parquet as pq

    try:
        return tabular.has_steps(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return path.suffix in SUFFIXES


def home(path: Path) -> Path:
    """The folder, where the name says that the file is one of those of its run."""
    return path.parent if path.name in FOLDER_NAMES else path


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """One Recording for every run in the files of a home."""
    return in_threads(NAME, partial(read, wanted=wanted), homes)


def follow() -> Read:
    """Reads the files of a home again and again, the whole of each."""
    return read


def read(paths: Sequence[Path], wanted: Collection[str] | None = None) -> list[Recording]:
    """The runs in some files, what several say of one run put together."""
    return tabular.of_files(NAME, paths, partial(_read_file, wanted=wanted))


def _read_file(path: Path, wanted: Collection[str] | None) -> list[Recording]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = [
                field.name
                for field in file.schema_arrow
                if wanted is None
                or field.name in wanted
                or not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
                or tabular.tells_of_rows(field.name)
            ]
            table = file.read(names)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise BadLog(f"{path}: not readable as Parquet, damaged or cut off: {reason}") from None
    return tabular.recordings(path, NAME, table, wanted)
