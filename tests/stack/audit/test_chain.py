"""The chain of audit records."""

import hashlib
import hmac
import json
import re
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.stack.audit.chain import START, Chain, Event, Flaw, Head, Unreadable, read
from tarslab.stack.security.sealing import derive

CHAIN = Chain("secret")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def event(number: int, **others: Any) -> Event:
    """The so-many-th event."""
    return Event(float(number), "carol", "agents.promote", f"agents/{number}", "ok", **others)


def chained(count: int, chain: Chain = CHAIN) -> tuple[list[str], Head]:
    """Records, and the end of the chain."""
    records, head = [], Head(0, START)
    for number in range(count):
        record, head = chain.append(head, event(number, request_id=f"r{number}"))
        records.append(record)
    return records, head


def flaw_of(records: list[str]) -> Flaw | None:
    """What is wrong with records from the first on."""
    return CHAIN.follow(Head.parse(None), records)[1]


def test_a_record_has_all_of_its_event_a_number_and_the_schema():
    record, head = CHAIN.append(Head(6, "ab" * 32), event(1, detail={"version": 2}, queued=True))
    members = read(record)
    mac, nonce = members.pop("mac"), members.pop("nonce")
    assert re.fullmatch("[0-9a-f]{16}", nonce)
    assert members == {
        **{"seq": 7, "schema": 1, "time": 1.0, "actor": "carol", "action": "agents.promote"},
        **{"target": "agents/1", "result": "ok", "request_id": "", "address": ""},
        **{"mode": "normal", "queued": True, "detail": {"version": 2}},
    }
    assert head == Head(7, mac)


def test_the_same_event_makes_another_record_each_time():
    # Else a process could take another one's record for its own commit.
    assert CHAIN.append(Head.parse(None), event(1)) != CHAIN.append(Head.parse(None), event(1))


def test_a_mac_is_over_the_one_before_and_the_record():
    (first, second), head = chained(2)
    key, before = derive("secret", "audit"), START
    for record in (first, second):
        mac, body = record.split(" ", 1)
        message = before.encode() + b"\n" + body.encode()
        assert mac == hmac.new(key, message, hashlib.sha256).hexdigest()
        before = mac
    assert head == Head(2, before)


@given(
    st.lists(
        st.builds(Event, st.floats(0, 1e10), *[texts] * 4, detail=st.dictionaries(texts, texts))
    )
)
def test_whatever_is_recorded_can_be_proven_and_read(events: list[Event]):
    records, head = [], Head.parse(None)
    for one in events:
        record, head = CHAIN.append(head, one)
        records.append(record)
    assert CHAIN.follow(Head.parse(None), records) == (head, None)
    for number, (record, one) in enumerate(zip(records, events, strict=True), 1):
        kept = read(record)
        assert kept["seq"] == number
        assert {name: kept[name] for name in Event._fields} == one._asdict()


def test_a_chain_can_be_followed_from_any_place():
    records, head = chained(10)
    middle, _ = CHAIN.follow(Head.parse(None), records[:4])
    assert CHAIN.follow(middle, records[4:]) == (head, None)


def altered(record: str, **members: Any) -> str:
    """A record with other members, and its MAC."""
    mac, body = record.split(" ", 1)
    return f"{mac} {json.dumps({**json.loads(body), **members})}"


@pytest.mark.parametrize(
    ("tamper", "seq", "reason"),
    [
        (lambda r: [*r[:2], altered(r[2], actor="mallory"), *r[3:]], 3, "changed"),
        (lambda r: [*r[:2], altered(r[2], time=0), *r[3:]], 3, "changed"),
        (lambda r: [*r[:2], "0" * 64 + r[2][64:], *r[3:]], 3, "changed"),
        (lambda r: [*r[:2], *r[3:]], 3, "record 4 stands in its place"),
        (lambda r: r[1:], 1, "record 2 stands in its place"),
        (lambda r: [*r[:2], r[3], r[2], *r[4:]], 3, "record 4 stands in its place"),
        (lambda r: [*r[:3], r[2], *r[3:]], 4, "record 3 stands in its place"),
        (lambda r: [*r[:2], chained(3, Chain("other"))[0][2], *r[2:]], 3, "changed"),
        (lambda r: [*r[:2], "", *r[3:]], 3, "is not a record"),
        (lambda r: [*r[:2], "\N{REPLACEMENT CHARACTER}", *r[3:]], 3, "is not a record"),
        (lambda r: [*r[:2], "0 " + "[" * 100_000, *r[3:]], 3, "is not a record"),
        (lambda r: [*r[:2], altered(r[2], seq="3"), *r[3:]], 3, "is not a record"),
        (lambda r: [*r[:2], altered(r[2], detail=None), *r[3:]], 3, "is not a record"),
        (lambda r: [*r, r[-1]], 7, "record 6 stands in its place"),
        (lambda r: chained(6, Chain("other"))[0], 1, "changed"),
    ],
)
def test_tampering_is_told_at_its_place(tamper: Any, seq: int, reason: str):
    records, _ = chained(6)
    flaw = flaw_of(tamper(records))
    assert flaw is not None
    assert flaw.seq == seq
    assert reason in flaw.reason


@given(st.data())
def test_any_change_but_of_the_tail_is_found_at_its_place(data: st.DataObject):
    records, _ = chained(8)
    place = data.draw(st.integers(0, 6))
    other = data.draw(st.integers(0, 7))
    match data.draw(st.sampled_from(["replace", "delete", "insert", "swap", "edit", "join"])):
        case "replace":
            tampered = [*records]
            tampered[place] = data.draw(st.sampled_from(records) | texts)
        case "delete":
            tampered = records[:place] + records[place + 1 :]
        case "insert":
            one = data.draw(st.sampled_from(records) | texts)
            tampered = [*records[:place], one, *records[place:]]
        case "swap":
            tampered = [*records]
            tampered[place], tampered[other] = tampered[other], tampered[place]
        case "edit":
            character = data.draw(st.integers(0, len(records[place]) - 1))
            edited = data.draw(st.characters(exclude_categories=["Cs"]))
            kept = records[place]
            tampered = [*records]
            tampered[place] = kept[:character] + edited + kept[character + 1 :]
        case "join":
            tampered = [
                *records[:place],
                records[place] + records[place + 1],
                *records[place + 2 :],
            ]
    flaw = flaw_of(tampered)
    pairs = enumerate(zip_longest(records, tampered), 1)
    first = next((seq for seq, (before, after) in pairs if before != after), None)
    assert (None if flaw is None else flaw.seq) == first


def test_a_cut_tail_is_not_seen_by_the_chain_alone():
    # So that there are checkpoints.
    assert flaw_of(chained(8)[0][:5]) is None


def test_a_record_of_another_schema_is_not_taken_for_one_of_this():
    key = derive("secret", "audit")
    body = altered(chained(1)[0][0], schema=2).split(" ", 1)[1]
    mac = hmac.new(key, f"{START}\n{body}".encode(), hashlib.sha256).hexdigest()
    assert flaw_of([f"{mac} {body}"]) == Flaw(1, "numbered 1, schema 2")


@given(st.integers(0, 10**15 - 1), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_an_end_is_read_as_it_was_kept(seq: int, mac: str):
    assert Head.parse(Head(seq, mac).dump()) == Head(seq, mac)


@pytest.mark.parametrize(
    "text", ["", "5", "5:", f"-1:{START}", f"1:{START} ", f"1:{START}0", "x:y"]
)
def test_nonsense_is_no_end(text: str):
    with pytest.raises(Unreadable):
        Head.parse(text)
