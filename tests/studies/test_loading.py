"""Studies from every kind of storage, and what is said of those that cannot be read."""

import hashlib
import logging
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

import tarslab as tl
from tarslab.errors import BadArgument, BadStudy, LogWarning, StudyNotFound

RECORDED = Path(__file__).parent / "recorded"


def assert_same(study: tl.Study, expected: optuna.Study) -> None:
    """The trials are those that Optuna itself gives."""
    by_optuna = expected.trials_dataframe(attrs=("number", "state", "params", "user_attrs"))
    by_optuna["value"] = [t.value for t in expected.trials]
    for column in by_optuna:
        ours = study.trials[column]
        theirs = by_optuna[column].astype(ours.dtype)
        pd.testing.assert_series_equal(ours, theirs, check_names=False)


def state_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_sqlite_file_by_path_and_by_url(tmp_path: Path, search) -> None:
    path = tmp_path / "study.db"
    expected = search(f"sqlite:///{path}")
    before = state_of(tmp_path)
    for source in (path, str(path), f"sqlite:///{path}"):
        assert_same(tl.load_study(source), expected)
    assert state_of(tmp_path) == before


def test_a_database_with_a_write_ahead_log_is_left_as_it_is(tmp_path: Path, search) -> None:
    path = tmp_path / "study.db"
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode=WAL")
    expected = search(f"sqlite:///{path}")
    assert path.with_name("study.db-wal").stat().st_size > 0
    before = state_of(tmp_path)
    study = tl.load_study(path)
    assert state_of(tmp_path) == before
    assert_same(study, expected)
    writer.close()


def test_a_journal(tmp_path: Path, search) -> None:
    path = tmp_path / "journal.log"
    expected = search(JournalStorage(JournalFileBackend(str(path))))
    before = state_of(tmp_path)
    assert_same(tl.load_study(path), expected)
    assert state_of(tmp_path) == before


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_journal_on_redis(redis_url: str, search) -> None:
    from optuna.storages.journal import JournalRedisBackend

    expected = search(JournalStorage(JournalRedisBackend(redis_url)), "on redis")
    assert_same(tl.load_study(redis_url, "on redis"), expected)


PROXY = """
import sys
from optuna.storages import RDBStorage, run_grpc_proxy_server
run_grpc_proxy_server(RDBStorage(sys.argv[1]), host="localhost", port=int(sys.argv[2]))
"""


def test_a_grpc_proxy(tmp_path: Path, search, free_port: int) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    expected = search(url)
    command = [sys.executable, "-W", "ignore", "-c", PROXY, url, str(free_port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            # It waits until the server is there, for so long as it would for one that is slow.
            assert_same(tl.load_study(f"grpc://localhost:{free_port}"), expected)
        finally:
            server.kill()


def test_studies_in_memory_and_optunas_own_storages(tmp_path: Path, search) -> None:
    expected = search()
    assert_same(tl.load_study(expected), expected)
    assert_same(tl.load_study(expected._storage, "found"), expected)
    url = f"sqlite:///{tmp_path}/study.db"
    in_file = search(url, "other")
    assert_same(tl.load_study(RDBStorage(url), "other"), in_file)
    study = tl.load_study(expected)
    assert tl.load_study(study) is study


def test_several_studies_and_no_name_are_listed(tmp_path: Path, search) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    search(url, "b")
    search(url, "a", objectives=2)
    with pytest.raises(StudyNotFound, match=r"holds 2 studies, give the name of one: .*'a', 'b'"):
        tl.load_study(url)
    with pytest.raises(StudyNotFound, match=r"no study 'c'; there are 'a', 'b'"):
        tl.load_study(url, "c")
    assert tl.load_study(url, "a").directions == ("minimize", "maximize")


def test_a_database_of_an_older_optuna_is_read_and_left_as_it_is() -> None:
    path = RECORDED / "optuna-2.10.db"
    before = state_of(RECORDED)
    handlers = logging.getLogger().handlers[:]
    study = tl.load_study(path, "old")
    assert study.trials["state"].value_counts().to_dict() == {
        "PRUNED": 14,
        "COMPLETE": 5,
        "FAIL": 1,
    }
    # What Optuna 2.10 printed as the best value when it ran the search.
    assert study.front()["value"].tolist() == [0.17938316867758122]
    assert study.parameters["lr"] == optuna.distributions.FloatDistribution(1e-5, 1e-1, log=True)
    assert tl.load_study(path, "old-multi").directions == ("minimize", "maximize")
    assert state_of(RECORDED) == before
    assert logging.getLogger().handlers == handlers


ZONED = """
import sys
import optuna, tarslab as tl
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
optuna.logging.set_verbosity(optuna.logging.ERROR)
folder = sys.argv[1]
journal = JournalStorage(JournalFileBackend(f"{folder}/study.log"))
for storage in (f"sqlite:///{folder}/study.db", journal, None):
    study = optuna.create_study(storage=storage)
    study.optimize(lambda trial: 1.0, 1)
for source in (f"{folder}/study.db", f"{folder}/study.log", study):
    print(tl.load_study(source).trials["datetime_start"].item().isoformat())
"""


def test_times_are_utc_wherever_they_were_kept_and_whoever_reads(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ZONED, str(tmp_path)],
        env={**os.environ, "TZ": "Asia/Tokyo"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    times = [datetime.fromisoformat(line) for line in printed.split()]
    assert len(times) == 3
    assert all(before <= time <= datetime.now(UTC).replace(tzinfo=None) for time in times)


def test_a_database_of_a_newer_optuna_says_so(tmp_path: Path, search) -> None:
    path = tmp_path / "study.db"
    search(f"sqlite:///{path}")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    with pytest.raises(BadStudy, match=r"study\.db: .*schema v9\.0\.0\.a of a newer Optuna"):
        tl.load_study(path)


def test_a_locked_database_says_so(tmp_path: Path, search, monkeypatch) -> None:
    path = tmp_path / "study.db"
    search(f"sqlite:///{path}")
    monkeypatch.setattr("tarslab.studies.storages.PATIENCE", 0.1)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BadStudy, match=r"study\.db: the database is locked by a process"):
        tl.load_study(path)
    writer.close()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_database_says_so(tmp_path: Path, search, share: float) -> None:
    path = tmp_path / "study.db"
    search(f"sqlite:///{path}")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(BadStudy, match=r"study\.db: the database is damaged or cut off"):
        tl.load_study(path)


def test_a_journal_that_is_cut_off_is_read_up_to_there(tmp_path: Path, search) -> None:
    path = tmp_path / "journal.log"
    search(JournalStorage(JournalFileBackend(str(path))))
    whole = tl.load_study(path)
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.warns(LogWarning, match=r"journal\.log: line \d+ is cut off"):
        cut = tl.load_study(path)
    assert len(cut) == len(whole)
    assert cut.trials["state"].iloc[-1] == "RUNNING"
    lines = data.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:40], b"{\x00\n", *lines[41:]]))
    with pytest.warns(LogWarning, match=rf"line 41 is damaged, and {len(lines) - 41} lines"):
        assert len(tl.load_study(path)) < len(whole)


