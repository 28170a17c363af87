"""Attacks with refresh tokens, and on sessions that are over."""

import uuid
from typing import Any

from tarslab.stack.orchestration import auth, users
from tarslab.stack.snapshot import Snapshot
from tests.stack.attacks.attack import Attack, all_of, without
from tests.stack.attacks.forging import accepted
from tests.stack.attacks.on_claims import REVOKED
from tests.stack.served import Served


def replayed(served: Served) -> bool:
    """A refresh token that was used, once more."""
    first = served.login()["refresh_token"]
    assert renewed(served, first)
    return renewed(served, first) is not None


def newest_after_a_replay(served: Served) -> bool:
    """The thief's refresh token, after the owner's copy of an earlier one was refused."""
    first = served.login()["refresh_token"]
    stolen = _renewed(served, first)["refresh_token"]
    renewed(served, first)
    return renewed(served, stolen) is not None


def access_after_a_replay(served: Served) -> bool:
    """The thief's access token, after the same."""
    first = served.login()
    stolen = _renewed(served, first["refresh_token"])["access_token"]
    assert accepted(served, stolen)
    renewed(served, first["refresh_token"])
    return accepted(served, stolen) or accepted(served, first["access_token"])


def made_up(served: Served) -> bool:
    """Refresh tokens of a session that is known, to end it: a denial of service."""
    tokens = served.login()
    sid = served.ask("GET", "/auth/me", token=tokens["access_token"]).json()["session"]
    for number in (0, 1, 2, 999_999_999):
        renewed(served, f"tarr_{sid}.{number}.{'A' * 43}")
    return not (
        accepted(served, tokens["access_token"]) and renewed(served, tokens["refresh_token"])
    )


def session_of_another(served: Served) -> bool:
    """A refresh token of one's own, with the session of somebody else in it."""
    sid = served.ask("GET", "/auth/me", token=served.login()["access_token"]).json()["session"]
    served.user(name := _name(), "viewer")
    _, number, mac = served.login(name)["refresh_token"].split(".")
    return renewed(served, f"tarr_{sid}.{number}.{mac}") is not None


def refresh_of_an_old_session(served: Served) -> bool:
    """A refresh token of a session that is over."""
    token = served.login()["refresh_token"]
    served.clock.advance(served.settings.refresh_seconds + 1)
    return renewed(served, token) is not None


def access_after_logout(served: Served) -> bool:
    """An access token of a session that was ended."""
    token = served.login()["access_token"]
    assert served.ask("POST", "/auth/logout", token=token).status_code == 204
    return accepted(served, token)


def refresh_after_logout(served: Served) -> bool:
    """A refresh token of a session that was ended."""
    tokens = served.login()
    served.ask("POST", "/auth/logout", token=tokens["access_token"])
    return renewed(served, tokens["refresh_token"]) is not None


def access_of_a_deleted_user(served: Served) -> bool:
    """An access token of somebody who was removed, and whose name is another's now."""
    token = served.user(name := _name(), "viewer")
    assert served.ask("DELETE", f"/users/{name}").status_code == 204
    served.clock.advance(2)
    served.user(name, "viewer")
    return accepted(served, token)


def refresh_of_a_deleted_user(served: Served) -> bool:
    """A refresh token of somebody who was removed, and whose name is an admin's now."""
    served.user(name := _name(), "viewer")
    token = served.login(name)["refresh_token"]
    assert served.ask("DELETE", f"/users/{name}").status_code == 204
    served.clock.advance(2)
    served.user(name, "admin")
    return renewed(served, token) is not None


def renewed(served: Served, token: str) -> dict[str, Any] | None:
    """What a refresh token is good for; None where it is refused."""
    answer = served.client.post("/auth/refresh", json={"refresh_token": token})
    assert answer.status_code in (200, 401), answer.text
    return dict(answer.json()) if answer.status_code == 200 else None


def _renewed(served: Served, token: str) -> dict[str, Any]:
    tokens = renewed(served, token)
    assert tokens is not None
    return tokens


def _name() -> str:
    return f"u{uuid.uuid4().hex}"


_PLACE = without(auth.refresh, "place.number != session.number", "False")
_PROOF = without(
    auth.refresh, "not place.is_proven_by(mac, here.refresh_key, session.salt)", "False"
)
_KILL = without(auth.refresh, "revoke(here, transaction, place.session)", "None")
_SINCE = without(Snapshot.user, "since < int(user.created_at)", "False")
_SESSIONS = without(users.delete, "revoke(here, transaction, sid)", "None")

ATTACKS = [
    Attack("a replayed refresh token", replayed, _PLACE),
    Attack("the newest refresh token after a replay", newest_after_a_replay, _KILL),
    Attack("access tokens after a replay", access_after_a_replay, REVOKED),
    Attack("a made-up refresh token that ends a session", made_up, _PROOF),
    Attack("a refresh token with another's session", session_of_another, _PROOF),
    Attack(
        "a refresh token of an old session",
        refresh_of_an_old_session,
        without(auth.refresh, "session.expires_at <= here.now", "False"),
    ),
    Attack("an access token after logout", access_after_logout, REVOKED),
    Attack(
        "a refresh token after logout",
        refresh_after_logout,
        without(auth.revoke, 'transaction.write("HDEL", SESSIONS, session)', "None"),
    ),
    Attack(
        "an access token of a deleted user",
        access_of_a_deleted_user,
        all_of(_SESSIONS, _SINCE),
    ),
    Attack(
        "a refresh token of a deleted user",
        refresh_of_a_deleted_user,
        all_of(_SESSIONS, _SINCE),
    ),
]
