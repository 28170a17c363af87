"""The signing keys over HTTP: rotated, invalidated, published."""

import json
from typing import Any

import jwt
import pytest

from tests.stack.conftest import Serve
from tests.stack.served import Served, Valkey

HOUR = 3600


def keys(served: Served) -> dict[str, str]:
    """The state of each key."""
    return {key["kid"]: key["state"] for key in served.get("/jwt/status")["keys"]}


def kid_in(served: Served, state: str) -> str:
    """The one key in a state."""
    (found,) = [kid for kid, known in keys(served).items() if known == state]
    return found


def token_of(served: Served) -> str:
    """A new access token of admin's."""
    return str(served.login()["access_token"])


def is_good(served: Served, token: str) -> bool:
    """Whether a token is let in."""
    status = served.ask("GET", "/auth/me", token=token).status_code
    assert status in (200, 401)
    return status == 200


def by_pyjwt(served: Served, token: str) -> dict[str, Any]:
    """What another service finds in a token, with the JWKS from where it is published."""
    answer = served.client.get("/.well-known/jwks.json")
    published = jwt.PyJWKSet.from_dict(answer.json())
    key = published[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        issuer="tars",
        audience="tars",
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )


def test_the_status_tells_the_figures_and_the_keys(served: Served):
    status = served.get("/jwt/status")
    first, second = status.pop("keys")
    assert status.pop("ring_age_seconds") >= 0
    assert status == {
        **{"mode": "normal", "algorithm": "ES256", "access_seconds": 240, "skew_seconds": 30},
        **{"jwks_cache_seconds": 30, "minimum_grace_seconds": 300, "ring_version": 1},
    }
    assert (first["state"], second["state"]) == ("active", "next")
    assert first["activated_at"] == first["created_at"]
    assert second["activated_at"] is None
    assert set(first) == {
        *("kid", "state", "created_at", "activated_at"),
        *("grace_until", "invalidated_at", "live_tokens"),
    }


def test_live_tokens_are_counted_by_key_and_by_the_clock(served: Served):
    served.user("olivia", "operator")
    served.login("olivia")
    session = served.login("olivia")
    answer = served.client.post("/auth/refresh", json={"refresh_token": session["refresh_token"]})
    assert answer.status_code == 200
    # admin's own, three logins and a refresh.
    assert served.get("/jwt/status")["keys"][0]["live_tokens"] == 5
    served.clock.advance(241)
    # admin's new one.
    assert served.get("/jwt/status")["keys"][0]["live_tokens"] == 1


def test_a_rotation_lets_the_next_key_sign_and_the_one_before_verify(served: Served):
    before, first, second = token_of(served), kid_in(served, "active"), kid_in(served, "next")
    rotated = served.post("/jwt/rotate")
    third = kid_in(served, "next")
    assert keys(served) == {first: "grace", second: "active", third: "next"}
    assert {**rotated, "grace_until": None, "live_tokens": None} == {
        **{"rehearsal": False, "refused": None, "retiring": first, "active": second},
        **{"next": third, "grace_until": None, "live_tokens": None, "broken_tokens": []},
    }
    assert rotated["grace_until"] == pytest.approx(served.clock.now() + 300, abs=30)
    after = token_of(served)
    assert [jwt.get_unverified_header(token)["kid"] for token in (before, after)] == [first, second]
    for token in (before, after):
        assert is_good(served, token)
        assert by_pyjwt(served, token)["sub"] == "admin"
    assert served.get("/jwt/status")["ring_version"] == 2


def test_a_key_is_published_for_the_cache_life_before_it_signs(served: Served):
    served.post("/jwt/rotate")
    before = keys(served)
    answer = served.ask("POST", "/jwt/rotate")
    assert answer.status_code == 409
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert "must stay published" in answer.json()["detail"]
    assert keys(served) == before
    served.clock.advance(30)
    served.post("/jwt/rotate")
    assert sorted(keys(served).values()) == ["active", "grace", "grace", "next"]


def test_a_key_verifies_no_more_when_its_grace_has_ended(served: Served):
    first = kid_in(served, "active")
    served.post("/jwt/rotate")
    served.clock.advance(290)
    assert keys(served)[first] == "grace"
    served.clock.advance(10)
    assert keys(served)[first] == "retired"
    published = served.client.get("/.well-known/jwks.json").json()["keys"]
    assert first not in {key["kid"] for key in published}
    assert len(published) == 2


@pytest.mark.parametrize("grace", [0, 299])
def test_a_grace_that_would_cut_off_tokens_is_refused_with_the_figure(served: Served, grace: int):
    before = keys(served)
    answer = served.ask("POST", "/jwt/rotate", json={"grace_seconds": grace})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "grace_seconds"
    assert "at least 300 s (token life 240 + skew 30 + JWKS cache 30)" in error["message"]
    rehearsed = served.post("/jwt/rotate", {"grace_seconds": grace}, rehearse=True)
    assert rehearsed["refused"] == error["message"]
    assert keys(served) == before


