"""Redis as the services use it, over connections that are cut, refused and left hanging."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tarslab.errors import BadArgument
from tarslab.stack import store as module
from tarslab.stack.audit.chain import Head
from tarslab.stack.store import HEAD, RECORDS, REPLAYED, Store, StoreDown, Transaction
from tests.stack.conftest import Serve
from tests.stack.served import Valkey
from tests.stack.stored import Stored, stored
from tests.stack.waiting import LIMIT, wait_until


@pytest.fixture
def here(valkey: Valkey, tmp_path: Path) -> Iterator[Stored]:
    """A store on an empty Valkey."""
    with stored(valkey.url, tmp_path / "one") as opened:
        yield opened


class Proxy:
    """Between a store and Valkey: lets through, cuts, or swallows."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.connections = 0
        self._refuses = False
        self.cuts_before: Callable[[bytes], bool] = lambda sent: False
        """Whether to cut a connection rather than to pass on what was sent."""
        self.cuts_after: Callable[[bytes], bool] = lambda sent: False
        """Whether to cut it once Valkey has answered, and to keep the answer."""

    @property
    def url(self) -> str:
        """Of the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    def refuse(self) -> None:
        """Cut all connections, and new ones at once."""
        self._refuses = True
        for writer in self._open:
            writer.close()

    def accept(self) -> None:
        """Let through."""
        self._refuses = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Proxy"]:
        """Serve."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        inner_reader, inner = await asyncio.open_unix_connection(self._target)
        with contextlib.suppress(ConnectionError):
            while not self._refuses and (sent := await reader.read(1 << 16)):
                if self.cuts_before(sent):
                    break
                inner.write(sent)
                answer = await inner_reader.read(1 << 16)
                if self.cuts_after(sent):
                    break
                writer.write(answer)
        for one in (inner, writer):
            one.close()
        self._open.discard(writer)


def once(matches: bytes) -> Callable[[bytes], bool]:
    """True for the first time that something is sent."""
    left = [True]

    def check(sent: bytes) -> bool:
        return matches in sent and bool(left) and left.pop()

    return check


def through_proxy(
    here: Stored, valkey: Valkey, folder: Path, work: Callable[[Stored, Proxy], Any], **options: Any
) -> Any:
    """Await something with a store behind a proxy, on the same loop."""

    async def run() -> Any:
        async with Proxy(valkey.socket).open() as proxy:
            runner: Any = None
            behind = Stored(proxy.url, folder, runner, **options)
            await behind.store.look(nothing)
            assert behind.store.up
            try:
                return await work(behind, proxy)
            finally:
                await behind.store.close()

    return here.run(run())


async def nothing() -> None:
    """There is nothing to recover."""


async def add_one(store: Store, event: Any) -> int:
    """Read a number, and write it one higher."""

    async def work(transaction: Transaction) -> int:
        number = int(await transaction.get("number") or 0) + 1
        await asyncio.sleep(0)
        transaction.write("SET", "number", number)
        transaction.audit(event)
        return number

    return await store.transact(work)


def test_what_a_transaction_reads_and_writes(here: Stored, valkey: Valkey):
    valkey.client.hset("hash", mapping={"a": "1", "b": "2"})
    valkey.client.set("text", "x")

    async def work(transaction: Transaction) -> list[Any]:
        found = [
            await transaction.get("text"),
            await transaction.get("nothing"),
            await transaction.hget("hash", "a"),
            await transaction.hget("hash", "c"),
            await transaction.hgetall("hash"),
        ]
        transaction.write("HSET", "hash", "c", 2.5)
        transaction.write("SADD", "a set", "one", "other")
        transaction.changed("keys")
        transaction.audit(here.event("test.one"))
        transaction.audit(here.event("test.two"))
        return found

    assert here.run(here.store.transact(work)) == ["x", None, "1", None, {"a": "1", "b": "2"}]
    assert valkey.client.hget("hash", "c") == "2.5"
    assert valkey.client.smembers("a set") == {"one", "other"}
    assert valkey.client.hgetall("epochs") == {"keys": "1"}
    assert here.prove() == (2, None, 0, 2)


def test_a_transaction_that_only_reads_leaves_nothing(here: Stored, valkey: Valkey):
    async def work(transaction: Transaction) -> str | None:
        return await transaction.get("nothing")

    assert here.run(here.store.transact(work)) is None
    assert valkey.client.keys() == []


