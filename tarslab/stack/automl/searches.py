"""Searches that run for the service, each in a process of its own.

What shall run stands in Redis; ``keep`` has the processes follow it. So a search that was started
goes on after the service, or its process, or Redis was away, and one that was stopped ends.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from pydantic import BaseModel

from tarslab.stack.audit.chain import Event
from tarslab.stack.automl.worker import GO_ON, GRACE, REDIS_URL
from tarslab.stack.settings import PREFIX
from tarslab.stack.store import Store, StoreDown, Transaction, without_text

log = logging.getLogger(__name__)

SEARCHES = "searches"
ACTOR = "automl"
MODULE = "tarslab.stack.automl.worker"
MOST = 8
"""Searches that run at once."""
LOOK_SECONDS = 1.0
AGAIN = frozenset({GO_ON, -signal.SIGTERM, -signal.SIGINT})
"""Exit codes of a search that did not come to its end, and is gone on with."""


class SearchState(StrEnum):
    """What became of a search."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class Search(BaseModel):
    """A search as it is kept in Redis."""

    name: str
    objective: str
    n_trials: int
    sampler: str
    seed: int | None
    timeout: float | None
    """Seconds from the start, after which no new trial begins."""
    state: SearchState
    started_by: str
    started_at: float
    ended_at: float | None = None


class Searches:
    """The processes of the searches that run."""

    def __init__(self, store: Store, redis_url: str, now: Callable[[], float]) -> None:
        self._store = store
        self._redis_url = redis_url
        self._now = now
        self._workers: dict[str, _Worker] = {}
        self._changed = asyncio.Event()

    def look(self) -> None:
        """Look at once at what shall run."""
        self._changed.set()

    async def keep(self) -> None:
        """Have the searches run that shall, as long as the service does."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._follow()
                except StoreDown:
                    pass
                except Exception as error:
                    log.error("searches are not looked after, for now: %s", without_text(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)
        finally:
            workers = list(self._workers.values())
            await asyncio.gather(*(worker.end() for worker in workers))

    async def _follow(self) -> None:
        kept = await self._store.call(lambda redis: redis.hgetall(SEARCHES))
        searches = [Search.model_validate_json(text) for text in kept.values()]
        due = {search.name: search for search in searches if search.state is SearchState.RUNNING}
        for name, worker in list(self._workers.items()):
            code = worker.code
            if code is not None:
                if code not in AGAIN:
                    await self._note_end(worker.search, code)
                # Gone on with at the next look: there is none where all of the service is ended.
                if due.get(name) == worker.search:
                    del due[name]
                del self._workers[name]
            elif name not in due or due[name].started_at != worker.search.started_at:
                worker.stop()
        for name, search in due.items():
            if name not in self._workers:
                self._workers[name] = await self._started(search)

    async def _started(self, search: Search) -> "_Worker":
        left = None
        if search.timeout is not None:
            left = max(0.0, search.started_at + search.timeout - self._now())
        order = search.model_dump(include={"name", "objective", "n_trials", "sampler", "seed"})
        line = json.dumps({**order, "timeout": left}).encode() + b"\n"
        others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            MODULE,
            stdin=asyncio.subprocess.PIPE,
            env={**others, REDIS_URL: self._redis_url},
        )
        log.info("search %s: process %d", search.name, process.pid)
        worker = _Worker(search, process)
        worker.tell(line)
        worker.watch(self.look)
        return worker

    async def _note_end(self, search: Search, code: int) -> None:
        """Write down how a search ended, unless somebody stopped it or started it anew."""
        done = code == 0
        log.info("search %s ended with code %d", search.name, code)

        async def write(transaction: Transaction) -> None:
            kept = await transaction.hget(SEARCHES, search.name)
            now = Search.model_validate_json(kept) if kept is not None else None
            if now is None or now != search:
                return
            state = SearchState.FINISHED if done else SearchState.FAILED
            ended = now.model_copy(update={"state": state, "ended_at": self._now()})
            transaction.write("HSET", SEARCHES, search.name, ended.model_dump_json())
            target, result = f"studies/{search.name}", "ok" if done else "failed"
            detail = {} if done else {"exit_code": code}
            transaction.audit(
                Event(self._now(), ACTOR, "studies.end", target, result, detail=detail)
            )

        await self._store.transact(write)


class _Worker:
    """The process of one search."""

    def __init__(self, search: Search, process: asyncio.subprocess.Process) -> None:
        self.search = search
        self._process = process
        self._stopping = False
        self._watching: asyncio.Task[None] | None = None

    @property
    def code(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.returncode

    def tell(self, line: bytes) -> None:
        """Give it its search."""
        assert self._process.stdin is not None
        self._process.stdin.write(line)

    def watch(self, ended: Callable[[], None]) -> None:
        """Have it said when the process ends."""

        async def wait() -> None:
            await self._process.wait()
            ended()

        self._watching = asyncio.create_task(wait())

    def stop(self) -> None:
        """Interrupt the search; its process is killed where it takes too long."""
        if not self._stopping:
            self._stopping = True
            self._signal(signal.SIGTERM)
            asyncio.get_running_loop().call_later(GRACE, self._signal, signal.SIGKILL)

    async def end(self) -> None:
        """Stop, and wait until it has."""
        self.stop()
        await self._process.wait()
        if self._watching is not None:
            await self._watching

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
