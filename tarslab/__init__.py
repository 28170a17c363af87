"""tarslab: reinforcement-learning training curves, read fast, computed honestly, drawn anywhere.

Everything loads when it is first used: importing tarslab costs almost nothing.
"""

from typing import TYPE_CHECKING

from tarslab.lazy import doors

if TYPE_CHECKING:
    from tarslab import (
        admin,
        chaos,
        charts,
        dashboards,
        errors,
        reports,
        runs,
        stack,
        stats,
        studies,
        synth,
    )
    from tarslab.admin import AdminClient, AsyncAdminClient
    from tarslab.errors import TarslabError
    from tarslab.runs import LiveRuns, Run, Runs, follow, load
    from tarslab.studies import Study, load_study, search

__version__ = "0.1.0"

_ROOMS = (
    "admin",
    "chaos",
    "charts",
    "dashboards",
    "errors",
    "reports",
    "runs",
    "stack",
    "stats",
    "studies",
    "synth",
)
_NAMES = {
    "AdminClient": "admin",
    "AsyncAdminClient": "admin",
    "follow": "runs",
    "load": "runs",
    "load_study": "studies",
    "search": "studies",
    "LiveRuns": "runs",
    "Run": "runs",
    "Runs": "runs",
    "Study": "studies",
    "TarslabError": "errors",
}

__all__ = [
    "AdminClient",
    "AsyncAdminClient",
    "LiveRuns",
    "Run",
    "Runs",
    "Study",
    "TarslabError",
    "admin",
    "chaos",
    "charts",
    "dashboards",
    "errors",
    "follow",
    "load",
    "load_study",
    "reports",
    "runs",
    "search",
    "stack",
    "stats",
    "studies",
    "synth",
]

__getattr__, __dir__ = doors(__name__, _NAMES, _ROOMS)
