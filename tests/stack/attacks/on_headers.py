"""Attacks with the header and the signature of access tokens (RFC 8725)."""

import hmac
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from joserfc import jwe
from joserfc.jwk import ECKey
from redis import Redis

from tarslab.stack.security import tokens
from tarslab.stack.security.tokens import Claims, Tokens
from tests.stack.attacks.attack import Attack, Mutate, all_of, without
from tests.stack.attacks.canary import canary
from tests.stack.attacks.forging import (
    Forger,
    decoded,
    encoded,
    es256,
    hs256,
    is_es256,
    token_of,
    unsigned,
)
from tests.stack.served import Served

NAIVE = SimpleNamespace()
"""What a naive service would have at hand: set by the attacks."""

# The service's lines of defence, to be taken out.
SIGNATURE = "jws.deserialize_compact(token, key.verifying(), [key.algorithm]).payload"
ALGORITHM = without(tokens._key_of, 'header["alg"] != key.algorithm', "False")
MEMBERS = without(tokens._header_of, "set(header) != HEADER", "not HEADER <= set(header)")


def verified_by(naive: Callable[[str, Any], bytes]) -> Mutate:
    """Have the payload proven in another way."""
    return without(Tokens._verify_signature, SIGNATURE, "_naive(token, key)", _naive=naive)


def no_algorithm(served: Served) -> bool:
    """Unsigned tokens (CVE-2015-9235)."""
    forger = Forger(served)
    return forger.accepted(
        *(forger.token({"alg": name}, sign=unsigned) for name in ("none", "None", "NONE", "nOnE"))
    )


def public_key_as_secret(served: Served) -> bool:
    """HMAC with what everybody knows (CVE-2016-5431)."""
    forger = Forger(served)
    key = served.core.snapshot.ring[forger.header["kid"]].verifying()
    return forger.accepted(
        *(forger.token({"alg": "HS256"}, sign=hs256(secret)) for secret in _public_forms(key))
    )


def another_algorithm(served: Served) -> bool:
    """The right key, with another algorithm than its own."""
    forger = Forger(served)
    tokens = [forger.token({"alg": "ES384"}, sign=es256(forger.key, hashes.SHA384()))]
    tokens += [forger.token({"alg": name}) for name in ("RS256", "PS256", "ES512", "EdDSA", "", 7)]
    return forger.accepted(*tokens)


def believes_the_algorithm(token: str, key: Any) -> bytes:
    """Verify in the way that the header says."""
    header, message, payload, signature = _split(token)
    algorithm = str(header["alg"])
    public = key.verifying()
    if algorithm == "HS256":
        if not any(hs256(secret)(message) == signature for secret in _public_forms(public)):
            raise ValueError
    elif algorithm.lower() != "none":
        digest = hashes.SHA384() if algorithm == "ES384" else hashes.SHA256()
        is_es256(public.public_key, message, signature, digest)
    return payload


def kid_as_path(served: Served) -> bool:
    """A kid that leads to an empty file, whose content is the secret then."""
    return _secret_of_kid(served, b"", "../dev/null", "../../dev/null", "/dev/null")


def kid_as_sql(served: Served) -> bool:
    """A kid that makes a query answer what the attacker wants."""
    return _secret_of_kid(served, b"known", "' UNION SELECT 'known' --")


def kid_as_redis_key(served: Served) -> bool:
    """A kid that names something else in Redis, which the attacker knows."""
    url = served.settings.redis_url.get_secret_value()
    with Redis.from_url(url) as NAIVE.redis:
        NAIVE.redis.set("planted", "known")
        return _secret_of_kid(served, b"known", "planted")


def kid_with_nul(served: Served) -> bool:
    """A kid that ends early in C."""
    forger = Forger(served)
    kid = forger.header["kid"]
    return forger.accepted(
        forger.token({"kid": f"{kid}\0/../x"}), forger.token({"kid": f"{kid}\n"})
    )


def kid_of_another_type(served: Served) -> bool:
    """A kid that is no text: it must be refused and not stumbled over."""
    forger = Forger(served)
    kids = ([forger.header["kid"]], {"kid": forger.header["kid"]}, 7, None, True, 1.5, "", "ring")
    return forger.stumbled_over(*(forger.token({"kid": kid}) for kid in kids))


def looked_up(secret_of: Callable[[str], bytes]) -> Mutate:
    """Have the header's kid looked up somewhere, as the secret of an HMAC."""

    def naive(token: str, key: Any) -> bytes:
        header, message, payload, signature = _split(token)
        if not hmac.compare_digest(hs256(secret_of(header["kid"]))(message), signature):
            raise ValueError
        return payload

    return all_of(
        ALGORITHM,
        without(tokens._key_of, 'ring[header["kid"]]', "ring.active(now)"),
        without(Tokens._verify_signature, SIGNATURE, "_naive(token, key)", _naive=naive),
    )


