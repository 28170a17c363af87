"""What a service holds in memory and on disk, to let requests in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tarslab.stack import snapshot as module
from tarslab.stack.security.api_keys import KeyRecord, digest, new_key
from tarslab.stack.security.scopes import Role, Scope
from tarslab.stack.security.sealing import Seal
from tarslab.stack.security.signing_keys import Ring
from tarslab.stack.snapshot import KEYS, NAME, PARTS, REVOKED, RING, USERS, Snapshots, User
from tarslab.stack.store import EPOCHS, StoreDown, Transaction
from tests.stack.served import SECRET, Valkey
from tests.stack.stored import NOW, Stored, stored

SEAL = Seal("secret", "signing-keys")
FIRST_RING = Ring.new(SEAL, NOW)


def user(name: str, **others: Any) -> User:
    """Somebody, since a minute ago."""
    made: dict[str, Any] = {"created_at": NOW - 60, "password": "$argon2id$of-nobody", **others}
    return User(username=name, role=Role.VIEWER, **made)


def key_record(key: str, **others: Any) -> KeyRecord:
    """An API key of carol's."""
    made = {"id": "0" * 32, "name": "one", "prefix": key[:9], "digest": digest(key), **others}
    return KeyRecord.model_validate(
        {"scopes": [Scope.AGENTS_READ], "owner": "carol", "created_at": NOW, **made}
    )


def change(here: Stored, *commands: tuple[str, ...]) -> None:
    """Write to parts of the snapshot, as the services do."""
    parts = {command[1] for command in commands}
    raised = [("HINCRBY", EPOCHS, part, 1) for part in sorted(parts)]
    here.write(*commands, *raised)


@pytest.fixture
def here(valkey: Valkey, tmp_path: Path) -> Iterator[Stored]:
    """A store with a ring, two users, an API key and a revoked session."""
    with stored(valkey.url, tmp_path / "one") as opened:
        key = key_record("tars_of_nobody")
        change(
            opened,
            ("SET", RING, FIRST_RING.model_dump_json()),
            ("HSET", USERS, "carol", user("carol").model_dump_json()),
            ("HSET", USERS, "dave", user("dave").model_dump_json()),
            ("HSET", KEYS, key.id, key.model_dump_json()),
            ("HSET", REVOKED, "session", str(NOW + 60)),
        )
        yield opened


def refreshed(here: Stored) -> Any:
    """The latest snapshot."""
    return here.run(here.snapshots.refresh(here.store, here.now))


def test_a_snapshot_has_all_parts_as_they_are_in_redis(here: Stored):
    found = refreshed(here)
    assert found.ring == FIRST_RING
    assert found.users == {"carol": user("carol"), "dave": user("dave")}
    assert list(found.keys) == ["0" * 32]
    assert found.revoked == {"session": NOW + 60}
    assert found.epochs == dict.fromkeys(PARTS, 1)
    assert found.taken_at == NOW
    assert here.snapshots.current is found


def test_only_what_has_changed_is_read_anew(here: Stored, valkey: Valkey):
    refreshed(here)
    change(here, ("HDEL", USERS, "dave"))
    valkey.client.config_resetstat()
    found = refreshed(here)
    assert list(found.users) == ["carol"]
    calls = {
        name.removeprefix("cmdstat_"): figures["calls"]
        for name, figures in valkey.client.info("commandstats").items()
    }
    # The epochs before and after, and the users; neither the ring nor the keys.
    assert calls["hgetall"] == 3
    assert "get" not in calls


def test_nothing_is_read_but_the_epochs_where_nothing_has_changed(here: Stored, valkey: Valkey):
    before = refreshed(here)
    valkey.client.config_resetstat()
    here.now += 5
    assert refreshed(here) is before
    assert before.taken_at == NOW + 5
    assert valkey.client.info("commandstats")["cmdstat_hgetall"]["calls"] == 1


def test_a_snapshot_is_current_until_something_changes(here: Stored, valkey: Valkey):
    assert not here.snapshots.is_current({})
    refreshed(here)

    def epochs() -> dict[str, int]:
        return {part: int(epoch) for part, epoch in valkey.client.hgetall(EPOCHS).items()}

    assert here.snapshots.is_current(epochs())
    change(here, ("HSET", REVOKED, "other", "1"))
    assert not here.snapshots.is_current(epochs())


