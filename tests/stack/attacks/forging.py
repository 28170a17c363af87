"""Access tokens made by hand (RFC 7515), to differ from the service's own in one thing alone."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from tests.stack.served import Served

Sign = Callable[[bytes], bytes]
P256 = 32


class Forger:
    """Has stolen everything, the signing key too, but for the thing that is attacked."""

    def __init__(self, served: Served, username: str | None = None) -> None:
        self.served = served
        self.login = served.login(username) if username else served.login()
        self.genuine = str(self.login["access_token"])
        self.header, self.claims = parts(self.genuine)
        self.key = private_key(served, self.header["kid"])

    def token(
        self,
        header: Mapping[str, Any] | str | None = None,
        claims: Mapping[str, Any] | str | None = None,
        *,
        drop: Collection[str] = (),
        sign: Sign | None = None,
    ) -> str:
        """A token with these members changed and those left out; a text stands as it is."""
        return token_of(
            _changed(self.header, header, drop),
            _changed(self.claims, claims, drop),
            sign or es256(self.key),
        )

    def accepted(self, *tokens: str) -> bool:
        """Whether the service lets one of the tokens in."""
        return any(accepted(self.served, token) for token in tokens)

    def stumbled_over(self, *tokens: str) -> bool:
        """Whether the service does anything but refuse each of the tokens."""
        answers = (self.served.ask("GET", "/auth/me", token=token) for token in tokens)
        return any(answer.status_code != 401 for answer in answers)


def accepted(served: Served, token: str) -> bool:
    """Whether an access token or API key is let in; refused, it is with a 401."""
    status = served.ask("GET", "/auth/me", token=token).status_code
    assert status in (200, 401), status
    return status == 200


def private_key(served: Served, kid: str) -> EllipticCurvePrivateKey:
    """A signing key of the service, unsealed."""
    key = served.core.snapshot.ring[kid].signing(served.core.seal).private_key
    assert isinstance(key, EllipticCurvePrivateKey)
    return key


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims."""
    header, claims, _ = token.split(".")
    return json.loads(decoded(header)), json.loads(decoded(claims))


def token_of(header: str, claims: str, sign: Sign) -> str:
    """The compact serialization."""
    signed = f"{encoded(header.encode())}.{encoded(claims.encode())}"
    return f"{signed}.{encoded(sign(signed.encode()))}"


def es256(key: EllipticCurvePrivateKey, digest: hashes.HashAlgorithm | None = None) -> Sign:
    """ECDSA with SHA-256, or with another hash, as RFC 7518 has it: r and s, 32 bytes each."""

    def sign(message: bytes) -> bytes:
        pair = decode_dss_signature(key.sign(message, ECDSA(digest or hashes.SHA256())))
        return b"".join(number.to_bytes(P256) for number in pair)

    return sign


def is_es256(
    key: EllipticCurvePublicKey,
    message: bytes,
    signature: bytes,
    digest: hashes.HashAlgorithm | None = None,
) -> None:
    """Raise ValueError where the signature is not right."""
    pair = [int.from_bytes(signature[:P256]), int.from_bytes(signature[P256:])]
    try:
        key.verify(encode_dss_signature(*pair), message, ECDSA(digest or hashes.SHA256()))
    except InvalidSignature:
        raise ValueError("not signed by the key") from None


def hs256(secret: bytes) -> Sign:
    """HMAC with SHA-256."""
    return lambda message: hmac.digest(secret, message, hashlib.sha256)


def unsigned(message: bytes) -> bytes:
    """No signature at all."""
    return b""


def encoded(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """From base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _changed(
    members: Mapping[str, Any], changes: Mapping[str, Any] | str | None, drop: Collection[str]
) -> str:
    if isinstance(changes, str):
        return changes
    kept = {name: value for name, value in members.items() if name not in drop}
    return json.dumps({**kept, **(changes or {})})
