"""Rows below one another, each with its name beside it."""

import json
from collections.abc import Sequence

import altair as alt


def named_rows(
    field: str, names: Sequence[Sequence[str]], *, middle: float, above: float, limit: int
) -> alt.Y:
    """The axis of rows 0, 1, 2, ... from the top.

    names: of each row, a line each. middle: where a name stands, from the top of its row. above:
    room above the first row, in rows. limit: of a name's width, in pixels.
    """
    return alt.Y(
        f"{field}:Q",
        title=None,
        scale=alt.Scale(domain=[len(names), -above], nice=False, zero=False),
        axis=alt.Axis(
            values=[place + middle for place in range(len(names))],
            labelExpr=f"{json.dumps(names)}[floor(datum.value)]",
            grid=False,
            ticks=False,
            domain=False,
            labelPadding=8,
            labelLimit=limit,
            labelOverlap=False,
        ),
    )
