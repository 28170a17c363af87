"""A journal on Redis: as Optuna has it, and through what may happen to a server."""

import json
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalRedisBackend
from redis.exceptions import ConnectionError

import tarslab as tl
from tarslab.errors import BadStudy
from tarslab.studies import redis_journal, search
from tarslab.studies.redis_journal import JournalLost, RedisJournal
from tests.stack.served import Valkey

PATIENT = 60.0


@pytest.fixture
def server() -> Iterator[Valkey]:
    """A server of the test's own, which it may kill."""
    valkey = Valkey()
    valkey.start()
    yield valkey
    valkey.close()


@pytest.fixture
def journal(server: Valkey) -> Iterator[RedisJournal]:
    made = RedisJournal(server.url, patience=PATIENT, timeout=5)
    yield made
    made.close()


def entry(number: int) -> dict[str, Any]:
    return {"op_code": 0, "worker_id": "w", "number": number}


def later(seconds: float, work: Any) -> threading.Timer:
    timer = threading.Timer(seconds, work)
    timer.start()
    return timer


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_optuna_reads_what_was_written_and_the_other_way(server: Valkey, search: Any) -> None:
    journal, backend = (
        RedisJournal(server.url, patience=0, timeout=5),
        JournalRedisBackend(server.url),
    )
    ours, theirs = JournalStorage(journal), JournalStorage(backend)
    mine, yours = search(ours, "mine"), search(theirs, "yours")
    for study, other in ((mine, theirs), (yours, ours)):
        read = optuna.load_study(study_name=study.study_name, storage=other)
        assert read.trials == study.trials
    backend._redis.close()
    journal.close()


def test_long_journals_come_in_batches(
    journal: RedisJournal, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_journal, "BATCH", 4)
    journal.append_logs([entry(number) for number in range(11)])
    assert [log["number"] for log in journal.read_logs(0)] == list(range(11))
    assert [log["number"] for log in journal.read_logs(9)] == [9, 10]
    assert list(journal.read_logs(11)) == []
    assert journal.last == 10


def test_a_search_waits_for_a_server_that_went_away(server: Valkey, tmp_path: Path) -> None:
    def disturbed(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -5, 5)
        if trial.number == 2:
            server.kill()
            back.append(later(0.5, server.start))
        return x**2

    def undisturbed(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", -5, 5) ** 2

    back: list[threading.Timer] = []
    found = search(disturbed, storage=server.url, name="s", n_trials=5, seed=0)
    back[0].join()
    expected = search(undisturbed, storage=tmp_path / "s.log", name="s", n_trials=5, seed=0)
    assert list(found.trials["state"]) == ["COMPLETE"] * 5
    assert list(found.trials["value"]) == list(expected.trials["value"])


def test_workers_wait_for_a_server_that_went_away(server: Valkey) -> None:
    told: list[int] = []

    def at_the_second(progress: Any) -> None:
        told.append(progress.finished)
        if len(told) == 2:
            server.kill()
            back.append(later(0.5, server.start))

    back: list[threading.Timer] = []
    found = search(
        "tests.studies.test_redis_journal:square",
        storage=server.url,
        name="s",
        n_trials=8,
        workers=2,
        on_progress=at_the_second,
    )
    back[0].join()
    assert list(found.trials["state"]) == ["COMPLETE"] * 8


def square(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", -5, 5) ** 2


def test_one_that_stays_away_ends_the_wait(server: Valkey) -> None:
    impatient = RedisJournal(server.url, patience=0.1, timeout=5)
    impatient.append_logs([entry(0)])
    server.kill()
    with pytest.raises(ConnectionError):
        impatient.append_logs([entry(1)])
    server.start()
    impatient.append_logs([entry(1)])
    assert len(list(impatient.read_logs(0))) == 2
    impatient.close()


def test_a_server_that_was_never_there_is_not_waited_for(tmp_path: Path) -> None:
    # With a minute of patience, this test would not end in time.
    with pytest.raises(BadStudy, match="nowhere"):
        search(square, storage=f"unix://{tmp_path}/nowhere", name="s", n_trials=1)


def test_an_interrupt_ends_the_wait_and_all_that_would_follow(
    journal: RedisJournal, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    journal.append_logs([entry(0)])
    server.kill()
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(journal.read_logs(0))
    with pytest.raises(ConnectionError):
        list(journal.read_logs(0))
    server.start()


class Swallowing:
    """Stands before a server, and cuts the first connection where an answer would come back."""

    def __init__(self, behind: str) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._behind = behind
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}"
        self.swallow = threading.Event()
        self.swallowed = 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            with client, socket.socket(socket.AF_UNIX) as server:
                server.connect(self._behind)
                while request := client.recv(65536):
                    server.sendall(request)
                    answer = server.recv(65536)
                    if b"EVAL" in request and self.swallow.is_set():
                        self.swallow.clear()
                        self.swallowed += 1
                        break
                    client.sendall(answer)
            if not self.swallow.is_set() and not request:
                return

    def close(self) -> None:
        self._thread.join()
        self._listening.close()


def test_an_entry_whose_answer_was_lost_is_written_once(server: Valkey) -> None:
    proxy = Swallowing(server.socket)
    journal = RedisJournal(proxy.url, patience=PATIENT, timeout=5)
    journal.append_logs([entry(0)])
    proxy.swallow.set()
    journal.append_logs([entry(1)])
    # The same once more, and meant so.
    journal.append_logs([entry(1)])
    assert [log["number"] for log in journal.read_logs(0)] == [0, 1, 1]
    assert proxy.swallowed == 1
    journal.close()
    proxy.close()


def test_a_journal_that_was_lost_is_said(journal: RedisJournal, server: Valkey) -> None:
    journal.append_logs([entry(0), entry(1)])
    server.client.flushall()
    with pytest.raises(JournalLost, match="came back without the journal"):
        list(journal.read_logs(2))
    # What belongs to the old one must not get into a new one.
    with pytest.raises(JournalLost, match="came back without the journal"):
        journal.append_logs([entry(2)])
    assert list(journal.read_logs(0)) == []


def test_an_entry_may_come_after_its_number(
    journal: RedisJournal, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As JournalRedisBackend(use_cluster=True) writes it.
    journal.append_logs([entry(0)])
    server.client.set(":log_number", 1)
    timer = later(0.2, lambda: server.client.set(":log:1", json.dumps(entry(1))))
    assert [log["number"] for log in journal.read_logs(0)] == [0, 1]
    timer.join()
    server.client.set(":log_number", 2)
    monkeypatch.setattr(redis_journal, "LATE", 0.1)
    with pytest.raises(JournalLost, match="entry 2"):
        list(journal.read_logs(0))


class Pickled:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._folder),)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_no_snapshot_is_unpickled(server: Valkey, tmp_path: Path) -> None:
    server.client.set(":snapshot", pickle.dumps(Pickled(tmp_path / "made")))
    search(square, storage=server.url, name="s", n_trials=1)
    assert len(tl.load_study(server.url, "s")) == 1
    assert not (tmp_path / "made").exists()
    theirs = JournalRedisBackend(server.url)
    JournalStorage(theirs)
    assert (tmp_path / "made").exists()
    theirs._redis.close()
