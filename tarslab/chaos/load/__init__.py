"""Load as users are: arrivals that do not wait, latency from when each was due, its own audit.

    result = run_load("sustained", stack, scale=0.01)
    result.verdict      # passed, failed, or invalid: generator-limited
    result.summary()

Scenarios are files in k6's vocabulary, and flows (what one user does) are Python functions.
Everything loads when it is first used.
"""

from typing import TYPE_CHECKING

from tarslab.lazy import doors

if TYPE_CHECKING:
    from tarslab.chaos.load.audit import Audit
    from tarslab.chaos.load.capacities import Capacity, capacity
    from tarslab.chaos.load.comparing import Change, compare
    from tarslab.chaos.load.errors import LoadFailed
    from tarslab.chaos.load.flows import Flow, flow
    from tarslab.chaos.load.k6.exporting import export
    from tarslab.chaos.load.live import live
    from tarslab.chaos.load.loadtest import LoadTest
    from tarslab.chaos.load.progress import Progress
    from tarslab.chaos.load.results import LoadResult, merge
    from tarslab.chaos.load.running import LoadRun, run_load, start_load

_NAMES = {
    "Audit": "audit",
    "Capacity": "capacities",
    "Change": "comparing",
    "Flow": "flows",
    "LoadFailed": "errors",
    "LoadResult": "results",
    "LoadRun": "running",
    "LoadTest": "loadtest",
    "Progress": "progress",
    "capacity": "capacities",
    "compare": "comparing",
    "export": "k6.exporting",
    "flow": "flows",
    "live": "live",
    "merge": "results",
    "run_load": "running",
    "start_load": "running",
}

__all__ = [
    "Audit",
    "Capacity",
    "Change",
    "Flow",
    "LoadFailed",
    "LoadResult",
    "LoadRun",
    "LoadTest",
    "Progress",
    "capacity",
    "compare",
    "export",
    "flow",
    "live",
    "merge",
    "run_load",
    "start_load",
]

__getattr__, __dir__ = doors(__name__, _NAMES)
