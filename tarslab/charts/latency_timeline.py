"""What users waited while load and faults went on."""

from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.charts.algorithms import counted
from tarslab.charts.fault_windows import Clock, Faults, fault_windows
from tarslab.charts.load_lines import QUANTILES, Limit, load_lines

if TYPE_CHECKING:
    from tarslab.chaos.load import LoadResult

Floats = NDArray[np.float64]


def latency_timeline_data(
    result: "LoadResult", *, metric: str = "http_req_duration"
) -> pd.DataFrame:
    """The numbers behind ``latency_timeline``, a row for each second of the run.

    Returns
    -------
    DataFrame
        ``wall_time`` (Unix seconds, when the second began), ``p50``, ``p95`` and ``p99``
        (milliseconds; NaN where nothing was due), then rates a second: ``intended`` (arrivals by
        the schedule) and ``achieved`` (of those due then, how many were done in the end), both NaN
        where users come back by themselves; ``requests``, ``failed`` of these, and ``dropped``
        arrivals.
    """
    latency = result.over_time(metric)
    start = latency["second"].to_numpy(np.float64)
    # The last second may be a part of one.
    end = np.minimum(start + 1, np.maximum(result.seconds, start + 1e-3))
    opened = [each for each in result.test.scenarios.values() if hasattr(each, "most_vus")]
    all_open = len(opened) == len(result.test.scenarios)
    unknown = np.full(len(start), np.nan)

    def rate(of: str) -> Floats:
        total = result.over_time(of)["total"].to_numpy(np.float64)
        a_second: Floats = total / (end - start)
        return a_second

    due = [
        _due(each.path, end - each.start_time) - _due(each.path, start - each.start_time)
        for each in opened
    ]
    return pd.DataFrame(
        {
            "wall_time": latency["time"].to_numpy(np.float64),
            **{name: latency[name].to_numpy(np.float64) for name in QUANTILES},
            "intended": np.sum(due, axis=0) / (end - start) if all_open else unknown,
            "achieved": rate("iterations") if all_open else unknown,
            "requests": rate("http_reqs"),
            "failed": rate("http_req_failed"),
            "dropped": rate("dropped_iterations"),
        }
    )


def latency_timeline(
    result: "LoadResult", faults: Faults = None, *, metric: str = "http_req_duration"
) -> alt.LayerChart:
    """P50, P95 and P99 of every second above, and how much load there was below, on one clock.

    A request counts in the second in which it was due, not in which it was sent or answered. Faults
    are shaded; horizontal lines are the thresholds on the percentiles, each in their colour. A
    click on a legend entry hides or shows a line, drag pans in time, Shift and wheel zooms.

    Parameters
    ----------
    result
        A run of load.
    faults
        What was broken meanwhile: faults, or (name, start, end) in Unix seconds, or several; by
        default the fault that ``result.around`` was told of.
    metric
        Any trend, such as ``http_req_duration{name:login}``; default ``http_req_duration``.

    Raises
    ------
    BadArgument
        ``metric`` cannot be read, or ``faults`` are none.
    """
    table = latency_timeline_data(result, metric=metric)
    windows = fault_windows(faults)
    if faults is None and result.about.fault is not None:
        windows = fault_windows(("fault", *result.about.fault))
    began = result.about.started_at
    clock = Clock.over(
        min([began, *windows["start"]]),
        max([began + max(result.seconds, 1.0), *windows["start"], *windows["end"].dropna()]),
    )
    return load_lines(
        table,
        windows,
        clock,
        limits=_limits_of(result, metric),
        what=metric.removeprefix("http_req_").replace("_", " "),
        note=_note(result),
        description=_description(result, table, windows),
    )


def _due(path: list[tuple[float, float]], until: Floats) -> Floats:
    """How many arrivals a path of rates has until each of some moments."""
    at, rates = np.array(path).T
    lengths = np.diff(at)
    before = np.concatenate([[0.0], np.cumsum(lengths * (rates[:-1] + rates[1:]) / 2)])
    until = np.clip(until, at[0], at[-1])
    # Of corners at one moment the last: there the rate jumps.
    part = np.clip(np.searchsorted(at, until, side="right") - 1, 0, max(len(lengths) - 1, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(lengths > 0, np.diff(rates) / lengths, 0.0)[part]
    passed = until - at[part]
    due: Floats = before[part] + rates[part] * passed + slope * passed**2 / 2
    return due


def _limits_of(result: "LoadResult", metric: str) -> list[Limit]:
    """The thresholds on percentiles of the metric: in words, limit, and of which line."""
    found = []
    for selector, threshold in result.test.expressions:
        method, level, _, limit = threshold.expression
        if str(selector) == metric and method in ("p", "med") and limit > 0:
            found.append(Limit(threshold.threshold, limit, f"P{level:g}"))
    return found


def _note(result: "LoadResult") -> list[str]:
    about = result.about
    lines = [f"{about.name} against {about.target}, {about.seconds:.0f} s: {result.verdict}"]
    asked, failed, dropped = (
        float(result.over_time(of)["total"].sum())
        for of in ("http_reqs", "http_req_failed", "dropped_iterations")
    )
    if not asked:
        lines.append("No request was due: there is nothing to draw")
        return lines
    said = f"{counted(int(asked), 'request')}, {failed:,.0f} failed ({100 * failed / asked:.1f} %)"
    if dropped:
        said += f", {counted(int(dropped), 'arrival')} dropped"
    return [*lines, said + ("; somebody ended it early" if result.interrupted else "")]


def _description(result: "LoadResult", table: pd.DataFrame, windows: pd.DataFrame) -> str:
    """For those who do not see it."""
    worst = table["p95"].max()
    said = f"Line chart of latency and rate by time, {result.seconds:.0f} s of {result.about.name}"
    if np.isfinite(worst):
        place = int(table["p95"].argmax())
        said += f"; P95 is {table['p95'].median():.3g} ms in the middle of its seconds"
        said += f" and {worst:.3g} ms in the worst, second {place}"
    if len(windows):
        said += f"; {counted(len(windows), 'fault')}: " + ", ".join(windows["fault"][:12])
    return said
