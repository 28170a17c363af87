"""Attacks while Redis is out, and when it comes back: the fallback must be no downgrade."""

import uuid
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from tarslab.stack.orchestration import auth, setup
from tarslab.stack.security.api_keys import KeyRecord, digest, new_key
from tarslab.stack.security.scopes import Scope
from tarslab.stack.security.sealing import NONCE, Seal, derive
from tarslab.stack.snapshot import NAME, Snapshots
from tarslab.stack.web import app
from tarslab.stack.web.context import Context
from tests.stack.attacks.attack import Attack, Target, all_of, without
from tests.stack.attacks.forging import accepted
from tests.stack.attacks.on_claims import REVOKED as REVOKED_SESSION
from tests.stack.attacks.on_keys import created
from tests.stack.attacks.on_logins import sign_in
from tests.stack.attacks.on_sessions import renewed
from tests.stack.served import SECRET, Served


def revoked_key(target: Target) -> bool:
    """A key that was revoked, when Redis does not say so any more."""
    key, good, _ = _revoked(target.served)
    _out(target)
    assert accepted(target.served, good)
    return accepted(target.served, key)


def ended_session(target: Target) -> bool:
    """A token of a session that was ended, when Redis does not say so any more."""
    _, good, token = _revoked(target.served)
    _out(target)
    assert accepted(target.served, good)
    return accepted(target.served, token)


def both_after_a_restart(target: Target) -> bool:
    """The same, when the service does not remember it either."""
    key, good, token = _revoked(target.served)
    target.valkey.kill()
    target.served.restart()
    target.served.wait_for("legacy")
    assert accepted(target.served, good)
    return accepted(target.served, key) or accepted(target.served, token)


def both_when_redis_is_empty(target: Target) -> bool:
    """The same, when Redis comes back with nothing in it."""
    key, good, token = _revoked(target.served)
    _out(target)
    target.valkey.hold(None)
    target.valkey.start()
    target.served.wait_for("normal")
    assert accepted(target.served, good)
    return accepted(target.served, key) or accepted(target.served, token)


def both_when_redis_has_lost_them(target: Target) -> bool:
    """The same, when Redis comes back without its last writes; and the refresh token, too."""
    key, good, tokens = created(target.served), created(target.served)["key"], target.served.login()
    before = target.valkey.copy()
    _revoke(target.served, key, tokens)
    _out(target)
    target.valkey.hold(before)
    target.valkey.start()
    target.served.wait_for("normal")
    assert accepted(target.served, good)
    found = [accepted(target.served, text) for text in (key["key"], tokens["access_token"])]
    return any(found) or renewed(target.served, tokens["refresh_token"]) is not None


def both_when_redis_is_emptied(target: Target) -> bool:
    """The same, when somebody empties Redis while it is there."""
    key, good, token = _revoked(target.served)
    target.valkey.client.flushall()
    accepted(target.served, good)
    target.served.wait_for("normal")
    assert accepted(target.served, good)
    return accepted(target.served, key) or accepted(target.served, token)


def forged_snapshot(target: Target) -> bool:
    """A snapshot with a key of the attacker's, written into the service's folder."""
    served, key = target.served, new_key()
    record = KeyRecord(
        id=uuid.uuid4().hex,
        name="evil",
        prefix=key[:9],
        digest=digest(key),
        scopes=(Scope.USERS_WRITE,),
        owner="admin",
        created_at=served.clock.now(),
    )
    forged = served.core.snapshot.model_copy(update={"keys": {record.id: record}})
    target.valkey.kill()
    served.stop()
    (served.settings.data / NAME).write_bytes(forged.model_dump_json().encode())
    served.start()
    answer = served.client.get("/auth/me", headers={"X-API-Key": key})
    assert answer.status_code in (200, 503)
    return answer.status_code == 200


def altered_snapshot(target: Target) -> bool:
    """A snapshot of which one byte is changed, wherever that is."""
    served = target.served
    good = created(served)["key"]
    target.valkey.kill()
    path = served.settings.data / NAME
    sealed = path.read_bytes()
    believed = []
    for place in (0, len(sealed) // 2, len(sealed) - 1):
        served.stop()
        path.write_bytes(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])
        served.start()
        believed.append(served.client.get("/auth/me", headers={"X-API-Key": good}).status_code)
    assert set(believed) <= {200, 503}
    return 200 in believed


