"""The frontier of three objectives in space, by plotly."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from tarslab.charts import theme
from tarslab.charts.front import (
    COLOURS,
    KINDS,
    Front,
    Objectives,
    better,
    chosen_objectives,
    drawn_front,
)
from tarslab.charts.synthetic import NOTE
from tarslab.charts.trials import title_of
from tarslab.errors import BadArgument
from tarslab.studies import Study

MOST = 5_000
SYMBOLS = ("cross", "circle", "diamond")
SIZES = (4, 2.5, 4)
OPACITIES = (0.5, 0.35, 1)


def pareto_front_3d(study: Study, *, objectives: Objectives | None = None) -> Any:
    """The trials that no other dominates, in the space of three objectives, to be turned about.

    Parameters
    ----------
    objectives
        Three by place or name; by default all of a study that has three. The frontier is that of
        the chosen ones.

    Returns
    -------
    plotly.graph_objects.Figure
        It is drawn by the plotly.js that comes with plotly, without a network.

    Raises
    ------
    NoTrials
        No complete trial keeps its constraints, or none on the frontier has finite values.
    BadArgument
        There are not three objectives, one is unknown, or plotly is not installed.
    """
    chosen = chosen_objectives(study, objectives)
    if len(chosen) != 3:
        raise BadArgument(
            f"objectives must be three of {', '.join(study.objectives)}, not {len(chosen)}: "
            "pareto_front draws any number from two"
        )
    try:
        from plotly import graph_objects as go
    except ModuleNotFoundError:
        raise BadArgument(
            'pareto_front_3d needs plotly, which is not installed: pip install "tarslab[plotly]"'
        ) from None
    front = drawn_front(study, chosen, MOST)
    note = [*front.note, NOTE] if study.synthetic else front.note
    shown = [kind for kind in KINDS if (front.trials["kind"] == kind).any()]
    axes = {
        f"{axis}axis": {
            "title": {"text": f"{escape(one.name)}<br>({better(one)})"},
            "range": _room(limits),
        }
        for axis, one, limits in zip("xyz", chosen, front.views, strict=True)
    }
    figure = go.Figure([go.Scatter3d(**_points(front, kind)) for kind in shown])
    figure.update_layout(
        template="plotly_white",
        font={"family": theme.FONT, "color": theme.INK},
        title={
            "text": "<br>".join(map(escape, note)),
            "font": {"size": 12, "color": theme.QUIET},
        },
        scene={**axes, "aspectmode": "cube", "camera": {"eye": {"x": 1.6, "y": 1.6, "z": 1.1}}},
        legend={"orientation": "h", "itemsizing": "constant", "y": 1, "yanchor": "bottom"},
        margin={"l": 0, "r": 0, "b": 0, "t": 60 + 16 * len(note)},
        height=520,
    )
    return figure


def _points(front: Front, kind: str) -> dict[str, Any]:
    place = KINDS.index(kind)
    trials = front.trials[front.trials["kind"] == kind]
    x, y, z = (trials[one.column] for one in front.objectives)
    return {
        "name": kind,
        "x": x.to_numpy(),
        "y": y.to_numpy(),
        "z": z.to_numpy(),
        "mode": "markers",
        "marker": {
            "symbol": SYMBOLS[place],
            "size": SIZES[place],
            "color": COLOURS[place],
            "opacity": OPACITIES[place],
        },
        "hovertext": [_words(front, row) for row in trials.to_dict("records")],
        "hoverinfo": "text",
    }


def _words(front: Front, row: Mapping[Any, Any]) -> str:
    """What the pointer shows of a trial."""
    names = {one.column: one.name for one in front.objectives}
    lines = [
        f"{escape(names.get(column, title_of(column)))}: {_word(value)}"
        for column, value in row.items()
        if column not in ("number", "kind") and pd.notna(value)
    ]
    return "<br>".join([f"<b>trial {row['number']}</b>, {row['kind']}", *lines])


def _word(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else escape(str(value))


def _room(limits: tuple[float, float]) -> list[float]:
    low, high = limits
    return [low - (high - low) / 30, high + (high - low) / 30]
