"""Sign in, refresh, sign out."""

import hmac
import time
import uuid
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from tarslab.stack.audit.chain import Event
from tarslab.stack.orchestration.core import Core, HereCore
from tarslab.stack.security.limits import Limit
from tarslab.stack.security.passwords import Busy
from tarslab.stack.security.scopes import SCOPES, Role, Scope
from tarslab.stack.security.tokens import BadToken, Claims, RefreshToken
from tarslab.stack.settings import MAX_ACCESS_SECONDS
from tarslab.stack.snapshot import REVOKED, User
from tarslab.stack.store import StoreDown, Transaction
from tarslab.stack.web.access import Known
from tarslab.stack.web.bodies import Body
from tarslab.stack.web.context import address_of
from tarslab.stack.web.problems import Problem, responses, unauthorized, wait

router = APIRouter(prefix="/auth", tags=["auth"])

SESSIONS = "sessions"
LIVE = "tokens:"
"""Sorted sets of live access tokens, one a signing key, by expiry."""
WRONG = "wrong user name or password"


class Session(BaseModel):
    """A login that goes on: the row of its refresh tokens."""

    user: str
    salt: str
    number: int
    """Of the one refresh token that is good."""
    created_at: float
    expires_at: float


class Credentials(Body):
    """Who signs in."""

    username: Annotated[str, Field(min_length=1, max_length=64)]
    password: Annotated[str, Field(min_length=1, max_length=256)]


class Refresh(Body):
    """The refresh token of the last answer."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=256)]


class Tokens(BaseModel):
    """What a sign-in gives."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    refresh_token: str | None
    refresh_expires_in: int | None
    role: Role
    scopes: list[Scope]
    mode: str


class Me(BaseModel):
    """Who makes the request."""

    name: str
    kind: str
    role: Role | None
    scopes: list[Scope]
    expires_at: float | None
    session: str | None


@router.post("/login")
async def login(body: Credentials, request: Request, here: HereCore) -> Tokens:
    """Sign in with a password.

    Failed logins are throttled, per user and per address. In legacy mode there is no refresh token.
    """
    await here.limited(request, here.requests, f"address:{address_of(request)}")
    try:
        async with here.passwords.slot():
            user = await _proven(here, body, request)
    except Busy:
        raise wait(503, "too many logins at once", 1) from None
    here.metrics.logins.labels("ok").inc()
    event = _event(here, request, user.username, "auth.login", "ok")
    try:
        return await _begin_session(here, user, event)
    except StoreDown:
        return await _legacy_session(here, user, event)


@router.post("/refresh")
async def refresh(body: Refresh, request: Request, here: HereCore) -> Tokens:
    """New tokens for a refresh token, which is good once.

    One that was used already has been stolen or copied: its whole session is revoked.
    """
    await here.limited(request, here.requests, f"address:{address_of(request)}")
    try:
        place, mac = RefreshToken.parse(body.refresh_token)
    except BadToken:
        raise unauthorized("the refresh token is not good") from None

    async def next_one(transaction: Transaction) -> Tokens | None:
        kept = await transaction.hget(SESSIONS, place.session)
        session = Session.model_validate_json(kept) if kept is not None else None
        if session is None or not place.is_proven_by(mac, here.refresh_key, session.salt):
            return None
        user = here.snapshot.user(session.user, session.created_at)
        if user is None or session.expires_at <= here.now:
            return None
        if place.number != session.number:
            event = _event(here, request, session.user, "auth.refresh_reused", "denied")
            revoke(here, transaction, place.session)
            transaction.audit(event._replace(target=f"sessions/{place.session}"))
            return None
        following = session.model_copy(update={"number": session.number + 1})
        event = _event(here, request, session.user, "auth.refresh", "ok")
        return _write_session(here, transaction, place.session, following, user, event)

    tokens = await here.store.transact(next_one)
    if tokens is None:
        await here.snapshots.refresh(here.store, here.now)
        raise unauthorized("the refresh token is not good")
    return tokens


@router.post("/logout", status_code=204, responses=responses(409))
async def logout(request: Request, here: HereCore, caller: Known) -> Response:
    """End the session: its refresh token and its access tokens."""
    if caller.session is None:
        raise Problem(409, "an API key has no session; revoke the key instead")
    session = caller.session

    async def end(transaction: Transaction) -> None:
        revoke(here, transaction, session)
        transaction.audit(caller.event(here.now, "auth.logout", f"sessions/{session}"))

    await here.store.transact(end)
    await here.snapshots.refresh(here.store, here.now)
    return Response(status_code=204)


