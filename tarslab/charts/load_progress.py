"""Load that goes on: what is known of it so far."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts.algorithms import counted
from tarslab.charts.fault_windows import Clock, Faults, fault_windows
from tarslab.charts.load_lines import QUANTILES, load_lines
from tarslab.errors import BadArgument

if TYPE_CHECKING:
    from tarslab.chaos.load import Progress


def load_progress_data(reports: Sequence[tuple[float, "Progress"]]) -> pd.DataFrame:
    """The numbers behind ``load_progress``, a row for each report.

    Returns
    -------
    DataFrame
        The columns of ``latency_timeline_data``. The percentiles are those of all requests so far,
        the rates those since the report before; of arrivals nothing is known yet.
    """
    # The last one says how it was in all, a moment after the one before.
    going_on = [(time, each) for time, each in reports if not each.over] or list(reports)
    progress = [each for _, each in going_on]
    elapsed = np.array([each.elapsed for each in progress], np.float64)
    # Some come late, and several at once; none comes before its time.
    began = min((time - each.elapsed for time, each in going_on), default=0.0)
    seconds = np.diff(elapsed, prepend=0.0)

    def rate(counts: list[int]) -> "pd.Series[float]":
        with np.errstate(invalid="ignore", divide="ignore"):
            a_second = np.diff(np.array(counts, np.float64), prepend=0.0) / seconds
        return pd.Series(np.where(seconds > 0, a_second, np.nan))

    unknown = np.full(len(progress), np.nan)
    return pd.DataFrame(
        {
            # As if each were of the second around it.
            "wall_time": began + elapsed - 0.5,
            **{name: [float(getattr(each, name)) for each in progress] for name in QUANTILES},
            "intended": unknown,
            "achieved": unknown,
            "requests": rate([each.requests for each in progress]),
            "failed": rate([each.failed for each in progress]),
            "dropped": rate([each.dropped for each in progress]),
        }
    )


def load_progress(
    reports: Sequence[tuple[float, "Progress"]], faults: Faults = None
) -> alt.LayerChart:
    """P50, P95 and P99 of all requests so far, and the rate since the report before.

    Parameters
    ----------
    reports
        Of ``run_load(on_progress=...)``, each with its moment in Unix seconds, in their order.
    faults
        As in ``latency_timeline``.

    Raises
    ------
    BadArgument
        There is no report, or ``faults`` are none.
    """
    if not reports:
        raise BadArgument("reports: there is none yet, so there is nothing to draw")
    table, windows = load_progress_data(reports), fault_windows(faults)
    last = reports[-1][1]
    clock = Clock.over(
        min([table["wall_time"].min(), *windows["start"]]),
        max([reports[-1][0], *windows["start"], *windows["end"].dropna()]),
    )
    return load_lines(
        table,
        windows,
        clock,
        what="latency so far",
        note=[f"{last.name}, {last.elapsed:.0f} s: {last}"],
        description=f"Line chart of latency and rate by time, {last.elapsed:.0f} s so far, "
        f"{counted(last.requests, 'request')}: {last}",
    )
