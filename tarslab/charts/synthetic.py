"""Charts of synthetic data say so."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import altair as alt

from tarslab.charts.algorithms import heading

NOTE = "Synthetic data"
P = ParamSpec("P")
Chart = TypeVar("Chart")


def says_so(draw: Callable[P, Chart]) -> Callable[P, Chart]:
    """A chart function with a line above its chart where what it draws, its first argument, was
    made by ``tarslab.synth``."""

    @wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> Chart:
        made = draw(*args, **options)
        chart: Any = made
        if args and _is_synthetic(args[0]):
            title = chart.title
            lines = [] if title is alt.Undefined else list(title.text)
            # A chart may be drawn by another.
            if NOTE not in lines:
                chart.title = heading([*lines, NOTE])
        return made

    return drawn


def _is_synthetic(data: Any) -> bool:
    """Whether runs, scores of runs or a study, or any of several, are; of arrays nobody knows."""
    if hasattr(data, "synthetic"):
        return bool(data.synthetic)
    if isinstance(data, Mapping):
        return any(map(_is_synthetic, data.values()))
    return isinstance(data, list | tuple) and any(map(_is_synthetic, data))
