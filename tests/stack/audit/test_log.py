"""The audit log in Redis: read page by page, proven, and held by checkpoints."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarslab.stack.audit import log as module
from tarslab.stack.audit.chain import Chain, Event, Head
from tarslab.stack.audit.checkpoints import Checkpoints
from tarslab.stack.audit.log import CHECKPOINTS, keep_checkpoints, query
from tarslab.stack.store import HEAD, RECORDS, Store, Transaction
from tests.stack.served import SECRET, Valkey
from tests.stack.stored import Stored, stored


@pytest.fixture
def log(valkey: Valkey, tmp_path: Path) -> Iterator[Stored]:
    """An empty log."""
    with stored(valkey.url, tmp_path / "one") as opened:
        yield opened


def fill(log: Stored, count: int) -> None:
    """Append records in one transaction."""

    async def work(transaction: Transaction) -> None:
        for number in range(count):
            transaction.audit(log.event(f"action-{number % 3}", request_id=str(number)))

    log.run(log.store.transact(work))


def sign(log: Stored, valkey: Valkey) -> None:
    """Sign the end of the log, as the service does now and then."""
    point = log.checkpoints.sign(Head.parse(valkey.client.get(HEAD)), log.now)
    valkey.client.rpush(CHECKPOINTS, point.dump())


def cut(valkey: Valkey, count: int, *, head_too: bool) -> None:
    """Cut off the last records; the end is put right, or left."""
    valkey.client.rpop(RECORDS, count)
    if head_too:
        last = valkey.client.lindex(RECORDS, -1)
        end = Head(valkey.client.llen(RECORDS), last.split(" ")[0]).dump() if last else None
        valkey.client.set(HEAD, end) if end else valkey.client.delete(HEAD)


def restarted(log: Stored) -> None:
    """Forget what only the process knew."""
    log.store.written = Head.parse(None)


def pages(log: Stored, limit: int, matches: Callable[[Any], bool] = lambda _: True) -> list[Any]:
    """The numbers on each page, to the last one."""
    found, before = [], None
    while True:
        records, before = log.run(query(log.store, matches, limit, before))
        found.append([record["seq"] for record in records])
        if before is None:
            return found


def test_pages_go_back_from_the_newest_record(log: Stored):
    fill(log, 7)
    assert pages(log, 3) == [[7, 6, 5], [4, 3, 2], [1]]
    assert pages(log, 7) == [[7, 6, 5, 4, 3, 2, 1]]


def test_an_empty_log_has_one_empty_page(log: Stored):
    assert pages(log, 3) == [[]]


def test_a_page_has_matching_records_alone_and_the_last_one_is_known_as_such(log: Stored):
    fill(log, 9)
    assert pages(log, 2, lambda record: record["action"] == "action-0") == [[7, 4], [1]]
    assert pages(log, 3, lambda record: record["action"] == "action-0") == [[7, 4, 1]]
    assert pages(log, 3, lambda record: False) == [[]]


def test_pages_have_no_gap_and_no_overlap_while_records_are_appended(log: Stored):
    fill(log, 20)
    seen: list[int] = []
    records, before = log.run(query(log.store, lambda _: True, 3, None))
    while True:
        seen += [record["seq"] for record in records]
        fill(log, 4)
        if before is None:
            break
        records, before = log.run(query(log.store, lambda _: True, 3, before))
    assert seen == list(range(20, 0, -1))


def test_records_are_read_in_chunks_and_a_page_looks_at_so_many(
    log: Stored, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "CHUNK", 4)
    monkeypatch.setattr(module, "SCANNED", 10)
    fill(log, 25)
    assert pages(log, 2, lambda record: record["seq"] in (1, 24)) == [[24], [], [1]]
    assert [seq for page in pages(log, 3) for seq in page] == list(range(25, 0, -1))


@pytest.mark.parametrize("before", [0, 1, -5, 10**14])
def test_a_cursor_from_nowhere_is_no_error(log: Stored, before: int):
    fill(log, 3)
    records, following = log.run(query(log.store, lambda _: True, 2, before))
    assert [record["seq"] for record in records] == ([3, 2] if before > 3 else [])
    assert (following is None) == (before <= 3)


@pytest.mark.parametrize("kept", ["", "no record", "0 {}", "0 []", '0 {"seq": 2}', "\xff\x00"])
def test_a_damaged_record_is_shown_as_such_in_its_place(log: Stored, valkey: Valkey, kept: str):
    fill(log, 3)
    valkey.client.lset(RECORDS, 1, kept.encode("latin-1"))
    records, _ = log.run(query(log.store, lambda _: True, 5, None))
    assert [record["seq"] for record in records] == [3, 2, 1]
    assert records[1] == {"seq": 2, "result": "damaged", "detail": {}}


def test_a_log_as_it_was_written_is_proven(log: Stored, valkey: Valkey):
    assert log.prove() == (0, None, 0, 0)
    fill(log, 5)
    sign(log, valkey)
    fill(log, 5)
    assert log.prove() == (10, None, 1, 10)
    restarted(log)
    assert log.prove() == (10, None, 1, 10)


def test_a_long_log_is_proven_in_chunks(log: Stored, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CHUNK", 4)
    for _ in range(3):
        fill(log, 4)
        assert log.prove().first_bad is None
    fill(log, 1)
    assert log.prove() == (13, None, 0, 13)


@pytest.mark.parametrize("after", range(6))
def test_a_record_that_comes_between_two_readings_of_a_proof_is_no_flaw(
    log: Stored, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, after: int
):
    fill(log, 5)
    call, calls = log.store.call, itertools.count()

    async def call_and_come_between(work: Any) -> Any:
        found = await call(work)
        if next(calls) == after:
            end = Head.parse(valkey.client.get(HEAD))
            record, end = log.chain.append(end, log.event("between"))
            valkey.client.rpush(RECORDS, record)
            valkey.client.set(HEAD, end.dump())
        return found

    monkeypatch.setattr(log.store, "call", call_and_come_between)
    assert log.prove().first_bad is None


def rewritten(chain: Chain, count: int) -> list[str]:
    """A whole log by somebody."""
    head, records = Head.parse(None), []
    for number in range(count):
        record, head = chain.append(head, Event(float(number), "eve", "x", "y", "ok"))
        records.append(record)
    return records


def replace(valkey: Valkey, records: list[str]) -> None:
    """Another log, with an end that suits it."""
    valkey.client.delete(RECORDS, HEAD)
    if records:
        valkey.client.rpush(RECORDS, *records)
        valkey.client.set(HEAD, Head(len(records), records[-1].split(" ")[0]).dump())


@pytest.mark.parametrize("known_by", ["the process", "a checkpoint"])
@pytest.mark.parametrize(
    ("tamper", "seq", "reason"),
    [
        (lambda v: cut(v, 3, head_too=False), 8, "there are 10 records"),
        (lambda v: cut(v, 3, head_too=True), 8, "there are 10 records"),
        (lambda v: cut(v, 10, head_too=True), 1, "there are 10 records"),
        (lambda v: v.client.delete(RECORDS, HEAD), 1, "there are 10 records"),
        (lambda v: v.client.delete(HEAD), 10, "not where the chain is said to end"),
        (lambda v: v.client.set(HEAD, "nonsense"), 10, "not where the chain is said to end"),
        (lambda v: v.client.set(HEAD, f"10:{'0' * 64}"), 10, "not where the chain is said"),
        (lambda v: v.client.set(HEAD, f"12:{'0' * 64}"), 11, "there are 12 records"),
        (lambda v: v.client.ltrim(RECORDS, 1, -1), 1, "record 2 stands in its place"),
        (lambda v: v.client.lset(RECORDS, 4, b"\xff\xfe"), 5, "is not a record"),
        (
            lambda v: v.client.linsert(RECORDS, "BEFORE", v.client.lindex(RECORDS, 4), "x"),
            5,
            "is not",
        ),
        (lambda v: v.client.rpush(RECORDS, v.client.lindex(RECORDS, 9)), 11, "record 10 stands"),
        (lambda v: replace(v, rewritten(Chain("guessed"), 10)), 1, "changed"),
        # By somebody who has the services' secret, but not orchestration's.
        (lambda v: replace(v, rewritten(Chain(SECRET), 10)), 10, "a checkpoint was signed for"),
        (lambda v: replace(v, rewritten(Chain(SECRET), 12)), 10, "a checkpoint was signed for"),
    ],
)
def test_tampering_is_found(
    log: Stored, valkey: Valkey, known_by: str, tamper: Any, seq: int, reason: str
):
    fill(log, 10)
    if known_by == "a checkpoint":
        sign(log, valkey)
        restarted(log)
        # Neither is the list in Redis needed.
        valkey.client.delete(CHECKPOINTS)
    tamper(valkey)
    flaw = log.prove().first_bad
    assert flaw is not None
    assert flaw.seq == seq
    assert reason in flaw.reason


def test_a_cut_tail_is_found_after_new_records_have_taken_its_place(log: Stored, valkey: Valkey):
    fill(log, 10)
    sign(log, valkey)
    cut(valkey, 3, head_too=True)
    fill(log, 5)
    flaw = log.prove().first_bad
    assert flaw is not None
    assert flaw == (10, "is not the record that a checkpoint was signed for")


def test_swapped_records_are_found(log: Stored, valkey: Valkey):
    fill(log, 10)
    one, other = valkey.client.lindex(RECORDS, 2), valkey.client.lindex(RECORDS, 7)
    valkey.client.lset(RECORDS, 2, other)
    valkey.client.lset(RECORDS, 7, one)
    assert log.prove().first_bad == (3, "missing or moved: record 8 stands in its place")
    assert log.prove().records == 2


def test_a_forged_checkpoint_neither_hides_a_cut_nor_accuses_a_good_log(
    log: Stored, valkey: Valkey, tmp_path: Path
):
    fill(log, 10)
    sign(log, valkey)
    true = json.loads(valkey.client.lindex(CHECKPOINTS, 0))
    other = Checkpoints(tmp_path, "another secret").sign(Head(5, "0" * 64), log.now)
    forged = [{**true, "seq": 5}, {**true, "mac": "0" * 64}, {**true, "signature": 7}]
    forged += [other._asdict(), {**true, "seq": 99}]
    valkey.client.delete(CHECKPOINTS)
    valkey.client.rpush(CHECKPOINTS, *map(json.dumps, forged), "{", b"\xff")
    restarted(log)
    assert log.prove() == (10, None, 1, 10)
    cut(valkey, 5, head_too=True)
    flaw = log.prove().first_bad
    assert flaw is not None
    assert flaw.seq == 6


def test_checkpoints_in_redis_do_where_the_file_is_gone(
    log: Stored, valkey: Valkey, tmp_path: Path
):
    fill(log, 10)
    sign(log, valkey)
    cut(valkey, 3, head_too=True)
    with stored(valkey.url, tmp_path / "another machine") as other:
        flaw = other.prove().first_bad
    assert flaw == (8, "missing: a checkpoint says that there are 10 records")


def test_any_tampering_with_the_list_is_found_at_or_before_its_place(log: Stored, valkey: Valkey):
    fill(log, 8)
    sign(log, valkey)
    restarted(log)
    records, end = valkey.client.lrange(RECORDS, 0, -1), valkey.client.get(HEAD)
    texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
    changes = st.lists(
        st.tuples(
            st.sampled_from(["replace", "delete", "insert", "swap", "cut"]),
            st.integers(0, 8),
            st.integers(0, 8),
            st.sampled_from(records) | texts,
        ),
        min_size=1,
        max_size=3,
    )

    @settings(deadline=None)
    @given(changes, st.booleans())
    def check(made: list[tuple[str, int, int, str]], head_too: bool) -> None:
        tampered = list(records)
        for kind, place, other, text in made:
            at = slice(place, place + 1)
            match kind:
                case "replace":
                    tampered[at] = [text]
                case "delete":
                    del tampered[at]
                case "insert":
                    tampered.insert(place, text)
                case "cut":
                    del tampered[place:]
                case "swap":
                    tampered[at], tampered[other : other + 1] = (
                        tampered[other : other + 1],
                        tampered[at],
                    )
        replace(valkey, tampered)
        if not head_too:
            valkey.client.set(HEAD, end)
        pairs = enumerate(zip_longest(records, tampered), 1)
        first = next((seq for seq, (before, after) in pairs if before != after), None)
        flaw = log.prove().first_bad
        assert (flaw is None) == (first is None)
        if flaw is not None and first is not None:
            assert flaw.seq <= first

    check()


async def kept_until(log: Stored, condition: Callable[[], bool], **options: Any) -> None:
    """Keep checkpoints until something holds."""
    limits = {"every_records": 100, "every_seconds": 0.05, **options}
    keeping = asyncio.create_task(
        keep_checkpoints(log.store, log.checkpoints, lambda: log.now, **limits)
    )
    async with asyncio.timeout(30):
        while not condition():
            assert not keeping.done()
            await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def test_the_end_of_the_log_is_signed_again_and_again(log: Stored, valkey: Valkey):
    fill(log, 3)
    log.run(kept_until(log, lambda: valkey.client.llen(CHECKPOINTS) == 1))
    fill(log, 2)
    log.run(kept_until(log, lambda: valkey.client.llen(CHECKPOINTS) == 2))
    assert [point.seq for point in log.checkpoints.kept] == [3, 5]
    assert log.prove() == (5, None, 2, 5)


def test_many_records_are_signed_before_their_time(log: Stored, valkey: Valkey):
    fill(log, 100)
    log.run(kept_until(log, lambda: bool(log.checkpoints.kept), every_seconds=3600.0))
    assert log.checkpoints.kept[0].seq == 100


def test_what_was_cut_off_before_it_was_signed_is_signed_from_memory(log: Stored, valkey: Valkey):
    fill(log, 10)
    cut(valkey, 4, head_too=True)
    log.run(kept_until(log, lambda: bool(log.checkpoints.kept)))
    assert log.checkpoints.kept[0].seq == 10
    restarted(log)
    assert log.prove().first_bad == (7, "missing: a checkpoint says that there are 10 records")


def test_signing_goes_on_after_an_outage_and_after_nonsense(
    log: Stored, valkey: Valkey, caplog: pytest.LogCaptureFixture
):
    fill(log, 3)
    end = valkey.client.get(HEAD)
    valkey.client.set(HEAD, "nonsense")
    log.run(kept_until(log, lambda: "no checkpoint" in caplog.text))
    valkey.client.set(HEAD, end)
    log.store.up = False

    async def down_and_up() -> None:
        asyncio.get_running_loop().call_later(0.3, lambda: setattr(log.store, "up", True))
        await kept_until(log, lambda: bool(log.checkpoints.kept))

    log.run(down_and_up())
    assert log.checkpoints.kept[0].seq == 3


def test_a_log_whose_end_is_nonsense_is_not_written_to(log: Stored, valkey: Valkey):
    fill(log, 3)
    valkey.client.set(HEAD, "nonsense")
    log.run(log.store.record(log.event("waits")))
    assert valkey.client.llen(RECORDS) == 3
    assert [event.action for _, event in log.queue.after(0)] == ["waits"]
    assert log.store.up
    assert isinstance(log.store, Store)
