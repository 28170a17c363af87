"""The ring of signing keys."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from joserfc.jwk import ECKey

from tarslab.stack.security.sealing import Seal, Unsealable
from tarslab.stack.security.signing_keys import KeyState, Ring, TooEarly

SEAL = Seal("secret", "signing-keys")
GRACE, PUBLISHED = 300.0, 30.0


def states(ring: Ring, now: float) -> list[str]:
    """Of all keys, oldest first."""
    return [key.state(now).value for key in ring.keys]


def number(encoded: str) -> int:
    """An integer in base64url, as RFC 7518 has it."""
    return int.from_bytes(base64.urlsafe_b64decode(encoded + "=="))


def test_a_ring_begins_with_a_key_that_signs_and_the_next_one():
    ring = Ring.new(SEAL, 0.0)
    assert states(ring, 0.0) == ["active", "next"]
    assert [ring.active(0.0), ring.next(0.0)] == list(ring.keys)


def test_the_first_rotation_need_not_wait_since_the_next_key_was_always_published():
    ring = Ring.new(SEAL, 0.0).rotated(SEAL, 0.0, GRACE, PUBLISHED)
    assert states(ring, 0.0) == ["grace", "active", "next"]


def test_a_key_must_be_published_for_the_cache_life_before_it_signs():
    ring = Ring.new(SEAL, 0.0).rotated(SEAL, 0.0, GRACE, PUBLISHED)
    with pytest.raises(TooEarly, match="20 s more") as early:
        ring.rotated(SEAL, 10.0, GRACE, PUBLISHED)
    assert early.value.wait == 20.0
    rotated = ring.rotated(SEAL, 30.0, GRACE, PUBLISHED)
    assert states(rotated, 30.0) == ["grace", "grace", "active", "next"]


def test_a_key_verifies_from_its_publication_until_its_grace_ends():
    ring = Ring.new(SEAL, 0.0)
    kid = ring.active(0.0).kid
    ring = ring.rotated(SEAL, 100.0, GRACE, PUBLISHED)
    assert ring[kid].state(399.9) is KeyState.GRACE
    assert ring[kid].verifies(399.9)
    assert ring[kid].state(400.0) is KeyState.RETIRED
    assert not ring[kid].verifies(400.0)
    assert ring.next(100.0).verifies(100.0)


@pytest.mark.parametrize(
    ("place", "after"),
    [
        (0, ["invalidated", "active", "next"]),
        (1, ["grace", "invalidated", "active", "next"]),
        (2, ["grace", "active", "invalidated", "next"]),
    ],
)
def test_the_place_of_an_invalidated_key_is_taken(place: int, after: list[str]):
    ring = Ring.new(SEAL, 0.0).rotated(SEAL, 0.0, GRACE, PUBLISHED)
    kid = ring.keys[place].kid
    ring = ring.invalidated(SEAL, kid, 1.0)
    assert states(ring, 1.0) == after
    assert kid not in {key["kid"] for key in ring.jwks(1.0)["keys"]}


def test_a_key_that_took_the_place_of_an_invalidated_one_must_be_published_as_long():
    ring = Ring.new(SEAL, 0.0)
    ring = ring.invalidated(SEAL, ring.next(0.0).kid, 10.0)
    with pytest.raises(TooEarly):
        ring.rotated(SEAL, 39.0, GRACE, PUBLISHED)
    assert states(ring.rotated(SEAL, 40.0, GRACE, PUBLISHED), 40.0)[0] == "grace"


def test_the_jwks_has_the_public_part_of_each_verifying_key():
    ring = Ring.new(SEAL, 0.0).rotated(SEAL, 0.0, GRACE, PUBLISHED)
    ring = ring.invalidated(SEAL, ring.keys[0].kid, 1.0)
    published = ring.jwks(1.0)["keys"]
    assert [key["kid"] for key in published] == [key.kid for key in ring.keys[1:]]
    for key in published:
        # RFC 7517 and 7518: a point of P-256, for signatures with ES256, and nothing of "d".
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
        point = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1())
        point.public_key()


def test_the_private_part_is_kept_sealed():
    ring = Ring.new(SEAL, 0.0)
    key = ring.active(0.0)
    private = key.signing(SEAL).as_dict(private=True)["d"]
    assert isinstance(private, str)
    assert private not in ring.model_dump_json()
    secret = ec.derive_private_key(number(private), ec.SECP256R1()).public_key().public_numbers()
    assert secret.x == number(key.public["x"])
    with pytest.raises(Unsealable):
        key.signing(Seal("another secret", "signing-keys"))


def test_a_ring_is_read_as_it_was_kept():
    ring = Ring.new(SEAL, 0.0).rotated(SEAL, 1.0, GRACE, PUBLISHED)
    assert Ring.model_validate_json(ring.model_dump_json()) == ring


def test_a_key_can_be_taken_from_a_ring_and_is_unknown_then():
    ring = Ring.new(SEAL, 0.0).rotated(SEAL, 0.0, GRACE, PUBLISHED)
    gone = ring.keys[0].kid
    left = ring.without(frozenset({gone}))
    assert states(left, 0.0) == ["active", "next"]
    assert left.version == ring.version + 1
    with pytest.raises(KeyError):
        left[gone]


def test_the_parsed_public_key_is_the_published_one():
    key = Ring.new(SEAL, 0.0).active(0.0)
    assert isinstance(key.verifying(), ECKey)
    assert key.verifying() is key.verifying()
    assert json.loads(json.dumps(key.verifying().as_dict(private=False))) == key.public


class AnyLife(RuleBasedStateMachine):
    """A ring that is rotated and invalidated in any order."""

    @initialize()
    def begin(self) -> None:
        """A new ring."""
        self.now, self.ring, self.dead = 0.0, Ring.new(SEAL, 0.0), set[str]()

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.0, 30.0, 299.0, 300.0, 301.0]))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds

    @rule()
    def rotate(self) -> None:
        """Rotate, if it is not too early."""
        before, retiring = self.ring, self.ring.active(self.now)
        following = before.next(self.now)
        published = following.published_at
        too_early = published is not None and self.now < published + PUBLISHED
        try:
            self.ring = before.rotated(SEAL, self.now, GRACE, PUBLISHED)
        except TooEarly:
            assert too_early
            return
        assert not too_early
        assert self.ring.active(self.now).kid == following.kid
        assert self.ring[retiring.kid].grace_until == self.now + GRACE
        assert self.ring.version == before.version + 1

    @rule(data=st.data())
    def invalidate(self, data: st.DataObject) -> None:
        """Invalidate any key that is not."""
        alive = [key.kid for key in self.ring.keys if key.kid not in self.dead]
        kid = data.draw(st.sampled_from(alive))
        self.ring = self.ring.invalidated(SEAL, kid, self.now)
        self.dead.add(kid)

    @invariant()
    def one_key_signs_and_one_is_next(self) -> None:
        """Whatever happens."""
        found = states(self.ring, self.now)
        assert found.count("active") == found.count("next") == 1

    @invariant()
    def what_is_invalidated_stays_so(self) -> None:
        """For good."""
        for key in self.ring.keys:
            assert (key.state(self.now) is KeyState.INVALIDATED) == (key.kid in self.dead)
            assert not (key.kid in self.dead and key.verifies(self.now))

    @invariant()
    def each_key_is_there_once(self) -> None:
        """And published if it verifies."""
        kids = [key.kid for key in self.ring.keys]
        assert len(set(kids)) == len(kids)
        verifying = [key.kid for key in self.ring.keys if key.verifies(self.now)]
        assert [key["kid"] for key in self.ring.jwks(self.now)["keys"]] == verifying


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
