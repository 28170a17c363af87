"""The ring of signing keys: published, then signing, then in grace, then gone.

A verifier may have the JWKS in a cache, so that a key is published before it signs; and tokens live
on after a rotation, so that a key verifies until its grace ends. A key that was invalidated never
verifies again.
"""

import base64
import json
import uuid
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self

from joserfc.jwk import ECKey
from pydantic import BaseModel

from tarslab.stack.security.sealing import Seal

ALGORITHM = "ES256"


class KeyState(StrEnum):
    """Where a key is in its life."""

    NEXT = "next"
    ACTIVE = "active"
    GRACE = "grace"
    RETIRED = "retired"
    INVALIDATED = "invalidated"


VERIFIES = frozenset({KeyState.NEXT, KeyState.ACTIVE, KeyState.GRACE})


class TooEarly(ValueError):
    """The next key has not been published for long enough; ``wait`` seconds more."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"the next key must stay published {wait:.0f} s more before it may sign")
        self.wait = wait


class SigningKey(BaseModel):
    """One key of the ring; its private part is sealed."""

    kid: str
    algorithm: str = ALGORITHM
    public: dict[str, str]
    """The JWK that is published."""
    sealed: str
    created_at: float
    published_at: float | None = None
    """None: since the ring began, so that no verifier has a JWKS without it."""
    activated_at: float | None = None
    grace_until: float | None = None
    invalidated_at: float | None = None

    @classmethod
    def new(cls, seal: Seal, now: float, published_at: float | None) -> Self:
        """A fresh key."""
        kid = uuid.uuid4().hex
        key = ECKey.generate_key("P-256", {"kid": kid, "alg": ALGORITHM, "use": "sig"})
        private = json.dumps(key.as_dict(private=True)).encode()
        return cls(
            kid=kid,
            public={name: str(value) for name, value in key.as_dict(private=False).items()},
            sealed=base64.b64encode(seal.close(private)).decode(),
            created_at=now,
            published_at=published_at,
        )

    def state(self, now: float) -> KeyState:
        """Where the key is in its life."""
        if self.invalidated_at is not None:
            return KeyState.INVALIDATED
        if self.activated_at is None:
            return KeyState.NEXT
        if self.grace_until is None:
            return KeyState.ACTIVE
        return KeyState.GRACE if now < self.grace_until else KeyState.RETIRED

    def verifies(self, now: float) -> bool:
        """Whether a token signed by it is good."""
        return self.state(now) in VERIFIES

    def verifying(self) -> ECKey:
        """The public key, parsed once."""
        return _parsed(json.dumps(self.public, sort_keys=True))

    def signing(self, seal: Seal) -> ECKey:
        """The private key."""
        return _unsealed(seal, self.sealed)


class Ring(BaseModel):
    """All signing keys: one that signs, one that will, and those that only verify."""

    version: int = 1
    keys: tuple[SigningKey, ...]

    @classmethod
    def new(cls, seal: Seal, now: float) -> Self:
        """A ring with a key that signs, and the next one published."""
        first, second = (SigningKey.new(seal, now, published_at=None) for _ in range(2))
        return cls(keys=(first.model_copy(update={"activated_at": now}), second))

    def __getitem__(self, kid: str) -> SigningKey:
        """The key of this id, or KeyError."""
        for key in self.keys:
            if key.kid == kid:
                return key
        raise KeyError(kid)

    def active(self, now: float) -> SigningKey:
        """The key that signs."""
        return next(key for key in self.keys if key.state(now) is KeyState.ACTIVE)

    def next(self, now: float) -> SigningKey:
        """The key that will sign after a rotation."""
        return next(key for key in self.keys if key.state(now) is KeyState.NEXT)

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """The public keys that verify (RFC 7517)."""
        return {"keys": [key.public for key in self.keys if key.verifies(now)]}

    def rotated(self, seal: Seal, now: float, grace: float, published: float) -> Self:
        """The next key signs, the last one verifies ``grace`` seconds more, a new one is published.

        TooEarly where the next key has been published for less than ``published`` seconds.
        """
        following = self.next(now)
        if following.published_at is not None:
            wait = following.published_at + published - now
            if wait > 0:
                raise TooEarly(wait)
        return self._advanced(seal, now, {self.active(now).kid: {"grace_until": now + grace}})

    def invalidated(self, seal: Seal, kid: str, now: float) -> Self:
        """Without the key ``kid``, for good; where it signs or would, another takes its place.

        The key that takes over may be one that verifiers have not seen yet: the lesser evil.
        """
        gone = {"invalidated_at": now}
        if self[kid].state(now) is KeyState.ACTIVE:
            return self._advanced(seal, now, {kid: gone})
        if self[kid].state(now) is KeyState.NEXT:
            return self._changed({kid: gone}, SigningKey.new(seal, now, published_at=now))
        return self._changed({kid: gone})

    def without(self, kids: frozenset[str]) -> Self:
        """Without the keys that are of no use any more."""
        kept = tuple(key for key in self.keys if key.kid not in kids)
        return self.model_copy(update={"version": self.version + 1, "keys": kept})

    def _advanced(self, seal: Seal, now: float, changes: Mapping[str, Mapping[str, Any]]) -> Self:
        """The next key active, and a new one published in its place."""
        active = {self.next(now).kid: {"activated_at": now}}
        return self._changed({**changes, **active}, SigningKey.new(seal, now, published_at=now))

    def _changed(self, changes: Mapping[str, Mapping[str, Any]], *new: SigningKey) -> Self:
        keys = tuple(key.model_copy(update=dict(changes.get(key.kid, {}))) for key in self.keys)
        return self.model_copy(update={"version": self.version + 1, "keys": keys + new})


@lru_cache(maxsize=64)
def _parsed(public: str) -> ECKey:
    return ECKey.import_key(json.loads(public))


@lru_cache(maxsize=8)
def _unsealed(seal: Seal, sealed: str) -> ECKey:
    return ECKey.import_key(json.loads(seal.open(base64.b64decode(sealed))))
