"""API keys: create, rotate, revoke. A key is shown once, and only its hash is kept."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from tarslab.stack.orchestration.core import Core, HereCore
from tarslab.stack.security.api_keys import SHOWN, KeyRecord, derived_key, digest, new_key
from tarslab.stack.security.scopes import Scope
from tarslab.stack.snapshot import KEYS
from tarslab.stack.store import StoreDown, Transaction
from tarslab.stack.web.access import allowed
from tarslab.stack.web.bodies import Body, IdempotencyKey, once
from tarslab.stack.web.context import USED, Caller
from tarslab.stack.web.paging import Cursor, Limit, Page, page
from tarslab.stack.web.problems import Problem, not_found, responses

router = APIRouter(prefix="/api-keys", tags=["api keys"])

YEAR = 366 * 86_400
WEEK = 7 * 86_400
Reader = Annotated[Caller, allowed(Scope.KEYS_READ)]
Writer = Annotated[Caller, allowed(Scope.KEYS_WRITE)]
KeyId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


class Key(BaseModel):
    """An API key, without the key."""

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    owner: str
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    state: str
    overlap_until: float | None


class ShownKey(Key):
    """An API key with the key itself: it is shown this once."""

    key: str


class NewKey(Body):
    """A key to be."""

    name: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1)]
    expires_in: Annotated[float | None, Field(ge=60, le=YEAR)] = None
    """Seconds; None for a key that does not expire."""


class Rotation(Body):
    """How long the key before is good beside the new one."""

    overlap_seconds: Annotated[float, Field(ge=0, le=WEEK)] = 3600


@router.get("")
async def api_keys(
    here: HereCore, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Key]:
    """All keys, oldest first."""
    used = await _used(here)
    found = [
        (f"{record.created_at:020.6f} {record.id}", _shown(here, record, used))
        for record in here.snapshot.keys.values()
    ]
    return page(found, limit, cursor)


@router.get("/{key_id}", responses=responses(404))
async def api_key(key_id: KeyId, here: HereCore, caller: Reader) -> Key:
    """One key."""
    if key_id not in here.snapshot.keys:
        raise not_found(f"API key {key_id}")
    return _shown(here, here.snapshot.keys[key_id], await _used(here))


@router.post("", status_code=201)
async def create(
    body: NewKey, here: HereCore, caller: Writer, idempotency_key: IdempotencyKey = None
) -> ShownKey:
    """Create a key, which is shown this once; its scopes must be within the caller's."""
    exceeded = sorted(set(body.scopes) - caller.scopes)
    if exceeded:
        detail = f"{caller.name} cannot give scopes that it lacks: {', '.join(exceeded)}"
        event = caller.event(here.now, "access.denied", "api-keys", "denied", scopes=exceeded)
        await here.store.record(event)
        raise Problem(403, detail)
    fresh = new_key()

    def key_of(key_id: str) -> str:
        # Sent twice, a create must answer with the same key twice, which is kept nowhere.
        if idempotency_key is None:
            return fresh
        return derived_key(here.api_key_key, key_id, idempotency_key)

    async def write(transaction: Transaction) -> Key:
        now, key_id = here.now, uuid.uuid4().hex
        key = key_of(key_id)
        record = KeyRecord(
            id=key_id,
            name=body.name,
            prefix=key[:SHOWN],
            digest=digest(key),
            scopes=tuple(sorted(set(body.scopes))),
            owner=_owner_of(here, caller),
            created_at=now,
            expires_at=None if body.expires_in is None else now + body.expires_in,
        )
        _write(transaction, record)
        scopes = [scope.value for scope in record.scopes]
        transaction.audit(
            caller.event(now, "api_keys.create", f"api-keys/{record.id}", scopes=scopes)
        )
        return _shown(here, record, {})

    shown = await once(here, caller, idempotency_key, body, Key, write)
    await here.snapshots.refresh(here.store, here.now)
    return ShownKey(**shown.model_dump(), key=key_of(shown.id))


@router.post("/{key_id}/rotate", responses=responses(404, 409))
async def rotate(
    key_id: KeyId, here: HereCore, caller: Writer, body: Rotation | None = None
) -> ShownKey:
    """A new key in place of one, which is good for ``overlap_seconds`` more."""
    overlap = (body or Rotation()).overlap_seconds
    key, used = new_key(), await _used(here)

    async def write(transaction: Transaction) -> Key:
        now = here.now
        record = await _record(transaction, key_id)
        if record.state(now) in ("revoked", "expired"):
            raise Problem(409, f"this key is {record.state(now)}: create a new one")
        _within(caller, record)
        rotated = record.rotated(key, now + overlap)
        _write(transaction, rotated)
        transaction.audit(
            caller.event(now, "api_keys.rotate", f"api-keys/{key_id}", overlap_seconds=overlap)
        )
        return _shown(here, rotated, used)

    shown = await here.store.transact(write)
    await here.snapshots.refresh(here.store, here.now)
    return ShownKey(**shown.model_dump(), key=key)


@router.delete("/{key_id}", status_code=204, responses=responses(404))
async def revoke(key_id: KeyId, here: HereCore, caller: Writer) -> Response:
    """Revoke a key at once. One that is revoked already stays so."""

    async def write(transaction: Transaction) -> None:
        record = await _record(transaction, key_id)
        now = here.now
        if record.revoked_at is None:
            _write(transaction, record.model_copy(update={"revoked_at": now}))
        transaction.audit(caller.event(now, "api_keys.revoke", f"api-keys/{key_id}"))

    await here.store.transact(write)
    await here.snapshots.refresh(here.store, here.now)
    return Response(status_code=204)


def _owner_of(here: Core, caller: Caller) -> str:
    if caller.key_id is None:
        return caller.name
    return here.snapshot.keys[caller.key_id].owner


def _within(caller: Caller, record: KeyRecord) -> None:
    """A rotation hands out a key: it must not have more scopes than who asks for it."""
    if not set(record.scopes) <= caller.scopes:
        raise Problem(403, f"this key has scopes that {caller.name} lacks")


async def _record(transaction: Transaction, key_id: str) -> KeyRecord:
    kept = await transaction.hget(KEYS, key_id)
    if kept is None:
        raise not_found(f"API key {key_id}")
    return KeyRecord.model_validate_json(kept)


def _write(transaction: Transaction, record: KeyRecord) -> None:
    transaction.write("HSET", KEYS, record.id, record.model_dump_json())
    transaction.changed(KEYS)


async def _used(here: Core) -> dict[str, float]:
    try:
        kept = await here.store.call(lambda redis: redis.hgetall(USED))
    except StoreDown:
        kept = {}
    return {key: float(time) for key, time in kept.items()} | here.used


def _shown(here: Core, record: KeyRecord, used: dict[str, float]) -> Key:
    shown = record.model_dump(
        include={"id", "name", "prefix", "scopes", "owner", "created_at", "expires_at"}
    )
    state = record.state(here.now)
    return Key(
        **shown,
        last_used_at=used.get(record.id),
        state=state,
        overlap_until=record.overlap_until if state == "rotating" else None,
    )
