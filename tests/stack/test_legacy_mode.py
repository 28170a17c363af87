"""Redis is out, or hangs, or comes back: what goes on, what is refused, and what is made up for."""

import errno
import os
import signal
from typing import Any

import httpx
import psutil
import pytest

from tarslab.stack import Stack
from tarslab.stack.audit.chain import Event
from tarslab.stack.audit.queue import Queue
from tarslab.stack.snapshot import NAME, REWRITTEN_SECONDS
from tarslab.stack.web import app
from tests.stack.attacks.forging import accepted, decoded, parts
from tests.stack.attacks.on_keys import created
from tests.stack.attacks.on_logins import sign_in
from tests.stack.attacks.on_sessions import renewed
from tests.stack.conftest import OwnStack, Serve
from tests.stack.outage import QUICK, Outage, is_unavailable, metric
from tests.stack.served import PASSWORD, Served, Valkey, freeze
from tests.stack.waiting import LIMIT, wait_until

BOUND = 900


@pytest.fixture
def outage(serve: Serve, own_valkey: Valkey) -> Outage:
    """Orchestration on a Redis that the test may kill."""
    return Outage(serve(own_valkey, **QUICK), own_valkey)


def test_the_mode_is_in_the_status_the_responses_the_metrics_and_the_audit_log(outage):
    served = outage.served
    token = served.login()["access_token"]
    assert _told(served, token) == ("normal", "normal", "normal", 0.0)
    outage.begin()
    assert _told(served, token) == ("legacy", "legacy", "legacy", 1.0)
    assert metric(served, "tars_audit_queue_length") == 1
    outage.end()
    assert _told(served, token) == ("normal", "normal", "normal", 0.0)
    assert metric(served, "tars_audit_queue_length") == 0
    assert metric(served, "tars_audit_replayed_total") == 1
    began, ended = outage.events(target="redis")[-2:]
    assert (began["action"], began["actor"], began["mode"]) == (
        *("mode.legacy", "orchestration", "legacy"),
    )
    assert began["queued"]
    assert (ended["action"], ended["detail"]) == ("mode.normal", {"replayed": 1})
    assert not ended["queued"]


def test_tokens_and_api_keys_go_on_by_the_last_state_that_was_seen(outage):
    served = outage.served
    token, key = served.login()["access_token"], created(served, expires_in=120)["key"]
    keys = served.client.get("/.well-known/jwks.json").json()
    outage.begin()
    assert accepted(served, token)
    assert accepted(served, key)
    assert served.client.get("/.well-known/jwks.json").json() == keys
    served.clock.advance(120)
    assert not accepted(served, key)
    served.clock.advance(200)
    assert not accepted(served, token)


def test_logins_go_on_with_tokens_of_the_last_active_key_and_cannot_be_refreshed(outage):
    served = outage.served
    kid = parts(served.login()["access_token"])[0]["kid"]
    outage.begin()
    tokens = served.login()
    assert (tokens["refresh_token"], tokens["refresh_expires_in"]) == (None, None)
    assert tokens["mode"] == "legacy"
    assert parts(tokens["access_token"])[0]["kid"] == kid
    assert accepted(served, tokens["access_token"])
    assert sign_in(served, "admin", "wrong").status_code == 401
    outage.end()
    assert accepted(served, tokens["access_token"])
    assert served.ask("POST", "/auth/logout", token=tokens["access_token"]).status_code == 204
    assert not accepted(served, tokens["access_token"])


def test_logins_end_when_the_state_is_older_than_the_bound_and_go_on_when_redis_does(outage):
    served = outage.served
    outage.begin()
    served.clock.advance(BOUND - 60)
    assert sign_in(served, "admin").status_code == 200
    served.clock.advance(60)
    refused = sign_in(served, "admin")
    assert refused.status_code == 503
    assert "900 s" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) >= 1
    outage.end()
    assert sign_in(served, "admin").status_code == 200


def test_after_a_restart_in_an_outage_logins_go_on_though_nothing_had_changed_for_long(outage):
    served, snapshot = outage.served, outage.served.settings.data / NAME
    before = snapshot.read_bytes()
    served.clock.advance(2 * BOUND)
    # The file is told that nothing has changed: else its age would be that of the last change.
    wait_until(lambda: bool(snapshot.read_bytes() != before))
    assert REWRITTEN_SECONDS < BOUND
    outage.begin()
    served.restart()
    assert sign_in(served, "admin").status_code == 200
    served.clock.advance(BOUND)
    assert sign_in(served, "admin").status_code == 503


