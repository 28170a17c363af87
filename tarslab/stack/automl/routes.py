"""Studies over HTTP: read, searched, stopped."""

import asyncio
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, Field

from tarslab.stack.automl.core import Automl, HereAutoml
from tarslab.stack.automl.objectives import OBJECTIVES
from tarslab.stack.automl.searches import MOST, SEARCHES, Search, SearchState
from tarslab.stack.automl.studies import ON_REDIS, Kept
from tarslab.stack.security.scopes import Scope
from tarslab.stack.store import StoreDown, Transaction
from tarslab.stack.web.access import allowed
from tarslab.stack.web.bodies import Body, IdempotencyKey, once
from tarslab.stack.web.context import Caller
from tarslab.stack.web.paging import Cursor, Limit, Page, page
from tarslab.stack.web.problems import Problem, invalid, not_found, responses, wait
from tarslab.studies.storages import Recorded

router = APIRouter(tags=["studies"])

LONGEST_SECONDS = 7 * 86_400
Reader = Annotated[Caller, allowed(Scope.STUDIES_READ)]
Writer = Annotated[Caller, allowed(Scope.STUDIES_WRITE)]
Name = Annotated[str, Path(min_length=1, max_length=200)]
"""May hold slashes: so routes with more after it come before those with less."""
States = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"]


class Parameter(BaseModel):
    """The range of a hyperparameter."""

    type: Literal["int", "float"]
    low: int | float
    high: int | float
    log: bool


class ObjectiveShown(BaseModel):
    """What can be searched."""

    name: str
    description: str
    directions: list[str]
    metrics: list[str]
    params: dict[str, Parameter]


class Objectives(BaseModel):
    """All that can be searched."""

    items: list[ObjectiveShown]


class Aim(BaseModel):
    """An objective of a study."""

    name: str
    direction: Literal["minimize", "maximize"]


class Best(BaseModel):
    """The best trial of a study with one objective."""

    number: int
    values: list[float | None]
    params: dict[str, Any]


class StudyShown(BaseModel):
    """A study, without its trials."""

    name: str
    objectives: list[Aim]
    trials: int
    """All, in whatever state."""
    finished: int
    """Those that came to their end: complete or pruned."""
    failed: int
    state: Literal["recorded", "running", "finished", "stopped", "failed"]
    source: str
    best: Best | None
    started_by: str | None


class Trial(BaseModel):
    """One trial; times in Unix seconds, and null for what is not a finite number."""

    number: int
    state: States
    values: list[float | None] | None
    params: dict[str, Any]
    duration: float | None
    started_at: float | None
    finished_at: float | None


class BestTrials(BaseModel):
    """The best trial, with those that equal it; of several objectives the Pareto frontier."""

    trials: list[Trial]


