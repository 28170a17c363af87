"""What was loaded before and has not changed is not read again; what is kept is never wrong."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from pandas.testing import assert_frame_equal

import tarslab as tl
from tarslab.errors import BadLog, LogWarning
from tarslab.runs import Run, Runs, Series, cache, formats, loading
from tarslab.runs.formats import Format
from tarslab.runs.table import Contents

CONFIG = {"algo": "ppo", "seed": 3, "lr": 1e-3, "on": True, "net": {"act": None, "width": [4, 4]}}


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of what is kept: of this test alone, and of logs however small and new."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SMALLEST_LOGS", 0)
    monkeypatch.setattr(cache, "SETTLED_NS", 0)
    yield tmp_path / "cache" / "tarslab" / cache.FOLDER
    wait()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Runs of several formats, with and without configuration, one damaged, one resumed."""
    folder = tmp_path / "logs"
    put(folder / "a" / "progress.csv", "step,x,y\n1,0.1,nan\n2,inf,5\n3,7,8\n4,7")
    put(folder / "a" / "config.json", json.dumps(CONFIG))
    put(folder / "b" / "monitor.csv", '#{"t_start": 1}\nr,l,t\n1,2,0.5\n3,4,0.7\n')
    lines = [{"step": step, "entropy": 2} for step in (5, 5_000_000_000, 3, 7)]
    put(folder / "c.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many homes were read, for each time that any were."""
    counted: list[int] = []
    read_all = loading.read_all

    def count(homes: Any, wanted: Any = None) -> Any:
        counted.append(len(homes))
        return read_all(homes, wanted)

    monkeypatch.setattr(loading, "read_all", count)
    return counted


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def wait() -> None:
    """Until all is written."""
    if cache._writing is not None:
        cache._writing[1].join()


def load(path: Any, **options: Any) -> tuple[Runs, list[str]]:
    """Runs, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs = tl.load(path, **options)
    assert all(issubclass(one.category, LogWarning) for one in caught)
    wait()
    return runs, [str(one.message) for one in caught]


def same(one: tuple[Runs, list[str]], other: tuple[Runs, list[str]]) -> None:
    """Equal to the last bit, types, warnings and all."""
    assert one[1] == other[1]
    for a, b in ((one[0].scalars, other[0].scalars), (one[0].table, other[0].table)):
        assert_frame_equal(a, b, check_exact=True)
    for name in ("run", "metric"):
        codes = [runs.scalars[name].cat.codes.dtype for runs, _ in (one, other)]
        assert codes[0] == codes[1]


def entry(kept: Path) -> Path:
    (path,) = kept.iterdir()
    return path


@pytest.mark.parametrize("options", [{}, {"metrics": ["x", "entropy"]}, {"restarts": "all"}])
def test_a_second_load_reads_nothing_and_is_equal_in_everything(
    logs: Path, reads: list[int], options: dict[str, Any]
) -> None:
    first = load(logs, **options)
    assert first[1]
    assert reads == [3]
    same(load(logs, **options), first)
    assert reads == [3]
    same(load(logs, **options, cache=False), first)


@pytest.mark.parametrize("name", ["cartpole", "pendulum", "poker"])
def test_bundled_recordings_come_back_as_they_were(name: str, reads: list[int]) -> None:
    first = load(f"bundled:{name}")
    same(load(f"bundled:{name}"), first)
    assert len(reads) == 1


def test_what_is_kept_is_found_from_any_folder(
    logs: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(logs)
    monkeypatch.chdir(logs)
    # The table has the paths as they were given.
    here = load("a")
    assert here[0].table["path"].tolist() == ["a"]
    monkeypatch.chdir(logs.parent)
    load(logs)
    assert len(reads) == 2
    put(logs.parent / "a" / "progress.csv", "step,x\n1,2\n")
    assert len(load("a")[0].scalars) == 1
    monkeypatch.chdir(logs)
    same(load("a"), here)
    assert len(reads) == 3


def test_each_question_has_its_own_answer(logs: Path, reads: list[int], kept: Path) -> None:
    questions: list[tuple[Any, dict[str, Any]]] = [
        (logs, {}),
        (logs, {"restarts": "all"}),
        (logs, {"metrics": "x"}),
        (logs / "a", {}),
        ([logs / "a", logs / "b"], {}),
        (logs / "*.jsonl", {}),
    ]
    answers = [load(path, **options) for path, options in questions]
    assert len([*kept.iterdir()]) == len(questions) == len(reads)
    for (path, options), answer in zip(questions, answers, strict=True):
        same(load(path, **options), answer)
    assert len(reads) == len(questions)


def rewrite(path: Path, text: str) -> None:
    """The same size, at another time."""
    assert len(text) == path.stat().st_size
    later = path.stat().st_mtime_ns + 1_000_000
    path.write_text(text)
    os.utime(path, ns=(later, later))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a log grows": lambda logs: put(
        logs / "c.jsonl", (logs / "c.jsonl").read_text() + '{"step": 9, "entropy": 3}\n'
    ),
    "a log is written anew": lambda logs: rewrite(
        logs / "b" / "monitor.csv", '#{"t_start": 1}\nr,l,t\n9,2,0.5\n3,4,0.7\n'
    ),
    "a log is replaced": lambda logs: os.replace(
        put(logs / ".new", (logs / "c.jsonl").read_text().replace("2", "7")), logs / "c.jsonl"
    ),
    "a log goes": lambda logs: (logs / "c.jsonl").unlink(),
    "a run comes": lambda logs: put(logs / "d" / "progress.csv", "step,x\n1,2\n"),
    "a log comes to a run": lambda logs: put(logs / "b" / "progress.csv", "step,x\n1,2\n"),
    "a run is called otherwise": lambda logs: (logs / "b").rename(logs / "e"),
    "a configuration changes": lambda logs: put(logs / "a" / "config.json", '{"lr": 5}'),
    "a configuration comes": lambda logs: put(logs / "b" / "config.json", '{"lr": 5}'),
    "a configuration goes": lambda logs: (logs / "a" / "config.json").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_has_changed_is_read_again(
    logs: Path, reads: list[int], kept: Path, change: Callable[[Path], object]
) -> None:
    first = load(logs)
    change(logs)
    again = load(logs)
    assert len(reads) == 2
    same(again, load(logs, cache=False))
    assert not again[0].scalars.equals(first[0].scalars) or not again[0].table.equals(
        first[0].table
    )
    same(load(logs), again)
    assert len(reads) == 3
    entry(kept)


def test_a_time_that_was_set_back_does_not_hide_a_change(logs: Path, reads: list[int]) -> None:
    path = logs / "b" / "monitor.csv"
    before = path.stat()
    load(logs)
    # The time that no writer can set is kept in ticks of some milliseconds.
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_text('#{"t_start": 1}\nr,l,t\n9,2,0.5\n3,4,0.7\n')
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert load(logs)[0].select(run="b", metric="reward").scalars["value"].tolist() == [9, 3]
    assert len(reads) == 2


def test_a_configuration_beside_a_single_file_counts(logs: Path, reads: list[int]) -> None:
    load(logs / "c.jsonl")
    put(logs / "config.json", '{"algo": "sac"}')
    assert load(logs / "c.jsonl")[0].table["algo"].tolist() == ["sac"]


def test_a_deleted_run_of_mlflow_is_gone(tmp_path: Path) -> None:
    for name in "ab":
        run = tmp_path / "1" / name
        put(run / "meta.yaml", f"run_id: {name}\nlifecycle_stage: active\n")
        put(run / "metrics" / "x", "1795482899963 1.0 0\n")
    assert load(tmp_path / "1")[0].names == ["a", "b"]
    put(tmp_path / "1" / "a" / "meta.yaml", "run_id: a\nlifecycle_stage: deleted\n")
    assert load(tmp_path / "1")[0].names == ["b"]


def test_files_that_are_no_logs_may_change(logs: Path, reads: list[int]) -> None:
    put(logs / "a" / "model.zip", "weights")
    first = load(logs)
    put(logs / "a" / "model.zip", "other weights")
    put(logs / "notes.md", "promising")
    same(load(logs), first)
    assert len(reads) == 1


def test_logs_are_not_even_opened(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(logs)
    (logs / "a" / "config.json").touch()
    opened: list[str] = []
    detect = formats.detect

    def noted(path: Path) -> Format | None:
        opened.append(path.relative_to(logs).as_posix())
        return detect(path)

    monkeypatch.setattr("tarslab.runs.formats.detect", noted)
    same(load(logs), first)
    # What is no log is looked at every time, and the configuration has changed.
    assert not [name for name in opened if name.endswith((".csv", ".jsonl", "tfevents.1"))]
    monkeypatch.undo()
    same(load(logs, cache=False), first)


@pytest.mark.parametrize("ask", [Path, lambda logs: [logs / "a", logs / "c.jsonl"]])
def test_where_nothing_has_changed_no_folder_is_even_listed(
    logs: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Path], Any]
) -> None:
    first = load(ask(logs))

    def listed(folder: Any) -> list[str]:
        raise AssertionError(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", listed)
        same(load(ask(logs)), first)
    same(load(ask(logs), cache=False), first)


@pytest.mark.parametrize(
    "path", ["late.jsonl", "a/late.jsonl", "link.jsonl", "more/runs/late.jsonl"]
)
def test_what_becomes_a_log_in_its_place_is_found(
    logs: Path, tmp_path: Path, reads: list[int], path: str
) -> None:
    late = put(logs / path, "")
    if late.name == "link.jsonl":
        # For now it leads nowhere.
        late.unlink()
        late.symlink_to(tmp_path / "elsewhere.jsonl")
    load(logs)
    put(late, '{"step": 1, "late": 2}\n')
    assert "late" in load(logs)[0].metrics
    assert len(reads) == 2


def test_a_glob_is_looked_up_again(logs: Path, reads: list[int]) -> None:
    assert load(f"{logs}/*/progress.csv")[0].names == ["a"]
    put(logs / "d" / "progress.csv", "step,x\n1,2\n")
    assert load(f"{logs}/*/progress.csv")[0].names == ["a", "d"]


def test_a_configuration_beside_a_single_file_may_stand_in_the_zoos_folder(
    tmp_path: Path, reads: list[int]
) -> None:
    log = put(tmp_path / "CartPole-v1_1" / "progress.csv", "step,x\n1,2\n")
    load(log)
    (log.parent / "CartPole-v1").mkdir()
    load(log)
    put(log.parent / "CartPole-v1" / "args.yml", "algo: sac")
    assert load(log)[0].table["algo"].tolist() == ["sac"]
    put(log.parent / "CartPole-v1" / "args.yml", "algo: ppo")
    assert load(log)[0].table["algo"].tolist() == ["ppo"]


def test_what_could_not_be_looked_at_is_looked_at_again(
    logs: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir = os.listdir

    def refuse(folder: Any) -> list[str]:
        if Path(folder).name == "b":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listdir(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuse)
        first = load(logs)
        assert [message for message in first[1] if "Permission denied" in message]
        same(load(logs), first)
    assert "b" in load(logs)[0].names


def test_without_the_cache_nothing_is_kept_and_nothing_believed(
    logs: Path, reads: list[int], kept: Path
) -> None:
    load(logs, cache=False)
    assert not kept.exists()
    load(logs)
    before = entry(kept).stat()
    load(logs, cache=False)
    assert len(reads) == 3
    assert entry(kept).stat() == before


def test_small_logs_are_not_kept(logs: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SMALLEST_LOGS", 10_000)
    load(logs)
    assert not kept.exists()


def test_logs_that_may_still_be_written_to_are_not_kept(
    logs: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_NS", 3600 * 10**9)
    load(logs)
    assert not kept.exists()
    monkeypatch.setattr(cache, "SETTLED_NS", 0)
    # As the clock of another machine would have it.
    ahead = time.time_ns() + 10**10
    os.utime(logs / "c.jsonl", ns=(ahead, ahead))
    load(logs)
    assert not kept.exists()


def test_other_readers_read_for_themselves(
    logs: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(logs)
    monkeypatch.setattr(cache, "_readers", lambda: "0.2.0")
    load(logs)
    assert len(reads) == 2


def test_errors_are_not_kept(logs: Path, reads: list[int], kept: Path) -> None:
    for _ in range(2):
        with pytest.raises(BadLog, match="steps go back"):
            tl.load(logs, restarts="error")
    assert len(reads) == 2
    assert not kept.exists()


def overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def shrink(path: Path, keep: float) -> None:
    with open(path, "r+b") as file:
        file.truncate(int(path.stat().st_size * keep))


def as_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def forge(path: Path, table: pa.Table) -> None:
    """Metadata that are sound and a table that is not theirs."""
    metadata = pq.read_metadata(path).metadata
    pq.write_table(table.replace_schema_metadata(metadata), path)
    cache._seal(str(path))


def with_other_numbers(path: Path) -> None:
    table = pq.read_table(path)
    value = pa.array(table["value"].to_numpy() + 1, table["value"].type)
    forge(path, table.set_column(2, table.schema.field("value"), value))


def zero_columns(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(b"\0" * 200)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: overwrite(path, b""),
    "cut in half": lambda path: shrink(path, 0.5),
    "without its end": lambda path: shrink(path, 0.999),
    "not Parquet": lambda path: overwrite(path, b"PAR1" + b"\0" * 5000 + b"PAR1"),
    "another table": lambda path: pq.write_table(pa.table({"x": [1]}), path),
    "other numbers": with_other_numbers,
    "zeros": zero_columns,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_copy_is_not_believed_but_made_anew(
    logs: Path, reads: list[int], kept: Path, damage: Callable[[Path], object]
) -> None:
    first = load(logs)
    damage(entry(kept))
    same(load(logs), first)
    assert len(reads) == 2
    same(load(logs), first)
    assert len(reads) == 2


def test_the_copy_of_other_files_is_not_believed(logs: Path, kept: Path) -> None:
    load(logs)
    mine = entry(kept).rename(kept / "mine")
    shutil.copytree(logs, logs.parent / "other")
    (logs.parent / "other" / "c.jsonl").unlink()
    load(logs.parent / "other")
    (other,) = (path for path in kept.iterdir() if path != mine)
    mine.replace(other)
    assert load(logs.parent / "other")[0].names == ["a", "b"]


def test_a_folder_in_the_place_of_a_copy_costs_only_time(logs: Path, kept: Path) -> None:
    first = load(logs)
    as_folder(entry(kept))
    for _ in range(2):
        same(load(logs), first)
    assert [path.name for path in entry(kept).iterdir()] == ["inside"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree that is the same for every bit that is turned over."""
    folder = tmp_path_factory.mktemp("pristine") / "logs"
    put(folder / "run" / "progress.csv", "step,x\n" + "".join(f"{n},{n / 3}\n" for n in range(99)))
    return folder


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_bit_can_be_turned_over_unseen(pristine: Path, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(pristine.parent / "cache"))
        first = load(pristine)
        place = entry(pristine.parent / "cache" / "tarslab" / cache.FOLDER)
        sound = place.read_bytes()
        # As often in the columns and in the metadata, most of the file, as in the bytes at its end.
        where = data.draw(
            st.integers(0, len(sound) - 1)
            | st.integers(0, 1500)
            | st.integers(len(sound) - 400, len(sound) - 1)
        )
        damaged = bytearray(sound)
        damaged[where] ^= 1 << data.draw(st.integers(0, 7))
        place.write_bytes(damaged)
        same(load(pristine), first)
        place.write_bytes(sound)


FLOATS = st.floats(allow_nan=False) | st.floats(width=32) | st.just(float("nan"))


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    large=st.booleans(),
    data=st.data(),
)
def test_every_number_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], large: bool, data: st.DataObject
) -> None:
    steps = st.integers(-(2**63), 2**63 - 1) if large else st.integers(0, 2**31 - 1)
    columns = [
        (
            np.sort(data.draw(st_numpy.arrays(np.int64, n, elements=steps))),
            data.draw(st_numpy.arrays(np.float64, n, elements=FLOATS)),
            data.draw(st_numpy.arrays(np.float64, n, elements=FLOATS)),
        )
        for n in lengths
    ]
    runs = [Run(f"run_{n}", {"x": Series(*one)}) for n, one in enumerate(columns)]
    path = tmp_path_factory.mktemp("numbers") / "entry.parquet"
    contents = Contents.of(runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "GROUP_ROWS", 7)
        patch.setattr(cache, "PART_ROWS", 3)
        about = cache._about(contents) | {"state": {}, "problems": []}
        cache._write(path, about, contents.tables().scalars)
        with open(path, "rb", buffering=0) as file:
            footer = cache._sound_footer(file)
        again = cache._read(path, footer, json.loads(footer.metadata[cache.ABOUT])).contents
    for one, other in zip(contents.columns, again.columns, strict=True):
        assert one.tobytes() == other.tobytes()
        assert one.dtype == other.dtype
    assert_frame_equal(again.tables().table, contents.tables().table)


