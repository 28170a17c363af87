"""Results on disk: ``result.json``, ``histograms.parquet``, ``points.parquet``."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct
from pyarrow import parquet

from tarslab.chaos.load.errors import LoadFailed
from tarslab.chaos.load.histograms import BY_ROW, Cells
from tarslab.chaos.load.recording import Series
from tarslab.chaos.load.results import About, LoadResult
from tarslab.errors import BadArgument

VERSION = 1
RESULT, HISTOGRAMS, POINTS = "result.json", "histograms.parquet", "points.parquet"
# What pyarrow finds wrong with a file.
DAMAGED = (OSError, pa.ArrowException, KeyError, ValueError, msgspec.DecodeError)


class Kept(Struct, frozen=True):
    """What ``result.json`` has."""

    version: int
    verdict: str
    about: About
    series: list[Series]


def save(result: LoadResult, folder: Path) -> Path:
    """As ``LoadResult.save``."""
    kept = Kept(VERSION, result.verdict, result.about, list(result.series))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        parquet.write_table(_table(result.cells), folder / HISTOGRAMS, compression="zstd")
        if result.points_path is not None and result.points_path != folder / POINTS:
            shutil.copyfile(result.points_path, folder / POINTS)
        # Last, so that a folder which has it is complete.
        (folder / RESULT).write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1))
    except OSError as error:
        raise LoadFailed(f"{folder}: the results cannot be written: {error}", result) from None
    return folder


def load(folder: Path) -> LoadResult:
    """As ``LoadResult.load``."""
    try:
        kept = msgspec.json.decode((folder / RESULT).read_bytes(), type=Kept)
        if kept.version != VERSION:
            raise BadArgument(
                f"{folder / RESULT}: of version {kept.version}, where this tarslab reads {VERSION}"
            )
        cells = _cells(parquet.read_table(folder / HISTOGRAMS))
    except FileNotFoundError as error:
        raise BadArgument(
            f"{folder}: no results of load there ({Path(error.filename).name} is missing)"
        ) from None
    except BadArgument:
        raise
    except DAMAGED as error:
        raise BadArgument(f"{folder}: results of load that cannot be read: {error}") from None
    points = folder / POINTS
    return LoadResult(kept.about, kept.series, cells, points if points.exists() else None)


def _table(cells: Cells) -> Any:
    offsets = pa.array(np.concatenate([[0], np.cumsum(cells.lengths)]), pa.int32())
    columns = {name: getattr(cells, name) for name in BY_ROW if name != "lengths"}
    columns["buckets"] = pa.ListArray.from_arrays(offsets, pa.array(cells.buckets, pa.int32()))
    columns["counts"] = pa.ListArray.from_arrays(offsets, pa.array(cells.counts, pa.int64()))
    return pa.table(columns)


def _cells(table: Any) -> Cells:
    lists = {name: table[name].combine_chunks() for name in ("buckets", "counts")}
    lengths = np.diff(lists["buckets"].offsets.to_numpy()).astype(np.int64)
    return Cells(
        **{name: table[name].to_numpy().copy() for name in BY_ROW if name != "lengths"},
        lengths=lengths,
        **{name: each.flatten().to_numpy().astype(np.int64) for name, each in lists.items()},
    )
