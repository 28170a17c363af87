"""What a service must know to let requests in, held in memory and sealed on disk.

Its parts are the ring of signing keys, the users, the API keys and the revoked sessions. Each has
an epoch in Redis, which every write to it raises; a service compares epochs at every request and
reads anew what has changed. Where Redis is out the last snapshot serves, revocations included.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, PrivateAttr

from tarslab.stack.security.api_keys import KeyRecord
from tarslab.stack.security.scopes import Role
from tarslab.stack.security.sealing import Seal, Unsealable
from tarslab.stack.security.signing_keys import Ring
from tarslab.stack.store import EPOCHS, Store, Transaction

RING, USERS, KEYS, REVOKED = "ring", "users", "keys", "revoked"
PARTS = (RING, USERS, KEYS, REVOKED)
"""The parts, which are the keys in Redis too."""
NAME = "snapshot.sealed"
REWRITTEN_SECONDS = 60.0
"""So often the file is told that nothing has changed: its age bounds logins after a restart."""


class User(BaseModel):
    """A user, with the hash of the password."""

    username: str
    role: Role
    password: str
    created_at: float
    disabled: bool = False


class Snapshot(BaseModel):
    """All parts, as they were together."""

    epochs: dict[str, int]
    taken_at: float
    ring: Ring
    users: dict[str, User]
    keys: dict[str, KeyRecord]
    revoked: dict[str, float]
    """Sessions, until when a token of theirs could still live."""

    _by_digest: dict[str, str] = PrivateAttr(default_factory=dict)

    def key_of(self, digested: str, now: float) -> KeyRecord | None:
        """The API key of a digest, where it is good."""
        key_id = self._by_digest.get(digested)
        record = self.keys.get(key_id) if key_id is not None else None
        return record if record is not None and record.accepts(digested, now) else None

    def user(self, name: str, since: float) -> User | None:
        """The user of a name, if they were it at that time already and are not disabled.

        What was given to an earlier user of the name is not good for a later one. Tokens tell time
        in whole seconds.
        """
        user = self.users.get(name)
        if user is None or user.disabled or since < int(user.created_at):
            return None
        return user

    def model_post_init(self, context: Any, /) -> None:
        """Index the API keys."""
        self._by_digest = {
            digested: record.id
            for record in self.keys.values()
            for digested in (record.previous_digest, record.digest)
            if digested is not None
        }


class Snapshots:
    """The latest snapshot, in memory and in a sealed file of ``folder``."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._path = folder / NAME
        self._seal = Seal(secret, "snapshot")
        self.current: Snapshot | None = self._from_disk()
        self._written_at = 0.0
        self._refreshing = asyncio.Lock()

    def is_current(self, epochs: Mapping[str, int]) -> bool:
        """Whether nothing has changed since."""
        return self.current is not None and self.current.epochs == dict(epochs)

    async def refresh(self, store: Store, now: float) -> Snapshot:
        """Read from Redis what has changed.

        A Redis that holds less than it did (a restart that lost writes, a FLUSHALL) is given up
        until ``restore``: else what was revoked would be good again.
        """
        async with self._refreshing:
            try:
                latest = await self._latest(store, now)
            except ValueError:
                raise store.given_up("what it holds cannot be read") from None
            changed = latest is not self.current
            latest.taken_at = now
            self.current = latest
            if changed or now - self._written_at >= REWRITTEN_SECONDS:
                self._to_disk(latest)
            return latest

    async def restore(self, transaction: Transaction) -> list[str]:
        """Write anew the parts that Redis holds an older state of, or none; which ones."""
        if self.current is None:
            return []
        kept = await transaction.hgetall(EPOCHS)
        lost = _lost({part: int(epoch) for part, epoch in kept.items()}, self.current.epochs)
        for part in lost:
            for command in _writes(self.current, part):
                transaction.write(*command)
            transaction.write("HSET", EPOCHS, part, self.current.epochs[part] + 1)
        return lost

    async def _latest(self, store: Store, now: float) -> Snapshot:
        """The current one, where nothing has changed."""
        old = self.current.epochs if self.current is not None else {}
        parts = {part: getattr(self.current, part) for part in PARTS if self.current is not None}
        while True:
            epochs = await epochs_of(store)
            if _lost(epochs, old):
                raise store.given_up("it has lost writes")
            if self.current is not None and epochs == old:
                return self.current
            for part in PARTS:
                if part not in parts or epochs.get(part) != old.get(part):
                    parts[part] = await _read(store, part)
            if epochs == await epochs_of(store):
                return Snapshot(epochs=epochs, taken_at=now, **parts)

    def _to_disk(self, snapshot: Snapshot) -> None:
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._seal.close(snapshot.model_dump_json().encode()))
        temporary.replace(self._path)
        self._written_at = snapshot.taken_at

    def _from_disk(self) -> Snapshot | None:
        try:
            sealed = self._path.read_bytes()
            return Snapshot.model_validate_json(self._seal.open(sealed))
        except (FileNotFoundError, Unsealable, ValueError):
            # A snapshot that cannot be proven is not believed.
            return None


async def epochs_of(store: Store) -> dict[str, int]:
    """The epoch of each part."""
    found = await store.call(lambda redis: redis.hgetall(EPOCHS))
    return {part: int(epoch) for part, epoch in found.items()}


def _lost(epochs: Mapping[str, int], known: Mapping[str, int]) -> list[str]:
    return [part for part in PARTS if epochs.get(part, 0) < known.get(part, 0)]


async def _read(store: Store, part: str) -> Any:
    if part == RING:
        ring = await store.call(lambda redis: redis.get(RING))
        if ring is None:
            raise store.given_up("it holds no key ring")
        return Ring.model_validate_json(ring)
    found = await store.call(lambda redis: redis.hgetall(part))
    if part == REVOKED:
        return {session: float(until) for session, until in found.items()}
    return {name: json.loads(record) for name, record in found.items()}


def _writes(snapshot: Snapshot, part: str) -> list[list[str]]:
    if part == RING:
        return [["SET", RING, snapshot.ring.model_dump_json()]]
    if part == REVOKED:
        fields = {session: str(until) for session, until in snapshot.revoked.items()}
    else:
        records: Mapping[str, BaseModel] = getattr(snapshot, part)
        fields = {name: record.model_dump_json() for name, record in records.items()}
    return [["DEL", part], *(["HSET", part, name, value] for name, value in fields.items())]
