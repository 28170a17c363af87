"""All load tests and experiments in sequence, and what came of them.

    result = tl.chaos.suite.run_suite(stack, scale=0.05, cooldown=5)
    result.passed
    tl.reports.write_suite_page(result)

Everything loads when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tarslab.chaos.suite.comparing import compare_folders
    from tarslab.chaos.suite.results import Entry, SuiteResult
    from tarslab.chaos.suite.running import run_suite

_NAMES = {
    "Entry": "results",
    "SuiteResult": "results",
    "compare_folders": "comparing",
    "run_suite": "running",
}

__all__ = ["Entry", "SuiteResult", "compare_folders", "run_suite"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