class NewStudy(Body):
    """A search to be."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
    objective: Annotated[str, Field(max_length=80, json_schema_extra={"enum": list(OBJECTIVES)})]
    """One of ``GET /objectives``."""
    n_trials: Annotated[int, Field(ge=1, le=1000)]
    """In all, with those that the study has."""
    sampler: Literal["tpe", "random", "nsgaii", "qmc"] = "tpe"
    seed: Annotated[int | None, Field(ge=0, lt=2**31)] = None
    """The same one gives the same search; by default one is drawn."""
    timeout: Annotated[float | None, Field(gt=0, le=LONGEST_SECONDS)] = None
    """Seconds after which no new trial begins."""


@router.get("/objectives")
async def objectives(caller: Reader) -> Objectives:
    """What can be searched."""
    return Objectives(
        items=[
            ObjectiveShown(
                name=name,
                description=found.description,
                directions=list(found.directions),
                metrics=list(found.metrics),
                params={
                    parameter: Parameter(
                        type="int" if isinstance(kind, IntDistribution) else "float",
                        low=kind.low,
                        high=kind.high,
                        log=kind.log,
                    )
                    for parameter, kind in found.space.items()
                },
            )
            for name, found in OBJECTIVES.items()
        ]
    )


@router.get("/studies")
async def studies(
    here: HereAutoml, caller: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Page[StudyShown]:
    """All studies, by name; those that are kept on Redis are left out while it is out."""
    try:
        searches, own = await _searches(here), await _own(here)
    except StoreDown:
        searches, own = {}, {}
    recorded = await asyncio.to_thread(here.studies.recorded)
    found = {name: (own.get(name), searches.get(name)) for name in {*searches, *own}}
    found |= {name: (kept, None) for name, kept in recorded.items()}
    some = page([(name, (name, *those)) for name, those in found.items()], limit, cursor)
    items = await asyncio.to_thread(lambda: [_shown(*those) for those in some.items])
    return Page(items=items, next_cursor=some.next_cursor)


@router.post("/studies", status_code=202, responses=responses(409))
async def start(
    body: NewStudy, here: HereAutoml, caller: Writer, idempotency_key: IdempotencyKey = None
) -> StudyShown:
    """Start a search, or go on with one that was stopped, failed, or had fewer trials.

    It goes on when the service, or Redis, was away.
    """
    if body.objective not in OBJECTIVES:
        there = ", ".join(OBJECTIVES)
        raise invalid("objective", f"no objective {body.objective}; there are {there}")
    recorded = await asyncio.to_thread(here.studies.recorded)
    own = await _own(here)

    async def write(transaction: Transaction) -> StudyShown:
        now = here.now
        searches = _parsed(await transaction.hgetall(SEARCHES))
        before = searches.get(body.name)
        if body.name in recorded or (before is None and body.name in own):
            raise Problem(409, f"there is a study {body.name}, which no search here made")
        if before is not None:
            _can_go_on(before, body)
        if sum(one.state is SearchState.RUNNING for one in searches.values()) >= MOST:
            raise wait(409, f"{MOST} searches run already: stop one, or wait", 10)
        search = Search(
            **body.model_dump(),
            state=SearchState.RUNNING,
            started_by=caller.name,
            started_at=now,
        )
        transaction.write("HSET", SEARCHES, body.name, search.model_dump_json())
        transaction.audit(
            caller.event(
                now,
                "studies.start",
                f"studies/{body.name}",
                objective=body.objective,
                n_trials=body.n_trials,
                sampler=body.sampler,
                seed=body.seed,
            )
        )
        return _shown(body.name, own.get(body.name), search)

    started = await once(here, caller, idempotency_key, body, StudyShown, write)
    here.searches.look()
    return started


@router.get("/studies/{name:path}/trials", responses=responses(404))
async def trials(
    name: Name,
    here: HereAutoml,
    caller: Reader,
    state: Annotated[States | None, Query(description="Those in one state alone.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Trial]:
    """Its trials, by number."""
    kept, _ = await _found(here, name)
    chosen = [
        (f"{trial.number:09d}", trial)
        for trial in (kept.trials if kept is not None else [])
        if state is None or trial.state.name == state
    ]
    some = page(chosen, limit, cursor)
    return Page(items=[_trial(trial) for trial in some.items], next_cursor=some.next_cursor)


@router.get("/studies/{name:path}/trials/{number}", responses=responses(404))
async def trial(
    name: Name, number: Annotated[int, Path(ge=0)], here: HereAutoml, caller: Reader
) -> Trial:
    """One trial."""
    kept, _ = await _found(here, name)
    for trial in kept.trials if kept is not None else []:
        if trial.number == number:
            return _trial(trial)
    raise not_found(f"trial {number} of study {name}")


@router.get("/studies/{name:path}/best", responses=responses(404))
async def best(name: Name, here: HereAutoml, caller: Reader) -> BestTrials:
    """The best trials: none where none is complete."""
    kept, _ = await _found(here, name)
    if kept is None:
        return BestTrials(trials=[])
    front = await asyncio.to_thread(lambda: kept.front)
    return BestTrials(trials=[_trial(trial) for trial in front])


@router.get("/studies/{name:path}", responses=responses(404))
async def study(name: Name, here: HereAutoml, caller: Reader) -> StudyShown:
    """One study."""
    kept, search = await _found(here, name)
    return await asyncio.to_thread(_shown, name, kept, search)


@router.post("/studies/{name:path}/stop", status_code=202, responses=responses(404, 409))
async def stop(name: Name, here: HereAutoml, caller: Writer) -> StudyShown:
    """Stop a search; its finished trials stay."""
    kept, search = await _found(here, name)
    if search is None:
        raise Problem(409, f"study {name} is recorded: no search runs here")

    async def write(transaction: Transaction) -> Search:
        text = await transaction.hget(SEARCHES, name)
        if text is None:
            raise not_found(f"study {name}")
        running = Search.model_validate_json(text)
        if running.state is not SearchState.RUNNING:
            raise Problem(409, f"the search {name} does not run: it is {running.state}")
        now = here.now
        done = {"state": SearchState.STOPPED, "ended_at": now}
        stopped = running.model_copy(update=done)
        transaction.write("HSET", SEARCHES, name, stopped.model_dump_json())
        transaction.audit(caller.event(now, "studies.stop", f"studies/{name}"))
        return stopped

    stopped = await here.store.transact(write)
    here.searches.look()
    return await asyncio.to_thread(_shown, name, kept, stopped)


async def _found(here: Automl, name: str) -> tuple[Kept | None, Search | None]:
    """A study and its search; the study is None until the search has made it."""
    recorded = await asyncio.to_thread(here.studies.recorded)
    if name in recorded:
        return recorded[name], None
    text = await here.store.call(lambda redis: redis.hget(SEARCHES, name))
    search = Search.model_validate_json(text) if text is not None else None
    kept = (await _own(here)).get(name)
    if kept is None and search is None:
        raise not_found(f"study {name}")
    return kept, search


async def _own(here: Automl) -> Mapping[str, Kept]:
    if not here.store.up:
        raise StoreDown
    return await asyncio.to_thread(here.studies.own)


async def _searches(here: Automl) -> dict[str, Search]:
    return _parsed(await here.store.call(lambda redis: redis.hgetall(SEARCHES)))


def _parsed(kept: Mapping[str, str]) -> dict[str, Search]:
    return {name: Search.model_validate_json(text) for name, text in kept.items()}


def _can_go_on(before: Search, body: NewStudy) -> None:
    if before.state is SearchState.RUNNING:
        raise Problem(409, f"the search {body.name} runs already")
    if before.objective != body.objective:
        raise Problem(409, f"the study {body.name} is of the objective {before.objective}")


def _shown(name: str, kept: Kept | None, search: Search | None) -> StudyShown:
    if kept is None:
        assert search is not None
        kept = _empty(search)
    finished = {TrialState.COMPLETE, TrialState.PRUNED}
    best = None
    if len(kept.objectives) == 1 and kept.front:
        found = _trial(kept.front[0])
        best = Best(number=found.number, values=found.values or [], params=found.params)
    return StudyShown(
        name=name,
        objectives=[
            Aim.model_validate({"name": metric, "direction": direction})
            for metric, direction in kept.objectives
        ],
        trials=len(kept.trials),
        finished=sum(trial.state in finished for trial in kept.trials),
        failed=sum(trial.state is TrialState.FAIL for trial in kept.trials),
        state="recorded" if search is None else search.state.value,
        source=kept.source,
        best=best,
        started_by=None if search is None else search.started_by,
    )


def _empty(search: Search) -> Kept:
    objective = OBJECTIVES[search.objective]
    recorded = Recorded(search.name, objective.directions, objective.metrics, {}, [])
    return Kept(recorded, ON_REDIS)


def _trial(trial: FrozenTrial) -> Trial:
    # Optuna's times are local, without saying so.
    start, end = trial.datetime_start, trial.datetime_complete
    return Trial.model_validate(
        {
            "number": trial.number,
            "state": trial.state.name,
            "values": None if trial.values is None else list(map(_finite, trial.values)),
            "params": {name: _finite(value) for name, value in trial.params.items()},
            "duration": (end - start).total_seconds() if start and end else None,
            "started_at": start.timestamp() if start else None,
            "finished_at": end.timestamp() if end else None,
        }
    )


def _finite(value: Any) -> Any:
    """The value as JSON knows it, which has no infinity and no NaN."""
    return None if isinstance(value, float) and not isfinite(value) else value
