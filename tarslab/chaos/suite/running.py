"""A suite: load tests, then experiments, with time to cool down between them."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tarslab.chaos.experiments import files
from tarslab.chaos.experiments.environment import environment
from tarslab.chaos.experiments.errors import ExperimentFailed
from tarslab.chaos.experiments.results import BROKEN_OFF, INTERRUPTED
from tarslab.chaos.experiments.running import run
from tarslab.chaos.experiments.session import Event, Session
from tarslab.chaos.guards import Guard
from tarslab.chaos.load.errors import LoadFailed
from tarslab.chaos.load.loadtest import shipped as shipped_loads
from tarslab.chaos.load.progress import Progress
from tarslab.chaos.load.running import run_load
from tarslab.chaos.platforms import Platform
from tarslab.chaos.suite.reporting import write_summaries
from tarslab.chaos.suite.results import SKIPPED, Entry, Kind, SuiteResult
from tarslab.errors import BadArgument, TarslabError
from tarslab.stack import Stack

OnEvent = Callable[[str, Event | Progress], object]
# The order in which they are run: what breaks the most comes last.
LOADS = ("sustained", "spike", "jwt-stress")
EXPERIMENTS = ("pause", "pod-kill", "redis-latency", "kill-during-rotation", "redis-outage")


def run_suite(
    platform: Platform | Stack,
    *,
    target: str | Stack | None = None,
    only: Iterable[str] | None = None,
    skip_load: bool = False,
    skip_resilience: bool = False,
    scale: float = 1.0,
    cooldown: float = 30.0,
    guard: Guard | None = None,
    allow: Iterable[str] = (),
    on_event: OnEvent | None = None,
    out: str | os.PathLike[str] = "chaos-results",
) -> SuiteResult:
    """Run all load tests and experiments that come with tarslab, and report on them.

    Ctrl-C undoes what is broken, skips the rest, and reports on what there is.

    platform, target, guard, allow: as for ``run``.
    only: names of load tests and experiments.
    scale: of the time of each.
    cooldown: seconds between two, whatever the scale.
    on_event: called with the name of what runs, and an ``Event`` or the ``Progress`` of a load.
    out: folder, in which one named by the time is made for this suite: with ``summary.md``,
        ``summary.json``, ``junit.xml``, ``environment.json``, and each result.
        ``tarslab.reports.write_suite_page`` adds a page with charts.

    Raises:
        BadArgument: An argument cannot be used.
        ExperimentFailed: The results cannot be written.
    """
    chosen = list(_chosen(only, skip_load, skip_resilience))
    if not cooldown >= 0:
        raise BadArgument(f"cooldown must be at least 0 s, not {cooldown!r}")
    # It checks the arguments, and knows the platform of a stack.
    nothing = {"title": "suite", "description": "suite", "method": []}
    session = Session(
        files.Experiment(nothing, "suite", "suite"),
        platform,
        target=target,
        scale=scale,
        allow=allow,
    )
    hosts = session.allow
    started_at, begun = time.time(), time.monotonic()
    folder = _folder(Path(out), started_at)
    where = environment(session.platform)
    entries: list[Entry] = []

    def so_far() -> SuiteResult:
        seconds = time.monotonic() - begun
        return SuiteResult(folder, tuple(entries), started_at, seconds, scale, where)

    for place, (kind, name) in enumerate(chosen):
        if any(entry.verdict in (INTERRUPTED, SKIPPED) for entry in entries):
            entries.append(Entry(kind, name, SKIPPED))
            continue
        at = time.monotonic()
        try:
            if place:
                _cool_down(session, cooldown)
            at = time.monotonic()
            if kind == "load":
                entry = _load(name, session, folder, hosts, on_event)
            else:
                entry = _experiment(name, session, folder, guard, hosts, on_event)
        except KeyboardInterrupt:
            entry = Entry(kind, name, SKIPPED)
        except (LoadFailed, ExperimentFailed) as error:
            entry = Entry(kind, name, BROKEN_OFF, error=str(error), result=error.result)
        except TarslabError as error:
            entry = Entry(kind, name, BROKEN_OFF, error=str(error))
        entries.append(replace(entry, seconds=time.monotonic() - at))
        # What there is stays, whatever comes.
        write_summaries(so_far())
    result = so_far()
    write_summaries(result)
    return result


def _chosen(
    only: Iterable[str] | None, skip_load: bool, skip_resilience: bool
) -> Iterator[tuple[Kind, str]]:
    known = dict.fromkeys(LOADS, "load") | dict.fromkeys(EXPERIMENTS, "resilience")
    assert set(known) == {*shipped_loads(), *files.shipped()}
    wanted = set(known) if only is None else set(only)
    for name in wanted - set(known):
        raise BadArgument(f"only: must be of {', '.join(known)}, not {name!r}")
    some = [
        name
        for name in known
        if name in wanted and not (skip_load if name in LOADS else skip_resilience)
    ]
    if not some:
        raise BadArgument("only: nothing is left to run")
    for name in some:
        yield ("load" if name in LOADS else "resilience"), name


def _folder(out: Path, started_at: float) -> Path:
    stamp = datetime.fromtimestamp(started_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(100):
        folder = out / (stamp if not number else f"{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if folder.is_dir():
                continue
            raise ExperimentFailed(f"{out}: is no folder") from None
        except OSError as error:
            raise ExperimentFailed(f"{out}: the results cannot be written: {error}") from None
        return folder
    raise ExperimentFailed(f"{out}: too many results of this second")


def _cool_down(session: Session, seconds: float) -> None:
    time.sleep(seconds)
    for service in session.platform.services:
        session.platform.wait_ready(service)


def _load(
    name: str, session: Session, folder: Path, hosts: tuple[str, ...], on_event: OnEvent | None
) -> Entry:
    def show(progress: Progress) -> None:
        if on_event is not None:
            on_event(name, progress)

    result = run_load(
        name,
        session.whom(),
        scale=session.scale,
        allow=hosts,
        on_progress=show,
        out=folder / "load" / name,
    )
    verdict = INTERRUPTED if result.interrupted else result.verdict
    return Entry("load", name, verdict, result=result)


def _experiment(
    name: str,
    session: Session,
    folder: Path,
    guard: Guard | None,
    hosts: tuple[str, ...],
    on_event: OnEvent | None,
) -> Entry:
    def show(event: Event) -> None:
        if on_event is not None:
            on_event(name, event)

    result = run(
        name,
        session.platform,
        target=session.target,
        scale=session.scale,
        guard=guard,
        allow=hosts,
        on_event=show,
        out=folder / "resilience" / name,
    )
    return Entry("resilience", name, result.verdict, result=result)
