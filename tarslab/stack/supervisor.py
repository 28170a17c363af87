"""The supervising process of a stack: it starts the others, starts them again, and ends them all.

It is given a plan as the first line of its standard input, and from then on it is asked through a
socket. None of its processes outlives it:

- told to end (SIGTERM), or where the input ends because whoever held it is gone, it ends them:
  SIGTERM to each group, SIGKILL after five seconds;
- killed itself, on Linux the kernel kills them (PR_SET_PDEATHSIG). The services end wherever their
  own standard input does, which this process holds, so also on macOS; the embedded server goes on
  there until ``Stack.down``, or the next ``up`` in the same folder, ends what stack.json names.
"""

import asyncio
import ctypes
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tarslab.stack.places import GRACE, Place, ProcessStatus, State, signal_group

HOST = "127.0.0.1"
FD = "TARSLAB_STACK_FD"

# Seconds before a process that died is started again: doubled each time up to the last, and the
# first again once it was healthy for so long.
FIRST_DELAY, LAST_DELAY, HEALTHY = 0.1, 5.0, 10.0
# A process that was never ready is given up when it died so often.
DEATHS = 5
# Seconds between two looks at a process that starts, and seconds that an answer may take.
LOOK, ANSWER = 0.05, 2.0
# Seconds between two looks at whether the parent is there: its forks may hold the input open.
PARENT_LOOK = 1.0
# Connections that wait while a service starts.
BACKLOG = 512

PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """A process to keep running, which answers on a port of loopback when it is ready."""

    name: str
    argv: list[str]
    url: str
    port: int
    ask: str = field(repr=False)
    """What is sent to the port to learn whether it is ready,"""
    answer: str
    """and what the answer holds if it is."""
    env: dict[str, str] = field(default_factory=dict, repr=False)
    """Added to the environment of the supervising process."""
    listens: bool = True
    """Whether it is given a socket that listens at the port, as TARSLAB_STACK_FD; else it binds the
    port itself."""


