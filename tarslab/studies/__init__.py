"""Hyperparameter searches of Optuna: to run them, and any storage to a table of trials.

Everything loads when it is first used: a notebook that records its result loads nothing heavy.
"""

from typing import TYPE_CHECKING

from tarslab.lazy import doors

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

__getattr__, __dir__ = doors(__name__, _NAMES)
