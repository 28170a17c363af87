"""The signing keys: their state, rotation, invalidation, and the JWKS."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from tarslab.stack.orchestration.auth import LIVE
from tarslab.stack.orchestration.core import Core, HereCore
from tarslab.stack.security.scopes import Scope
from tarslab.stack.security.signing_keys import ALGORITHM, KeyState, Ring, SigningKey, TooEarly
from tarslab.stack.settings import too_short
from tarslab.stack.snapshot import RING
from tarslab.stack.store import StoreDown, Transaction
from tarslab.stack.web.access import allowed
from tarslab.stack.web.bodies import Body
from tarslab.stack.web.context import Caller
from tarslab.stack.web.problems import Problem, invalid, not_found, responses, wait

router = APIRouter(tags=["signing keys"])

DAY = 86_400
Reader = Annotated[Caller, allowed(Scope.JWT_READ)]
Writer = Annotated[Caller, allowed(Scope.JWT_WRITE)]
Kid = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


class Key(BaseModel):
    """A signing key, without the key."""

    kid: str
    state: KeyState
    created_at: float
    activated_at: float | None
    grace_until: float | None
    invalidated_at: float | None
    live_tokens: int | None
    """Access tokens signed by it that have not expired; None while Redis is out."""


class Status(BaseModel):
    """The ring of signing keys."""

    mode: str
    algorithm: str
    access_seconds: int
    skew_seconds: int
    jwks_cache_seconds: int
    minimum_grace_seconds: int
    keys: list[Key]
    ring_version: int
    ring_age_seconds: float | None
    """Since the ring was known to be the latest."""


class LiveToken(BaseModel):
    """An access token that has not expired, without the token."""

    id: str
    subject: str
    expires_at: float


class RotateBody(Body):
    """How long the key that signed until now goes on verifying."""

    grace_seconds: Annotated[float | None, Field(ge=0, le=DAY)] = None


class Rotated(BaseModel):
    """What a rotation did, or would do."""

    rehearsal: bool
    refused: str | None
    """In a rehearsal: why the rotation would be refused."""
    retiring: str
    active: str
    next: str | None
    grace_until: float
    live_tokens: int
    broken_tokens: list[LiveToken]
    """Live tokens that outlive the grace."""


class InvalidateBody(Body):
    """Why."""

    reason: Annotated[str | None, Field(max_length=200)] = None


class Invalidated(BaseModel):
    """What an invalidation did."""

    kid: str
    broken_tokens: int
    active: str


@router.get("/.well-known/jwks.json")
async def jwks(here: HereCore, response: Response) -> dict[str, list[dict[str, str]]]:
    """The public keys that verify."""
    response.headers["Cache-Control"] = f"public, max-age={here.settings.jwks_cache_seconds}"
    return here.snapshot.ring.jwks(here.now)


@router.get("/jwt/status")
async def status(here: HereCore, caller: Reader) -> Status:
    """Each key's state, and how many live tokens hang on it."""
    settings, ring, now = here.settings, here.snapshot.ring, here.now
    return Status(
        mode=here.mode,
        algorithm=ALGORITHM,
        access_seconds=settings.access_seconds,
        skew_seconds=settings.skew_seconds,
        jwks_cache_seconds=settings.jwks_cache_seconds,
        minimum_grace_seconds=settings.minimum_grace,
        keys=[await _shown(here, key, now) for key in ring.keys],
        ring_version=ring.version,
        ring_age_seconds=here.snapshot_age,
    )


