"""The highest rate at which the thresholds hold."""

from typing import Any

import pytest

from tarslab.chaos.load import LoadResult, capacity
from tarslab.errors import BadArgument
from tests.chaos.load.conftest import Server
from tests.chaos.load.visits import one

SCENARIO: dict[str, Any] = {
    "executor": "constant-arrival-rate",
    "exec": "one",
    "rate": 20,
    "duration": "500ms",
    "preAllocatedVUs": 100,
}
# A promise that is broken from 50 arrivals a second on, on a machine of any speed, and one that
# lets the generator be late.
PROMISE = {"http_reqs": ["count<25"], "http_req_service_duration": ["max<1000000"]}


def test_the_rate_is_doubled_until_a_run_fails_and_then_bisected(server: Server) -> None:
    seen: list[tuple[float, str]] = []

    def told(number: int, result: LoadResult) -> None:
        assert number == len(seen)
        seen.append((result.test.peak_rate, result.verdict))

    found = capacity(
        {"scenarios": {"a": SCENARIO}, "thresholds": PROMISE},
        server.url,
        flows={"one": one},
        trials=10,
        precision=0.5,
        on_trial=told,
    )
    # By hand: 57 is the square root of 40 times 80, and less than 50 % above 40.
    assert seen == [
        (20, "passed"),
        (40, "passed"),
        (80, "failed"),
        (57, "failed"),
    ]
    assert (found.rate, found.broken_at, found.limited_at) == (40, 57, None)
    assert str(found) == "40 arrivals a second meet the thresholds, 57 do not."
    assert found.study.best_value == 40
    assert [trial.user_attrs["verdict"] for trial in found.study.trials] == [v for _, v in seen]


def test_where_no_rate_meets_the_thresholds_that_is_said(server: Server) -> None:
    found = capacity(
        {"scenarios": {"a": SCENARIO}, "thresholds": PROMISE | {"http_reqs": ["count<0"]}},
        server.url,
        flows={"one": one},
        trials=2,
    )
    assert found.rate is None
    assert found.broken_at == 10
    assert str(found).startswith("no rate that was tried meets the thresholds")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"scenario": {"scenarios": {"a": SCENARIO}}}, "without thresholds every rate would do"),
        ({"scenario": "jwt-stress"}, "a capacity is a rate of arrivals"),
        ({"trials": 0}, "trials at least 1"),
        ({"precision": 0}, "precision above 0"),
    ],
)
def test_what_has_no_capacity_is_told(options: dict[str, Any], problem: str) -> None:
    given = {"scenario": "sustained"} | options
    with pytest.raises(BadArgument, match=problem):
        capacity(target="http://127.0.0.1:1", **given)