@pytest.mark.parametrize(
    "body",
    [{"grace_seconds": 86_401}, {"grace_seconds": -1}, {"grace": 300}, {"grace_seconds": "300"}],
)
def test_what_a_rotation_cannot_be_is_422(served: Served, body: dict[str, Any]):
    for rehearse in (False, True):
        answer = served.ask("POST", "/jwt/rotate", json=body, params={"rehearse": rehearse})
        assert answer.status_code == 422


def test_a_longer_grace_is_kept(served: Served):
    rotated = served.post("/jwt/rotate", {"grace_seconds": HOUR})
    assert rotated["grace_until"] == pytest.approx(served.clock.now() + HOUR, abs=30)


def test_a_rehearsal_changes_nothing(served: Served, valkey: Valkey):
    token_of(served)
    before = served.get("/jwt/status")["keys"]
    records = valkey.client.llen("audit:records")
    rehearsed = served.post("/jwt/rotate", rehearse=True)
    assert (rehearsed["rehearsal"], rehearsed["refused"]) == (True, None)
    assert [rehearsed["retiring"], rehearsed["active"]] == [key["kid"] for key in before]
    assert rehearsed["next"] is None
    assert rehearsed["live_tokens"] == before[0]["live_tokens"]
    assert rehearsed["broken_tokens"] == []
    assert served.get("/jwt/status")["keys"] == before
    assert valkey.client.llen("audit:records") == records


def test_a_rehearsal_says_that_it_is_too_early(served: Served):
    served.post("/jwt/rotate")
    assert "must stay published" in served.post("/jwt/rotate", rehearse=True)["refused"]


def test_a_rehearsal_lists_the_tokens_that_would_break_and_a_rotation_those_that_do(
    serve: Serve, valkey: Valkey
):
    # Tokens of a longer life than is set today, which the grace of today does not cover.
    served = serve(valkey, access_seconds=900, grace_seconds=960)
    old = [token_of(served) for _ in range(2)]
    ids = {by_pyjwt(served, token)["jti"] for token in old}
    served.stop()
    served.settings = served.settings.model_copy(
        update={"access_seconds": 60, "grace_seconds": 120}
    )
    served.start()
    fresh = token_of(served)
    for rehearse in (True, False):
        done = served.post("/jwt/rotate", {"grace_seconds": 120}, rehearse=rehearse)
        assert {token["id"] for token in done["broken_tokens"]} == ids
        assert {token["subject"] for token in done["broken_tokens"]} == {"admin"}
        assert done["live_tokens"] >= 3
    served.clock.advance(85)
    # Its life is over, but not the skew that verifiers allow.
    assert is_good(served, fresh)
    served.clock.advance(35)
    assert not any(is_good(served, token) for token in old)
    assert served.get("/jwt/status")["keys"][0]["state"] == "retired"


def test_a_token_that_just_outlives_the_grace_with_its_skew_is_listed(serve: Serve, valkey: Valkey):
    # Lives for 240 s and the skew of 30 s: a grace of 270 s covers it, and one of 269 s does not.
    served = serve(valkey, jwks_cache_seconds=0, grace_seconds=270)
    token_of(served)
    enough = served.post("/jwt/rotate", {"grace_seconds": 270}, rehearse=True)
    # Tokens tell time in whole seconds, rounded down: so much less may still do.
    short = served.post("/jwt/rotate", {"grace_seconds": 268}, rehearse=True)
    assert enough["broken_tokens"] == []
    assert len(short["broken_tokens"]) >= 1


@pytest.mark.parametrize("state", ["active", "next", "grace"])
def test_an_invalidated_key_never_verifies_again_and_its_place_is_taken(served: Served, state: str):
    first = token_of(served)
    served.post("/jwt/rotate")
    second = token_of(served)
    before, kid = keys(served), kid_in(served, state)
    done = served.post(f"/jwt/keys/{kid}/invalidate", {"reason": "leaked"})
    served.sign_in_again()
    after = keys(served)
    assert after[kid] == "invalidated"
    assert sorted(after.values()).count("active") == sorted(after.values()).count("next") == 1
    assert done["active"] == kid_in(served, "active")
    if state != "grace":
        assert len(after) == len(before) + 1
    # admin's own tokens before and after the rotation, and the two of this test.
    assert done["broken_tokens"] == {"active": 1, "next": 0, "grace": 2}[state]
    assert is_good(served, first) == (state != "grace")
    assert is_good(served, second) == (state != "active")
    assert kid not in {
        key["kid"] for key in served.client.get("/.well-known/jwks.json").json()["keys"]
    }
    served.clock.advance(30)
    if not is_good(served, second):
        assert is_good(served, token_of(served))