def test_times_that_no_log_has_take_half_the_room(tmp_path: Path) -> None:
    n = 100_000
    sizes = []
    for time_of_all in (np.nan, 1.7e9 + 0.1):
        series = Series.of(np.arange(n), np.full(n, time_of_all), np.zeros(n))
        contents = Contents.of([Run("a", {"x": series})])
        about = cache._about(contents) | {"state": {}, "problems": []}
        cache._write(tmp_path / "entry", about, contents.tables().scalars)
        sizes.append((tmp_path / "entry").stat().st_size)
    assert sizes[1] - sizes[0] == pytest.approx(4 * n, abs=100)


def test_numbers_of_event_files_take_half_the_room(tmp_path: Path) -> None:
    n = 100_000
    value = np.random.default_rng(0).normal(size=n)
    sizes = []
    for values in (value, value.astype(np.float32).astype(np.float64)):
        contents = Contents.of([Run("a", {"x": Series.of(np.arange(n), np.zeros(n), values)})])
        about = cache._about(contents) | {"state": {}, "problems": []}
        cache._write(tmp_path / "entry", about, contents.tables().scalars)
        sizes.append((tmp_path / "entry").stat().st_size)
    assert sizes[0] - sizes[1] == pytest.approx(4 * n, abs=100)


def test_a_copy_is_parquet_for_any_reader(logs: Path, kept: Path) -> None:
    runs, _ = load(logs)
    table = pq.read_table(entry(kept))
    assert table.column_names == ["step", "wall_time", "value"]
    for name in table.column_names:
        np.testing.assert_array_equal(table[name].to_numpy(), runs.scalars[name].to_numpy())


