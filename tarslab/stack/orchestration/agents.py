"""The agents: trained policies in several versions, of which one each is promoted."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from tarslab.errors import TarslabError
from tarslab.stack.audit.chain import Event
from tarslab.stack.orchestration.core import Core, HereCore
from tarslab.stack.orchestration.recordings import RECORDED, Recording, Version, read
from tarslab.stack.proposals import PROPOSALS, Proposal, ProposalState
from tarslab.stack.security.scopes import Scope
from tarslab.stack.store import StoreDown, Transaction
from tarslab.stack.web.access import allowed
from tarslab.stack.web.bodies import Body
from tarslab.stack.web.context import Caller
from tarslab.stack.web.paging import Cursor, Limit, Page, page
from tarslab.stack.web.problems import Problem, not_found, responses, wait

router = APIRouter(prefix="/agents", tags=["agents"])

AGENTS = "agents"
Reader = Annotated[Caller, allowed(Scope.AGENTS_READ)]
Writer = Annotated[Caller, allowed(Scope.AGENTS_WRITE)]
AgentId = Annotated[str, Path(pattern="^[a-z0-9-]{1,40}$")]


class Promotion(BaseModel):
    """A version was made the one that is used."""

    version: int
    previous: int | None
    by: str
    at: float
    rollback: bool = False


class State(BaseModel):
    """What is kept of an agent."""

    version: int
    hyperparameters: dict[str, Any] = {}
    """Those applied by reloads; they go before the recorded ones."""
    loaded_at: float
    failed: bool = False
    promotions: list[Promotion]
    undo: list[int] = []
    """Versions that were in use before, the last one last."""


class Curve(BaseModel):
    """One metric over the environment's steps."""

    step: list[int]
    value: list[float]


class VersionShown(BaseModel):
    """One training run of an agent."""

    version: int
    run: str
    points: int
    final_reward: float
    """Mean return of the last 100 episodes."""
    promoted_at: float | None
    promoted_by: str | None


class Agent(BaseModel):
    """An agent, and how its promoted version learnt."""

    id: str
    algorithm: str
    environment: str
    state: str
    version: int
    hyperparameters: dict[str, Any]
    loaded_at: float
    reward: Curve
    final_reward: float
    versions: list[VersionShown]
    promotions: list[Promotion]


class Reloaded(Agent):
    """An agent that was read anew."""

    applied: list[str]
    """Proposals whose hyperparameters are the agent's now."""


class Metrics(BaseModel):
    """Curves of one version."""

    agent: str
    version: int
    available: list[str]
    metrics: dict[str, Curve]


class PromoteBody(Body):
    """Which version is to be used."""

    version: Annotated[int, Field(ge=1, le=1_000_000)]


class Agents:
    """The recordings and states of all agents, in memory."""

    def __init__(self) -> None:
        self.recordings: dict[str, Recording] = {}
        self.states: dict[str, State] = {}
        """As last seen in Redis: for when it is out."""

    async def load_all(self) -> None:
        """Read every agent's recording."""
        for agent in RECORDED:
            await self.load(agent)

    async def load(self, agent: str) -> Recording:
        """Read an agent's recording from disk."""
        recording = await asyncio.to_thread(read, agent)
        self.recordings[agent] = recording
        return recording


