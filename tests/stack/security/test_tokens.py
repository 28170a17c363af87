"""Access tokens as another library sees them, and refresh tokens."""

import base64
import json
import string
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.stack.security import tokens as module
from tarslab.stack.security.scopes import Role
from tarslab.stack.security.sealing import Seal
from tarslab.stack.security.signing_keys import Ring
from tarslab.stack.security.tokens import BadToken, Claims, RefreshToken, Tokens

SEAL = Seal("secret", "signing-keys")
RING = Ring.new(SEAL, 0.0)
NOW = 1_800_000_000.25
LIFE, SKEW, GRACE = 240, 30, 300.0


def tokens() -> Tokens:
    """Of an issuer who has verified nothing yet."""
    return Tokens("tars", "clients", LIFE, SKEW)


def issued(ring: Ring = RING, now: float = NOW) -> tuple[str, Claims]:
    """An operator's token, signed by the ring's active key."""
    return tokens().issue(ring.active(now), SEAL, "carol", Role.OPERATOR, "session", now)


def by_pyjwt(token: str, ring: Ring = RING) -> dict[str, Any]:
    """What PyJWT finds in a token, whatever the time, with the JWKS as anybody gets it."""
    published = jwt.PyJWKSet.from_dict(json.loads(json.dumps(ring.jwks(NOW))))
    key = published[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        issuer="tars",
        audience="clients",
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )


def signed_by_pyjwt(ring: Ring = RING, header: Any = (), **changes: Any) -> str:
    """A token that PyJWT makes with the ring's own key; None takes a claim out."""
    key = ring.active(NOW)
    private = jwt.PyJWK(dict(key.signing(SEAL).as_dict(private=True))).key
    claims = {
        **{"iss": "tars", "aud": "clients", "sub": "carol", "sid": "session", "jti": "1"},
        **{"role": "operator", "iat": int(NOW), "nbf": int(NOW), "exp": int(NOW) + LIFE},
    }
    kept = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(
        kept, private, algorithm="ES256", headers={"kid": key.kid, "typ": "at+jwt", **dict(header)}
    )


def test_pyjwt_verifies_a_token_with_the_jwks():
    token, claims = issued()
    found = by_pyjwt(token)
    assert found == {
        **{"iss": "tars", "aud": "clients", "sub": "carol", "sid": "session"},
        **{"jti": claims.id, "role": "operator"},
        **{"iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_240},
    }
    assert jwt.get_unverified_header(token) == {
        "alg": "ES256",
        "kid": RING.active(NOW).kid,
        "typ": "at+jwt",
    }


def test_pyjwt_refuses_a_token_with_another_key():
    token, _ = issued()
    other = Ring.new(SEAL, 0.0)
    key = jwt.PyJWK(dict(other.active(NOW).public))
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, key, algorithms=["ES256"], audience="clients")


def test_a_token_says_what_it_was_issued_for():
    token, claims = issued()
    assert tokens().verify(token, RING, NOW) == claims
    assert claims == Claims(
        "carol",
        "session",
        claims.id,
        Role.OPERATOR,
        1_800_000_000,
        1_800_000_000,
        1_800_000_240,
        RING.active(NOW).kid,
    )


