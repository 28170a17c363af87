"""The process that probes: at fixed moments, whatever the answers take.

The first line of its standard input is the plan; it probes until that ends. Each line of its
standard output is a list of probes.
"""

import asyncio
import errno
import gc
import os
import queue
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from tarslab.chaos.load.engine.timer import Timer

# Seconds between two reports.
REPORT = 0.25
PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
READY = "/health/ready"


class Plan(msgspec.Struct, frozen=True):
    """What to probe."""

    targets: tuple[tuple[str, str], ...]
    """Service and URL."""
    rate: float
    """Probes of each a second."""
    timeout: float


class Probe(NamedTuple):
    """One probe; times in Unix seconds."""

    service: str
    due: float
    """When it was to be sent, by the schedule."""
    sent: float
    done: float
    """When it was answered, or given up."""
    failure: str
    """``timeout``, ``connection refused``, ``HTTP 503`` and so on; empty where it was answered."""
    mode: str
    """Of the answer: its ``X-Mode``."""

    @property
    def ok(self) -> bool:
        """Whether it was answered, and the answer was good."""
        return not self.failure


class Prober:
    """Probes a target after the other, so that each has its turn ``rate`` times a second."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._targets = [_Target(service, url) for service, url in plan.targets]
        self._period = 1 / (plan.rate * len(self._targets))
        self._begin = time.monotonic() + self._period
        self._turn = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._seen: list[Probe] = []
        # One and the same for all: a step of the wall clock does not come between.
        self._unix = time.time() - time.monotonic()

    async def run(self, reports: "queue.SimpleQueue[list[Probe] | None]") -> None:
        """Probe until standard input ends."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def heard() -> None:
            if not os.read(0, 4096):
                over.set()

        loop.add_reader(0, heard)
        self._timer = Timer(loop, self._next)
        self._timer.at(self._begin)
        while not over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), REPORT)
            self._report(reports)
        loop.remove_reader(0)
        self._timer.close()
        if self._under_way:
            await asyncio.wait(self._under_way)
        self._report(reports)
        reports.put(None)

    def _report(self, reports: "queue.SimpleQueue[list[Probe] | None]") -> None:
        seen, self._seen = self._seen, []
        reports.put(seen)

    def _next(self) -> None:
        """Send what is due now. Turns that were slept through are left out, not made up for."""
        now = time.monotonic()
        first = max(self._turn, int((now - self._begin) / self._period) - len(self._targets) + 1)
        while (due := self._begin + first * self._period) <= now:
            task = asyncio.create_task(self._probe(self._targets[first % len(self._targets)], due))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            first += 1
        self._turn = first
        self._timer.at(due)

    async def _probe(self, target: "_Target", due: float) -> None:
        sent = time.monotonic()
        try:
            async with asyncio.timeout(self._plan.timeout):
                failure, mode = await target.ask()
        # Whatever it is, the probe has failed, and is told.
        except Exception as error:
            failure, mode = _kind(error), ""
        done = time.monotonic()
        times = (due + self._unix, sent + self._unix, done + self._unix)
        self._seen.append(Probe(target.service, *times, failure, mode))


class _Target:
    def __init__(self, service: str, url: str) -> None:
        parts = urlsplit(url)
        self.service = service
        self._host = str(parts.hostname)
        self._port = parts.port or PORTS[parts.scheme]
        secure = parts.scheme in ("https", "rediss")
        self._secure = ssl.create_default_context() if secure else None
        self.ask = self._http
        if parts.scheme.startswith("redis"):
            self.ask = self._redis
            names = [unquote(part) for part in (parts.username, parts.password) if part]
            self._commands = [["AUTH", *names]] if names else []
            self._commands.append(["PING"])
        else:
            path = parts._replace(scheme="", netloc="", fragment="").geturl()
            path = path if path.strip("/") else READY
            self._request = (
                f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: tarslab-probe\r\n"
                "Connection: close\r\n\r\n"
            ).encode()

    async def _http(self) -> tuple[str, str]:
        reader, writer = await self._connected()
        try:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/"):
                return "no HTTP", ""
            # An answer that is cut off is none.
            length = int(_header(head, b"content-length") or 0)
            await reader.readexactly(length)
        finally:
            writer.transport.abort()
        status = int(head.split(b" ", 2)[1])
        failure = "" if status < 400 else f"HTTP {status}"
        return failure, _header(head, b"x-mode").decode()

    async def _redis(self) -> tuple[str, str]:
        reader, writer = await self._connected()
        try:
            writer.write(b"".join(map(_command, self._commands)))
            for _ in self._commands:
                answer = await reader.readuntil(b"\r\n")
                # Who has no password is answered so by a server that is up.
                if answer.startswith(b"-NOAUTH") and len(self._commands) == 1:
                    break
                if not answer.startswith(b"+"):
                    # LOADING, WRONGPASS and the like; the rest may say more than it should.
                    return "Redis: " + answer[1:].split()[0].decode(errors="replace"), ""
        finally:
            writer.transport.abort()
        return "", ""

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, ssl=self._secure)


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b""


def _command(words: list[str]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def _kind(error: Exception) -> str:
    """What load calls the same failure."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "host not found"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, EOFError):
        return "answer cut off" if getattr(error, "partial", b"") else "connection lost"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionError):
        return "connection lost"
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0, type(error).__name__)


def _write(reports: "queue.SimpleQueue[list[Probe] | None]") -> None:
    """Hand reports on; where nobody reads them, the probes go on."""
    while (report := reports.get()) is not None:
        if report:
            sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
            sys.stdout.buffer.flush()


def main() -> None:
    """Probe as the plan says."""
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    reports: queue.SimpleQueue[list[Probe] | None] = queue.SimpleQueue()
    writer = threading.Thread(target=_write, args=(reports,))
    writer.start()
    gc.collect()
    gc.freeze()

    async def probe() -> None:
        await Prober(plan).run(reports)

    asyncio.run(probe())
    writer.join()


if __name__ == "__main__":
    main()
