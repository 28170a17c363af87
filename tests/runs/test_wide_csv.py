"""progress.csv and other tables of one column a metric."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarslab import bundled
from tarslab.runs.formats import wide_csv


def write(folder: Path, text: str, name: str = "progress.csv") -> Path:
    path = folder / name
    path.write_text(text, newline="")
    return path


def test_an_empty_cell_is_not_logged_and_nan_is_a_value(tmp_path: Path) -> None:
    path = write(tmp_path, "time/total_timesteps,a,b\n10,1.5,\n20,,nan\n30,inf,2\n")
    series = wide_csv.read([path]).series
    assert series["a"].step.tolist() == [10, 30]
    assert series["a"].value.tolist() == [1.5, np.inf]
    assert series["b"].step.tolist() == [20, 30]
    np.testing.assert_array_equal(series["b"].value, [np.nan, 2.0])


def test_event_file_and_csv_of_one_training_agree() -> None:
    from tarslab.runs.formats import tfevents

    folder = bundled.data("cartpole/ppo/seed_0")
    by_csv = wide_csv.read([folder / "progress.csv"]).series
    by_events = tfevents.read([folder / "events.out.tfevents.0"]).series
    shared = set(by_csv) & set(by_events)
    assert {"rollout/ep_rew_mean", "train/entropy_loss", "train/loss"} <= shared
    for tag in shared:
        np.testing.assert_array_equal(by_csv[tag].step, by_events[tag].step)
        # Event files hold single precision.
        np.testing.assert_allclose(by_csv[tag].value, by_events[tag].value, rtol=1e-6)


@pytest.mark.parametrize("column", ["global_step", "Step", "timesteps_total", "TotalEnvInteracts"])
def test_the_step_column_is_found_by_its_name(tmp_path: Path, column: str) -> None:
    path = write(tmp_path, f"reward,{column}\n1,100\n2,200\n")
    assert wide_csv.matches(path, path.read_bytes())
    assert wide_csv.read([path]).series["reward"].step.tolist() == [100, 200]


def test_tabs_separate_the_progress_txt_of_spinning_up(tmp_path: Path) -> None:
    path = write(
        tmp_path, "Epoch\tAverageEpRet\tTotalEnvInteracts\n0\t-5.5\t4000\n", "progress.txt"
    )
    series = wide_csv.read([path]).series
    assert series["AverageEpRet"].step.tolist() == [4000]


def test_a_column_of_words_is_no_metric(tmp_path: Path) -> None:
    path = write(tmp_path, "step,note,r\n1,\"[{'a': 1}]\",2\n")
    assert list(wide_csv.read([path]).series) == ["r"]


def test_a_word_among_numbers_is_named_and_left_out(tmp_path: Path) -> None:
    recording = wide_csv.read([write(tmp_path, "step,r\n1,2\n2,oops\n3,4\n")])
    assert recording.series["r"].step.tolist() == [1, 3]
    assert "1 cells of column r are not numbers" in recording.warnings[0]


def test_a_file_cut_inside_a_quoted_field_loses_only_its_last_row(tmp_path: Path) -> None:
    path = write(tmp_path, 'step,r,info\n1,2,"a\nb"\n3,4,"cut\nhere')
    recording = wide_csv.read([path])
    assert recording.series["r"].step.tolist() == [1]
    assert "the quote in line 4 (byte 26) is never closed" in recording.warnings[0]


def test_rows_without_a_step_are_named(tmp_path: Path) -> None:
    recording = wide_csv.read([write(tmp_path, "step,r\n1,2\n,3\n")])
    assert recording.series["r"].step.tolist() == [1]
    assert "row 3" in recording.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,loss\n1,2\n", "no step column among epoch, loss"),
        ("step,r\n0.5,2\n", "column step holds fractions"),
        (
            "step,tag,value\n1,loss,5\n1,reward,6\n2,loss,4\n2,reward,7\n3,loss,3\n3,reward,8\n",
            "column tag tells 2 runs or metrics apart (loss, reward)",
        ),
        ("step,seed,r\n1,0,5\n2,0,6\n3,0,7\n1,1,5\n2,1,6\n3,1,8\n", "column seed tells 2 runs"),
    ],
)
def test_a_table_that_is_no_log_of_one_run_is_refused_with_its_reason(
    tmp_path: Path, text: str, message: str
) -> None:
    recording = wide_csv.read([write(tmp_path, text)])
    assert recording.series == {}
    assert f"progress.csv: {message}" in recording.warnings[0]


def test_a_column_of_words_that_goes_with_one_run_is_fine(tmp_path: Path) -> None:
    text = "step,phase,r\n" + "".join(f"{i},{'ab'[i > 5]},{i}\n" for i in range(10))
    assert wide_csv.read([write(tmp_path, text)]).series["r"].value.tolist() == list(range(10))


def test_lines_that_do_not_fit_are_named_and_the_others_read(tmp_path: Path) -> None:
    recording = wide_csv.read([write(tmp_path, "step,r\n1,2\n3,4,5\n6\n7,8\n9,10,,\n")])
    assert recording.series["r"].step.tolist() == [1, 7, 9]
    assert (
        "2 lines do not fit the header, the first is line 3 with 3 cells" in (recording.warnings[0])
    )


@pytest.mark.parametrize("rows", ["1,2,3\n", "1,2,3\n4\n"])
@pytest.mark.parametrize(("header", "second"), [("step,r,r", "r.1"), ("step,r,r ", "r ")])
def test_columns_of_one_name_stay_apart(
    tmp_path: Path, header: str, second: str, rows: str
) -> None:
    series = wide_csv.read([write(tmp_path, f"{header}\n{rows}")]).series
    assert {tag: one.value.tolist() for tag, one in series.items()} == {"r": [2.0], second: [3.0]}


def test_row_names_without_a_header_as_r_writes_them_are_no_values(tmp_path: Path) -> None:
    text = '"step","reward"\n"1",1000,2.5\n"2",2000,3.5\n'
    series = wide_csv.read([write(tmp_path, text)]).series["reward"]
    assert (series.step.tolist(), series.value.tolist()) == ([1000, 2000], [2.5, 3.5])


def test_an_index_column_of_pandas_is_no_metric(tmp_path: Path) -> None:
    assert list(wide_csv.read([write(tmp_path, ",step,r\n0,1,2\n")]).series) == ["r"]


def test_a_table_with_its_newest_row_first_is_turned(tmp_path: Path) -> None:
    series = wide_csv.read([write(tmp_path, "step,r\n3,30\n2,20\n1,10\n")]).series["r"]
    assert (series.step.tolist(), series.value.tolist()) == ([1, 2, 3], [10, 20, 30])


def test_a_quote_inside_a_cell_opens_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{i},ok,{i}\n" for i in range(1, 2000))
    recording = wide_csv.read([write(tmp_path, 'step,info,r\n0,5" gripper,0\n' + rows)])
    assert len(recording.series["r"].step) == 2000
    assert recording.warnings == []


@pytest.mark.parametrize("text", ["step;r\n1;2\n", "\nstep,r\n1,2\n", "\ufeffstep,r\r\n1,2\r\n"])
def test_semicolons_blank_lines_and_byte_order_marks_are_understood(
    tmp_path: Path, text: str
) -> None:
    path = write(tmp_path, text, "export.csv")
    assert wide_csv.matches(path, path.read_bytes())
    assert wide_csv.read([path]).series["r"].value.tolist() == [2.0]


def test_a_stray_carriage_return_is_a_line_end(tmp_path: Path) -> None:
    recording = wide_csv.read([write(tmp_path, "step,r\n1,2\r3,4,5\n6,7\n")])
    assert recording.series["r"].value.tolist() == [2.0, 7.0]


def test_times_in_milliseconds_are_seconds_in_the_end(tmp_path: Path) -> None:
    text = "Wall time,Step,Value\n1690000000000,1,2\n"
    series = wide_csv.read([write(tmp_path, text)]).series["Value"]
    assert series.wall_time.tolist() == [1_690_000_000.0]


def test_a_text_file_that_mentions_no_step_is_not_taken_for_a_log() -> None:
    assert not wide_csv.matches(Path("notes.txt"), b"a, b\n1, 2\n")
    assert not wide_csv.matches(Path("weights.csv"), b"\0\1\2step,r\n")
    assert not wide_csv.matches(Path("step.md"), b"step,reward\n1,2\n")


REAL = (bundled.data("cartpole/dqn/seed_0") / "progress.csv").read_bytes()
TRUE = wide_csv.read([bundled.data("cartpole/dqn/seed_0") / "progress.csv"]).series


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(REAL.index(b"\n") + 1, len(REAL)))
def test_a_file_cut_anywhere_gives_every_whole_line_and_no_other(tmp_path: Path, end: int) -> None:
    path = tmp_path / "progress.csv"
    path.write_bytes(REAL[:end])
    recording = wide_csv.read([path])
    whole = REAL[:end].count(b"\n") - 1
    # Every row of this table has a return.
    assert len(recording.series.get("rollout/ep_rew_mean", [[]])[0]) == whole
    for tag, series in recording.series.items():
        n = len(series.step)
        np.testing.assert_array_equal(series.step, TRUE[tag].step[:n])
        np.testing.assert_array_equal(series.value, TRUE[tag].value[:n])
    assert bool(recording.warnings) == (REAL[end - 1 : end] != b"\n")
