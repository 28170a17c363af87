"""Access and refresh tokens.

An access token is a JWT (RFC 9068: ``typ`` is ``at+jwt``), verified as RFC 8725 asks: the algorithm
is the key's own and never the header's choice, ``typ``, ``iss``, ``aud`` and ``exp`` must be there
and right, and a header member that is not needed (``jku``, ``x5u``, ``jwk``, ``crit``) is refused.

A refresh token is no JWT: it names its session and its place in the row of refreshes, under a MAC.
So an old one is told from a made-up one, without a list of all that were ever given out.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError

from tarslab.stack.security.scopes import Role
from tarslab.stack.security.sealing import Seal
from tarslab.stack.security.signing_keys import Ring, SigningKey
from tarslab.stack.settings import MAX_ACCESS_SECONDS

TYP = "at+jwt"
HEADER = frozenset({"alg", "kid", "typ"})
CLAIMS = frozenset({"iss", "aud", "sub", "sid", "jti", "role", "iat", "nbf", "exp"})
LONGEST = 4096
CACHED = 10_000
REFRESH_PREFIX = "tarr_"


class BadToken(ValueError):
    """Why a token is not good: for metrics and logs, and never with the token in it."""


class Claims(NamedTuple):
    """What an access token says."""

    subject: str
    session: str
    id: str
    role: Role
    issued_at: float
    not_before: float
    expires_at: float
    kid: str


class Tokens:
    """Issues and verifies the access tokens of one issuer for one audience.

    Signatures that were right once are remembered by the hash of their token. All that can change
    (the key's state, the time) is looked at on every call.
    """

    def __init__(self, issuer: str, audience: str, access_seconds: int, skew_seconds: int) -> None:
        self._issuer = issuer
        self._audience = audience
        self._access_seconds = access_seconds
        self._skew = skew_seconds
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()

    def issue(
        self, key: SigningKey, seal: Seal, subject: str, role: Role, session: str, now: float
    ) -> tuple[str, Claims]:
        """A signed token, and what it says."""
        issued, token_id = int(now), uuid.uuid4().hex
        expires = issued + self._access_seconds
        payload = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "sid": session,
            "jti": token_id,
            "role": role.value,
            "iat": issued,
            "nbf": issued,
            "exp": expires,
        }
        header = {"alg": key.algorithm, "kid": key.kid, "typ": TYP}
        body = json.dumps(payload, separators=(",", ":"))
        signed = jws.serialize_compact(header, body, key.signing(seal), [key.algorithm])
        return signed, Claims(subject, session, token_id, role, issued, issued, expires, key.kid)

    def verify(self, token: str, ring: Ring, now: float) -> Claims:
        """What the token says, or BadToken."""
        mark = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = self._verified.get(mark)
        if claims is None:
            claims = self._verify_signature(token, ring, now)
            self._verified[mark] = claims
            if len(self._verified) > CACHED:
                self._verified.popitem(last=False)
        self._check_now(claims, ring, now)
        return claims

    def _verify_signature(self, token: str, ring: Ring, now: float) -> Claims:
        if len(token) > LONGEST or not token.isascii():
            raise BadToken("malformed")
        header = _header_of(token)
        key = _key_of(header, ring, now)
        try:
            payload = jws.deserialize_compact(token, key.verifying(), [key.algorithm]).payload
        except (JoseError, ValueError):
            raise BadToken("signature") from None
        return self._claims_of(_strict_json(payload), key.kid)

    def _claims_of(self, payload: Mapping[str, Any], kid: str) -> Claims:
        if set(payload) != CLAIMS:
            raise BadToken("claims")
        if payload["iss"] != self._issuer:
            raise BadToken("issuer")
        if payload["aud"] != self._audience:
            raise BadToken("audience")
        times = [payload[name] for name in ("iat", "nbf", "exp")]
        texts = [payload[name] for name in ("sub", "sid", "jti", "role")]
        if not all(type(time) is int for time in times):
            raise BadToken("times")
        if not 0 < payload["exp"] - payload["iat"] <= MAX_ACCESS_SECONDS:
            raise BadToken("life")
        if not all(isinstance(text, str) for text in texts) or payload["role"] not in set(Role):
            raise BadToken("claims")
        issued, not_before, expires = times
        return Claims(
            payload["sub"],
            payload["sid"],
            payload["jti"],
            Role(payload["role"]),
            issued,
            not_before,
            expires,
            kid,
        )

    def _check_now(self, claims: Claims, ring: Ring, now: float) -> None:
        try:
            key = ring[claims.kid]
        except KeyError:
            raise BadToken("unknown key") from None
        if not key.verifies(now):
            raise BadToken(f"key {key.state(now)}")
        if now >= claims.expires_at + self._skew:
            raise BadToken("expired")
        if now < max(claims.issued_at, claims.not_before) - self._skew:
            raise BadToken("not yet valid")


class RefreshToken(NamedTuple):
    """The place of a refresh token: the ``number``-th of a session."""

    session: str
    number: int

    def sealed(self, secret: bytes, salt: str) -> str:
        """The token, with its MAC; ``salt`` is the session's own and goes with it."""
        return f"{REFRESH_PREFIX}{self.session}.{self.number}.{self._mac(secret, salt)}"

    @classmethod
    def parse(cls, token: str) -> tuple["RefreshToken", str]:
        """The place that a token claims, and its MAC, yet unproven; or BadToken."""
        found = _REFRESH.fullmatch(token)
        if found is None:
            raise BadToken("malformed")
        return cls(found["session"], int(found["number"])), found["mac"]

    def is_proven_by(self, mac: str, secret: bytes, salt: str) -> bool:
        """Whether this place was really given out."""
        return hmac.compare_digest(mac, self._mac(secret, salt))

    def _mac(self, secret: bytes, salt: str) -> str:
        text = f"{self.session}.{self.number}.{salt}".encode()
        return base64.urlsafe_b64encode(hmac.digest(secret, text, "sha256")).rstrip(b"=").decode()


_REFRESH = re.compile(
    REFRESH_PREFIX + r"(?P<session>[0-9a-f]{32})\.(?P<number>[0-9]{1,9})\.(?P<mac>[\w-]{43})",
    re.ASCII,
)


def _header_of(token: str) -> Mapping[str, Any]:
    encoded, dot, _ = token.partition(".")
    if not dot:
        raise BadToken("malformed")
    try:
        decoded = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        raise BadToken("malformed") from None
    header = _strict_json(decoded)
    if set(header) != HEADER:
        raise BadToken("header")
    if header["typ"] != TYP:
        raise BadToken("typ")
    return header


def _key_of(header: Mapping[str, Any], ring: Ring, now: float) -> SigningKey:
    try:
        key = ring[header["kid"]]
    except KeyError:
        raise BadToken("unknown key") from None
    if header["alg"] != key.algorithm:
        raise BadToken("algorithm")
    return key


def _strict_json(data: bytes) -> dict[str, Any]:
    """An object in which no name stands twice, or BadToken."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise BadToken("duplicate names")
        return dict(pairs)

    try:
        found = json.loads(data, object_pairs_hook=once)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise BadToken("malformed") from None
    if not isinstance(found, dict):
        raise BadToken("malformed")
    return found