def guesses(target: Target) -> bool:
    """More guesses of a password than are allowed."""
    served = target.served
    served.user("victim", "viewer")
    _out(target)
    for guess in range(served.settings.login_failures_per_user):
        assert sign_in(served, "victim", str(guess)).status_code == 401
    return sign_in(served, "victim").status_code == 200


def login_by_an_old_state(target: Target) -> bool:
    """A login by a state that is older than the bound."""
    served = target.served
    _out(target)
    served.clock.advance(served.settings.stale_login_seconds - 60)
    assert sign_in(served, "admin").status_code == 200
    served.clock.advance(120)
    return sign_in(served, "admin").status_code == 200


def filling_the_disk(target: Target) -> bool:
    """Requests of nobody that are written to disk, as many as one likes."""
    _out(target)
    before = len(target.served.core.queue)
    for number in range(10):
        made_up = f"tarr_{'0' * 32}.{number}.{'A' * 43}"
        answer = target.served.client.post("/auth/refresh", json={"refresh_token": made_up})
        assert answer.status_code == 503
    return len(target.served.core.queue) > before


def _revoked(served: Served) -> tuple[str, str, str]:
    """A key that is revoked, one that is good, and a token of a session that is over."""
    key, good, tokens = created(served), created(served)["key"], served.login()
    _revoke(served, key, tokens)
    return key["key"], good, tokens["access_token"]


def _revoke(served: Served, key: dict[str, Any], tokens: dict[str, Any]) -> None:
    token = tokens["access_token"]
    assert served.ask("POST", "/auth/logout", token=token).status_code == 204
    assert served.ask("DELETE", f"/api-keys/{key['id']}").status_code == 204


def _out(target: Target) -> None:
    target.valkey.kill()
    target.served.wait_for("legacy")


def decrypts_without_proof(sealed: bytes) -> bytes:
    """The counter mode that is within AES-GCM (NIST SP 800-38D, 7.2), its tag not looked at."""
    counter = sealed[:NONCE] + (2).to_bytes(4)
    cipher = Cipher(AES(derive(SECRET, "seal/snapshot")), CTR(counter)).decryptor()
    return cipher.update(sealed[NONCE:-16]) + cipher.finalize()


_OPEN = "self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], self._purpose)"
_LOST = without(Snapshots._latest, "_lost(epochs, old)", "False")
_BUT_REVOKED = all_of(_LOST, without(Snapshots.restore, "in lost:", "in set(lost) - {REVOKED}:"))

AT_START = [
    Attack(
        "a revoked key while Redis is out",
        revoked_key,
        without(KeyRecord.state, "self.revoked_at is not None", "False"),
    ),
    Attack("an ended session while Redis is out", ended_session, REVOKED_SESSION),
    Attack(
        "both after a restart while Redis is out",
        both_after_a_restart,
        without(
            Snapshots.refresh,
            "changed or now - self._written_at >= REWRITTEN_SECONDS",
            "changed and not latest.revoked",
        ),
    ),
    Attack("both when Redis is empty", both_when_redis_is_empty, _BUT_REVOKED),
    Attack("both when Redis is emptied", both_when_redis_is_emptied, _BUT_REVOKED),
    Attack(
        "both when Redis has lost them",
        both_when_redis_has_lost_them,
        all_of(_LOST, without(Snapshots.restore, "in lost:", "in ():")),
    ),
    Attack(
        "a refresh token when Redis has lost that it was ended",
        both_when_redis_has_lost_them,
        without(setup._restore, 'transaction.write("HDEL", SESSIONS, session)', "None"),
    ),
    Attack("a forged snapshot", forged_snapshot, without(Seal.open, _OPEN, "sealed")),
    Attack(
        "an altered snapshot",
        altered_snapshot,
        without(
            Seal.open,
            _OPEN,
            f'_naive(sealed) if self._purpose == b"snapshot" else {_OPEN}',
            _naive=decrypts_without_proof,
        ),
    ),
    Attack(
        "guesses while Redis is out",
        guesses,
        without(
            Context.take,
            "return self._buckets.take(limit, bucket, now, take), None",
            "return Verdict(True, 1, 0.0), None",
        ),
    ),
    Attack(
        "a login by an old state",
        login_by_an_old_state,
        without(auth._legacy_session, "age is None or age > bound", "False"),
    ),
    Attack(
        "filling the disk",
        filling_the_disk,
        without(app._refused, "caller is not None and ", ""),
    ),
]
"""Each against a service of its own, which starts without the defence."""
