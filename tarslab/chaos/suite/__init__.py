"""All load tests and experiments in sequence, and what came of them.

    result = tl.chaos.suite.run_suite(stack, scale=0.05, cooldown=5)
    result.passed
    tl.reports.write_suite_page(result)

Everything loads when it is first used.
"""

from typing import TYPE_CHECKING

from tarslab.lazy import doors

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

__getattr__, __dir__ = doors(__name__, _NAMES)
