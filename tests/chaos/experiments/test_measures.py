"""Measures of what was observed; every figure is worked out by hand from the probes made."""

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tarslab.chaos.experiments.measures import (
    MEASURES,
    Criterion,
    FaultWindow,
    Observed,
    is_back,
    recovery_time,
)
from tarslab.chaos.experiments.writing import Write, Writes
from tests.chaos.experiments import made


def seen(*outcomes: tuple[str, int]) -> list[str]:
    """Outcomes, each so many times."""
    return [outcome for outcome, count in outcomes for _ in range(count)]


def observed(outcomes: Sequence[str], *faults: FaultWindow, service: str = "api") -> Observed:
    """One service, probed from 0 on."""
    return Observed(made.result_of(made.probes(service, outcomes)), faults)


def value(name: str, of: Observed, **arguments: Any) -> float:
    """What a measure says."""
    return MEASURES[name].function(of, **arguments).value


def test_recovery_counts_until_the_first_answer_after_which_a_second_was_good():
    # Down from 1 s, first good one sent at 3 s and answered at 3.01 s; the fault ended at 2.5 s.
    of = observed(seen(("up", 20), ("down", 40), ("up", 40)), made.window(1.0, 2.5))
    assert value("recovery", of) == pytest.approx(0.51)


def test_a_killed_service_counts_from_its_kill():
    of = observed(
        seen(("up", 20), ("down", 40), ("up", 40)),
        made.window(1.0, 3.2, "kill api", services=("api",), since=1.0),
    )
    assert value("recovery", of) == pytest.approx(2.01)


def test_a_kill_is_not_over_before_it_acts():
    # Two seconds of grace are good; down from 3 s, first good one answered at 4.01 s.
    of = observed(
        seen(("up", 60), ("down", 20), ("up", 40)), made.window(1.0, 4.2, "kill api", since=1.0)
    )
    assert value("recovery", of) == pytest.approx(3.01)


def test_a_kill_that_nobody_noticed_takes_no_time_to_recover():
    of = observed(seen(("up", 120)), made.window(1.0, 4.2, "kill api", since=1.0))
    assert value("recovery", of) == 0.0


def test_a_kill_that_is_noticed_once_it_is_over_counts_all_the_same():
    # Replaced at 3.9 s; the new one stumbles from 4.0 s, and is good from 4.5 s on.
    of = observed(
        seen(("up", 80), ("down", 10), ("up", 40)), made.window(1.0, 3.9, "kill api", since=1.0)
    )
    assert value("recovery", of) == pytest.approx(3.51)


def test_of_a_fault_that_goes_on_unnoticed_no_recovery_is_known():
    assert math.isnan(value("recovery", observed(seen(("up", 120)), made.window(1.0, None))))


def test_a_service_in_legacy_mode_is_not_back():
    # Legacy until 4 s; the fault ended at 2 s.
    of = observed(seen(("normal", 20), ("legacy", 60), ("normal", 40)), made.window(1.0, 2.0))
    assert value("recovery", of) == pytest.approx(2.01)


def test_a_short_good_stretch_is_no_recovery():
    # Half a second is good from 2 s on, and then it fails again until 3.5 s.
    outcomes = seen(("up", 20), ("down", 20), ("up", 10), ("down", 20), ("up", 40))
    assert value("recovery", observed(outcomes, made.window(1.0, 2.0))) == pytest.approx(1.51)


def test_a_failure_long_after_is_no_slow_recovery():
    outcomes = seen(("up", 20), ("down", 20), ("up", 40), ("down", 1), ("up", 40))
    assert value("recovery", observed(outcomes, made.window(1.0, 2.0))) == 0.0


def test_a_service_that_was_never_back_takes_forever_and_fails():
    of = observed(seen(("up", 20), ("down", 60)), made.window(1.0, 2.0))
    assert value("recovery", of) == math.inf
    row = Criterion.of(made.criterion("recovery", "< 30")).judge(of)
    assert row["passed"] is False
    assert row["note"] == "api was not back"


def test_what_the_next_fault_does_is_not_counted_to_the_one_before():
    # Each is back 0.51 s after its end; between them all is well for more than a second.
    outcomes = seen(("up", 20), ("down", 30), ("up", 30), ("down", 30), ("up", 40))
    first, second = made.window(1.0, 2.0), made.window(4.0, 5.0, repeat=1)
    of = observed(outcomes, first, second)
    assert recovery_time(of, first, "api") == pytest.approx(0.51)
    assert recovery_time(of, second, "api") == pytest.approx(0.51)


def test_a_probe_that_the_next_fault_kept_waiting_is_the_next_ones():
    # Sent before it, and answered 1 s later.
    probes = made.probes("api", seen(("up", 20), ("down", 20), ("up", 40)))
    probes[-1] = probes[-1]._replace(failure="timeout", done=probes[-1].sent + 1)
    first = made.window(1.0, 1.5)
    of = Observed(made.result_of(probes), (first, made.window(3.99, 4.5)))
    assert recovery_time(of, first, "api") == pytest.approx(0.51)


def test_recovery_of_all_services_is_that_of_the_last():
    of = Observed(
        made.result_of(
            made.probes("fast", seen(("up", 20), ("down", 20), ("up", 60))),
            made.probes("slow", seen(("up", 20), ("down", 40), ("up", 40))),
        ),
        (made.window(1.0, 1.5),),
    )
    assert value("recovery", of) == pytest.approx(1.51)
    assert value("recovery", of, service="fast") == pytest.approx(0.51)


