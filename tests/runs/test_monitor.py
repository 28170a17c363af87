"""stable-baselines3's monitor.csv."""

from pathlib import Path

import pytest

from tarslab.errors import BadLog
from tarslab.runs.formats import monitor

HEADER = '#{"t_start": 1000.0, "env_id": "CartPole-v1"}\r\nr,l,t\r\n'


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_a_step_is_the_sum_of_the_episodes_lengths(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "9.0,9,0.5\r\n20.5,21,1.5\r\n")
    recording = monitor.read([path])
    assert recording.series["r"].step.tolist() == [9, 30]
    assert recording.series["r"].value.tolist() == [9.0, 20.5]
    assert recording.series["r"].wall_time.tolist() == [1000.5, 1001.5]
    assert recording.series["l"].value.tolist() == [9, 21]
    assert recording.config == {"env_id": "CartPole-v1"}
    assert recording.warnings == []


def test_environments_side_by_side_are_one_run_in_order_of_their_episodes_ends(
    tmp_path: Path,
) -> None:
    first = write(tmp_path / "0.monitor.csv", HEADER + "1,10,1.0\r\n3,10,3.0\r\n")
    second = write(tmp_path / "1.monitor.csv", HEADER + "2,5,2.0\r\n")
    series = monitor.read([first, second]).series["r"]
    assert series.value.tolist() == [1, 2, 3]
    assert series.step.tolist() == [10, 15, 25]


def test_the_clock_of_a_resumed_training_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "1,1,5.0\n1,1,9.0\n1,1,2.0\n1,1,3.0\n")
    assert monitor.read([path]).series["r"].wall_time.tolist() == [1005, 1009, 1011, 1012]


def test_extra_columns_and_any_column_order_are_fine(tmp_path: Path) -> None:
    text = '#{"t_start": 0}\nt,success,l,r\n1.0,True,10,2.5\n'
    series = monitor.read([write(tmp_path / "monitor.csv", text)]).series["r"]
    assert (series.step.tolist(), series.value.tolist()) == ([10], [2.5])


def test_a_line_without_its_end_is_left_out_since_its_number_may_be_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "9.0,9,0.5\r\n20.5,21,1.")
    recording = monitor.read([path])
    assert recording.series["r"].value.tolist() == [9.0]
    (warning,) = recording.warnings
    assert f"cut off at byte {path.stat().st_size}" in warning


def test_rows_without_a_length_are_named_and_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", HEADER + "9.0,9,0.5\n1.0,?,0.7\n2.0,3,0.9\n")
    recording = monitor.read([path])
    assert recording.series["r"].step.tolist() == [9, 12]
    assert "line 4" in recording.warnings[0]


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", '#{"t_start": 0}\nr,steps\n1,2\n')
    with pytest.raises(BadLog, match=r"monitor\.csv: no column l, t.*this one has r, steps"):
        monitor.read([path])


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "monitor.csv", '#{"t_start": \nr,l,t\n1,2,3\n')
    with pytest.raises(BadLog, match="not a monitor header"):
        monitor.read([path])


def test_text_in_no_known_encoding_is_named_with_its_byte(tmp_path: Path) -> None:
    path = tmp_path / "monitor.csv"
    path.write_bytes(HEADER.encode() + b"1.0,2,\xff\xfe\n")
    with pytest.raises(BadLog, match=f"byte {len(HEADER) + 6} is not UTF-8"):
        monitor.read([path])


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
    assert monitor.speaks_for_folder(Path(name)) is shared
