"""Experiments in Chaos Toolkit's format, on our faults, probes and load.

    result = tl.chaos.run("redis-outage", stack, scale=0.1)
    result.verdict          # passed, failed, or invalid: generator-limited
    result.criteria

``chaos validate`` and ``chaos run`` of Chaos Toolkit take the same files. Everything loads when it
is first used.
"""

from typing import TYPE_CHECKING

from tarslab.lazy import doors

if TYPE_CHECKING:
    from tarslab.chaos.experiments.errors import ExperimentFailed
    from tarslab.chaos.experiments.files import Experiment, shipped, shipped_path
    from tarslab.chaos.experiments.measures import FaultWindow
    from tarslab.chaos.experiments.results import ExperimentResult
    from tarslab.chaos.experiments.running import ExperimentRun, Plan, Snapshot, plan, run, start
    from tarslab.chaos.experiments.session import Event

_NAMES = {
    "Event": "session",
    "Experiment": "files",
    "ExperimentFailed": "errors",
    "ExperimentResult": "results",
    "ExperimentRun": "running",
    "FaultWindow": "measures",
    "Plan": "running",
    "Snapshot": "running",
    "plan": "running",
    "run": "running",
    "shipped": "files",
    "shipped_path": "files",
    "start": "running",
}

__all__ = [
    "Event",
    "Experiment",
    "ExperimentFailed",
    "ExperimentResult",
    "ExperimentRun",
    "FaultWindow",
    "Plan",
    "Snapshot",
    "plan",
    "run",
    "shipped",
    "shipped_path",
    "start",
]

__getattr__, __dir__ = doors(__name__, _NAMES)
