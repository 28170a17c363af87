"""Faults as windows of time: what counts as one, and how they are shaded."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from tarslab.charts.fault_windows import Clock, fault_windows
from tarslab.errors import BadArgument

NOON = 1_700_000_000.0


class Done(NamedTuple):
    """A fault, as ``tarslab.chaos`` has them."""

    name: str
    began: float | None
    ended: float | None


def shaded(clock: Clock, *faults: Any) -> list[dict[str, Any]]:
    layers = clock.shades(fault_windows(faults), 100, names=10)
    return [dict(row) for row in layers[0].to_dict()["datasets"].popitem()[1]] if layers else []


def test_faults_and_their_times_are_told_by_their_start() -> None:
    windows = fault_windows([Done("late", NOON + 5, None), ("early", NOON, NOON + 1)])
    assert windows["fault"].tolist() == ["early", "late"]
    assert windows["start"].tolist() == [NOON, NOON + 5]
    assert windows["end"].tolist()[0] == NOON + 1
    assert np.isnan(windows["end"][1])


def test_one_fault_needs_no_list_and_one_that_was_not_done_is_none() -> None:
    assert len(fault_windows(("kill", NOON, NOON + 1))) == 1
    assert len(fault_windows(Done("kill", NOON, NOON))) == 1
    assert fault_windows(Done("planned", None, None)).empty
    assert fault_windows(None).empty
    assert fault_windows([]).empty


@pytest.mark.parametrize(
    "faults",
    ["redis", 5, [("kill", NOON, NOON - 1)], [("kill", float("nan"), NOON)]],
    ids=["a text", "a number", "an end before its start", "no start"],
)
def test_what_is_no_fault_is_refused(faults: Any) -> None:
    with pytest.raises(BadArgument, match="faults"):
        fault_windows(faults)


def test_a_fault_that_goes_on_is_shaded_to_the_right_edge() -> None:
    (row,) = shaded(Clock(NOON, NOON + 10), ("kill", NOON + 4, None))
    assert (row["wall_time"], row["until"]) == (1000 * (NOON + 4), 1000 * (NOON + 10))
    assert row["ended"] == "it goes on"


def test_what_lies_outside_is_cut_off_and_what_lies_elsewhere_left_out() -> None:
    rows = shaded(
        Clock(NOON, NOON + 10), ("before", NOON - 9, NOON - 5), ("across", NOON - 1, NOON + 2)
    )
    assert [row["fault"] for row in rows] == ["across"]
    assert rows[0]["wall_time"] == 1000 * NOON
    assert shaded(Clock(NOON, NOON + 10)) == []


def test_names_do_not_run_into_each_other_or_out_of_the_chart() -> None:
    clock = Clock(NOON, NOON + 100)
    kills = [("kill orchestration", NOON + 2 * each, NOON + 2 * each + 1) for each in range(49)]
    rows = shaded(clock, *kills)
    assert len(rows) == 49
    # 18 letters of 6.2 pixels in 510 are 22 of the 100 seconds, and two letters lie between.
    named = [row["wall_time"] / 1000 - NOON for row in rows if row["text"] and not row["flushed"]]
    assert named == [0, 26, 52, 78]
    (late,) = shaded(clock, ("kill orchestration", NOON + 95, NOON + 99))
    assert late["flushed"]


def test_a_clock_has_room_also_around_one_moment() -> None:
    assert Clock.over(NOON, NOON) == (NOON - 0.5, NOON + 0.5)
    assert Clock.over(NOON, NOON + 100) == (NOON - 1, NOON + 101)