def in_sql(kid: str) -> bytes:
    """A query put together of texts."""
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE TABLE keys (kid, secret)")
        found = database.execute(f"SELECT secret FROM keys WHERE kid = '{kid}'").fetchone()
    finally:
        database.close()
    return str(found[0]).encode()


def duplicate_header_members(served: Served) -> bool:
    """A header that two parsers read in two ways."""
    forger = Forger(served)
    header = json.dumps(forger.header)
    return forger.accepted(
        forger.token(header.replace("{", '{"alg": "none", ', 1)),
        forger.token(header.replace("{", '{"kid": "../dev/null", ', 1)),
    )


def unknown_crit(served: Served) -> bool:
    """A header that says: refuse this, if you do not know what it means (RFC 7515, 4.1.11)."""
    forger = Forger(served)
    headers: list[dict[str, Any]] = [
        {"crit": ["bork"], "bork": True},
        {"crit": []},
        {"crit": ["exp"], "exp": 0},
    ]
    return forger.accepted(*(forger.token(header) for header in headers))


def payload_not_encoded(served: Served) -> bool:
    """A payload that stands as it is (RFC 7797)."""
    forger = Forger(served)
    header = {**forger.header, "b64": False, "crit": ["b64"]}
    claims = json.dumps(forger.claims, separators=(",", ":"))
    signed = f"{encoded(json.dumps(header).encode())}.{claims}"
    return forger.accepted(
        f"{signed}.{encoded(es256(forger.key)(signed.encode()))}",
        forger.token({"b64": False}),
        forger.token({"b64": False, "crit": ["b64"]}),
    )


def takes_any_header(token: str, key: Any) -> bytes:
    """Look at nothing but the signature."""
    header, message, payload, signature = _split(token)
    if header.get("b64") is False:
        payload = token.split(".")[1].encode()
    is_es256(key.verifying().public_key, message, signature)
    return payload


def own_key_embedded(served: Served) -> bool:
    """A token that brings along the key that it is signed by (CVE-2018-0114)."""
    forger, key = Forger(served), generate_private_key(SECP256R1())
    jwk = ECKey.import_key(key.public_key()).as_dict(private=False)
    return forger.accepted(forger.token({"jwk": jwk}, sign=es256(key)))


def own_key_at_an_address(served: Served) -> bool:
    """A token that says where to fetch its key: a canary there must hear nothing."""
    forger, key = Forger(served), generate_private_key(SECP256R1())
    jwk = ECKey.import_key(key.public_key()).as_dict(private=False)
    with canary({"keys": [jwk]}) as (url, heard):
        tokens = [forger.token({name: url}, sign=es256(key)) for name in ("jku", "x5u", "kid")]
        tokens += [forger.token({"iss": url}, {"iss": url}, sign=es256(key))]
        return forger.accepted(*tokens) or bool(heard)


def takes_the_key_of_the_token(token: str, key: Any) -> bytes:
    """Verify by the key that the header has, or says where it is."""
    header, message, payload, signature = _split(token)
    jwk = header.get("jwk")
    if "jku" in header:
        with urlopen(header["jku"]) as answer:
            jwk = json.load(answer)["keys"][0]
    public = key.verifying() if jwk is None else ECKey.import_key(jwk)
    is_es256(public.public_key, message, signature)
    return payload


def encrypted_and_not_signed(served: Served) -> bool:
    """Claims encrypted to the public key, as anybody can, with no signature within."""
    forger = Forger(served)
    NAIVE.key = ECKey.import_key(forger.key)
    public = ECKey.import_key(forger.key.public_key())
    header = {**forger.header, "alg": "ECDH-ES", "enc": "A128GCM"}
    claims = json.dumps(forger.claims).encode()
    return forger.accepted(
        jwe.encrypt_compact(header, claims, public),
        jwe.encrypt_compact({**header, "cty": "JWT"}, claims, public),
    )


def decrypts(self: Tokens, token: str, ring: Any, now: float) -> Claims:
    """Believe what was encrypted to the service."""
    if token.count(".") == 4:
        payload = json.loads(jwe.decrypt_compact(token, NAIVE.key).plaintext or b"")
        return self._claims_of(payload, ring.active(now).kid)
    return self._verify_signature(token, ring, now)


def nested(served: Served) -> bool:
    """A token within a token (RFC 7519, 5.2)."""
    forger = Forger(served)
    header = json.dumps({**forger.header, "cty": "JWT"})
    inner = forger.token({"alg": "none"}, sign=unsigned)
    return forger.accepted(
        token_of(header, forger.genuine, unsigned), token_of(header, inner, es256(forger.key))
    )


