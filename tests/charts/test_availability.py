"""The strip of availability: stretches by hand, and pictures of what is out of the ordinary."""

import random
from typing import Any

import altair as alt
import numpy as np
import pytest

from tarslab.chaos.prober import Probe
from tarslab.chaos.probes import ProbeResult
from tarslab.charts import offline
from tarslab.charts.availability import availability, availability_data
from tarslab.errors import BadArgument

START, PERIOD = 1_700_000_000.0, 0.05


def probed(**services: str) -> ProbeResult:
    """A probe for each letter: n normal, l legacy, . without a mode, x failed."""
    probes = []
    modes = {"n": "normal", "l": "legacy"}
    for service, letters in services.items():
        for place, letter in enumerate(letters):
            sent = START + PERIOD * place
            failure = "timeout" if letter == "x" else ""
            mode = modes.get(letter, "")
            probes.append(Probe(service, sent, sent, sent + 0.01, failure, mode))
    return ProbeResult(tuple(probes), 20.0, 1.0)


def stretches(**services: str) -> list[tuple[Any, ...]]:
    """State, start and end in periods from the start, whether open, and probes."""
    table = availability_data(probed(**services))
    return [
        (
            row["state"],
            round((row["start"] - START) / PERIOD, 3),
            round((row["end"] - START) / PERIOD, 3),
            row["open"],
            row["probes"],
        )
        for row in table.to_dict("records")
    ]


def drawn(chart: alt.LayerChart) -> str:
    return offline.svg({**chart.to_dict(), "width": 600})


def records(chart: alt.LayerChart, key: str) -> list[dict[str, Any]]:
    rows = (row for data in chart.to_dict()["datasets"].values() for row in data)
    return [row for row in rows if key in row]


def test_a_downtime_goes_from_the_last_answer_to_the_next() -> None:
    # The last answer was sent in period 2, the next in 5; the last of all came 0.2 periods later.
    assert stretches(api="nnnxxnn") == [
        ("normal", 0, 2, False, 3),
        ("down", 2, 5, False, 2),
        ("normal", 5, 6.2, False, 2),
    ]


def test_modes_follow_one_another_without_a_gap() -> None:
    assert stretches(api="nnlln") == [
        ("normal", 0, 2, False, 2),
        ("legacy", 2, 4, False, 2),
        ("normal", 4, 4.2, False, 1),
    ]
    assert stretches(redis="..") == [("up", 0, 1.2, False, 2)]


def test_a_downtime_without_an_answer_before_or_after_is_open() -> None:
    assert stretches(api="xnx") == [
        ("down", 0, 1, True, 1),
        ("normal", 1, 1, False, 1),
        ("down", 1, 2, True, 1),
    ]
    assert stretches(api="xxx") == [("down", 0, 2, True, 3)]


def test_downtimes_are_those_of_the_probes() -> None:
    random.seed(1)
    probes = probed(a="".join(random.choices("nlx", k=300)), b="".join(random.choices("n.x", k=99)))
    table = availability_data(probes)
    for service in probes.services:
        down = table[(table["service"] == service) & (table["state"] == "down")]
        expected = probes.downtimes(service)
        assert down["start"].tolist() == [each.start for each in expected]
        assert down["seconds"].tolist() == [each.seconds for each in expected]
        assert down["resolution"].tolist() == [each.resolution for each in expected]
    assert table["resolution"].notna().equals(table["state"] == "down")
    assert (table["end"] >= table["start"]).all()
    assert table["probes"].sum() == 399


def test_beside_a_service_stands_how_it_did() -> None:
    svg = drawn(availability(probed(api="n" * 17 + "xx" + "n", redis="....")))
    # 18 of 20 were answered, and 3 periods of 0.05 s lie between the answers around.
    assert ">90.00 %, 0.15 s down<" in svg
    assert ">100 %<" in svg
    assert ">0.15 s<" in svg
    assert "at most 0.1 s too long" in svg


def test_a_share_that_is_not_whole_never_reads_as_if_it_were() -> None:
    assert ">99.99 %" in drawn(availability(probed(api="n" * 30_000 + "xn")))
    assert ">0 %" in drawn(availability(probed(api="xx")))


def test_a_downtime_that_was_longer_says_so() -> None:
    assert ">over 0.10 s<" in drawn(availability(probed(api="xxx")))


def test_labels_do_not_run_into_each_other() -> None:
    chart = availability(probed(api="nx" * 200 + "n" + "x" * 40 + "n"))
    labels = sorted(row["wall_time"] for row in records(chart, "row"))
    # The longest is among them, and seven letters of 6.2 pixels in 510 lie between any two.
    assert "2.0 s" in {row["text"] for row in records(chart, "row")}
    assert min(np.diff(labels)) >= 6 * 6.2 / 510 * 442 * 50


def test_states_differ_by_height_too() -> None:
    rows = {row["state"]: row for row in records(availability(probed(api="nnlx")), "top")}
    assert rows["normal"]["top"] < rows["legacy"]["top"] < rows["down"]["top"]


def test_a_short_downtime_is_wide_enough_to_be_seen() -> None:
    (down,) = [
        row
        for row in records(availability(probed(api="n" * 40_000 + "xn")), "top")
        if row["state"] == "down"
    ]
    # 2,000 s on 680 pixels, of which it has two.
    assert down["until"] - down["wall_time"] >= 1000 * 2 * 2_000 / 680


def test_faults_are_shaded_on_the_same_clock() -> None:
    chart = availability(probed(api="nnxxn"), ("kill api", START + 0.06, START + 0.1))
    (row,) = records(chart, "fault")
    assert row["wall_time"] == 1000 * (START + 0.06)
    assert ">kill api<" in drawn(chart)


def test_thousands_of_changes_are_joined_and_none_that_was_down_is_lost() -> None:
    random.seed(2)
    probes = probed(api="".join(random.choices("nx", k=9_000)), redis="." * 9_000)
    chart = availability(probes)
    assert len(records(chart, "top")) <= 1_500
    assert "joined" in drawn(chart)
    # One that was down for a moment in the midst of all that, in a service that was not else.
    letters = "n" * 4_500 + "x" + "n" * 4_499
    rows = records(availability(probed(a=letters, b="".join(random.choices("nx", k=9_000)))), "top")
    assert [row for row in rows if row["service"] == "a" and row["state"] == "down"]


def test_one_probe_is_drawn() -> None:
    assert ">redis<" in drawn(availability(probed(redis=".")))


def test_no_probe_is_refused() -> None:
    with pytest.raises(BadArgument, match="no service was probed"):
        availability(ProbeResult((), 20.0, 1.0))
    assert availability_data(ProbeResult((), 20.0, 1.0)).empty


def test_the_description_says_what_happened() -> None:
    chart = availability(probed(api="nxln"), ("outage of redis", START, START + 0.1))
    said = chart.to_dict()["description"]
    assert "api 75.00 %, 0.10 s down in 1 downtime, modes normal, legacy" in said
    assert "1 fault: outage of redis" in said
