"""Redis as the services use it: one retry, a breaker, and writes that are all audited.

A write is a *transaction*: it reads, says what to change, and says what to audit. All of it is
applied in one step, if no other write came between; if one did, it is done anew. Since every write
appends to the audit chain, the end of the chain tells whether one came between. A connection that
is lost in the middle leaves no doubt: the commit is sent again, and finds its own record there.
"""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError

from tarslab.errors import TarslabError
from tarslab.stack.audit.chain import Chain, Event, Head, Unreadable
from tarslab.stack.audit.queue import Queue

T = TypeVar("T")
log = logging.getLogger(__name__)

HEAD = "audit:head"
RECORDS = "audit:records"
REPLAYED = "audit:replayed"
EPOCHS = "epochs"
ATTEMPTS = 100
REPLAY_BATCH = 200

COMMIT = """
local start, last = tonumber(ARGV[1]), #ARGV
if redis.call('LINDEX', KEYS[2], start) == ARGV[5] then return 'done' end
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then return 'conflict' end
for _, command in ipairs(cjson.decode(ARGV[4])) do redis.call(unpack(command)) end
for i = 5, last do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('SET', KEYS[1], ARGV[3])
return 'done'
"""


class StoreDown(Exception):
    """Redis cannot be reached, or cannot write."""


