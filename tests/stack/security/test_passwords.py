"""Passwords: argon2id, in turns."""

import asyncio
from collections.abc import Iterator

import argon2
import pytest
from argon2 import PasswordHasher
from argon2.low_level import Type, verify_secret

from tarslab.stack.security import passwords
from tarslab.stack.security.passwords import Busy, Passwords
from tarslab.stack.settings import Settings

RIGHT, WRONG = "correct horse", "battery staple"


@pytest.fixture
def hashing() -> Iterator[Passwords]:
    """With the least work that argon2 allows."""
    hashing = Passwords(memory_kib=8, iterations=1)
    yield hashing
    hashing.close()


def test_a_password_is_verified_against_its_hash(hashing: Passwords):
    async def verify() -> list[bool]:
        hashed = await hashing.hash(RIGHT)
        return [await hashing.verify(hashed, RIGHT), await hashing.verify(hashed, WRONG)]

    assert asyncio.run(verify()) == [True, False]


def test_a_hash_is_argon2id_with_the_parameters_and_a_salt_of_its_own(hashing: Passwords):
    async def hash_twice() -> list[str]:
        return [await hashing.hash(RIGHT) for _ in range(2)]

    one, other = asyncio.run(hash_twice())
    assert one != other
    assert one.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert verify_secret(one.encode(), RIGHT.encode(), Type.ID)


def test_the_default_work_is_what_owasp_asks_for_at_least():
    # OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, 2 iterations, 1 degree.
    fields = Settings.model_fields
    assert fields["argon2_memory_kib"].default >= 19 * 1024
    assert fields["argon2_iterations"].default >= 2


@pytest.mark.parametrize("hashed", [None, "", "plain text", "$argon2id$v=19$m=8,t=1,p=1$c2FsdA"])
def test_without_a_hash_no_password_is_right(hashing: Passwords, hashed: str | None):
    for password in (RIGHT, "the password of nobody", ""):
        assert not asyncio.run(hashing.verify(hashed, password))


def test_an_unknown_user_costs_the_same_work_as_a_known_one(
    hashing: Passwords, monkeypatch: pytest.MonkeyPatch
):
    done: list[argon2.Parameters] = []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, hashed: str, password: str) -> bool:
        done.append(argon2.extract_parameters(hashed))
        return verify(hasher, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)

    async def try_both() -> None:
        known = await hashing.hash(RIGHT)
        assert not await hashing.verify(known, WRONG)
        assert not await hashing.verify(None, WRONG)

    asyncio.run(try_both())
    known, unknown = done
    assert known == unknown


def test_so_many_have_a_turn_at_once_and_the_others_wait(hashing: Passwords):
    async def crowd() -> list[int]:
        present, most = 0, 0

        async def one() -> None:
            nonlocal present, most
            async with hashing.slot():
                present += 1
                most = max(most, present)
                await asyncio.sleep(0)
                present -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        return [most, present]

    assert asyncio.run(crowd()) == [passwords.AT_ONCE, 0]


def test_more_than_may_wait_are_refused_and_turns_are_given_back(
    hashing: Passwords, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(passwords, "WAITING", 3)

    async def crowd() -> list[str]:
        leave = asyncio.Event()

        async def one() -> str:
            try:
                async with hashing.slot():
                    await leave.wait()
                    raise KeyError
            except Busy:
                return "busy"
            except KeyError:
                return "served"

        waiting = [asyncio.create_task(one()) for _ in range(5)]
        await asyncio.sleep(0)
        leave.set()
        first = await asyncio.gather(*waiting)
        return [*first, await one()]

    assert asyncio.run(crowd()) == ["served", "served", "served", "busy", "busy", "served"]
