"""One run of the embedded engine, from its plan to its last word."""

import asyncio
import os
import queue
import signal
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, BinaryIO

import aiohttp

from tarslab.admin.secret import Secret
from tarslab.chaos.load.engine.frames import Ended, Failed, Measured, Message, Plan, Points, frame
from tarslab.chaos.load.engine.runners import ArrivalRunner, Runner, UserRunner
from tarslab.chaos.load.flows import Function
from tarslab.chaos.load.flows.user import User
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.recording import Recorder
from tarslab.chaos.load.scenarios import Arrivals

# Reports a second, and seconds between two.
REPORTS = 2
REPORT = 1 / REPORTS
# Seconds that a request may take, as k6's.
TIMEOUT = 60
# Seconds that an idle connection is kept: less than the five of uvicorn, so that it is not closed
# while a request is on its way.
KEEP_ALIVE = 4
USERNAME, PASSWORD = "TARSLAB_USERNAME", "TARSLAB_PASSWORD"
CA_BUNDLE = "TARSLAB_CA_BUNDLE"

Functions = Mapping[str, Function]


class Run:
    """The scenarios of a plan, with what they share: users, connections and the recorder."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession, origin: float) -> None:
        self.origin = origin
        """The start, as ``time.monotonic`` has it."""
        self.target = plan.target
        self.shard, self.shards = plan.shard, plan.shards
        self.session = session
        self.recorder = Recorder()
        self.raw = plan.raw
        self.busy = 0
        """Users in an iteration."""
        self._most_busy = 0
        self._gauged = 0
        self._cpu = time.process_time()
        self._test = LoadTest.of(plan.options)
        self._points: list[tuple[Any, ...]] = []
        self._idle: list[User] = []
        self._shared: dict[str, Any] = {}
        self._users = 0
        self._credentials = os.environ.get(USERNAME, ""), Secret(os.environ.get(PASSWORD, ""))
        self._vus = self.recorder.series("vus", "gauge", {})
        self._most_vus = self.recorder.series("vus_max", "gauge", {})
        self._runners: list[Runner[Any]] = []

    async def go(self, flows: Functions, send: Callable[[Message], None]) -> None:
        """All scenarios, to their end or until this is cancelled; reports go to ``send``."""
        for name, scenario in self._test.scenarios.items():
            flow = flows[scenario.exec]
            if isinstance(scenario, Arrivals):
                self._runners.append(ArrivalRunner(self, name, scenario, flow))
            else:
                self._runners.append(UserRunner(self, name, scenario, flow))
        reporting = asyncio.create_task(self._report(send))
        broken = ""
        try:
            async with asyncio.TaskGroup() as group:
                for runner in self._runners:
                    group.create_task(self._started(runner))
        except* Exception as errors:
            broken = f"the engine failed: {errors.exceptions[0]!r}"
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting
            if time.monotonic() > self.origin + self._gauged:
                self._gauge()
            send(self._measured())
            unfinished = sum(runner.unfinished for runner in self._runners)
            send(Failed(broken) if broken else Ended(unfinished))

    def user(self) -> User:
        """One that is free: the last that became so, as its connection is warm."""
        if not self._idle:
            self.prepare(1)
        return self._idle.pop()

    def leave(self, user: User) -> None:
        """Let others have a user."""
        self._idle.append(user)

    def prepare(self, number: int) -> None:
        """Have so many users free."""
        while len(self._idle) < number:
            self._users += 1
            # As k6 numbers them: unique over all shards.
            of = (self._users - 1) * self.shards + self.shard + 1
            self._idle.insert(0, User(of, *self._credentials, self._shared))

    def enter(self) -> None:
        """One more user is in an iteration."""
        self.busy += 1
        self._most_busy = max(self._most_busy, self.busy)

    def point(self, request: tuple[Any, ...]) -> None:
        """Keep a single request until the next report."""
        self._points.append(request)

    async def _started(self, runner: Runner[Any]) -> None:
        begin = self.origin + runner.scenario.start_time
        # The timer of the runner is exact; this only must not be late.
        await asyncio.sleep(max(0, begin - time.monotonic() - 0.05))
        await runner.run()

    async def _report(self, send: Callable[[Message], None]) -> None:
        for number in count(1):
            await asyncio.sleep(max(0, self.origin + number * REPORT - time.monotonic()))
            if number % REPORTS == 0:
                self._gauge()
            send(self._measured())

    def _gauge(self) -> None:
        """Take the users of the second that has just passed, or of the last, which is shorter."""
        # The most of them: at any one moment a fast target keeps nobody.
        self.recorder.add(self._gauged, self._vus, self._most_busy)
        self.recorder.add(self._gauged, self._most_vus, self._users)
        self._gauged += 1
        self._most_busy = self.busy

    def _measured(self) -> Measured:
        columns: list[list[Any]] = [list(column) for column in zip(*self._points, strict=True)]
        self._points = []
        if columns:
            for moments in columns[:3]:
                moments[:] = [moment - self.origin for moment in moments]
        return Measured(
            self.recorder.take(),
            Points(*(columns or [[] for _ in range(8)])),
            time.process_time() - self._cpu,
            time.monotonic() - self.origin,
        )


async def run(plan: Plan, flows: Functions, origin: float, stdin: int, out: BinaryIO) -> None:
    """Run a plan; end early at SIGTERM, or when ``stdin`` ends with the process that writes it."""
    loop = asyncio.get_running_loop()
    work = asyncio.current_task()
    assert work is not None

    def stop() -> None:
        # Once: what comes after is the end, which must not be cut short.
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_reader(stdin)
        work.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    # Nothing more comes but its end.
    loop.add_reader(stdin, stop)
    writer = Writer(out)
    bundle = os.environ.get(CA_BUNDLE)
    trust = ssl.create_default_context(cafile=bundle) if bundle else True
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=trust)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        headers={"User-Agent": "tarslab"},
        skip_auto_headers=["Accept-Encoding"],
        trust_env=False,
    ) as session:
        with suppress(asyncio.CancelledError):
            await Run(plan, session, origin).go(flows, writer.send)
    writer.close()


class Writer:
    """Writes messages from a thread of its own: a reader that is slow must not stop the loop."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._queue: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        """Write it soon."""
        self._queue.put(message)

    def close(self) -> None:
        """Write all."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        # Nobody reads any more.
        with suppress(BrokenPipeError):
            while (message := self._queue.get()) is not None:
                self._out.write(frame(message))
                self._out.flush()
