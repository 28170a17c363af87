"""Intervals as bars, the estimate a line across."""

import altair as alt
import numpy as np
import pandas as pd

ROW_HEIGHT = 26


def bar_records(table: pd.DataFrame) -> alt.InlineData:
    """One record a row; numbers cut to nine significant digits, NaN left out as null."""
    return alt.InlineData(
        values=[
            {str(name): _plain(value) for name, value in row.items()}
            for row in table.to_dict("records")
        ]
    )


def bar_layers(base: alt.Chart, *, title: str, scale: alt.Scale, axis: alt.Axis) -> list[alt.Chart]:
    """Bar and line along x for a chart that encodes y, from ``estimate``, ``low`` and ``high``.

    An interval without any width shows as the line alone, an estimate without one as a dot.
    """
    estimate = alt.X("estimate:Q", title=title, scale=scale, axis=axis)
    low = alt.X("low:Q", title=title, scale=scale, axis=axis)
    bar = base.mark_bar(height=14, opacity=0.35, clip=True).encode(x=low, x2="high:Q")
    line = base.transform_filter("isValid(datum.low)").mark_tick(
        thickness=2.5, size=18, clip=True, opacity=1
    )
    dot = base.transform_filter("!isValid(datum.low)").mark_point(
        filled=True, size=60, opacity=1, clip=True
    )
    return [bar, line.encode(x=estimate), dot.encode(x=estimate)]


def _plain(value: object) -> object:
    if isinstance(value, float | np.floating):
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
