"""Times to recover: estimates by hand, those that never came back, and what is left out."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from tarslab.charts import offline
from tarslab.charts.recovery import recovery, recovery_data
from tarslab.errors import BadArgument

START = 1_700_000_000.0


def drawn(chart: alt.LayerChart) -> str:
    return offline.svg({**chart.to_dict(), "width": 600})


def records(chart: alt.LayerChart, key: str) -> list[dict[str, Any]]:
    rows = (row for data in chart.to_dict()["datasets"].values() for row in data)
    return [row for row in rows if key in row]


def test_mean_median_and_interval_of_three_repeats() -> None:
    (row,) = recovery_data({"api": [1, 2, 6]}).estimates.to_dict("records")
    assert (row["repeats"], row["recovered"]) == (3, 3)
    assert (row["mean"], row["median"]) == (3, 2)
    # Of the 27 resamples one in 27 (3.7 %) has the mean 1, and one the mean 6: more than 2.5 %.
    assert (row["low"], row["high"]) == (1, 6)


def test_one_repeat_has_no_interval() -> None:
    (row,) = recovery_data({"api": 2.5}).estimates.to_dict("records")
    assert row["mean"] == row["median"] == 2.5
    assert np.isnan([row["low"], row["high"]]).all()
    assert "which has no interval here" in drawn(recovery({"api": 2.5}))


def test_one_that_never_came_back_is_not_left_out_of_the_mean() -> None:
    data = recovery_data({"api": [1, 2, 3, np.inf]})
    (row,) = data.estimates.to_dict("records")
    assert (row["repeats"], row["recovered"]) == (4, 3)
    assert row["mean"] == row["low"] == row["high"] == np.inf
    assert row["median"] == 2.5
    chart = recovery({"api": [1, 2, 3, np.inf]})
    assert [row["said"] for row in records(chart, "said")] == [
        "1.000 s",
        "2.000 s",
        "3.000 s",
        "not back",
    ]
    assert ">not back in 1 of 4<" in drawn(chart)


def test_where_none_came_back_that_is_drawn() -> None:
    svg = drawn(recovery({"api": [np.inf, np.inf]}, required=30))
    assert ">not back in 2 of 2<" in svg
    assert "required: 30 s" in svg


def test_what_was_not_measured_is_left_out() -> None:
    data = recovery_data({"api": [1, np.nan, 3], "other": [np.nan]})
    assert data.times["seconds"].tolist() == [1, 3]
    assert data.estimates["service"].tolist() == ["api"]


def test_a_table_has_a_row_for_each_fault_and_service() -> None:
    table = pd.DataFrame(
        {
            "fault": ["kill api", "pause api", "kill api", "kill web"],
            "service": ["api", "api", "api", "web"],
            "recovery": [1.0, 5.0, 3.0, 7.0],
        }
    )
    data = recovery_data(table)
    assert list(data.estimates[["fault", "service"]].itertuples(index=False, name=None)) == [
        ("kill api", "api"),
        ("pause api", "api"),
        ("kill web", "web"),
    ]
    assert data.estimates["mean"].tolist() == [2, 5, 7]
    assert data.times["repeat"].tolist() == [0, 0, 1, 0]


def test_of_experiments_what_was_broken_or_failed_is_drawn_with_the_limit() -> None:
    from tarslab.chaos.experiments.measures import FaultWindow, Observed
    from tarslab.chaos.experiments.results import About, ExperimentResult
    from tarslab.chaos.prober import Probe
    from tarslab.chaos.probes import ProbeResult

    def probes(service: str, failed: range) -> list[Probe]:
        times = [START + 0.1 * place for place in range(100)]
        kinds = ["timeout" if place in failed else "" for place in range(100)]
        return [
            Probe(service, at, at, at, kind, "normal")
            for at, kind in zip(times, kinds, strict=True)
        ]

    seen = (*probes("api", range(20, 30)), *probes("web", range(0)), *probes("bus", range(20, 22)))
    window = FaultWindow("kill api", ("api",), START + 2, START + 2, START + 2)
    about = About("pod-kill", "", "", "", START, START + 10, 1.0, "completed", None, False, {})
    criterion = {"measure": "recovery", "limit": 30.0, "required": "< 30"}
    result = ExperimentResult(
        about, (criterion,), Observed(ProbeResult(seen, 10.0, 1.0), (window,)), {}, {}
    )
    data = recovery_data(result)
    # The first good probe of api was 1 s after the kill, that of bus 0.2 s; web never failed.
    assert dict(zip(data.times["service"], data.times["seconds"].round(6), strict=True)) == {
        "api": 1.0,
        "bus": 0.2,
    }
    assert recovery_data([result, result]).times["repeat"].tolist() == [0, 0, 1, 1]
    assert "required: 30 s" in drawn(recovery(result))


def test_the_limit_is_on_the_axis_however_far() -> None:
    svg = drawn(recovery({"api": [0.1, 0.2]}, required=30))
    assert ">30<" in svg
    assert "From 2 repeats such intervals come out too narrow" in svg


def test_recoveries_of_no_time_are_drawn() -> None:
    assert ">mean 0 s (n = 2)<" in drawn(recovery({"api": [0, 0]}))


@pytest.mark.parametrize("results", [{}, [], {"api": []}, pd.DataFrame({"service": ["a"]})])
def test_nothing_to_draw_is_refused(results: Any) -> None:
    with pytest.raises(BadArgument, match="results"):
        recovery(results)


def test_a_negative_time_or_limit_is_refused() -> None:
    with pytest.raises(BadArgument, match="takes no -1 s"):
        recovery({"api": [-1]})
    with pytest.raises(BadArgument, match="required"):
        recovery({"api": [1]}, required=0)


def test_the_description_says_the_means_and_the_limit() -> None:
    said = recovery({"api": [1, 3], "web": [2, 2]}, required=30).to_dict()["description"]
    assert "api mean 2 s (n = 2); web mean 2 s (n = 2). Required: 30 s" in said
