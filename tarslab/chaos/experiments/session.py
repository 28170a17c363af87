"""What the actions and probes of a running experiment work on; one runs at a time in a process.

A session is opened by ``tarslab.chaos.run``, or by the control of this package where Chaos
Toolkit's own ``chaos run`` runs the file.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

from msgspec import structs

from tarslab.chaos.experiments.errors import ExperimentFailed
from tarslab.chaos.experiments.files import Experiment
from tarslab.chaos.experiments.measures import FaultWindow, Observed, is_back, recovery_time
from tarslab.chaos.experiments.targets import hosts_of, target_of
from tarslab.chaos.experiments.writing import Writer
from tarslab.chaos.guards import Guard, Refused
from tarslab.chaos.platforms import LocalPlatform, Platform, PlatformFailed, PlatformGone
from tarslab.chaos.probes import ProbeResult, Probes, ProbesFailed
from tarslab.errors import BadArgument, TarslabError
from tarslab.stack import Stack

if TYPE_CHECKING:
    from tarslab.admin import AdminClient
    from tarslab.chaos.faults import Fault
    from tarslab.chaos.load.progress import Progress
    from tarslab.chaos.load.results import LoadResult
    from tarslab.chaos.load.running import LoadRun

# Seconds: no fault is held for less, whatever the scale; it may take so long until everything is
# back; between two looks; and between two at whether the platform is still there.
LEAST, PATIENCE, LOOK, STILL_THERE = 2.0, 60.0, 0.25, 1.0
# Chaos Toolkit's code for an exit with rollbacks.
GRACEFUL = 20


class Aborted(SystemExit):
    """Ends the method of an experiment; Chaos Toolkit goes on with the rollbacks."""

    def __init__(self) -> None:
        super().__init__(GRACEFUL)


class Event(NamedTuple):
    """Something that happened in an experiment."""

    time: float
    """Unix seconds."""
    kind: str
    """``phase``, ``activity``, ``fault``, ``undone``, ``recovered``, ``load``, ``writes``,
    ``error`` or ``end``."""
    text: str


class Step(NamedTuple):
    """What an activity would do."""

    phase: str
    activity: str
    what: str
    """In words; of a fault exactly what it would touch."""
    seconds: float


class Session:
    """What an experiment runs on, and what has been seen of it so far.

    platform: or a stack, which is a LocalPlatform then.
    target: URL or stack that load and writes go to; by default the stack of the platform, or in a
        cluster its orchestration.
    allow: hosts beside those of loopback and of the platform that load and probes may go to.
    scale: of the time for which something is held or waited for.
    planning: touch nothing, and note what would be done.
    """

    def __init__(
        self,
        experiment: Experiment,
        platform: Platform | Stack,
        *,
        target: str | Stack | None = None,
        scale: float = 1.0,
        guard: Guard | None = None,
        allow: Iterable[str] = (),
        planning: bool = False,
    ) -> None:
        if not 0 < scale < float("inf"):
            raise BadArgument(f"scale must be above 0, not {scale!r}")
        if isinstance(platform, Stack):
            target = platform if target is None else target
            platform = LocalPlatform(platform)
        if guard is not None and guard.dry_run and not planning:
            raise BadArgument("guard: dry_run touches nothing; plan says what would be touched")
        self.experiment = experiment
        self.platform = platform
        self.scale = scale
        self.guard = guard or Guard()
        self.allow = (*allow, *hosts_of(platform))
        self.target = target_of(platform) if target is None else target
        self.steps: list[Step] | None = [] if planning else None
        self.phase, self.doing = "starting", ""
        self.started_at = time.time()
        self.events: list[Event] = []
        self.faults: list[FaultWindow] = []
        self.counts: dict[str, float] = {}
        self.progress: list[tuple[float, Progress]] = []
        self.error: BaseException | None = None
        self.aborted = threading.Event()
        self.users_gone = threading.Event()
        self.probes: Probes | None = None
        self._heard = threading.Condition()
        self._repeats: Counter[str] = Counter()
        self._loads = count()
        self._load: LoadRun | None = None
        self._load_begun = threading.Event()
        self._load_ended_as_planned = False
        self._load_result: LoadResult | None = None
        self._writer: Writer | None = None

    def __enter__(self) -> Self:
        global _running
        with _lock:
            if _running is not None:
                raise BadArgument("an experiment is running in this process: wait for its end")
            _running = self
        try:
            self.probes = Probes(self.platform, allow=self.allow).start()
        except BaseException:
            _running = None
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _running
        try:
            self.close()
        finally:
            _running = None

    @property
    def planning(self) -> bool:
        """Whether nothing is to be touched."""
        return self.steps is not None

    @property
    def observed(self) -> Observed:
        """What has been seen so far."""
        seen = ProbeResult((), 20.0, 1.0) if self.probes is None else self.probes.result
        writes = None if self._writer is None else self._writer.result
        return Observed(seen, tuple(self.faults), self._load_result, writes, dict(self.counts))

    def tell(self, kind: str, text: str) -> None:
        """Note that something happened."""
        with self._heard:
            self.events.append(Event(time.time(), kind, text))
            self._heard.notify_all()

    def hear(self, after: int, timeout: float) -> tuple[Event, ...]:
        """The events after the first so many, once there are some."""
        with self._heard:
            self._heard.wait_for(lambda: len(self.events) > after, timeout)
            return tuple(self.events[after:])

    def plan(self, what: str, seconds: float = 0.0) -> None:
        """Note what the activity at hand would do."""
        assert self.steps is not None
        self.steps.append(Step(self.phase, self.doing, what, seconds))

    def fail(self, error: BaseException) -> None:
        """Break off: what is broken is undone, and nothing more is done."""
        # Others end the run, and are no failure of it.
        if self.error is None and isinstance(error, Exception):
            self.error = error
            self.tell("error", str(error))
        self.abort()

    def abort(self) -> None:
        """Have every wait end."""
        self.aborted.set()
        self.users_gone.set()
        self._load_begun.set()
        if self._load is not None:
            self._load.stop()

    def check(self) -> None:
        """Aborted where it is to end."""
        if self.aborted.is_set():
            raise Aborted

    def sleep(self, seconds: float) -> None:
        """Wait for so long, whatever the scale; Aborted where it is to end."""
        self.aborted.wait(seconds)
        self.check()

    def wait(self, seconds: float) -> None:
        """Wait, by the scale."""
        self._settle()
        self.sleep(seconds * self.scale)

    @contextmanager
    def beside(self, fault: "Fault", *, since_end: bool = True) -> Iterator[None]:
        """Have a fault for the ``with`` block, and note when it began and ended.

        since_end: whether recovery counts from its end.
        """
        place = None
        try:
            with fault:
                place = self._begun(fault)
                yield
        finally:
            if place is not None:
                self._ended(fault, place, since_end=since_end)

    def hold(self, fault: "Fault", seconds: float) -> dict[str, Any]:
        """Have a fault for so long, by the scale, and wait until everything is back.

        Raises Refused where that is longer than the guard lets it.
        """
        length = max(LEAST, seconds * self.scale)
        if length > fault.guard.max_seconds:
            raise Refused(
                f"{fault.name} is to be held for {length:g} s, and {fault.guard.max_seconds:g} s "
                "may be: raise max_seconds if you mean it"
            )
        if self.planning:
            self.plan(str(fault), length)
            return {}
        self._settle()
        with self.beside(fault):
            self._hold_out(length)
        return self.until_back(self._last(fault))

    def kill(self, fault: "Fault", then: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """Have units killed, and wait until they are replaced and everything is back.

        then: is called as soon as they are killed.
        """
        if self.planning:
            self.plan(str(fault))
            return {}
        self._settle()
        dead = {unit.id for unit in fault.units}
        wanted = {unit.service: len(self.platform.units(unit.service)) for unit in fault.units}
        with self.beside(fault, since_end=False):
            then()
            self._until_replaced(wanted, dead)
        return self.until_back(self._last(fault))

    def until_back(self, place: int) -> dict[str, Any]:
        """Wait until every service is good again, or patience is over."""
        window, deadline = self.faults[place], time.monotonic() + PATIENCE
        # A killed unit has been replaced by now: what was bad until then is over.
        ended = window.ended or window.since
        while not is_back(self.observed, ended):
            if time.monotonic() > deadline:
                self.tell("recovered", f"{window.name}: not everything is back")
                return _shown(window)
            self._hold_out(LOOK)
        observed = self.observed
        worst = max(recovery_time(observed, window, name) for name in observed.probes.services)
        window = window._replace(recovered=window.since + worst)
        self.faults[place] = window
        self.tell("recovered", f"{window.name}: everything is back after {worst:.2f} s")
        return _shown(window)

    def load(self, scenario: str | Mapping[str, Any]) -> dict[str, Any]:
        """Put load on the target until ``end_load``, or its own end.

        Raises BadArgument for a second one, which ``end_load`` would not end.
        """
        from tarslab.chaos.load.errors import LoadFailed
        from tarslab.chaos.load.loadtest import LoadTest
        from tarslab.chaos.load.running import start_load

        if next(self._loads):
            raise BadArgument(
                "load: this experiment has a load already: put both into one, as two scenarios"
            )
        if self.planning:
            self.plan(_load_in_words(scenario, self._url))
            return {}
        test = LoadTest.of(scenario).named(f"users of {self.experiment.name}")
        scale = 1.0 if self.experiment.has("end_load") else self.scale
        try:
            with start_load(test, self.whom(), scale=scale, allow=self.allow) as run:
                self._load = run
                run.begun()
                self._load_begun.set()
                self.tell("load", f"{run.test.name} goes to {run.target}")
                if self.aborted.is_set():
                    run.stop()
                result = run.wait(lambda each: self.progress.append((time.time(), each)))
        except LoadFailed as error:
            self._load_result = error.result
            raise
        if self._load_ended_as_planned:
            about = structs.replace(result.about, interrupted=False)
            result = type(result)(about, result.series, result.cells, result.points_path)
        self._load_result = result
        if result.interrupted:
            # By Ctrl-C, of which nobody else is told.
            self.abort()
        requests = int(result.over_time("http_reqs")["total"].sum())
        self.tell("load", f"{result.test.name} is over: {requests} requests")
        return {"requests": requests, "generator_limited": result.audit.limited}

    def end_load(self) -> None:
        """End the load, as planned, once it has begun."""
        if self.planning:
            self.plan("the load ends")
            return
        self._settle()
        self.users_gone.set()
        if self._load is not None:
            self._load_ended_as_planned = True
            self._load.stop()

    def write(self, rate: float) -> None:
        """Begin to create records, so many a second."""
        if self.planning:
            self.plan(f"{rate:g} API keys a second are created at {self._url}, and read back")
            return
        if self._writer is not None:
            raise BadArgument("write: this experiment writes already")
        self._writer = Writer(self.admin, rate, self.fail)
        self.tell("writes", f"{rate:g} records a second are written")

    def read_back(self) -> dict[str, Any]:
        """Stop to write, and look for every record."""
        if self.planning:
            self.plan("every acknowledged record is looked for, and all are taken back")
            return {}
        if self._writer is None:
            raise BadArgument("read_back: nothing was written: use the action write before")
        writes = self._writer.read_back()
        said = {"acknowledged": writes.acknowledged, "lost": writes.lost, "asked": len(writes)}
        self.tell("writes", f"{writes.acknowledged} acknowledged, {writes.lost} of them lost")
        return said

    def count(self, what: str, amount: float = 1) -> None:
        """Add to what the measure ``count`` has."""
        self.counts[what] = self.counts.get(what, 0) + amount

    def admin(self, **options: Any) -> "AdminClient":
        """A client of the target, as its administrator unless ``options`` say otherwise."""
        from tarslab.admin import AdminClient

        target = self.whom()
        if isinstance(target, str):
            # Whoever has named a host for load has trusted the way there with its users' passwords.
            named = urlsplit(target).hostname in self.allow
            return AdminClient(target, allow_http=named, **options)
        if "api_key" not in options:
            options |= {"username": "admin", "password": target.admin_password}
        return AdminClient(target.url, **options)

    def whom(self) -> str | Stack:
        """What load and writes go to; BadArgument where it is not known."""
        if self.target is None:
            raise BadArgument(
                "target: give the URL that load and writes go to; its user is that of "
                "TARSLAB_USERNAME and TARSLAB_PASSWORD"
            )
        return self.target

    def close(self) -> None:
        """End what goes on: load, writes, probes; take back what was written."""
        self.abort()
        with suppress(TarslabError):
            if self._load is not None:
                self._load.wait()
        if self._writer is not None and not self._writer.take_back():
            self.tell(
                "writes",
                "some of the records could not be taken back: API keys whose names begin with "
                f"{self._writer.run} are good for an hour, unless you revoke them",
            )
        if self.probes is not None:
            try:
                self.probes.stop()
            except ProbesFailed as error:
                self.error = self.error or error

    @property
    def _url(self) -> str:
        return self.target if isinstance(self.target, str) else getattr(self.target, "url", "?")

    def _hold_out(self, seconds: float) -> None:
        """Wait; PlatformFailed where the platform is lost meanwhile."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.sleep(min(left, STILL_THERE))
            self.platform.describe()

    def _settle(self) -> None:
        """Wait for the load that the experiment puts on before."""
        self.check()
        if self.experiment.has("load") and not self._load_begun.wait(PATIENCE):
            raise ExperimentFailed("the load did not begin: load must be an action of background")
        self.check()

    def _begun(self, fault: "Fault") -> int:
        assert fault.began is not None
        services = tuple(dict.fromkeys(unit.service for unit in fault.units))
        repeat = self._repeats[fault.name]
        self._repeats[fault.name] += 1
        window = FaultWindow(fault.name, services, fault.began, None, fault.began, repeat)
        self.faults.append(window)
        self.tell("fault", fault.name)
        return len(self.faults) - 1

    def _ended(self, fault: "Fault", place: int, *, since_end: bool) -> None:
        window, ended = self.faults[place], fault.ended
        if ended is None:
            self.tell("error", f"{fault.name} is not undone yet")
            return
        since = ended if since_end else window.began
        self.faults[place] = window._replace(ended=ended, since=since)
        self.tell("undone", fault.name)

    def _last(self, fault: "Fault") -> int:
        return max(n for n, window in enumerate(self.faults) if window.name == fault.name)

    def _until_replaced(self, wanted: Mapping[str, int], dead: set[str]) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                back = all(self._has_new(service, dead, least) for service, least in wanted.items())
            except PlatformGone:
                raise
            except PlatformFailed:
                back = False
            if back:
                return
            self.sleep(LOOK)

    def _has_new(self, service: str, dead: set[str], least: int) -> bool:
        units = self.platform.units(service)
        good = all(unit.state == "ready" and unit.id not in dead for unit in units)
        return good and len(units) >= least


