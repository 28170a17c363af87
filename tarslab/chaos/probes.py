"""Continuous probes beside a fault: what users see, on a fixed schedule.

    with Probes(platform) as probes, faults.outage(platform, "redis") as fault:
        time.sleep(5)
    result = probes.result
    result.availability("orchestration")
    result.time_to_recover("orchestration", since=fault.ended)

Each service is probed on a connection of its own each time, 20 times a second or more. A service
counts as down from the last probe that was answered to the next that is: by how much that may be
too long is said with it. An answer within the timeout is one, however late: a service that hangs
for less than the timeout is slow, and not down.
"""

import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

import msgspec

from tarslab.chaos.guards import check_host
from tarslab.chaos.platforms import Platform
from tarslab.chaos.prober import PORTS, Plan, Probe
from tarslab.errors import BadArgument, TarslabError

if TYPE_CHECKING:
    import pandas as pd

SLOWEST = 20.0
"""Probes a second, at least."""
# Probes of one target that may wait for an answer, at most.
MOST = 1000
# Seconds that the process may take for the first probes, and beyond the timeout to end.
START, END = 60.0, 10.0
TAIL = 2000


class ProbesFailed(TarslabError, RuntimeError):
    """The process that probes did not start, or ended too early."""


class Downtime(NamedTuple):
    """One time for which a service was down; times in Unix seconds."""

    service: str
    last_good: float | None
    """When the last answered probe before it was sent; None where there is none."""
    first_failed: float
    last_failed: float
    first_good: float | None
    """When the next answered probe was sent; None where it was not back at the end."""
    failed: int
    """Probes."""

    @property
    def start(self) -> float:
        """From the last good probe."""
        return self.first_failed if self.last_good is None else self.last_good

    @property
    def end(self) -> float:
        """To the first good probe."""
        return self.last_failed if self.first_good is None else self.first_good

    @property
    def seconds(self) -> float:
        """How long at most, unless it was down before the first probe or after the last."""
        return self.end - self.start

    @property
    def resolution(self) -> float:
        """Seconds by which that may be too long."""
        return self.seconds - (self.last_failed - self.first_failed)


@dataclass(frozen=True)
class ProbeResult:
    """What probes saw.

    Every figure is of the probes of one service, by when each was sent.
    """

    probes: tuple[Probe, ...]
    rate: float
    """Probes of each service a second."""
    timeout: float
    """Seconds after which a probe had failed."""

    @classmethod
    def of_frame(cls, frame: "pd.DataFrame", *, rate: float, timeout: float) -> Self:
        """From what ``to_frame`` gave."""
        columns = [frame[name].tolist() for name in Probe._fields]
        return cls(tuple(map(Probe._make, zip(*columns, strict=True))), rate, timeout)

    @property
    def services(self) -> tuple[str, ...]:
        """In the order in which they were first probed."""
        return tuple(dict.fromkeys(probe.service for probe in self.probes))

    def of(self, service: str) -> tuple[Probe, ...]:
        """The probes of a service, in the order in which they were sent."""
        found = sorted((p for p in self.probes if p.service == service), key=lambda p: p.sent)
        if not found:
            known = ", ".join(self.services) or "(no service was probed)"
            raise BadArgument(f"service must be one of {known}, not {service!r}")
        return tuple(found)

    def between(self, start: float, end: float) -> "ProbeResult":
        """Only the probes that were sent in a time, in Unix seconds."""
        within = tuple(probe for probe in self.probes if start <= probe.sent < end)
        return ProbeResult(within, self.rate, self.timeout)

    def availability(self, service: str) -> float:
        """The share of probes that were answered."""
        probes = self.of(service)
        return sum(probe.ok for probe in probes) / len(probes)

    def failed(self, service: str) -> int:
        """How many probes were not answered."""
        return sum(not probe.ok for probe in self.of(service))

    def failures(self, service: str) -> dict[str, int]:
        """How many failed in which way, the most frequent first."""
        kinds = Counter(probe.failure for probe in self.of(service) if not probe.ok)
        return dict(kinds.most_common())

    def modes(self, service: str) -> dict[str, int]:
        """How many answers said which mode, in the order in which they were seen."""
        return dict(Counter(probe.mode for probe in self.of(service) if probe.mode))

    def downtimes(self, service: str) -> tuple[Downtime, ...]:
        """The times for which a service was down."""
        found: list[Downtime] = []
        good: float | None = None
        down: list[float] = []
        for probe in self.of(service):
            if not probe.ok:
                down.append(probe.sent)
                continue
            if down:
                found.append(Downtime(service, good, down[0], down[-1], probe.sent, len(down)))
                down = []
            good = probe.sent
        if down:
            found.append(Downtime(service, good, down[0], down[-1], None, len(down)))
        return tuple(found)

    def longest(self, service: str) -> Downtime | None:
        """The longest of them."""
        return max(self.downtimes(service), key=lambda down: down.seconds, default=None)

    def time_to_detect(self, service: str, since: float) -> float | None:
        """Seconds from a fault until the first probe was known to have failed; None: none did."""
        return self._first(service, since, lambda probe: not probe.ok)

    def time_to_mode(self, service: str, mode: str, since: float) -> float | None:
        """Seconds from a moment until an answer said a mode; None: none did."""
        return self._first(service, since, lambda probe: probe.mode == mode)

    def time_to_recover(self, service: str, since: float) -> float | None:
        """Seconds from a moment until the answer after which no probe failed any more.

        0 where no probe failed after that moment, None where the last one did.
        """
        probes = [probe for probe in self.of(service) if probe.done >= since]
        failed = [place for place, probe in enumerate(probes) if not probe.ok]
        if not failed:
            return 0.0
        after = probes[failed[-1] + 1 :]
        return min(probe.done for probe in after) - since if after else None

    def summary(self) -> "pd.DataFrame":
        """A row for each service.

        Columns: ``service``, ``probes``, ``failed``, ``availability``, ``downtimes``, ``down`` and
        ``longest`` in seconds, ``resolution`` of the longest, ``modes`` in words, and ``lateness``:
        the most by which a probe was sent late, in seconds.
        """
        import pandas as pd

        return pd.DataFrame([self._row(service) for service in self.services])

    def to_frame(self) -> "pd.DataFrame":
        """A row for each probe.

        Columns: ``service``, ``due``, ``sent`` and ``done`` in Unix seconds, ``failure``, ``mode``,
        ``ok``, ``lateness`` and ``latency`` from when it was due, in seconds.
        """
        import pandas as pd

        frame = pd.DataFrame(self.probes, columns=list(Probe._fields))
        frame["ok"] = frame["failure"] == ""
        frame["lateness"] = frame["sent"] - frame["due"]
        frame["latency"] = frame["done"] - frame["due"]
        return frame

    def _row(self, service: str) -> dict[str, object]:
        probes, longest = self.of(service), self.longest(service)
        modes = ", ".join(f"{mode} {count}" for mode, count in self.modes(service).items())
        return {
            "service": service,
            "probes": len(probes),
            "failed": self.failed(service),
            "availability": self.availability(service),
            "downtimes": len(self.downtimes(service)),
            "down": sum(down.seconds for down in self.downtimes(service)),
            "longest": 0.0 if longest is None else longest.seconds,
            "resolution": 1 / self.rate if longest is None else longest.resolution,
            "modes": modes,
            "lateness": max(probe.sent - probe.due for probe in probes),
        }

    def _first(self, service: str, since: float, seen: Callable[[Probe], bool]) -> float | None:
        times = [probe.done for probe in self.of(service) if probe.done >= since and seen(probe)]
        return min(times) - since if times else None