def takes_what_is_within(token: str, key: Any) -> bytes:
    """Look into a payload that is a token itself."""
    header, message, payload, signature = _split(token)
    if header.get("cty") == "JWT":
        return _split(payload.decode())[2]
    is_es256(key.verifying().public_key, message, signature)
    return payload


def not_signed_by_the_key(served: Served) -> bool:
    """Signatures that are somebody else's, of something else, cut off, or zero (CVE-2022-21449)."""
    forger, key = Forger(served), generate_private_key(SECP256R1())
    header, _, signature = forger.genuine.split(".")
    claims = encoded(json.dumps({**forger.claims, "sub": "root"}).encode())
    zero = bytes(64)
    return forger.accepted(
        forger.token(sign=es256(key)),
        forger.token(sign=lambda message: zero),
        forger.token(sign=lambda message: b""),
        f"{header}.{claims}.{signature}",
        f"{forger.genuine[:-8]}",
        f"{header}.{forger.genuine.split('.')[1]}",
    )


def _secret_of_kid(served: Served, secret: bytes, *kids: str) -> bool:
    forger = Forger(served)
    header = {"alg": "HS256"}
    return forger.accepted(
        *(forger.token({**header, "kid": kid}, sign=hs256(secret)) for kid in kids)
    )


def _public_forms(key: ECKey) -> list[bytes]:
    """All that could be taken for the secret of an HMAC."""
    jwk = key.as_dict(private=False)
    point = [decoded(str(jwk[name])) for name in ("x", "y")]
    return [
        key.as_pem(private=False),
        key.as_pem(private=False).strip(),
        key.as_der(private=False),
        json.dumps(jwk).encode(),
        json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode(),
        b"".join(point),
        b"\4" + b"".join(point),
        *point,
        str(jwk["x"]).encode(),
        b"",
    ]


def _split(token: str) -> tuple[dict[str, Any], bytes, bytes, bytes]:
    """Header, what is signed, payload, signature."""
    header, payload, signature = token.split(".")
    message = f"{header}.{payload}".encode()
    return json.loads(decoded(header)), message, _loosely(payload), decoded(signature)


def _loosely(payload: str) -> bytes:
    return b"" if payload.startswith("{") else decoded(payload)


_TWICE = without(tokens._strict_json, "len(dict(pairs)) != len(pairs)", "False")
_VERIFY = "self._verify_signature(token, ring, now)"

ATTACKS = [
    Attack("alg none", no_algorithm, all_of(ALGORITHM, verified_by(believes_the_algorithm))),
    Attack(
        "HMAC with the public key",
        public_key_as_secret,
        all_of(ALGORITHM, verified_by(believes_the_algorithm)),
    ),
    Attack(
        "another algorithm than the key's",
        another_algorithm,
        all_of(ALGORITHM, verified_by(believes_the_algorithm)),
    ),
    Attack("kid as a path", kid_as_path, looked_up(lambda kid: Path("/etc", kid).read_bytes())),
    Attack("kid as SQL", kid_as_sql, looked_up(in_sql)),
    Attack("kid as a Redis key", kid_as_redis_key, looked_up(lambda kid: NAIVE.redis.get(kid))),
    Attack(
        "kid with a NUL",
        kid_with_nul,
        without(tokens._key_of, 'ring[header["kid"]]', r'ring[header["kid"].split("\0")[0]]'),
    ),
    Attack(
        "kid that is no text",
        kid_of_another_type,
        without(
            tokens._key_of,
            'ring[header["kid"]]',
            '{key.kid: key for key in ring.keys}[header["kid"]]',
        ),
    ),
    Attack("duplicate header members", duplicate_header_members, _TWICE),
    Attack("unknown crit", unknown_crit, all_of(MEMBERS, verified_by(takes_any_header))),
    Attack("b64 false", payload_not_encoded, all_of(MEMBERS, verified_by(takes_any_header))),
    Attack(
        "a key in the header",
        own_key_embedded,
        all_of(MEMBERS, verified_by(takes_the_key_of_the_token)),
    ),
    Attack(
        "a key at an address",
        own_key_at_an_address,
        all_of(MEMBERS, verified_by(takes_the_key_of_the_token)),
    ),
    Attack(
        "encrypted in place of signed",
        encrypted_and_not_signed,
        without(Tokens.verify, _VERIFY, "_naive(self, token, ring, now)", _naive=decrypts),
    ),
    Attack("nested", nested, all_of(MEMBERS, verified_by(takes_what_is_within))),
    Attack(
        "not signed by the key",
        not_signed_by_the_key,
        verified_by(lambda token, key: _split(token)[2]),
    ),
]
