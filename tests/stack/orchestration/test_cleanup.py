"""Cleanup: what it removes by the clock, and what it leaves."""

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tarslab.stack.audit.log import CHECKPOINTS
from tarslab.stack.orchestration import maintenance
from tarslab.stack.snapshot import KEYS, REVOKED
from tarslab.stack.store import RECORDS
from tarslab.stack.web.bodies import IDEMPOTENCY
from tarslab.stack.web.context import USED
from tests.stack.conftest import Serve
from tests.stack.served import Served, Valkey
from tests.stack.waiting import wait_until

DAY = 86_400
NOTHING = {
    **{"api_keys": 0, "sessions": 0, "tokens": 0},
    **{"revocations": 0, "signing_keys": 0, "idempotency_keys": 0},
}


def clean(served: Served, **params: Any) -> dict[str, int]:
    """What a cleanup removed."""
    done = served.post("/maintenance/cleanup", **params)
    assert done["healthy_before"]
    assert done["healthy_after"]
    assert done["seconds"] > 0
    return dict(done["removed"])


def key(served: Served, **members: Any) -> dict[str, Any]:
    """A new API key."""
    body = {"name": "of a test", "scopes": ["agents:read"], **members}
    return dict(served.post("/api-keys", body))


def removed_at(served: Served, kind: str, moments: Sequence[float]) -> list[int]:
    """How many of a kind could be removed at each moment from now on."""
    found, passed = [], 0.0
    for moment in moments:
        served.clock.advance(moment - passed)
        passed = moment
        found.append(clean(served, dry_run=True)[kind])
    return found


def counters(served: Served) -> dict[str, float]:
    """The figures of cleanups, as Prometheus reads them."""
    families = text_string_to_metric_families(served.client.get("/metrics").text)
    return {
        f"{sample.name} {value}": sample.value
        for family in families
        if family.name.startswith("tars_cleanup")
        for sample in family.samples
        if not sample.name.endswith("_created")
        for value in sample.labels.values()
    }


def test_a_new_stack_has_nothing_to_remove(served: Served):
    assert clean(served) == NOTHING


def test_a_token_is_removed_when_its_life_ends(served: Served):
    served.login()
    assert removed_at(served, "tokens", [0, 200, 241]) == [0, 0, 2]
    # admin's own, with which this is asked for.
    assert clean(served)["tokens"] == 2
    assert clean(served)["tokens"] == 0
    assert served.get("/jwt/status")["keys"][0]["live_tokens"] == 1


def test_a_session_is_removed_when_its_refresh_tokens_end(serve: Serve, valkey: Valkey):
    served = serve(valkey, refresh_seconds=5000)
    session = served.login()
    assert removed_at(served, "sessions", [0, 4990, 5001]) == [0, 0, 2]
    assert clean(served)["sessions"] == 2
    answer = served.client.post("/auth/refresh", json={"refresh_token": session["refresh_token"]})
    assert answer.status_code == 401


def test_a_revocation_is_removed_when_no_token_can_live_any_more(served: Served, valkey: Valkey):
    token = served.login()["access_token"]
    served.ask("POST", "/auth/logout", token=token)
    # The longest life that can be set, and the skew.
    assert removed_at(served, "revocations", [0, 925, 931]) == [0, 0, 1]
    assert clean(served)["revocations"] == 1
    assert valkey.client.hlen(REVOKED) == 0
    assert served.ask("GET", "/auth/me", token=token).status_code == 401


def test_api_keys_are_kept_a_month_after_their_end(served: Served, valkey: Valkey):
    kept, revoked, expired = key(served), key(served), key(served, expires_in=DAY)
    for one in (kept, revoked, expired):
        assert served.ask("GET", "/auth/me", token=one["key"]).status_code == 200
    wait_until(lambda: valkey.client.hlen(USED) == 3)
    served.ask("DELETE", f"/api-keys/{revoked['id']}")
    assert removed_at(served, "api_keys", [29 * DAY, 30 * DAY, 31 * DAY]) == [0, 1, 2]
    assert clean(served)["api_keys"] == 2
    assert [one["id"] for one in served.get("/api-keys")["items"]] == [kept["id"]]
    assert served.ask("GET", f"/api-keys/{revoked['id']}").status_code == 404
    assert served.ask("GET", "/auth/me", token=kept["key"]).status_code == 200
    assert valkey.client.hkeys(KEYS) == [kept["id"]]
    assert valkey.client.hkeys(USED) == [kept["id"]]


def test_signing_keys_are_kept_a_month_after_they_verified(served: Served):
    served.post("/jwt/rotate")
    retired, active, following = (one["kid"] for one in served.get("/jwt/status")["keys"])
    served.post(f"/jwt/keys/{following}/invalidate")
    moments = [300, 30 * DAY, 30 * DAY + 300]
    assert removed_at(served, "signing_keys", moments) == [0, 1, 2]
    assert clean(served)["signing_keys"] == 2
    left = served.get("/jwt/status")["keys"]
    assert [one["state"] for one in left] == ["active", "next"]
    assert not {retired, following} & {one["kid"] for one in left}
    assert left[0]["kid"] == active


