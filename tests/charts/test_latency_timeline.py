"""The timeline of latency: numbers by hand, and pictures of runs that are out of the ordinary."""

from typing import Any

import altair as alt
import numpy as np
import pytest

from tarslab.charts import offline
from tarslab.charts.latency_timeline import latency_timeline, latency_timeline_data
from tarslab.errors import BadArgument
from tests.chaos.load.made import START, STEADY, Made

# Buckets of HDR histograms are 0.1 % wide.
CLOSE = 1e-3


def ramp(**others: Any) -> dict[str, Any]:
    return {
        "executor": "ramping-arrival-rate",
        "exec": "mixed",
        "startRate": 0,
        "stages": [{"duration": "2s", "target": 20}, {"duration": "2s", "target": 20}],
        "preAllocatedVUs": 5,
    } | others


def made(*scenarios: dict[str, Any], seconds: float) -> Made:
    options = {"scenarios": {f"s{n}": each for n, each in enumerate(scenarios)}}
    return Made(seconds=seconds, options=options)


def drawn(chart: alt.LayerChart) -> str:
    return offline.svg({**chart.to_dict(), "width": 600})


def records(chart: alt.LayerChart, key: str) -> list[dict[str, Any]]:
    rows = (row for data in chart.to_dict()["datasets"].values() for row in data)
    return [row for row in rows if key in row]


def lines(chart: alt.LayerChart) -> dict[str, dict[str, Any]]:
    return {row["line"]: row for row in records(chart, "line")}


def test_percentiles_and_rates_of_each_second() -> None:
    result = Made(seconds=3).requests(0, [1, 2, 3, 4]).requests(2, [10], error="HTTP 503").result()
    table = latency_timeline_data(result)
    assert table["wall_time"].tolist() == [START, START + 1, START + 2]
    # Of 4 samples the second is P50, and the last P95 and P99.
    np.testing.assert_allclose(table["p50"], [2, np.nan, 10], rtol=CLOSE)
    np.testing.assert_allclose(table["p95"], [4, np.nan, 10], rtol=CLOSE)
    np.testing.assert_allclose(table["p99"], [4, np.nan, 10], rtol=CLOSE)
    assert table["intended"].tolist() == [10, 10, 10]
    assert table["achieved"].tolist() == table["requests"].tolist() == [4, 0, 1]
    assert table["failed"].tolist() == [0, 0, 1]


def test_a_ramp_intends_what_lies_below_it() -> None:
    # Of 10 t: 5 in the first second, 15 in the next; then 20 each.
    result = made(ramp(), seconds=5).requests(0, [1]).result()
    assert latency_timeline_data(result)["intended"].tolist() == [5, 15, 20, 20, 0]


def test_scenarios_add_up_from_when_each_starts() -> None:
    jump = ramp(stages=[{"duration": "0s", "target": 30}, {"duration": "1s", "target": 30}])
    result = made(ramp(), jump | {"startTime": "1500ms"}, seconds=4).requests(0, [1]).result()
    # The jump has 30 a second from 1.5 to 2.5.
    assert latency_timeline_data(result)["intended"].tolist() == [5, 30, 35, 20]


def test_a_last_second_that_is_a_part_of_one_counts_as_such() -> None:
    result = Made(seconds=1.5).requests(0, [1] * 10).requests(1, [1] * 5).result()
    table = latency_timeline_data(result)
    assert table["achieved"].tolist() == [10, 10]
    assert table["intended"].tolist() == [10, 10]


def test_arrivals_that_were_dropped_were_intended_and_not_done() -> None:
    result = Made(seconds=1).requests(0, [5] * 7).drop(0, [100] * 3).result()
    table = latency_timeline_data(result)
    assert table[["intended", "achieved", "dropped"]].iloc[0].tolist() == [10, 7, 3]
    # They are in the percentiles.
    assert table["p95"][0] == pytest.approx(100, rel=CLOSE)


def test_users_that_come_back_by_themselves_have_no_intended_rate() -> None:
    users = {"executor": "constant-vus", "exec": "mixed", "vus": 5, "duration": "2s"}
    result = made(users, seconds=2).requests(0, [1, 1]).result()
    assert latency_timeline_data(result)[["intended", "achieved"]].isna().all(axis=None)
    assert list(lines(latency_timeline(result))) == [
        "P50",
        "P95",
        "P99",
        "requests",
        "requests failed",
    ]


def test_beside_open_scenarios_they_leave_it_unknown() -> None:
    users = {"executor": "constant-vus", "exec": "mixed", "vus": 5, "duration": "2s"}
    result = made(users, STEADY, seconds=2).requests(0, [1]).result()
    assert latency_timeline_data(result)["intended"].isna().all()


