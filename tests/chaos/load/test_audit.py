"""The verdict: of the target, or of a generator that was the bottleneck."""

import pytest

from tarslab.chaos.load.audit import INVALID
from tests.chaos.load.made import Made

P95 = {"http_req_duration": ["p(95)<500"]}
GOOD, BAD = [10.0] * 100, [600.0] * 100


def test_a_run_whose_thresholds_hold_passes() -> None:
    result = Made(P95).requests(0, GOOD).late([1.0] * 100).result()
    assert (result.verdict, result.exit_code) == ("passed", 0)


def test_a_run_with_a_broken_threshold_fails_with_the_exit_code_of_k6() -> None:
    result = Made(P95).requests(0, BAD).result()
    assert (result.verdict, result.exit_code) == ("failed", 99)
    assert "p(95)<500 does not hold: it is 600" in result.explain()


@pytest.mark.parametrize("requests", [GOOD, BAD])
def test_a_late_generator_makes_a_run_invalid_whatever_the_thresholds_say(
    requests: list[float],
) -> None:
    # Two of 100 are later than a tenth of the threshold.
    result = Made(P95).requests(0, requests).late([1.0] * 98 + [51, 60]).result()
    assert (result.verdict, result.exit_code) == (INVALID, 3)
    assert "1 % of the dispatches were 51.0 ms late" in result.explain()


@pytest.mark.parametrize(
    ("thresholds", "limit"),
    [
        ({}, 10),
        ({"http_req_duration": ["p(95)<500", "p(99)<1000"]}, 50),
        ({"http_req_duration": ["p(95)<50"]}, 10),
        ({"jwt_verify_duration": ["avg<200"], "http_req_duration": ["max<3000"]}, 20),
        # Neither a rate nor a lower bound is about a time that must not be exceeded.
        ({"http_req_failed": ["rate<0.05"], "http_reqs": ["count<1"]}, 10),
        ({"http_req_duration": ["p(95)<500", "min>1"]}, 50),
    ],
)
def test_it_may_be_late_by_a_tenth_of_the_smallest_time_and_always_by_10_ms(
    thresholds: dict[str, list[str]], limit: float
) -> None:
    assert Made(thresholds).result().audit.lateness_limit == pytest.approx(limit)


def test_arrivals_that_the_target_caused_to_be_dropped_are_in_the_percentiles() -> None:
    # 10 of 110 arrivals waited for a user for 600 ms at least.
    result = Made(P95).requests(0, GOOD).drop(0, [600.0] * 10).result()
    assert result.verdict == "failed"
    assert result.audit.dropped_by_target == 10
    said = result.explain()
    assert "it is 600" in said
    assert "10 of 110 arrivals found all users (maxVUs) waiting for the target" in said


def test_a_threshold_must_hold_even_if_the_dropped_had_never_been_answered() -> None:
    # They waited for 100 ms at least, and nobody knows how much longer.
    result = Made(P95).requests(0, GOOD).drop(0, [100.0] * 10).result()
    (row,) = result.thresholds[result.thresholds["part"] == "run"].to_dict("records")
    assert (row["held"], row["held_at_worst"]) == (True, False)
    assert result.verdict == "failed"
    assert "raise maxVUs to measure them" in result.explain()


def test_few_dropped_arrivals_leave_a_percentile_as_it_is() -> None:
    # 4 of 104 are fewer than the 5 % that P95 leaves out.
    result = Made(P95).requests(0, GOOD).drop(0, [100.0] * 4).result()
    assert result.verdict == "passed"


def test_dropped_arrivals_count_as_failed_at_worst() -> None:
    made = Made({"http_req_failed": ["rate<0.05"]}).requests(0, GOOD).drop(0, [1.0] * 10)
    result = made.result()
    (row,) = result.thresholds[result.thresholds["part"] == "run"].to_dict("records")
    assert (row["value"], row["held"], row["held_at_worst"]) == (0, True, False)


def test_a_threshold_about_a_name_does_not_know_of_dropped_arrivals() -> None:
    made = Made({"http_req_duration{name:login}": ["p(95)<500"]})
    assert made.requests(0, GOOD).drop(0, [600.0] * 10).result().verdict == "passed"


def test_arrivals_that_the_generator_dropped_make_a_run_invalid() -> None:
    result = Made(P95).requests(0, GOOD).drop(0, [1.0], cause="generator").result()
    assert result.verdict == INVALID
    assert "1 of 101 arrivals were dropped while the users were not waiting" in result.explain()


def test_what_k6_drops_makes_a_run_invalid_as_it_does_not_say_why() -> None:
    made = Made(P95, engine="k6").requests(0, GOOD)
    series = made.recorder.series("dropped_iterations", "counter", {"scenario": "a"})
    made.recorder.add(0, series, 1)
    result = made.result()
    assert result.verdict == INVALID
    assert "k6 does not say what they would have waited" in result.explain()


def test_a_run_that_a_threshold_ended_fails() -> None:
    result = Made(P95, aborted_by="http_req_failed: rate<0.05").requests(0, GOOD).result()
    assert result.verdict == "failed"
    assert "it was ended by http_req_failed: rate<0.05" in result.explain()


def test_the_processor_that_a_request_took_is_said() -> None:
    result = Made(cpu_seconds=0.01).requests(0, GOOD).result()
    assert result.audit.cpu_per_request == pytest.approx(100)
