"""Time to a target, with the runs that never reached it."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tarslab import stats
from tarslab.charts import theme
from tarslab.charts.algorithms import LOOSE, SHARES, Axis, banded_lines, percent
from tarslab.charts.curves import POINTS, columns_of
from tarslab.charts.synthetic import says_so
from tarslab.errors import BadArgument
from tarslab.runs import Runs
from tarslab.runs.scores import times_to_target
from tarslab.stats import TimeToTarget
from tarslab.stats.survival import Direction

AlgorithmCurves = Runs | Mapping[str, Sequence[tuple[ArrayLike, ArrayLike]]]
Target = float | Mapping[str, float]


def time_to_target_data(
    runs: AlgorithmCurves,
    target: Target,
    *,
    metric: str = "reward",
    by: str = "algo",
    window: int = 10,
    direction: Direction = "up",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The numbers behind ``time_to_target``, from step 0 on.

    Returns
    -------
    DataFrame
        ``algorithm``, ``step``, ``reached`` (the share that has reached the target by then),
        ``low`` and ``high`` (NaN where none or all have), ``at_risk`` (runs still on their way
        just before), ``events`` (that reached it there) and ``censored`` (that ended there
        without). At most 500 rows an algorithm.
    """
    found = _times(runs, target, metric, by, window, direction, confidence)
    parts = [_steps(algorithm, times) for algorithm, times in found.items()]
    return pd.concat(parts, ignore_index=True)


