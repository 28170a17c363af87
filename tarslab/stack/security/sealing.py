"""Keys derived from a service's secret, and what is encrypted with them."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE = 12


class Unsealable(ValueError):
    """What was sealed has been changed, or was sealed with another secret."""


def derive(secret: str, purpose: str, length: int = 32) -> bytes:
    """A key of ``length`` bytes for one purpose (HKDF-SHA256, RFC 5869)."""
    return HKDF(SHA256(), length, salt=None, info=f"tarslab/{purpose}".encode()).derive(
        secret.encode()
    )


class Seal:
    """Encrypts and authenticates (AES-256-GCM) what is kept outside of the process."""

    def __init__(self, secret: str, purpose: str) -> None:
        self._purpose = purpose.encode()
        self._cipher = AESGCM(derive(secret, f"seal/{purpose}"))

    def close(self, data: bytes) -> bytes:
        """Nonce and ciphertext of ``data``."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, data, self._purpose)

    def open(self, sealed: bytes) -> bytes:
        """What was sealed, or Unsealable."""
        try:
            return self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], self._purpose)
        except (InvalidTag, ValueError):
            raise Unsealable("changed since it was sealed, or sealed with another secret") from None