@router.get("")
async def agents(
    here: HereCore, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[Agent]:
    """All agents, by id."""
    states = await _states(here)
    return page([(agent, _shown(here, agent, states[agent])) for agent in states], limit, cursor)


@router.get("/{agent_id}", responses=responses(404))
async def agent(agent_id: AgentId, here: HereCore, caller: Reader) -> Agent:
    """One agent, with its versions and promotions."""
    return _shown(here, agent_id, _known(await _states(here), agent_id))


@router.get("/{agent_id}/metrics", responses=responses(404))
async def metrics(
    agent_id: AgentId,
    here: HereCore,
    caller: Reader,
    metric: Annotated[list[str] | None, Query(description="All, where none is named.")] = None,
    version: Annotated[
        int | None, Query(ge=1, le=1_000_000, description="By default the promoted one.")
    ] = None,
    points: Annotated[int, Query(ge=10, le=10_000, description="At most, of each curve.")] = 500,
) -> Metrics:
    """Learning curves, in few points with their extremes kept."""
    state = _known(await _states(here), agent_id)
    found = _version(here, agent_id, version or state.version)
    available = sorted(found.curves)
    wanted = metric or available
    for name in wanted:
        if name not in found.curves:
            raise not_found(f"metric {name} of {agent_id}; there are {', '.join(available)}")
    curves = {name: found.curve(name, points)._asdict() for name in wanted}
    return Metrics.model_validate(
        {
            "agent": agent_id,
            "version": found.number,
            "available": available,
            "metrics": curves,
        }
    )


@router.post("/{agent_id}/reload", responses=responses(404))
async def reload(agent_id: AgentId, here: HereCore, caller: Writer) -> Reloaded:
    """Read an agent's runs from disk anew, and apply the proposals that were approved for it."""
    _known(await _states(here), agent_id)
    try:
        await here.agents.load(agent_id)
        failure = None
    except TarslabError as error:
        failure = str(error)

    async def write(transaction: Transaction) -> tuple[State, list[str]]:
        now = here.now
        state = await _state(transaction, agent_id)
        applied = [] if failure else await _approved(transaction, agent_id)
        for proposal in applied:
            state.hyperparameters.update(proposal.params)
            done = {"state": ProposalState.APPLIED, "applied_at": now}
            kept = proposal.model_copy(update=done).model_dump_json()
            transaction.write("HSET", PROPOSALS, proposal.id, kept)
        state.failed, state.loaded_at = failure is not None, now
        names = [proposal.id for proposal in applied]
        result = "failed" if failure else "ok"
        _write(transaction, agent_id, state)
        transaction.audit(
            caller.event(now, "agents.reload", f"agents/{agent_id}", result, applied=names)
        )
        return state, names

    state, applied = await here.store.transact(write)
    if failure is not None:
        raise wait(503, f"the runs of {agent_id} cannot be read", 5)
    return Reloaded(**_shown(here, agent_id, state).model_dump(), applied=applied)


@router.post("/{agent_id}/promote", responses=responses(404, 409))
async def promote(agent_id: AgentId, body: PromoteBody, here: HereCore, caller: Writer) -> Agent:
    """Make a version the one that is used."""
    _known(await _states(here), agent_id)
    _version(here, agent_id, body.version)

    def choose(state: State) -> int:
        if state.version == body.version:
            raise Problem(409, f"version {body.version} of {agent_id} is promoted already")
        state.undo.append(state.version)
        return body.version

    return await _promoted(here, caller, agent_id, "agents.promote", choose)


@router.post("/{agent_id}/rollback", responses=responses(404, 409))
async def rollback(agent_id: AgentId, here: HereCore, caller: Writer) -> Agent:
    """Back to the version before the last promotion."""
    _known(await _states(here), agent_id)

    def choose(state: State) -> int:
        if not state.undo:
            raise Problem(409, f"nothing to roll back: {agent_id} has its first version")
        return state.undo.pop()

    return await _promoted(here, caller, agent_id, "agents.rollback", choose)


async def begin(here: Core) -> None:
    """Make sure that each agent has a state in Redis."""

    async def write(transaction: Transaction) -> None:
        kept = await transaction.hgetall(AGENTS)
        for agent_id in RECORDED.keys() - kept.keys():
            state = here.agents.states.get(agent_id) or _first(here, agent_id)
            _write(transaction, agent_id, state)
            transaction.audit(_registered(here, agent_id))

    await here.store.transact(write)
    await _states(here)


async def _promoted(
    here: Core, caller: Caller, agent_id: str, action: str, choose: Callable[[State], int]
) -> Agent:
    async def write(transaction: Transaction) -> State:
        now = here.now
        state = await _state(transaction, agent_id)
        previous = state.version
        state.version = choose(state)
        promotion = Promotion(
            version=state.version,
            previous=previous,
            by=caller.name,
            at=now,
            rollback=action == "agents.rollback",
        )
        state.promotions.append(promotion)
        _write(transaction, agent_id, state)
        versions: dict[str, Any] = {"version": state.version, "previous": previous}
        transaction.audit(caller.event(now, action, f"agents/{agent_id}", **versions))
        return state

    return _shown(here, agent_id, await here.store.transact(write))


async def _states(here: Core) -> Mapping[str, State]:
    try:
        kept = await here.store.call(lambda redis: redis.hgetall(AGENTS))
        here.agents.states = {
            agent_id: State.model_validate_json(text) for agent_id, text in kept.items()
        }
    except StoreDown:
        if not here.agents.states:
            raise
    return here.agents.states


def _known(states: Mapping[str, State], agent_id: str) -> State:
    if agent_id not in states:
        raise not_found(f"agent {agent_id}; there are {', '.join(sorted(states))}")
    return states[agent_id]


def _version(here: Core, agent_id: str, number: int) -> Version:
    for version in here.agents.recordings[agent_id].versions:
        if version.number == number:
            return version
    raise not_found(f"version {number} of {agent_id}")


async def _state(transaction: Transaction, agent_id: str) -> State:
    kept = await transaction.hget(AGENTS, agent_id)
    if kept is None:
        raise not_found(f"agent {agent_id}")
    return State.model_validate_json(kept)


async def _approved(transaction: Transaction, agent_id: str) -> list[Proposal]:
    kept = await transaction.hgetall(PROPOSALS)
    proposals = [Proposal.model_validate_json(text) for text in kept.values()]
    waiting = [
        proposal
        for proposal in proposals
        if proposal.agent == agent_id and proposal.state is ProposalState.APPROVED
    ]
    return sorted(waiting, key=lambda proposal: proposal.decided_at or 0.0)


def _write(transaction: Transaction, agent_id: str, state: State) -> None:
    transaction.write("HSET", AGENTS, agent_id, state.model_dump_json())


def _first(here: Core, agent_id: str) -> State:
    promotion = Promotion(version=1, previous=None, by=here.service, at=here.now)
    return State(version=1, loaded_at=here.now, promotions=[promotion])


def _registered(here: Core, agent_id: str) -> Event:
    return Event(here.now, here.service, "agents.register", f"agents/{agent_id}", "ok")


def _shown(here: Core, agent_id: str, state: State) -> Agent:
    recording = here.agents.recordings[agent_id]
    promoted = _version(here, agent_id, state.version)
    last = {promotion.version: promotion for promotion in state.promotions}
    return Agent(
        id=agent_id,
        algorithm=recording.algorithm,
        environment=recording.environment,
        state="failed" if state.failed else "ready",
        version=state.version,
        hyperparameters={**promoted.hyperparameters, **state.hyperparameters},
        loaded_at=state.loaded_at,
        reward=Curve(step=promoted.sparkline.step, value=promoted.sparkline.value),
        final_reward=promoted.final_reward,
        versions=[
            VersionShown(
                version=version.number,
                run=version.run,
                points=version.points,
                final_reward=version.final_reward,
                promoted_at=last[version.number].at if version.number in last else None,
                promoted_by=last[version.number].by if version.number in last else None,
            )
            for version in recording.versions
        ],
        promotions=state.promotions,
    )
