"""Rate limits: the generic cell rate algorithm (GCRA, ATM Forum TM 4.0), on Redis or in memory.

A limit of ``burst`` requests at once and ``rate`` a second keeps one number a caller: the time at
which its bucket is empty again. It is kept in units of requests (time by rate), so that counting
one more is exact.
"""

import math
from collections import OrderedDict
from typing import NamedTuple

REMEMBERED = 100_000
SLACK = 1e-3
"""Of a request: the time itself is not told more exactly."""


class Limit(NamedTuple):
    """So many at once, and so many a second."""

    name: str
    burst: int
    rate: float

    @property
    def policy(self) -> str:
        """As in the header ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.name}";q={self.burst};w={max(1, round(self.burst / self.rate))}'


class Verdict(NamedTuple):
    """Whether one more is allowed."""

    allowed: bool
    remaining: int
    wait: float
    """Seconds until one more is allowed; 0 where one is now."""

    def header(self, limit: Limit) -> str:
        """As in the header ``RateLimit``."""
        return f'"{limit.name}";r={self.remaining};t={math.ceil(self.wait)}'


# Called with the key of a caller, the time, burst, rate, and 1 to take or 0 to look.
GCRA = f"""
local function gcra(key, now, burst, rate, take)
  local empty = math.max(tonumber(redis.call('GET', key) or '0'), now * rate)
  local full = now * rate + burst
  local after = empty + 1
  if after > full + {SLACK} then return {{0, 0, string.format('%.17g', (after - full) / rate)}} end
  if take == 1 then
    local life = math.ceil((after / rate - now) * 1000) + 1000
    redis.call('SET', key, string.format('%.17g', after), 'PX', life)
    empty = after
  end
  return {{1, math.floor(full - empty + {SLACK}), '0'}}
end
"""


class Buckets:
    """The same algorithm in memory, for when Redis is out."""

    def __init__(self) -> None:
        self._empty: OrderedDict[str, float] = OrderedDict()

    def take(self, limit: Limit, caller: str, now: float, take: bool = True) -> Verdict:
        """Count one request of ``caller``, or only look."""
        key = f"{limit.name}:{caller}"
        empty = max(self._empty.get(key, 0.0), now * limit.rate)
        full, after = now * limit.rate + limit.burst, empty + 1
        if after > full + SLACK:
            return Verdict(False, 0, (after - full) / limit.rate)
        if take:
            self._empty[key] = empty = after
            self._empty.move_to_end(key)
            if len(self._empty) > REMEMBERED:
                self._empty.popitem(last=False)
        return Verdict(True, int(full - empty + SLACK), 0.0)