def test_there_is_no_write_without_an_audit_event(here: Stored, valkey: Valkey):
    async def work(transaction: Transaction) -> None:
        transaction.write("SET", "key", "value")

    with pytest.raises(AssertionError, match="without an audit event"):
        here.run(here.store.transact(work))
    assert valkey.client.keys() == []


def test_what_fails_while_it_decides_writes_nothing(here: Stored, valkey: Valkey):
    async def work(transaction: Transaction) -> None:
        transaction.write("SET", "key", "value")
        transaction.audit(here.event("test.write"))
        raise KeyError

    with pytest.raises(KeyError):
        here.run(here.store.transact(work))
    assert valkey.client.keys() == []
    here.write(("SET", "key", "other"))
    assert valkey.client.get("key") == "other"


def test_two_writers_at_odds_are_both_right_in_the_end(
    here: Stored, valkey: Valkey, tmp_path: Path
):
    with stored(valkey.url, tmp_path / "other") as other:
        tried = 0

        async def counted(who: Stored) -> int:
            nonlocal tried

            async def work(transaction: Transaction) -> int:
                nonlocal tried
                tried += 1
                number = int(await transaction.get("number") or 0) + 1
                await asyncio.sleep(0)
                transaction.write("SET", "number", number)
                transaction.audit(who.event("test.add"))
                return number

            return await who.store.transact(work)

        async def race() -> list[int]:
            second = Stored(valkey.url, tmp_path / "third", None)  # type: ignore[arg-type]
            await second.store.look(nothing)
            both = await asyncio.gather(
                *(counted(who) for _ in range(40) for who in (here, second))
            )
            await second.store.close()
            return both

        numbers = here.run(race())
        assert sorted(numbers) == list(range(1, 81))
        assert valkey.client.get("number") == "80"
        # Had nobody come between, this test would say nothing.
        assert tried > 80
        assert other.prove() == (80, None, 0, 80)


