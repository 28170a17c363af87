"""Experiments, run by Chaos Toolkit's library: in the foreground, or beside a dashboard."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tarslab.chaos.experiments.errors import ExperimentFailed
from tarslab.chaos.experiments.files import HYPOTHESIS, Experiment, Source
from tarslab.chaos.experiments.judging import judged
from tarslab.chaos.experiments.measures import FaultWindow
from tarslab.chaos.experiments.results import COLUMNS, ExperimentResult
from tarslab.chaos.experiments.session import Event, Session, Step, planned
from tarslab.chaos.guards import Guard
from tarslab.chaos.load.targets import resolve
from tarslab.chaos.platforms import Platform
from tarslab.chaos.probes import ProbeResult
from tarslab.errors import TarslabError
from tarslab.stack import Stack

if TYPE_CHECKING:
    import pandas as pd

    from tarslab.chaos.load.progress import Progress

OnEvent = Callable[[Event], object]
# Chaos Toolkit's own default would leave a fault where it is after an interrupt.
SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}
# Seconds between two looks for events.
LOOK = 0.5


@dataclass(frozen=True)
class Plan:
    """What an experiment would do; ``str(plan)`` says exactly what would be touched."""

    title: str
    description: str
    steps: tuple[Step, ...]
    rows: tuple[dict[str, Any], ...]

    @property
    def seconds(self) -> float:
        """About how long it takes, without the times to recover."""
        return sum(step.seconds for step in self.steps)

    @property
    def criteria(self) -> "pd.DataFrame":
        """As ``ExperimentResult.criteria``, with nothing measured yet."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(COLUMNS))

    def __str__(self) -> str:
        lines, phase = [self.title, self.description, ""], ""
        for step in self.steps:
            if step.phase != phase:
                phase = step.phase
                lines.append(f"{phase}:")
            length = f" [{step.seconds:.3g} s]" if step.seconds else ""
            first, *more = step.what.splitlines() or [""]
            lines.append(f"  {step.activity}{length}: {first}")
            lines += [f"    {line}" for line in more]
        lines.append("required:")
        lines += [f"  {row['criterion']}: {row['measure']} {row['required']}" for row in self.rows]
        lines.append(f"about {self.seconds:.0f} s, and until everything is back after each fault")
        return "\n".join(lines)


class Snapshot(NamedTuple):
    """An experiment as it is now."""

    elapsed: float
    """Seconds."""
    phase: str
    """``starting``, ``steady state before``, ``method``, ``steady state after``, ``rollbacks`` or
    ``over``."""
    doing: str
    """The activity that began last."""
    faults: tuple[FaultWindow, ...]
    load: tuple[tuple[float, "Progress"], ...]
    """All so far, each with its moment in Unix seconds."""
    probes: ProbeResult | None
    aborting: bool
    over: bool


def run(
    experiment: Experiment | Source,
    platform: Platform | Stack,
    *,
    target: str | Stack | None = None,
    scale: float = 1.0,
    guard: Guard | None = None,
    variables: Mapping[str, Any] | None = None,
    allow: Iterable[str] = (),
    on_event: OnEvent | None = None,
    out: str | os.PathLike[str] | None = None,
) -> ExperimentResult:
    """Run an experiment, and say what came of it.

    Ctrl-C undoes what is broken, and gives what was measured so far, marked ``interrupted``; a
    second one raises.

    experiment: the name of one that comes with tarslab (``redis-outage``, ``pod-kill``,
        ``redis-latency``, ``pause``, ``kill-during-rotation``), a file of Chaos Toolkit's format,
        or its content.
    platform: or a stack.
    target: URL or stack that load and writes go to; by default the stack of the platform.
    scale: of the time for which something is held or waited for, not of what is required. No fault
        is held for less than 2 s.
    guard: what a fault may do at most.
    variables: other values for the ``configuration`` of the file, such as ``{"repeats": 3}``.
    allow: hosts beside those of loopback that load and probes may go to.
    on_event: called with each ``Event``.
    out: folder that the result is saved to.

    Raises:
        BadArgument: An argument or the file cannot be used; the message says where.
        Refused: The guard rails do not let it through; nothing was touched.
        ExperimentFailed: It broke off, or could not be written; its ``result`` is what was
            measured, and what was broken is undone.
    """
    started = start(
        experiment,
        platform,
        target=target,
        scale=scale,
        guard=guard,
        variables=variables,
        allow=allow,
        out=out,
    )
    return started.wait(on_event)


def start(
    experiment: Experiment | Source,
    platform: Platform | Stack,
    *,
    target: str | Stack | None = None,
    scale: float = 1.0,
    guard: Guard | None = None,
    variables: Mapping[str, Any] | None = None,
    allow: Iterable[str] = (),
    out: str | os.PathLike[str] | None = None,
) -> "ExperimentRun":
    """``run`` in the background: the arguments are the same."""
    of = Experiment.of(experiment).with_variables(variables or {})
    options: dict[str, Any] = {"target": target, "scale": scale, "guard": guard, "allow": allow}
    _rehearse(Session(of, platform, planning=True, **options))
    session = Session(of, platform, **options)
    sends = of.has("load") or of.has("write")
    if sends or isinstance(session.target, str):
        to = resolve(session.whom(), session.allow)
        if sends:
            to.check_reachable()
    folder = None if out is None else Path(out)
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExperimentFailed(f"{folder}: the results cannot be written: {error}") from None
    session.__enter__()
    return ExperimentRun(session, folder)


