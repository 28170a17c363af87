"""Experiments and observations made for tests."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from tarslab.chaos.experiments.files import Experiment
from tarslab.chaos.experiments.measures import FaultWindow
from tarslab.chaos.experiments.session import Session
from tarslab.chaos.platforms import Platform
from tarslab.chaos.prober import Probe
from tarslab.chaos.probes import ProbeResult

ACTIONS = "tarslab.chaos.experiments.actions"
LOAD = {
    "scenarios": {
        "users": {
            "executor": "constant-arrival-rate",
            "exec": "mixed",
            "rate": 10,
            "duration": "1h",
            "preAllocatedVUs": 20,
            "gracefulStop": "2s",
        }
    },
    # It says how late the generator may be.
    "thresholds": {"http_req_duration": ["p(95)<10000"]},
}


def action(function: str, *, background: bool = False, **arguments: Any) -> dict[str, Any]:
    """An activity of the method."""
    provider = {"type": "python", "module": ACTIONS, "func": function, "arguments": arguments}
    return {"type": "action", "name": function, "background": background, "provider": provider}


def load() -> dict[str, Any]:
    """The activity that puts load on."""
    return action("load", background=True, scenario=LOAD)


def experiment(
    *method: dict[str, Any], criteria: Iterable[dict[str, Any]] = (), **more: Any
) -> dict[str, Any]:
    """An experiment that undoes at its end."""
    return {
        "title": "What comes of it?",
        "description": "For a test.",
        "controls": [
            {
                "name": "tarslab",
                "provider": {"type": "python", "module": "tarslab.chaos.experiments.control"},
            }
        ],
        "runtime": {"rollbacks": {"strategy": "always"}},
        "method": list(method),
        "rollbacks": [action("undo")],
        "extensions": [{"name": "tarslab", "criteria": list(criteria)}],
        **more,
    }


def criterion(measure: str, required: str, **arguments: Any) -> dict[str, Any]:
    """What is promised."""
    return {"criterion": f"{measure} {required}", "measure": measure, "required": required} | (
        arguments
    )


def probes(service: str, outcomes: Sequence[str], *, start: float = 0.0) -> list[Probe]:
    """Twenty a second, each answered after 10 ms: ``up``, ``down`` or a mode, one after the other.

    With ``start=0`` the n-th is sent at n / 20 s.
    """
    seen = []
    for number, outcome in enumerate(outcomes):
        at = start + number / 20
        failure = "timeout" if outcome == "down" else ""
        mode = "" if outcome in ("up", "down") else outcome
        seen.append(Probe(service, at, at, at + 0.01, failure, mode))
    return seen


def result_of(*several: list[Probe]) -> ProbeResult:
    """Probes of several services."""
    return ProbeResult(tuple(probe for one in several for probe in one), 20.0, 1.0)


def window(
    began: float, ended: float | None, name: str = "outage of redis", **more: Any
) -> FaultWindow:
    """A fault, from whose end recovery counts."""
    since = more.pop("since", began if ended is None else ended)
    services = more.pop("services", ("redis",))
    return FaultWindow(name, services, began, ended, since, **more)


class Nowhere:
    """A platform of which nothing is there."""

    services = ("api",)

    def address(self, service: str) -> str:
        """Where nobody listens."""
        return "http://127.0.0.1:1"

    def reference(self) -> dict[str, Any]:
        """Of no kind that there is."""
        return {"kind": "nowhere"}

    def describe(self) -> dict[str, Any]:
        """Hardly anything."""
        return {"platform": "nowhere", "version": "0"}


def nowhere() -> Platform:
    """For what asks nothing of it."""
    return cast(Platform, Nowhere())


def session(*method: dict[str, Any], **more: Any) -> Session:
    """One that is not opened, of an experiment on a platform of which nothing is there."""
    content = experiment(*method, **more)
    return Session(Experiment.of(content), nowhere(), target="http://127.0.0.1:1")