def test_what_is_no_storage_of_studies_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyNotFound, match=r"none\.db: no such file"):
        tl.load_study(tmp_path / "none.db")
    (tmp_path / "table.csv").write_text("number,value\n0,1\n")
    with pytest.raises(BadStudy, match=r"table\.csv: neither a SQLite database nor a journal"):
        tl.load_study(tmp_path / "table.csv")
    with pytest.raises(StudyNotFound, match=r"is a folder: name the database .*table\.csv"):
        tl.load_study(tmp_path)
    (tmp_path / "empty.db").touch()
    with pytest.raises(BadStudy, match=r"empty\.db: the file is empty"):
        tl.load_study(tmp_path / "empty.db")
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(BadStudy, match=r"other\.db: a database without studies .*birds"):
        tl.load_study(tmp_path / "other.db")
    with pytest.raises(BadArgument, match="not from int"):
        tl.load_study(5)


def test_a_storage_without_any_study_says_so(tmp_path: Path) -> None:
    RDBStorage(f"sqlite:///{tmp_path}/study.db").remove_session()
    with pytest.raises(StudyNotFound, match="holds no study yet"):
        tl.load_study(tmp_path / "study.db")


@pytest.mark.parametrize(
    "url",
    [
        "redis://someone:hunter2@localhost:1/0",
        "postgresql://someone:hunter2@localhost:1/studies",
        "grpc://localhost:1",
        "nothing://someone:hunter2@localhost/studies",
        "redis://localhost:1/0?password=hunter2",
        "redis://:hun/ter2@localhost:1",
        "postgresql://someone:hun%74er2@localhost:1/studies",
        "nothing://localhost/studies?user=someone&PASSWORD=hunter2",
    ],
)
def test_a_server_that_cannot_be_reached_is_named_without_the_password(url, monkeypatch) -> None:
    monkeypatch.setattr("tarslab.studies.storages.PATIENCE", 0.2)
    with pytest.raises(BadStudy) as caught:
        tl.load_study(url)
    assert "localhost" in str(caught.value)
    for secret in ("hunter2", "hun/ter2", "hun%74er2", "ter2"):
        assert secret not in str(caught.value)


def test_a_database_behind_a_url_is_asked_and_not_copied(tmp_path: Path, search) -> None:
    path = tmp_path / "study.db"
    expected = search(f"sqlite:///{path}")
    before = state_of(tmp_path)
    # As any database of a server, which SQLite's own form of URL is not.
    assert_same(tl.load_study(f"sqlite+pysqlite:///{path}"), expected)
    assert state_of(tmp_path) == before
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v3.0.0.a'")
    with pytest.raises(BadStudy, match=r"schema v3\.0\.0\.a.*optuna storage upgrade"):
        tl.load_study(f"sqlite+pysqlite:///{path}")