def test_idempotency_keys_are_kept_a_day(served: Served, valkey: Valkey):
    body = {"name": "of a test", "scopes": ["agents:read"]}
    headers = {"Idempotency-Key": "one"}
    served.ask("POST", "/api-keys", json=body, headers=headers)
    assert removed_at(served, "idempotency_keys", [0, DAY - 10, DAY + 1]) == [0, 0, 1]
    assert clean(served)["idempotency_keys"] == 1
    assert valkey.client.hlen(IDEMPOTENCY) == 0


def everything_is_over(served: Served) -> None:
    """Some of each kind, and the day when all of it can go."""
    served.ask("POST", "/auth/logout", token=served.login()["access_token"])
    one = key(served)
    served.ask("DELETE", f"/api-keys/{one['id']}")
    served.post("/jwt/rotate")
    headers = {"Idempotency-Key": "one"}
    body = {"name": "of a test", "scopes": ["agents:read"]}
    served.ask("POST", "/api-keys", json=body, headers=headers)
    served.clock.advance(40 * DAY)


def test_a_dry_run_says_what_a_cleanup_does_and_does_nothing(served: Served, valkey: Valkey):
    everything_is_over(served)
    served.login()

    def kept() -> dict[str, Any]:
        # As MIGRATE would send it; limits are counted and checkpoints signed meanwhile.
        return {
            name: valkey.client.execute_command("DUMP", name, NEVER_DECODE=True)
            for name in valkey.client.scan_iter()
            if not name.startswith("limit:") and name != CHECKPOINTS
        }

    served.get("/agents")
    before = kept()
    told = clean(served, dry_run=True)
    assert all(count > 0 for count in told.values()), told
    assert kept() == before
    assert clean(served) == told
    assert clean(served) == NOTHING


def test_a_cleanup_is_audited_with_its_figures_and_a_dry_run_is_not(served: Served, valkey: Valkey):
    everything_is_over(served)
    served.login()
    served.get("/agents")
    count = valkey.client.llen(RECORDS)
    told = clean(served, dry_run=True)
    assert valkey.client.llen(RECORDS) == count
    clean(served)
    (found,) = served.get("/audit", action="maintenance.cleanup")["items"]
    assert (found["actor"], found["target"], found["detail"]) == ("admin", "redis", told)
    assert served.get("/audit/verify")["valid"]


def test_a_cleanup_says_its_figures_to_prometheus(served: Served):
    everything_is_over(served)
    told = clean(served, dry_run=True)
    assert counters(served) == {"tars_cleanups_total rehearsed": 1.0}
    clean(served)
    clean(served)
    assert counters(served) == {
        **{f"tars_cleanup_removed_total {kind}": count for kind, count in told.items()},
        **{"tars_cleanups_total rehearsed": 1.0, "tars_cleanups_total ok": 2.0},
    }


def test_a_cleanup_is_refused_while_redis_is_out(own_valkey: Valkey, serve: Serve):
    served = serve(own_valkey, redis_probe_seconds=0.02)
    served.login()
    token = served.login()["access_token"]
    own_valkey.kill()
    for params in ({}, {"dry_run": True}):
        answer = served.ask("POST", "/maintenance/cleanup", token=token, params=params)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
    assert counters(served) == {"tars_cleanups_total refused": 2.0}
    own_valkey.start()
    wait_until(lambda: served.get("/jwt/status")["mode"] == "normal")
    refused = served.get("/audit", action="mode.refused")["items"]
    assert [one["target"] for one in refused] == ["POST /maintenance/cleanup"] * 2
    assert clean(served) == NOTHING


def test_a_redis_that_goes_in_the_middle_of_it_is_told(
    own_valkey: Valkey, serve: Serve, monkeypatch: pytest.MonkeyPatch
):
    served = serve(own_valkey)
    token = served.login()["access_token"]
    remove = maintenance._remove

    async def kill_and_remove(*arguments: Any) -> Any:
        own_valkey.kill()
        return await remove(*arguments)

    monkeypatch.setattr(maintenance, "_remove", kill_and_remove)
    answer = served.ask("POST", "/maintenance/cleanup", token=token)
    assert answer.status_code == 503
    assert counters(served) == {"tars_cleanups_total failed": 1.0}
    own_valkey.start()


def test_a_cleanup_is_for_admins(served: Served):
    token = served.user("olivia", "operator")
    assert served.ask("POST", "/maintenance/cleanup", token=token).status_code == 403
    assert served.client.post("/maintenance/cleanup").status_code == 401
