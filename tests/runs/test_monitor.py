"""stable-baselines3's monitor.csv."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarslab import bundled
from tarslab.runs.formats import monitor

HEADER = '#{"t_start": 1000.0, "env_id": "CartPole-v1"}\r\nr,l,t\r\n'


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_a_step_is_the_sum_of_the_episodes_lengths(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "9.0,9,0.5\r\n20.5,21,1.5\r\n")
    recording = monitor.read([path])
    assert recording.series["monitor/r"].step.tolist() == [9, 30]
    assert recording.series["monitor/r"].value.tolist() == [9.0, 20.5]
    assert recording.series["monitor/r"].wall_time.tolist() == [1000.5, 1001.5]
    assert recording.series["monitor/l"].value.tolist() == [9, 21]
    assert recording.config == {"env_id": "CartPole-v1"}
    assert recording.warnings == []


def test_environments_side_by_side_are_one_run_in_order_of_their_episodes_ends(
    tmp_path: Path,
) -> None:
    first = write(tmp_path / "0.monitor.csv", HEADER + "1,10,1.0\r\n3,10,3.0\r\n")
    second = write(tmp_path / "1.monitor.csv", HEADER + "2,5,2.0\r\n")
    series = monitor.read([first, second]).series["monitor/r"]
    assert series.value.tolist() == [1, 2, 3]
    assert series.step.tolist() == [10, 15, 25]


def test_the_clock_of_a_resumed_training_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "1,1,5.0\n1,1,9.0\n1,1,2.0\n1,1,3.0\n")
    assert monitor.read([path]).series["monitor/r"].wall_time.tolist() == [1005, 1009, 1011, 1012]


def test_extra_columns_and_any_column_order_are_fine(tmp_path: Path) -> None:
    text = '#{"t_start": 0}\nt,success,l,r\n1.0,True,10,2.5\n'
    series = monitor.read([write(tmp_path / "monitor.csv", text)]).series["monitor/r"]
    assert (series.step.tolist(), series.value.tolist()) == ([10], [2.5])


def test_a_line_without_its_end_is_left_out_since_its_number_may_be_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "9.0,9,0.5\r\n20.5,21,1.")
    recording = monitor.read([path])
    assert recording.series["monitor/r"].value.tolist() == [9.0]
    (warning,) = recording.warnings
    assert f"cut off at byte {path.stat().st_size}" in warning


@pytest.mark.parametrize("length", ["?", "inf", "-3", "2.5", "nan"])
def test_episodes_without_a_whole_length_are_named_and_left_out(
    tmp_path: Path, length: str
) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + f"9.0,9,0.5\n1.0,{length},0.7\n2.0,3,0.9\n")
    recording = monitor.read([path])
    assert recording.series["monitor/r"].step.tolist() == [9, 12]
    assert "line 4" in recording.warnings[0]


def test_a_return_that_is_a_word_is_left_out_and_one_that_is_nan_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "oops,9,0.5\nnan,3,0.7\n2.0,3,0.9\n")
    recording = monitor.read([path])
    returns = recording.series["monitor/r"]
    assert returns.step.tolist() == [12, 15]
    assert np.isnan(returns.value).tolist() == [True, False]
    assert "1 episodes without a number as return, the first in line 3" in recording.warnings[0]


def test_a_half_line_that_the_next_session_wrote_on_costs_only_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "1,5,0.1\n1,5,108.0,5,0.3\n3,5,0.4\n")
    recording = monitor.read([path])
    assert recording.series["monitor/r"].value.tolist() == [1.0, 3.0]
    assert "the first is line 4 with 5 cells" in recording.warnings[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('#{"t_start": 0}\nr,steps\n1,2\n', "no column l, t: .* this one has r, steps"),
        ('#{"t_start": \nr,l,t\n1,2,3\n', "not a monitor header"),
    ],
)
def test_a_damaged_monitor_is_named_and_costs_only_itself(
    tmp_path: Path, text: str, fault: str
) -> None:
    good = write(tmp_path / "0.monitor.csv", HEADER + "9.0,9,0.5\n")
    bad = write(tmp_path / "1.monitor.csv", text)
    recording = monitor.read([good, bad])
    assert recording.series["monitor/r"].value.tolist() == [9.0]
    assert re.search(f"1.monitor.csv: .*{fault}", recording.warnings[0])


def test_text_that_is_not_utf8_ends_the_file_there_and_is_named_with_its_byte(
    tmp_path: Path,
) -> None:
    path = tmp_path / "monitor.csv"
    path.write_bytes(HEADER.encode() + b"4.0,3,1.0\n1.0,2,\xff\xfe\n")
    recording = monitor.read([path])
    assert recording.series["monitor/r"].value.tolist() == [4.0]
    assert f"byte {len(HEADER) + 16} is not UTF-8" in recording.warnings[0]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("space", ["", " "])
def test_the_header_is_known_with_a_space_and_with_a_byte_order_mark(
    tmp_path: Path, mark: str, space: str
) -> None:
    text = f'{mark}#{space}{{"t_start": 0}} \nr,l,t\n1,2,3\n'
    path = write(tmp_path / "monitor.csv", text)
    assert monitor.matches(path, path.read_bytes())
    assert monitor.read([path]).series["monitor/r"].value.tolist() == [1.0]


REAL = (bundled.data("cartpole/dqn/seed_0") / "monitor.csv").read_bytes()
TRUE = monitor.read([bundled.data("cartpole/dqn/seed_0") / "monitor.csv"]).series


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(REAL.index(b"r,l,t\r\n") + 7, len(REAL)))
def test_a_file_cut_anywhere_gives_every_whole_line_and_no_other(tmp_path: Path, end: int) -> None:
    path = tmp_path / "monitor.csv"
    path.write_bytes(REAL[:end])
    recording = monitor.read([path])
    whole = REAL[:end].count(b"\n") - 2
    for tag, series in recording.series.items():
        np.testing.assert_array_equal(series.step, TRUE[tag].step[:whole])
        np.testing.assert_array_equal(series.value, TRUE[tag].value[:whole])
    assert bool(recording.series) == (whole > 0)
    assert bool(recording.warnings) == (REAL[end - 1 : end] != b"\n")


def test_a_header_alone_is_a_run_without_episodes(tmp_path: Path) -> None:
    assert monitor.read([write(tmp_path / "monitor.csv", HEADER)]).series == {}


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        *(("monitor.csv", True), ("0.monitor.csv", True), ("1.12.monitor.csv", True)),
        *(("ppo.monitor.csv", False), ("seed0.monitor.csv", False)),
    ],
)
def test_numbered_monitors_belong_to_their_folder_and_named_ones_to_themselves(
    name: str, shared: bool
) -> None:
    assert (monitor.home(Path("run", name)) == Path("run")) is shared


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1.5", "-0.25", "nan", "", "oops", "1e400"]),
            st.sampled_from(["1", "20", "2.5", "-3", "nan", ""]),
            st.floats(0, 100).map(repr),
        ),
        max_size=6,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_compiled_loops_read_the_same_episodes(
    tmp_path: Path, rows: list[tuple[str, str, str]], end: str, whole: bool
) -> None:
    lines = ['#{"t_start": 1000.0, "env_id": "A-v1"}', "r,l,t", *map(",".join, rows)]
    path = write(tmp_path / "monitor.csv", end.join(lines) + end * whole)
    careful = monitor.read([path])
    compiled = monitor.read([path], compiled=True)
    assert (compiled.config, compiled.warnings) == (careful.config, careful.warnings)
    assert compiled.series.keys() == careful.series.keys()
    for tag, series in compiled.series.items():
        for column, same in zip(series, careful.series[tag], strict=True):
            np.testing.assert_array_equal(column, same)