def test_what_must_be_written_is_refused_and_nothing_of_it_is_done(outage):
    served = outage.served
    tokens, key = served.login(), created(served)
    served.user("ada", "viewer")
    kid = served.get("/jwt/status")["keys"][0]["kid"]
    before = _state(served)
    outage.begin()
    credentials = {"username": "bob", "password": PASSWORD, "role": "viewer"}
    refused: list[tuple[str, str, Any]] = [
        ("POST", "/auth/logout", None),
        ("POST", "/api-keys", {"name": "new", "scopes": ["agents:read"]}),
        ("POST", f"/api-keys/{key['id']}/rotate", None),
        ("DELETE", f"/api-keys/{key['id']}", None),
        ("POST", "/users", credentials),
        ("DELETE", "/users/ada", None),
        ("POST", "/jwt/rotate", None),
        ("POST", f"/jwt/keys/{kid}/invalidate", None),
        ("POST", "/agents/dqn/promote", {"version": 2}),
        ("POST", "/agents/dqn/rollback", None),
        ("POST", "/agents/dqn/reload", None),
        ("POST", "/maintenance/cleanup", None),
    ]
    for method, path, body in refused:
        is_unavailable(served.ask(method, path, token=tokens["access_token"], json=body))
    refresh = {"refresh_token": tokens["refresh_token"]}
    is_unavailable(served.client.post("/auth/refresh", json=refresh))
    outage.end()
    assert _state(served) == before
    assert renewed(served, tokens["refresh_token"]) is not None
    assert accepted(served, key["key"])
    told = [event["target"] for event in outage.events(action="mode.refused", actor="admin")]
    assert told == [f"{method} {path}" for method, path, _ in refused]


def test_what_is_in_memory_is_read_and_what_is_not_is_refused(outage):
    served = outage.served
    key = created(served)
    before = _state(served)
    token = served.login()["access_token"]
    outage.begin()
    assert _state(served, token) == before
    assert served.ask("GET", f"/api-keys/{key['id']}", token=token).status_code == 200
    assert served.ask("GET", "/agents/dqn/metrics", token=token).status_code == 200
    status = served.ask("GET", "/jwt/status", token=token).json()
    assert {key["live_tokens"] for key in status["keys"]} == {None}
    for path in ("/audit", "/audit/verify"):
        is_unavailable(served.ask("GET", path, token=token))


