"""Sparse HDR histograms, against the package hdrhistogram and against sorted samples."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.chaos.load.buckets import BUCKETS, LONGEST, bucket
from tarslab.chaos.load.histograms import Cells, Sums, highest
from tarslab.chaos.load.recording import Recorder

hdrh: Any = import_module("hdrh.histogram")

values = st.lists(
    st.one_of(st.integers(0, 5000), st.integers(0, LONGEST)), min_size=1, max_size=200
)


def cells(*of_seconds: list[int]) -> Cells:
    """One series, with the values of each second."""
    recorder = Recorder()
    series = recorder.series("a", "trend", {})
    for second, several in enumerate(of_seconds):
        for value in several:
            recorder.time(second, series, value)
    return Cells.of(recorder.take(), [0])


def together(of: Cells) -> Sums:
    return of.grouped(np.zeros(len(of), np.int64), 1)


@given(values)
def test_the_buckets_are_those_of_hdrhistogram(several: list[int]) -> None:
    reference = hdrh.HdrHistogram(1, LONGEST, 3)
    for value in several:
        reference.record_value(value)
    sums = together(cells(several))
    counts = np.zeros(BUCKETS, np.int64)
    counts[sums.buckets] = sums.counts
    assert reference.counts_len == BUCKETS
    assert counts.tolist() == list(reference.counts)


@given(values)
def test_a_bucket_reports_its_highest_value_as_hdrhistogram_does(several: list[int]) -> None:
    reference = hdrh.HdrHistogram(1, LONGEST, 3)
    found = highest(np.array([bucket(value) for value in several]))
    assert found.tolist() == [reference.get_highest_equivalent_value(value) for value in several]


@given(values, st.sampled_from([0.0, 0.05, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_that_of_the_sorted_samples_but_for_the_width_of_a_bucket(
    several: list[int], q: float
) -> None:
    exact = np.quantile(several, q, method="inverted_cdf")
    found = together(cells(several)).quantile(q)[0]
    assert exact <= found <= exact * (1 + 1 / 1024)


@given(values, values)
def test_merging_seconds_is_as_if_they_were_one(first: list[int], second: list[int]) -> None:
    apart, at_once = together(cells(first, second)), together(cells(first + second))
    for one, other in zip(vars(apart).values(), vars(at_once).values(), strict=True):
        assert one.tolist() == other.tolist()


@given(values, values)
def test_rows_that_repeat_add_up(first: list[int], second: list[int]) -> None:
    twice = Cells.join([cells(first), cells(second)]).merged()
    for one, other in zip(vars(twice).values(), vars(cells(first + second)).values(), strict=True):
        assert one.tolist() == other.tolist()


def test_samples_that_never_came_are_longer_than_all_others() -> None:
    sums = together(cells([1000] * 90))
    # Of 100 samples the 90 shortest are known.
    assert sums.quantile_with(0.9, 10)[0] == 1000
    assert sums.quantile_with(0.91, 10)[0] == np.inf
    assert together(cells([])).quantile_with(0.5, 1)[0] == np.inf


def test_without_samples_there_is_no_quantile() -> None:
    assert np.isnan(together(cells([])).quantile(0.5)).all()


def test_some_seconds_are_a_part_of_the_rows() -> None:
    of = cells([1], [2, 2], [3])
    assert together(of.between(1, 3)).total.tolist() == [7]
    assert together(of.where(of.second != 1)).total.tolist() == [4]


def test_what_takes_longer_than_an_hour_counts_as_an_hour() -> None:
    assert together(cells([LONGEST * 5])).high.tolist() == [LONGEST]


@pytest.mark.parametrize("value", [0, 1, 2047, 2048, 4095, 4096, LONGEST])
def test_edges_of_buckets_are_where_they_should_be(value: int) -> None:
    assert highest(np.array([bucket(value)]))[0] >= value
    if value:
        assert bucket(value - 1) <= bucket(value)
