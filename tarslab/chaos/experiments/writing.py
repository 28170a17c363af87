"""Writes all through a fault: each that was acknowledged is read back, or it is lost."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tarslab.admin.errors import AdminError
from tarslab.errors import TarslabError

if TYPE_CHECKING:
    import pandas as pd

    from tarslab.admin import AdminClient
    from tarslab.admin.models import ApiKey

# Seconds that a write may wait for its answer.
PATIENCE = 2.0
# Seconds after which a key that could not be taken back ends by itself.
LIFE = 3600.0
# Seconds for taking back what was not read back, and between two attempts.
TAKING, AGAIN = 5.0, 0.5
SCOPES = ("agents:read", "keys:write")


class Write(NamedTuple):
    """One record that was to be created; moments in Unix seconds."""

    number: int
    key: str
    """Its name, which no other has."""
    sent: float
    done: float
    status: int
    """Of the answer; 0 where there was none."""
    error: str
    acknowledged: bool
    found: bool | None = None
    """Whether it was there when it was read back; None where it was not read."""


class Writes:
    """What was written, in order, and what was there afterwards."""

    def __init__(self, writes: tuple[Write, ...], repeated: int = 0) -> None:
        self.writes = writes
        self.repeated = repeated
        """How many records were there more than once."""

    @property
    def acknowledged(self) -> int:
        """How many were acknowledged."""
        return sum(write.acknowledged for write in self.writes)

    @property
    def lost(self) -> int:
        """How many were acknowledged, and are not there."""
        return sum(write.acknowledged and write.found is False for write in self.writes)

    @property
    def read_back(self) -> bool:
        """Whether some were acknowledged, and every one of them was looked for."""
        looked = [write.found is not None for write in self.writes if write.acknowledged]
        return bool(looked) and all(looked)

    def to_frame(self) -> "pd.DataFrame":
        """A row for each write: the fields of ``Write``, and ``lost``."""
        import pandas as pd

        frame = pd.DataFrame(self.writes, columns=list(Write._fields))
        frame["found"] = frame["found"].astype("boolean")
        frame["lost"] = frame["acknowledged"] & frame["found"].eq(False).fillna(False).astype(bool)
        return frame

    @classmethod
    def of_frame(cls, frame: "pd.DataFrame", repeated: int) -> "Writes":
        """From what ``to_frame`` gave."""
        columns: list[list[Any]] = [frame[name].tolist() for name in Write._fields]
        # What is not known is pandas' NA.
        columns[-1] = [found if isinstance(found, bool) else None for found in columns[-1]]
        return cls(tuple(map(Write._make, zip(*columns, strict=True))), repeated)

    def __len__(self) -> int:
        return len(self.writes)


class Writer:
    """Creates API keys of names that are told apart, at a fixed rate, until it is stopped.

    connect: gives a client of an administrator.

    It takes back every key that it has created when it has read them back, or by ``take_back``.
    """

    def __init__(
        self,
        connect: "Callable[..., AdminClient]",
        rate: float,
        on_error: Callable[[BaseException], object],
    ) -> None:
        self._connect = connect
        self._rate = rate
        self._on_error = on_error
        self.run = uuid.uuid4().hex[:8]
        """With what the names begin."""
        self._over = threading.Event()
        self._writes: list[Write] = []
        self._found: dict[str, str] | None = None
        self._repeated = 0
        self._taken_back = False
        with connect() as admin:
            own = admin.api_keys.create(f"{self.run} writer", SCOPES, expires_in=LIFE)
        self._own = own
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def result(self) -> Writes:
        """What has been written so far, and what was read back."""
        writes = tuple(self._writes)
        if self._found is not None:
            writes = tuple(each._replace(found=each.key in self._found) for each in writes)
        return Writes(writes, self._repeated)

    def stop(self) -> None:
        """Write no more."""
        self._over.set()
        self._thread.join()

    def read_back(self) -> Writes:
        """Stop, look for every record, and take them all back."""
        self.stop()
        with self._connect() as admin:
            mine = {key.id: key.name for key in self._there(admin)}
            counts = Counter(mine.values())
            self._repeated = sum(count - 1 for count in counts.values())
            self._found = {name: id for id, name in mine.items()}
            for id in mine:
                admin.api_keys.revoke(id)
        self._taken_back = True
        return self.result

    def take_back(self) -> bool:
        """Stop, and take back what was not read back; whether nothing is left after ``TAKING``."""
        self.stop()
        deadline = time.monotonic() + TAKING
        while not self._taken_back and time.monotonic() < deadline:
            try:
                with self._connect(retries=0, timeout=PATIENCE) as admin:
                    self._taken_back = self._revoke(admin, deadline)
            except TarslabError:
                time.sleep(AGAIN)
        return self._taken_back

    def _there(self, admin: "AdminClient") -> "list[ApiKey]":
        """The keys of this writer, also those that were revoked."""
        return [key for key in admin.api_keys.list() if key.name.startswith(f"{self.run} ")]

    def _revoke(self, admin: "AdminClient", deadline: float) -> bool:
        """Whether there was time for every key."""
        for key in self._there(admin):
            if time.monotonic() > deadline:
                return False
            if key.state != "revoked":
                admin.api_keys.revoke(key.id)
        return True

    def _work(self) -> None:
        try:
            key = self._own.key.reveal()
            with self._connect(api_key=key, retries=0, timeout=PATIENCE) as client:
                begin, turn = time.monotonic(), 0
                while not self._over.wait(max(0.0, begin + turn / self._rate - time.monotonic())):
                    self._write(client, len(self._writes))
                    # Turns that an answer took are left out.
                    turn = max(turn + 1, int((time.monotonic() - begin) * self._rate))
        except BaseException as error:
            self._on_error(error)

    def _write(self, client: "AdminClient", number: int) -> None:
        name = f"{self.run} {number}"
        sent = time.time()
        status, error = 201, ""
        try:
            client.api_keys.create(name, ["agents:read"], expires_in=LIFE)
        except AdminError as failure:
            status, error = failure.status or 0, type(failure).__name__
        except TarslabError as failure:
            status, error = 0, type(failure).__name__
        done = time.time()
        self._writes.append(Write(number, name, sent, done, status, error, not error))
