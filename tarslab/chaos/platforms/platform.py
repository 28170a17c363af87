"""What faults are done to: a platform, its services, and the units that each consists of."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct, field

State = Literal["ready", "unready", "starting", "paused", "stopped", "failed"]

# fmt: off
Verb = Literal[
    "kill", "kill_process", "pause", "resume", "restart", "stop", "scale", "start",
    "degrade", "cut_off", "restore", "cordon", "uncordon", "drain",
]
# fmt: on


class Unit(Struct, frozen=True):
    """One process or pod of a service."""

    name: str
    service: str
    id: str
    """Number of the process, or UID of the pod."""
    state: State
    started: float | None = None
    """Unix seconds."""


class Call(Struct, frozen=True):
    """A call of a platform's method: what a fault does, and what undoes it; it can be kept."""

    verb: Verb
    target: Unit | str
    """A unit, or the name of a service or node."""
    arguments: dict[str, Any] = field(default_factory=dict)

    def make(self, platform: "Platform") -> None:
        """Do it."""
        getattr(platform, self.verb)(self.target, **self.arguments)


@runtime_checkable
class Platform(Protocol):
    """Where a deployment runs.

    What undoes a fault (``resume``, ``start``, ``restore``) does nothing where there is nothing to
    undo, so that it can be done twice. Each method raises PlatformFailed where it cannot be done,
    or the platform is lost, and BadArgument for a service that is not there.
    """

    @property
    def services(self) -> tuple[str, ...]:
        """The names of its services."""
        ...

    def units(self, service: str) -> tuple[Unit, ...]:
        """The units of a service as they are now, by name."""
        ...

    def address(self, service: str) -> str:
        """The URL at which users reach a service; that of Redis has its password in it."""
        ...

    def kill(self, unit: Unit, *, grace: float = 0.0) -> None:
        """Kill a unit, which the platform replaces.

        grace: seconds that it has to end by itself; with 0 it has none.
        """
        ...

    def pause(self, unit: Unit) -> None:
        """Stop a unit in its tracks (SIGSTOP): it holds its connections, and answers nothing."""
        ...

    def resume(self, unit: Unit) -> None:
        """Let a paused unit go on."""
        ...

    def restart(self, service: str) -> None:
        """Have every unit of a service end in order and start anew."""
        ...

    def stop(self, service: str) -> None:
        """Kill a service's units, and hold it down."""
        ...

    def start(self, service: str) -> None:
        """Have a service that is held down, or given up, run again."""
        ...

    def degrade(
        self,
        service: str,
        *,
        name: str,
        toxic: str,
        attributes: Mapping[str, int],
        stream: str = "downstream",
        toxicity: float = 1.0,
    ) -> None:
        """Have a toxic of Toxiproxy act on the connections to a service, under a name."""
        ...

    def cut_off(self, service: str, *, name: str) -> None:
        """Let nothing through to a service and back, under a name."""
        ...

    def restore(self, service: str, *, name: str) -> None:
        """Take back what was done to a service's connections under a name."""
        ...

    def wait_ready(self, service: str, timeout: float = 60.0) -> None:
        """Wait until every unit of a service that should be there is ready."""
        ...

    def explain(self, call: Call) -> str:
        """In one line, exactly what a call would touch."""
        ...

    def version(self) -> str:
        """What runs there, and in which version."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a result says of where it was measured; no secret."""
        ...

    def reference(self) -> dict[str, Any]:
        """How another process finds it, for ``connect``; no secret."""
        ...


def done_to_connections(call: Call) -> str:
    """In words, what a call does to the connections of a service."""
    if call.verb == "cut_off":
        return "nothing gets through, either way"
    if call.verb == "degrade":
        given = call.arguments
        attributes = ", ".join(f"{name}={value}" for name, value in given["attributes"].items())
        share = given.get("toxicity", 1.0)
        some = "" if share == 1 else f", on {share:.0%} of them"
        return f"{given['toxic']} {given.get('stream', 'downstream')} ({attributes}){some}"
    return "as they were"
