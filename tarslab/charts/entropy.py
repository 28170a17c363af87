"""Policy entropy over training."""

import altair as alt
import pandas as pd

from tarslab.charts.curves import Band, XAxis
from tarslab.charts.reward import reward_curve, reward_curve_data
from tarslab.charts.synthetic import says_so
from tarslab.runs import Runs


def entropy_curve_data(
    runs: Runs,
    *,
    window: int = 10,
    smoothing: float = 0.0,
    x: XAxis = "step",
    by: str | None = None,
    band: Band = "std",
) -> pd.DataFrame:
    """The numbers behind ``entropy_curve``; columns as in ``charts.curves.curve_table``."""
    return reward_curve_data(
        runs, metric="entropy", window=window, smoothing=smoothing, x=x, by=by, band=band
    )


@says_so
def entropy_curve(
    runs: Runs,
    *,
    window: int = 10,
    smoothing: float = 0.0,
    x: XAxis = "step",
    by: str | None = None,
    band: Band = "std",
    target: float | None = None,
) -> alt.LayerChart:
    """The policy's entropy in nats, always positive for a discrete policy, with a target line.

    The arguments are those of ``reward_curve``; ``target`` is, for example, SAC's target entropy
    or the level under which exploration counts as collapsed.
    """
    return reward_curve(
        runs,
        metric="entropy",
        window=window,
        smoothing=smoothing,
        x=x,
        by=by,
        band=band,
        target=target,
        raw=False,
    )
