"""API keys: their form, their checksum, and what is kept of them."""

import hashlib
import string
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.stack.security.api_keys import (
    KeyRecord,
    derived_key,
    digest,
    is_well_formed,
    new_key,
)
from tarslab.stack.security.scopes import Scope

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def crc32(data: bytes) -> int:
    """CRC-32 of ISO 3309, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def base62(number: int) -> str:
    """Six digits of base 62."""
    return "".join(DIGITS[number // 62**place % 62] for place in range(5, -1, -1))


def record(key: str, **others: Any) -> KeyRecord:
    """What is kept of a key that was made at time 0."""
    return KeyRecord(
        id="0",
        name="of a test",
        prefix=key[:9],
        digest=digest(key),
        scopes=(Scope.AGENTS_READ,),
        owner="admin",
        created_at=0.0,
        **others,
    )


def test_the_checksum_by_hand_is_the_one_of_github_s_published_token():
    # "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", the example for the form of their tokens.
    assert base62(crc32(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ")) == "0mLq17"


def test_a_key_is_a_prefix_thirty_random_characters_and_their_checksum():
    for key in (new_key() for _ in range(200)):
        assert key.startswith("tars_")
        assert len(key) == 5 + 30 + 6
        assert set(key[5:]) <= set(DIGITS)
        assert key[-6:] == base62(crc32(key[:-6].encode()))
        assert is_well_formed(key)


def test_the_random_characters_are_all_used_and_no_key_comes_twice():
    keys = [new_key() for _ in range(500)]
    assert len(set(keys)) == 500
    # 15,000 draws of 62: a character that comes up less than 120 times is 8 deviations off.
    counts = Counter("".join(key[5:35] for key in keys))
    assert set(counts) == set(DIGITS)
    assert min(counts.values()) > 120


@given(st.integers(0, 40), st.sampled_from(DIGITS + "_- "))
def test_a_key_with_one_character_changed_is_not_well_formed(place: int, character: str):
    key = derived_key(b"secret", "a test")
    changed = key[:place] + character + key[place + 1 :]
    assert is_well_formed(changed) == (changed == key)


@given(st.integers(0, 39))
def test_a_key_with_two_characters_exchanged_is_not_well_formed(place: int):
    key = derived_key(b"secret", "a test")
    changed = key[:place] + key[place + 1] + key[place] + key[place + 2 :]
    assert is_well_formed(changed) == (changed == key)


@given(st.text(max_size=60))
def test_other_text_is_no_key(text: str):
    assert not is_well_formed(text)


def test_a_key_in_other_digits_that_python_takes_for_the_same_is_not_well_formed():
    key = new_key()
    assert not is_well_formed(key.replace(key[-1], "\N{FULLWIDTH DIGIT ONE}"))


def test_a_derived_key_is_the_same_for_the_same_purpose_alone():
    assert derived_key(b"secret", "id", "idem") == derived_key(b"secret", "id", "idem")
    keys = {
        derived_key(b"secret", "id", "idem"),
        derived_key(b"other", "id", "idem"),
        derived_key(b"secret", "id", "other"),
        derived_key(b"secret", "idi", "dem"),
    }
    assert len(keys) == 4
    assert all(map(is_well_formed, keys))


def test_what_is_kept_is_the_sha_256_and_the_first_nine_characters():
    key = new_key()
    kept = record(key)
    assert kept.digest == hashlib.sha256(key.encode()).hexdigest()
    assert key not in kept.model_dump_json()
    assert key[9:] not in kept.model_dump_json()


@pytest.mark.parametrize(
    ("others", "now", "state"),
    [
        ({}, 10.0, "active"),
        ({"expires_at": 10.0}, 9.9, "active"),
        ({"expires_at": 10.0}, 10.0, "expired"),
        ({"revoked_at": 5.0}, 10.0, "revoked"),
        ({"revoked_at": 5.0, "expires_at": 7.0}, 10.0, "revoked"),
        ({"overlap_until": 10.0}, 9.9, "rotating"),
        ({"overlap_until": 10.0}, 10.0, "active"),
        ({"overlap_until": 10.0, "expires_at": 8.0}, 9.0, "expired"),
        ({"overlap_until": 10.0, "revoked_at": 8.0}, 9.0, "revoked"),
    ],
)
def test_the_time_says_in_which_state_a_key_is(others: dict[str, float], now: float, state: str):
    assert record(new_key(), **others).state(now) == state


def test_after_a_rotation_both_keys_are_good_until_the_overlap_ends():
    before, after = new_key(), new_key()
    rotated = record(before).rotated(after, overlap_until=10.0)
    assert rotated.prefix == after[:9]
    for now, good in ((9.9, [True, True]), (10.0, [False, True])):
        assert [rotated.accepts(digest(key), now) for key in (before, after)] == good
    assert not rotated.accepts(digest(new_key()), 5.0)


def test_only_the_last_key_overlaps_with_the_present_one():
    first, second, third = new_key(), new_key(), new_key()
    rotated = record(first).rotated(second, 10.0).rotated(third, 10.0)
    assert [rotated.accepts(digest(key), 5.0) for key in (first, second, third)] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("end", [{"revoked_at": 5.0}, {"expires_at": 5.0}])
def test_the_end_of_a_key_is_the_end_of_the_one_before_it_too(end: dict[str, float]):
    before, after = new_key(), new_key()
    rotated = record(before, **end).rotated(after, overlap_until=10.0)
    assert not any(rotated.accepts(digest(key), 6.0) for key in (before, after))
