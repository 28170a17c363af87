"""Charts of metrics that some trainers log and others do not."""

from collections.abc import Callable
from typing import Any

import altair as alt

from tarslab.errors import NotLogged
from tarslab.runs import Runs


class Note:
    """A sentence where a chart would stand."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def where_logged(
    chart: Callable[..., alt.LayerChart], runs: Runs, **options: Any
) -> alt.LayerChart | Note:
    """``chart(runs, **options)``, or a note of what is missing where no run has its metric.

    For notebooks that run on anyone's logs; any other error is raised.
    """
    try:
        return chart(runs, **options)
    except NotLogged as missing:
        return Note(f"Not drawn: {missing}")