class Transaction:
    """What one write reads, changes and audits."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._commands: list[list[str]] = []
        self._events: list[Event] = []

    async def get(self, key: str) -> str | None:
        """A value."""
        return await self._store.call(lambda redis: redis.get(key))

    async def hget(self, key: str, field: str) -> str | None:
        """One field of a hash."""
        return await self._store.call(lambda redis: redis.hget(key, field))

    async def hgetall(self, key: str) -> dict[str, str]:
        """A whole hash."""
        return await self._store.call(lambda redis: redis.hgetall(key))

    def write(self, *command: str | float) -> None:
        """Have a Redis command applied."""
        self._commands.append([str(part) for part in command])

    def changed(self, part: str) -> None:
        """Have every service read a part of the snapshot anew."""
        self.write("HINCRBY", EPOCHS, part, 1)

    def audit(self, event: Event) -> None:
        """Have an event recorded."""
        self._events.append(event)

    def sealed(self, chain: Chain, head: Head) -> tuple[list[str], Head, str]:
        """The records to append, the new end, and the commands."""
        if self._commands and not self._events:
            raise AssertionError("a write without an audit event")
        records = []
        for event in self._events:
            record, head = chain.append(head, event)
            records.append(record)
        return records, head, json.dumps(self._commands)


class Store:
    """A connection to Redis that says at once when there is none.

    ``up`` tells. While it is down every call raises StoreDown without waiting, and ``watch`` tries
    it every ``probe_seconds``; once it answers, ``recover`` is awaited before anybody else may use
    it.
    """

    def __init__(
        self,
        url: str,
        chain: Chain,
        queue: Queue,
        *,
        timeout: float,
        probe_seconds: float,
        now: Callable[[], float],
    ) -> None:
        self._redis: Any = Redis.from_url(
            url,
            decode_responses=True,
            # What somebody broke is told of by the audit log, and not by an error.
            encoding_errors="replace",
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1, (ConnectionError,)),
        )
        self._commit = self.script(COMMIT)
        self._chain = chain
        self._queue = queue
        self._probe_seconds = probe_seconds
        self._now = now
        self._writing = asyncio.Lock()
        self._recovering: asyncio.Task[Any] | None = None
        self._why: str | None = None
        self.up = False
        self.seen_at: float | None = None
        """When Redis last answered, by the stack's clock."""
        self.written = Head.parse(None)
        """How far this process has written the audit chain."""
        self.went_down: Callable[[], None] = lambda: None

    def script(self, source: str) -> Any:
        """A Lua script, to be called as redis-py's own."""
        return self._redis.register_script(source)

    async def call(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """What ``work`` gets from Redis; StoreDown where it cannot be had."""
        if not self.up and asyncio.current_task() is not self._recovering:
            raise StoreDown
        return await self._tried(work)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Apply what ``work`` writes, in one step with its audit events; what it returns.

        ``work`` is called again where another write came between, so it must only read and say
        what to write. StoreDown where Redis is out: nothing was applied that is not audited.
        """
        async with self._writing:
            for _ in range(ATTEMPTS):
                head = await self._head()
                transaction = Transaction(self)
                result = await work(transaction)
                records, new_head, commands = transaction.sealed(self._chain, head)
                if not records:
                    return result
                old = head.dump() if head.seq else ""
                arguments = [head.seq, old, new_head.dump(), commands, *records]
                applied = await self.call(
                    lambda redis, arguments=arguments: self._commit(  # type: ignore[misc]
                        keys=[HEAD, RECORDS], args=arguments, client=redis
                    )
                )
                if applied == "done":
                    self.written = max(self.written, new_head, key=lambda end: end.seq)
                    return result
        raise StoreDown

    async def record(self, event: Event) -> None:
        """Audit an event that changes nothing else; on disk while Redis is out."""

        async def only_audit(transaction: Transaction) -> None:
            transaction.audit(event)

        try:
            await self.transact(only_audit)
        except StoreDown:
            self._queue.put(event._replace(mode="legacy"))

    async def replay(self) -> int:
        """Append the events that waited on disk, in order, each once; how many."""
        name, total = self._queue.name, 0
        while True:
            replayed = int(await self.call(lambda redis: redis.hget(REPLAYED, name)) or 0)
            self._queue.forget(replayed)
            waiting = self._queue.after(replayed)[:REPLAY_BATCH]
            if not waiting:
                return total

            async def append(transaction: Transaction, waiting: Any = waiting) -> None:
                for _, event in waiting:
                    transaction.audit(event._replace(queued=True))
                transaction.write("HSET", REPLAYED, name, waiting[-1][0])

            await self.transact(append)
            total += len(waiting)

    async def ping(self) -> float | None:
        """Seconds of a round trip, or None."""
        start = time.perf_counter()
        try:
            await self.call(lambda redis: redis.ping())
        except StoreDown:
            return None
        return time.perf_counter() - start

    async def watch(self, recover: Callable[[], Awaitable[None]]) -> None:
        """Try Redis for ever: notice that it is gone, and when it is back, recover."""
        while True:
            await self.look(recover)
            await asyncio.sleep(self._probe_seconds)

    async def look(self, recover: Callable[[], Awaitable[None]]) -> None:
        """Try Redis once."""
        if self.up:
            with suppress(StoreDown):
                await self._tried(lambda redis: redis.ping())
                if self._queue:
                    # Events of requests that came while ``recover`` ran.
                    await self.replay()
            return
        self._recovering = asyncio.current_task()
        try:
            await self._tried(lambda redis: redis.ping())
            await recover()
            self.up, self._why = True, None
        except StoreDown:
            pass
        except TarslabError as error:
            self.given_up(str(error))
        except Exception as error:
            self.given_up(f"what it holds cannot be used: {without_text(error)}")
        finally:
            self._recovering = None

    def given_up(self, why: str) -> StoreDown:
        """Redis is out from now on, until ``recover`` succeeds; what to raise."""
        if why != self._why:
            self._why = why
            log.warning("Redis is out, legacy mode: %s", why)
        if self.up:
            self.up = False
            self.went_down()
        return StoreDown()

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def _head(self) -> Head:
        try:
            return Head.parse(await self.call(lambda redis: redis.get(HEAD)))
        except Unreadable:
            # Reads go on, and the audit log can be proven; it cannot be written to.
            log.error("the end of the audit chain in Redis (%s) is damaged", HEAD)
            raise StoreDown from None

    async def _tried(self, work: Callable[[Any], Awaitable[T]]) -> T:
        try:
            answer = await work(self._redis)
        except (RedisError, OSError) as error:
            # Also where it answers, but cannot write: a full disk, a replica that only reads.
            raise self.given_up(type(error).__name__) from None
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Swallowed by asyncio.wait_for, as redis-py uses it, before Python 3.12.
            raise asyncio.CancelledError
        self.seen_at = self._now()
        return answer


def without_text(error: Exception) -> str:
    """An error's type and where it came from, for the log: its text may hold a secret."""
    return "\n".join([type(error).__name__, *traceback.format_tb(error.__traceback__)])
