"""The executors at work: they start iterations when they are due, as k6's do."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

import aiohttp
from yarl import URL

from tarslab.chaos.load.engine.timer import Timer
from tarslab.chaos.load.flows import Function
from tarslab.chaos.load.flows.user import User
from tarslab.chaos.load.scenarios import Arrivals, RampingVUs, Scenario
from tarslab.chaos.load.schedules import arrivals, changes, share
from tarslab.chaos.load.thresholds import Kind

if TYPE_CHECKING:
    from tarslab.chaos.load.engine.run import Run

# Seconds between two looks at how late the event loop of a closed model is.
BEAT = 0.02
MOST_URLS = 10_000

Kept = TypeVar("Kept", bound=Scenario)


class Runner(Generic[Kept]):
    """What all executors have in common: iterations, and what is measured of them."""

    def __init__(self, run: "Run", name: str, scenario: Kept, flow: Function) -> None:
        self.name = name
        self.scenario = scenario
        self.session: aiohttp.ClientSession = run.session
        self.waiting = 0
        """Requests that are not answered yet."""
        self.out_of_time = False
        """Whether iterations are broken off because the grace is over."""
        self.unfinished = 0
        """Iterations that were broken off."""
        self._run = run
        self._flow = flow
        self._recorder = run.recorder
        self._begin = run.origin + scenario.start_time
        self._tasks: set[asyncio.Task[None]] = set()
        self._urls: dict[str, URL] = {}
        self._tags = scenario.tags | {"scenario": name}
        self._of_request: dict[tuple[str, str, int, str], tuple[int, int, int, int]] = {}
        series = run.recorder.series
        self._lateness = series("dispatch_lateness", "trend", self._tags)
        self._duration = series("iteration_duration", "trend", self._tags)
        self._iterations = series("iterations", "counter", self._tags)
        self._sent = series("data_sent", "counter", self._tags)
        self._received = series("data_received", "counter", self._tags)

    async def run(self) -> None:
        """All of the scenario, until its last iteration is done or broken off."""
        try:
            await self._drive()
            await self._end()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drive(self) -> None:
        raise NotImplementedError

    async def _end(self) -> None:
        """Let iterations finish, until the grace is over."""
        left = self._begin + self.scenario.length + self.scenario.graceful_stop - monotonic()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(left, 0))
        self.out_of_time = True

    async def _iterate(self, user: User, number: int, due: float) -> None:
        user.begin(self, number, due)
        self._run.enter()
        finished = False
        try:
            await self._flow(user)
            finished = True
        except asyncio.CancelledError:
            self.unfinished += 1
            raise
        except Exception as error:
            finished = True
            self._failed(error, due)
        finally:
            self._run.busy -= 1
            if finished:
                second = self._second(due)
                self._recorder.time(second, self._duration, int((monotonic() - due) * 1e6))
                self._recorder.add(second, self._iterations, 1)

    def _spawn(self, work: Awaitable[None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _second(self, moment: float) -> int:
        return max(0, int(moment - self._run.origin))

    def url(self, path: str) -> URL:
        """Of a path of the target; no path leads elsewhere."""
        known = self._urls.get(path)
        if known is None:
            if not path.startswith("/") or path.startswith("//"):
                raise ValueError(
                    f"a path from the root of the target, such as /agents, not {path!r}"
                )
            known = URL(self._run.target + path, encoded=True)
            if len(self._urls) < MOST_URLS:
                self._urls[path] = known
        return known

    def measured(
        self, name: str, method: str, status: int, error: str, due: float, sent: float, done: float
    ) -> None:
        """Take a request."""
        recorder = self._recorder
        key = (recorder.name(name), method, status, error)
        series = self._of_request.get(key) or self._request_series(key)
        second = self._second(due)
        recorder.time(second, series[0], int((done - due) * 1e6))
        recorder.time(second, series[1], int((done - sent) * 1e6))
        recorder.add(second, series[2], 1)
        recorder.add(second, series[3], 1 if error else 0)
        if self._run.raw:
            self._run.point((due, sent, done, self.name, *key))

    def unanswered(self, name: str, method: str, due: float) -> None:
        """Take a request that is broken off: it would have taken longer than until now."""
        tags = {"name": self._recorder.name(name), "method": method, "unanswered": "true"}
        series = self._recorder.series("http_req_duration", "trend", self._tags | tags)
        self._recorder.time(self._second(due), series, int((monotonic() - due) * 1e6))

    def transferred(self, due: float, sent: int, received: int) -> None:
        """Take the bytes of a request and its answer."""
        second = self._second(due)
        self._recorder.add(second, self._sent, sent)
        self._recorder.add(second, self._received, received)

    def checked(self, name: str, condition: bool) -> None:
        """Take a check."""
        self._own("checks", "rate", float(condition), {"check": name})

    def counted(self, metric: str, amount: float) -> None:
        """Take a count of the flow's own."""
        self._own(metric, "counter", amount, {})

    def timed(self, metric: str, milliseconds: float) -> None:
        """Take a time of the flow's own."""
        number = self._recorder.series(metric, "trend", self._tags)
        self._recorder.time(self._second(monotonic()), number, int(milliseconds * 1e3))

    def _own(self, metric: str, kind: Kind, value: float, tags: dict[str, str]) -> None:
        number = self._recorder.series(metric, kind, self._tags | tags)
        self._recorder.add(self._second(monotonic()), number, value)

    def _failed(self, error: Exception, due: float) -> None:
        """Take an exception of the flow: its kind and place, as its text may hold anything."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = f"{type(error).__name__} in line {trace.tb_lineno}" if trace else type(error).__name__
        number = self._recorder.series("flow_errors", "counter", self._tags | {"error": at})
        self._recorder.add(self._second(due), number, 1)

    def _request_series(self, key: tuple[str, str, int, str]) -> tuple[int, int, int, int]:
        name, method, status, error = key
        tags = self._tags | {
            "name": name,
            "method": method,
            "status": str(status),
            "expected_response": "false" if error else "true",
        }
        if error:
            tags["error"] = error
        of = self._recorder.series
        numbers = (
            of("http_req_duration", "trend", tags),
            of("http_req_service_duration", "trend", tags),
            of("http_reqs", "counter", tags),
            of("http_req_failed", "rate", tags),
        )
        self._of_request[key] = numbers
        return numbers


class ArrivalRunner(Runner[Arrivals]):
    """Open model: iterations start when they are due, whatever became of earlier ones.

    An arrival for which no user is free is dropped, as in k6. Its user would have waited at least
    until one was free: that is in http_req_duration and iteration_duration with the tag
    ``dropped``, so that the percentiles know of it.
    """

    def __init__(self, run: "Run", name: str, scenario: Arrivals, flow: Function) -> None:
        super().__init__(run, name, scenario, flow)
        self._most = share(scenario.most_vus, run.shard, run.shards)
        self._taken = 0
        self._number = run.shard
        self._schedule = islice(arrivals(scenario.path), run.shard, None, run.shards)
        self._over = asyncio.Event()
        self._pending: deque[float] = deque()
        of = self._recorder.series
        self._dropped = {
            cause: of("dropped_iterations", "counter", self._tags | {"cause": cause})
            for cause in ("target", "generator")
        }
        waited = self._tags | {"dropped": "true"}
        self._waited = (
            of("http_req_duration", "trend", waited),
            of("iteration_duration", "trend", waited),
        )

    async def run(self) -> None:
        """As all; those that were dropped, and for whom no user was free, have waited until now."""
        try:
            await super().run()
        finally:
            self._freed()

    async def _drive(self) -> None:
        run, scenario = self._run, self.scenario
        run.prepare(share(scenario.pre_allocated_vus, run.shard, run.shards))
        self._timer = Timer(asyncio.get_running_loop(), self._arrive)
        try:
            self._next()
            await self._over.wait()
            await asyncio.sleep(max(0, self._begin + scenario.length - monotonic()))
        finally:
            self._timer.close()

    def _next(self) -> None:
        """Wait for the next arrival of this shard."""
        at = next(self._schedule, None)
        if at is None:
            self._over.set()
        else:
            self._due = self._begin + at
            self._timer.at(self._due)

    def _arrive(self) -> None:
        now = monotonic()
        while not self._over.is_set() and self._due <= now:
            if self._taken < self._most:
                self._taken += 1
                self._spawn(self._visit(self._run.user(), self._number, self._due))
                # As in k6, what is dropped has no number.
                self._number += self._run.shards
            else:
                self._drop(self._due, now)
            self._next()

    async def _visit(self, user: User, number: int, due: float) -> None:
        late = int((monotonic() - due) * 1e6)
        self._recorder.time(self._second(due), self._lateness, late)
        await self._iterate(user, number, due)
        self._run.leave(user)
        self._taken -= 1
        if self._pending:
            self._freed()

    def _drop(self, due: float, now: float) -> None:
        second = self._second(due)
        self._recorder.time(second, self._lateness, int((now - due) * 1e6))
        # With most users waiting for answers it is the target that keeps them.
        cause = "target" if self.waiting * 2 > self._most else "generator"
        self._recorder.add(second, self._dropped[cause], 1)
        self._pending.append(due)

    def _freed(self) -> None:
        now = monotonic()
        while self._pending:
            due = self._pending.popleft()
            for series in self._waited:
                self._recorder.time(self._second(due), series, int((now - due) * 1e6))


class UserRunner(Runner[Scenario]):
    """Closed model: so many users, each of whom begins anew when it is done."""

    async def _drive(self) -> None:
        loop = asyncio.get_running_loop()
        scenario = self.scenario
        self._until = self._begin + scenario.length
        self._wanted: dict[int, asyncio.Task[None]] = {}
        self._number = self._run.shard
        self._beat = self._begin
        grace = scenario.graceful_ramp_down if isinstance(scenario, RampingVUs) else 0.0
        beat = Timer(loop, lambda: self._look(beat))
        beat.at(self._begin)
        try:
            for at, user, comes in changes(scenario.path):
                if user % self._run.shards != self._run.shard:
                    continue
                await asyncio.sleep(max(0, self._begin + at - monotonic()))
                if comes:
                    self._wanted[user] = self._spawn(self._live(user))
                elif user in self._wanted:
                    loop.call_later(grace, self._wanted.pop(user).cancel)
            await asyncio.sleep(max(0, self._until - monotonic()))
        finally:
            beat.close()

    async def _live(self, of: int) -> None:
        user, me = self._run.user(), asyncio.current_task()
        while self._wanted.get(of) is me and monotonic() < self._until:
            number, self._number = self._number, self._number + self._run.shards
            await self._iterate(user, number, monotonic())
            # A flow that waits for nothing must not stop all others.
            await asyncio.sleep(0)
        self._run.leave(user)

    def _look(self, beat: Timer) -> None:
        """How late the event loop is, when no arrival shows it."""
        now = monotonic()
        # Those that were missed were late, too.
        while self._beat <= now:
            late = int((now - self._beat) * 1e6)
            self._recorder.time(self._second(self._beat), self._lateness, late)
            self._beat += BEAT
        beat.at(self._beat)