def time_to_target_summary(
    runs: AlgorithmCurves,
    target: Target,
    *,
    metric: str = "reward",
    by: str = "algo",
    window: int = 10,
    direction: Direction = "up",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """How many runs of each algorithm reached the target, and by when half of them had.

    Returns
    -------
    DataFrame
        ``algorithm``, ``runs``, ``reached`` (how many), ``median`` (the step by which half had;
        missing where half never did), ``low`` and ``high`` (of the median; missing where so few
        runs set no limit).
    """
    found = _times(runs, target, metric, by, window, direction, confidence)
    rows = [
        (name, len(times.times), int(times.reached.sum()), times.median, *times.median_interval)
        for name, times in found.items()
    ]
    table = pd.DataFrame(rows, columns=["algorithm", "runs", "reached", "median", "low", "high"])
    # Whole steps read as such, and a limit that is not known as missing.
    steps = table[["median", "low", "high"]].astype("float64").convert_dtypes()
    return table.assign(**{str(name): steps[name] for name in steps})


@says_so
def time_to_target(
    runs: AlgorithmCurves,
    target: Target,
    *,
    metric: str = "reward",
    by: str = "algo",
    window: int = 10,
    direction: Direction = "up",
    confidence: float = 0.95,
) -> alt.LayerChart:
    """The share of runs that have reached a target by each step of training (Kaplan-Meier).

    A run that ended before it got there is marked by a dash where it ended: until then it counts
    as one that had not, after that it is not known. Leaving such runs out, or counting their last
    step as a success, would flatter the algorithm.

    Parameters
    ----------
    runs
        Runs, or a mapping from algorithm to (steps, values) pairs, one a run, smoothed already:
        ``metric``, ``by`` and ``window`` are for Runs alone.
    target
        The value to reach, or one for each environment of the Runs.
    metric, by, window, direction
        As in ``runs.scores.times_to_target``: the mean of the last ``window`` values counts.
    confidence
        Of the pointwise band, on the log-log scale; 0.95 by default.

    Raises
    ------
    NotLogged
        No run has the metric.
    BadArgument
        As in ``runs.scores.times_to_target``.
    """
    found = _times(runs, target, metric, by, window, direction, confidence)
    end = max(times.times.max() for times in found.values())
    drawn = [_drawn_to(end, _steps(*each)) for each in found.items()]
    table = pd.concat(drawn, ignore_index=True)
    labels = {
        name: f"{name} ({int(times.reached.sum())} of {len(times.times)})"
        for name, times in found.items()
    }
    chart = banded_lines(
        table,
        Axis("step", "step", LOOSE),
        Axis("reached", "share of runs that reached the target", SHARES, "%"),
        note=_note(runs, target, metric, window, direction) + _note_of_band(table, confidence),
        tooltip=[
            alt.Tooltip("algorithm:N", title="algorithm"),
            alt.Tooltip("step:Q", title="step", format=",.0f"),
            alt.Tooltip("reached:Q", title="reached it", format=".1%"),
            alt.Tooltip("low:Q", title="low", format=".1%"),
            alt.Tooltip("high:Q", title="high", format=".1%"),
            alt.Tooltip("at_risk:Q", title="still on their way"),
            alt.Tooltip("events:Q", title="reached it here"),
            alt.Tooltip("censored:Q", title="ended here without"),
        ],
        interpolate="step-after",
        labels=labels,
    )
    ended = table[table["censored"] > 0]
    if ended.empty:
        return chart
    names = list(found)
    marks = (
        alt.Chart(columns_of(ended[["algorithm", "step", "reached", "censored"]], ["algorithm"]))
        .transform_flatten(["step", "reached", "censored"])
        .transform_filter({"param": "toggle_algorithm"})
        .mark_tick(orient="vertical", size=14, thickness=2, opacity=1, clip=True)
        .encode(
            x="step:Q",
            y="reached:Q",
            color=alt.Color("algorithm:N", scale=theme.colours(names)),
            tooltip=[
                alt.Tooltip("algorithm:N", title="algorithm"),
                alt.Tooltip("step:Q", title="ended at step", format=",.0f"),
                alt.Tooltip("censored:Q", title="runs that ended without"),
            ],
        )
    )
    chart.layer.append(marks)
    return chart


def _times(
    runs: AlgorithmCurves,
    target: Target,
    metric: str,
    by: str,
    window: int,
    direction: Direction,
    confidence: float,
) -> dict[str, TimeToTarget]:
    if isinstance(runs, Runs):
        return times_to_target(
            runs,
            target,
            metric=metric,
            by=by,
            window=window,
            direction=direction,
            confidence=confidence,
        )
    if isinstance(target, Mapping):
        raise BadArgument("target must be one number where runs are a mapping: it knows no tasks")
    if not runs:
        raise BadArgument("runs is empty: give {algorithm: [(steps, values), ...]}")
    return {
        str(name): stats.time_to_target(pairs, target, direction=direction, confidence=confidence)
        for name, pairs in runs.items()
    }


def _steps(algorithm: str, times: TimeToTarget) -> pd.DataFrame:
    """The curve from step 0 on, at which none has reached anything."""
    curve = times.curve
    leaving = curve.at_risk - np.append(curve.at_risk[1:], 0)
    start = curve.time[0] > 0
    table = pd.DataFrame(
        {
            "algorithm": algorithm,
            "step": curve.time,
            "reached": curve.reached,
            "low": curve.low,
            "high": curve.high,
            "at_risk": curve.at_risk,
            "events": curve.events,
            "censored": leaving - curve.events,
        }
    )
    if start:
        first = {"step": 0.0, "reached": 0.0, "at_risk": len(times.times), "events": 0}
        opening = table.iloc[:1].assign(**first, low=np.nan, high=np.nan, censored=0)
        table = pd.concat([opening, table], ignore_index=True)
    if len(table) > POINTS:
        places = np.unique(np.linspace(0, len(table) - 1, POINTS).round().astype(int))
        table = table.iloc[places].reset_index(drop=True)
    return table


def _drawn_to(end: float, table: pd.DataFrame) -> pd.DataFrame:
    """A line that came to 100 % goes on: a target once reached stays so."""
    last = table.iloc[-1:]
    if last["reached"].item() < 1 or last["step"].item() == end:
        return table
    return pd.concat([table, last.assign(step=end, at_risk=0, events=0, censored=0)])


def _note(
    runs: AlgorithmCurves, target: Target, metric: str, window: int, direction: Direction
) -> list[str]:
    heights = set(target.values()) if isinstance(target, Mapping) else {target}
    aim = "the target of each task"
    if len(heights) == 1:
        aim = f"{'at least' if direction == 'up' else 'at most'} {heights.pop():g}"
    if not isinstance(runs, Runs):
        return [f"Target: {aim}"]
    values = f"mean of the last {window} values of " if window > 1 else ""
    return [f"Target: {values}{theme.title_of(metric)} {aim}"]


def _note_of_band(table: pd.DataFrame, confidence: float) -> list[str]:
    lines = []
    if table["low"].notna().any():
        lines.append(f"Shaded: {percent(confidence)} band, point by point")
    if (table["censored"] > 0).any():
        lines.append("A tick across a line is a run that ended without reaching it")
    return ["; ".join(lines)] if lines else []
