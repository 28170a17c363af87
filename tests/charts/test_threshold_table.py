"""The table of thresholds: its cells, its marks, and what has no data."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from tarslab.charts import offline
from tarslab.charts.threshold_table import threshold_table, threshold_table_data
from tarslab.errors import BadArgument
from tests.chaos.load.made import START, Made


def drawn(chart: alt.LayerChart) -> str:
    return offline.svg({**chart.to_dict(), "width": 600})


def cells(chart: alt.LayerChart) -> dict[tuple[str, str], tuple[str, str]]:
    rows = (row for data in chart.to_dict()["datasets"].values() for row in data)
    return {
        (row["criterion"], row["part"]): (row["text"], row["state"])
        for row in rows
        if "state" in row
    }


def test_each_promise_of_load_has_a_cell_for_the_run_and_its_phases() -> None:
    made = Made({"http_req_duration": ["p(95)<500"], "http_req_failed": ["rate<0.1"]}, seconds=9)
    for second in range(9):
        made.requests(second, [800 if 3 <= second < 6 else 20] * 5)
    result = made.result().around(START + 3, START + 6)
    table = threshold_table_data(result)
    latency = table[table["criterion"] == "http_req_duration p(95)"].set_index("part")
    assert latency["required"].unique().tolist() == ["< 500"]
    # A third of all is slow, so that P95 of the run is too.
    assert latency["passed"].to_dict() == {
        "run": False,
        "before": True,
        "during": False,
        "after": True,
        "worst 10 s": False,
    }
    assert latency["measured"]["before"] == pytest.approx(20, rel=1e-3)
    assert latency["measured"]["during"] == pytest.approx(800, rel=1e-3)
    found = cells(threshold_table(result))
    assert found["http_req_duration p(95)", "during"] == ("800", "does not hold")
    assert found["http_req_failed rate", "run"] == ("0", "holds")
    svg = drawn(threshold_table(result))
    places = [svg.index(f">{part}<") for part in ("run", "before", "during", "after")]
    assert places == sorted(places)


def test_a_promise_that_dropped_arrivals_would_break_is_marked() -> None:
    made = Made({"http_req_duration": ["p(95)<500"]}).requests(0, [10] * 9).drop(0, [20] * 20)
    chart = threshold_table(made.result())
    assert cells(chart)["http_req_duration p(95)", "run"] == ("20*", "does not hold")
    assert "*: only if the arrivals that were dropped had been answered" in drawn(chart)


def test_what_was_not_measured_has_no_data() -> None:
    result = Made({"jwt_verify_duration": ["p(95)<50"]}).requests(0, [1]).result()
    assert cells(threshold_table(result))["jwt_verify_duration p(95)", "run"] == (
        "no data",
        "does not hold",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1502.2, "1,502"),
        (43.487, "43.5"),
        (0.5, "0.5"),
        (0.00332, "0.003"),
        (0.00002, "2e-05"),
        (0.0, "0"),
        (np.inf, "never"),
        (np.nan, "no data"),
    ],
)
def test_figures_are_as_long_as_there_is_room(value: float, text: str) -> None:
    assert cells(threshold_table(criteria(value)))["it holds", "measured"][0] == text


def test_criteria_of_an_experiment_are_told_with_units_and_notes() -> None:
    table = criteria(4.0, required="< 30", unit="s", note="automl")
    assert threshold_table_data(table)["required"].tolist() == ["< 30 s"]
    assert cells(threshold_table(table))["it holds", "measured"] == ("4 (automl)", "holds")


def test_what_cannot_be_said_is_neither_passed_nor_failed() -> None:
    for unknown in (None, np.nan, pd.NA):
        table = criteria(4.0, passed=unknown)
        assert threshold_table_data(table)["passed"].tolist() == [None]
        assert cells(threshold_table(table))["it holds", "measured"][1] == "not known"


def test_marks_differ_by_shape_too() -> None:
    both = pd.concat([criteria(1.0), criteria(2.0, passed=False, criterion="it does not")])
    svg = drawn(threshold_table(both))
    outlines = {
        part.split('"')[0] for part in svg.split(' d="')[1:] if 'stroke-width="2.2"' in part
    }
    assert len(outlines) == 2


def test_a_long_criterion_is_broken_and_cut_short() -> None:
    words = "every service that was killed is back within thirty seconds of the very last kill"
    svg = drawn(threshold_table(criteria(1.0, criterion=words)))
    assert ">every service that was killed is<" in svg
    assert "…<" in svg
    assert words in threshold_table(criteria(1.0, criterion=words)).to_dict()["description"]


def test_nothing_promised_says_so() -> None:
    chart = threshold_table(Made().requests(0, [1]).result())
    assert "Nothing was promised" in drawn(chart)
    assert chart.to_dict()["description"] == "Table of thresholds: there are none"
    assert threshold_table_data(criteria(1.0).head(0)).empty
    assert "Nothing was promised" in drawn(threshold_table(criteria(1.0).head(0)))


def test_a_table_of_something_else_is_refused() -> None:
    with pytest.raises(BadArgument, match="has a column required"):
        threshold_table(pd.DataFrame({"criterion": ["a"]}))


def test_the_description_reads_each_row() -> None:
    result = Made({"http_req_duration": ["p(95)<500"]}).requests(0, [20]).result()
    said = threshold_table(result).to_dict()["description"]
    assert "http_req_duration p(95) < 500 run: 20, holds" in said


def criteria(measured: float, **others: Any) -> pd.DataFrame:
    row = {"criterion": "it holds", "required": "< 5", "measured": measured, "passed": True}
    return pd.DataFrame([row | others]).astype({"passed": object})