@router.get("/me")
async def me(caller: Known) -> Me:
    """Who makes the request, and what they may do."""
    return Me(
        name=caller.name,
        kind=caller.kind,
        role=caller.role,
        scopes=sorted(caller.scopes),
        expires_at=caller.expires_at,
        session=caller.session,
    )


async def _proven(here: Core, body: Credentials, request: Request) -> User:
    address = address_of(request)
    await _throttled(here, body.username, address)
    user = here.snapshot.users.get(body.username)
    right = await here.passwords.verify(user.password if user else None, body.password)
    if user is None or not right or user.disabled:
        await _failed(here, request, user, body.username, address)
        raise unauthorized(WRONG)
    return user


async def _throttled(here: Core, username: str, address: str) -> None:
    for limit, bucket in _failure_limits(here, username, address):
        verdict, _ = await here.take(limit, bucket, take=False)
        if not verdict.allowed:
            here.metrics.rate_limit_hits.labels(limit.name).inc()
            here.metrics.logins.labels("throttled").inc()
            raise wait(429, "too many failed logins", verdict.wait)


async def _failed(
    here: Core, request: Request, user: User | None, username: str, address: str
) -> None:
    here.metrics.logins.labels("failed").inc()
    for limit, bucket in _failure_limits(here, username, address):
        await here.take(limit, bucket)
    # A name that nobody has may be a password, typed into the wrong field.
    name = user.username if user is not None else "unknown"
    await here.store.record(_event(here, request, name, "auth.login", "failed"))


def _failure_limits(here: Core, username: str, address: str) -> list[tuple[Limit, str]]:
    # Not the name itself, for the same reason.
    mark = hmac.digest(here.refresh_key, username.encode(), "sha256").hex()
    return [(here.failures_of_user, mark), (here.failures_of_address, address)]


async def _begin_session(here: Core, user: User, event: Event) -> Tokens:
    sid, now = uuid.uuid4().hex, here.now
    session = Session(
        user=user.username,
        salt=uuid.uuid4().hex,
        number=1,
        created_at=now,
        expires_at=now + here.settings.refresh_seconds,
    )

    async def write(transaction: Transaction) -> Tokens:
        return _write_session(here, transaction, sid, session, user, event)

    return await here.store.transact(write)


def _write_session(
    here: Core, transaction: Transaction, sid: str, session: Session, user: User, event: Event
) -> Tokens:
    token, claims = _issue(here, user, sid)
    transaction.write("HSET", SESSIONS, sid, session.model_dump_json())
    transaction.write(
        "ZADD", f"{LIVE}{claims.kid}", claims.expires_at, f"{claims.id} {claims.subject}"
    )
    transaction.audit(event._replace(target=f"sessions/{sid}"))
    refresh_token = RefreshToken(sid, session.number).sealed(here.refresh_key, session.salt)
    left = int(session.expires_at - here.now)
    return _tokens(here, user, token, refresh_token, left)


async def _legacy_session(here: Core, user: User, event: Event) -> Tokens:
    """A token signed by the last active key, while that is not too old a state to sign by."""
    age = here.snapshot_age
    bound = here.settings.stale_login_seconds
    if age is None or age > bound:
        detail = f"Redis has been out for longer than the {bound} s for which logins go on"
        raise wait(503, detail, here.settings.redis_probe_seconds)
    token, claims = _issue(here, user, uuid.uuid4().hex)
    here.queue.put(event._replace(mode="legacy", target=f"sessions/{claims.session}"))
    return _tokens(here, user, token, None, None)


def _issue(here: Core, user: User, sid: str) -> tuple[str, Claims]:
    start = time.perf_counter()
    now = here.now
    key = here.snapshot.ring.active(now)
    issued = here.tokens.issue(key, here.seal, user.username, user.role, sid, now)
    here.metrics.issue_seconds.observe(time.perf_counter() - start)
    return issued


def _tokens(
    here: Core, user: User, access: str, refresh_token: str | None, left: int | None
) -> Tokens:
    return Tokens(
        access_token=access,
        expires_in=here.settings.access_seconds,
        refresh_token=refresh_token,
        refresh_expires_in=left,
        role=user.role,
        scopes=sorted(SCOPES[user.role]),
        mode=here.mode,
    )


def revoke(here: Core, transaction: Transaction, session: str) -> None:
    """End a session; its access tokens are refused for as long as any could live."""
    until = here.now + MAX_ACCESS_SECONDS + here.settings.skew_seconds
    transaction.write("HDEL", SESSIONS, session)
    transaction.write("HSET", REVOKED, session, until)
    transaction.changed(REVOKED)


def _event(here: Core, request: Request, actor: str, action: str, result: str) -> Event:
    return Event(
        here.now,
        actor,
        action,
        "auth",
        result,
        request.scope["request_id"],
        address_of(request),
        here.mode,
    )