def test_a_key_is_invalidated_once(served: Served):
    kid = kid_in(served, "next")
    served.post(f"/jwt/keys/{kid}/invalidate")
    answer = served.ask("POST", f"/jwt/keys/{kid}/invalidate")
    assert answer.status_code == 409
    assert served.ask("POST", f"/jwt/keys/{'0' * 32}/invalidate").status_code == 404
    assert served.ask("POST", "/jwt/keys/x/invalidate").status_code == 422
    answer = served.ask("POST", f"/jwt/keys/{kid}/invalidate", json={"reason": "x" * 201})
    assert answer.status_code == 422


def test_all_keys_can_be_invalidated_and_logins_go_on(served: Served):
    for _ in range(3):
        for kid, state in keys(served).items():
            if state in ("active", "next"):
                token = token_of(served)
                answer = served.ask("POST", f"/jwt/keys/{kid}/invalidate", token=token)
                assert answer.status_code == 200
        served.sign_in_again()
    assert is_good(served, token_of(served))
    assert sorted(keys(served).values()) == ["active", *["invalidated"] * 6, "next"]


def test_the_jwks_is_public_and_may_be_kept_for_the_cache_life(served: Served):
    served.post("/jwt/rotate")
    answer = served.client.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=30"
    assert answer.headers["content-type"] == "application/json"
    published = answer.json()["keys"]
    assert [key["kid"] for key in published] == list(keys(served))
    for key in published:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_a_verifier_with_the_jwks_in_its_cache_knows_each_token_that_is_signed_meanwhile(
    served: Served,
):
    for _ in range(4):
        cached = jwt.PyJWKSet.from_dict(served.client.get("/.well-known/jwks.json").json())
        served.clock.advance(30)
        served.post("/jwt/rotate")
        token = token_of(served)
        # Signed after the rotation by a key that was published before: PyJWT finds it.
        key = cached[jwt.get_unverified_header(token)["kid"]]
        jwt.api_jws.decode(token, key, algorithms=["ES256"])


def test_what_is_done_to_keys_is_audited(served: Served):
    first, second = kid_in(served, "active"), kid_in(served, "next")
    served.post("/jwt/rotate", {"grace_seconds": 400})
    served.post(f"/jwt/keys/{first}/invalidate", {"reason": "leaked"})
    served.sign_in_again()
    records = served.get("/audit", target=f"jwt/keys/{first}")["items"]
    assert [(record["action"], record["detail"]) for record in records] == [
        ("jwt.invalidate", {"state": "grace", "reason": "leaked"}),
        ("jwt.rotate", {"active": second, "grace_seconds": 400}),
    ]


def test_the_private_keys_are_nowhere_in_the_open(served: Served, valkey: Valkey):
    ring = served.core.snapshot.ring
    for key in ring.keys:
        private = key.signing(served.core.seal).as_dict(private=True)["d"]
        assert isinstance(private, str)
        assert private not in valkey.client.get("ring")
        assert private not in json.dumps(served.get("/jwt/status"))


def test_keys_outlive_the_service_and_its_tokens_with_them(served: Served):
    served.post("/jwt/rotate")
    token, before = token_of(served), keys(served)
    served.restart()
    assert keys(served) == before
    assert is_good(served, token)


def test_two_services_see_each_other_s_rotations_at_the_next_request(serve: Serve, valkey: Valkey):
    one, other = serve(valkey, "one"), serve(valkey, "other")
    for _ in range(4):
        token = token_of(one)
        assert is_good(other, token)
        other.clock.advance(30)
        kid = other.post("/jwt/rotate")["active"]
        assert jwt.get_unverified_header(token_of(one))["kid"] == kid
        assert keys(one) == keys(other)
    signing, token = kid_in(one, "active"), token_of(one)
    assert is_good(other, token)
    one.post(f"/jwt/keys/{signing}/invalidate")
    assert not is_good(other, token)


def test_two_services_see_each_other_s_revocations_at_the_next_request(
    serve: Serve, valkey: Valkey
):
    one, other = serve(valkey, "one"), serve(valkey, "other")
    for _ in range(5):
        token = token_of(one)
        assert is_good(other, token)
        assert one.ask("POST", "/auth/logout", token=token).status_code == 204
        assert not is_good(other, token)


def test_no_rotation_is_done_or_rehearsed_while_redis_is_out(own_valkey: Valkey, serve: Serve):
    served = serve(own_valkey)
    token, kid = token_of(served), kid_in(served, "next")
    own_valkey.kill()
    for path in ("/jwt/rotate", "/jwt/rotate?rehearse=true", f"/jwt/keys/{kid}/invalidate"):
        answer = served.ask("POST", path, token=token)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
    status = served.ask("GET", "/jwt/status", token=token).json()
    assert status["mode"] == "legacy"
    assert [key["live_tokens"] for key in status["keys"]] == [None, None]
    own_valkey.start()
