"""Signing in and out, what roles may do, and how much is too much."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers

from tarslab.stack.security import passwords
from tests.stack.attacks.forging import accepted, decoded, is_es256, parts
from tests.stack.attacks.on_keys import created
from tests.stack.attacks.on_logins import sign_in
from tests.stack.attacks.on_sessions import renewed
from tests.stack.conftest import Serve
from tests.stack.served import PASSWORD, freeze
from tests.stack.waiting import LIMIT

READS = {"agents:read", "jwt:read", "proposals:read", "studies:read"}
OPERATES = {
    "agents:write",
    "audit:read",
    "keys:read",
    "proposals:write",
    "studies:write",
}
ADMINISTERS = {
    "jwt:write",
    "keys:write",
    "maintenance:write",
    "users:read",
    "users:write",
}
SCOPES = {
    "viewer": READS,
    "operator": READS | OPERATES,
    "admin": READS | OPERATES | ADMINISTERS,
}
"""As the issue has them."""
NOBODY = "0" * 32
ROUTES = [
    ("GET", "/agents", "agents:read"),
    ("GET", "/agents/dqn", "agents:read"),
    ("GET", "/agents/dqn/metrics", "agents:read"),
    ("POST", "/agents/none/reload", "agents:write"),
    ("POST", "/agents/none/rollback", "agents:write"),
    ("POST", "/agents/none/promote", "agents:write"),
    ("GET", "/api-keys", "keys:read"),
    ("GET", f"/api-keys/{NOBODY}", "keys:read"),
    ("POST", "/api-keys", "keys:write"),
    ("POST", f"/api-keys/{NOBODY}/rotate", "keys:write"),
    ("DELETE", f"/api-keys/{NOBODY}", "keys:write"),
    ("GET", "/jwt/status", "jwt:read"),
    ("POST", "/jwt/rotate?rehearse=true", "jwt:write"),
    ("POST", f"/jwt/keys/{NOBODY}/invalidate", "jwt:write"),
    ("GET", "/audit", "audit:read"),
    ("GET", "/audit/verify", "audit:read"),
    ("GET", "/users", "users:read"),
    ("POST", "/users", "users:write"),
    ("DELETE", "/users/nobody", "users:write"),
    ("POST", "/maintenance/cleanup?dry_run=true", "maintenance:write"),
]
PUBLIC = ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/.well-known/jwks.json"]


def test_a_login_gives_tokens_and_says_what_they_are_good_for(served):
    tokens = served.login()
    assert tokens.pop("access_token").count(".") == 2
    assert tokens.pop("refresh_token").startswith("tarr_")
    assert tokens.pop("refresh_expires_in") == pytest.approx(7 * 86_400, abs=60)
    assert tokens == {
        "token_type": "Bearer",
        "expires_in": 240,
        "role": "admin",
        "scopes": sorted(SCOPES["admin"]),
        "mode": "normal",
    }


def test_an_access_token_is_a_jwt_that_the_published_key_verifies(served):
    token = served.login()["access_token"]
    header, claims = parts(token)
    (key,) = [
        key
        for key in served.client.get("/.well-known/jwks.json").json()["keys"]
        if key["kid"] == header["kid"]
    ]
    assert header == {"alg": "ES256", "kid": key["kid"], "typ": "at+jwt"}
    x, y = (int.from_bytes(decoded(key[name])) for name in ("x", "y"))
    public = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    message, _, signature = token.rpartition(".")
    is_es256(public, message.encode(), decoded(signature))
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("tars", "tars", "admin")
    assert claims["exp"] - claims["iat"] == 240
    assert claims["nbf"] == claims["iat"]


def test_an_access_token_is_good_until_it_expires_and_the_skew_is_over(served, monkeypatch):
    freeze(monkeypatch)
    token = served.login()["access_token"]
    served.clock.advance(240 + 30 - 1)
    assert accepted(served, token)
    served.clock.advance(1)
    assert not accepted(served, token)


def test_a_refresh_goes_on_with_the_session_and_does_not_prolong_it(served):
    first = served.login()
    served.clock.advance(3600)
    second = renewed(served, first["refresh_token"])
    assert second is not None
    sessions = [parts(tokens["access_token"])[1]["sid"] for tokens in (first, second)]
    assert sessions[0] == sessions[1]
    left = first["refresh_expires_in"] - second["refresh_expires_in"]
    assert left == pytest.approx(3600, abs=30)
    assert accepted(served, second["access_token"])


def test_of_many_refreshes_at_once_with_one_token_one_succeeds_and_the_session_ends(served):
    tokens = served.login()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: renewed(served, tokens["refresh_token"]), range(8)))
    good = [tokens for tokens in found if tokens is not None]
    assert len(good) == 1
    assert not accepted(served, good[0]["access_token"])
    assert renewed(served, good[0]["refresh_token"]) is None
    (event,) = served.get("/audit", action="auth.refresh_reused")["items"]
    assert (event["actor"], event["result"]) == ("admin", "denied")


def test_a_refresh_token_of_no_session_is_refused(served):
    for token in ("x", "tarr_", f"tarr_{NOBODY}.1.{'A' * 43}", f"tarr_{NOBODY}.-1.{'A' * 43}"):
        assert renewed(served, token) is None


def test_after_a_logout_the_session_is_over_and_others_go_on(served):
    tokens, other = served.login(), served.login()
    answer = served.ask("POST", "/auth/logout", token=tokens["access_token"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert served.ask("POST", "/auth/logout", token=tokens["access_token"]).status_code == 401
    assert renewed(served, tokens["refresh_token"]) is None
    assert accepted(served, other["access_token"])


def test_an_api_key_has_no_session_to_end(served):
    answer = served.ask("POST", "/auth/logout", token=created(served)["key"])
    assert answer.status_code == 409


def test_me_says_who_asks(served):
    token = served.user("ada", "operator")
    claims = parts(token)[1]
    assert served.ask("GET", "/auth/me", token=token).json() == {
        "name": "ada",
        "kind": "user",
        "role": "operator",
        "scopes": sorted(SCOPES["operator"]),
        "expires_at": claims["exp"],
        "session": claims["sid"],
    }
    key = created(served, expires_in=600)
    assert served.ask("GET", "/auth/me", token=key["key"]).json() == {
        "name": f"key:{key['id']}",
        "kind": "api_key",
        "role": None,
        "scopes": ["agents:read"],
        "expires_at": key["expires_at"],
        "session": None,
    }


def test_sessions_keys_and_revocations_outlive_the_service(served):
    ended, tokens, key = served.login(), served.login(), created(served)["key"]
    served.ask("POST", "/auth/logout", token=ended["access_token"])
    served.restart()
    assert accepted(served, tokens["access_token"])
    assert accepted(served, key)
    assert not accepted(served, ended["access_token"])
    assert renewed(served, tokens["refresh_token"]) is not None


def test_logins_are_audited_and_a_name_that_nobody_has_is_not_written_down(served):
    headers = {"X-Request-ID": "from-the-test"}
    credentials = {"username": "admin", "password": PASSWORD}
    right = served.client.post("/auth/login", json=credentials, headers=headers).json()
    sign_in(served, "admin", "wrong")
    sign_in(served, "hunter2-in-the-wrong-field", "wrong")
    unknown, wrong, ok = served.get("/audit", action="auth.login", limit=4)["items"][-3:]
    session = parts(right["access_token"])[1]["sid"]
    assert (ok["actor"], ok["result"], ok["target"]) == ("admin", "ok", f"sessions/{session}")
    assert (ok["request_id"], ok["address"]) == ("from-the-test", "127.0.0.1")
    assert (wrong["actor"], wrong["result"]) == ("admin", "failed")
    assert (unknown["actor"], unknown["result"]) == ("unknown", "failed")
    assert "hunter2" not in json.dumps(served.get("/audit"))


@pytest.mark.parametrize("role", SCOPES)
def test_a_role_may_do_what_is_in_its_scopes_and_nothing_else(served, role):
    token = served.user("ada", role)
    assert set(served.login("ada")["scopes"]) == SCOPES[role]
    for method, path, scope in ROUTES:
        answer = served.ask(method, path, token=token)
        assert (answer.status_code != 403) == (scope in SCOPES[role]), (method, path)
        if answer.status_code == 403:
            assert scope in answer.json()["detail"]


def test_the_roles_are_tried_on_every_route(served):
    spec = served.client.get("/openapi.json").json()["paths"]
    free = {"/auth/login", "/auth/refresh", "/auth/logout", "/auth/me", "/health/services", *PUBLIC}
    routes = {(method.upper(), path) for path in spec.keys() - free for method in spec[path]}

    def tried(method: str, path: str) -> bool:
        shape = re.compile(re.sub(r"\{.*?\}", "[^/]+", path))
        return any(m == method and shape.fullmatch(p.split("?")[0]) for m, p, _ in ROUTES)

    assert [route for route in sorted(routes) if not tried(*route)] == []


def test_nobody_gets_in_without_signing_in_but_where_it_is_public(served):
    for method, path, _ in ROUTES:
        assert served.client.request(method, path).status_code == 401
    for path in ("/auth/me", "/health/services", "/studies", "/proposals/x"):
        assert served.client.get(path).status_code == 401
    for path in PUBLIC:
        assert served.client.get(path).status_code == 200


def test_what_a_role_is_denied_is_audited(served):
    token = served.user("ada", "viewer")
    served.ask("POST", "/jwt/rotate", token=token)
    (event,) = served.get("/audit", action="access.denied")["items"]
    assert (event["actor"], event["target"]) == ("ada", "POST /jwt/rotate")
    assert (event["result"], event["detail"]) == ("denied", {"scope": "jwt:write"})


def test_other_credentials_are_none(served):
    for header in ("", "Bearer", "Basic YWRtaW46YWRtaW4=", "Bearer a b", "bearer x.y.z", "tars_x"):
        answer = served.client.get("/auth/me", headers={"Authorization": header})
        assert answer.status_code == 401, header


def test_a_bad_api_key_is_refused_even_beside_a_good_token(served):
    headers = {"X-API-Key": "tars_wrong"}
    assert served.ask("GET", "/auth/me", headers=headers).status_code == 401


def test_requests_over_the_limit_wait_and_others_do_not(serve: Serve, valkey, monkeypatch):
    freeze(monkeypatch)
    served = serve(valkey, requests_per_second=5)
    tokens = [served.login()["access_token"] for _ in range(2)]
    other = served.user("ada", "viewer")
    served.clock.advance(10)
    answers = [served.ask("GET", "/auth/me", token=tokens[n % 2]) for n in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    # draft-ietf-httpapi-ratelimit-headers: the quota of a window of seconds, and what is left.
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=5;w=1'}
    left = [f'"default";r={number};t=0' for number in (4, 3, 2, 1, 0)]
    assert [answer.headers["ratelimit"] for answer in answers] == [*left, '"default";r=0;t=1']
    assert answers[-1].headers["retry-after"] == "1"
    assert accepted(served, other)
    served.clock.advance(1)
    assert accepted(served, tokens[0])


def test_a_caller_who_is_not_known_is_limited_by_address(serve: Serve, valkey, monkeypatch):
    freeze(monkeypatch)
    served = serve(valkey, requests_per_second=3)
    served.clock.advance(10)
    statuses = [served.client.get("/auth/me").status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    assert served.client.get("/health/live").status_code == 200


def test_failed_logins_of_a_user_are_throttled_and_those_of_others_are_not(served):
    served.user("ada", "viewer")
    served.user("bob", "viewer")
    assert [sign_in(served, "ada", "wrong").status_code for _ in range(5)] == [401] * 5
    throttled = sign_in(served, "ada")
    assert throttled.status_code == 429
    assert 0 < int(throttled.headers["retry-after"]) <= 30
    assert sign_in(served, "bob").status_code == 200
    served.clock.advance(30)
    assert sign_in(served, "ada").status_code == 200


def test_after_a_wait_one_more_guess_is_allowed_and_not_five(served):
    for _ in range(5):
        sign_in(served, "admin", "wrong")
    served.clock.advance(30)
    assert [sign_in(served, "admin", "wrong").status_code for _ in range(2)] == [401, 429]


def test_failed_logins_of_an_address_are_throttled_and_those_of_another_are_not(
    serve: Serve, valkey
):
    served = serve(valkey, login_failures_per_address=3)
    assert [sign_in(served, f"u{n}", "wrong").status_code for n in range(3)] == [401] * 3
    assert sign_in(served, "admin").status_code == 429
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=served.url, transport=transport, timeout=LIMIT) as other:
        credentials = {"username": "admin", "password": PASSWORD}
        assert other.post("/auth/login", json=credentials).status_code == 200


def test_too_many_logins_at_once_are_told_to_come_again(served, monkeypatch):
    monkeypatch.setattr(passwords, "WAITING", 0)
    answer = sign_in(served, "admin")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_a_key_revoked_while_a_request_is_let_in_is_refused_to_it(
    serve: Serve, valkey, monkeypatch
):
    one, other = serve(valkey, "one"), serve(valkey, "other")
    key = created(one)
    take = one.core.take

    async def revoked_meanwhile(*arguments, **options):
        other.ask("DELETE", f"/api-keys/{key['id']}")
        # As the service does in the back, ahead of the request that waits.
        await one.core.snapshots.refresh(one.core.store, one.core.now)
        return await take(*arguments, **options)

    monkeypatch.setattr(one.core, "take", revoked_meanwhile)
    assert one.ask("GET", "/agents", token=key["key"]).status_code == 401


def test_an_address_that_the_client_says_itself_is_not_believed(stack):
    with httpx.Client(base_url=stack.url, timeout=LIMIT, trust_env=False) as client:
        login = {"username": "admin", "password": stack.admin_password}
        said = {"X-Forwarded-For": "203.0.113.7", "X-Request-ID": f"spoof-{time.time_ns()}"}
        token = client.post("/auth/login", json=login, headers=said).json()["access_token"]
        answer = client.get(
            "/audit",
            params={"request_id": said["X-Request-ID"]},
            headers={"Authorization": f"Bearer {token}"},
        )
    assert [event["address"] for event in answer.json()["items"]] == ["127.0.0.1"]
