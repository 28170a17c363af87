"""tarslab: reinforcement-learning training curves, read fast, computed honestly, drawn anywhere.

Everything loads when it is first used: importing tarslab costs almost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "AdminClient": "tarslab.admin",
    "AsyncAdminClient": "tarslab.admin",
    "follow": "tarslab.runs",
    "load": "tarslab.runs",
    "load_study": "tarslab.studies",
    "search": "tarslab.studies",
    "LiveRuns": "tarslab.runs",
    "Run": "tarslab.runs",
    "Runs": "tarslab.runs",
    "Study": "tarslab.studies",
    "TarslabError": "tarslab.errors",
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


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"tarslab.{name}")
    if name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'tarslab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
