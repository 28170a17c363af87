"""Errors as the API tells them (RFC 9457), and requests that are none."""

import logging
import re

import httpx
import pytest

from tarslab.stack.security.passwords import Passwords
from tests.stack.attacks.forging import accepted
from tests.stack.attacks.on_keys import created
from tests.stack.attacks.on_logins import sign_in
from tests.stack.attacks.on_requests import raw
from tests.stack.served import PASSWORD, Served


def _unauthorized(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.client.get("/auth/me", headers=IDENTIFIED)


def _forbidden(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.ask("GET", "/users", token=served.user("ada", "viewer"), headers=IDENTIFIED)


def _not_found(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.ask("GET", "/agents/none", headers=IDENTIFIED)


def _no_route(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.client.get("/none", headers=IDENTIFIED)


def _no_method(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.client.put("/auth/login", headers=IDENTIFIED)


def _conflict(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.ask("DELETE", "/users/admin", headers=IDENTIFIED)


def _too_large(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.client.post("/auth/login", content=b" " * 65_537, headers=IDENTIFIED)


def _too_large_in_chunks(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    pieces = iter([b" " * 60_000] * 2)
    return served.client.post("/auth/login", content=pieces, headers=IDENTIFIED)


def _invalid(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.client.post("/auth/login", json={"username": "a"}, headers=IDENTIFIED)


def _limited(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    for _ in range(5):
        sign_in(served, "admin", "wrong")
    body = {"username": "admin", "password": "wrong"}
    return served.client.post("/auth/login", json=body, headers=IDENTIFIED)


def _broken(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    async def verify(self: Passwords, hashed: str, password: str) -> bool:
        raise RuntimeError(password)

    monkeypatch.setattr(Passwords, "verify", verify)
    body = {"username": "admin", "password": PASSWORD}
    return served.client.post("/auth/login", json=body, headers=IDENTIFIED)


def _unavailable(served: Served, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    return served.ask("GET", "/studies", headers=IDENTIFIED)


IDENTIFIED = {"X-Request-ID": "a.b_c-1"}
PROBLEMS = [
    (_unauthorized, 401, "unauthorized", "/auth/me", {"www-authenticate": "Bearer"}),
    (_forbidden, 403, "forbidden", "/users", {}),
    (_not_found, 404, "not-found", "/agents/none", {}),
    (_no_route, 404, "not-found", "/none", {}),
    (_no_method, 405, "method-not-allowed", "/auth/login", {"allow": "POST"}),
    (_conflict, 409, "conflict", "/users/admin", {}),
    (_too_large, 413, "too-large", "/auth/login", {}),
    (_too_large_in_chunks, 413, "too-large", "/auth/login", {}),
    (_invalid, 422, "invalid", "/auth/login", {}),
    (_limited, 429, "rate-limited", "/auth/login", {"retry-after": "30|[12][0-9]"}),
    (_broken, 500, "internal", "/auth/login", {}),
    (_unavailable, 503, "unavailable", "/studies", {"retry-after": "60"}),
]


@pytest.mark.parametrize(("provoke", "status", "slug", "instance", "headers"), PROBLEMS)
def test_an_error_is_told_as_a_problem(
    served, monkeypatch, provoke, status, slug, instance, headers
):
    answer = provoke(served, monkeypatch)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == problem["status"] == status
    assert problem["type"] == f"urn:tarslab:problem:{slug}"
    assert problem["instance"] == instance
    assert answer.headers["x-request-id"] == problem["request_id"] == "a.b_c-1"
    assert problem["title"]
    assert problem["detail"]
    assert set(problem) - {"errors"} == {
        *("type", "title", "status", "detail", "instance", "request_id")
    }
    for name, value in headers.items():
        assert re.fullmatch(value, answer.headers[name])
    assert answer.headers["x-mode"] == "normal"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_invalid_body_is_told_by_its_members(served):
    body = {"username": "ada", "password": "short", "role": "root", "more": 1}
    problem = served.ask("POST", "/users", json=body).json()
    fields = [error["field"] for error in problem["errors"]]
    assert sorted(fields) == ["more", "password", "role"]
    assert all(error["message"] for error in problem["errors"])


def test_the_text_of_an_unforeseen_error_is_neither_told_nor_logged(served, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    answer = _broken(served, monkeypatch)
    assert answer.status_code == 500
    assert PASSWORD not in answer.text
    assert "RuntimeError" in caplog.text
    assert "a.b_c-1" in caplog.text
    assert PASSWORD not in caplog.text


def test_a_body_that_is_none_is_refused(served):
    bodies = (
        b"",
        b"{",
        b"[" * 60_000,
        b"\xff\xfe",
        b'{"username": "admin", "password": ' + b"1" * 5000 + b"}",
        b'{"username": "\\ud800", "password": "x"}',
        b'{"username": NaN, "password": Infinity}',
        b"null",
        b'"admin"',
    )
    headers = {"Content-Type": "application/json"}
    for body in bodies:
        answer = served.client.post("/auth/login", content=body, headers=headers)
        assert answer.status_code in (400, 422), body[:40]
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_time_that_is_no_number_is_refused(served):
    key = created(served)
    headers = {"Content-Type": "application/json"}
    for time_ in ("NaN", "Infinity", "-Infinity", "1e999"):
        for path, member in (
            (f"/api-keys/{key['id']}/rotate", "overlap_seconds"),
            ("/jwt/rotate", "grace_seconds"),
        ):
            content = f'{{"{member}": {time_}}}'.encode()
            answer = served.ask("POST", path, content=content, headers=headers)
            assert answer.status_code == 422, answer.text
    assert accepted(served, key["key"])


def test_bytes_that_are_no_request_are_refused(served):
    for request in (b"\0\0\0\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        assert raw(served, request).startswith(b"HTTP/1.1 400 ")
    assert served.client.get("/health/live").status_code == 200


def test_a_request_has_an_id_of_its_own_where_it_brings_none(served):
    found = {served.client.get("/health/live").headers["x-request-id"] for _ in range(3)}
    assert len(found) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in found)
