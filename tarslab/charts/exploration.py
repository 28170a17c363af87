"""How much the agents explore."""

import altair as alt
import pandas as pd

from tarslab.charts.curves import Smoothing, XAxis, curve_chart, curve_table
from tarslab.charts.synthetic import says_so
from tarslab.errors import NotLogged
from tarslab.runs import Runs
from tarslab.runs.vocabulary import EXPLORATION


def exploration_curves_data(
    runs: Runs, *, x: XAxis = "step", by: str | None = None
) -> pd.DataFrame:
    """The numbers behind ``exploration_curves``; columns as in ``charts.curves.curve_table``.

    The quantities are schedules, so they are not smoothed.
    """
    present = [metric for metric in EXPLORATION if metric in runs.metrics]
    if not present:
        raise NotLogged(
            f"no run logs its exploration ({', '.join(EXPLORATION)}); "
            f"there are {', '.join(runs.metrics)}"
        )
    return curve_table(runs, present, x=x, by=by, smoothing=Smoothing(window=1), band="std")


@says_so
def exploration_curves(runs: Runs, *, x: XAxis = "step", by: str | None = None) -> alt.LayerChart:
    """Epsilon, temperature, action noise and exploration rate, whichever the runs have.

    A colour a quantity; a click on the legend hides one. ``x`` and ``by`` are those of
    ``reward_curve``. Raises NotLogged where no run logs any of them.
    """
    table = exploration_curves_data(runs, x=x, by=by)
    return curve_chart(table, y_title="exploration", colour="metric", raw=False)
