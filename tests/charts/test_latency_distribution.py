"""The distribution of latency: percentiles that others compute too, and odd results."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from tarslab.chaos.load import LoadResult
from tarslab.charts import offline
from tarslab.charts.latency_distribution import (
    MEASURES,
    latency_distribution,
    latency_distribution_data,
)
from tarslab.errors import BadArgument
from tests.chaos.load.made import Made

LATENCY, SERVICE, LATENESS = MEASURES.values()
# Buckets of HDR histograms are 0.1 % wide.
CLOSE = 1e-3


def result(milliseconds: list[float], **about: Any) -> LoadResult:
    made = Made(seconds=1, **about).requests(0, milliseconds).late([0.5, 1.5])
    service = made.recorder.series("http_req_service_duration", "trend", {"scenario": "a"})
    for each in milliseconds:
        made.recorder.time(0, service, int(each * 500))
    return made.result()


def of(table: pd.DataFrame, measure: str) -> "pd.Series[float]":
    rows = table[table["measure"] == measure]
    return rows.set_index("percentile")["milliseconds"]


def drawn(chart: alt.LayerChart) -> str:
    return offline.svg({**chart.to_dict(), "width": 600})


def test_percentiles_are_those_of_numpy() -> None:
    times = np.random.default_rng(0).gamma(2, 20, 5_000)
    found = of(latency_distribution_data(result(times.tolist())), LATENCY)
    levels = found.index[:-1].to_numpy()
    # A little less, since 99.98 % of 5,000 are no whole number in binary.
    expected = np.percentile(times, np.maximum(levels - 1e-9, 0), method="inverted_cdf")
    np.testing.assert_allclose(found.to_numpy()[:-1], expected, rtol=CLOSE, atol=0.002)
    assert {50.0, 90.0, 99.0, 99.9} <= set(np.round(levels, 9))
    assert found.iloc[-1] == pytest.approx(times.max(), rel=CLOSE)
    assert found.index[-1] == 100


def test_they_are_those_of_the_summary() -> None:
    made = result([float(each) for each in range(1, 201)])
    found = of(latency_distribution_data(made), LATENCY)
    row = made.summary().query("metric == 'http_req_duration' and name == ''").iloc[0]
    assert [found[50.0], found[95.0], found[99.0]] == row[["p50", "p95", "p99"]].tolist()


def test_service_time_and_lateness_stand_beside_the_latency() -> None:
    table = latency_distribution_data(result([10, 20, 30, 40]))
    # Of 4 samples the second is P50; 4 are too few for a P90.
    assert of(table, LATENCY)[50.0] == pytest.approx(20, rel=CLOSE)
    assert of(table, SERVICE)[50.0] == pytest.approx(10, rel=CLOSE)
    assert of(table, LATENESS).iloc[-1] == pytest.approx(1.5, rel=CLOSE)
    assert of(table, LATENCY).index[-2] == 75
    assert set(table["samples"]) == {4, 2}


def test_arrivals_that_were_dropped_are_in_the_latency_and_are_said() -> None:
    made = Made(seconds=1).requests(0, [10] * 50).drop(0, [900] * 50).result()
    assert of(latency_distribution_data(made), LATENCY)[90.0] == pytest.approx(900, rel=CLOSE)
    assert "50 dropped arrivals, with the least that they would have waited" in drawn(
        latency_distribution(made)
    )


def test_one_sample_is_a_dot() -> None:
    table = latency_distribution_data(result([7]))
    assert of(table, LATENCY).tolist() == pytest.approx([7, 7], rel=CLOSE)
    assert of(table, LATENCY).index.tolist() == [0, 100]
    assert "1 request" in drawn(latency_distribution(result([7])))


def test_what_was_not_measured_is_left_out() -> None:
    # k6 knows neither a time from when a request was due nor its own lateness.
    made = Made(seconds=1).requests(0, [1, 2]).result()
    assert set(latency_distribution_data(made)["measure"]) == {LATENCY}
    assert SERVICE not in drawn(latency_distribution(made))


def test_a_result_without_requests_is_drawn_empty() -> None:
    table = latency_distribution_data(Made(seconds=1).result())
    assert table.empty
    assert "made: 0 requests" in drawn(latency_distribution(Made(seconds=1).result()))


def test_times_of_nothing_are_on_the_axis() -> None:
    assert "M" in drawn(latency_distribution(result([0.0, 0.0, 5.0])))


def test_several_are_told_apart_also_where_they_have_one_name() -> None:
    several = [result([1, 2], name="calm"), result([3], name="calm"), result([4], name="spike")]
    table = latency_distribution_data(several)
    assert list(dict.fromkeys(table["result"])) == ["calm", "calm 2", "spike"]
    named = latency_distribution_data({"before": several[0], "after": several[1]})
    assert list(dict.fromkeys(named["result"])) == ["before", "after"]
    assert "spike: 1 request" in drawn(latency_distribution(several))


def test_none_at_all_is_refused() -> None:
    with pytest.raises(BadArgument, match="results: there is none"):
        latency_distribution([])


def test_the_axis_says_percentiles() -> None:
    svg = drawn(latency_distribution(result([float(each) for each in range(1, 2_000)])))
    for label in ("0 %", "50 %", "90 %", "99 %", "99.9 %"):
        assert f">{label}<" in svg


def test_the_description_says_the_percentiles() -> None:
    said = latency_distribution(result([float(each) for each in range(1, 101)])).to_dict()
    assert "made: 50 % 50 ms, 90 % 90 ms, 99 % 99 ms, slowest 100 ms" in said["description"]
