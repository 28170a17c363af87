"""Results: tables, thresholds over the run and its parts, errors, files, merging."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tarslab.chaos.load import LoadFailed, LoadResult, merge
from tarslab.errors import BadArgument
from tests.chaos.load.made import START, Made

P95 = {"http_req_duration": ["p(95)<500"]}


def about(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """The rows with these values."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def test_requests_has_a_row_for_each_second_metric_and_set_of_tags() -> None:
    result = Made().requests(0, [10, 20]).requests(0, [5], name="me").requests(3, [30]).result()
    rows = about(result.requests, metric="http_req_duration")
    assert rows[["second", "name", "count", "min", "max"]].values.tolist() == [
        [0, "login", 2, 10, 20],
        [0, "me", 1, 5, 5],
        [3, "login", 1, 30, 30],
    ]
    assert rows["time"].tolist() == [START, START, START + 3]
    assert rows["mean"].tolist() == [15, 5, 30]


def test_over_time_merges_the_tags_of_each_second() -> None:
    made = Made(seconds=4).requests(0, [10] * 99).requests(0, [100], name="me").requests(2, [7])
    result = made.result()
    table = result.over_time()
    assert table["count"].tolist() == [100, 0, 1, 0]
    # Nearest rank: 99 of 100 took 10 ms, the longest 100 ms.
    assert table["p99"].tolist()[0] == pytest.approx(10, rel=1e-3)
    assert table["max"].tolist()[::2] == [100, 7]
    assert math.isnan(table["p50"][1])
    assert result.over_time("http_req_duration{name:me}")["count"].tolist() == [1, 0, 0, 0]


def test_over_time_of_a_rate_is_its_share() -> None:
    made = Made(seconds=2).requests(0, [1, 1, 1]).requests(0, [1], error="HTTP 503")
    table = made.result().over_time("http_req_failed")
    assert table["rate"].tolist()[0] == 0.25


def test_the_summary_has_a_row_for_each_metric_and_name() -> None:
    made = Made(seconds=10).requests(0, [10] * 30).requests(1, [20] * 10, name="me")
    summary = made.result().summary()
    assert summary[["metric", "name", "count"]].values.tolist() == [
        ["http_req_duration", "", 40],
        ["http_req_duration", "login", 30],
        ["http_req_duration", "me", 10],
        ["http_req_failed", "", 40],
        ["http_reqs", "", 40],
        ["iterations", "", 40],
    ]
    assert about(summary, metric="http_reqs")["rate"].tolist() == [4]
    assert about(summary, metric="http_req_duration", name="")["mean"].tolist() == [12.5]


@pytest.mark.parametrize(
    ("metric", "threshold", "value", "held"),
    [
        # Of 1 to 100 ms the nearest ranks, which are buckets of their own up to 2 ms and 0.1 %
        # wide above.
        ("http_req_duration", "p(95)<95.2", 95, True),
        ("http_req_duration", "p(95)<95", 95, False),
        ("http_req_duration", "med<=50.1", 50, True),
        ("http_req_duration", "avg<50.6", 50.5, True),
        ("http_req_duration", "min>=1", 1, True),
        ("http_req_duration", "max<100", 100, False),
        ("http_req_duration", "count>100", 100, False),
        ("http_reqs", "count==100", 100, True),
        ("http_reqs", "rate>9.9", 10, True),
        ("http_req_failed", "rate<0.01", 0, True),
        ("http_req_duration{name:login}", "max<=100", 100, True),
        ("http_req_duration{name:other}", "max<=100", math.nan, False),
        ("my_counter", "count==0", 0, True),
        ("my_trend", "avg<5", math.nan, False),
    ],
)
def test_a_threshold_is_put_to_the_whole_run(
    metric: str, threshold: str, value: float, held: bool
) -> None:
    made = Made({metric: [threshold]})
    for second in range(10):
        made.requests(second, range(second * 10 + 1, second * 10 + 11))
    row = about(made.result().thresholds, part="run").iloc[0]
    assert row["value"] == pytest.approx(value, rel=1e-3, nan_ok=True)
    assert row["held"] == held


def test_a_threshold_is_put_to_every_window_and_the_worst_is_shown() -> None:
    made = Made({"http_req_duration": ["max<500"]}, seconds=30)
    for second in range(30):
        made.requests(second, [600 + second if second in (14, 15) else 10])
    result = made.result()
    windows = result.windows("http_req_duration", "max<500", 5)
    # Windows of five seconds have second 14 or 15 if they start in 10 to 15.
    assert windows["start"][~windows["held"]].tolist() == [10, 11, 12, 13, 14, 15]
    assert windows["end"].tolist() == [start + 5 for start in range(26)]
    worst = about(result.thresholds, part="worst 10 s").iloc[0]
    assert (worst["value"], worst["held"]) == (615, False)
    assert worst["start"] in range(6, 16)


def test_a_run_shorter_than_the_window_is_one_window() -> None:
    made = Made(seconds=3.5).requests(0, [10]).requests(3, [20])
    windows = made.result().windows("http_reqs", "rate>0", 10)
    assert windows[["start", "end"]].values.tolist() == [[0, 3.5]]
    assert windows["value"].tolist() == [pytest.approx(2 / 3.5)]


