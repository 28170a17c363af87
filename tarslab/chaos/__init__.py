"""Load, faults and experiments against a deployment, and what came of them.

Everything loads when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tarslab.chaos import load
    from tarslab.chaos.load import LoadResult, run_load

_ROOMS = ("load",)
_NAMES = {"LoadResult": "load", "run_load": "load"}

__all__ = ["LoadResult", "load", "run_load"]


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
