"""Times and curves in words."""

import pytest

from tarslab.admin.models import Curve
from tarslab.dashboards.operator import words
from tarslab.dashboards.operator.parts import Sparkline


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0:00"), (-3, "0:00"), (59.2, "1:00"), (245, "4:05"), (3_661, "1:01:01"), (3e5, "3 days")],
)
def test_what_is_left_is_counted_in_minutes_hours_or_days(seconds: float, said: str) -> None:
    assert words.countdown(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((0, "0 s"), (30, "30 s"), (60, "1 min"), (90, "90 s"), (300, "5 min"), (3_600, "1 h")),
        *((86_400, "1 day"), (604_800, "7 days"), (0.5, "0.5 s")),
    ],
)
def test_a_length_of_time_has_the_largest_unit_that_fits(seconds: float, said: str) -> None:
    assert words.length(seconds) == said


def test_moments_are_of_utc() -> None:
    # RFC 868 gives 2208988800 - 2208988800 for the epoch; this is a day and a second after it.
    assert words.moment(86_401) == "1970-01-02 00:00:01"
    assert words.moment(None) == ""


def test_numbers_are_short_and_what_is_not_there_is_nothing() -> None:
    shown = [words.number(value) for value in (498.34, -402.5997, 12_345.6, 0.00123, None)]
    assert shown == ["498.3", "-402.6", "12,346", "0.00123", ""]
    assert words.milliseconds(0.00132) == "1.3 ms"
    assert words.milliseconds(None) == ""
    assert words.short("0123456789abcdef") == "01234567…"
    assert words.short("ppo") == "ppo"
    assert (words.count(1, "token"), words.count(2_000, "token")) == ("1 token", "2,000 tokens")


def test_a_curve_fills_its_picture_and_is_said_in_words() -> None:
    curve = words.reward(Curve((0, 10, 20), (0.0, 5.0, 10.0)))
    # 100 by 24 with a margin of 2: the lowest at 22, the highest at 2.
    assert curve == Sparkline(
        "M0.0 22.0L50.0 12.0L100.0 2.0", "reward from 0 to 10, lowest 0, highest 10"
    )


def test_a_curve_leaves_out_what_was_no_number_and_may_be_flat_or_not_there() -> None:
    flat = words.reward(Curve((0, 1, 2), (3.0, None, 3.0)))
    assert isinstance(flat, Sparkline)
    assert flat.path == "M0.0 22.0L100.0 22.0"
    assert words.reward(Curve((0, 1), (None, 3.0))) == "no curve"


def test_what_services_say_is_text_and_no_html() -> None:
    assert words.facts([("<b>", "a & b")]) == "<dl><dt>&lt;b&gt;</dt><dd>a &amp; b</dd></dl>"
