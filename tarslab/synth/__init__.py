"""Seeded synthetic runs and trials, for teaching, tests and scale; never passed off as real.

What is made here says so: ``format`` in ``Runs.table`` is ``synthetic``, as is ``Study.source``,
and ``Study.attributes["synthetic"]`` is true. The shapes are drawn, nothing was trained.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tarslab.synth.curves import training
    from tarslab.synth.games import nash
    from tarslab.synth.trials import study

__all__ = ["FORMAT", "nash", "study", "training"]

FORMAT = "synthetic"

# Optuna and what comes with it load with the first study.
_MODULES = {"nash": "games", "study": "trials", "training": "curves"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(import_module(f"tarslab.synth.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'tarslab.synth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