def test_requests_are_limited_in_memory(serve: Serve, own_valkey, monkeypatch):
    freeze(monkeypatch)
    outage = Outage(serve(own_valkey, requests_per_second=5, **QUICK), own_valkey)
    served = outage.served
    token = served.login()["access_token"]
    served.user("ada", "viewer")
    other = served.login("ada")["access_token"]
    outage.begin()
    served.clock.advance(5)
    answers = [served.ask("GET", "/auth/me", token=token) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=5;w=1'
    assert answers[-1].headers["retry-after"] == "1"
    assert accepted(served, other)
    served.clock.advance(1)
    assert accepted(served, token)


def test_a_redis_that_hangs_is_out_and_every_request_is_answered(serve: Serve, own_valkey):
    served = serve(own_valkey, redis_timeout=0.1, **QUICK)
    token, key = served.login()["access_token"], created(served)["key"]
    own_valkey.hang()
    try:
        # Some of them find out, the others do not wait at all.
        for _ in range(30):
            assert accepted(served, token)
            assert accepted(served, key)
        assert served.login()["mode"] == "legacy"
        is_unavailable(served.ask("POST", "/jwt/rotate", token=token))
        assert served.client.get("/health/ready").json()["store"] == {"up": False, "seconds": None}
    finally:
        own_valkey.go_on()
    served.wait_for("normal")
    assert served.login()["mode"] == "normal"
    assert served.get("/audit/verify")["valid"]


def test_a_redis_that_cannot_write_is_out(outage):
    served = outage.served
    token = served.login()["access_token"]
    outage.valkey.client.config_set("maxmemory", 1)
    assert accepted(served, token)
    served.wait_for("legacy")
    tokens = served.login()
    assert (tokens["mode"], tokens["refresh_token"]) == ("legacy", None)
    is_unavailable(served.ask("POST", "/jwt/rotate", token=token))
    outage.valkey.client.config_set("maxmemory", 0)
    served.wait_for("normal")
    actions = [event["action"] for event in outage.events() if event["queued"]]
    assert actions == ["mode.legacy", "auth.login", "mode.refused"]


def test_an_empty_redis_is_given_back_what_the_services_know_and_says_what_is_lost(outage):
    served = outage.served
    key = created(served)
    served.user("ada", "viewer")
    served.post("/agents/dqn/promote", {"version": 3})
    token = served.login()["access_token"]
    before = _state(served)
    # So that the end of the audit log is signed for.
    wait_until(lambda: served.get("/audit/verify")["checkpoints"] > 0)
    outage.begin()
    outage.valkey.hold(None)
    outage.end()
    assert _state(served) == before
    assert accepted(served, token)
    assert accepted(served, key["key"])
    assert sign_in(served, "ada").status_code == 200
    (event,) = outage.events(action="store.restored")
    assert event["detail"] == {"parts": ["ring", "users", "keys"]}
    proof = served.get("/audit/verify")
    assert not proof["valid"]
    assert served.ask("POST", "/jwt/rotate").status_code == 200


def test_a_redis_that_is_emptied_while_it_is_there_is_noticed(outage):
    served = outage.served
    key, before = created(served)["key"], _state(served)
    outage.valkey.client.flushall()
    wait_until(lambda: bool(outage.valkey.client.exists("ring")))
    served.wait_for("normal")
    assert accepted(served, key)
    assert _state(served) == before


def test_a_redis_whose_content_cannot_be_read_is_out(outage, caplog):
    served = outage.served
    token, ring = served.login()["access_token"], outage.valkey.client.get("ring")
    outage.valkey.client.set("ring", '{"hunter2"')
    outage.valkey.client.hincrby("epochs", "ring", 1)
    served.wait_for("legacy")
    assert accepted(served, token)
    assert "what it holds cannot be read" in caplog.text
    assert "hunter2" not in caplog.text
    outage.valkey.client.set("ring", ring)
    served.wait_for("normal")


def test_a_revocation_reaches_a_service_that_nobody_asks(serve: Serve, own_valkey):
    one, two = serve(own_valkey, "one", **QUICK), serve(own_valkey, "two", **QUICK)
    token, key = one.login()["access_token"], created(one)
    one.ask("POST", "/auth/logout", token=token)
    one.ask("DELETE", f"/api-keys/{key['id']}")
    wait_until(lambda: two.core.snapshot.epochs == one.core.snapshot.epochs)
    own_valkey.kill()
    two.wait_for("legacy")
    assert not accepted(two, token)
    assert not accepted(two, key["key"])


def test_a_first_start_without_redis_is_not_ready_and_then_is(serve: Serve, own_valkey):
    own_valkey.kill()
    served = serve(own_valkey, **QUICK)
    ready = served.client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "starting")
    assert ready.json()["snapshot_age"] is None
    for answer in (sign_in(served, "admin"), served.client.get("/.well-known/jwks.json")):
        is_unavailable(answer)
    assert served.ask("GET", "/auth/me", token="x.y.z").status_code == 503
    own_valkey.start()
    wait_until(lambda: served.client.get("/health/ready").status_code == 200)
    assert accepted(served, served.login()["access_token"])


def test_a_service_that_starts_in_an_outage_is_ready_by_its_sealed_snapshot(outage):
    served = outage.served
    token, key = served.login()["access_token"], created(served)["key"]
    outage.begin()
    served.restart()
    ready = served.client.get("/health/ready")
    assert (ready.status_code, ready.json()["mode"]) == (200, "legacy")
    assert metric(served, "tars_legacy_mode") == 1
    assert accepted(served, token)
    assert accepted(served, key)
    assert decoded(token.split(".")[1]) not in (served.settings.data / NAME).read_bytes()


def test_a_first_start_without_a_password_for_admin_says_what_is_missing(
    serve: Serve, valkey, caplog
):
    served = serve(valkey, admin_password=None)
    assert served.client.get("/health/ready").status_code == 503
    assert "TARSLAB_STACK_ADMIN_PASSWORD" in caplog.text
    assert valkey.client.keys() == []


