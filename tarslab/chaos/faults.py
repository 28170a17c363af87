"""Faults: what is broken on purpose, and always mended.

    with faults.outage(platform, "redis") as fault:
        ...                             # Redis is down
    fault.began, fault.ended            # Unix seconds

A fault is undone at the end of its ``with`` block, also by an exception, Ctrl-C or SIGTERM; by its
watchdog, a process of its own, where the run is killed or takes longer than the guard lets it; and
where that was killed too, by the next run or ``tarslab chaos undo`` (see ``tarslab.chaos.undo``).

Making a fault touches nothing, and finds out exactly what it would touch: ``print(fault)``.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Self

import msgspec

from tarslab.chaos.guards import Guard, Refused
from tarslab.chaos.platforms import Call, Platform, PlatformFailed, Unit
from tarslab.chaos.proxy.toxics import KINDS, STREAMS
from tarslab.chaos.undo import (
    Entry,
    Journal,
    carry_out,
    new_id,
    this_process,
    undo_all,
)
from tarslab.chaos.watchdog import Watchdog
from tarslab.errors import BadArgument, TarslabError

if TYPE_CHECKING:
    from tarslab.chaos.platforms import KubernetesPlatform

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Change(NamedTuple):
    """One thing that a fault does, and what takes it back."""

    do: Call
    undo: Call


def kill(
    platform: Platform,
    service: str,
    *,
    grace: float = 0.0,
    units: int = 1,
    guard: Guard | None = None,
) -> "Fault":
    """Kill units of a service, which the platform replaces.

    grace: seconds that each has to end by itself.
    units: how many, the longest running first.
    """
    chosen = _running(platform, service, units)
    arguments = {"grace": grace} if grace else {}
    changes = [
        Change(Call("kill", unit, arguments), undo=Call("start", service)) for unit in chosen
    ]
    return Fault(f"kill {service}", platform, chosen, changes, guard)


def pause(
    platform: Platform, service: str, *, units: int = 1, guard: Guard | None = None
) -> "Fault":
    """Stop units of a service in their tracks: hung, not dead."""
    chosen = _running(platform, service, units)
    changes = [Change(Call("pause", unit), undo=Call("resume", unit)) for unit in chosen]
    return Fault(f"pause {service}", platform, chosen, changes, guard)


def outage(platform: Platform, service: str, *, guard: Guard | None = None) -> "Fault":
    """Kill every unit of a service, and hold it down."""
    change = Change(Call("stop", service), undo=Call("start", service))
    return _on_all(f"outage of {service}", platform, service, change, guard)


def restart(platform: Platform, service: str, *, guard: Guard | None = None) -> "Fault":
    """Have every unit of a service end in order and start anew."""
    change = Change(Call("restart", service), undo=Call("start", service))
    return _on_all(f"restart {service}", platform, service, change, guard)


def latency(
    platform: Platform,
    service: str,
    milliseconds: int,
    *,
    jitter: int = 0,
    toxicity: float = 1.0,
    guard: Guard | None = None,
) -> "Fault":
    """Have each answer of a service come so much later, ± ``jitter`` milliseconds."""
    return degrade(
        platform,
        service,
        "latency",
        {"latency": milliseconds, "jitter": jitter},
        toxicity=toxicity,
        guard=guard,
    )


def bandwidth(
    platform: Platform, service: str, rate: int, *, guard: Guard | None = None
) -> "Fault":
    """Let the answers of a service through at ``rate`` kilobytes a second, on each connection."""
    return degrade(platform, service, "bandwidth", {"rate": rate}, guard=guard)


def reset(
    platform: Platform, service: str, *, toxicity: float = 1.0, guard: Guard | None = None
) -> "Fault":
    """Reset connections to a service when it answers."""
    return degrade(platform, service, "reset_peer", {}, toxicity=toxicity, guard=guard)


def degrade(
    platform: Platform,
    service: str,
    toxic: str,
    attributes: Mapping[str, int] | None = None,
    *,
    stream: str = "downstream",
    toxicity: float = 1.0,
    guard: Guard | None = None,
) -> "Fault":
    """Put any toxic of Toxiproxy on the connections to a service.

    toxic: ``latency``, ``bandwidth``, ``slow_close``, ``timeout``, ``reset_peer``, ``limit_data``
        or ``slicer``, with its attributes (https://github.com/Shopify/toxiproxy#toxics).
    stream: ``downstream``, what the service sends, or ``upstream``.
    toxicity: the probability that it acts on a connection.
    """
    given = dict(attributes or {})
    _check_toxic(toxic, given, stream, toxicity)
    name = new_id()
    arguments = {
        "name": name,
        "toxic": toxic,
        "attributes": given,
        "stream": stream,
        "toxicity": toxicity,
    }
    change = Change(
        Call("degrade", service, arguments), undo=Call("restore", service, {"name": name})
    )
    return _on_all(f"{toxic} on {service}", platform, service, change, guard)


def cut_off(platform: Platform, service: str, *, guard: Guard | None = None) -> "Fault":
    """Let nothing through to a service and back: connections are open, and silent."""
    name = {"name": new_id()}
    change = Change(Call("cut_off", service, name), undo=Call("restore", service, name))
    return _on_all(f"{service} cut off", platform, service, change, guard)


def kill_process(
    platform: "KubernetesPlatform", service: str, *, units: int = 1, guard: Guard | None = None
) -> "Fault":
    """Kill the processes of pods' first containers, which are started again where they are."""
    chosen = _running(platform, service, units)
    changes = [Change(Call("kill_process", unit), undo=Call("start", service)) for unit in chosen]
    return Fault(f"kill the processes of {service}", platform, chosen, changes, guard)


def scale(
    platform: "KubernetesPlatform", service: str, replicas: int, *, guard: Guard | None = None
) -> "Fault":
    """Scale a service, and back to what it had."""
    change = Change(Call("scale", service, {"replicas": replicas}), undo=Call("start", service))
    return _on_all(f"scale {service} to {replicas}", platform, service, change, guard)


def drain(platform: "KubernetesPlatform", node: str, *, guard: Guard | None = None) -> "Fault":
    """Have a node take no more pods, and evict from it those of the platform's namespace."""
    undo = Call("uncordon", node)
    changes = [Change(Call("cordon", node), undo), Change(Call("drain", node), undo)]
    if platform.is_cordoned(node):
        raise Refused(f"the node {node} is cordoned already: it would not be known what to undo")
    return Fault(f"drain {node}", platform, platform.units_on(node), changes, guard)


class Fault:
    """Something to break, for as long as its ``with`` block takes; it can be done once.

    ``str(fault)`` says exactly what is touched. Where there is no block, ``begin`` and ``end``.
    """

    def __init__(
        self,
        name: str,
        platform: Platform,
        units: Sequence[Unit],
        changes: Sequence[Change],
        guard: Guard | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.name = name
        self.platform = platform
        self.units = tuple(units)
        """Those that it touches."""
        self.changes = tuple(changes)
        self.guard = guard or Guard()
        self.began: float | None = None
        """When it was about to be done, in Unix seconds."""
        self.ended: float | None = None
        """When it was undone, in Unix seconds."""
        self._journal = journal or Journal()
        self._entry: Entry | None = None
        self._watchdog: Watchdog | None = None
        self._give_back: Callable[[], None] = lambda: None
        self._all_done = False
        # Whoever watches the run may end the fault, too.
        self._at_work = threading.RLock()
        self.guard.check(self.units)

    def begin(self) -> Self:
        """Do it. With ``dry_run`` only print what would be touched.

        Raises:
            Refused: Together with faults that go on it would touch more than it may.
            PlatformFailed: It could not be done, and has been undone; or what an earlier run left
                could not be.
        """
        if self.guard.dry_run:
            print(self)
            return self
        if self._entry is not None:
            raise BadArgument(f"{self.name} has been done: make another fault")
        self._finish_earlier_runs()
        with self._at_work:
            self._give_back = _unwind_when_ended()
            try:
                self._do()
            except BaseException:
                with suppress(Overran):
                    self.end()
                raise
        return self

    def end(self) -> None:
        """Undo it; once it is undone, this does nothing.

        It may be called by any thread.

        Raises:
            Overran: It took longer than it might, or somebody else has undone it.
            PlatformFailed: It could not be undone. It stays in the journal, and the watchdog goes
                on trying.
        """
        try:
            with _undisturbed(), self._at_work:
                in_time = self._entry is None or self.ended is not None or self._undo(self._entry)
            if not in_time:
                raise self._overran()
        finally:
            self._give_back()

    def __enter__(self) -> Self:
        return self.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # That it took too long says less than what broke it off.
        with suppress(Overran) if error is not None else nullcontext():
            self.end()

    def __str__(self) -> str:
        explain = self.platform.explain
        lines = [
            f"{self.name}, on {self.platform!r}, for {self.guard.max_seconds:g} s at most:",
            *(f"  {explain(change.do)}" for change in self.changes),
            "undone by:",
            *(f"  {explain(call)}" for call in self._undoing()),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Fault {self.name}>"

    def _finish_earlier_runs(self) -> None:
        for entry, error in undo_all(self._journal, platform=self.platform):
            if error is not None:
                raise PlatformFailed(
                    f"an earlier run left {entry.fault}, and {error}; mend it, then run tarslab "
                    "chaos undo"
                )

    def _do(self) -> None:
        with _undisturbed():
            entry = self._prepare()
        self.began = time.time()
        for change in self.changes:
            change.do.make(self.platform)
        self._all_done = self._journal.holds(entry)
        if not self._all_done:
            raise self._overran()

    def _prepare(self) -> Entry:
        """Whatever comes from here on, the fault is undone."""
        where = self.platform.reference()
        others = [entry for entry in self._journal.entries() if entry.platform == where]
        self.guard.check(self.units, [unit for entry in others for unit in entry.units])
        now = time.time()
        entry = Entry(
            id=new_id(),
            fault=self.name,
            platform=where,
            undo=self._undoing(),
            units=tuple((unit.service, unit.name) for unit in self.units),
            began=now,
            until=now + self.guard.max_seconds,
            owner=this_process(),
        )
        self._journal.add(entry)
        self._entry = entry
        self._watchdog = Watchdog(self._journal, entry)
        return entry

    def _undoing(self) -> tuple[Call, ...]:
        calls: list[Call] = []
        for change in reversed(self.changes):
            if change.undo not in calls:
                calls.append(change.undo)
        return tuple(calls)

    def _undo(self, entry: Entry) -> bool:
        """Whether nobody had undone it before."""
        try:
            first = self._journal.undo(entry, self.platform)
            # Some of it may have been done after somebody had undone it.
            if not first and not self._all_done:
                carry_out(entry, self.platform)
            self.ended = time.time()
            return first
        finally:
            if self._watchdog is not None:
                self._watchdog.close()

    def _overran(self) -> "Overran":
        assert self._entry is not None
        late = time.time() >= self._entry.until
        why = f"took longer than the {self.guard.max_seconds:g} s that it might" if late else ""
        return Overran(f"{self.name} {why or 'was ended by somebody else'}: it is undone already")


class Overran(TarslabError, RuntimeError):
    """A fault was undone before its end: what was measured after that is of no fault."""


def _running(platform: Platform, service: str, count: int) -> list[Unit]:
    if count < 1:
        raise BadArgument(f"units must be at least 1, not {count!r}")
    ready = [unit for unit in platform.units(service) if unit.state == "ready"]
    if len(ready) < count:
        raise Refused(f"{len(ready)} units of {service} are ready, and {count} would be needed")
    return sorted(ready, key=lambda unit: unit.started or 0.0)[:count]


def _on_all(
    name: str, platform: Platform, service: str, change: Change, guard: Guard | None
) -> Fault:
    units = platform.units(service)
    if all(unit.state != "ready" for unit in units):
        raise Refused(f"no unit of {service} is ready: there is nothing to break")
    return Fault(name, platform, units, [change], guard)


def _check_toxic(toxic: str, attributes: Mapping[str, int], stream: str, toxicity: float) -> None:
    if toxic not in KINDS:
        raise BadArgument(f"toxic must be one of {', '.join(KINDS)}, not {toxic!r}")
    if stream not in STREAMS:
        raise BadArgument(f"stream must be one of {', '.join(STREAMS)}, not {stream!r}")
    if not 0 <= toxicity <= 1:
        raise BadArgument(f"toxicity must be 0 to 1, not {toxicity!r}")
    try:
        msgspec.convert(attributes, KINDS[toxic])
    except msgspec.ValidationError as error:
        raise BadArgument(f"attributes of {toxic}: {error}") from None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Have signals that would end the run wait until the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def wait(number: int, _: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, wait) for number in ENDING if _is_ours(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def _unwind_when_ended() -> Callable[[], None]:
    """Have signals that kill a process raise SystemExit instead; how to give that back."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    changed = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _exit)

    def give_back() -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in changed:
            if signal.getsignal(number) is _exit:
                signal.signal(number, signal.SIG_DFL)

    return give_back


def _is_ours(number: signal.Signals) -> bool:
    """Whether its handler is one that Python knows, and can put back."""
    return signal.getsignal(number) is not None


def _exit(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