_lock = threading.Lock()
_running: Session | None = None
_planned: ContextVar[Session | None] = ContextVar("planned", default=None)


def current() -> Session:
    """The session of the experiment that runs, or is planned here.

    Raises BadArgument where there is none.
    """
    session = _planned.get() or _running
    if session is None:
        raise BadArgument(
            "no experiment of tarslab runs here: add the control "
            "tarslab.chaos.experiments.control to the file (controls:), or run it by "
            "tarslab chaos run"
        )
    return session


def is_open() -> bool:
    """Whether an experiment runs in this process."""
    return _running is not None


@contextmanager
def planned(session: Session) -> Iterator[None]:
    """Have ``current`` give a session that only plans, in this thread, for a ``with`` block."""
    token = _planned.set(session)
    try:
        yield
    finally:
        _planned.reset(token)


def _shown(window: FaultWindow) -> dict[str, Any]:
    """For Chaos Toolkit's journal."""
    recovery = None if window.recovered is None else window.recovered - window.since
    return {"fault": window.name, "began": window.began, "ended": window.ended} | (
        {} if recovery is None else {"recovery": recovery}
    )


def _load_in_words(scenario: str | Mapping[str, Any], url: str) -> str:
    from tarslab.chaos.load.loadtest import LoadTest

    test = LoadTest.of(scenario)
    flows = ", ".join(sorted({each.exec for each in test.scenarios.values()}))
    return f"{test.peak_rate:g} arrivals a second at most ({flows}) are sent to {url}"
