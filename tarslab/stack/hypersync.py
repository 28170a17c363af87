"""The hypersync service: trials' hyperparameters are proposed to agents, approved or rejected.

What is approved is applied by the agent's next reload, which is orchestration's.
"""

import uuid
from math import isfinite
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from pydantic import BaseModel, Field

from tarslab.stack.proposals import PROPOSALS, Proposal, ProposalState
from tarslab.stack.security.scopes import Scope
from tarslab.stack.settings import Settings
from tarslab.stack.store import Transaction
from tarslab.stack.web.access import allowed
from tarslab.stack.web.app import make_app
from tarslab.stack.web.bodies import Body, IdempotencyKey, once
from tarslab.stack.web.context import Caller, Context
from tarslab.stack.web.following import follow
from tarslab.stack.web.paging import Cursor, Limit, Page, page
from tarslab.stack.web.problems import Problem, not_found, responses, wait

router = APIRouter(prefix="/proposals", tags=["proposals"])

# As orchestration writes it.
AGENTS = "agents"
CREDENTIALS = ("authorization", "x-api-key")
TIMEOUT = httpx.Timeout(5.0, connect=1.0)
RETRY_SECONDS = 2

Reader = Annotated[Caller, allowed(Scope.PROPOSALS_READ)]
Writer = Annotated[Caller, allowed(Scope.PROPOSALS_WRITE)]
ProposalId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
AgentId = Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")]


class NewProposal(Body):
    """A trial for an agent."""

    agent: AgentId
    study: Annotated[str, Field(min_length=1, max_length=200)]
    trial: Annotated[int, Field(ge=0, lt=2**31)]
    note: Annotated[str | None, Field(max_length=500)] = None


class Decision(Body):
    """Why."""

    reason: Annotated[str | None, Field(max_length=500)] = None


class Trial(BaseModel):
    """What hypersync reads of a trial of automl's."""

    number: int
    state: str
    values: list[float | None] | None
    params: dict[str, Any]


class Hypersync(Context):
    """The context of hypersync: with a way to automl."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("hypersync", settings)
        # A proxy of the environment's is none for services beside this one.
        self._client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)

    async def trial(self, request: Request, study: str, number: int) -> Trial | Problem:
        """A trial as automl has it for the caller, or why there is none."""
        path = f"/studies/{quote(study, safe='')}/trials/{number}"
        headers = {name: request.headers[name] for name in CREDENTIALS if name in request.headers}
        headers["x-request-id"] = request.scope["request_id"]
        try:
            answer = await self._client.get(f"{self.settings.automl_url}{path}", headers=headers)
            if answer.status_code == 200:
                return Trial.model_validate_json(answer.content)
            detail = str(answer.json()["detail"])
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError):
            return wait(503, "automl cannot be reached: try again", RETRY_SECONDS)
        if answer.status_code in (401, 403, 404):
            return Problem(answer.status_code, detail)
        return wait(503, f"automl cannot say: {detail}", RETRY_SECONDS)

    async def close(self) -> None:
        """Give connections and threads back."""
        await self._client.aclose()
        await super().close()


def make(settings: Settings) -> FastAPI:
    """The service's application."""
    here = Hypersync(settings)
    return make_app(here, "T.A.R.S. hypersync", [router], recover=lambda: follow(here))


def hypersync_of(request: Request) -> Hypersync:
    """hypersync's context."""
    here = request.app.state.context
    assert isinstance(here, Hypersync)
    return here


Here = Annotated[Hypersync, Depends(hypersync_of)]


@router.get("")
async def proposals(
    here: Here,
    caller: Reader,
    agent: Annotated[str | None, Query(max_length=40)] = None,
    state: ProposalState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Proposal]:
    """Proposals, oldest first."""
    kept = await here.store.call(lambda redis: redis.hgetall(PROPOSALS))
    found = [Proposal.model_validate_json(text) for text in kept.values()]
    chosen = [
        (f"{proposal.proposed_at:020.6f} {proposal.id}", proposal)
        for proposal in found
        if agent in (None, proposal.agent) and state in (None, proposal.state)
    ]
    return page(chosen, limit, cursor)


@router.get("/{proposal_id}", responses=responses(404))
async def proposal(proposal_id: ProposalId, here: Here, caller: Reader) -> Proposal:
    """One proposal."""
    return _read(
        proposal_id, await here.store.call(lambda redis: redis.hget(PROPOSALS, proposal_id))
    )


