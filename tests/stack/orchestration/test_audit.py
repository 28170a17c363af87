"""The audit log over HTTP."""

import json
from typing import Any

import pytest

from tarslab.stack.audit.chain import Event, Head
from tarslab.stack.store import HEAD, RECORDS, Transaction
from tests.stack.conftest import Serve
from tests.stack.served import Served, Valkey
from tests.stack.waiting import wait_until

CAROLS = {"actor": "carol", "action": "test.write", "target": "a test", "result": "ok"}


def record(served: Served, count: int, **members: Any) -> None:
    """Have events recorded, as the service does it itself; admin is signed in before."""
    served.get("/auth/me")

    async def work(transaction: Transaction) -> None:
        for number in range(count):
            own = {**CAROLS, "request_id": f"r{number}", **members}
            transaction.audit(Event(served.core.now, **own))

    served.run(served.core.store.transact(work))


def pages(served: Served, **params: Any) -> list[list[int]]:
    """The numbers of the records on each page."""
    found: list[list[int]] = []
    cursor: dict[str, str] = {}
    while True:
        page = served.get("/audit", **params, **cursor)
        found.append([item["seq"] for item in page["items"]])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def test_an_event_is_recorded_with_who_what_and_when(served: Served):
    served.clock.advance(1000)
    before = served.clock.now()
    answer = served.ask(
        "POST", "/agents/ppo/promote", json={"version": 2}, headers={"X-Request-ID": "my-own.id"}
    )
    assert answer.headers["x-request-id"] == "my-own.id"
    (found,) = served.get("/audit", request_id="my-own.id")["items"]
    assert before <= found.pop("time") <= served.clock.now()
    assert found == {
        **{"seq": found["seq"], "schema": 1, "actor": "admin", "action": "agents.promote"},
        **{"target": "agents/ppo", "result": "ok", "request_id": "my-own.id"},
        **{"address": "127.0.0.1", "mode": "normal", "queued": False},
        **{"detail": {"version": 2, "previous": 1}},
    }


def test_each_thing_that_is_done_or_tried_is_recorded(served: Served):
    token = served.user("vera", "viewer")
    served.ask("POST", "/agents/ppo/promote", token=token, json={"version": 2})
    served.client.post("/auth/login", json={"username": "vera", "password": "wrong"})
    served.client.post("/auth/login", json={"username": "no one", "password": "wrong"})
    served.ask("DELETE", "/users/vera")
    found = [
        (item["actor"], item["action"], item["target"], item["result"])
        for item in reversed(served.get("/audit")["items"])
    ]
    assert found[0] == ("orchestration", "stack.begin", "redis", "ok")
    assert [one for one in found if one[1] not in ("agents.register", "auth.login")][1:] == [
        ("admin", "users.create", "users/vera", "ok"),
        ("vera", "access.denied", "POST /agents/ppo/promote", "denied"),
        ("admin", "users.delete", "users/vera", "ok"),
    ]
    # Who does not exist is not named: it may be a password.
    failed = [(one[0], one[2]) for one in found if one[3] == "failed"]
    assert failed == [("vera", "auth"), ("unknown", "auth")]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("actor", "mallory"),
        ("action", "test.other"),
        ("target", "another test"),
        ("result", "denied"),
        ("request_id", "r-other"),
    ],
)
def test_records_are_filtered_by_each_member(served: Served, member: str, value: str):
    record(served, 3)
    record(served, 2, **{member: value})
    record(served, 1)
    last = served.get("/audit", limit=1, actor="carol")["items"][0]["seq"]
    found = served.get("/audit", **{member: value})
    assert [item["seq"] for item in found["items"]] == [last - 1, last - 2]
    assert all(item[member] == value for item in found["items"])
    assert served.get("/audit", **{member: f"{value}."})["items"] == []


def test_filters_are_all_to_be_met(served: Served):
    record(served, 1, actor="mallory")
    record(served, 1, actor="mallory", result="denied")
    record(served, 1, result="denied")
    found = served.get("/audit", actor="mallory", result="denied")["items"]
    assert [(item["actor"], item["result"]) for item in found] == [("mallory", "denied")]


def test_records_are_filtered_by_time_with_both_ends(served: Served):
    times = []
    for _ in range(4):
        served.clock.advance(100)
        record(served, 1)
        times.append(served.get("/audit", action="test.write", limit=1)["items"][0]["time"])

    def found(**span: float) -> list[float]:
        items = served.get("/audit", action="test.write", **span)["items"]
        return [item["time"] for item in reversed(items)]

    assert found(since=times[1]) == times[1:]
    assert found(until=times[1]) == times[:2]
    assert found(since=times[1], until=times[2]) == times[1:3]
    assert found(since=times[3] + 1) == []


@pytest.mark.parametrize(
    "params",
    [{"since": "soon"}, {"since": "nan"}, {"until": "inf"}, {"limit": 0}, {"limit": 201}]
    + [{"cursor": cursor} for cursor in ("x", "LTU=", "NS41", "MTAwMDAwMDAwMDAwMDAwMDA=")],
)
def test_what_cannot_be_asked_is_422(served: Served, params: dict[str, Any]):
    answer = served.ask("GET", "/audit", params=params)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == next(iter(params))


