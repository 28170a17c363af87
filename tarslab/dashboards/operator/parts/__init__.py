"""The parts that the dashboard is made of: they show state, and decide nothing."""

from tarslab.dashboards.operator.parts.confirm import Confirm, Question
from tarslab.dashboards.operator.parts.download import Download
from tarslab.dashboards.operator.parts.form import Field, Form
from tarslab.dashboards.operator.parts.masthead import Masthead
from tarslab.dashboards.operator.parts.shown_once import ShownOnce
from tarslab.dashboards.operator.parts.table import Badge, Cell, Row, Sparkline, Table

__all__ = [
    "Badge",
    "Cell",
    "Confirm",
    "Download",
    "Field",
    "Form",
    "Masthead",
    "Question",
    "Row",
    "ShownOnce",
    "Sparkline",
    "Table",
]
