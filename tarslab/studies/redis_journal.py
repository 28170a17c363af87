"""A journal on Redis, in the form of Optuna's own ``JournalRedisBackend``.

What is different: a server that goes away in the middle of a search is waited for; an entry whose
answer was lost is not written twice; and there are no snapshots, which are pickles that anybody
could have put there.
"""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from optuna.storages.journal import BaseJournalBackend
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from tarslab.errors import BadStudy

T = TypeVar("T")

LAST = ":log_number"
ENTRY = ":log:"
# Entries that are read at once.
BATCH = 1000
# Seconds by which an entry may come after its number.
LATE = 5.0
# Seconds between two tries of a server that does not answer.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0

# Appends an entry, unless it stands after the entry ARGV[1] already; -1 where that one is gone.
APPEND = """
local function key(number) return KEYS[2] .. string.format('%d', number) end
local last = tonumber(redis.call('GET', KEYS[1]) or '-1')
if last < tonumber(ARGV[1]) then return -1 end
for number = tonumber(ARGV[1]) + 1, last do
  if redis.call('GET', key(number)) == ARGV[2] then return number end
end
redis.call('SET', key(last + 1), ARGV[2])
redis.call('SET', KEYS[1], string.format('%d', last + 1))
return last + 1
"""

LOST = "the Redis server came back without the journal that was there; start the search again"


class JournalLost(BadStudy):
    """The server has lost entries that it had: it came back without its data."""


class RedisJournal(BaseJournalBackend):
    """A journal on Redis.

    patience: seconds that a server which has answered before is waited for when it is gone.
        Otherwise it is tried twice.
    timeout: seconds of connecting, and of each answer.
    answered: whether it has answered before, to another process of the search.
    """

    def __init__(
        self, url: str, *, patience: float, timeout: float, answered: bool = False
    ) -> None:
        # Tries of redis-py's own would append twice.
        self._redis: Any = Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        self._patience = patience
        self._waits = answered
        self.last = -1
        """The number of the last entry seen."""

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The entries from a number on; JournalLost where there are fewer."""
        last = int(self._asked(lambda: self._redis.get(LAST)) or -1)
        if last < log_number_from - 1:
            raise JournalLost(LOST)
        for start in range(log_number_from, last + 1, BATCH):
            end = min(start + BATCH, last + 1)
            for number, entry in enumerate(self._entries(start, end), start):
                yield json.loads(self._awaited(number) if entry is None else entry)
        self.last = last

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries, each once, however often it has to be sent."""
        for log in logs:
            # It holds the mark of its writer, so no other's is taken for it.
            append = partial(self._redis.eval, APPEND, 2, LAST, ENTRY, self.last, json.dumps(log))
            number = int(self._asked(append))
            if number < 0:
                raise JournalLost(LOST)
            self.last = number

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    def _entries(self, start: int, end: int) -> list[bytes | None]:
        keys = [f"{ENTRY}{number}" for number in range(start, end)]
        found: list[bytes | None] = self._asked(lambda: self._redis.mget(keys))
        return found

    def _awaited(self, number: int) -> bytes:
        """An entry whose number came before it: to a cluster, Optuna writes the two apart."""
        deadline = time.monotonic() + LATE
        while time.monotonic() < deadline:
            time.sleep(FIRST_PAUSE)
            entry: bytes | None = self._asked(lambda: self._redis.get(f"{ENTRY}{number}"))
            if entry is not None:
                return entry
        raise JournalLost(f"entry {number} of the journal on Redis is gone")

    def _asked(self, ask: Callable[[], T]) -> T:
        began = time.monotonic()
        for tries in itertools.count():
            try:
                answer = ask()
                self._waits = True
                return answer
            except (ConnectionError, TimeoutError):
                spent = time.monotonic() - began >= self._patience
                if tries and (spent or not self._waits):
                    # Whoever cleans up now must not wait as long again.
                    self._waits = False
                    raise
                self._pause(tries)
        raise AssertionError("unreachable")

    def _pause(self, tries: int) -> None:
        longest = min(FIRST_PAUSE * 2.0**tries, LONGEST_PAUSE)
        try:
            time.sleep(random.uniform(longest / 2, longest))
        except KeyboardInterrupt:
            self._waits = False
            raise
