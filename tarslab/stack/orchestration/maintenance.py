"""Cleanup: what has expired and is of no use to anybody."""

import json
import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from tarslab.stack.orchestration.auth import LIVE, SESSIONS, Session
from tarslab.stack.orchestration.core import Core, HereCore
from tarslab.stack.security.api_keys import KeyRecord
from tarslab.stack.security.scopes import Scope
from tarslab.stack.security.signing_keys import KeyState, Ring
from tarslab.stack.snapshot import KEYS, REVOKED, RING
from tarslab.stack.store import StoreDown, Transaction
from tarslab.stack.web.access import allowed
from tarslab.stack.web.bodies import IDEMPOTENCY
from tarslab.stack.web.context import USED, Caller

router = APIRouter(prefix="/maintenance", tags=["maintenance"])

KEPT_SECONDS = 30 * 86_400
"""Expired and revoked API keys, and signing keys that are done, can be looked up for so long."""
Writer = Annotated[Caller, allowed(Scope.MAINTENANCE_WRITE)]


class Removed(BaseModel):
    """How many of each kind."""

    api_keys: int = 0
    sessions: int = 0
    tokens: int = 0
    revocations: int = 0
    signing_keys: int = 0
    idempotency_keys: int = 0


class Cleanup(BaseModel):
    """What a cleanup removed, or would remove."""

    dry_run: bool
    removed: Removed
    healthy_before: bool
    healthy_after: bool
    seconds: float


@router.post("/cleanup")
async def cleanup(
    here: HereCore,
    caller: Writer,
    dry_run: Annotated[bool, Query(description="Count, and remove nothing.")] = False,
) -> Cleanup:
    """Remove expired sessions, tokens and keys; API keys and signing keys a month afterwards.

    Refused where Redis does not answer.
    """
    start = time.perf_counter()
    if not await _is_healthy(here):
        here.metrics.cleanups.labels("refused").inc()
        raise StoreDown
    try:
        removed = await here.store.transact(
            lambda transaction: _remove(here, caller, transaction, dry_run)
        )
    except StoreDown:
        here.metrics.cleanups.labels("failed").inc()
        raise
    if not dry_run:
        await here.snapshots.refresh(here.store, here.now)
        for kind, count in removed.model_dump().items():
            here.metrics.cleaned.labels(kind).inc(count)
    here.metrics.cleanups.labels("rehearsed" if dry_run else "ok").inc()
    return Cleanup(
        dry_run=dry_run,
        removed=removed,
        healthy_before=True,
        healthy_after=await _is_healthy(here),
        seconds=time.perf_counter() - start,
    )


async def _remove(here: Core, caller: Caller, transaction: Transaction, dry_run: bool) -> Removed:
    now = here.now
    writes: list[tuple[str | float, ...]] = []

    async def expired(key: str, is_done: Callable[[str], bool]) -> int:
        done = [name for name, text in (await transaction.hgetall(key)).items() if is_done(text)]
        writes.extend(("HDEL", key, name) for name in done)
        if key == KEYS:
            writes.extend(("HDEL", USED, name) for name in done)
        return len(done)

    ring = Ring.model_validate_json(await transaction.get(RING) or "")
    gone = _done_with(ring, now)
    removed = Removed(
        api_keys=await expired(KEYS, lambda text: _key_is_done(text, now)),
        sessions=await expired(
            SESSIONS, lambda text: Session.model_validate_json(text).expires_at <= now
        ),
        revocations=await expired(REVOKED, lambda until: float(until) <= now),
        idempotency_keys=await expired(IDEMPOTENCY, lambda text: json.loads(text)["until"] <= now),
        signing_keys=len(gone),
        tokens=await _expired_tokens(here, ring, now),
    )
    if dry_run:
        return removed
    for write in writes:
        transaction.write(*write)
    for key in ring.keys:
        transaction.write("ZREMRANGEBYSCORE", f"{LIVE}{key.kid}", "-inf", now)
    if gone:
        transaction.write("SET", RING, ring.without(gone).model_dump_json())
    for part in (KEYS, REVOKED, RING):
        transaction.changed(part)
    transaction.audit(caller.event(now, "maintenance.cleanup", "redis", **removed.model_dump()))
    return removed


def _key_is_done(text: str, now: float) -> bool:
    record = KeyRecord.model_validate_json(text)
    ended = [time for time in (record.revoked_at, record.expires_at) if time is not None]
    return bool(ended) and min(ended) + KEPT_SECONDS <= now


def _done_with(ring: Ring, now: float) -> frozenset[str]:
    """Keys that do not verify any more, and have not for a month: no token of theirs lives."""
    gone = set()
    for key in ring.keys:
        ended = key.invalidated_at if key.invalidated_at is not None else key.grace_until
        over = key.state(now) in (KeyState.RETIRED, KeyState.INVALIDATED)
        if over and ended is not None and ended + KEPT_SECONDS <= now:
            gone.add(key.kid)
    return frozenset(gone)


async def _expired_tokens(here: Core, ring: Ring, now: float) -> int:
    counts = [
        await here.store.call(
            lambda redis, kid=key.kid: redis.zcount(f"{LIVE}{kid}", "-inf", now)  # type: ignore[misc]
        )
        for key in ring.keys
    ]
    return sum(counts)


async def _is_healthy(here: Core) -> bool:
    return await here.store.ping() is not None