def test_what_comes_from_a_copy_can_be_changed(logs: Path) -> None:
    load(logs)
    runs, _ = load(logs)
    for name in ("step", "wall_time", "value"):
        runs.scalars.loc[0, name] = 42
        assert runs.scalars[name].iloc[0] == 42


def test_a_table_may_be_changed_while_its_copy_is_written(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = threading.Event()
    write = cache._write

    def write_late(*arguments: Any) -> None:
        assert changed.wait(timeout=30)
        write(*arguments)

    monkeypatch.setattr(cache, "_write", write_late)
    with pytest.warns(LogWarning):
        runs = tl.load(logs)
    expected = runs.scalars["value"].tolist()
    runs.scalars.loc[:, "value"] = 42.0
    runs.scalars.loc[3, "step"] = 42
    changed.set()
    np.testing.assert_array_equal(load(logs)[0].scalars["value"].tolist(), expected)


def test_a_folder_that_cannot_be_made_costs_only_time(logs: Path, tmp_path: Path) -> None:
    put(tmp_path / "cache", "a file")
    same(load(logs), load(logs, cache=False))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), pa.ArrowInvalid("full")])
def test_a_full_disk_leaves_nothing_behind(
    logs: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    same(load(logs), load(logs, cache=False))
    assert [*kept.iterdir()] == []


def test_copies_among_the_logs_are_no_logs(logs: Path, kept: Path, tmp_path: Path) -> None:
    load(logs)
    entry(kept)
    assert load(tmp_path)[0].names == ["logs/a", "logs/b", "logs/c"]


def test_only_its_owner_may_read_a_copy(logs: Path, kept: Path) -> None:
    load(logs)
    assert stat.S_IMODE(entry(kept).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


def test_what_was_not_used_for_the_longest_makes_room(
    logs: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Path] = {}
    for age, name in enumerate(["c.jsonl", "a", "b"]):
        load(logs / name)
        (new,) = {*kept.iterdir()} - {*names.values()}
        names[name] = new
        os.utime(new, (1e9 + age, 1e9 + age))
    # To use it makes it young.
    load(logs / "c.jsonl")
    size = sum(path.stat().st_size for path in kept.iterdir())
    monkeypatch.setattr(cache, "LARGEST_CACHE", size - 1)
    put(logs / "b" / "config.json", "{}")
    load(logs / "b")
    assert {name for name, path in names.items() if path.exists()} == {"b", "c.jsonl"}


def test_what_is_too_large_is_not_kept(
    logs: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LARGEST_CACHE", 50)
    load(logs)
    assert not kept.exists()


SCRIPT = """
import sys, warnings
import tarslab as tl
from tarslab.runs import cache
cache.SMALLEST_LOGS = cache.SETTLED_NS = 0
warnings.simplefilter("ignore")
for _ in range(int(sys.argv[2])):
    runs = tl.load(sys.argv[1])
    print(len(runs), runs.scalars["value"].sum(skipna=True), runs.scalars["step"].sum())
    if len(sys.argv) > 3:
        # So that the other process meets none, an old or a new one.
        for path in cache.user_cache_path("tarslab").glob(".loads/*.parquet"):
            path.unlink(missing_ok=True)
"""


def test_a_process_that_ends_at_once_has_kept_what_it_read(logs: Path, kept: Path) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT, logs, "1"], check=True, capture_output=True)
    entry(kept)


def test_processes_do_not_disturb_each_other(logs: Path, kept: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, logs, "40", *more], stdout=subprocess.PIPE, text=True
        )
        for more in ([], ["remove"])
    ]
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len({*"".join(printed).splitlines()}) == 1
    assert all(path.suffix == ".parquet" for path in kept.iterdir())


def test_threads_may_load_at_once(logs: Path) -> None:
    expected, _ = load(logs, cache=False)
    found: list[Runs] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [
            threading.Thread(target=lambda: found.append(tl.load(logs)), daemon=True)
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 8
    for runs in found:
        assert_frame_equal(runs.scalars, expected.scalars)


def test_logs_behind_a_url_are_kept_too(reads: list[int]) -> None:
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    files.pipe_file("/kept/run/progress.csv", b"step,x\n1,2\n")
    # Of what was fetched just now the next load leaves a copy.
    load("memory://kept")
    first = load("memory://kept")
    assert first[0].table["path"].tolist() == ["memory://kept/run"]
    same(load("memory://kept"), first)
    assert len(reads) == 2
    files.pipe_file("/kept/run/progress.csv", b"step,x\n1,3\n")
    assert load("memory://kept")[0].scalars["value"].tolist() == [3]
