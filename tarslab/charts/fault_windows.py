"""When faults went on: shaded behind what was measured, on the same clock."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, TypeAlias

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts import theme
from tarslab.charts.timeline import TIME_FORMAT
from tarslab.errors import BadArgument

SHADE = theme.PALETTE[5]
# Pixels of a letter, and of the narrowest chart that labels have to fit.
LETTER, NARROW = 6.2, 510
# Seconds of room around a time.
LEAST = 0.5


class FaultLike(Protocol):
    """A fault that has been done: one of ``tarslab.chaos.faults``."""

    @property
    def name(self) -> str: ...
    @property
    def began(self) -> float | None: ...
    @property
    def ended(self) -> float | None: ...


Faults: TypeAlias = FaultLike | tuple[str, float, float | None] | Iterable["Faults"] | None
"""A fault, or its name, start and end in Unix seconds (the end None while it goes on), or any
number of these."""


def fault_windows(faults: Faults) -> pd.DataFrame:
    """A row for each fault that was done, by its start.

    Returns
    -------
    DataFrame
        ``fault``, ``start`` and ``end`` in Unix seconds (NaN while it goes on).
    """
    rows = sorted(_windows(faults), key=lambda row: row[1])
    return pd.DataFrame(rows, columns=["fault", "start", "end"]).astype(
        {"start": "float64", "end": "float64"}
    )


class Clock(NamedTuple):
    """A time in Unix seconds, as the x-axis of charts that can be set below one another."""

    left: float
    right: float

    @classmethod
    def over(cls, start: float, end: float) -> "Clock":
        """A time with a little room around it, also where it is one moment."""
        margin = max(0.01 * (end - start), LEAST)
        return cls(start - margin, end + margin)

    def x(self) -> alt.X:
        """The encoding of ``wall_time``, in Vega's milliseconds."""
        domain = alt.ExprRef(f"[{1000 * self.left:.0f}, {1000 * self.right:.0f}]")
        return alt.X(
            "wall_time:T",
            title=theme.title_of("wall_time"),
            scale=alt.Scale(type="utc", domain=domain, nice=False),
            axis=alt.Axis(
                format=TIME_FORMAT,
                labelSeparation=8,
                labelOverlap="greedy",
                tickCount=8,
                grid=False,
            ),
        )

    def shades(self, windows: pd.DataFrame, height: int, *, names: int) -> list[alt.Chart]:
        """A shade from top to bottom for each fault, and its name where there is room for it.

        windows: as of ``fault_windows``.
        height: of the chart, in pixels; ``names`` is how far from the top the names stand.
        """
        records = self._shaded(windows)
        if not records:
            return []
        base = alt.Chart(alt.InlineData(values=records)).encode(
            x=self.x(),
            tooltip=[
                alt.Tooltip("fault:N", title="fault"),
                alt.Tooltip("began:N", title="from (UTC)"),
                alt.Tooltip("ended:N", title="to (UTC)"),
            ],
        )
        top, bottom = alt.value(0), alt.value(height)
        shade = base.mark_rect(color=SHADE, opacity=0.18, clip=True)
        edge = base.mark_rule(color=SHADE, strokeWidth=1.2, clip=True)
        name = base.encode(text="text:N", y=alt.value(names))
        look: dict[str, Any] = {
            "color": theme.INK,
            "fontSize": 11,
            "baseline": "middle",
            "clip": True,
        }
        begins = name.transform_filter("!datum.flushed").mark_text(align="left", dx=4, **look)
        ends = name.transform_filter("datum.flushed").mark_text(align="right", dx=-4, **look)
        return [
            shade.encode(x2="until:T", y=top, y2=bottom),
            edge.encode(y=top, y2=bottom),
            begins,
            ends.encode(x=alt.X("until:T", title=theme.title_of("wall_time"))),
        ]

    def _shaded(self, windows: pd.DataFrame) -> list[dict[str, Any]]:
        inside = windows[(windows["start"] <= self.right) & ~(windows["end"] < self.left)]
        # Names do not run into each other.
        free = -np.inf
        letter = LETTER * (self.right - self.left) / NARROW
        records = []
        for fault, start, end in inside[["fault", "start", "end"]].itertuples(index=False):
            until = self.right if np.isnan(end) else min(end, self.right)
            since, width = max(start, self.left), letter * len(fault)
            flushed = since + width > self.right
            begin = until - width if flushed else since
            text = fault if begin >= free else ""
            free = begin + width + 2 * letter if text else free
            records.append(
                {
                    "fault": fault,
                    "wall_time": round(1000 * since),
                    "until": round(1000 * until),
                    "began": clock_time(start),
                    "ended": "it goes on" if np.isnan(end) else clock_time(end),
                    "text": text,
                    "flushed": bool(flushed),
                }
            )
        return records


def time_zoom() -> alt.Parameter:
    """Drag pans in time, Shift and wheel zooms, a double click goes back."""
    return alt.selection_interval(
        name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]"
    )


def clock_time(time: float) -> str:
    """Of a moment in Unix seconds: hours to tenths of a second, UTC."""
    return f"{pd.Timestamp(round(time, 1), unit='s'):%H:%M:%S.%f}"[:-5]


def _windows(faults: Any) -> list[tuple[str, float, float]]:
    if faults is None:
        return []
    if hasattr(faults, "began"):
        if faults.began is None:
            return []
        return [(faults.name, faults.began, np.nan if faults.ended is None else faults.ended)]
    if isinstance(faults, tuple) and len(faults) == 3 and isinstance(faults[0], str):
        name, start, end = faults
        until = np.nan if end is None else float(end)
        if not np.isfinite(start) or until < start:
            raise BadArgument(f"faults: {name} ends after its start, not at {end} after {start}")
        return [(name, float(start), until)]
    if isinstance(faults, str) or not isinstance(faults, Iterable):
        raise BadArgument(
            "faults must be faults that were done, or their name, start and end in Unix seconds, "
            f"not {faults!r}"
        )
    return [window for each in faults for window in _windows(each)]
