"""Load, faults and experiments against a deployment, and what came of them.

Everything loads when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tarslab.chaos import experiments, faults, load, platforms, suite
    from tarslab.chaos.experiments import (
        Event,
        Experiment,
        ExperimentFailed,
        ExperimentResult,
        ExperimentRun,
        FaultWindow,
        Plan,
        Snapshot,
        plan,
        run,
        start,
    )
    from tarslab.chaos.guards import Guard
    from tarslab.chaos.load import LoadResult, run_load
    from tarslab.chaos.platforms import KubernetesPlatform, LocalPlatform
    from tarslab.chaos.probes import ProbeResult, Probes
    from tarslab.chaos.searches import SearchCost, search_cost
    from tarslab.chaos.undo import undo_all

_ROOMS = ("experiments", "faults", "load", "platforms", "suite")
_NAMES = {
    "Event": "experiments",
    "Experiment": "experiments",
    "ExperimentFailed": "experiments",
    "ExperimentResult": "experiments",
    "ExperimentRun": "experiments",
    "FaultWindow": "experiments",
    "Guard": "guards",
    "KubernetesPlatform": "platforms",
    "LoadResult": "load",
    "LocalPlatform": "platforms",
    "Plan": "experiments",
    "ProbeResult": "probes",
    "Probes": "probes",
    "SearchCost": "searches",
    "Snapshot": "experiments",
    "plan": "experiments",
    "run": "experiments",
    "run_load": "load",
    "search_cost": "searches",
    "start": "experiments",
    "undo_all": "undo",
}

__all__ = [
    "Event",
    "Experiment",
    "ExperimentFailed",
    "ExperimentResult",
    "ExperimentRun",
    "FaultWindow",
    "Guard",
    "KubernetesPlatform",
    "LoadResult",
    "LocalPlatform",
    "Plan",
    "ProbeResult",
    "Probes",
    "SearchCost",
    "Snapshot",
    "experiments",
    "faults",
    "load",
    "plan",
    "platforms",
    "run",
    "run_load",
    "search_cost",
    "start",
    "suite",
    "undo_all",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _NAMES:
        value = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
