"""ipywidgets applications: they hold controls and state, and compute nothing themselves.

Each loads when it is first used: what one is made with is not needed for another.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from tarslab.lazy import doors

if TYPE_CHECKING:
    from tarslab.dashboards.automl import AutoMLDashboard, automl
    from tarslab.dashboards.chaos import ChaosDashboard, chaos
    from tarslab.dashboards.operator import OperatorDashboard, operator
    from tarslab.dashboards.training import TrainingDashboard, training

_MODULES = {
    "AutoMLDashboard": "automl",
    "ChaosDashboard": "chaos",
    "OperatorDashboard": "operator",
    "TrainingDashboard": "training",
    "automl": "automl",
    "chaos": "chaos",
    "operator": "operator",
    "training": "training",
}

__all__ = [
    "AutoMLDashboard",
    "ChaosDashboard",
    "OperatorDashboard",
    "TrainingDashboard",
    "automl",
    "chaos",
    "operator",
    "training",
]


class _Door(ModuleType):
    """A package whose functions are not replaced by the modules of the same names.

    That is what an import of ``tarslab.dashboards.training`` would do to ``training``.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door

__getattr__, __dir__ = doors(__name__, _MODULES)
