"""The resources of the admin API.

Every method may raise a child of ``AdminError``. Lists are fetched as they are gone through, and
have ``to_frame()``.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime
from types import NoneType
from typing import Any

from tarslab.admin.endpoints import R, Resource, endpoint, listing, path
from tarslab.admin.exchange import Steps
from tarslab.admin.models import (
    Agent,
    AgentMetrics,
    ApiKey,
    AuditEvent,
    AuditVerification,
    Cleanup,
    Invalidation,
    KeyRing,
    KeySet,
    NewApiKey,
    Proposal,
    Readiness,
    ReloadedAgent,
    Rotation,
    Services,
    Study,
    Trial,
    TrialsOfStudy,
    User,
)
from tarslab.admin.pages import Listing
from tarslab.admin.secret import Secret
from tarslab.errors import BadArgument


class Agents(Resource[R]):
    """The agents, their versions and their training curves."""

    @listing
    def list(self) -> Listing[Agent]:
        """Every agent. Scope agents:read."""
        return self._list("/agents", Agent)

    @endpoint
    def get(self, agent: str) -> Steps[Agent]:
        """One agent. Scope agents:read."""
        return self._ask("GET", path("agents", agent), Agent)

    @endpoint
    def metrics(
        self,
        agent: str,
        metric: str | Iterable[str] = (),
        *,
        version: int | None = None,
        points: int | None = None,
    ) -> Steps[AgentMetrics]:
        """The training curves of an agent. Scope agents:read.

        ``metric`` is one or several of those available, by default all; ``version`` by default the
        promoted one; ``points`` the most of a curve, by default 500.
        """
        wanted = [metric] if isinstance(metric, str) else [*metric]
        asked = {"metric": wanted or None, "version": version, "points": points}
        return self._ask("GET", path("agents", agent, "metrics"), AgentMetrics, params=asked)

    @endpoint
    def reload(self, agent: str) -> Steps[ReloadedAgent]:
        """Load an agent anew, with the approved proposals applied. Scope agents:write."""
        return self._ask("POST", path("agents", agent, "reload"), ReloadedAgent)

    @endpoint
    def promote(self, agent: str, version: int) -> Steps[Agent]:
        """Make an agent run a version of it. Scope agents:write.

        NotFound where it has no such version, Conflict where it runs it already.
        """
        body = {"version": version}
        return self._ask("POST", path("agents", agent, "promote"), Agent, body=body)

    @endpoint
    def rollback(self, agent: str) -> Steps[Agent]:
        """Make an agent run the version of before its last promotion. Scope agents:write.

        Conflict where there is none.
        """
        return self._ask("POST", path("agents", agent, "rollback"), Agent)


class ApiKeys(Resource[R]):
    """The API keys."""

    @listing
    def list(self) -> Listing[ApiKey]:
        """Every API key, also those that have ended. Scope keys:read."""
        return self._list("/api-keys", ApiKey)

    @endpoint
    def get(self, id: str) -> Steps[ApiKey]:
        """One API key, by its id. Scope keys:read."""
        return self._ask("GET", _of_key(id), ApiKey)

    @endpoint
    def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        expires_in: float | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[NewApiKey]:
        """A new API key, with some of the scopes that you have. Scope keys:write.

        ``expires_in`` is in seconds; by default it does not expire. The key itself is shown once:
        keep ``.key.reveal()``. An ``idempotency_key`` of your own makes the call the same one when
        it is made again, by default only its own retries are.
        """
        body = {"name": name, "scopes": _texts(scopes), "expires_in": expires_in}
        key = _idempotency_key(idempotency_key)
        return self._ask("POST", "/api-keys", NewApiKey, body=body, idempotency_key=key)

    @endpoint
    def rotate(self, id: str, *, overlap_seconds: float = 3600) -> Steps[NewApiKey]:
        """A new key in place of an API key's, which goes on working for a while. Scope keys:write.

        The key itself is shown once: keep ``.key.reveal()``. Conflict where it was revoked.
        """
        body = {"overlap_seconds": overlap_seconds}
        return self._ask("POST", _of_key(id, "rotate"), NewApiKey, body=body)

    @endpoint
    def revoke(self, id: str) -> Steps[None]:
        """End an API key at once. Scope keys:write."""
        return self._ask("DELETE", _of_key(id), NoneType)


class Jwt(Resource[R]):
    """The keys that access tokens are signed with."""

    @endpoint
    def status(self) -> Steps[KeyRing]:
        """The signing keys and the lifetimes around them. Scope jwt:read."""
        return self._ask("GET", "/jwt/status", KeyRing)

    @endpoint
    def rotate(
        self, *, grace_seconds: float | None = None, rehearse: bool = False
    ) -> Steps[Rotation]:
        """Make the next key sign; the active one verifies for a grace period. Scope jwt:write.

        ``grace_seconds`` is by default the minimum, at which no token breaks; Invalid with the
        figure where it is less, Conflict with ``retry_after`` where the next key was not published
        for long enough. A rehearsal changes nothing, and says which tokens would break.
        """
        return self._ask(
            "POST",
            "/jwt/rotate",
            Rotation,
            params={"rehearse": _flag(rehearse)},
            body={"grace_seconds": grace_seconds},
            repeatable=rehearse,
        )

    @endpoint
    def invalidate(self, kid: str, reason: str | None = None) -> Steps[Invalidation]:
        """Make a key verify no more, at once: its tokens break. Scope jwt:write."""
        body = {"reason": reason}
        return self._ask("POST", path("jwt", "keys", kid, "invalidate"), Invalidation, body=body)

    @endpoint
    def jwks(self) -> Steps[KeySet]:
        """The public keys (RFC 7517). Takes no credentials."""
        return self._ask("GET", "/.well-known/jwks.json", KeySet, signed=False)


class Audit(Resource[R]):
    """Who did what."""

    @listing
    def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        result: str | None = None,
        request_id: str | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
    ) -> Listing[AuditEvent]:
        """The events that all filters fit, the newest first. Scope audit:read.

        ``since`` and ``until`` are Unix seconds or datetimes.
        """
        return self._list(
            "/audit",
            AuditEvent,
            actor=actor,
            action=action,
            target=target,
            result=result,
            request_id=request_id,
            since=_seconds(since),
            until=_seconds(until),
        )

    @endpoint
    def verify(self) -> Steps[AuditVerification]:
        """Whether the log is whole and unchanged, and else its first bad record. audit:read."""
        return self._ask("GET", "/audit/verify", AuditVerification)


class Studies(Resource[R]):
    """The searches for hyperparameters."""

    @listing
    def list(self) -> Listing[Study]:
        """Every study. Scope studies:read."""
        return self._list("/studies", Study)

    @endpoint
    def get(self, name: str) -> Steps[Study]:
        """One study. Scope studies:read."""
        return self._ask("GET", path("studies", name), Study)

    @listing
    def trials(self, name: str, *, state: str | None = None) -> Listing[Trial]:
        """The trials of a study, of all states or one. Scope studies:read."""
        return self._list(path("studies", name, "trials"), Trial, state=state)

    @endpoint
    def best(self, name: str) -> Steps[tuple[Trial, ...]]:
        """The best trials of a study: equal ones, or of several objectives the Pareto front.

        Scope studies:read.
        """
        best = yield from self._ask("GET", path("studies", name, "best"), TrialsOfStudy)
        return best.trials

    @endpoint
    def start(
        self,
        name: str,
        objective: str,
        n_trials: int,
        *,
        sampler: str = "tpe",
        seed: int | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[Study]:
        """Start a search of 1 to 1000 trials. Scope studies:write.

        After ``timeout`` seconds no trial is begun. ``idempotency_key`` as in ``api_keys.create``.
        """
        body = {
            "name": name,
            "objective": objective,
            "n_trials": n_trials,
            "sampler": sampler,
            "seed": seed,
            "timeout": timeout,
        }
        key = _idempotency_key(idempotency_key)
        return self._ask("POST", "/studies", Study, body=body, idempotency_key=key)

    @endpoint
    def stop(self, name: str) -> Steps[Study]:
        """Stop a search after the trial that runs; Conflict where none does. studies:write."""
        return self._ask("POST", path("studies", name, "stop"), Study)


class Proposals(Resource[R]):
    """Trials' hyperparameters, proposed to agents."""

    @listing
    def list(self, *, agent: str | None = None, state: str | None = None) -> Listing[Proposal]:
        """The proposals, of all agents and states or one. Scope proposals:read."""
        return self._list("/proposals", Proposal, agent=agent, state=state)

    @endpoint
    def get(self, id: str) -> Steps[Proposal]:
        """One proposal. Scope proposals:read."""
        return self._ask("GET", path("proposals", id), Proposal)

    @endpoint
    def create(
        self,
        agent: str,
        study: str,
        trial: int,
        *,
        note: str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[Proposal]:
        """Propose a trial's hyperparameters to an agent. Scope proposals:write.

        ``idempotency_key`` as in ``api_keys.create``.
        """
        body = {"agent": agent, "study": study, "trial": trial, "note": note}
        key = _idempotency_key(idempotency_key)
        return self._ask("POST", "/proposals", Proposal, body=body, idempotency_key=key)

    @endpoint
    def approve(self, id: str, reason: str | None = None) -> Steps[Proposal]:
        """Let a proposal be applied when the agent is reloaded. Scope proposals:write.

        Conflict where it is not pending.
        """
        body = {"reason": reason}
        return self._ask("POST", path("proposals", id, "approve"), Proposal, body=body)

    @endpoint
    def reject(self, id: str, reason: str | None = None) -> Steps[Proposal]:
        """Turn a proposal down; Conflict where it is not pending. Scope proposals:write."""
        body = {"reason": reason}
        return self._ask("POST", path("proposals", id, "reject"), Proposal, body=body)


class Users(Resource[R]):
    """Who can log in."""

    @listing
    def list(self) -> Listing[User]:
        """Every user. Scope users:read."""
        return self._list("/users", User)

    @endpoint
    def create(
        self,
        username: str,
        password: str | Secret,
        role: str,
        *,
        idempotency_key: str | None = None,
    ) -> Steps[User]:
        """A new viewer, operator or admin. Scope users:write.

        ``idempotency_key`` as in ``api_keys.create``.
        """
        body = {"username": username, "password": Secret(password), "role": role}
        key = _idempotency_key(idempotency_key)
        return self._ask("POST", "/users", User, body=body, idempotency_key=key)

    @endpoint
    def delete(self, username: str) -> Steps[None]:
        """Remove a user; Conflict for the last admin. Scope users:write."""
        return self._ask("DELETE", path("users", username), NoneType)


class Health(Resource[R]):
    """Whether the services work."""

    @endpoint
    def ready(self) -> Steps[Readiness]:
        """Whether the API takes requests; also of one that says no. Takes no credentials."""
        return self._ask("GET", "/health/ready", Readiness, signed=False, accept=(503,))

    @endpoint
    def services(self) -> Steps[Services]:
        """What each service says."""
        return self._ask("GET", "/health/services", Services)


class Maintenance(Resource[R]):
    """Housekeeping."""

    @endpoint
    def cleanup(self, *, dry_run: bool = False) -> Steps[Cleanup]:
        """Remove what has expired; in a dry run only count it. Scope maintenance:write."""
        params = {"dry_run": _flag(dry_run)}
        return self._ask("POST", "/maintenance/cleanup", Cleanup, params=params, repeatable=dry_run)


def _of_key(id: str, *rest: str) -> str:
    if id.startswith("tars_"):
        raise BadArgument("that is an API key itself, which is no part of a URL: give its id")
    return path("api-keys", id, *rest)


def _idempotency_key(given: str | None) -> str:
    if given is None:
        return str(uuid.uuid4())
    if not (1 <= len(given) <= 128 and given.isascii() and given.isprintable()):
        raise BadArgument("idempotency_key: give 1 to 128 printable characters of ASCII")
    return given


def _texts(given: Iterable[str]) -> Any:
    return [given] if isinstance(given, str) else [*given]


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _seconds(moment: float | datetime | None) -> float | None:
    return moment.timestamp() if isinstance(moment, datetime) else moment
