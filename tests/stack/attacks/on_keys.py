"""Attacks with API keys, and by those who may do less than they try."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from redis import Redis

from tarslab.stack.orchestration import api_keys, users
from tarslab.stack.security.api_keys import KeyRecord, digest
from tarslab.stack.security.signing_keys import SigningKey
from tarslab.stack.snapshot import Snapshot
from tarslab.stack.web import bodies
from tarslab.stack.web.context import Context
from tests.stack.attacks.attack import Attack, all_of, without
from tests.stack.attacks.forging import accepted
from tests.stack.served import PASSWORD, Served


def revoked(served: Served) -> bool:
    """A key that was revoked."""
    key = created(served)
    assert accepted(served, key["key"])
    assert served.ask("DELETE", f"/api-keys/{key['id']}").status_code == 204
    return accepted(served, key["key"])


def expired(served: Served) -> bool:
    """A key whose time is over."""
    key = created(served, expires_in=60)
    served.clock.advance(30)
    assert accepted(served, key["key"])
    served.clock.advance(30)
    return accepted(served, key["key"])


def rotated(served: Served) -> bool:
    """The key before a rotation, after the overlap."""
    before = created(served)
    after = served.post(f"/api-keys/{before['id']}/rotate", {"overlap_seconds": 60})
    assert accepted(served, before["key"])
    served.clock.advance(60)
    assert accepted(served, after["key"])
    return accepted(served, before["key"])


def of_a_deleted_user(served: Served) -> bool:
    """A key of somebody who was removed, and whose name is another's later."""
    name = f"u{uuid.uuid4().hex}"
    token = served.user(name, "admin")
    key = created(served, token)["key"]
    assert accepted(served, key)
    assert served.ask("DELETE", f"/users/{name}").status_code == 204
    if accepted(served, key):
        return True
    served.clock.advance(2)
    served.user(name, "admin")
    return accepted(served, key)


def digest_as_key(served: Served) -> bool:
    """What is kept of a key, read in Redis, in place of the key."""
    key = created(served)["key"]
    return accepted_as_key(served, digest(key)) or accepted_as_key(served, f"{key}\n".strip()[:-1])


def write_as_viewer(served: Served) -> bool:
    """Writes by somebody who may only read."""
    served.user(name := f"u{uuid.uuid4().hex}", "viewer")
    token = served.login(name)["access_token"]
    body = {"username": f"u{uuid.uuid4().hex}", "password": PASSWORD, "role": "admin"}
    return served.ask("POST", "/users", token=token, json=body).status_code == 201


def beyond_its_scopes(served: Served) -> bool:
    """An admin's key that was made for reading agents, to do what the admin may."""
    key = created(served)["key"]
    return served.ask("GET", "/users", token=key).status_code == 200


def more_scopes_for_a_new_key(served: Served) -> bool:
    """A key that makes one with more scopes than its own."""
    key = created(served, scopes=["keys:write"])["key"]
    body = {"name": "more", "scopes": ["keys:write", "users:write"]}
    return served.ask("POST", "/api-keys", token=key, json=body).status_code == 201


def more_scopes_by_rotation(served: Served) -> bool:
    """A key that rotates one with more scopes, and so is given it."""
    admin = created(served, scopes=["users:write"])
    key = created(served, scopes=["keys:write"])["key"]
    answer = served.ask("POST", f"/api-keys/{admin['id']}/rotate", token=key)
    return answer.status_code == 200


def idempotency_key_of_another(served: Served) -> bool:
    """Another's create, sent again to be given the key that was made."""
    body = {"name": "shared", "scopes": ["agents:read"]}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = served.ask("POST", "/api-keys", json=body, headers=headers).json()
    thief = created(served, scopes=["keys:write", "agents:read"])["key"]
    second = served.ask("POST", "/api-keys", token=thief, json=body, headers=headers)
    return bool(second.json().get("key") == first["key"])


def key_at_rest(served: Served) -> bool:
    """An API key, read in Redis or in the service's folder."""
    return is_kept(served, created(served)["key"])


def signing_key_at_rest(served: Served) -> bool:
    """The private part of a signing key, read in Redis or in the service's folder."""
    kid = served.core.snapshot.ring.next(served.clock.now()).kid
    served.post(f"/jwt/keys/{kid}/invalidate")
    fresh = served.core.snapshot.ring.next(served.clock.now())
    private = fresh.signing(served.core.seal).as_dict(private=True)
    return is_kept(served, str(private["d"]))


