"""Durations as k6 writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.chaos.load.durations import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # The examples of Go's time.ParseDuration, whose grammar k6 has, and k6's own of a day.
        ("300ms", 0.3),
        ("1.5h", 5400),
        ("2h45m", 9900),
        ("1us", 1e-6),
        ("1m30s", 90),
        ("1d", 86_400),
        ("0", 0),
        # k6 takes numbers as milliseconds.
        (500, 0.5),
    ],
)
def test_a_duration_is_text_of_go_or_a_number_of_milliseconds(text: object, seconds: float) -> None:
    assert Duration.parse(text) == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 s", "1x", -1, True, None, [1]])
def test_what_is_none_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match=r'such as "1m30s" or "500ms"'):
        Duration.parse(text)


@given(st.integers(0, 10**15))
def test_its_text_is_read_as_the_same_again(nanoseconds: int) -> None:
    duration = Duration(nanoseconds / 1e9)
    assert Duration.parse(str(duration)) == pytest.approx(duration, abs=1e-9)
    assert str(Duration.parse(str(duration))) == str(duration)
