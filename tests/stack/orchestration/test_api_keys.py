"""API keys over HTTP: created, rotated, revoked, used, and kept."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tarslab.stack.snapshot import KEYS
from tarslab.stack.web.context import USED
from tests.stack.conftest import Serve
from tests.stack.served import Served, Valkey
from tests.stack.waiting import wait_until

ALL = ("agents:read", "agents:write", "keys:read", "keys:write", "jwt:read", "audit:read")


def created(served: Served, *scopes: str, **members: Any) -> dict[str, Any]:
    """A new key of admin's, as it is shown once."""
    body = {"name": "of a test", "scopes": scopes or ["agents:read"], **members}
    return dict(served.post("/api-keys", body))


def is_good(served: Served, key: str) -> bool:
    """Whether a key is let in."""
    status = served.ask("GET", "/auth/me", token=key).status_code
    assert status in (200, 401)
    return status == 200


def everything(valkey: Valkey) -> Iterator[str]:
    """All that is kept in Redis."""
    for name in valkey.client.scan_iter():
        yield name
        # As MIGRATE would send it, whatever its type.
        yield valkey.client.execute_command("DUMP", name, NEVER_DECODE=True).decode("latin-1")


def test_a_key_is_shown_once_and_never_again(served: Served, valkey: Valkey):
    answer = served.ask(
        "POST", "/api-keys", json={"name": "ci", "scopes": ["jwt:read", "agents:read", "jwt:read"]}
    )
    assert answer.status_code == 201
    made = answer.json()
    key = made.pop("key")
    assert made == {
        **{"id": made["id"], "name": "ci", "prefix": key[:9], "owner": "admin"},
        **{"scopes": ["agents:read", "jwt:read"], "created_at": made["created_at"]},
        **{"expires_at": None, "last_used_at": None, "state": "active", "overlap_until": None},
    }
    assert served.get(f"/api-keys/{made['id']}") == made
    assert served.get("/api-keys")["items"] == [made]
    shown = served.client.get("/metrics").text + str(served.get("/audit"))
    assert key[9:] not in shown
    assert not any(key[9:] in kept for kept in everything(valkey))
    assert hashlib.sha256(key.encode()).hexdigest() in valkey.client.hget(KEYS, made["id"])


def test_a_key_is_let_in_with_its_scopes(served: Served):
    key = created(served, "agents:read", "audit:read")
    me = served.ask("GET", "/auth/me", token=key["key"]).json()
    assert me == {
        **{"name": f"key:{key['id']}", "kind": "api_key", "role": None, "session": None},
        **{"scopes": ["agents:read", "audit:read"], "expires_at": None},
    }
    assert served.ask("GET", "/agents", token=key["key"]).status_code == 200
    denied = served.ask("GET", "/api-keys", token=key["key"])
    assert denied.status_code == 403
    assert "keys:read" in denied.json()["detail"]


