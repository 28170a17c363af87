"""Rate limits: on Redis and in memory alike, and as a plain token bucket has it."""

import re
import uuid
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarslab.stack.security import limits
from tarslab.stack.security.limits import GCRA, Buckets, Limit, Verdict
from tests.stack.served import Valkey

NOW = 1_800_000_000.0
Take = Callable[[Limit, str, float, bool], Verdict]

rates = st.sampled_from([1 / 30, 0.1, 1 / 3, 1.0, 3.0, 7.0, 50.0, 600.0, 1000.0]) | st.floats(
    0.01, 2000.0
)
# Seconds between requests, and whether one is only looked for.
requests = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.5, 1.0, 30.0, 3600.0]) | st.floats(0.0, 10.0),
        st.booleans(),
    ),
    max_size=25,
)


@pytest.fixture
def on_redis(valkey: Valkey) -> Take:
    """Counts with the script that the services use."""
    script = valkey.client.register_script(
        GCRA
        + "return gcra(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),"
        + " tonumber(ARGV[4]))"
    )

    def take(limit: Limit, caller: str, now: float, really: bool) -> Verdict:
        arguments: list[Any] = [repr(now), limit.burst, limit.rate, int(really)]
        allowed, remaining, wait = script(keys=[caller], args=arguments)
        return Verdict(bool(allowed), remaining, float(wait))

    return take


class TokenBucket:
    """The textbook's: full of ``burst`` tokens, ``rate`` more a second, in exact numbers."""

    def __init__(self, burst: int, rate: float) -> None:
        self.burst, self.rate = burst, Fraction(rate)
        self.tokens, self.at = Fraction(burst), Fraction(0)

    def take(self, now: float, really: bool) -> tuple[bool, Fraction]:
        """Whether there is a token, and how many there are then."""
        filled = (Fraction(now) - self.at) * self.rate
        self.tokens, self.at = min(Fraction(self.burst), self.tokens + filled), Fraction(now)
        allowed = self.tokens >= 1
        if allowed and really:
            self.tokens -= 1
        return allowed, self.tokens


def test_on_redis_and_in_memory_the_verdicts_are_the_same(on_redis: Take):
    @settings(deadline=None)
    @given(st.integers(1, 1000), rates, requests)
    def check(burst: int, rate: float, asked: list[tuple[float, bool]]) -> None:
        limit, caller, memory, now = Limit("test", burst, rate), uuid.uuid4().hex, Buckets(), NOW
        for seconds, really in asked:
            now += seconds
            assert on_redis(limit, caller, now, really) == memory.take(limit, caller, now, really)

    check()


@given(st.integers(1, 1000), rates, requests)
def test_the_verdicts_are_those_of_a_token_bucket(
    burst: int, rate: float, asked: list[tuple[float, bool]]
):
    limit, memory, bucket, now = (
        Limit("test", burst, rate),
        Buckets(),
        TokenBucket(burst, rate),
        NOW,
    )
    bucket.at = Fraction(now)
    for seconds, really in asked:
        now += seconds
        verdict = memory.take(limit, "somebody", now, really)
        allowed, tokens = bucket.take(now, really)
        # A double tells the time of today to a quarter of a microsecond.
        if abs(tokens - round(tokens)) < Fraction(1, 100):
            tokens, allowed = Fraction(round(tokens)), verdict.allowed
            bucket.tokens = tokens
        assert verdict.allowed == allowed
        if allowed:
            assert abs(verdict.remaining - int(tokens)) <= (tokens.denominator == 1)
        else:
            assert verdict.wait == pytest.approx(float((1 - tokens) / bucket.rate), abs=0.01 / rate)


@pytest.mark.parametrize("rate", [1 / 30, 1.5, 600.0, 1000.0])
@pytest.mark.parametrize("on", ["redis", "memory"])
def test_a_burst_is_allowed_to_the_last_one_and_counted_down(on_redis: Take, on: str, rate: float):
    take = on_redis if on == "redis" else Buckets().take
    limit, now = Limit("test", 100, rate), NOW + 0.1234567
    found = [take(limit, "somebody", now, True) for _ in range(101)]
    assert [verdict.remaining for verdict in found[:100]] == list(range(99, -1, -1))
    assert all(verdict.allowed for verdict in found[:100])
    assert not found[100].allowed
    assert found[100].wait == pytest.approx(1 / rate, rel=1e-3)


def test_a_look_does_not_count():
    limit, buckets = Limit("test", 2, 1.0), Buckets()
    assert [buckets.take(limit, "somebody", NOW, False).remaining for _ in range(5)] == [2] * 5


def test_callers_and_limits_are_counted_apart():
    buckets = Buckets()
    for name in ("one", "other"):
        for caller in ("carol", "dave"):
            assert buckets.take(Limit(name, 1, 1.0), caller, NOW).allowed
    assert not buckets.take(Limit("one", 1, 1.0), "carol", NOW).allowed


@given(st.integers(1, 10), rates, st.floats(0.0, 1000.0))
def test_a_wait_is_long_enough_and_no_longer(burst: int, rate: float, later: float):
    limit, buckets, now = Limit("test", burst, rate), Buckets(), NOW + later
    for _ in range(burst):
        assert buckets.take(limit, "somebody", now).allowed
    wait = buckets.take(limit, "somebody", now).wait
    assert not buckets.take(limit, "somebody", now + wait * 0.99).allowed
    # Told to the microsecond, as the services tell it to Redis.
    assert buckets.take(limit, "somebody", round(now + wait, 6)).allowed


def test_memory_forgets_those_who_asked_longest_ago(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "REMEMBERED", 2)
    limit, buckets = Limit("test", 1, 1.0), Buckets()
    for caller in ("carol", "dave", "eve"):
        buckets.take(limit, caller, NOW)
    assert [buckets.take(limit, caller, NOW, False).allowed for caller in ("dave", "carol")] == [
        False,
        True,
    ]


def test_redis_forgets_a_bucket_once_it_is_full_again(on_redis: Take, valkey: Valkey):
    on_redis(Limit("test", 100, 10.0), "somebody", NOW, True)
    # A tenth of a second until it is full, and one more.
    assert 1000 <= valkey.client.pttl("somebody") <= 1100


@pytest.mark.parametrize(
    ("limit", "policy"),
    [
        (Limit("default", 1000, 1000), '"default";q=1000;w=1'),
        (Limit("login-user", 5, 1 / 30), '"login-user";q=5;w=150'),
        (Limit("test", 1, 10.0), '"test";q=1;w=1'),
    ],
)
def test_a_policy_names_its_quota_and_window(limit: Limit, policy: str):
    # draft-ietf-httpapi-ratelimit-headers, section 3: q is the quota, w the window in seconds.
    assert limit.policy == policy


def test_a_header_says_what_remains_and_when_there_is_more():
    limit = Limit("default", 1, 0.3)
    buckets = Buckets()
    assert buckets.take(limit, "somebody", NOW).header(limit) == '"default";r=0;t=0'
    refused = buckets.take(limit, "somebody", NOW).header(limit)
    # 3.3 s: after 3 s there is none yet.
    assert re.fullmatch(r'"default";r=0;t=4', refused)
