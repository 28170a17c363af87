"""Reading, proving and checkpointing the audit log in Redis."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tarslab.stack.audit.chain import Chain, Flaw, Head, Unreadable, read
from tarslab.stack.audit.checkpoints import KEPT, Checkpoint, Checkpoints, parse
from tarslab.stack.store import HEAD, RECORDS, Store, StoreDown

log = logging.getLogger(__name__)

CHECKPOINTS = "audit:checkpoints"
CHUNK = 500
SCANNED = 20_000
"""Records that one page looks at; where more are needed, its cursor goes on from there."""
IDLE_SECONDS = 0.2


class Proof(NamedTuple):
    """What came of proving the whole log."""

    records: int
    first_bad: Flaw | None
    checkpoints: int
    head_seq: int


async def query(
    store: Store, matches: Callable[[Mapping[str, Any]], bool], limit: int, before: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """The newest matching records, and the number that the next page begins before."""
    end = await store.call(lambda redis: redis.llen(RECORDS))
    position = end if before is None else min(before - 1, end)
    oldest = max(0, position - SCANNED)
    found: list[dict[str, Any]] = []
    while position > oldest:
        start = max(oldest, position - CHUNK)
        chunk = await _records(store, start, position)
        for index in range(len(chunk) - 1, -1, -1):
            record = _shown(chunk[index], start + index + 1)
            if matches(record):
                if len(found) == limit:
                    return found, start + index + 2
                found.append(record)
        position = start
    return found, oldest + 1 if oldest > 0 else None


async def prove(store: Store, chain: Chain, checkpoints: Checkpoints) -> Proof:
    """Follow the chain from its first record to its end, and hold it against the checkpoints."""
    kept = await store.call(lambda redis: redis.lrange(CHECKPOINTS, -KEPT, -1))
    signed = [point for point in parse(kept) if checkpoints.is_signed(point)]
    points = {point.seq: point.mac for point in (*signed, *checkpoints.kept)}
    ends = points | {store.written.seq: store.written.mac}
    head, flaw = Head.parse(None), None
    while flaw is None:
        chunk, said = await _records_and_end(store, head.seq)
        if not chunk:
            flaw = _cut(head, said, ends)
            break
        head, flaw = await asyncio.to_thread(_follow, chain, head, chunk, ends)
    furthest = max(head.seq, said.seq if said is not None else 0)
    return Proof(head.seq, flaw, len(points), furthest)


async def keep_checkpoints(
    store: Store,
    checkpoints: Checkpoints,
    now: Callable[[], float],
    every_records: int,
    every_seconds: float,
) -> None:
    """Sign the end of the chain for ever: after so many records, or so long after the last."""
    waited = 0.0
    while True:
        await asyncio.sleep(min(IDLE_SECONDS, every_seconds))
        waited += min(IDLE_SECONDS, every_seconds)
        try:
            kept = Head.parse(await store.call(lambda redis: redis.get(HEAD)))
            # Were the tail cut off before it is signed, this process still knows of it.
            head = max(store.written, kept, key=lambda end: end.seq)
            signed = checkpoints.kept[-1].seq if checkpoints.kept else 0
            due = head.seq - signed >= every_records or waited >= every_seconds
            if head.seq > signed and due:
                await _keep(store, checkpoints.sign(head, now()))
                waited = 0.0
        except StoreDown:
            continue
        except (Unreadable, OSError):
            log.exception("no checkpoint of the audit log could be made")


async def _keep(store: Store, point: Checkpoint) -> None:
    await store.call(lambda redis: redis.rpush(CHECKPOINTS, point.dump()))


async def _records(store: Store, start: int, end: int) -> list[str]:
    found: list[str] = await store.call(lambda redis: redis.lrange(RECORDS, start, end - 1))
    return found


async def _records_and_end(store: Store, start: int) -> tuple[list[str], Head | None]:
    """Some records, and where the chain is said to end at that moment; None for nonsense."""

    async def read_both(redis: Any) -> tuple[list[str], str | None]:
        both = redis.pipeline(transaction=True)
        both.lrange(RECORDS, start, start + CHUNK - 1).get(HEAD)
        records, end = await both.execute()
        return records, end

    records, end = await store.call(read_both)
    try:
        return records, Head.parse(end)
    except Unreadable:
        return records, None


def _follow(
    chain: Chain, head: Head, records: list[str], ends: Mapping[int, str]
) -> tuple[Head, Flaw | None]:
    for record in records:
        head, flaw = chain.follow(head, [record])
        if flaw is None and ends.get(head.seq, head.mac) != head.mac:
            flaw = Flaw(head.seq, "is not the record that a checkpoint was signed for")
        if flaw is not None:
            return head, flaw
    return head, None


def _cut(head: Head, said: Head | None, ends: Mapping[int, str]) -> Flaw | None:
    told = max(ends)
    furthest = max(told, said.seq if said is not None else 0)
    if furthest > head.seq:
        by = "a checkpoint" if told > head.seq else "the end of the chain"
        return Flaw(head.seq + 1, f"missing: {by} says that there are {furthest} records")
    if said != head:
        return Flaw(head.seq, "is not where the chain is said to end")
    return None


def _shown(kept: str, seq: int) -> dict[str, Any]:
    try:
        return {**read(kept), "seq": seq}
    except Unreadable:
        # A record that is damaged is shown as such; ``prove`` names it.
        return {"seq": seq, "result": "damaged", "detail": {}}
