"""When the trials of a study ran, and how many side by side."""

import heapq

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts import theme
from tarslab.charts.algorithms import counted, heading
from tarslab.charts.bars import bar_records
from tarslab.charts.curves import legend_toggle
from tarslab.charts.history import counts_of, state_legend
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import STATE_COLOURS, most_points, state_colours, state_shapes
from tarslab.errors import NoTrials
from tarslab.studies import Study

LANE_HEIGHT, LEAST_HEIGHT, MOST_HEIGHT = 22, 60, 480
# In pixels of a chart of the usual width and height; what is smaller is not seen.
SHORTEST = LOWEST = 2
TIME_FORMAT = {
    "milliseconds": "%H:%M:%S.%L",
    "seconds": "%H:%M:%S",
    "minutes": "%H:%M",
    "hours": "%H:%M",
    "date": "%b %d",
    "day": "%b %d",
    "week": "%b %d",
}
# Of so many bars each has a mark of its state at its end.
FEW = 150


def trial_timeline_data(study: Study) -> pd.DataFrame:
    """The numbers behind ``trial_timeline``, one row for each trial that was started.

    Returns
    -------
    DataFrame
        ``number``, ``state``, the columns of its values as in ``Study.trials``, ``start`` and
        ``end`` (UTC; of a trial without an end the latest time that is known of any), ``open``
        (whether it is without an end), ``duration`` (seconds, up to ``end``) and ``lane`` (from 1).
        Sorted by start. Trials in one lane do not overlap, and there are as many lanes as trials
        ran at one time at the most.
    """
    trials = study.trials
    table = trials[trials["datetime_start"].notna()]
    if table.empty:
        raise NoTrials(
            f"{study.name}: the study has no trials yet, so there is no time to show"
            if trials.empty
            else f"{study.name}: no trial was started; it has {counts_of(trials['state'])}"
        )
    table = table.sort_values(["datetime_start", "number"], kind="stable", ignore_index=True)
    start, end = table["datetime_start"], table["datetime_complete"]
    latest = pd.concat([start, end]).max()
    last = end.fillna(latest)
    # Workers whose clocks differ can leave an end before its start.
    last = last.where(last > start, start)
    return table[["number", "state", *study.value_columns]].assign(
        start=start,
        end=last,
        open=end.isna(),
        duration=(last - start).dt.total_seconds(),
        lane=_lanes(start, last),
    )


