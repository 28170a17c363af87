"""Samples while they come."""

from tarslab.chaos.load.recording import MOST_NAMES, OTHERS, Recorder


def test_what_was_taken_begins_anew() -> None:
    recorder = Recorder()
    series = recorder.series("waits", "trend", {"name": "a"})
    recorder.time(0, series, 5)
    recorder.time(0, series, 7)
    first = recorder.take()
    recorder.time(0, series, 9)
    second = recorder.take()
    assert [one.metric for one in first.series] == ["waits"]
    assert second.series == []
    assert (first.count, first.total, first.low, first.high) == ([2], [12], [5], [7])
    assert (second.count, second.total) == ([1], [9])


def test_the_order_of_tags_makes_no_other_series() -> None:
    recorder = Recorder()
    first = recorder.series("a", "rate", {"x": "1", "y": "2"})
    assert recorder.series("a", "rate", {"y": "2", "x": "1"}) == first
    assert recorder.series("a", "rate", {"x": "1"}) != first


def test_names_beyond_a_limit_are_taken_together() -> None:
    recorder = Recorder()
    names = {recorder.name(f"/agents/{number}") for number in range(MOST_NAMES + 50)}
    assert len(names) == MOST_NAMES + 1
    assert OTHERS in names
    assert recorder.name("/agents/0") == "/agents/0"
