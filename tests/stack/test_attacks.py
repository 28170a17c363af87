"""Attacks on the admin API: none succeeds, and each would if its defence were not there.

The second half keeps the first honest: the same requests get through once the one line that stops
them is taken out, so that no attack fails for another reason than the one that is named.
"""

from collections.abc import Iterator

import pytest

from tests.stack.attacks import (
    on_claims,
    on_headers,
    on_keys,
    on_logins,
    on_outages,
    on_requests,
    on_sessions,
)
from tests.stack.attacks.attack import Attack, Target
from tests.stack.attacks.forging import Forger
from tests.stack.conftest import Serve
from tests.stack.served import Served, Valkey, settings_of

ATTACKS = [
    *on_headers.ATTACKS,
    *on_claims.ATTACKS,
    *on_sessions.ATTACKS,
    *on_keys.ATTACKS,
    *on_logins.ATTACKS,
    *on_requests.ATTACKS,
]


def each(attacks: list[Attack]) -> pytest.MarkDecorator:
    """A test for each attack, by its name."""
    return pytest.mark.parametrize(
        "attack", [pytest.param(attack, id=attack.name) for attack in attacks]
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Valkey]]:
    """What most attacks share: they leave it running."""
    valkey = Valkey()
    valkey.start()
    served = Served(settings_of(tmp_path_factory.mktemp("attacks") / "data", valkey.url))
    # Its users are there for longer than any token can live.
    served.clock.advance(3600)
    yield served, valkey
    served.stop()
    valkey.close()


@pytest.fixture
def target(shared: tuple[Served, Valkey]) -> Served:
    """Orchestration as if nobody had been there yet: no failure counted, no token remembered."""
    served, valkey = shared
    for limit in valkey.client.keys("limit:*"):
        valkey.client.delete(limit)
    served.core.tokens._verified.clear()
    served.forget_token()
    return served


def test_a_forgery_that_differs_in_nothing_is_let_in(target):
    forger = Forger(target)
    assert forger.accepted(forger.genuine)
    assert forger.accepted(forger.token())


@each(ATTACKS)
def test_does_not_succeed(attack: Attack, target):
    assert not attack.breach(target)


@each(ATTACKS)
def test_would_succeed_without_its_defence(attack: Attack, target, monkeypatch):
    attack.mutate(monkeypatch)
    assert attack.breach(target)


@each(on_requests.AT_START)
def test_does_not_succeed_from_the_start(attack: Attack, served):
    assert not attack.breach(served)


@each(on_requests.AT_START)
def test_would_succeed_without_its_defence_from_the_start(
    attack: Attack, serve: Serve, valkey, monkeypatch
):
    attack.mutate(monkeypatch)
    assert attack.breach(serve(valkey))


@each(on_outages.AT_START)
def test_does_not_succeed_while_redis_is_out(attack: Attack, serve: Serve, own_valkey):
    assert not attack.breach(_target(serve, own_valkey))


@each(on_outages.AT_START)
def test_would_succeed_without_its_defence_while_redis_is_out(
    attack: Attack, serve: Serve, own_valkey, monkeypatch
):
    attack.mutate(monkeypatch)
    assert attack.breach(_target(serve, own_valkey))


def _target(serve: Serve, valkey: Valkey) -> Target:
    return Target(serve(valkey, redis_probe_seconds=0.05), valkey)