@router.post("", status_code=201, responses=responses(404, 409))
async def create(
    body: NewProposal,
    request: Request,
    here: Here,
    caller: Writer,
    idempotency_key: IdempotencyKey = None,
) -> Proposal:
    """Propose a trial's hyperparameters to an agent."""
    # Asked for before the transaction, which others wait for; a create sent twice needs no answer.
    found = await here.trial(request, body.study, body.trial)

    async def write(transaction: Transaction) -> Proposal:
        if await transaction.hget(AGENTS, body.agent) is None:
            raise not_found(f"agent {body.agent}")
        if isinstance(found, Problem):
            raise found
        values = _result(found, body.study)
        now = here.now
        proposed = Proposal(
            id=uuid.uuid4().hex,
            agent=body.agent,
            study=body.study,
            trial=body.trial,
            params=found.params,
            values=values,
            note=body.note,
            state=ProposalState.PENDING,
            proposed_by=caller.name,
            proposed_at=now,
        )
        _write(transaction, proposed)
        transaction.audit(
            caller.event(
                now,
                "proposals.create",
                f"proposals/{proposed.id}",
                agent=body.agent,
                study=body.study,
                trial=body.trial,
            )
        )
        return proposed

    return await once(here, caller, idempotency_key, body, Proposal, write)


@router.post("/{proposal_id}/approve", responses=responses(404, 409))
async def approve(
    proposal_id: ProposalId, here: Here, caller: Writer, body: Decision | None = None
) -> Proposal:
    """Have a proposal applied by the agent's next reload, in place of one that yet waits for it."""

    async def write(transaction: Transaction) -> Proposal:
        kept = await transaction.hgetall(PROPOSALS)
        pending = _pending(proposal_id, kept.get(proposal_id))
        superseded = []
        for text in kept.values():
            other = Proposal.model_validate_json(text)
            if other.agent == pending.agent and other.state is ProposalState.APPROVED:
                _write(transaction, other.model_copy(update={"state": ProposalState.SUPERSEDED}))
                superseded.append(other.id)
        return _decided(
            here, caller, transaction, pending, ProposalState.APPROVED, body, superseded=superseded
        )

    return await here.store.transact(write)


@router.post("/{proposal_id}/reject", responses=responses(404, 409))
async def reject(
    proposal_id: ProposalId, here: Here, caller: Writer, body: Decision | None = None
) -> Proposal:
    """Turn a proposal down."""

    async def write(transaction: Transaction) -> Proposal:
        pending = _pending(proposal_id, await transaction.hget(PROPOSALS, proposal_id))
        return _decided(here, caller, transaction, pending, ProposalState.REJECTED, body)

    return await here.store.transact(write)


def _result(trial: Trial, study: str) -> list[float]:
    if trial.state != "COMPLETE":
        raise Problem(409, f"trial {trial.number} of {study} has no result: it is {trial.state}")
    values = [value for value in trial.values or [] if value is not None and isfinite(value)]
    if values != trial.values:
        raise Problem(409, f"trial {trial.number} of {study} has a result that is not finite")
    return values


def _read(proposal_id: str, kept: str | None) -> Proposal:
    if kept is None:
        raise not_found(f"proposal {proposal_id}")
    return Proposal.model_validate_json(kept)


def _pending(proposal_id: str, kept: str | None) -> Proposal:
    found = _read(proposal_id, kept)
    if found.state is not ProposalState.PENDING:
        raise Problem(409, f"this proposal is {found.state} already")
    return found


def _decided(
    here: Hypersync,
    caller: Caller,
    transaction: Transaction,
    pending: Proposal,
    state: ProposalState,
    body: Decision | None,
    **detail: Any,
) -> Proposal:
    reason = body.reason if body is not None else None
    decision = {
        "state": state,
        "decided_by": caller.name,
        "decided_at": here.now,
        "reason": reason,
    }
    decided = pending.model_copy(update=decision)
    _write(transaction, decided)
    action = "approve" if state is ProposalState.APPROVED else "reject"
    transaction.audit(
        caller.event(
            here.now,
            f"proposals.{action}",
            f"proposals/{pending.id}",
            agent=pending.agent,
            reason=reason,
            **detail,
        )
    )
    return decided


def _write(transaction: Transaction, proposal: Proposal) -> None:
    transaction.write("HSET", PROPOSALS, proposal.id, proposal.model_dump_json())
