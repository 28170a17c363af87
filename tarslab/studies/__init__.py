"""Hyperparameter searches of Optuna: to run them, and any storage to a table of trials.

Everything loads when it is first used: a notebook that records its result loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tarslab.studies.loading import load_study
    from tarslab.studies.objectives import record, report
    from tarslab.studies.searching import search
    from tarslab.studies.study import Study

_NAMES = {
    "Study": "study",
    "load_study": "loading",
    "record": "objectives",
    "report": "objectives",
    "search": "searching",
}

__all__ = ["Study", "load_study", "record", "report", "search"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
