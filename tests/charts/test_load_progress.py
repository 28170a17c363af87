"""Load that goes on, drawn from its reports."""

from typing import Any

import numpy as np
import pytest

from tarslab.chaos.load import Progress
from tarslab.charts import offline
from tarslab.charts.load_progress import load_progress, load_progress_data
from tarslab.errors import BadArgument

START = 1_700_000_000.0


def report(
    after: float, requests: int, failed: int = 0, **others: object
) -> tuple[float, Progress]:
    of: dict[str, Any] = {
        "name": "calm",
        "elapsed": after,
        "duration": 60.0,
        "users": 1,
        "requests": requests,
        "rate": 0.0,
        "failed": failed,
        "dropped": 0,
        "p50": 5.0,
        "p95": 20.0,
        "p99": 80.0,
        "thresholds": (),
    }
    return START + after, Progress(**(of | others))


def test_rates_are_those_since_the_report_before() -> None:
    table = load_progress_data([report(0.5, 10), report(1.0, 20), report(3.0, 60, 10)])
    # 10 in each half second, then 40 in two seconds.
    assert table["requests"].tolist() == [20, 20, 20]
    assert table["failed"].tolist() == [0, 0, 5]
    assert table["p95"].tolist() == [20, 20, 20]
    assert table["intended"].isna().all()


def test_the_report_of_the_end_is_left_out() -> None:
    reports = [report(0.5, 10), report(0.6, 10, over=True)]
    assert len(load_progress_data(reports)) == 1
    assert len(load_progress_data(reports[1:])) == 1


def test_reports_that_come_late_and_at_once_count_from_when_they_were_made() -> None:
    (_, first), (_, second) = report(0.5, 10), report(1.0, 20)
    table = load_progress_data([(START + 0.5, first), (START + 3, second), report(1.5, 30)])
    assert table["requests"].tolist() == [20, 20, 20]
    assert (table["wall_time"] + 0.5 - START).tolist() == [0.5, 1.0, 1.5]


def test_two_reports_of_one_moment_have_no_rate() -> None:
    assert np.isnan(load_progress_data([report(1, 5), report(1, 9)])["requests"][1])


def test_it_is_drawn_from_the_first_report_on() -> None:
    unknown: dict[str, Any] = dict.fromkeys(("p50", "p95", "p99"), float("nan"))
    for reports in ([report(0.5, 0, **unknown)], [report(0.5, 3), report(1, 9)]):
        chart = load_progress(reports, ("pause api", START, None))
        svg = offline.svg({**chart.to_dict(), "width": 600})
        assert ">pause api<" in svg
        assert "latency so far (ms)" in svg


def test_no_report_is_refused() -> None:
    with pytest.raises(BadArgument, match="reports: there is none yet"):
        load_progress([])
