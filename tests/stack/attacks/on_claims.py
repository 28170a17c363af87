"""Attacks with what access tokens say, and for how long."""

import json
from typing import Any

from tarslab.stack.security import tokens
from tarslab.stack.security.scopes import Role
from tarslab.stack.security.tokens import Claims, Tokens
from tarslab.stack.web.context import Context
from tests.stack.attacks.attack import Attack, Mutate, constant, without
from tests.stack.attacks.forging import (
    Forger,
    accepted,
    es256,
)
from tests.stack.served import Served

FAR = 10 * 366 * 86_400

# The service's lines of defence, to be taken out.
TYP = without(tokens._header_of, 'header["typ"] != TYP', "False")
REVOKED = without(Context._by_token, "claims.session in snapshot.revoked", "False")
KEY_STATE = without(Tokens._check_now, "not key.verifies(now)", "False")


def expired(served: Served) -> bool:
    """A token whose time is over, and was not too long."""
    forger = Forger(served)
    over = int(served.clock.now()) - served.settings.skew_seconds - 1
    return forger.accepted(forger.token(claims={"iat": over - 60, "nbf": over - 60, "exp": over}))


def not_yet_valid(served: Served) -> bool:
    """A token for later."""
    forger = Forger(served)
    later = int(served.clock.now()) + served.settings.skew_seconds + 20
    return forger.accepted(forger.token(claims={"nbf": later}))


def issued_in_the_future(served: Served) -> bool:
    """A token that lives long by saying that it begins late."""
    forger = Forger(served)
    late = int(served.clock.now()) + FAR
    return forger.accepted(forger.token(claims={"iat": late, "exp": late + 60}))


def without_expiry(served: Served) -> bool:
    """A token that says nothing of its end."""
    forger = Forger(served)
    return forger.accepted(forger.token(drop=["exp"]), forger.token(claims={"exp": None}))


def of_no_number(served: Served) -> bool:
    """Times that compare with nothing, or with everything."""
    forger = Forger(served)
    exp = forger.claims["exp"]
    times = (float("nan"), float("inf"), exp + 0.5, str(exp), [exp], True)
    return forger.accepted(*(forger.token(claims={"exp": time}) for time in times))


def for_too_long(served: Served) -> bool:
    """A token for ten years."""
    forger = Forger(served)
    return forger.accepted(forger.token(claims={"exp": forger.claims["iat"] + FAR}))


def of_another_issuer(served: Served) -> bool:
    """A token of somebody else."""
    forger = Forger(served)
    issuers = ("evil", "", "TARS", "tars ", None, ["tars"])
    return forger.accepted(*(forger.token(claims={"iss": issuer}) for issuer in issuers))


def for_another_audience(served: Served) -> bool:
    """A token for somebody else."""
    forger = Forger(served)
    audiences = ("evil", "", None, {"tars": 1}, ["evil"])
    return forger.accepted(*(forger.token(claims={"aud": audience}) for audience in audiences))


def for_several_audiences(served: Served) -> bool:
    """A token that others get, too, and could pass on."""
    forger = Forger(served)
    return forger.accepted(*(forger.token(claims={"aud": a}) for a in (["tars"], ["tars", "evil"])))


def of_another_type(served: Served) -> bool:
    """A token of the right key that is no access token: an ID token, say, or a refresh token."""
    forger = Forger(served)
    kinds = ("JWT", "rt+jwt", "id+jwt", "AT+JWT", "application/at+jwt", "", None)
    return forger.accepted(
        *(forger.token({"typ": kind}) for kind in kinds), forger.token(drop=["typ"])
    )


def refresh_token_as_bearer(served: Served) -> bool:
    """A refresh token in place of an access token."""
    return accepted(served, served.login()["refresh_token"])


def takes_refresh_tokens(self: Tokens, token: str, ring: Any, now: float) -> Claims:
    """Let every token in that this service has made."""
    if token.startswith("tarr_"):
        times = int(now), int(now), int(now) + 60
        return Claims("admin", "s", "t", Role.ADMIN, *times, ring.active(now).kid)
    return self._verify_signature(token, ring, now)


def role_raised(served: Served) -> bool:
    """A viewer whose token says that they are an admin."""
    _user(served, "viewer")
    forger = Forger(served, "viewer")
    token = forger.token(claims={"role": "admin"})
    return served.ask("GET", "/users", token=token).status_code == 200


def claims_of_another_type(served: Served) -> bool:
    """Claims that are no texts: refused, and not stumbled over."""
    forger = Forger(served)
    return forger.stumbled_over(
        *(
            forger.token(claims={name: value})
            for name in ("sub", "sid", "jti", "role")
            for value in ([forger.claims[name]], {"a": 1}, None, 7)
        )
    )