def password_guessed_by_its_idempotency_key(served: Served) -> bool:
    """A password, guessed at full speed by the fingerprint of the request that set it."""
    body = {"username": f"u{uuid.uuid4().hex}", "password": PASSWORD, "role": "viewer"}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    assert served.ask("POST", "/users", json=body, headers=headers).status_code == 201
    guess = json.dumps(body, separators=(",", ":")).encode()
    return is_kept(served, hashlib.sha256(guess).hexdigest())


def created(served: Served, token: str | None = None, **members: Any) -> dict[str, Any]:
    """A new key, for reading agents; by default an admin's."""
    body = {"name": "key", "scopes": ["agents:read"], **members}
    answer = served.ask("POST", "/api-keys", token=token, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def accepted_as_key(served: Served, text: str) -> bool:
    """Whether a text is let in as an API key."""
    status = served.client.get("/auth/me", headers={"X-API-Key": text}).status_code
    assert status in (200, 401)
    return status == 200


def is_kept(served: Served, secret: str) -> bool:
    """Whether a text is to be found anywhere that is not the service's memory."""
    with Redis.from_url(served.settings.redis_url.get_secret_value()) as redis:
        kept = [part for name in redis.scan_iter() for part in (name, _content(redis, name))]
    kept += [path.read_bytes() for path in Path(served.settings.data).iterdir()]
    assert len(kept) > 5
    return any(secret.encode() in content for content in kept)


def _content(redis: Any, name: bytes) -> bytes:
    match redis.type(name):
        case b"string":
            return bytes(redis.get(name))
        case b"hash":
            return b"\n".join(part for pair in redis.hgetall(name).items() for part in pair)
        case b"list":
            return b"\n".join(redis.lrange(name, 0, -1))
        case b"zset":
            return b"\n".join(redis.zrange(name, 0, -1))
    raise AssertionError(redis.type(name))


_OVERLAP = "self.overlap_until is not None and self.overlap_until > now"

ATTACKS = [
    Attack(
        "a revoked key", revoked, without(KeyRecord.state, "self.revoked_at is not None", "False")
    ),
    Attack(
        "an expired key",
        expired,
        without(KeyRecord.state, "self.expires_at is not None and self.expires_at <= now", "False"),
    ),
    Attack(
        "a rotated key",
        rotated,
        without(KeyRecord.state, _OVERLAP, "self.overlap_until is not None"),
    ),
    Attack(
        "a key of a deleted user",
        of_a_deleted_user,
        all_of(
            without(users.delete, "record.owner == username", "False"),
            without(Snapshot.user, "since < int(user.created_at)", "False"),
        ),
    ),
    Attack(
        "the digest of a key",
        digest_as_key,
        without(
            Context._by_key,
            "self.snapshot.key_of(digest(key), now) if is_well_formed(key) else None",
            "self.snapshot.key_of(key, now)",
        ),
    ),
    Attack(
        "a write by a viewer",
        write_as_viewer,
        without(Context._by_token, "SCOPES[claims.role]", "frozenset(Scope)"),
    ),
    Attack(
        "a key beyond its scopes",
        beyond_its_scopes,
        without(
            Context._by_key,
            "frozenset(record.scopes) & SCOPES[owner.role]",
            "SCOPES[owner.role]",
        ),
    ),
    Attack(
        "more scopes for a new key",
        more_scopes_for_a_new_key,
        without(api_keys.create, "set(body.scopes) - caller.scopes", "set()"),
    ),
    Attack(
        "more scopes by rotation",
        more_scopes_by_rotation,
        without(api_keys._within, "not set(record.scopes) <= caller.scopes", "False"),
    ),
    Attack(
        "an idempotency key of another",
        idempotency_key_of_another,
        without(bodies.once, "{caller.name}", ""),
    ),
    Attack(
        "an API key at rest",
        key_at_rest,
        without(api_keys.create, "digest=digest(key)", "digest=key"),
    ),
    Attack(
        "a signing key at rest",
        signing_key_at_rest,
        without(
            SigningKey.new.__func__,  # type: ignore[attr-defined]
            "key.as_dict(private=False)",
            "key.as_dict(private=True)",
        ),
    ),
    Attack(
        "a password guessed by its idempotency key",
        password_guessed_by_its_idempotency_key,
        without(
            bodies.once,
            'hmac.digest(context.idempotency_key, content, "sha256").hex()',
            "_hash(content.decode())",
        ),
    ),
]