def test_a_threshold_is_put_to_the_time_before_during_and_after_a_fault() -> None:
    made = Made({"http_req_duration": ["max<500"], "http_reqs": ["rate>=1"]})
    for second in range(10):
        made.requests(second, [600 if second in (4, 5, 6) else 10])
    # It lasts from 4.5 to 6.2: seconds 4 to 6 are touched by it.
    result = made.result().around(START + 4.5, START + 6.2)
    rows = about(result.thresholds, threshold="max<500").set_index("part")
    assert rows.loc[["before", "during", "after"], "held"].tolist() == [True, False, True]
    assert rows.loc[["before", "during", "after"], ["start", "end"]].values.tolist() == [
        [0, 4],
        [4, 7],
        [7, 10],
    ]
    rates = about(result.thresholds, threshold="rate>=1").set_index("part")
    assert rates.loc[["before", "during", "after"], "value"].tolist() == [1, 1, 1]
    during = result.phase("during")
    assert during.requests["second"].unique().tolist() == [0, 1, 2]
    assert during.requests["time"].min() == START + 4
    assert during.seconds == 3
    with pytest.raises(BadArgument, match="no phase 'durin'; there is before, during, after"):
        result.phase("durin")


def test_a_fault_at_the_edge_leaves_phases_out() -> None:
    made = Made().requests(0, [10]).requests(9, [10])
    assert list(made.result().around(START, START + 100)._parts) == ["during"]
    with pytest.raises(BadArgument, match="ends after its start"):
        made.result().around(START + 2, START + 1)


def test_phases_are_of_a_fault_that_was_said() -> None:
    with pytest.raises(BadArgument, match="say by around"):
        Made().requests(0, [1]).result().phase("before")


def test_errors_are_counted_by_kind_with_when_they_came() -> None:
    made = Made().requests(0, [1])
    made.requests(2, [1, 1], error="HTTP 503").requests(5, [1], error="HTTP 503")
    made.requests(3, [1], name="me", error="timeout")
    errors = made.result().errors
    assert errors.values.tolist() == [
        ["HTTP 503", "a", "login", 3, 2, 5],
        ["timeout", "a", "me", 1, 3, 3],
    ]


def test_a_saved_result_is_loaded_as_the_same(tmp_path: Path) -> None:
    made = Made(P95).requests(0, range(1, 90)).drop(1, [700]).late([1, 2])
    result = made.result().around(START + 1, START + 2)
    again = LoadResult.load(result.save(tmp_path / "a" / "b"))
    assert again.about == result.about
    pd.testing.assert_frame_equal(again.requests, result.requests)
    pd.testing.assert_frame_equal(again.thresholds, result.thresholds)
    assert again.verdict == result.verdict
    assert again.test == result.test


def test_a_folder_without_or_with_damaged_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"no results of load there .result\.json is missing"):
        LoadResult.load(tmp_path)
    Made().requests(0, [1]).result().save(tmp_path)
    (tmp_path / "histograms.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(BadArgument, match="cannot be read"):
        LoadResult.load(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(BadArgument, match="cannot be read"):
        LoadResult.load(tmp_path)


def test_where_a_result_cannot_be_written_it_is_not_lost(tmp_path: Path) -> None:
    result = Made().requests(0, [1]).result()
    (tmp_path / "file").write_text("")
    with pytest.raises(LoadFailed, match="cannot be written") as raised:
        result.save(tmp_path / "file")
    assert raised.value.result is result


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "histograms.parquet").symlink_to("/dev/full")
    with pytest.raises(LoadFailed, match="No space left"):
        Made().requests(0, [1]).result().save(tmp_path)


def test_merged_shards_are_as_one_run() -> None:
    stream = np.random.default_rng(0)
    waits = stream.exponential(20, (10, 30))
    whole, first, second = Made(P95), Made(P95), Made(P95)
    for at, of_second in enumerate(waits):
        whole.requests(at, of_second)
        first.requests(at, of_second[::2], name="me")
        second.requests(at, of_second[1::2])
    merged, as_one = merge([first.result(), second.result()]), whole.result()
    for metric in ("http_req_duration", "http_reqs"):
        pd.testing.assert_frame_equal(merged.over_time(metric), as_one.over_time(metric))
    assert merged.about.shards == 2
    assert len(about(merged.requests, name="me")) > 0


def test_a_shard_that_started_later_is_shifted() -> None:
    early = Made(seconds=5).requests(0, [1])
    late = Made(seconds=5, started_at=START + 2.1).requests(0, [3])
    merged = merge([late.result(), early.result()])
    assert merged.over_time()["max"].tolist()[:3:2] == [1, 3]
    assert (merged.about.started_at, merged.seconds) == (START, 7)


def test_different_loads_do_not_merge() -> None:
    with pytest.raises(BadArgument, match="different load tests"):
        merge([Made(P95).result(), Made().result()])
    with pytest.raises(BadArgument, match="there is none"):
        merge([])


def test_a_result_without_a_single_sample_has_tables() -> None:
    result = Made(P95).result()
    assert len(result.requests) == len(result.errors) == len(result.summary()) == 0
    assert result.verdict == "failed"
    assert "nothing was measured" in result.explain()


def test_single_requests_must_be_asked_for() -> None:
    with pytest.raises(BadArgument, match="raw=True"):
        _ = Made().result().points
