"""Load, faults and experiments against a deployment, and what came of them.

Everything loads when it is first used.
"""

from typing import TYPE_CHECKING

from tarslab.lazy import doors

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

__getattr__, __dir__ = doors(__name__, _NAMES, _ROOMS)
