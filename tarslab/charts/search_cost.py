"""What a fault cost a search: its trials beside those of the same search undisturbed."""

from typing import Protocol

import altair as alt
import pandas as pd

from tarslab.charts import theme
from tarslab.charts.fault_windows import SHADE
from tarslab.charts.history import state_legend
from tarslab.charts.trials import state_colours

ROW_HEIGHT = 64
SEARCHES = ["undisturbed", "disturbed"]


class CostLike(Protocol):
    """A ``tarslab.chaos.searches.SearchCost``."""

    @property
    def trials(self) -> pd.DataFrame: ...
    @property
    def fault(self) -> str: ...
    @property
    def began(self) -> float: ...
    @property
    def ended(self) -> float: ...


def search_cost_data(cost: CostLike) -> pd.DataFrame:
    """The numbers behind ``search_cost``, one row for each trial that was begun.

    Returns
    -------
    DataFrame
        ``search``, ``number``, ``state``, ``began`` and ``ended`` (seconds from the start of the
        search's first trial; of a trial that has not ended the latest that is known of its search),
        ``seconds`` between them, and its values.
    """
    table = cost.trials[cost.trials["began"].notna()]
    latest = table.groupby("search")[["began", "ended"]].transform("max").max(axis=1)
    ended = table["ended"].fillna(latest)
    table = table[["search", "number", "state", "began", *_values(table)]]
    table.insert(4, "ended", ended)
    table.insert(5, "seconds", ended - table["began"])
    return table.reset_index(drop=True)


def search_cost(cost: CostLike) -> alt.LayerChart:
    """A bar for each trial of both searches, one below the other, and the fault shaded.

    Parameters
    ----------
    cost
        As of ``tarslab.chaos.search_cost``.
    """
    table = search_cost_data(cost)
    states = list(dict.fromkeys(table["state"]))
    x = alt.X("began:Q", title="seconds from the start of the first trial")
    y = alt.Y("search:N", title=None, sort=SEARCHES, scale=alt.Scale(domain=SEARCHES))
    bars = (
        alt.Chart(table)
        .mark_bar(stroke="white", strokeWidth=0.7, height=ROW_HEIGHT * 0.4)
        .encode(
            x=x,
            x2="ended:Q",
            y=y,
            color=alt.Color(
                "state:N", scale=state_colours(states), legend=state_legend(symbolType="square")
            ),
            tooltip=[
                alt.Tooltip("search:N", title="search"),
                alt.Tooltip("number:Q", title="trial"),
                alt.Tooltip("state:N", title="state"),
                *(alt.Tooltip(f"{name}:Q", title=name, format=",.5~g") for name in _values(table)),
                alt.Tooltip("seconds:Q", title="duration (s)", format=",.3~f"),
            ],
        )
    )
    window = pd.DataFrame(
        [{"search": "disturbed", "began": cost.began, "ended": cost.ended, "fault": cost.fault}]
    )
    of_fault = alt.Chart(window).encode(x=x, y=y)
    shade = of_fault.mark_rect(
        color=SHADE, opacity=0.35, stroke=SHADE, strokeWidth=1.2, height=ROW_HEIGHT * 0.9
    ).encode(x2="ended:Q", tooltip=[alt.Tooltip("fault:N", title="fault")])
    name = of_fault.mark_text(
        align="left", baseline="top", dx=4, dy=-0.41 * ROW_HEIGHT, fontSize=11, color=theme.INK
    ).encode(text="fault:N")
    seconds = table.groupby("search")["ended"].max()
    return alt.LayerChart(
        layer=[shade, bars, name],
        width="container",
        height=2 * ROW_HEIGHT,
        description=(
            f"Trials of a search that met {cost.fault} and took {seconds['disturbed']:.1f} s, and "
            f"of the same search undisturbed, which took {seconds['undisturbed']:.1f} s"
        ),
    )


def _values(table: pd.DataFrame) -> list[str]:
    """The columns of the objectives."""
    return [name for name in table.columns if name == "value" or name.startswith("values_")]