def plan(
    experiment: Experiment | Source,
    platform: Platform | Stack,
    *,
    target: str | Stack | None = None,
    scale: float = 1.0,
    guard: Guard | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Plan:
    """Say exactly what an experiment would touch, and touch nothing.

    The arguments, and what is raised, are those of ``run``.
    """
    of = Experiment.of(experiment).with_variables(variables or {})
    session = Session(of, platform, target=target, scale=scale, guard=guard, planning=True)
    steps = _rehearse(session)
    rows = tuple(criterion.row() for criterion in of.criteria)
    return Plan(of.title, of.description, steps, rows)


class ExperimentRun:
    """An experiment that goes on, in a thread of its own."""

    def __init__(self, session: Session, out: Path | None) -> None:
        self._session = session
        self._out = out
        self._result: ExperimentResult | None = None
        self._error: BaseException | None = None
        self._interrupted = False
        self._thread = threading.Thread(target=self._work, name="experiment", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it still goes on."""
        return self._thread.is_alive()

    @property
    def events(self) -> tuple[Event, ...]:
        """What has happened so far."""
        return tuple(self._session.events)

    def snapshot(self) -> Snapshot:
        """How it is now."""
        session = self._session
        return Snapshot(
            elapsed=time.time() - session.started_at,
            phase=session.phase if self.running else "over",
            doing=session.doing,
            faults=tuple(session.faults),
            load=tuple(session.progress),
            probes=None if session.probes is None else session.probes.result,
            aborting=self._interrupted,
            over=not self.running,
        )

    def abort(self) -> None:
        """Undo what is broken, and end; ``wait`` gives what was measured."""
        if self.running:
            self._interrupted = True
            self._session.abort()

    def wait(self, on_event: OnEvent | None = None) -> ExperimentResult:
        """Its result, once it is over; Ctrl-C aborts it.

        Raises:
            ExperimentFailed: It broke off; its ``result`` is what was measured.
        """
        told = 0
        while True:
            try:
                over = not self.running
                for event in self._session.hear(told, 0.0 if over else LOOK):
                    told += 1
                    if on_event is not None:
                        on_event(event)
                if over:
                    break
            except KeyboardInterrupt:
                # A second one leaves the undoing to the watchdog.
                if self._interrupted:
                    raise
                self.abort()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _work(self) -> None:
        session = self._session
        try:
            journal: dict[str, Any] = {}
            try:
                journal = _run(session)
            except BaseException as error:
                session.fail(error)
            finally:
                session.__exit__(None, None, None)
            self._result = judged(session, journal, interrupted=self._interrupted)
            if self._out is not None:
                self._result.save(self._out)
            if session.error is not None:
                raise ExperimentFailed(
                    f"{session.experiment.name} broke off: {session.error}", self._result
                ) from session.error
        except BaseException as error:
            self._error = error
        finally:
            said = str(self._error) if self._error else getattr(self._result, "verdict", "")
            session.tell("end", said)


def _run(session: Session) -> dict[str, Any]:
    """Have Chaos Toolkit run it, in any thread; its journal."""
    from chaoslib.caching import cache_activities, clear_cache
    from chaoslib.run import Runner
    from chaoslib.types import Strategy

    from tarslab.chaos.experiments.watching import Watch

    _quieten()
    content = session.experiment.content

    class InThisThread(Runner):  # type: ignore[misc]
        """Without the signals of a process, which is another's business."""

        def run(self) -> dict[str, Any]:
            self.configure(content, SETTINGS, None)
            parts = (self.config, self.secrets, self.settings, self.event_registry)
            journal: dict[str, Any] = self._run(self.strategy, self.schedule, content, None, *parts)
            return journal

    cache_activities(content)
    try:
        with InThisThread(Strategy.DEFAULT) as runner:
            runner.register_event_handler(Watch(session))
            journal: dict[str, Any] = runner.run()
            return journal
    finally:
        clear_cache()


def _rehearse(session: Session) -> tuple[Step, ...]:
    """Go through an experiment without touching anything: what it would do."""
    from chaoslib.activity import run_activity
    from chaoslib.configuration import load_configuration
    from chaoslib.exceptions import ChaosException

    content = session.experiment.content
    configuration = load_configuration(content.get("configuration", {}))
    probes = content.get(HYPOTHESIS, {}).get("probes", [])
    phases = {
        "steady state before": probes,
        "method": content["method"],
        "steady state after": probes,
        "rollbacks": content.get("rollbacks", []),
    }
    assert session.steps is not None
    with planned(session):
        for session.phase, activities in phases.items():
            for activity in activities:
                session.doing = activity.get("name", activity.get("ref", ""))
                provider = activity.get("provider", {})
                if not provider.get("module", "").endswith("experiments.actions"):
                    session.plan(_of_another(activity))
                    continue
                try:
                    run_activity(activity, configuration, {})
                except ChaosException as error:
                    # What Chaos Toolkit makes of an error of ours is no more than its text.
                    cause = session.error or error
                    if isinstance(cause, TarslabError):
                        raise cause from None
                    raise ExperimentFailed(f"{session.doing}: {cause}") from cause
    return tuple(session.steps)


def _of_another(activity: Mapping[str, Any]) -> str:
    provider = activity.get("provider", {})
    match provider.get("type"):
        case "python":
            what = f"{provider['module']}.{provider['func']}"
        case "http":
            what = str(provider.get("url"))
        case "process":
            what = str(provider.get("path"))
        case _:
            return f"as {activity.get('ref')}"
    kind = "looked at" if activity.get("type") == "probe" else "done"
    return f"{kind}: {what}"


def _quieten() -> None:
    """Chaos Toolkit's log is for those who listen to it; without a handler it would be printed."""
    log = logging.getLogger("chaostoolkit")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    with suppress(AttributeError):
        log.propagate = log.propagate and bool(logging.getLogger().handlers)
