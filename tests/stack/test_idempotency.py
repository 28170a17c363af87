"""Creates that are sent twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.stack.attacks.forging import accepted
from tests.stack.served import PASSWORD, Served


@pytest.fixture
def make_key(served: Served) -> Callable[..., httpx.Response]:
    """Creates an API key with an idempotency key, and says what was answered."""

    def make(idempotency_key: str | bytes, name: str = "deploy", **options: Any) -> httpx.Response:
        body = {"name": name, "scopes": ["agents:read"]}
        headers: dict[str, Any] = {"Idempotency-Key": idempotency_key}
        return served.ask("POST", "/api-keys", json=body, headers=headers, **options)

    return make


def test_a_create_that_is_sent_twice_is_done_once_and_answered_twice(served, make_key):
    first, second = make_key("k-1"), make_key("k-1")
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert accepted(served, first.json()["key"])
    assert len(served.get("/api-keys")["items"]) == 1
    assert make_key("k-2").json()["key"] != first.json()["key"]


def test_creates_that_are_sent_at_once_are_one(served, make_key):
    served.get("/auth/me")
    with ThreadPoolExecutor(8) as threads:
        found = {answer.text for answer in threads.map(lambda _: make_key("k"), range(8))}
    assert len(found) == 1
    assert len(served.get("/api-keys")["items"]) == 1


def test_an_idempotency_key_is_good_for_one_body(served, make_key):
    make_key("k")
    answer = make_key("k", name="other")
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]


def test_an_idempotency_key_is_forgotten_after_a_day(served, make_key):
    first = make_key("k").json()
    served.clock.advance(86_400 - 60)
    assert make_key("k").json() == first
    served.clock.advance(120)
    assert make_key("k").json()["id"] != first["id"]


def test_a_create_that_is_sent_again_brings_no_revoked_key_back(served, make_key):
    key = make_key("k").json()
    served.ask("DELETE", f"/api-keys/{key['id']}")
    again = make_key("k").json()
    assert again["id"] == key["id"]
    assert not accepted(served, again["key"])
    assert served.get(f"/api-keys/{key['id']}")["state"] == "revoked"


def test_a_user_that_is_created_twice_is_one(served):
    body = {"username": "ada", "password": PASSWORD, "role": "viewer"}
    headers = {"Idempotency-Key": "k"}
    answers = [served.ask("POST", "/users", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    other = served.ask("POST", "/users", json={**body, "role": "admin"}, headers=headers)
    assert other.status_code == 422


def test_an_idempotency_key_has_a_form(make_key):
    for key in (b"", b"a b", b"a" * 129, b"\xe9", b"a\tb"):
        assert make_key(key).status_code == 422, key
    assert make_key(b"!" * 127 + b"~").status_code == 201