@dataclass(frozen=True)
class Plan:
    """What to supervise."""

    folder: str
    control: str
    stages: list[list[Program]]
    """Each is started once all of the one before are ready, and ended before it."""
    parent: int | None = None
    """The process without which the stack ends, too; its pipe is the standard input."""
    temporary: bool = False
    """Whether the folder goes with the stack."""

    def dumps(self) -> str:
        """As one line."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def loads(cls, line: str | bytes) -> "Plan":
        """From its line."""
        values = json.loads(line)
        stages = [[Program(**one) for one in stage] for stage in values.pop("stages")]
        return cls(stages=stages, **values)


def main() -> None:
    """Read the plan from standard input, and supervise until told to end."""
    line = sys.stdin.buffer.readline()
    if line:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        asyncio.run(Supervisor(Plan.loads(line)).run())


class Supervisor:
    """Keeps the processes of a plan running, in one thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._place = Place(Path(plan.folder))
        self._control = Path(plan.control)
        self._stages = [
            [Supervised(program, self._place, self._save) for program in stage]
            for stage in plan.stages
        ]
        self._processes = {p.name: p for stage in self._stages for p in stage}
        self._me = {"pid": os.getpid(), "created": psutil.Process().create_time()}

    async def run(self) -> None:
        """Start everything, and end everything once told to."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, over.set)
        loop.add_signal_handler(signal.SIGCHLD, self._somebody_died)
        tasks = [asyncio.create_task(self._start())]
        if self._plan.parent is not None:
            tasks.append(asyncio.create_task(_gone(self._plan.parent, over)))
        self._control.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._asked, self._control)
        self._save()
        log.info("supervising %s", ", ".join(self._processes))
        await over.wait()
        log.info("ending")
        server.close()
        for task in tasks:
            task.cancel()
        for stage in reversed(self._stages):
            await asyncio.gather(*(process.stop() for process in stage))
        self._place.forget(self._control)
        if self._plan.temporary:
            self._place.vanish()

    async def _start(self) -> None:
        for stage in self._stages:
            for process in stage:
                process.start()
            for process in stage:
                await process.settled.wait()

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            await self._do(**request)
            statuses = [asdict(process.status()) for process in self._processes.values()]
            writer.write(json.dumps(statuses).encode() + b"\n")
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _do(self, action: str, name: str = "", grace: float = GRACE) -> None:
        if action == "status":
            asked = [self._processes[name]] if name else self._processes.values()
            await asyncio.gather(*(process.look() for process in asked))
            return
        process = self._processes[name]
        if action in ("stop", "restart"):
            await process.stop(grace)
        if action in ("start", "restart"):
            process.start()
        if action == "kill":
            await process.kill()

    def _somebody_died(self) -> None:
        for process in self._processes.values():
            process.reap()

    def _save(self) -> None:
        processes = [process.record() for process in self._processes.values()]
        state = {
            "supervisor": self._me,
            "control": str(self._control),
            "processes": processes,
        }
        try:
            self._place.keep("stack.json", json.dumps(state, indent=1))
        # A full disk is no reason to end what runs.
        except OSError as error:
            log.error("stack.json could not be written: %s", error.strerror)


class Supervised:
    """One process, and what is known of it."""

    def __init__(self, program: Program, place: Place, changed: Callable[[], None]) -> None:
        self.name = program.name
        self.settled = asyncio.Event()
        """Set once it was ready, or is given up or held down."""
        self._program = program
        self._place = place
        self._changed = changed
        self._state: State = "starting"
        self._since = time.time()
        self._restarts = 0
        self._created: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._died = asyncio.Event()
        self._ready_at: float | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._stopping = asyncio.Lock()

    def start(self) -> None:
        """Keep it running from now on."""
        if self._keeping is None or self._keeping.done():
            self._enter("starting")
            self._keeping = asyncio.create_task(self._keep())

    async def stop(self, grace: float = GRACE) -> None:
        """End it, and hold it down: SIGTERM, and ``grace`` seconds later SIGKILL."""
        async with self._stopping:
            if self._keeping is not None:
                self._keeping.cancel()
                await asyncio.wait([self._keeping])
            if self._process is not None:
                if grace > 0:
                    self._signal(signal.SIGTERM)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(grace):
                            await self._died.wait()
                self._signal(signal.SIGKILL)
                await self._died.wait()
                self._forget_process()
            self._enter("stopped")
            self.settled.set()

    async def kill(self) -> None:
        """Kill it as a fault would; it is started again."""
        killed = self._process
        self._signal(signal.SIGKILL)
        while killed is not None and self._process is killed:
            await self._died.wait()
            await asyncio.sleep(0)

    async def look(self) -> None:
        """See whether a process that was ready is so now."""
        if self._state in ("ready", "unready"):
            seen = self._process
            state: State = "ready" if await self._answers() else "unready"
            if self._process is seen and self._state not in ("stopped", state):
                self._enter(state)

    def reap(self) -> None:
        """Take note of its death, if it died."""
        if self._process is not None and self._process.poll() is not None:
            self._died.set()

    def status(self) -> ProcessStatus:
        """What is known of it."""
        pid = None if self._process is None else self._process.pid
        return ProcessStatus(
            self.name, pid, self._state, self._restarts, self._since, self._program.url
        )

    def record(self) -> dict[str, Any]:
        """The same for stack.json, with what tells the process from a later one of its number."""
        return {**asdict(self.status()), "created": self._created}

    async def _keep(self) -> None:
        delay, deaths, was_ready = FIRST_DELAY, 0, False
        while True:
            healthy = await self._live()
            deaths += 1
            was_ready = was_ready or healthy is not None
            if deaths == DEATHS and not was_ready:
                break
            if healthy is not None and healthy >= HEALTHY:
                delay = FIRST_DELAY
            self._enter("backoff")
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_DELAY)
            self._restarts += 1
        log.error("%s: given up", self.name)
        self._enter("failed")
        self.settled.set()

    async def _live(self) -> float | None:
        """Start it and wait for its end; the seconds since it was ready, None if it never was."""
        try:
            self._spawn()
        except (OSError, subprocess.SubprocessError) as error:
            log.error("%s: could not be started: %s", self.name, error)
            return None
        getting_ready = asyncio.create_task(self._until_ready())
        try:
            await self._died.wait()
        finally:
            getting_ready.cancel()
        assert self._process is not None
        code = self._process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        log.warning("%s: process %d died (%s)", self.name, self._process.pid, how)
        self._signal(signal.SIGKILL)
        self._forget_process()
        return None if self._ready_at is None else time.monotonic() - self._ready_at

    def _spawn(self) -> None:
        program = self._program
        self._died.clear()
        self._ready_at = None
        with ExitStack() as held:
            output = held.enter_context(self._place.log(self.name).open("ab"))
            environment, passed = {**os.environ, **program.env}, []
            if program.listens:
                listener = socket.create_server((HOST, program.port), backlog=BACKLOG)
                passed = [held.enter_context(listener).fileno()]
                environment[FD] = str(passed[0])
            self._process = subprocess.Popen(
                program.argv,
                # Held open for as long as this process lives.
                stdin=subprocess.PIPE if program.listens else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=passed,
                start_new_session=True,
                preexec_fn=_die_with_parent(os.getpid()),
            )
        with suppress(psutil.Error):
            self._created = psutil.Process(self._process.pid).create_time()
        log.info("%s: process %d started", self.name, self._process.pid)
        self._enter("starting")

    async def _until_ready(self) -> None:
        while not await self._answers():
            await asyncio.sleep(LOOK)
        self._ready_at = time.monotonic()
        log.info("%s: ready", self.name)
        self._enter("ready")
        self.settled.set()

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER):
                reader, writer = await asyncio.open_connection(HOST, self._program.port)
                try:
                    writer.write(self._program.ask.encode())
                    return self._program.answer.encode() in await reader.read()
                finally:
                    writer.close()
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            signal_group(self._process.pid, number)

    def _forget_process(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = self._created = None

    def _enter(self, state: State) -> None:
        self._state, self._since = state, time.time()
        self._changed()


async def _gone(parent: int, over: asyncio.Event) -> None:
    """Say that it is over when the standard input ends, or the parent is another."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            over.set()

    loop.add_reader(0, heard)
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_LOOK)
    over.set()


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask_the_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # It may have died before.
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel


if __name__ == "__main__":
    main()
