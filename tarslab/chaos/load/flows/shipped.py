"""The flows that come with tarslab, over the API of the T.A.R.S. services.

``shipped.js`` beside this file has their twins for k6: the same requests in the same order.
"""

import asyncio
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from tarslab.chaos.load.flows import flow

if TYPE_CHECKING:
    from tarslab.chaos.load.flows.user import Response, User

TWINS = Path(__file__).with_name("shipped.js")
# Seconds before it expires at which an access token is refreshed.
EARLY = 10
# Sessions that the users of a process share.
SESSIONS = 10
VERIFICATIONS = 5

Session = dict[str, Any]


@flow(k6=TWINS)
async def mixed(user: "User") -> None:
    """One request of a mix; of 100 iterations in a row

    - 2 log in and 3 refresh a session (``jwt_issue_duration``),
    - 35 ask who they are, GET /auth/me, which verifies a token and does little else
      (``jwt_verify_duration``),
    - 15 list the agents and 10 look at one,
    - 15 list the API keys,
    - 10 ask whether a service is alive and 10 whether it is ready.

    The users of a process share ten sessions. One that is not there yet is made by a login first,
    and one that is about to expire is refreshed; meanwhile the others ask for the health. So
    passwords are hashed for 2 % of the iterations, and more users on a slow target do not make it
    slower by their logins. (Users of k6 share nothing: there each has a session of its own.)
    ``rate_limit_hits`` counts answers with status 429.
    """
    # 37 and 100 have no common factor: each kind comes evenly.
    turn = user.iteration * 37 % 100
    session = user.shared.setdefault(f"session {user.number % SESSIONS}", {})
    if 2 <= turn < 22 or "away" in session:
        await _look(user, "/health/ready" if turn % 2 else "/health/live", {})
    elif turn < 2:
        await _log_in(user, session)
    elif await _is_there(user, session):
        if turn < 25:
            await _refresh(user, session)
        elif turn < 60:
            await _verify(user, session)
        elif turn < 75:
            await _look(user, "/agents", session)
        elif turn < 85:
            await _look(user, "/agents/dqn", session)
        else:
            await _look(user, "/api-keys", session)


@flow(k6=TWINS)
async def jwt(user: "User") -> None:
    """Log in, ask five times who one is, refresh: the whole life of a token.

    ``jwt_issue_duration`` has the login and the refresh, ``jwt_verify_duration`` the five.
    """
    await _life_of_a_token(user)


@flow(k6=TWINS)
async def jwt_thinking(user: "User") -> None:
    """The same as a person does it, who takes a second between two requests."""
    await _life_of_a_token(user, pause=1.0)


async def _life_of_a_token(user: "User", pause: float = 0.0) -> None:
    session: Session = {}
    if await _log_in(user, session):
        for _ in range(VERIFICATIONS):
            await asyncio.sleep(pause)
            await _verify(user, session)
        await asyncio.sleep(pause)
        await _refresh(user, session)
    await asyncio.sleep(pause)


async def _is_there(user: "User", session: Session) -> bool:
    """Whether the session is good for now, after getting it if not."""
    if "access" not in session:
        return await _log_in(user, session)
    if monotonic() > session["until"]:
        return await _refresh(user, session)
    return True


async def _log_in(user: "User", session: Session) -> bool:
    given = {"username": user.username, "password": user.password.reveal()}
    return await _issue(user, session, "login", given)


async def _refresh(user: "User", session: Session) -> bool:
    token = session.get("refresh")
    # In legacy mode there is none.
    if token is None:
        return await _log_in(user, session)
    return await _issue(user, session, "refresh", {"refresh_token": token})


async def _issue(user: "User", session: Session, name: str, given: dict[str, str]) -> bool:
    """Have tokens issued; where that fails, the session is gone."""
    session.clear()
    session["away"] = True
    try:
        answer = await user.post(f"/auth/{name}", name=name, json=given)
    finally:
        del session["away"]
    _notice(user, answer, session)
    if not user.check("tokens are issued", answer.status == 200):
        return False
    user.trend("jwt_issue_duration", answer.duration)
    tokens = answer.json()
    session["access"] = {"Authorization": f"Bearer {tokens['access_token']}"}
    session["refresh"] = tokens["refresh_token"]
    session["until"] = monotonic() + tokens["expires_in"] - EARLY
    return True


async def _verify(user: "User", session: Session) -> None:
    answer = await user.get("/auth/me", name="verify", headers=session.get("access"))
    _notice(user, answer, session)
    if user.check("token is verified", answer.status == 200):
        user.trend("jwt_verify_duration", answer.duration)


async def _look(user: "User", path: str, session: Session) -> None:
    answer = await user.get(path, name=path, headers=session.get("access"))
    _notice(user, answer, session)
    user.check("answer is there", answer.status == 200)


def _notice(user: "User", answer: "Response", session: Session) -> None:
    """What any answer may say: too many requests, or that the session is over."""
    if answer.status == 429:
        user.count("rate_limit_hits")
    elif answer.status == 401 and "away" not in session:
        session.clear()
