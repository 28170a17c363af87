"""What undoes a fault, kept on disk from before it is done until it is undone.

An entry says what to call (``resume`` this process, ``start`` that service), never how far a fault
had come: so it can be carried out by any process, at any time, and twice. It is carried out by the
run itself; by its watchdog, where the run hangs or was killed; or by ``undo_all``, which the next
run and ``tarslab chaos undo`` call.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
from platformdirs import user_state_path

from tarslab.chaos.platforms import Call, Platform, PlatformFailed, PlatformGone, connect
from tarslab.errors import BadArgument, TarslabError
from tarslab.stack.places import same_process

FOLDER = "TARSLAB_CHAOS_UNDO"


class Entry(msgspec.Struct, frozen=True):
    """A fault that is to be undone."""

    id: str
    fault: str
    """In words."""
    platform: dict[str, Any]
    """Its reference."""
    undo: tuple[Call, ...]
    """In the order in which they are to be made."""
    units: tuple[tuple[str, str], ...]
    """Service and name of each unit that it touches."""
    began: float
    """Unix seconds."""
    until: float
    """When it has to be undone at the latest, in Unix seconds."""
    owner: tuple[int, float]
    """The process that does the fault, with its start."""

    @property
    def held(self) -> bool:
        """Whether the run that did it is there, and within its time."""
        return same_process(*self.owner) is not None and time.time() < self.until


class Undone(NamedTuple):
    """What became of an entry."""

    entry: Entry
    error: str | None
    """Why it could not be undone; None where it was."""


class Journal:
    """A folder with a file for each fault that is to be undone."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        default = os.environ.get(FOLDER) or user_state_path("tarslab") / "chaos" / "undo"
        self.folder = Path(folder or default).expanduser().absolute()

    def add(self, entry: Entry) -> None:
        """Keep an entry: it is on the disk when this returns."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._path(entry.id)
            draft = path.with_suffix(".draft")
            with open(draft, "wb", opener=_private) as file:
                file.write(msgspec.json.encode(entry))
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
            _sync(self.folder)
        except OSError as error:
            raise BadArgument(
                f"the journal of faults in {self.folder} cannot be written ({error.strerror}): "
                f"without it nothing is broken; name another folder by {FOLDER}"
            ) from None

    def entries(self) -> tuple[Entry, ...]:
        """The faults that are to be undone, the oldest first; without what cannot be read."""
        found = [self._read(path) for path in self.folder.glob("*.json")]
        entries = [entry for entry in found if isinstance(entry, Entry)]
        return tuple(sorted(entries, key=lambda entry: entry.began))

    def unreadable(self) -> tuple[str, ...]:
        """What is wrong with files that are no entries: cut off, or of another version."""
        found = [self._read(path) for path in sorted(self.folder.glob("*.json"))]
        return tuple(error for error in found if isinstance(error, str))

    def holds(self, entry: Entry) -> bool:
        """Whether an entry is still to be undone, once nobody is at it."""
        with self._locked(entry) as there:
            return there

    def undo(self, entry: Entry, platform: Platform | None = None) -> bool:
        """Undo a fault and forget it; False where somebody has before.

        Raises PlatformFailed where it cannot be undone; then it is kept.
        """
        with self._locked(entry) as there:
            if there:
                carry_out(entry, platform)
                self.forget(entry)
            return there

    def forget(self, entry: Entry) -> None:
        """Forget an entry without undoing it: of a platform that will not come back."""
        self._path(entry.id).unlink(missing_ok=True)
        _sync(self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _read(self, path: Path) -> Entry | str | None:
        # Somebody may have undone it meanwhile.
        with suppress(FileNotFoundError):
            try:
                return msgspec.json.decode(path.read_bytes(), type=Entry)
            except msgspec.DecodeError as error:
                return f"{path}: no entry of a journal of faults ({error})"
        return None

    @contextmanager
    def _locked(self, entry: Entry) -> Iterator[bool]:
        """Hold an entry, against others that undo it; whether it is still there."""
        try:
            held = os.open(self._path(entry.id), os.O_RDONLY)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield self._path(entry.id).exists()
        finally:
            os.close(held)


def undo_all(
    journal: Journal | None = None, *, platform: Platform | None = None, also_held: bool = False
) -> tuple[Undone, ...]:
    """Undo what runs have left that are gone, or have overrun their time; the latest first.

    platform: only what was done to it.
    also_held: also the faults of runs that go on.

    A fault that cannot be undone now is kept, and the answer says why. Raises BadArgument, after
    all others are undone, where the journal holds a file that cannot be read.
    """
    journal = journal or Journal()
    where = None if platform is None else platform.reference()
    done = []
    for entry in reversed(journal.entries()):
        if (also_held or not entry.held) and where in (None, entry.platform):
            try:
                journal.undo(entry, platform)
                done.append(Undone(entry, None))
            except PlatformFailed as error:
                done.append(Undone(entry, str(error)))
    if unreadable := journal.unreadable():
        raise BadArgument(
            f"{'; '.join(unreadable)}: what it was to undo may still be broken; see to it, and "
            "remove the file"
        )
    return tuple(done)


def carry_out(entry: Entry, platform: Platform | None = None) -> None:
    """Make the calls of an entry, each of them even if one fails; PlatformFailed if one did."""
    failures = []
    try:
        where = platform or connect(entry.platform)
        for call in entry.undo:
            try:
                call.make(where)
            except PlatformGone:
                raise
            except TarslabError as error:
                failures.append(str(error))
    except PlatformGone:
        return
    except TarslabError as error:
        failures.append(str(error))
    if failures:
        raise PlatformFailed(f"{entry.fault} could not be undone: {'; '.join(failures)}")


def new_id() -> str:
    """A name for an entry, and for what a fault leaves at the platform."""
    return f"tarslab-{secrets.token_hex(4)}"


def this_process() -> tuple[int, float]:
    """What tells this process from all others."""
    return os.getpid(), float(psutil.Process().create_time())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