def test_a_writer_who_never_wins_is_told_so(
    here: Stored, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    tries = []

    async def work(transaction: Transaction) -> None:
        tries.append(valkey.client.incr("tries"))
        valkey.client.set(HEAD, f"{len(tries)}:{'0' * 64}")
        transaction.audit(here.event("test.write"))

    with pytest.raises(StoreDown):
        here.run(here.store.transact(work))
    assert len(tries) == 3
    assert valkey.client.llen(RECORDS) == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_whose_connection_is_cut_is_applied_exactly_once(
    here: Stored, valkey: Valkey, tmp_path: Path, when: str
):
    async def work(behind: Stored, proxy: Proxy) -> list[int]:
        first = await add_one(behind.store, behind.event("test.first"))
        setattr(proxy, f"cuts_{when}", once(b"EVALSHA"))
        return [first, await add_one(behind.store, behind.event("test.second"))]

    assert through_proxy(here, valkey, tmp_path / "behind", work) == [1, 2]
    assert valkey.client.get("number") == "2"
    assert here.prove() == (2, None, 0, 2)


def test_a_commit_is_applied_once_also_where_another_one_came_before_it_is_sent_again(
    here: Stored, valkey: Valkey, tmp_path: Path
):
    first = [True]

    async def work(behind: Stored, proxy: Proxy) -> int:
        swallow = once(b"EVALSHA")

        def cut_and_come_between(sent: bytes) -> bool:
            if swallow(sent):
                sealed = here.chain.append(Head.parse(valkey.client.get(HEAD)), here.event("x"))
                valkey.client.rpush(RECORDS, sealed[0])
                valkey.client.set(HEAD, sealed[1].dump())
                return bool(first.pop())
            return False

        proxy.cuts_after = cut_and_come_between
        return await add_one(behind.store, behind.event("test.second"))

    assert through_proxy(here, valkey, tmp_path / "behind", work) == 1
    assert first == []
    assert valkey.client.get("number") == "1"
    assert here.prove() == (2, None, 0, 2)


def test_a_commit_that_was_lost_is_done_anew_where_another_one_came_between(
    here: Stored, valkey: Valkey, tmp_path: Path
):
    async def work(behind: Stored, proxy: Proxy) -> int:
        lose = once(b"EVALSHA")

        def lose_and_come_between(sent: bytes) -> bool:
            if lose(sent):
                valkey.client.set("number", 10)
                sealed = here.chain.append(Head.parse(None), here.event("x"))
                valkey.client.rpush(RECORDS, sealed[0])
                valkey.client.set(HEAD, sealed[1].dump())
                return True
            return False

        proxy.cuts_before = lose_and_come_between
        return await add_one(behind.store, behind.event("test.second"))

    assert through_proxy(here, valkey, tmp_path / "behind", work) == 11
    assert here.prove() == (2, None, 0, 2)


def test_a_call_is_tried_twice_and_then_nobody_waits_for_a_redis_that_is_gone(
    here: Stored, valkey: Valkey, tmp_path: Path
):
    async def work(behind: Stored, proxy: Proxy) -> list[int]:
        before = proxy.connections
        proxy.refuse()
        with pytest.raises(StoreDown):
            await behind.store.call(lambda redis: redis.get("key"))
        tried = proxy.connections - before
        for _ in range(20):
            with pytest.raises(StoreDown):
                await behind.store.call(lambda redis: redis.get("key"))
        assert not behind.store.up
        return [tried, proxy.connections - before - tried]

    # The connection that was open is cut, and one more is made.
    tried, afterwards = through_proxy(here, valkey, tmp_path / "behind", work)
    assert tried <= 2
    assert afterwards == 0


def test_an_outage_is_told_once_and_the_return_once(here: Stored, valkey: Valkey, tmp_path: Path):
    told = []

    async def work(behind: Stored, proxy: Proxy) -> int | None:
        async def recover() -> None:
            told.append("back")
            assert not behind.store.up
            # What recovers may use Redis already; nobody else.
            told.append(await behind.store.call(lambda redis: redis.get("number")))
            with pytest.raises(StoreDown):
                await asyncio.create_task(behind.store.call(lambda redis: redis.get("number")))

        behind.store.went_down = lambda: told.append("down")
        proxy.refuse()
        assert await behind.store.ping() is None
        for _ in range(3):
            await behind.store.look(recover)
        proxy.accept()
        for _ in range(3):
            await behind.store.look(recover)
        return await behind.store.call(lambda redis: redis.incr("number"))

    valkey.client.set("number", 7)
    assert through_proxy(here, valkey, tmp_path / "behind", work) == 8
    assert told == ["down", "back", "7"]


@pytest.mark.parametrize("error", [StoreDown, BadArgument, KeyError])
def test_redis_is_not_used_where_recovering_fails(
    here: Stored, valkey: Valkey, caplog: pytest.LogCaptureFixture, error: type[Exception]
):
    here.store.up, why = False, "an unlikely text"

    async def recover() -> None:
        raise error(why)

    for _ in range(2):
        here.run(here.store.look(recover))
        assert not here.store.up
    said = [record.getMessage() for record in caplog.records if "legacy" in record.getMessage()]
    assert len(said) == (0 if error is StoreDown else 1)
    assert (why in caplog.text) == (error is BadArgument)
    assert here.look()


def test_redis_is_watched_until_it_is_back(here: Stored, valkey: Valkey):
    here.store.up = False

    async def watch() -> None:
        watching = asyncio.create_task(here.store.watch(nothing))
        async with asyncio.timeout(30):
            while not here.store.up:
                await asyncio.sleep(0.001)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    here.run(watch())
    assert here.run(here.store.ping()) is not None


def test_a_redis_that_hangs_is_given_up_after_the_timeout(own_valkey: Valkey, tmp_path: Path):
    with stored(own_valkey.url, tmp_path / "one", timeout=0.05) as here:
        own_valkey.hang()
        with pytest.raises(StoreDown):
            here.run(here.store.call(lambda redis: redis.get("key")))
        assert not here.store.up
        own_valkey.go_on()
        assert here.look()


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
        ),
    ],
)
def test_what_redis_cannot_write_is_refused_whole_and_its_event_waits(
    own_valkey: Valkey, tmp_path: Path, break_it: tuple[str, ...], mend_it: tuple[str, ...]
):
    with stored(own_valkey.url, tmp_path / "one") as here:
        here.write(("SET", "number", 1))
        own_valkey.client.execute_command(*break_it)
        with pytest.raises(StoreDown):
            here.write(("SET", "number", 2), ("SET", "other", 2))
        here.run(here.store.record(here.event("test.waits")))
        assert own_valkey.client.get("number") == "1"
        own_valkey.client.execute_command(*mend_it)
        assert here.look()
        assert here.run(here.store.replay()) == 1
        here.write(("SET", "number", 3))
        assert own_valkey.client.mget("number", "other") == ["3", None]
        assert here.prove() == (3, None, 0, 3)


