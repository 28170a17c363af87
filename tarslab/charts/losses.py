"""The training losses."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from tarslab.charts.curves import Band, Smoothing, XAxis, curve_chart, curve_table
from tarslab.charts.synthetic import says_so
from tarslab.errors import BadArgument, NotLogged
from tarslab.runs import Runs
from tarslab.runs.vocabulary import LOSSES


def loss_curves_data(
    runs: Runs,
    *,
    kinds: Sequence[str] | None = None,
    window: int = 10,
    smoothing: float = 0.0,
    x: XAxis = "step",
    by: str | None = None,
    band: Band = None,
) -> pd.DataFrame:
    """The numbers behind ``loss_curves``; columns as in ``charts.curves.curve_table``."""
    return curve_table(
        runs, _present(runs, kinds), x=x, by=by, smoothing=Smoothing(window, smoothing), band=band
    )


@says_so
def loss_curves(
    runs: Runs,
    *,
    kinds: Sequence[str] | None = None,
    window: int = 10,
    smoothing: float = 0.0,
    x: XAxis = "step",
    by: str | None = None,
    band: Band = None,
    log_y: bool = False,
) -> alt.LayerChart:
    """The losses that the runs have, a colour a kind; a click on the legend hides a kind.

    ``kinds`` are some of ``value_loss``, ``policy_loss``, ``td_loss``, ``critic_loss``,
    ``actor_loss`` and ``total_loss``; None for all there are. The y-scale follows what is visible.
    With ``log_y`` values that are not positive are gaps. The other arguments are those of
    ``reward_curve``. Raises BadArgument where there is no such loss.
    """
    table = loss_curves_data(
        runs, kinds=kinds, window=window, smoothing=smoothing, x=x, by=by, band=band
    )
    if log_y:
        columns = ["value", "low", "high", "raw"]
        table[columns] = table[columns].where(table[columns] > 0)
    return curve_chart(table, y_title="loss", colour="metric", raw=False, log_y=log_y)


def _present(runs: Runs, kinds: Sequence[str] | None) -> list[str]:
    unknown = [kind for kind in kinds or [] if kind not in LOSSES]
    if unknown:
        raise BadArgument(f"no loss {', '.join(unknown)}; losses are {', '.join(LOSSES)}")
    present = [kind for kind in (kinds or LOSSES) if kind in runs.metrics]
    if not present:
        raise NotLogged(
            f"no run has a loss ({', '.join(kinds or LOSSES)}); there are {', '.join(runs.metrics)}"
        )
    return present