class Probes:
    """Probes services for as long as its ``with`` block takes, in a process of its own.

    targets: a platform, or the URL of each service: ``http``, ``https`` (``/health/ready`` unless
        it has a path) or ``redis``.
    services: only these of the platform; by default all.
    rate: of each service a second, at least 20.
    timeout: seconds, after which a probe has failed.
    allow: hosts that may be probed beside those of loopback.

    Raises BadArgument where one of these cannot be used, and Refused for a host that is not
    allowed.
    """

    def __init__(
        self,
        targets: Platform | Mapping[str, str],
        services: Iterable[str] | None = None,
        *,
        rate: float = SLOWEST,
        timeout: float = 1.0,
        allow: Iterable[str] = (),
    ) -> None:
        if isinstance(targets, Mapping):
            urls = dict(targets)
        else:
            names = targets.services if services is None else services
            urls = {name: targets.address(name) for name in names}
        allowed = tuple(allow)
        for service, url in urls.items():
            _check_url(service, url)
            check_host(url, allowed)
        if not urls:
            raise BadArgument("targets must be at least one")
        if not rate >= SLOWEST:
            raise BadArgument(f"rate must be at least {SLOWEST:g} a second, not {rate!r}")
        if not 0 < timeout * rate <= MOST:
            raise BadArgument(
                f"timeout must be more than 0 and at most {MOST / rate:g} s at this rate, "
                f"not {timeout!r}"
            )
        self._plan = Plan(tuple(urls.items()), rate, timeout)
        self._seen: list[Probe] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = threading.Event()

    @property
    def result(self) -> ProbeResult:
        """What has been seen so far, also while it goes on."""
        return ProbeResult(tuple(self._seen), self._plan.rate, self._plan.timeout)

    def start(self) -> Self:
        """Begin; every service has been probed when this returns."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tarslab.chaos.prober"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # What a terminal sends at Ctrl-C is for this process.
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise ProbesFailed(f"the process that probes did not start: {error}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        reading = (self._process.stdout,)
        self._reader = threading.Thread(target=self._read, args=reading, daemon=True)
        self._reader.start()
        try:
            with suppress(BrokenPipeError):
                self._process.stdin.write(msgspec.json.encode(self._plan) + b"\n")
                self._process.stdin.flush()
            if not self._begun.wait(START + self._plan.timeout):
                raise ProbesFailed(f"the services were not probed within {START:g} s")
        except BaseException:
            self._process.kill()
            with suppress(ProbesFailed):
                self.stop()
            raise
        if not self._seen:
            self.stop()
        return self

    def stop(self) -> ProbeResult:
        """End, and wait for the answers that are still to come.

        Raises:
            ProbesFailed: The process that probed has ended too early; ``result`` is what it saw.
        """
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                code = process.wait(self._plan.timeout + END)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            self._reader.join()
            with self._errors as errors:
                errors.seek(0)
                said = errors.read()[-TAIL:].decode(errors="replace")
            if code != 0:
                raise ProbesFailed(f"the process that probes ended early (code {code}): {said}")
        return self.result

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProbesFailed) if error is not None else nullcontext():
            self.stop()

    def _read(self, reports: IO[bytes]) -> None:
        waiting = {service for service, _ in self._plan.targets}
        with reports:
            for line in reports:
                seen = msgspec.json.decode(line, type=list[Probe])
                self._seen += seen
                waiting -= {probe.service for probe in seen}
                if not waiting:
                    self._begun.set()
        # Also where it ended before it began.
        self._begun.set()


def _check_url(service: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        right = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or ("@" in parts.netloc and not parts.scheme.startswith("redis")):
        raise BadArgument(
            f"the URL of {service} must be such as http://127.0.0.1:8000, https://host or "
            "redis://:password@127.0.0.1:6379"
        )