def test_a_full_disk_when_redis_goes_does_not_keep_the_service_from_coming_back(
    outage, monkeypatch
):
    served = outage.served
    token = served.login()["access_token"]

    def full(queue: Queue, event: Event) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(app, "RETRY_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(Queue, "put", full)
        outage.begin()
        assert accepted(served, token)
        # What cannot be audited is not done.
        assert sign_in(served, "admin").status_code == 500
    outage.end()
    assert sign_in(served, "admin").status_code == 200


def test_when_a_key_was_last_used_in_an_outage_is_written_down_afterwards(
    serve, own_valkey, monkeypatch
):
    monkeypatch.setattr(app, "FLUSH_SECONDS", 0.05)
    outage = Outage(serve(own_valkey, **QUICK), own_valkey)
    key = created(outage.served)
    outage.begin()
    assert accepted(outage.served, key["key"])
    used = outage.served.core.used[key["id"]]
    outage.end()
    wait_until(lambda: own_valkey.client.hget("keys:used", key["id"]) == str(used))
    assert outage.served.get(f"/api-keys/{key['id']}")["last_used_at"] == used


def test_a_stack_of_real_processes_goes_through_outages_and_loses_nothing(own_stack: OwnStack):
    stack = own_stack()
    with httpx.Client(base_url=stack.url, timeout=LIMIT, trust_env=False) as client:
        tokens = _login(client, stack)
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        body = {"name": "revoked", "scopes": ["agents:read"]}
        key = client.post("/api-keys", json=body).json()
        assert client.delete(f"/api-keys/{key['id']}").status_code == 204

        stack.stop("redis")
        _wait_for(client, "legacy")
        # The other services find out for themselves.
        for service in ("automl", "hypersync"):
            with httpx.Client(base_url=stack.urls[service], timeout=LIMIT) as behind:
                _wait_for(behind, "legacy")
        assert _login(client, stack)["refresh_token"] is None
        stack.kill("orchestration")
        stack.wait_ready()
        assert client.get("/auth/me").status_code == 200
        revoked = {"X-API-Key": key["key"]}
        assert httpx.get(f"{stack.url}/auth/me", headers=revoked).status_code == 401
        is_unavailable(client.post("/jwt/rotate"))
        assert _login(client, stack)["mode"] == "legacy"
        stack.start("redis")
        _wait_for(client, "normal")

        (server,) = [process.pid for process in stack.status() if process.name == "redis"]
        assert server is not None
        os.kill(server, signal.SIGSTOP)
        try:
            _wait_for(client, "legacy")
            assert client.get("/auth/me").status_code == 200
        finally:
            psutil.Process(server).send_signal(signal.SIGCONT)
        _wait_for(client, "normal")

        logins = client.get("/audit", params={"action": "auth.login"}).json()["items"]
        assert [login["queued"] for login in logins] == [True, True, False]
        refused = client.get("/audit", params={"action": "mode.refused"}).json()["items"]
        assert [event["target"] for event in refused] == ["POST /jwt/rotate"]
        assert client.get("/audit/verify").json()["valid"]
        refresh = {"refresh_token": tokens["refresh_token"]}
        assert client.post("/auth/refresh", json=refresh).status_code == 200


def _state(served: Served, token: str | None = None) -> dict[str, Any]:
    """All that writes change, but when a key was last used."""

    def get(path: str) -> Any:
        answer = served.ask("GET", path, token=token)
        assert answer.status_code == 200
        return answer.json()

    keys = get("/jwt/status")["keys"]
    return {
        "users": get("/users"),
        "keys": [{**key, "last_used_at": None} for key in get("/api-keys")["items"]],
        "ring": [{**key, "live_tokens": None} for key in keys],
        "agents": [
            (one["id"], one["version"], one["loaded_at"]) for one in get("/agents")["items"]
        ],
    }


def _told(served: Served, token: str) -> tuple[str, str, str, float]:
    """The mode by the status, by a response, by the health, and by the metrics."""
    answer = served.ask("GET", "/jwt/status", token=token)
    health = served.client.get("/health/ready").json()
    legacy = metric(served, "tars_legacy_mode")
    return answer.json()["mode"], answer.headers["x-mode"], health["mode"], legacy


def _login(client: httpx.Client, stack: Stack) -> dict[str, Any]:
    credentials = {"username": "admin", "password": stack.admin_password}
    answer = client.post("/auth/login", json=credentials)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _wait_for(client: httpx.Client, mode: str) -> None:
    wait_until(lambda: bool(client.get("/health/live").headers["x-mode"] == mode))
