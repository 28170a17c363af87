"""From a path or URL to the studies that are kept there, without ever writing to it.

A SQLite database is read from a copy, on which a schema of an older Optuna is brought up to date.
A journal is read from its lines. Other databases are only asked.
"""

import json
import re
import shutil
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import optuna
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial

from tarslab import bundled
from tarslab.errors import BadArgument, BadStudy, LogWarning, StudyNotFound

if TYPE_CHECKING:
    from tarslab.studies.databases import Database

SQLITE_MAGIC = b"SQLite format 3\x00"
JOURNAL_HEAD = re.compile(rb'\s*\{.*"op_code"')
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
USER_AND_SECRET = re.compile(r"^(\w[\w+.-]*://[^:/@]*):(.*)@")
SECRET_OF_QUERY = re.compile(r"([?&](?:password|passwd|pwd)=)([^&#]*)", re.IGNORECASE)

# How often a database is copied anew that was written to meanwhile.
COPIES = 20
# Seconds to wait for a writer that holds the database.
PATIENCE = 5.0


class Recorded(NamedTuple):
    """All that a storage holds of one study."""

    name: str
    directions: tuple[str, ...]
    """``minimize`` or ``maximize``, one an objective."""
    metric_names: tuple[str, ...] | None
    """What the user called the objectives."""
    attributes: dict[str, Any]
    """The study's user attributes."""
    trials: list[FrozenTrial]


@dataclass
class Storage:
    """Some place where studies are kept, opened for reading."""

    shown: str
    """Its path or URL for people, without a password."""
    names: list[str]
    read: Callable[[str], Recorded]


@contextmanager
def opened(source: Any) -> Iterator[Storage]:
    """The storage at a path or URL, or an Optuna storage itself.

    Raises StudyNotFound where nothing is there, BadStudy where it cannot be read, BadArgument where
    ``source`` is nothing of the kind.
    """
    if isinstance(source, BaseStorage):
        yield _of_optuna(source, type(source).__name__)
        return
    if not isinstance(source, str | Path):
        raise BadArgument(
            "a study is loaded from a path, a URL, an Optuna storage or an optuna.Study, not from "
            f"{type(source).__name__}"
        )
    text = str(source)
    if text.startswith(bundled.PREFIX):
        text = str(bundled.data(text.removeprefix(bundled.PREFIX)))
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    if URL.match(text):
        with _behind_url(text) as storage:
            yield storage
    else:
        with _in_file(Path(text).expanduser()) as storage:
            yield storage


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    shown = SECRET_OF_QUERY.sub(r"\1***", url)
    # Up to the last @, as a password may hold what ends the place of a URL.
    return USER_AND_SECRET.sub(r"\1:***@", shown)


def of_study(study: optuna.Study) -> Recorded:
    """All of a study that is in memory or behind Optuna's own storage."""
    return Recorded(
        study.study_name,
        tuple(direction.name.lower() for direction in study.directions),
        tuple(study.metric_names) if study.metric_names else None,
        dict(study.user_attrs),
        study.get_trials(deepcopy=False),
    )


@contextmanager
def _behind_url(url: str) -> Iterator[Storage]:
    scheme, shown = urlsplit(url).scheme, without_password(url)
    if scheme in ("redis", "rediss", "unix"):
        with journal_on_redis(url) as storage:
            yield _of_optuna(storage, shown)
    elif scheme == "grpc":
        with grpc_proxy(url) as proxy:
            yield _of_optuna(proxy, shown)
    else:
        # Only here: it brings SQLAlchemy.
        from tarslab.studies import databases

        with explained(shown, url), databases.connected(url, shown) as database:
            yield _of_database(database, shown)


@contextmanager
def _in_file(path: Path) -> Iterator[Storage]:
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if p.is_file())
        raise StudyNotFound(
            f"{path} is a folder: name the database or the journal in it "
            f"({', '.join(names[:8]) or 'it holds no file'})"
        )
    if not path.is_file():
        raise StudyNotFound(f"{path}: no such file")
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise BadStudy(f"{path}: {error.strerror}") from None
    if not head:
        raise BadStudy(f"{path}: the file is empty; no study was written to it yet")
    if head.startswith(SQLITE_MAGIC):
        from tarslab.studies import databases

        with (
            _copied(path) as copy,
            explained(str(path)),
            databases.upgraded(copy, path) as database,
        ):
            yield _of_database(database, str(path))
    elif JOURNAL_HEAD.match(head.partition(b"\n")[0]):
        with explained(str(path)):
            storage = JournalStorage(_Lines(path))
        yield _of_optuna(storage, str(path))
    else:
        raise BadStudy(
            f"{path}: neither a SQLite database nor a journal of Optuna; trial tables as CSV are "
            "not read, since they do not say what a parameter may be"
        )


def _of_optuna(storage: BaseStorage, shown: str) -> Storage:
    def read(name: str) -> Recorded:
        with explained(shown):
            return of_study(optuna.load_study(study_name=name, storage=storage))

    with explained(shown):
        names = [study.study_name for study in optuna.get_all_study_summaries(storage, False)]
    return Storage(shown, sorted(names), read)