@router.post("/jwt/rotate", responses=responses(409))
async def rotate(
    here: HereCore,
    caller: Writer,
    body: RotateBody | None = None,
    rehearse: Annotated[bool, Query(description="Say what would happen, and do nothing.")] = False,
) -> Rotated:
    """Let the next key sign; the one before verifies until its grace ends."""
    given = body.grace_seconds if body is not None else None
    grace = here.settings.grace_seconds if given is None else given
    short = too_short(grace, here.settings) if grace < here.settings.minimum_grace else None
    if rehearse:
        return await _rehearsed(here, grace, short)
    if short is not None:
        raise invalid("grace_seconds", short)

    async def write(transaction: Transaction) -> Rotated:
        now = here.now
        before = await _ring(transaction)
        try:
            after = before.rotated(here.seal, now, grace, here.settings.jwks_cache_seconds)
        except TooEarly as early:
            raise wait(409, str(early), early.wait) from None
        _write(transaction, after)
        retiring, active = before.active(now).kid, after.active(now).kid
        transaction.audit(
            caller.event(
                now, "jwt.rotate", f"jwt/keys/{retiring}", active=active, grace_seconds=grace
            )
        )
        return Rotated(
            rehearsal=False,
            refused=None,
            retiring=retiring,
            active=active,
            next=after.next(now).kid,
            grace_until=now + grace,
            live_tokens=0,
            broken_tokens=[],
        )

    rotated = await here.store.transact(write)
    await here.snapshots.refresh(here.store, here.now)
    return await _with_tokens(here, rotated)


@router.post("/jwt/keys/{kid}/invalidate", responses=responses(404, 409))
async def invalidate(
    kid: Kid, here: HereCore, caller: Writer, body: InvalidateBody | None = None
) -> Invalidated:
    """Refuse all tokens of a key from now on, for good; where it signs, the next one takes over."""

    async def write(transaction: Transaction) -> Ring:
        now = here.now
        ring = await _ring(transaction)
        try:
            state = ring[kid].state(now)
        except KeyError:
            raise not_found(f"signing key {kid}") from None
        if state is KeyState.INVALIDATED:
            raise Problem(409, "this key is invalidated already")
        after = ring.invalidated(here.seal, kid, now)
        _write(transaction, after)
        reason = body.reason if body is not None else None
        transaction.audit(
            caller.event(now, "jwt.invalidate", f"jwt/keys/{kid}", state=state.value, reason=reason)
        )
        return after

    ring = await here.store.transact(write)
    await here.snapshots.refresh(here.store, here.now)
    broken = len(await _live(here, kid, here.now) or [])
    return Invalidated(kid=kid, broken_tokens=broken, active=ring.active(here.now).kid)


async def _rehearsed(here: Core, grace: float, refused: str | None) -> Rotated:
    if not here.store.up:
        # Nobody knows which tokens live.
        raise StoreDown
    ring, now = here.snapshot.ring, here.now
    if refused is None:
        try:
            ring.rotated(here.seal, now, grace, here.settings.jwks_cache_seconds)
        except TooEarly as early:
            refused = str(early)
    rehearsed = Rotated(
        rehearsal=True,
        refused=refused,
        retiring=ring.active(now).kid,
        active=ring.next(now).kid,
        next=None,
        grace_until=now + grace,
        live_tokens=0,
        broken_tokens=[],
    )
    return await _with_tokens(here, rehearsed)


async def _with_tokens(here: Core, rotated: Rotated) -> Rotated:
    """With the live tokens of the key that retires: verifiers allow them the skew, too."""
    live = await _live(here, rotated.retiring, here.now) or []
    ends = rotated.grace_until - here.settings.skew_seconds
    broken = [token for token in live if token.expires_at > ends]
    return rotated.model_copy(update={"live_tokens": len(live), "broken_tokens": broken})


async def _ring(transaction: Transaction) -> Ring:
    kept = await transaction.get(RING)
    assert kept is not None
    return Ring.model_validate_json(kept)


def _write(transaction: Transaction, ring: Ring) -> None:
    transaction.write("SET", RING, ring.model_dump_json())
    transaction.changed(RING)


async def _shown(here: Core, key: SigningKey, now: float) -> Key:
    live = await _live(here, key.kid, now)
    return Key(
        kid=key.kid,
        state=key.state(now),
        created_at=key.created_at,
        activated_at=key.activated_at,
        grace_until=key.grace_until,
        invalidated_at=key.invalidated_at,
        live_tokens=None if live is None else len(live),
    )


async def _live(here: Core, kid: str, now: float) -> list[LiveToken] | None:
    try:
        found = await here.store.call(
            lambda redis: redis.zrangebyscore(f"{LIVE}{kid}", now, "+inf", withscores=True)
        )
    except StoreDown:
        return None
    tokens = []
    for member, expires_at in found:
        token_id, _, subject = member.partition(" ")
        tokens.append(LiveToken(id=token_id, subject=subject, expires_at=expires_at))
    return tokens