def test_downtime_goes_from_the_fault_to_the_next_good_probe():
    # The first failed one was sent at 1 s, the next good one at 3 s.
    of = observed(seen(("up", 20), ("down", 40), ("up", 40)), made.window(1.0, 2.5))
    assert value("downtime", of) == pytest.approx(2.0)


def test_a_downtime_that_did_not_end_is_infinite():
    assert value("downtime", observed(seen(("up", 20), ("down", 20)), made.window(1.0, 1.5))) == (
        math.inf
    )


def test_a_service_that_is_down_at_the_end_is_so_for_ever_after_a_longer_downtime_too():
    # Two seconds, and half a second that does not end.
    outcomes = seen(("up", 20), ("down", 40), ("up", 20), ("down", 10))
    assert value("downtime", observed(outcomes, made.window(1.0, 2.5))) == math.inf


def test_a_downtime_of_which_the_start_was_not_seen_begins_with_the_fault():
    # The last good one was sent at 0.95 s, the first failed one at 1 s, the next good one at 3 s.
    of = observed(seen(("up", 20), ("down", 40), ("up", 40)), made.window(0.97, 2.5))
    measured = MEASURES["downtime"].function(of)
    assert measured.value == pytest.approx(2.03)
    # The failed ones were sent at 1 s to 2.95 s.
    assert measured.note == "api, at most 0.08 s too long"


def test_availability_is_the_share_of_probes_during_the_fault():
    # 1 s to 3 s has 40 probes, of which 10 failed.
    of = observed(seen(("up", 20), ("down", 10), ("up", 70)), made.window(1.0, 3.0))
    assert value("availability", of) == pytest.approx(0.75)


def test_the_mode_is_counted_during_the_fault_only():
    outcomes = seen(("normal", 20), ("legacy", 60), ("normal", 20))
    # Answered from 1.0 to 2.0 s: those sent at 1.00 to 1.95 s.
    assert value("mode_seen", observed(outcomes, made.window(1.0, 2.0))) == 20.0
    assert value("mode_seen", observed(seen(("normal", 100)), made.window(1.0, 2.0))) == 0.0


def test_a_service_without_a_mode_says_nothing_about_modes():
    redis = made.probes("redis", seen(("up", 60)))
    api = made.probes("api", seen(("legacy", 60)))
    of = Observed(made.result_of(redis, api), (made.window(1.0, 2.0),))
    assert value("mode_seen", of) == 20.0


def test_writes_that_are_gone_are_lost_and_the_unacknowledged_may_be():
    def write(number: int, *, acknowledged: bool, found: bool | None) -> Write:
        return Write(number, str(number), 0.0, 0.1, 201, "", acknowledged, found)

    writes = Writes(
        (
            write(0, acknowledged=True, found=True),
            write(1, acknowledged=True, found=False),
            write(2, acknowledged=False, found=False),
            write(3, acknowledged=False, found=True),
        ),
        repeated=1,
    )
    of = Observed(made.result_of([]), writes=writes)
    assert value("acknowledged_writes", of) == 2
    assert value("lost_writes", of) == 1
    assert value("repeated_writes", of) == 1


def test_writes_that_nobody_looked_for_are_not_known_to_be_there():
    writes = Writes((Write(0, "0", 0.0, 0.1, 201, "", True),))
    row = Criterion.of(made.criterion("lost_writes", "== 0")).judge(
        Observed(made.result_of([]), writes=writes)
    )
    assert math.isnan(row["measured"])
    assert row["passed"] is False


def test_where_no_write_was_acknowledged_none_is_known_to_be_kept():
    writes = Writes((Write(0, "0", 0.0, 0.1, 503, "Unavailable", False, False),))
    for name in ("lost_writes", "repeated_writes"):
        row = Criterion.of(made.criterion(name, "== 0")).judge(
            Observed(made.result_of([]), writes=writes)
        )
        assert row["passed"] is False, name
        assert row["note"] == "nothing was acknowledged and read back"


def test_what_was_not_measured_does_not_pass():
    nothing = Observed(made.result_of([]))
    for name in set(MEASURES) - {"count"}:
        row = Criterion.of(made.criterion(name, ">= 0")).judge(nothing)
        assert row["passed"] is False, name
    row = Criterion.of(made.criterion("count", ">= 0", of="nothing")).judge(nothing)
    assert row["passed"] is False


def test_an_unknown_service_is_named_in_the_note():
    of = observed(seen(("up", 40)), made.window(1.0, 1.5))
    row = Criterion.of(made.criterion("downtime", "< 10", service="sql")).judge(of)
    assert row["passed"] is False
    assert row["note"] == "service must be one of api, not 'sql'"


def test_everything_is_back_when_each_service_was_good_for_a_second():
    good, late = seen(("up", 41)), seen(("down", 10), ("up", 31))
    both = made.result_of(made.probes("a", good), made.probes("b", late))
    assert is_back(Observed(both), 0.0)
    assert not is_back(Observed(both), 1.5)
    bad = made.result_of(made.probes("a", good), made.probes("b", seen(("down", 25), ("up", 16))))
    assert not is_back(Observed(bad), 0.0)


@pytest.mark.parametrize(
    ("required", "number", "holds"),
    [
        ("< 30", 30.0, False),
        ("<= 30", 30.0, True),
        ("> 0.5", 0.5, False),
        (">= 0.5", 0.5, True),
        ("== 0", 0.0, True),
        ("== 0", math.nan, False),
        ("< 30", math.inf, False),
    ],
)
def test_a_limit_is_read_as_it_is_written(required: str, number: float, holds: bool):
    assert Criterion.of(made.criterion("recovery", required)).holds(number) is holds
