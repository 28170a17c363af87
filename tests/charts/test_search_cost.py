"""A search that met a fault beside the same search undisturbed."""

import math
from types import SimpleNamespace

import pandas as pd

import tarslab as tl
from tarslab.charts.search_cost import search_cost_data

NAN = math.nan
TRIALS = pd.DataFrame(
    [
        ("undisturbed", 0, "COMPLETE", 0.0, 1.0, 0.5),
        ("undisturbed", 1, "COMPLETE", 1.0, 3.0, 0.75),
        ("disturbed", 0, "COMPLETE", 0.0, 1.5, 0.5),
        ("disturbed", 1, "RUNNING", 2.0, NAN, NAN),
        ("disturbed", 2, "WAITING", NAN, NAN, NAN),
    ],
    columns=["search", "number", "state", "began", "ended", "value"],
)
COST = SimpleNamespace(trials=TRIALS, fault="outage of redis", began=1.0, ended=2.5)


def test_a_trial_without_an_end_reaches_to_the_latest_that_is_known() -> None:
    table = search_cost_data(COST)
    assert table["number"].tolist() == [0, 1, 0, 1]
    assert table["ended"].tolist() == [1.0, 3.0, 1.5, 2.0]
    assert table["seconds"].tolist() == [1.0, 2.0, 1.5, 0.0]


def test_it_is_described_for_those_who_do_not_see_it() -> None:
    chart = tl.charts.search_cost(COST).to_dict()
    assert chart["description"] == (
        "Trials of a search that met outage of redis and took 2.0 s, and of the same search "
        "undisturbed, which took 3.0 s"
    )
