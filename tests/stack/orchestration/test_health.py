"""Whether services are well, and what they tell Prometheus."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.stack.conftest import Serve
from tests.stack.served import Served, Valkey
from tests.stack.waiting import wait_until


def samples(served: Served) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All figures, as Prometheus's own parser reads them."""
    answer = served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def figure(served: Served, name: str, **labels: str) -> float:
    """One figure; 0 where it was not counted yet."""
    return samples(served).get((f"tars_{name}", frozenset(labels.items())), 0.0)


def test_a_service_that_answers_lives(served: Served):
    answer = served.client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_service_with_redis_is_ready(served: Served):
    answer = served.client.get("/health/ready")
    body = answer.json()
    assert answer.status_code == 200
    assert body["store"]["seconds"] > 0
    assert body["snapshot_age"] >= 0
    assert {**body, "store": body["store"]["up"], "snapshot_age": None} == {
        **{"status": "ready", "service": "orchestration", "mode": "normal"},
        **{"store": True, "snapshot_age": None},
    }


def test_a_service_without_redis_is_ready_in_legacy_mode_and_its_snapshot_ages(
    own_valkey: Valkey, serve: Serve
):
    served = serve(own_valkey)
    own_valkey.kill()
    wait_until(lambda: served.client.get("/health/ready").json()["mode"] == "legacy")
    served.clock.advance(1000)
    answer = served.client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["store"] == {"up": False, "seconds": None}
    assert answer.json()["snapshot_age"] >= 1000
    own_valkey.start()


def test_a_service_that_never_had_redis_is_not_ready(own_valkey: Valkey, serve: Serve):
    own_valkey.kill()
    served = serve(own_valkey, redis_probe_seconds=0.02)
    answer = served.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "starting"
    assert served.client.get("/health/live").status_code == 200
    jwks = served.client.get("/.well-known/jwks.json")
    assert (jwks.status_code, "retry-after" in jwks.headers) == (503, True)
    own_valkey.start()
    wait_until(lambda: served.client.get("/health/ready").status_code == 200)


def test_requests_are_counted_by_route_and_never_by_what_stands_in_the_path(served: Served):
    served.login()
    for agent in ("ppo", "dqn", "nobody-knows"):
        served.ask("GET", f"/agents/{agent}")
    for path in ("/x", "/y"):
        served.client.get(path)
    route = {"method": "GET", "route": "/agents/{agent_id}"}
    assert figure(served, "http_requests_total", **route, status="200") == 2
    assert figure(served, "http_requests_total", **route, status="404") == 1
    unknown = {"method": "GET", "route": "unknown", "status": "404"}
    assert figure(served, "http_requests_total", **unknown) == 2
    assert figure(served, "http_request_duration_seconds_count", **route) == 3
    routes = {dict(labels).get("route", "") for _, labels in samples(served)}
    assert not routes & {"/agents/ppo", "/agents/nobody-knows", "/x", "/y"}


def test_logins_are_counted_by_how_they_went(served: Served):
    served.login()
    for _ in range(6):
        served.client.post("/auth/login", json={"username": "admin", "password": "wrong"})
    counts = {
        result: figure(served, "logins_total", result=result)
        for result in ("ok", "failed", "throttled")
    }
    assert counts == {"ok": 1, "failed": 5, "throttled": 1}
    assert figure(served, "rate_limit_hits_total", limit="login-user") == 1


def test_tokens_are_counted_and_timed(served: Served):
    token = served.login()["access_token"]
    for _ in range(3):
        served.ask("GET", "/auth/me", token=token)
    served.ask("GET", "/auth/me", token=token[:-9] + "A" * 9)
    served.ask("GET", "/auth/me", token="nonsense")
    assert figure(served, "jwt_issue_duration_seconds_count") == 1
    assert figure(served, "jwt_verify_duration_seconds_count") == 5
    assert figure(served, "jwt_refused_total", reason="signature") == 1
    assert figure(served, "jwt_refused_total", reason="malformed") == 1


def test_requests_over_the_limit_are_counted(serve: Serve, valkey: Valkey):
    served = serve(valkey, requests_per_second=2)
    statuses = [served.client.get("/auth/me").status_code for _ in range(40)]
    over = statuses.count(429)
    assert over > 0
    assert figure(served, "rate_limit_hits_total", limit="default") == over


def test_an_outage_and_what_waits_are_told(own_valkey: Valkey, serve: Serve):
    served = serve(own_valkey, redis_probe_seconds=0.02)
    served.login()
    assert figure(served, "legacy_mode") == 0
    own_valkey.kill()
    wait_until(lambda: figure(served, "legacy_mode") == 1)
    for _ in range(3):
        served.login()
    # Three logins, and that Redis is out.
    assert figure(served, "audit_queue_length") == 4
    own_valkey.start()
    wait_until(lambda: figure(served, "legacy_mode") == 0)
    assert figure(served, "audit_queue_length") == 0
    assert figure(served, "audit_replayed_total") == 4


def test_a_service_says_which_it_is_and_how_its_process_is(served: Served):
    assert figure(served, "service_info", service="orchestration") == 1
    names = {name for name, _ in samples(served)}
    assert {"process_cpu_seconds_total", "python_info"} <= names


def test_two_services_in_one_process_count_apart(serve: Serve, valkey: Valkey):
    one, other = serve(valkey, "one"), serve(valkey, "other")
    one.login()
    assert figure(one, "logins_total", result="ok") == 1
    assert figure(other, "logins_total", result="ok") == 0


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/openapi.json"])
def test_what_is_public_needs_no_token(served: Served, path: str):
    assert served.client.get(path).status_code == 200


def test_the_health_of_all_services_is_for_those_who_are_known(served: Served):
    assert served.client.get("/health/services").status_code == 401
    services = served.get("/health/services")["services"]
    assert services["orchestration"]["ready"]
    assert services["automl"] == {
        **{"ready": False, "mode": None, "seconds": None, "detail": "not configured"}
    }
