"""Reading studies: those recorded in files, and those that searches write to Redis.

All of it blocks, and is called from threads.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial
from redis.exceptions import ConnectionError, TimeoutError

from tarslab import bundled
from tarslab.errors import NoTrials, TarslabError
from tarslab.stack.store import StoreDown
from tarslab.studies.redis_journal import JournalLost, RedisJournal
from tarslab.studies.storages import Recorded, of_study, opened
from tarslab.studies.study import Study

log = logging.getLogger(__name__)

BUNDLED = "automl/studies.log"
ON_REDIS = "redis"

State = tuple[tuple[int, int] | None, ...]


class Kept:
    """A study as it was when it was read."""

    def __init__(self, recorded: Recorded, source: str) -> None:
        self.recorded = recorded
        self.source = source
        """The file, or ``redis``."""
        self.trials = sorted(recorded.trials, key=lambda trial: trial.number)

    @property
    def objectives(self) -> list[tuple[str, str]]:
        """Name and direction of each."""
        study, directions = self._study, self.recorded.directions
        return list(zip(study.objectives, directions, strict=True))

    @cached_property
    def front(self) -> list[FrozenTrial]:
        """The best trials: none where none is complete."""
        try:
            numbers = set(self._study.front()["number"])
        except NoTrials:
            return []
        return [trial for trial in self.trials if trial.number in numbers]

    @cached_property
    def _study(self) -> Study:
        return Study(self.recorded, self.source)


class Studies:
    """All studies that can be read.

    files: databases and journals, beside the bundled one; of several studies of one name, the first
        is the one that is shown.
    timeout: seconds to connect to Redis, and to wait for each of its answers.
    """

    def __init__(self, files: Sequence[Path], redis_url: str, timeout: float) -> None:
        self._files = {Path(bundled.data(BUNDLED)): bundled.PREFIX + BUNDLED}
        self._files |= {path: str(path) for path in files}
        self._read: dict[Path, tuple[State, dict[str, Kept]]] = {}
        self._files_lock = threading.Lock()
        self._on_redis = _OnRedis(redis_url, timeout)

    def recorded(self) -> Mapping[str, Kept]:
        """Those in files, by name; a file is read again when it has changed."""
        with self._files_lock:
            found: dict[str, Kept] = {}
            for path, shown in self._files.items():
                state = _state(path)
                if path not in self._read or self._read[path][0] != state:
                    self._read[path] = state, _in_file(path, shown)
                found = self._read[path][1] | found
            return found

    def own(self) -> Mapping[str, Kept]:
        """Those on Redis, by name; StoreDown where it does not answer."""
        return self._on_redis.all()

    def close(self) -> None:
        """Give the connections back."""
        self._on_redis.close()


class _OnRedis:
    """The journal that searches write, followed from where it was left."""

    def __init__(self, url: str, timeout: float) -> None:
        self._lock = threading.Lock()
        self._url = url
        self._timeout = timeout
        self._journal: RedisJournal | None = None
        self._storage: JournalStorage | None = None
        self._end = -1
        self._kept: dict[str, Kept] = {}

    def all(self) -> Mapping[str, Kept]:
        with self._lock:
            try:
                try:
                    return self._followed()
                except JournalLost:
                    log.warning("the journal on Redis was cut off; it is read anew")
                    self.close()
                    return self._followed()
            except (ConnectionError, TimeoutError):
                raise StoreDown from None

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal = self._storage = None
        self._end, self._kept = -1, {}

    def _followed(self) -> dict[str, Kept]:
        if self._journal is None:
            self._journal = RedisJournal(self._url, patience=0.0, timeout=self._timeout)
        if self._storage is None:
            self._storage = JournalStorage(self._journal)
        names = [study.study_name for study in self._storage.get_all_studies()]
        if self._journal.last != self._end:
            self._end = self._journal.last
            self._kept = {name: self._as_it_is(name, self._storage) for name in names}
        return self._kept

    def _as_it_is(self, name: str, storage: JournalStorage) -> Kept:
        recorded = of_study(optuna.load_study(study_name=name, storage=storage))
        before = self._kept.get(name)
        # Of a trial that has changed, the storage makes a new object.
        unchanged = before is not None and list(map(id, before.recorded.trials)) == list(
            map(id, recorded.trials)
        )
        return before if before is not None and unchanged else Kept(recorded, ON_REDIS)


def _in_file(path: Path, shown: str) -> dict[str, Kept]:
    try:
        with opened(path) as storage:
            return {name: Kept(storage.read(name), shown) for name in storage.names}
    except TarslabError as error:
        # One that cannot be read must not hide the others.
        log.warning("%s", error)
        return {}


def _state(path: Path) -> State:
    """What changes when the file does, or what its writer has beside it."""
    return tuple(
        (found.stat().st_size, found.stat().st_mtime_ns) if found.exists() else None
        for found in (path, path.with_name(f"{path.name}-wal"))
    )
