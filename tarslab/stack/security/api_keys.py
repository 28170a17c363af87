"""API keys: their form, and the records that are kept of them.

A key reads ``tars_<30 of base 62><6 of base 62>``: the last six are the CRC-32 of the rest, as in
GitHub's tokens, so that a scanner or a typing error is told from a key without asking anybody.
Kept is the SHA-256 alone: 178 random bits cannot be guessed, and a slow hash would buy nothing.
"""

import hashlib
import hmac
import secrets
import zlib
from typing import Self

from pydantic import BaseModel

from tarslab.stack.security.scopes import Scope

PREFIX = "tars_"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM, CHECK = 30, 6
LENGTH = len(PREFIX) + RANDOM + CHECK
SHOWN = len(PREFIX) + 4


def new_key() -> str:
    """A new key, from the system's randomness."""
    return _with_check(PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM)))


def derived_key(secret: bytes, *purpose: str) -> str:
    """The key that belongs to a purpose: the same each time, so that it is kept nowhere."""
    number = int.from_bytes(hmac.digest(secret, "\0".join(purpose).encode(), "sha256"))
    return _with_check(PREFIX + _base62(number, RANDOM))


def is_well_formed(key: str) -> bool:
    """Whether ``key`` has the form and checksum of an API key."""
    return len(key) == LENGTH and key.isascii() and _with_check(key[:-CHECK]) == key


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class KeyRecord(BaseModel):
    """What is kept of one API key."""

    id: str
    name: str
    prefix: str
    digest: str
    scopes: tuple[Scope, ...]
    owner: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    previous_digest: str | None = None
    """Of the key before the last rotation, which is good until ``overlap_until``."""
    overlap_until: float | None = None

    def state(self, now: float) -> str:
        """``active``, ``rotating`` (the key before is good too), ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        overlapping = self.overlap_until is not None and self.overlap_until > now
        return "rotating" if overlapping else "active"

    def accepts(self, digested: str, now: float) -> bool:
        """Whether the key of this digest is good now."""
        match self.state(now):
            case "active":
                return hmac.compare_digest(digested, self.digest)
            case "rotating":
                return digested in (self.digest, self.previous_digest)
            case _:
                return False

    def rotated(self, key: str, overlap_until: float) -> Self:
        """This record with a new key; the one before is good until ``overlap_until``."""
        changed = {
            "prefix": key[:SHOWN],
            "digest": digest(key),
            "previous_digest": self.digest,
            "overlap_until": overlap_until,
        }
        return self.model_copy(update=changed)


def _with_check(body: str) -> str:
    return body + _base62(zlib.crc32(body.encode()), CHECK)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
