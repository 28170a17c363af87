"""Headless execution of notebooks, and pages that open anywhere."""

from tarslab.reports.building import Progress, Report, build
from tarslab.reports.execution import Execution, execute
from tarslab.reports.normalising import normalise
from tarslab.reports.suite_page import suite_page, write_suite_page

__all__ = [
    "Execution",
    "Progress",
    "Report",
    "build",
    "execute",
    "normalise",
    "suite_page",
    "write_suite_page",
]
