"""A platform that only takes note of what it is told to do."""

from collections.abc import Callable, Mapping
from typing import Any

from tarslab.chaos.platforms import Call, Unit


class Recorded:
    """Two units of each of ``web`` and ``db``; ``calls`` is what was done, in order."""

    services = ("web", "db")

    def __init__(self, name: str = "one") -> None:
        self.calls: list[str] = []
        self.name = name
        self.states = dict.fromkeys(("web-1", "web-2", "db-1", "db-2"), "ready")
        self.before: Callable[[str], None] = lambda call: None
        """Called before anything is done, with what that is; it may raise."""

    def units(self, service: str) -> tuple[Unit, ...]:
        names = [name for name in self.states if name.startswith(service)]
        started = {"web-1": 200.0, "web-2": 100.0}
        return tuple(
            Unit(name, service, f"id-{name}", self.states[name], started.get(name, 0.0))  # type: ignore[arg-type]
            for name in names
        )

    def address(self, service: str) -> str:
        return f"http://127.0.0.1:1/{service}"

    def kill(self, unit: Unit, *, grace: float = 0.0) -> None:
        self._done(f"kill {unit.name} {grace:g}")

    def pause(self, unit: Unit) -> None:
        self._done(f"pause {unit.name}")

    def resume(self, unit: Unit) -> None:
        self._done(f"resume {unit.name}")

    def restart(self, service: str) -> None:
        self._done(f"restart {service}")

    def stop(self, service: str) -> None:
        self._done(f"stop {service}")

    def start(self, service: str) -> None:
        self._done(f"start {service}")

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
        self._done(f"degrade {service} {toxic} {dict(attributes)} {stream} {toxicity:g}")
        self._done(f"under {name}")

    def cut_off(self, service: str, *, name: str) -> None:
        self._done(f"cut off {service}")

    def restore(self, service: str, *, name: str) -> None:
        self._done(f"restore {service}")

    def wait_ready(self, service: str, timeout: float = 60.0) -> None:
        pass

    def explain(self, call: Call) -> str:
        of = call.target.name if isinstance(call.target, Unit) else call.target
        return f"{call.verb} {of}"

    def version(self) -> str:
        return "recorded 1"

    def describe(self) -> dict[str, Any]:
        return {"version": self.version()}

    def reference(self) -> dict[str, Any]:
        return {"kind": "recorded", "name": self.name}

    def __repr__(self) -> str:
        return f"the recorded platform {self.name}"

    def _done(self, call: str) -> None:
        self.before(call)
        self.calls.append(call)