def test_a_token_that_pyjwt_made_with_the_key_is_good():
    assert tokens().verify(signed_by_pyjwt(), RING, NOW).subject == "carol"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "tart"}, "issuer"),
        ({"aud": "others"}, "audience"),
        ({"aud": ["clients"]}, "audience"),
        ({"exp": None}, "claims"),
        ({"nbf": None}, "claims"),
        ({"jti": None}, "claims"),
        ({"admin": True}, "claims"),
        ({"sub": 1}, "claims"),
        ({"role": "root"}, "claims"),
        ({"exp": float(NOW + 9)}, "times"),
        ({"iat": True}, "times"),
        ({"exp": int(NOW) + 901}, "life"),
        ({"exp": int(NOW)}, "life"),
        ({"iat": 0, "exp": 100, "nbf": 0}, "expired"),
        ({"nbf": int(NOW) + 31}, "not yet valid"),
    ],
)
def test_claims_that_are_not_as_issued_are_refused_although_signed(
    changes: dict[str, Any], reason: str
):
    with pytest.raises(BadToken, match=f"^{reason}$"):
        tokens().verify(signed_by_pyjwt(**changes), RING, NOW)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"typ": "JWT"}, "typ"),
        ({"typ": "AT+JWT"}, "typ"),
        ({"kid": "0" * 32}, "unknown key"),
        ({"kid": RING.next(NOW).kid}, "signature"),
        ({"jku": "http://elsewhere"}, "header"),
        ({"crit": ["b64"], "b64": True}, "header"),
    ],
)
def test_headers_that_are_not_as_issued_are_refused_although_signed(
    header: dict[str, Any], reason: str
):
    with pytest.raises(BadToken, match=f"^{reason}$"):
        tokens().verify(signed_by_pyjwt(header=header), RING, NOW)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (1_799_999_970.0, None),
        (1_799_999_969.999, "not yet valid"),
        (NOW + LIFE + 29, None),
        (1_800_000_269.999, None),
        (1_800_000_270.0, "expired"),
    ],
)
def test_a_token_is_good_for_its_life_and_the_skew_whether_seen_before_or_not(
    at: float, reason: str | None
):
    token, _ = issued()
    seen, fresh = tokens(), tokens()
    seen.verify(token, RING, NOW)
    for verifier in (seen, fresh):
        if reason is None:
            verifier.verify(token, RING, at)
        else:
            with pytest.raises(BadToken, match=reason):
                verifier.verify(token, RING, at)


def test_tokens_of_several_keys_are_good_at_once():
    ring, made, verifier = RING, [], tokens()
    for rotation in range(4):
        now = NOW + 30 * rotation
        made.append(issued(ring, now)[0])
        ring = ring.rotated(SEAL, now, GRACE, 30.0)
    now = NOW + 90
    kids = {verifier.verify(token, ring, now).kid for token in made}
    assert len(kids) == 4
    for token in made:
        by_pyjwt(token, ring)


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_token_is_refused_when_the_grace_of_its_key_ends(seen_before: bool):
    verifier = tokens()
    token, _ = issued()
    if seen_before:
        verifier.verify(token, RING, NOW)
    ring = RING.rotated(SEAL, NOW - 150, GRACE, 30.0)
    verifier.verify(token, ring, NOW + 149)
    with pytest.raises(BadToken, match=r"^key retired$"):
        verifier.verify(token, ring, NOW + 150)


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_token_is_refused_when_its_key_is_invalidated(seen_before: bool):
    verifier = tokens()
    token, _ = issued()
    if seen_before:
        verifier.verify(token, RING, NOW)
    kid = RING.active(NOW).kid
    invalidated = RING.invalidated(SEAL, kid, NOW)
    with pytest.raises(BadToken, match=r"^key invalidated$"):
        verifier.verify(token, invalidated, NOW)
    with pytest.raises(BadToken, match=r"^unknown key$"):
        verifier.verify(token, invalidated.without(frozenset({kid})), NOW)


def test_a_signature_is_verified_once_and_only_so_many_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "CACHED", 2)
    verified = []
    verify = Tokens._verify_signature

    def counted(self: Tokens, token: str, *others: Any) -> Claims:
        verified.append(token)
        return verify(self, token, *others)

    monkeypatch.setattr(Tokens, "_verify_signature", counted)
    verifier = tokens()
    first, second, third = (issued()[0] for _ in range(3))
    for token in (first, first, second, first, third, second, first):
        verifier.verify(token, RING, NOW)
    assert verified == [first, second, third, first]