def test_a_second_is_drawn_in_its_middle() -> None:
    result = Made(seconds=2).requests(0, [1]).requests(1, [3]).result()
    line = lines(latency_timeline(result))["P50"]
    assert line["wall_time"] == [1000 * START + 500, 1000 * START + 1500]
    assert line["value"] == pytest.approx([1, 3], rel=CLOSE)
    assert line["alone"] == [0, 0]


def test_a_gap_is_a_gap_and_a_second_without_neighbours_a_dot() -> None:
    result = Made(seconds=4).requests(0, [1]).requests(1, [1]).requests(3, [2]).result()
    chart = latency_timeline(result)
    line = lines(chart)["P99"]
    assert line["value"][2] is None
    assert line["alone"] == [0, 0, 0, 1]
    assert drawn(chart).count("mark-symbol") > 0


def test_of_a_long_run_each_line_keeps_its_extremes() -> None:
    run = Made(seconds=700)
    for second in range(700):
        run.requests(second, [1.0 + second % 3])
    result = run.requests(456, [900.0] * 20).result()
    found = lines(latency_timeline(result))["P50"]
    assert len(found["value"]) <= 500
    assert max(found["value"]) == pytest.approx(900, rel=CLOSE)
    assert min(found["value"]) == pytest.approx(1, rel=CLOSE)


def test_thresholds_on_percentiles_of_the_metric_are_drawn() -> None:
    promised = {
        "http_req_duration": ["p(95)<500", "med<100", "avg<50"],
        "http_req_duration{name:login}": ["p(99)<70"],
        "http_req_failed": ["rate<0.1"],
    }
    result = Made(promised, seconds=1).requests(0, [5]).result()
    assert {(row["text"], row["value"]) for row in records(latency_timeline(result), "colour")} == {
        ("p(95)<500", 500),
        ("med<100", 100),
    }
    login = latency_timeline(result, metric="http_req_duration{name:login}")
    assert [row["text"] for row in records(login, "colour")] == ["p(99)<70"]
    assert "duration{name:login} (ms)" in drawn(login)


def test_the_fault_that_the_result_was_told_of_is_shaded() -> None:
    result = Made(seconds=10).requests(0, [1]).result().around(START + 3, START + 5)
    (row,) = records(latency_timeline(result), "began")
    assert (row["wall_time"], row["until"]) == (1000 * (START + 3), 1000 * (START + 5))
    # What the caller says comes first.
    (row,) = records(latency_timeline(result, ("kill", START + 1, None)), "began")
    assert row["fault"] == "kill"


def test_a_fault_beyond_the_run_is_in_the_picture() -> None:
    result = Made(seconds=2).requests(0, [1]).result()
    chart = latency_timeline(result, ("outage of redis", START - 5, START + 20))
    assert ">outage of redis<" in drawn(chart)
    assert "1 fault: outage of redis" in chart.to_dict()["description"]


def test_the_tooltip_of_a_second_says_all_of_it() -> None:
    result = Made(seconds=2).requests(0, [1]).result()
    rows = records(latency_timeline(result, ("kill", START + 0.5, START + 0.7)), "during")
    assert [row["during"] for row in rows] == ["kill", ""]
    assert rows[0]["intended"] == "10 a second"
    assert rows[1]["p95"] == "-"


@pytest.mark.parametrize("thresholds", [{}, {"http_req_duration": ["p(95)<500"]}])
def test_a_run_without_any_request_says_so(thresholds: dict[str, list[Any]]) -> None:
    chart = latency_timeline(Made(thresholds, seconds=3).result())
    assert "No request was due: there is nothing to draw" in drawn(chart)


def test_a_run_of_one_second_and_one_in_which_all_fails_are_drawn() -> None:
    one = latency_timeline(Made(seconds=1).requests(0, [5]).result())
    assert "1 request, 0 failed (0.0 %)" in drawn(one)
    failed = Made(seconds=3)
    for second in range(3):
        failed.requests(second, [0.0], error="connection refused")
    chart = latency_timeline(failed.result())
    # What took no time at all is not on a logarithmic axis.
    assert "P50" not in lines(chart)
    assert "3 failed (100.0 %)" in drawn(chart)


def test_the_description_says_when_it_was_worst() -> None:
    result = Made(seconds=3).requests(0, [1]).requests(1, [80]).requests(2, [1]).result()
    said = latency_timeline(result).to_dict()["description"]
    assert "80 ms in the worst, second 1" in said


def test_a_metric_that_is_none_is_refused() -> None:
    with pytest.raises(BadArgument, match="metric"):
        latency_timeline(Made(seconds=1).requests(0, [1]).result(), metric="p95 of logins")