@says_so
def trial_timeline(study: Study) -> alt.LayerChart:
    """A bar for each trial from its start to its end, in as few lanes as there were workers.

    Each trial lies in the first lane that is free when it starts: lanes show how many trials ran
    side by side, not which worker ran which. A trial that has not ended is pale with a dashed edge,
    and drawn up to the latest time that is known. A click on a legend entry hides or shows a
    state, drag pans in time, Shift and wheel zooms.

    Parameters
    ----------
    study
        Its trials that were never started are left out, and counted above the chart.

    Raises
    ------
    NoTrials
        No trial was started.
    """
    table = trial_timeline_data(study)
    bars = _joined(table, study.value_columns, most_points(10 + len(study.value_columns)))
    states = list(dict.fromkeys(table["state"]))
    lanes = int(table["lane"].max())
    few = len(bars) <= FEW
    # White between trials, but not through the states of joined ones.
    edge = 0.5 if len(bars) == len(table) else 0
    legend = state_legend() if few else state_legend(symbolType="square")

    toggle = legend_toggle("state", states)
    zoom = alt.selection_interval(
        name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]"
    )
    left, right = _milliseconds(table["start"]).min(), _milliseconds(table["end"]).max()
    margin = int(0.015 * (right - left)) or 500
    pixel = (right - left + 2 * margin) / theme.WIDTH
    title = theme.title_of("wall_time")
    # Vega-Lite would turn plain numbers into two domains, one of each end of the bars.
    domain = alt.ExprRef(f"[{left - margin}, {right + margin}]")
    time = alt.X(
        "left:T",
        title=title,
        scale=alt.Scale(type="utc", domain=domain, nice=False),
        axis=alt.Axis(format=TIME_FORMAT, labelSeparation=8, labelOverlap="greedy", tickCount=8),
    )
    lane = alt.Y(
        "top:Q",
        title="lane",
        scale=alt.Scale(domain=[lanes + 0.5, 0.5], nice=False, zero=False),
        axis=alt.Axis(grid=False, format="d", values=list(range(1, lanes + 1, -(-lanes // 10)))),
    )
    values = [
        alt.Tooltip(f"{column}:Q", title=name, format=",.5~g")
        for column, name in zip(study.value_columns, study.objectives, strict=True)
    ]
    base = (
        alt.Chart(bar_records(_drawn(bars, pixel)))
        .transform_filter(toggle)
        .encode(
            y=lane,
            color=alt.Color("state:N", scale=state_colours(states), legend=legend),
            tooltip=[
                alt.Tooltip("trial:N", title="trial"),
                alt.Tooltip("state:N", title="state"),
                *values,
                alt.Tooltip("started:N", title="start (UTC)"),
                alt.Tooltip("duration:Q", title="duration (s)", format=",.3~f"),
            ],
        )
    )
    ended = base.transform_filter("!datum.open").encode(x=time, x2="right:T", y2="bottom:Q")
    layers = [ended.mark_bar(stroke="white", strokeWidth=edge, clip=True, aria=few)]
    if table["open"].any():
        unended = base.transform_filter("datum.open").encode(
            x=alt.X("left:T", title=title),
            x2="right:T",
            y2="bottom:Q",
            stroke=alt.Stroke("state:N", scale=state_colours(states), legend=legend),
        )
        layers.append(unended.mark_bar(fillOpacity=0.25, strokeDash=[4, 3], clip=True))
    if few:
        ends = base.transform_filter("datum.state != 'COMPLETE'").mark_point(
            filled=True, size=45, stroke="white", strokeWidth=0.8, opacity=1, clip=True, aria=False
        )
        shape = alt.Shape("state:N", scale=state_shapes(states), legend=legend)
        layers.append(ends.encode(x=alt.X("right:T", title=title), y="lane:Q", shape=shape))
    layers[0] = layers[0].add_params(toggle, zoom)
    return alt.LayerChart(
        layer=layers,
        width="container",
        height=int(np.clip(LANE_HEIGHT * lanes, LEAST_HEIGHT, MOST_HEIGHT)),
        title=heading(_note(study, table, len(bars))),
        description=f"Timeline of {counts_of(table['state'])}, in {counted(lanes, 'lane')}",
    )


def _lanes(start: "pd.Series[pd.Timestamp]", end: "pd.Series[pd.Timestamp]") -> list[int]:
    """The lowest lane that is free at each start; the starts are in order."""
    free: list[int] = []
    busy: list[tuple[pd.Timestamp, int]] = []
    lanes = []
    for begins, ends in zip(start, end, strict=True):
        while busy and busy[0][0] <= begins:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy) + 1
        heapq.heappush(busy, (ends, lane))
        lanes.append(lane)
    return lanes


def _joined(table: pd.DataFrame, values: list[str], most: int) -> pd.DataFrame:
    """The bars to draw: of many, those too short to be seen apart are joined.

    In place of the trials that lie in one stretch of a lane there is a bar for each of their
    states, as high as is its share of them. Adds ``trials``, how many a bar stands for, and ``top``
    and ``bottom`` on the scale of lanes.
    """
    lanes = table["lane"].max()
    rows = min(lanes, MOST_HEIGHT // LOWEST)
    table = table.assign(trials=1, top=table["lane"] - 0.4, bottom=table["lane"] + 0.4)
    if len(table) <= most:
        return table
    table = table.assign(row=(table["lane"] - 1) * rows // lanes)
    first = table["start"].min()
    seconds = (table["end"].max() - first).total_seconds()
    offset = (table["start"] - first).dt.total_seconds()
    cells = theme.WIDTH // SHORTEST
    while True:
        cell = max(seconds, 1e-6) / cells
        place = (offset / cell).astype(np.int64)
        # A long one stays as it is.
        table["place"] = place.where(table["duration"] < cell, -1 - np.arange(len(table)))
        groups = table.groupby(["row", "place", "state", "open"], sort=False)
        if groups.ngroups <= most or cells == 1:
            break
        cells = max(1, int(0.8 * cells))
    chosen = dict.fromkeys(["number", "start", "top"], "min") | dict.fromkeys(values, "first")
    bars = groups.agg(chosen | {"end": "max", "bottom": "max", "trials": "sum"}).reset_index()
    bars.loc[bars["trials"] > 1, values] = np.nan
    bars = bars.sort_values("state", key=lambda states: states.map([*STATE_COLOURS].index))
    stretch = bars.groupby(["row", "place"])
    start, top = (stretch[of].transform("min") for of in ("start", "top"))
    end, bottom = (stretch[of].transform("max") for of in ("end", "bottom"))
    share = stretch["trials"].cumsum() / stretch["trials"].transform("sum")
    before = share - bars["trials"] / stretch["trials"].transform("sum")
    return bars.drop(columns=["row", "place"]).assign(
        start=start,
        end=end,
        duration=(end - start).dt.total_seconds(),
        top=top + before * (bottom - top),
        bottom=top + share * (bottom - top),
    )


def _drawn(bars: pd.DataFrame, pixel: float) -> pd.DataFrame:
    """What Vega reads: times in its milliseconds, no bar too short to be seen."""
    left, right = _milliseconds(bars["start"]), _milliseconds(bars["end"])
    several = bars["trials"].map("{:,} trials from ".format).where(bars["trials"] > 1, "")
    return bars.drop(columns=["start", "end", "trials"]).assign(
        trial=several + bars["number"].astype("str"),
        started=bars["start"].dt.strftime("%Y-%m-%d %H:%M:%S"),
        left=left,
        right=np.maximum(right, left + max(1, int(SHORTEST * pixel))),
    )


def _milliseconds(times: "pd.Series[pd.Timestamp]") -> "pd.Series[int]":
    return (times - pd.Timestamp(0)) // pd.Timedelta(milliseconds=1)


def _note(study: Study, table: pd.DataFrame, drawn: int) -> list[str]:
    lanes = int(table["lane"].max())
    first, last = (f"{time:%Y-%m-%d %H:%M}" for time in (table["start"].min(), table["end"].max()))
    lines = [
        counts_of(table["state"]),
        f"from {first} to {last} UTC, up to {lanes:,} at a time",
    ]
    rest = []
    if table["open"].any():
        rest.append("dashed: not ended, drawn up to the latest time that is known")
    if left_out := len(study) - len(table):
        rest.append(f"{counted(left_out, 'trial')} never started, not drawn")
    if rest:
        lines.append("; ".join(rest))
    if drawn < len(table):
        lines.append(
            f"{drawn:,} bars for {len(table):,} trials: where they are too short to be seen apart, "
            "a state is as high as its share"
        )
    return lines