def test_a_refused_token_is_not_remembered():
    verifier = tokens()
    token, _ = issued()
    forged = token[:-10] + "A" * 10
    for _ in range(2):
        with pytest.raises(BadToken, match=r"^signature$"):
            verifier.verify(forged, RING, NOW)


@given(st.data())
def test_a_token_with_one_character_changed_is_refused(data: st.DataObject):
    token, _ = issued()
    # The last character of the signature has four bits that are not of it.
    place = data.draw(st.integers(0, len(token) - 2))
    characters = string.ascii_letters + string.digits + "-_."
    changed = data.draw(st.sampled_from(characters.replace(token[place], "")))
    with pytest.raises(BadToken):
        tokens().verify(token[:place] + changed + token[place + 1 :], RING, NOW)


@given(st.text(max_size=300) | st.text("eyJhbGciO.-_= \n", max_size=300))
def test_other_text_is_refused_without_another_error(text: str):
    with pytest.raises(BadToken) as refused:
        tokens().verify(text, RING, NOW)
    assert str(refused.value) in {"malformed", "header"}


@pytest.mark.parametrize("text", ["a.b.c", ".", "..", "e30", "e30.e30.", "bnVsbA.e30.AAAA"])
def test_what_has_the_form_but_no_header_is_refused(text: str):
    with pytest.raises(BadToken, match=r"malformed|header"):
        tokens().verify(text, RING, NOW)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    ),
    st.recursive(st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)),
)
def test_any_json_as_header_is_refused_without_another_error(header: Any, kid: Any):
    for made in (header, {"alg": "ES256", "typ": "at+jwt", "kid": kid}):
        encoded = base64.urlsafe_b64encode(json.dumps(made).encode()).decode().rstrip("=")
        with pytest.raises(BadToken):
            tokens().verify(f"{encoded}.e30.AAAA", RING, NOW)


def test_deeply_nested_json_is_refused():
    for text in ("[" * 2000, '{"a":' * 600):
        encoded = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        with pytest.raises(BadToken, match="malformed"):
            tokens().verify(f"{encoded}.e30.AAAA", RING, NOW)


def test_a_long_token_is_refused_before_it_is_read():
    with pytest.raises(BadToken, match="malformed"):
        tokens().verify(issued()[0] + "A" * 4096, RING, NOW)


SESSION = "0123456789abcdef0123456789abcdef"


@given(st.integers(0, 10**9 - 1), st.binary(min_size=1), st.text("0123456789abcdef"))
def test_a_refresh_token_names_its_place_and_proves_it(number: int, secret: bytes, salt: str):
    token = RefreshToken(SESSION, number).sealed(secret, salt)
    place, mac = RefreshToken.parse(token)
    assert place == RefreshToken(SESSION, number)
    assert place.is_proven_by(mac, secret, salt)
    assert not place.is_proven_by(mac, secret + b"!", salt)
    assert not place.is_proven_by(mac, secret, salt + "!")
    assert not RefreshToken(SESSION, number + 1).is_proven_by(mac, secret, salt)
    assert not RefreshToken(SESSION[::-1], number).is_proven_by(mac, secret, salt)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "tarr_",
        issued()[0],
        f"tarr_{SESSION}.1.",
        f"tarr_{SESSION}.-1.{'A' * 43}",
        f"tarr_{SESSION}.1.{'A' * 44}",
        f"tarr_{SESSION}.1.{'A' * 43}\n",
        f"tarr_{SESSION}.\N{ARABIC-INDIC DIGIT ONE}.{'A' * 43}",
        f"tarr_{SESSION.upper()}.1.{'A' * 43}",
    ],
)
def test_what_is_no_refresh_token_is_refused(token: str):
    with pytest.raises(BadToken, match="malformed"):
        RefreshToken.parse(token)


def test_a_refresh_token_is_no_access_token():
    with pytest.raises(BadToken):
        tokens().verify(RefreshToken(SESSION, 1).sealed(b"secret", "salt"), RING, NOW)
