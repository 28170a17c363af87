"""Passwords: argon2id, the same time for a user who is unknown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")

# Hashing is heavy on purpose: so many at once, the others wait, and beyond that they are refused.
AT_ONCE = 2
WAITING = 200


class Busy(RuntimeError):
    """Too many logins wait for their passwords to be hashed."""


class Passwords:
    """Hashes and verifies passwords on threads of their own."""

    def __init__(self, memory_kib: int, iterations: int) -> None:
        self._hasher = PasswordHasher(memory_cost=memory_kib, time_cost=iterations, parallelism=1)
        self._nobody = self._hasher.hash("the password of nobody")
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A turn to verify a password, or Busy.

        Failures are counted within the turn: else many guesses at once would all come before the
        first of them is counted.
        """
        if self._waiting >= WAITING:
            raise Busy
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1

    async def hash(self, password: str) -> str:
        """The hash in PHC string form."""
        return await self._on_thread(self._hasher.hash, password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password is right; never without a hash, after the same work."""
        right = await self._on_thread(self._is_right, hashed or self._nobody, password)
        return right and bool(hashed)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _is_right(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _on_thread(self, work: Callable[..., T], *arguments: str) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, *arguments)
