"""Keys derived from a secret, and what is sealed with them."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tarslab.stack.security.sealing import Seal, Unsealable, derive


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 as in RFC 5869, section 2, with a salt of zeros."""
    pseudorandom = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    block, made, counter = b"", b"", 1
    while len(made) < length:
        block = hmac.new(pseudorandom, block + info + bytes([counter]), hashlib.sha256).digest()
        made, counter = made + block, counter + 1
    return made[:length]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 100))
def test_keys_are_derived_as_rfc_5869_has_it(secret: str, length: int):
    assert derive(secret, "audit", length) == hkdf(secret.encode(), b"tarslab/audit", length)


def test_each_purpose_and_each_secret_has_a_key_of_its_own():
    keys = {derive(secret, purpose) for secret in ("a", "b") for purpose in ("a", "b")}
    assert len(keys) == 4


@given(st.binary(max_size=200))
def test_what_is_sealed_can_be_opened(data: bytes):
    seal = Seal("secret", "tests")
    assert seal.open(seal.close(data)) == data


def test_a_seal_is_aes_256_gcm_with_the_nonce_in_front_and_the_purpose_bound_to_it():
    sealed = Seal("secret", "tests").close(b"a private key")
    key = hkdf(b"secret", b"tarslab/seal/tests", 32)
    assert AESGCM(key).decrypt(sealed[:12], sealed[12:], b"tests") == b"a private key"


def test_no_two_seals_are_the_same():
    seal = Seal("secret", "tests")
    assert len({seal.close(b"a private key")[:12] for _ in range(100)}) == 100


@given(st.data())
def test_whatever_changes_a_seal_is_noticed(data: st.DataObject):
    seal = Seal("secret", "tests")
    sealed = bytearray(seal.close(b"a private key"))
    match data.draw(st.sampled_from(["flip", "cut", "add"])):
        case "flip":
            sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
        case "cut":
            del sealed[data.draw(st.integers(0, len(sealed) - 1)) :]
        case "add":
            sealed += data.draw(st.binary(min_size=1, max_size=20))
    with pytest.raises(Unsealable, match="changed since it was sealed"):
        seal.open(bytes(sealed))


@pytest.mark.parametrize("other", [Seal("other", "tests"), Seal("secret", "others")])
def test_another_secret_or_purpose_does_not_open_a_seal(other: Seal):
    with pytest.raises(Unsealable):
        other.open(Seal("secret", "tests").close(b"a private key"))