def test_pages_go_from_the_newest_to_the_oldest_without_a_gap(served: Served):
    record(served, 20)
    found = pages(served, limit=7)
    numbers = [seq for page in found for seq in page]
    assert numbers == list(range(numbers[0], 0, -1))
    assert [len(page) for page in found[:-1]] == [7] * (len(found) - 1)
    assert pages(served, limit=7, action="test.write") == [
        numbers[:7],
        numbers[7:14],
        numbers[14:20],
    ]


def test_pages_have_no_gap_and_no_overlap_while_records_are_appended(served: Served):
    record(served, 20)
    page = served.get("/audit", limit=4)
    newest, numbers = page["items"][0]["seq"], []
    while True:
        numbers += [item["seq"] for item in page["items"]]
        record(served, 3)
        if page["next_cursor"] is None:
            break
        page = served.get("/audit", limit=4, cursor=page["next_cursor"])
    assert numbers == list(range(newest, 0, -1))


def test_a_log_is_valid_as_the_service_writes_it(served: Served, valkey: Valkey):
    record(served, 5)
    served.post("/agents/ppo/promote", {"version": 2})
    end = valkey.client.llen(RECORDS)
    found = served.get("/audit/verify")
    assert found == {
        **{"valid": True, "records": end, "first_bad": None, "head_seq": end},
        **{"checkpoints": found["checkpoints"]},
        **{"public_key": served.core.checkpoints.public_key},
    }


def test_checkpoints_are_signed_and_outlive_the_service(served: Served):
    record(served, 5)
    wait_until(lambda: served.get("/audit/verify")["checkpoints"] > 0)
    before = served.get("/audit/verify")
    served.restart()
    after = served.get("/audit/verify")
    assert after["valid"]
    assert after["checkpoints"] >= before["checkpoints"]
    assert after["public_key"] == before["public_key"]


@pytest.mark.parametrize("tamper", ["edit", "delete", "swap", "insert", "cut", "cut with the end"])
def test_the_first_bad_record_is_named(served: Served, valkey: Valkey, tamper: str):
    record(served, 10)
    count = valkey.client.llen(RECORDS)
    kept = valkey.client.lrange(RECORDS, 0, -1)
    bad = count - 4
    match tamper:
        case "edit":
            valkey.client.lset(RECORDS, bad - 1, kept[bad - 1].replace("carol", "dave"))
        case "delete":
            valkey.client.lrem(RECORDS, 1, kept[bad - 1])
        case "swap":
            valkey.client.lset(RECORDS, bad - 1, kept[bad])
            valkey.client.lset(RECORDS, bad, kept[bad - 1])
        case "insert":
            valkey.client.linsert(RECORDS, "BEFORE", kept[bad - 1], kept[0])
        case _:
            valkey.client.ltrim(RECORDS, 0, bad - 2)
            if tamper == "cut with the end":
                mac = kept[bad - 2].split(" ")[0]
                valkey.client.set(HEAD, Head(bad - 1, mac).dump())
    found = served.get("/audit/verify")
    assert not found["valid"]
    assert found["first_bad"]["seq"] == bad
    assert found["records"] == bad - 1


@pytest.mark.parametrize(
    "kept",
    [
        *("", "nonsense", "0 []", '0 {"seq": "1"}', "\x00", "0 " + "[" * 10_000),
        "0 " + json.dumps({"seq": 1, "schema": 1, "time": "late", "actor": None}),
    ],
)
def test_a_damaged_record_is_shown_as_such_and_named(served: Served, valkey: Valkey, kept: str):
    valkey.client.lset(RECORDS, 2, kept)
    shown = served.get("/audit", result="damaged")["items"]
    assert [item["seq"] for item in shown] == [3]
    assert served.get("/audit", since=1.0)["items"]
    assert served.get("/audit/verify")["first_bad"] == {"seq": 3, "reason": "is not a record"}


def test_a_log_that_was_emptied_is_not_valid(served: Served, valkey: Valkey):
    record(served, 5)
    valkey.client.delete(RECORDS, HEAD)
    found = served.get("/audit/verify")
    assert (found["valid"], found["first_bad"]["seq"]) == (False, 1)


def test_an_end_that_was_spoilt_keeps_writes_out_and_is_named(served: Served, valkey: Valkey):
    served.login()
    valkey.client.set(HEAD, "nonsense")
    assert served.ask("POST", "/agents/ppo/promote", json={"version": 2}).status_code == 503
    assert served.get("/agents/ppo")["version"] == 1
    reason = served.get("/audit/verify")["first_bad"]["reason"]
    assert reason == "is not where the chain is said to end"


@pytest.mark.parametrize("path", ["/audit", "/audit/verify"])
def test_the_log_is_for_those_with_the_scope(served: Served, path: str):
    assert served.ask("GET", path, token=served.user("olivia", "operator")).status_code == 200
    assert served.ask("GET", path, token=served.user("vera", "viewer")).status_code == 403
    assert served.client.get(path).status_code == 401


def test_two_services_write_one_log(serve: Serve, valkey: Valkey):
    one, other = serve(valkey, "one"), serve(valkey, "other")
    for version in (2, 3, 4):
        one.post("/agents/ppo/promote", {"version": version})
        other.post("/agents/ppo/rollback")
    wait_until(lambda: one.get("/audit/verify")["checkpoints"] > 0)
    for served in (one, other):
        found = served.get("/audit/verify")
        assert found["valid"], found
    actions = [item["action"] for item in one.get("/audit", target="agents/ppo")["items"]]
    assert actions[:6] == ["agents.rollback", "agents.promote"] * 3
