"""What a service works with: its store, its snapshot, its clock; and who may come in."""

import logging
import time
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request

from tarslab.stack.audit.chain import Chain, Event
from tarslab.stack.audit.queue import Queue
from tarslab.stack.clock import Clock
from tarslab.stack.security import limits
from tarslab.stack.security.api_keys import digest, is_well_formed
from tarslab.stack.security.limits import Buckets, Limit, Verdict
from tarslab.stack.security.scopes import SCOPES, Role, Scope
from tarslab.stack.security.sealing import derive
from tarslab.stack.security.tokens import BadToken, Tokens
from tarslab.stack.settings import Settings
from tarslab.stack.snapshot import Snapshot, Snapshots
from tarslab.stack.store import EPOCHS, Store, StoreDown
from tarslab.stack.web.metrics import Metrics
from tarslab.stack.web.problems import Problem, unauthorized, wait

log = logging.getLogger(__name__)

USED = "keys:used"

# One round trip a request: what has changed, and whether the caller may have one more.
GUARD = (
    limits.GCRA
    + """
local verdict = gcra(KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),
  tonumber(ARGV[4]))
return {redis.call('HGETALL', KEYS[1]), verdict}
"""
)


class Caller(NamedTuple):
    """Who makes a request, and what they may do."""

    name: str
    kind: str
    """``user`` or ``api_key``."""
    role: Role | None
    scopes: frozenset[Scope]
    session: str | None
    expires_at: float | None
    request_id: str
    address: str
    mode: str
    key_id: str | None = None

    def event(
        self, now: float, action: str, target: str, result: str = "ok", **detail: Any
    ) -> Event:
        """An audit event of this request."""
        return Event(
            now,
            self.name,
            action,
            target,
            result,
            self.request_id,
            self.address,
            self.mode,
            detail=detail,
        )