def test_keys_are_listed_oldest_first_page_by_page(served: Served):
    ids = []
    for _ in range(5):
        served.clock.advance(1.0)
        ids.append(created(served)["id"])
    found, cursor = [], None
    while True:
        page = served.get("/api-keys", limit=2, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= 2
        found += [key["id"] for key in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == ids


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "line\nfeed"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["agents:fly"]}, "scopes.0"),
        ({"expires_in": 59}, "expires_in"),
        ({"expires_in": 366 * 86_400 + 1}, "expires_in"),
        ({"expires_in": "60"}, "expires_in"),
        ({"owner": "carol"}, "owner"),
    ],
)
def test_what_a_key_cannot_be_is_422_at_its_member(
    served: Served, members: dict[str, Any], field: str
):
    body = {"name": "of a test", "scopes": ["agents:read"], **members}
    answer = served.ask("POST", "/api-keys", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert served.get("/api-keys")["items"] == []


@pytest.mark.parametrize("cursor", ["%", "AA=A", "\N{GREEK SMALL LETTER ALPHA}", "_w=="])
def test_a_cursor_that_no_list_gave_out_is_422(served: Served, cursor: str):
    answer = served.ask("GET", "/api-keys", params={"cursor": cursor})
    assert answer.status_code == 422


def test_a_key_expires_by_the_clock(served: Served):
    key = created(served, expires_in=100)
    assert key["expires_at"] == pytest.approx(key["created_at"] + 100)
    served.clock.advance(90)
    assert is_good(served, key["key"])
    served.clock.advance(10)
    assert not is_good(served, key["key"])
    assert served.get(f"/api-keys/{key['id']}")["state"] == "expired"


def test_both_keys_are_good_while_a_rotation_overlaps(served: Served):
    before = created(served)
    after = served.post(f"/api-keys/{before['id']}/rotate", {"overlap_seconds": 600})
    assert after["id"] == before["id"]
    assert after["key"] != before["key"]
    assert after["prefix"] == after["key"][:9]
    assert after["state"] == "rotating"
    assert after["overlap_until"] == pytest.approx(served.clock.now() + 600, abs=30)
    served.clock.advance(500)
    assert [is_good(served, key["key"]) for key in (before, after)] == [True, True]
    served.clock.advance(100)
    assert [is_good(served, key["key"]) for key in (before, after)] == [False, True]
    shown = served.get(f"/api-keys/{before['id']}")
    assert (shown["state"], shown["overlap_until"]) == ("active", None)


@pytest.mark.parametrize(
    ("body", "overlap"), [(None, 3600), ({}, 3600), ({"overlap_seconds": 0}, 0)]
)
def test_an_overlap_is_an_hour_unless_it_is_said(served: Served, body: Any, overlap: int):
    before = created(served)
    after = served.post(f"/api-keys/{before['id']}/rotate", body)
    assert after["state"] == ("rotating" if overlap else "active")
    if overlap:
        served.clock.advance(overlap - 60)
        assert is_good(served, before["key"])
        served.clock.advance(60)
    assert [is_good(served, key["key"]) for key in (before, after)] == [False, True]


def test_a_rotation_keeps_the_end_the_scopes_and_the_last_use(served: Served):
    before = created(served, "agents:read", "jwt:read", expires_in=1000)
    assert is_good(served, before["key"])
    after = served.post(f"/api-keys/{before['id']}/rotate")
    for member in ("name", "scopes", "owner", "created_at", "expires_at"):
        assert after[member] == before[member]
    assert after["last_used_at"] is not None
    served.clock.advance(1000)
    assert [is_good(served, key["key"]) for key in (before, after)] == [False, False]


def test_a_revoked_key_is_refused_from_the_next_request_on(served: Served):
    before = created(served)
    after = served.post(f"/api-keys/{before['id']}/rotate")
    assert is_good(served, after["key"])
    for _ in range(2):
        assert served.ask("DELETE", f"/api-keys/{before['id']}").status_code == 204
        assert [is_good(served, key["key"]) for key in (before, after)] == [False, False]
    assert served.get(f"/api-keys/{before['id']}")["state"] == "revoked"


def test_a_key_that_is_over_is_not_rotated(served: Served):
    revoked, expired = created(served), created(served, expires_in=60)
    served.ask("DELETE", f"/api-keys/{revoked['id']}")
    served.clock.advance(60)
    for key, state in ((revoked, "revoked"), (expired, "expired")):
        answer = served.ask("POST", f"/api-keys/{key['id']}/rotate")
        assert answer.status_code == 409
        assert state in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/rotate")])
def test_a_key_that_is_not_there_is_404(served: Served, method: str, path: str):
    assert served.ask(method, f"/api-keys/{'0' * 32}{path}").status_code == 404
    assert served.ask(method, f"/api-keys/not-an-id{path}").status_code == 422


def test_the_last_use_is_told_and_kept(served: Served, valkey: Valkey):
    key = created(served)
    served.clock.advance(100)
    before = served.clock.now()
    assert is_good(served, key["key"])
    used = served.get(f"/api-keys/{key['id']}")["last_used_at"]
    assert before <= used <= served.clock.now()
    wait_until(lambda: valkey.client.hget(USED, key["id"]) is not None)
    served.restart()
    assert served.get(f"/api-keys/{key['id']}")["last_used_at"] == used


def test_keys_outlive_redis_and_the_service(own_valkey: Valkey, serve: Serve):
    served = serve(own_valkey)
    good, revoked = created(served), created(served)
    rotated = served.post(f"/api-keys/{good['id']}/rotate")
    served.ask("DELETE", f"/api-keys/{revoked['id']}")
    before = served.get("/api-keys")
    served.stop()
    own_valkey.stop()
    own_valkey.start()
    served.start()
    after = served.get("/api-keys")
    assert after == before
    keys = (good, rotated, revoked)
    assert [is_good(served, key["key"]) for key in keys] == [True, True, False]


def test_keys_verify_from_memory_while_redis_is_out(own_valkey: Valkey, serve: Serve):
    served = serve(own_valkey, redis_probe_seconds=0.02)
    good, short, revoked = created(served), created(served, expires_in=100), created(served)
    served.ask("DELETE", f"/api-keys/{revoked['id']}")
    own_valkey.kill()
    keys = (good, short, revoked)
    assert [is_good(served, key["key"]) for key in keys] == [True, True, False]
    served.clock.advance(100)
    assert [is_good(served, key["key"]) for key in keys] == [True, False, False]
    answer = served.ask("GET", f"/api-keys/{good['id']}")
    assert (answer.status_code, answer.headers["x-mode"]) == (200, "legacy")
    for method, path, body in (
        ("POST", "/api-keys", {"name": "x", "scopes": ["agents:read"]}),
        ("POST", f"/api-keys/{good['id']}/rotate", None),
        ("DELETE", f"/api-keys/{good['id']}", None),
    ):
        refused = served.ask(method, path, json=body)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
    own_valkey.start()
    wait_until(lambda: served.get("/jwt/status")["mode"] == "normal")
    assert [is_good(served, key["key"]) for key in keys] == [True, False, False]
    assert len(served.get("/api-keys")["items"]) == 3


def test_a_key_gives_no_more_than_it_has(served: Served):
    key = created(served, "keys:write", "keys:read", "agents:read")
    ask = {"name": "more", "scopes": ["agents:read", "agents:write"]}
    answer = served.ask("POST", "/api-keys", token=key["key"], json=ask)
    assert answer.status_code == 403
    assert answer.json()["detail"].endswith("lacks: agents:write")
    denied = served.get("/audit", action="access.denied")["items"][0]
    assert (denied["actor"], denied["detail"]) == (
        f"key:{key['id']}",
        {"scopes": ["agents:write"]},
    )
    child = served.ask(
        "POST", "/api-keys", token=key["key"], json={**ask, "scopes": ["agents:read"]}
    ).json()
    # What a key makes is its owner's.
    assert child["owner"] == "admin"
    stronger = created(served, *ALL)
    rotate = served.ask("POST", f"/api-keys/{stronger['id']}/rotate", token=key["key"])
    assert rotate.status_code == 403
    assert is_good(served, stronger["key"])


def test_two_services_see_each_other_s_keys_at_the_next_request(serve: Serve, valkey: Valkey):
    one, other = serve(valkey, "one"), serve(valkey, "other")
    for _ in range(5):
        key = created(one)
        assert is_good(other, key["key"])
        rotated = other.post(f"/api-keys/{key['id']}/rotate", {"overlap_seconds": 0})
        assert [is_good(one, made["key"]) for made in (key, rotated)] == [False, True]
        one.ask("DELETE", f"/api-keys/{key['id']}")
        assert not is_good(other, rotated["key"])


def test_what_is_done_to_keys_is_audited(served: Served):
    key = created(served, "jwt:read", "agents:read")
    served.post(f"/api-keys/{key['id']}/rotate", {"overlap_seconds": 5})
    served.ask("DELETE", f"/api-keys/{key['id']}")
    records = served.get("/audit", target=f"api-keys/{key['id']}")["items"]
    assert [(record["action"], record["detail"]) for record in records] == [
        ("api_keys.revoke", {}),
        ("api_keys.rotate", {"overlap_seconds": 5}),
        ("api_keys.create", {"scopes": ["agents:read", "jwt:read"]}),
    ]