def _of_database(database: "Database", shown: str) -> Storage:
    def read(name: str) -> Recorded:
        with explained(shown):
            return Recorded(*database.read(name))

    with explained(shown):
        return Storage(shown, database.names(), read)


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """A sound copy of a SQLite database, with what a writer has not yet moved into it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        try:
            _copy(path, copy)
            with closing(sqlite3.connect(copy)) as database:
                (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        except (sqlite3.Error, OSError) as error:
            if "locked" in str(error) or "busy" in str(error):
                raise BadStudy(
                    f"{path}: the database is locked by a process that writes to it; try again "
                    "when it is done, or use a journal for searches with many workers"
                ) from None
            found = str(error)
        if found != "ok":
            raise BadStudy(
                f"{path}: the database is damaged or cut off ({found}); restore it, or save what "
                "is left with sqlite3's .recover"
            )
        yield copy


def _copy(path: Path, copy: Path) -> None:
    beside = [path.with_name(f"{path.name}{end}") for end in ("-wal", "-journal")]
    with open(path, "rb") as file:
        file.seek(18)
        has_write_ahead_log = file.read(1) == b"\x02"
    if has_write_ahead_log:
        # To open it in its place would write there.
        _copy_files([path, *beside], copy)
        return
    try:
        _back_up(path, copy)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise
        # A writer was killed: what it has left is rolled back, on the copy.
        copy.unlink(missing_ok=True)
        _copy_files([path, *beside], copy)


def _copy_files(files: list[Path], copy: Path) -> None:
    """Copy what is there of some files that are written to, as of one moment."""
    for _ in range(COPIES):
        before = [_state(file) for file in files]
        for file in files:
            target = copy.with_name(file.name.replace(files[0].name, copy.name, 1))
            target.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                shutil.copyfile(file, target)
        if [_state(file) for file in files] == before:
            return
        time.sleep(0.1)
    raise sqlite3.OperationalError("database is busy")


def _state(file: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        stat = file.stat()
        return stat.st_size, stat.st_mtime_ns
    return None


def _back_up(path: Path, copy: Path) -> None:
    """Copy a database as SQLite does, which waits for a writer's turn to end."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as database,
        closing(sqlite3.connect(copy)) as written,
    ):
        # A backup waits for no one, a read does.
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        database.backup(written)


class _Lines(BaseJournalBackend):
    """The lines of a journal, up to the first that is damaged; nothing can be added."""

    def __init__(self, path: Path) -> None:
        self._logs: list[dict[str, Any]] = []
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            try:
                log = json.loads(line)
                whole = line.endswith(b"\n") and isinstance(log, dict) and "op_code" in log
            except ValueError:
                whole = False
            if not whole:
                after = len(lines) - number
                damage = (
                    f"damaged, and {after} lines after it were left out" if after else "cut off"
                )
                warnings.warn(
                    f"{path}: line {number} is {damage}; all before it was read",
                    LogWarning,
                    stacklevel=2,
                )
                break
            self._logs.append(log)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise BadStudy("a study that was loaded cannot be written to")


@contextmanager
def journal_on_redis(
    url: str, patience: float = 0.0, *, answered: bool = False
) -> Iterator[JournalStorage]:
    """The storage of a journal on Redis; BadStudy where it cannot be opened.

    patience: seconds that the server is waited for when it goes away later, or, where it is known
        to have ``answered`` before, from the beginning.
    """
    from tarslab.studies.redis_journal import RedisJournal

    with explained(without_password(url), url):
        journal = RedisJournal(url, patience=patience, timeout=PATIENCE, answered=answered)
    with closing(journal):
        with explained(without_password(url), url):
            storage = JournalStorage(journal)
        yield storage


def _secrets(url: str) -> list[str]:
    """The passwords in a URL, as they stand there and as they are meant."""
    match = USER_AND_SECRET.match(url)
    found = [match[2]] if match else []
    found += [one[2] for one in SECRET_OF_QUERY.finditer(url)]
    return [form for secret in found for form in {secret, unquote(secret)} if form]


@contextmanager
def grpc_proxy(url: str) -> Iterator[GrpcStorageProxy]:
    """The storage behind ``grpc://host:port``; BadStudy where no server is there."""
    with explained(without_password(url)), _without_experimental_warnings():
        place = urlsplit(url)
        proxy = GrpcStorageProxy(host=place.hostname or "localhost", port=place.port or 13000)
        proxy.wait_server_ready(timeout=PATIENCE)
    with closing(proxy):
        yield proxy


@contextmanager
def _without_experimental_warnings() -> Iterator[None]:
    """Optuna calls experimental what has been there for years."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@contextmanager
def explained(shown: str, url: str = "") -> Iterator[None]:
    """What goes wrong inside drivers and Optuna, as one error that names the storage."""
    try:
        yield
    except (BadStudy, StudyNotFound, BadArgument):
        raise
    # Each driver has exceptions of its own, and the text of some holds the password.
    except Exception as error:
        reason = " ".join(str(error).split("\n(Background")[0].split())
        for secret in _secrets(url):
            reason = reason.replace(secret, "***")
        raise BadStudy(f"{shown} cannot be used: {type(error).__name__}: {reason}") from None