def more_claims(served: Served) -> bool:
    """A claim that nobody here knows, and somebody else may believe."""
    forger = Forger(served)
    return forger.accepted(forger.token(claims={"scope": "admin"}))


def duplicate_claims(served: Served) -> bool:
    """A payload that two parsers read in two ways."""
    _user(served, "viewer")
    forger = Forger(served, "viewer")
    claims = json.dumps(forger.claims)
    return forger.accepted(
        forger.token(claims=claims.replace("{", '{"role": "admin", ', 1)),
        forger.token(claims=claims.replace("{", '{"sub": "admin", ', 1)),
    )


def oversized_token(served: Served) -> bool:
    """A token that is rightly signed, and too long to be one."""
    forger = Forger(served)
    return forger.accepted(forger.token(claims=json.dumps(forger.claims) + " " * 8000))


def key_invalidated(served: Served) -> bool:
    """Tokens of a key that was invalidated, one of which was verified before."""
    forger = Forger(served)
    known, other = forger.genuine, forger.token(claims={"jti": "other"})
    assert accepted(served, known)
    served.post(f"/jwt/keys/{forger.header['kid']}/invalidate")
    return forger.accepted(known, other)


def key_retired(served: Served) -> bool:
    """A fresh token of an old key that leaked, after the key's grace."""
    before = Forger(served)
    # A key that took the place of another must be published for a while first.
    served.clock.advance(served.settings.jwks_cache_seconds)
    grace = served.post("/jwt/rotate")["grace_until"] - served.clock.now()
    served.clock.advance(grace + 1)
    now = Forger(served)
    return now.accepted(now.token({"kid": before.header["kid"]}, sign=es256(before.key)))


def _user(served: Served, role: str) -> None:
    """A user of this role, and of this name."""
    if role not in [user["username"] for user in served.get("/users")["items"]]:
        served.user(role, role)


def _claims(defence: str, instead: str) -> Mutate:
    return without(Tokens._claims_of, defence, instead)


_LIFE = _claims('not 0 < payload["exp"] - payload["iat"] <= MAX_ACCESS_SECONDS', "False")
_WHOLE = _claims("not all(type(time) is int for time in times)", "False")
_TWICE = without(tokens._strict_json, "len(dict(pairs)) != len(pairs)", "False")
_VERIFY = "self._verify_signature(token, ring, now)"

ATTACKS = [
    Attack("duplicate claims", duplicate_claims, _TWICE),
    Attack(
        "expired",
        expired,
        without(Tokens._check_now, "now >= claims.expires_at + self._skew", "False"),
    ),
    Attack(
        "not yet valid",
        not_yet_valid,
        without(Tokens._check_now, "max(claims.issued_at, claims.not_before)", "claims.issued_at"),
    ),
    Attack(
        "issued in the future",
        issued_in_the_future,
        without(Tokens._check_now, "max(claims.issued_at, claims.not_before)", "claims.not_before"),
    ),
    Attack(
        "no expiry",
        without_expiry,
        _claims("set(payload) != CLAIMS", 'payload.setdefault("exp", payload["iat"] + 60) == 0'),
    ),
    Attack("times that are no whole numbers", of_no_number, _WHOLE),
    Attack("a life that is too long", for_too_long, _LIFE),
    Attack("wrong issuer", of_another_issuer, _claims('payload["iss"] != self._issuer', "False")),
    Attack(
        "wrong audience",
        for_another_audience,
        _claims('payload["aud"] != self._audience', "False"),
    ),
    Attack(
        "several audiences",
        for_several_audiences,
        _claims('payload["aud"] != self._audience', 'self._audience not in payload["aud"]'),
    ),
    Attack("wrong typ", of_another_type, TYP),
    Attack(
        "a refresh token as bearer",
        refresh_token_as_bearer,
        without(
            Tokens.verify, _VERIFY, "_naive(self, token, ring, now)", _naive=takes_refresh_tokens
        ),
    ),
    Attack(
        "a role that is not the user's",
        role_raised,
        without(Context._by_token, "user.role is not claims.role", "False"),
    ),
    Attack(
        "claims that are no texts",
        claims_of_another_type,
        _claims("not all(isinstance(text, str) for text in texts) or ", ""),
    ),
    Attack(
        "an unknown claim",
        more_claims,
        _claims("set(payload) != CLAIMS", "not CLAIMS <= set(payload)"),
    ),
    Attack("an oversized token", oversized_token, constant(tokens, "LONGEST", 1_000_000)),
    Attack("a token of an invalidated key", key_invalidated, KEY_STATE),
    Attack("a token of a retired key", key_retired, KEY_STATE),
]