def test_parts_that_change_while_they_are_read_are_read_again(
    here: Stored, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    read, times = module._read, []

    async def read_and_change(store: Any, part: str) -> Any:
        found = await read(store, part)
        times.append(part)
        if times == [RING, USERS]:
            # carol's key goes, and then carol: no snapshot may have the key without its owner.
            for name, field in ((KEYS, "0" * 32), (USERS, "carol")):
                valkey.client.hdel(name, field)
                valkey.client.hincrby(EPOCHS, name, 1)
        return found

    monkeypatch.setattr(module, "_read", read_and_change)
    found = refreshed(here)
    assert list(found.users) == ["dave"]
    assert found.keys == {}
    assert found.epochs == {**dict.fromkeys(PARTS, 1), USERS: 2, KEYS: 2}


def test_a_snapshot_outlives_the_process_sealed(here: Stored, tmp_path: Path):
    found = refreshed(here)
    path = tmp_path / "one" / NAME
    kept = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert not any(text in kept for text in (b"carol", b"argon2id", b"session", b"kid"))
    again = Snapshots(tmp_path / "one", SECRET).current
    assert again == found
    assert again is not None
    assert again.key_of(digest("tars_of_nobody"), NOW) == found.keys["0" * 32]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: b"",
        lambda kept: kept[:-1],
        lambda kept: kept[:40] + bytes([kept[40] ^ 1]) + kept[41:],
        lambda kept: Seal("another secret", "snapshot").close(b"{}"),
        lambda kept: Seal(SECRET, "another purpose").close(b"{}"),
        lambda kept: Seal(SECRET, "snapshot").close(b"{}"),
    ],
)
def test_a_snapshot_that_cannot_be_proven_is_not_believed(here: Stored, tmp_path: Path, spoil):
    refreshed(here)
    path = tmp_path / "one" / NAME
    path.write_bytes(spoil(path.read_bytes()))
    assert Snapshots(tmp_path / "one", SECRET).current is None


def test_the_file_is_told_now_and_then_that_nothing_has_changed(here: Stored, tmp_path: Path):
    refreshed(here)
    for later in (30, 30):
        here.now += later
        refreshed(here)
    again = Snapshots(tmp_path / "one", SECRET).current
    assert again is not None
    assert again.taken_at == NOW + 60


@pytest.mark.parametrize(
    "lose",
    [
        lambda v: v.client.flushall(),
        lambda v: v.client.hincrby(EPOCHS, REVOKED, -1),
        lambda v: v.client.hdel(EPOCHS, KEYS),
    ],
)
def test_a_redis_that_has_lost_writes_is_given_up_until_they_are_restored(
    here: Stored, valkey: Valkey, lose
):
    before = refreshed(here)
    epochs = dict(before.epochs)
    lose(valkey)
    with pytest.raises(StoreDown):
        refreshed(here)
    assert not here.store.up
    assert here.snapshots.current is before

    async def restore(transaction: Transaction) -> list[str]:
        lost = await here.snapshots.restore(transaction)
        transaction.audit(here.event("test.restored"))
        return lost

    here.look()
    assert set(here.run(here.store.transact(restore))) <= set(PARTS)
    after = refreshed(here)
    for part in PARTS:
        assert getattr(after, part) == getattr(before, part)
    assert all(after.epochs[part] >= epochs[part] for part in PARTS)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("DEL", RING), "no key ring"),
        (("SET", RING, "{}"), "cannot be read"),
        (("HSET", USERS, "carol", "{"), "cannot be read"),
        (("HSET", KEYS, "0" * 32, "[]"), "cannot be read"),
        (("HSET", REVOKED, "session", "soon"), "cannot be read"),
    ],
)
def test_what_redis_holds_but_nobody_can_read_is_not_taken_over(
    here: Stored, caplog: pytest.LogCaptureFixture, command: tuple[str, ...], why: str
):
    before = refreshed(here)
    change(here, command)
    with pytest.raises(StoreDown):
        refreshed(here)
    assert here.snapshots.current is before
    assert why in caplog.text


def test_nothing_is_restored_where_nothing_is_known_or_lost(here: Stored, tmp_path: Path):
    async def restore(snapshots: Snapshots) -> list[str]:
        return await here.store.transact(snapshots.restore)

    (tmp_path / "new").mkdir()
    assert here.run(restore(Snapshots(tmp_path / "new", SECRET))) == []
    refreshed(here)
    assert here.run(restore(here.snapshots)) == []


def test_a_key_is_found_by_its_digest_while_it_is_good(here: Stored):
    before, after = new_key(), new_key()
    record = key_record(before).rotated(after, NOW + 10)
    change(here, ("HSET", KEYS, record.id, record.model_dump_json()))
    found = refreshed(here)
    for now, good in ((NOW + 9, [True, True, False]), (NOW + 10, [False, True, False])):
        keys = (before, after, new_key())
        assert [found.key_of(digest(key), now) is not None for key in keys] == good


def test_a_user_is_known_since_they_were_made_and_unless_disabled(here: Stored):
    change(
        here,
        ("HSET", USERS, "erin", user("erin", created_at=NOW + 0.7).model_dump_json()),
        ("HSET", USERS, "frank", user("frank", disabled=True).model_dump_json()),
    )
    found = refreshed(here)
    assert found.user("carol", NOW) == user("carol")
    assert found.user("carol", NOW - 61) is None
    # Tokens tell time in whole seconds.
    assert found.user("erin", NOW) is not None
    assert found.user("erin", NOW - 1) is None
    assert found.user("frank", NOW) is None
    assert found.user("nobody", NOW) is None


def test_what_is_sealed_is_json_that_another_version_could_read(here: Stored, tmp_path: Path):
    refreshed(here)
    kept = Seal(SECRET, "snapshot").open((tmp_path / "one" / NAME).read_bytes())
    assert set(json.loads(kept)) == {"epochs", "taken_at", "ring", "users", "keys", "revoked"}
