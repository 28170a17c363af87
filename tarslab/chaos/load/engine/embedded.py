"""Starts the engine's processes, and hands on what they report."""

import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from math import ceil
from typing import IO

import cloudpickle

from tarslab.chaos.load.engine.frames import (
    Ended,
    Failed,
    Measured,
    Message,
    Plan,
    Ready,
    Start,
    frame,
    receive,
)
from tarslab.chaos.load.errors import LoadFailed
from tarslab.chaos.load.flows import Flow
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.scenarios import Arrivals
from tarslab.chaos.load.targets import Target
from tarslab.cores import cores

SHARD_RATE = 2000
"""Arrivals a second that one process takes."""
READY = 60.0
"""Seconds that the processes may take to start."""
LEAD = 0.2
"""Seconds from when all are ready to the start."""
STOP = 10.0
"""Seconds that a process may take to stop."""
TAIL = 15


class Embedded:
    """The engine of tarslab: one process, or several beyond 2,000 arrivals a second."""

    name = "embedded"

    def __init__(
        self, test: LoadTest, target: Target, flows: Mapping[str, Flow], *, raw: bool
    ) -> None:
        self.shards = _shards(test)
        functions = cloudpickle.dumps({name: flow.function for name, flow in flows.items()})
        self._plans = [
            Plan(test.to_options(), target.url, functions, sys.path, shard, self.shards, raw)
            for shard in range(self.shards)
        ]
        self._environment = target.environment
        self._processes: list[subprocess.Popen[bytes]] = []
        self._held = ExitStack()
        self._logs: list[IO[bytes]] = []
        self._readers: list[threading.Thread] = []
        self._messages: queue.SimpleQueue[tuple[int, Message | None]] = queue.SimpleQueue()
        self._stopped: float | None = None

    def run(self) -> Generator[tuple[int, Measured | Ended | Start]]:
        """Reports with the shard that each is of, after the Start that has been given.

        Raises:
            LoadFailed: A process does not start, or ends before it should.
        """
        try:
            for plan in self._plans:
                self._launch(plan)
            if self._all_ready():
                start = Start(time.monotonic() + LEAD)
                for process in self._processes:
                    _send(process, start)
                yield 0, start
                yield from self._reports()
        finally:
            self._end()

    def stop(self) -> None:
        """End it early: what was measured is still reported."""
        if self._stopped is None:
            self._stopped = time.monotonic()
            for process in self._processes:
                process.terminate()

    def kill(self) -> None:
        """End it at once."""
        for process in self._processes:
            process.kill()

    def _launch(self, plan: Plan) -> None:
        log = self._held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._logs.append(log)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tarslab.chaos.load.engine"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=self._environment,
            # What a terminal sends at Ctrl-C is for this process.
            start_new_session=True,
        )
        self._processes.append(process)
        _send(process, plan)
        reader = threading.Thread(target=self._read, args=(plan.shard, process), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _read(self, shard: int, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            message: Message | None = Ready()
            while message is not None:
                message = receive(stream)
                self._messages.put((shard, message))

    def _all_ready(self) -> bool:
        """Whether they are; not if it was stopped meanwhile."""
        deadline = time.monotonic() + READY
        for _ in self._processes:
            try:
                shard, message = self._messages.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise LoadFailed(f"the engine is not ready after {READY:.0f} s") from None
            if self._stopped is not None:
                return False
            if not isinstance(message, Ready):
                raise self._broken(shard, message)
        return True

    def _reports(self) -> Iterator[tuple[int, Measured | Ended]]:
        going = set(range(self.shards))
        while going:
            try:
                shard, message = self._messages.get(timeout=1.0)
            except queue.Empty:
                if self._stopped is not None and time.monotonic() > self._stopped + STOP:
                    self.kill()
                continue
            if isinstance(message, Measured):
                yield shard, message
            elif isinstance(message, Ended):
                going.discard(shard)
                yield shard, message
            elif shard in going:
                if self._stopped is None or isinstance(message, Failed):
                    raise self._broken(shard, message)
                going.discard(shard)

    def _broken(self, shard: int, message: Message | None) -> LoadFailed:
        if isinstance(message, Failed):
            return LoadFailed(message.why)
        process = self._processes[shard]
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP)
        code = process.returncode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        log = self._logs[shard]
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()[-TAIL:]
        said = "\n".join(["; it said:", *lines]) if lines else ""
        return LoadFailed(f"the engine's process ended before the load did, by {how}{said}")

    def _end(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            # It is what tells a process that nobody reads any more.
            with suppress(BrokenPipeError):
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.join()
        self._held.close()


def _shards(test: LoadTest) -> int:
    """As many as the rate needs, on cores of their own, and each with a user of every scenario."""
    users = [each.most_vus for each in test.scenarios.values() if isinstance(each, Arrivals)]
    return max(1, min(ceil(test.peak_rate / SHARD_RATE), cores(), *users))


def _send(process: "subprocess.Popen[bytes]", message: Plan | Start) -> None:
    assert process.stdin is not None
    # Where it has ended already, that is noticed by what it says.
    with suppress(BrokenPipeError):
        process.stdin.write(frame(message))
        process.stdin.flush()