def test_a_request_that_redis_cannot_write_is_503_and_told_of_afterwards(
    own_valkey: Valkey, serve: Serve
):
    served = serve(own_valkey, redis_probe_seconds=0.02)
    token = served.login()["access_token"]
    own_valkey.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    for _ in range(3):
        answer = served.ask("POST", "/agents/ppo/promote", token=token, json={"version": 2})
        assert (answer.status_code, answer.headers["x-mode"]) == (503, "legacy")
    assert served.ask("GET", "/agents/ppo", token=token).json()["version"] == 1
    own_valkey.client.execute_command("REPLICAOF", "NO", "ONE")
    wait_until(lambda: served.get("/jwt/status")["mode"] == "normal")
    refused = served.get("/audit", action="mode.refused")["items"]
    assert [record["target"] for record in refused] == ["POST /agents/ppo/promote"] * 3
    assert served.post("/agents/ppo/promote", {"version": 2})["version"] == 2
    assert served.get("/audit/verify")["valid"]


def test_scripts_are_loaded_again_into_a_redis_that_has_forgotten_them(
    here: Stored, valkey: Valkey
):
    here.write(("SET", "number", 1))
    valkey.client.script_flush()
    here.write(("SET", "number", 2))
    assert here.prove() == (2, None, 0, 2)


def test_events_that_waited_are_replayed_in_order_and_once(here: Stored, valkey: Valkey):
    here.store.up = False
    for number in range(5):
        here.run(here.store.record(here.event("test.waits", request_id=str(number))))
    assert len(here.queue) == 5
    here.look()
    assert [here.run(here.store.replay()) for _ in range(2)] == [5, 0]
    records = [json.loads(kept.split(" ", 1)[1]) for kept in valkey.client.lrange(RECORDS, 0, -1)]
    assert [record["request_id"] for record in records] == list("01234")
    assert {(record["queued"], record["mode"]) for record in records} == {(True, "legacy")}
    assert len(here.queue) == 0


def test_a_long_queue_is_replayed_in_batches(
    here: Stored, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "REPLAY_BATCH", 3)
    for number in range(8):
        here.queue.put(here.event("test.waits", request_id=str(number)))
    assert here.run(here.store.replay()) == 8
    assert here.prove() == (8, None, 0, 8)


@pytest.mark.parametrize("after", range(1, 4))
def test_a_replay_that_a_crash_cut_off_goes_on_where_it_was(
    here: Stored, valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
):
    monkeypatch.setattr(module, "REPLAY_BATCH", 2)
    for number in range(6):
        here.queue.put(here.event("test.waits", request_id=str(number)))
    forgotten = []

    def crash(replayed: int) -> None:
        forgotten.append(replayed)
        if len(forgotten) > after:
            raise KeyboardInterrupt

    monkeypatch.setattr(here.queue, "forget", crash)
    with pytest.raises(KeyboardInterrupt):
        here.run(here.store.replay())
    with stored(valkey.url, tmp_path / "one") as again:
        assert len(again.queue) == 6
        assert again.run(again.store.replay()) == 6 - 2 * after
        assert again.prove() == (6, None, 0, 6)
        assert len(again.queue) == 0
    assert len(valkey.client.hgetall(REPLAYED)) == 1


def test_events_of_requests_that_came_while_redis_was_recovered_are_replayed_soon(here: Stored):
    here.queue.put(here.event("test.late"))
    here.look()
    assert len(here.queue) == 0
    assert here.prove() == (1, None, 0, 1)


def test_a_task_that_is_cancelled_in_a_call_ends(here: Stored):
    """Before Python 3.12 ``asyncio.wait_for``, which redis-py sends with, may swallow it."""

    async def call_for_ever() -> None:
        while True:
            await here.store.call(lambda redis: redis.ping())

    async def cancel_often() -> None:
        for steps in range(60):
            calling = asyncio.create_task(call_for_ever())
            for _ in range(steps):
                await asyncio.sleep(0)
            calling.cancel()
            await asyncio.wait([calling], timeout=LIMIT)
            assert calling.done()

    here.run(cancel_often())
