"""Parquet tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tarslab as tl
from tarslab.errors import BadLog, LogWarning
from tarslab.runs.formats import parquet
from tarslab.runs.recording import Recording


def write(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path)
    return path


def read(path: Path) -> Recording:
    """The one run in a file."""
    (recording,) = parquet.read([path])
    return recording


WIDE = pa.table(
    {
        "global_step": [1, 2, 3],
        "losses/entropy": pa.array([0.5, None, float("nan")]),
        "losses/td_loss": pa.array([1, 2, 3], pa.int32()),
        "seed": [7, 7, 7],
        "note": ["a", "b", "c"],
    }
)


def test_a_wide_table_has_a_column_a_metric(tmp_path: Path) -> None:
    recording = read(write(tmp_path / "run.parquet", WIDE))
    assert list(recording.series) == ["losses/entropy", "losses/td_loss"]
    assert recording.series["losses/entropy"].step.tolist() == [1, 3]
    np.testing.assert_array_equal(recording.series["losses/entropy"].value, [0.5, np.nan])
    assert recording.series["losses/td_loss"].value.tolist() == [1, 2, 3]
    assert recording.config == {"seed": 7}


def test_the_scalars_that_tarslab_wrote_are_read_back_whole(tmp_path: Path) -> None:
    runs = tl.load("bundled:cartpole/a2c")
    scalars = runs.scalars.copy()
    scalars.loc[3, "value"] = np.nan
    scalars.to_parquet(tmp_path / "scalars.parquet")
    again = tl.load(tmp_path)
    assert again.names == [f"scalars/{name}" for name in runs.names]
    assert again.metrics == runs.metrics
    for column in ("step", "wall_time", "value"):
        np.testing.assert_array_equal(again.scalars[column], scalars[column])


def test_only_wanted_columns_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "run.parquet", WIDE)
    asked: list[list[str]] = []
    whole = pq.ParquetFile.read

    def noted(file: pq.ParquetFile, columns: list[str]) -> pa.Table:
        asked.append(columns)
        return whole(file, columns)

    monkeypatch.setattr(pq.ParquetFile, "read", noted)
    (recording,) = parquet.read([path], wanted={"losses/td_loss"})
    assert asked == [["global_step", "losses/td_loss", "seed", "note"]]
    assert list(recording.series) == ["losses/td_loss"]


@pytest.mark.parametrize("kind", ["datetime64[ms]", "datetime64[ns, Europe/Berlin]"])
def test_moments_are_wall_times(tmp_path: Path, kind: str) -> None:
    moments = pd.to_datetime(["2023-07-22 04:26:40.25"]).tz_localize("UTC")
    time = moments.tz_convert("Europe/Berlin") if "Berlin" in kind else moments.tz_localize(None)
    frame = pd.DataFrame({"step": [1], "timestamp": time.astype(kind), "r": [2.0]})
    frame.to_parquet(tmp_path / "run.parquet")
    series = read(tmp_path / "run.parquet").series
    assert series["r"].wall_time.tolist() == [1690000000.25]


def test_a_table_that_is_no_log_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "train.parquet", pa.table({"image": [b"1"], "label": [2]}))
    assert not parquet.matches(path, path.read_bytes())
    assert not parquet.matches(Path("x.csv"), b"step,r\n")


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "run.parquet", WIDE)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[-20:]
    else:
        data[-200:-100] = b"\xff" * 100
    path.write_bytes(data)
    with pytest.raises(BadLog, match=r"run\.parquet: not readable as Parquet"):
        tl.load(path)
    write(tmp_path / "sound.parquet", WIDE)
    with pytest.warns(LogWarning, match=r"run\.parquet: not readable as Parquet"):
        assert tl.load(tmp_path).names == ["sound"]


def test_progress_parquet_is_one_of_the_files_of_its_folder() -> None:
    assert parquet.home(Path("runs/a/progress.parquet")) == Path("runs/a")
    assert parquet.home(Path("runs/a.parquet")) == Path("runs/a.parquet")