class Context:
    """All that the routes of one service need."""

    def __init__(self, service: str, settings: Settings) -> None:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.service = service
        self.settings = settings
        self.clock = Clock(settings.clock)
        self.metrics = Metrics(service)
        secret = settings.secret.get_secret_value()
        self.chain = Chain(secret)
        self.queue = Queue(settings.data, secret)
        self.store = Store(
            settings.redis_url.get_secret_value(),
            self.chain,
            self.queue,
            timeout=settings.redis_timeout,
            probe_seconds=settings.redis_probe_seconds,
            now=self.clock.now,
        )
        self.snapshots = Snapshots(settings.data, secret)
        self.tokens = Tokens(
            settings.issuer, settings.audience, settings.access_seconds, settings.skew_seconds
        )
        self.idempotency_key = derive(secret, "idempotency")
        self.used: dict[str, float] = {}
        """API keys used since they were last written down."""
        self._buckets = Buckets()
        self._guard = self.store.script(GUARD)
        self.requests = Limit("default", settings.requests_per_second, settings.requests_per_second)

    @property
    def now(self) -> float:
        """The stack's time."""
        return self.clock.now()

    @property
    def mode(self) -> str:
        """``normal``, or ``legacy`` while Redis is out."""
        return "normal" if self.store.up else "legacy"

    @property
    def snapshot(self) -> Snapshot:
        """The latest; a problem where there has never been one."""
        if self.snapshots.current is None:
            raise wait(503, "Redis has not been reached since the service was set up", 1)
        return self.snapshots.current

    @property
    def snapshot_age(self) -> float | None:
        """Seconds since the snapshot was known to be the latest."""
        current = self.snapshots.current
        if current is None:
            return None
        seen = max(current.taken_at, self.store.seen_at or 0.0)
        return max(0.0, self.now - seen)

    async def close(self) -> None:
        """Give connections and threads back."""
        await self.store.close()

    async def authenticate(self, request: Request) -> Caller:
        """Who makes the request, after the rate limit; a Problem where nobody known does."""
        looked_at = self.snapshots.current
        found = self._caller_or_problem(request)
        bucket = found.name if isinstance(found, Caller) else f"address:{address_of(request)}"
        await self.limited(request, self.requests, bucket)
        if self.snapshots.current is not looked_at:
            # Something has changed since: look once more.
            found = self._caller_or_problem(request)
        if isinstance(found, Problem):
            raise found
        request.scope["caller"] = found.name
        return found

    async def limited(self, request: Request, limit: Limit, bucket: str) -> None:
        """Count a request against a limit, and see that the snapshot is the latest."""
        verdict, epochs = await self.take(limit, bucket)
        if epochs is not None and not self.snapshots.is_current(epochs):
            try:
                await self.snapshots.refresh(self.store, self.now)
            except StoreDown:
                log.warning("Redis went out while the snapshot was read")
        request.scope["ratelimit"] = {
            "RateLimit-Policy": limit.policy,
            "RateLimit": verdict.header(limit),
        }
        if not verdict.allowed:
            self.metrics.rate_limit_hits.labels(limit.name).inc()
            raise wait(429, f"over {limit.rate:g} requests a second", verdict.wait)

    async def take(
        self, limit: Limit, bucket: str, take: bool = True
    ) -> tuple[Verdict, Mapping[str, int] | None]:
        """One more of a limit, or only a look; and the epochs, where Redis is there."""
        now = self.now
        arguments = [f"{now:.6f}", limit.burst, limit.rate, int(take)]
        keys = [EPOCHS, f"limit:{limit.name}:{bucket}"]
        try:
            flat, (allowed, remaining, waiting) = await self.store.call(
                lambda redis: self._guard(keys=keys, args=arguments, client=redis)
            )
        except StoreDown:
            return self._buckets.take(limit, bucket, now, take), None
        epochs = {flat[i]: int(flat[i + 1]) for i in range(0, len(flat), 2)}
        return Verdict(bool(allowed), int(remaining), float(waiting)), epochs

    def _caller_or_problem(self, request: Request) -> Caller | Problem:
        try:
            return self._caller(request)
        except Problem as problem:
            return problem

    def _caller(self, request: Request) -> Caller:
        key = request.headers.get("x-api-key")
        if key is not None:
            return self._by_key(request, key)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("an access token (Authorization: Bearer) or an X-API-Key is needed")
        return self._by_token(request, token)

    def _by_token(self, request: Request, token: str) -> Caller:
        snapshot, now = self.snapshot, self.now
        start = time.perf_counter()
        try:
            claims = self.tokens.verify(token, snapshot.ring, now)
            user = snapshot.user(claims.subject, claims.issued_at)
            if claims.session in snapshot.revoked:
                raise BadToken("revoked")
            if user is None:
                raise BadToken("user")
            if user.role is not claims.role:
                raise BadToken("role")
        except BadToken as error:
            self.metrics.tokens_refused.labels(str(error)).inc()
            raise unauthorized(f"the access token is not good: {error}") from None
        finally:
            self.metrics.verify_seconds.observe(time.perf_counter() - start)
        return Caller(
            claims.subject,
            "user",
            claims.role,
            SCOPES[claims.role],
            claims.session,
            claims.expires_at,
            request.scope["request_id"],
            address_of(request),
            self.mode,
        )

    def _by_key(self, request: Request, key: str) -> Caller:
        now = self.now
        record = self.snapshot.key_of(digest(key), now) if is_well_formed(key) else None
        owner = self.snapshot.user(record.owner, record.created_at) if record is not None else None
        if record is None or owner is None:
            raise unauthorized("the API key is not good: unknown, expired or revoked")
        self.used[record.id] = now
        return Caller(
            f"key:{record.id}",
            "api_key",
            None,
            frozenset(record.scopes) & SCOPES[owner.role],
            None,
            record.expires_at,
            request.scope["request_id"],
            address_of(request),
            self.mode,
            record.id,
        )


def address_of(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client is not None else "unknown"


def context_of(request: Request) -> Context:
    """The context of the service that answers."""
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


Here = Annotated[Context, Depends(context_of)]
