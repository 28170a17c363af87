"""progress.csv and other CSV tables, by the compiled loops and without them."""

import gzip
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tarslab as tl
from tarslab import bundled
from tarslab.runs.formats import csv_numbers, csv_tables, text
from tarslab.runs.recording import Recording


def write(folder: Path, text: str, name: str = "progress.csv") -> Path:
    path = folder / name
    path.write_text(text, newline="")
    return path


def read(paths: list[Path]) -> Recording:
    """The one run in some files."""
    (recording,) = csv_tables.read(paths)
    return recording


def test_an_empty_cell_is_not_logged_and_nan_is_a_value(tmp_path: Path) -> None:
    path = write(tmp_path, "time/total_timesteps,a,b\n10,1.5,\n20,,nan\n30,inf,2\n")
    series = read([path]).series
    assert series["a"].step.tolist() == [10, 30]
    assert series["a"].value.tolist() == [1.5, np.inf]
    assert series["b"].step.tolist() == [20, 30]
    np.testing.assert_array_equal(series["b"].value, [np.nan, 2.0])


def test_event_file_and_csv_of_one_training_agree() -> None:
    from tarslab.runs.formats import tfevents

    folder = bundled.data("cartpole/ppo/seed_0")
    by_csv = read([folder / "progress.csv"]).series
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
    assert csv_tables.matches(path, path.read_bytes())
    assert read([path]).series["reward"].step.tolist() == [100, 200]


def test_tabs_separate_the_progress_txt_of_spinning_up(tmp_path: Path) -> None:
    path = write(
        tmp_path, "Epoch\tAverageEpRet\tTotalEnvInteracts\n0\t-5.5\t4000\n", "progress.txt"
    )
    series = read([path]).series
    assert series["AverageEpRet"].step.tolist() == [4000]


def test_a_column_of_words_is_no_metric(tmp_path: Path) -> None:
    path = write(tmp_path, "step,note,r\n1,\"[{'a': 1}]\",2\n")
    assert list(read([path]).series) == ["r"]


def test_a_word_among_numbers_is_named_and_left_out(tmp_path: Path) -> None:
    recording = read([write(tmp_path, "step,r\n1,2\n2,oops\n3,4\n")])
    assert recording.series["r"].step.tolist() == [1, 3]
    assert "1 cells of column r are not numbers" in recording.warnings[0]


def test_a_file_cut_inside_a_quoted_field_loses_only_its_last_row(tmp_path: Path) -> None:
    path = write(tmp_path, 'step,r,info\n1,2,"a\nb"\n3,4,"cut\nhere')
    recording = read([path])
    assert recording.series["r"].step.tolist() == [1]
    assert "the quote in line 4 (byte 26) is never closed" in recording.warnings[0]


def test_rows_without_a_step_are_named(tmp_path: Path) -> None:
    recording = read([write(tmp_path, "step,r\n1,2\n,3\n")])
    assert recording.series["r"].step.tolist() == [1]
    assert "row 3" in recording.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,loss\n1,2\n", "no step column among epoch, loss"),
        ("step,r\n0.5,2\n", "column step holds fractions"),
        (
            "step,phase,r\n1,a,5\n1,b,6\n2,a,4\n2,b,7\n3,a,3\n3,b,8\n",
            "column phase tells 2 runs or metrics apart (a, b)",
        ),
    ],
)
def test_a_table_that_is_no_log_of_one_run_is_refused_with_its_reason(
    tmp_path: Path, text: str, message: str
) -> None:
    recording = read([write(tmp_path, text)])
    assert recording.series == {}
    assert f"progress.csv: {message}" in recording.warnings[0]


def test_a_column_of_words_that_goes_with_one_run_is_fine(tmp_path: Path) -> None:
    text = "step,phase,r\n" + "".join(f"{i},{'ab'[i > 5]},{i}\n" for i in range(10))
    assert read([write(tmp_path, text)]).series["r"].value.tolist() == list(range(10))


def test_lines_that_do_not_fit_are_named_and_the_others_read(tmp_path: Path) -> None:
    recording = read([write(tmp_path, "step,r\n1,2\n3,4,5\n6\n7,8\n9,10,,\n")])
    assert recording.series["r"].step.tolist() == [1, 7, 9]
    assert (
        "2 lines do not fit the header, the first is line 3 with 3 cells" in (recording.warnings[0])
    )


@pytest.mark.parametrize("rows", ["1,2,3\n", "1,2,3\n4\n"])
@pytest.mark.parametrize(("header", "second"), [("step,r,r", "r.1"), ("step,r,r ", "r ")])
def test_columns_of_one_name_stay_apart(
    tmp_path: Path, header: str, second: str, rows: str
) -> None:
    series = read([write(tmp_path, f"{header}\n{rows}")]).series
    assert {tag: one.value.tolist() for tag, one in series.items()} == {"r": [2.0], second: [3.0]}


def test_row_names_without_a_header_as_r_writes_them_are_no_values(tmp_path: Path) -> None:
    text = '"step","reward"\n"1",1000,2.5\n"2",2000,3.5\n'
    series = read([write(tmp_path, text)]).series["reward"]
    assert (series.step.tolist(), series.value.tolist()) == ([1000, 2000], [2.5, 3.5])


def test_an_index_column_of_pandas_is_no_metric(tmp_path: Path) -> None:
    assert list(read([write(tmp_path, ",step,r\n0,1,2\n")]).series) == ["r"]


def test_a_table_with_its_newest_row_first_is_turned(tmp_path: Path) -> None:
    series = read([write(tmp_path, "step,r\n3,30\n2,20\n1,10\n")]).series["r"]
    assert (series.step.tolist(), series.value.tolist()) == ([1, 2, 3], [10, 20, 30])


def test_a_quote_inside_a_cell_opens_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{i},ok,{i}\n" for i in range(1, 2000))
    recording = read([write(tmp_path, 'step,info,r\n0,5" gripper,0\n' + rows)])
    assert len(recording.series["r"].step) == 2000
    assert recording.warnings == []


@pytest.mark.parametrize("text", ["step;r\n1;2\n", "\nstep,r\n1,2\n", "\ufeffstep,r\r\n1,2\r\n"])
def test_semicolons_blank_lines_and_byte_order_marks_are_understood(
    tmp_path: Path, text: str
) -> None:
    path = write(tmp_path, text, "export.csv")
    assert csv_tables.matches(path, path.read_bytes())
    assert read([path]).series["r"].value.tolist() == [2.0]


def test_a_stray_carriage_return_is_a_line_end(tmp_path: Path) -> None:
    recording = read([write(tmp_path, "step,r\n1,2\r3,4,5\n6,7\n")])
    assert recording.series["r"].value.tolist() == [2.0, 7.0]


def test_times_in_milliseconds_are_seconds_in_the_end(tmp_path: Path) -> None:
    text = "Wall time,Step,Value\n1690000000000,1,2\n"
    series = read([write(tmp_path, text)]).series["Value"]
    assert series.wall_time.tolist() == [1_690_000_000.0]


def test_a_text_file_that_mentions_no_step_is_not_taken_for_a_log() -> None:
    assert not csv_tables.matches(Path("notes.txt"), b"a, b\n1, 2\n")
    assert not csv_tables.matches(Path("weights.csv"), b"\0\1\2step,r\n")
    assert not csv_tables.matches(Path("step.md"), b"step,reward\n1,2\n")


def test_a_compressed_table_is_read_and_where_it_is_cut_off_what_there_is(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * i % 997}\n" for i in range(1, 2000))
    packed = gzip.compress(f"step,r\n{rows}".encode())
    whole, cut = tmp_path / "export.csv.gz", tmp_path / "cut.csv.gz"
    whole.write_bytes(packed)
    cut.write_bytes(packed[:-2000])
    assert csv_tables.matches(whole, packed[:300])
    assert read([whole]).series["r"].points == 1999
    assert 0 < read([cut]).series["r"].points < 1999
    assert "cut off" in read([cut]).warnings[0]


def test_utf_16_as_windows_writes_it_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes("step,r\r\n1,2\r\n".encode("utf-16"))
    assert csv_tables.matches(path, path.read_bytes())
    assert read([path]).series["r"].value.tolist() == [2.0]


def test_downloads_of_tensorboard_are_the_metrics_of_one_run(tmp_path: Path) -> None:
    text = "Wall time,Step,Value\n1690000000.5,1,2\n1690000001.5,2,3\n"
    write(tmp_path, text, "run-PPO_1-tag-rollout_ep_rew_mean.csv")
    write(tmp_path, text, "run-PPO_1-tag-my_tag (1).csv")
    write(tmp_path, text, "run-.-tag-eval_mean_reward.csv")
    runs = tl.load(tmp_path)
    assert runs.names == [tmp_path.name, f"{tmp_path.name}/PPO_1"]
    assert runs.select(run=f"{tmp_path.name}/PPO_1").metrics == ["reward", "my_tag"]
    assert runs.select(run=tmp_path.name).metrics == ["eval_reward"]
    assert runs.table["algo"].tolist()[1] == "ppo"


def test_several_runs_in_a_file_are_runs_below_it(tmp_path: Path) -> None:
    rows = "".join(f"{i},{seed},{i + seed}\n" for seed in range(3) for i in range(1, 6))
    write(tmp_path, f"step,seed,r\n{rows}", "all.csv")
    runs = tl.load(tmp_path)
    assert runs.names == ["all/seed_0", "all/seed_1", "all/seed_2"]
    assert runs.table["seed"].tolist() == [0, 1, 2]


def test_the_scalars_that_tarslab_wrote_are_read_back_whole(tmp_path: Path) -> None:
    runs = tl.load("bundled:cartpole/a2c")
    scalars = runs.scalars.copy()
    scalars.loc[3, "value"] = np.nan
    scalars.to_csv(tmp_path / "scalars.csv", index=False)
    again = tl.load(tmp_path).scalars
    assert again["run"].astype(str).str.removeprefix("scalars/").equals(scalars["run"].astype(str))
    for column in ("step", "wall_time", "value"):
        np.testing.assert_array_equal(again[column], scalars[column])


def test_loading_compiled_loops_pays_only_for_much_to_read(tmp_path: Path) -> None:
    path = write(tmp_path, "step,r\n1,2\n")
    code = f"""
import sys
from pathlib import Path
from tarslab.runs.formats import csv_numbers
homes = [[Path({str(path)!r})]]
print(csv_numbers.pays(homes), csv_numbers.pays(homes * 5000), "numba" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True", "False"]


def numbers_of(text: str) -> list[float] | None:
    columns = csv_numbers.number_columns(text.encode())
    return None if columns is None else columns["r"].number.tolist()


DECIMALS = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.integers().map(str),
    st.from_regex(r"[+-]?[0-9]{1,22}\.[0-9]{0,22}", fullmatch=True),
    st.from_regex(r"[+-]?\.?[0-9]{1,20}[eE][+-]?[0-9]{1,3}", fullmatch=True),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(DECIMALS, min_size=1, max_size=20))
def test_compiled_loops_round_as_python_does(cells: list[str]) -> None:
    """Of all the ways to round a decimal, Python's float is the nearest one, ties to even."""
    read = numbers_of("step,r\n" + "".join(f"0,{cell}\n" for cell in cells))
    np.testing.assert_array_equal(read, [float(cell) for cell in cells])


@pytest.mark.parametrize(
    "cell",
    [
        *("9007199254740993", "9007199254740992.5", "8.5e15", "1e22", "1e23", "5e-324", "1e309"),
        *("2.2250738585072011e-308", "1.7976931348623158e308", "-0", "0e999999999", "1e-999999999"),
        *("123456789012345678901234567890", "0.000000000000000000000000000000123456789", "nan"),
        *("NaN", "-inf", "Inf", "+1.5", "1.", ".5", " 7\t"),
    ],
)
def test_compiled_loops_know_the_hard_cases(cell: str) -> None:
    np.testing.assert_array_equal(numbers_of(f"step,r\n0,{cell}\n"), [float(cell)])


@pytest.mark.parametrize(
    "text",
    [
        *("step,r\n0,x\n", "step,r\n0,1 2\n", "step,r\n0,1e\n", "step,r\n0,-\n", "step,r\n0,.\n"),
        *("step,r\n0,1", "step,r\n0,1\r2,3\n", "step,r\n0\n", "step,r\n0,1,2\n", "step,r\n0,1_0\n"),
        *('step,r\n0,"1"\n', "step,r\n0,nano\n", "r,r\n0,1\n", '"step",r\n0,1\n', "step,r", ""),
        "step,r\n" + f"0,1{'0' * 30}\n" * 100,
    ],
)
def test_compiled_loops_leave_to_others_what_is_not_plain(text: str) -> None:
    assert numbers_of(text) is None


CELLS = st.one_of(
    DECIMALS,
    st.sampled_from(["", "", "nan", "-inf", " 1.5", "2 ", "  ", "1e5", str(2**53 + 1), "-0"]),
)
ODD_CELLS = st.sampled_from(
    ["oops", "0x1F", "2024-01-01", "12:30:00", "True", '"3"', '"a,b"', "é", "1,2", "{'a': 1}"]
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """CSV as trainers write it and as killed trainers leave it."""
    names = draw(st.permutations(["step", "reward", "loss", "seed", "algo"]))[: draw(st.just(4))]
    names = names if "step" in names else ["step", *names[1:]]
    rows = draw(st.integers(0, 8))
    cells = st.one_of(CELLS, CELLS, CELLS, ODD_CELLS) if draw(st.booleans()) else CELLS
    lines = [",".join(names)]
    for row in range(rows):
        lines.append(",".join(str(row // 2) if name == "step" else draw(cells) for name in names))
        if draw(st.integers(0, 9)) == 0:
            lines.append(draw(st.sampled_from(["", "  ", "1,2"])))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = draw(st.sampled_from(["", "\ufeff"])) + end.join(lines)
    return (text + draw(st.sampled_from([end, end, ""]))).encode()


def assert_same(ours: list[Recording], others: list[Recording]) -> None:
    for one, other in zip(ours, others, strict=True):
        assert (one.run, one.config, one.warnings) == (other.run, other.config, other.warnings)
        assert list(one.series) == list(other.series)
        for tag, series in one.series.items():
            for column, same in zip(series, other.series[tag], strict=True):
                np.testing.assert_array_equal(column, same)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tables())
def test_all_ways_to_read_a_table_read_the_same(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    careful = csv_tables.read([path])
    assert_same(csv_tables.read([path], compiled=True), careful)
    with patch.object(text, "_read", side_effect=pa.ArrowInvalid("refused")):
        assert_same(csv_tables.read([path]), careful)


REAL = (bundled.data("cartpole/dqn/seed_0") / "progress.csv").read_bytes()
TRUE = read([bundled.data("cartpole/dqn/seed_0") / "progress.csv"]).series


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(REAL.index(b"\n") + 1, len(REAL)))
def test_a_file_cut_anywhere_gives_every_whole_line_and_no_other(tmp_path: Path, end: int) -> None:
    path = tmp_path / "progress.csv"
    path.write_bytes(REAL[:end])
    recording = read([path])
    whole = REAL[:end].count(b"\n") - 1
    # Every row of this table has a return.
    assert len(recording.series.get("rollout/ep_rew_mean", [[]])[0]) == whole
    for tag, series in recording.series.items():
        n = len(series.step)
        np.testing.assert_array_equal(series.step, TRUE[tag].step[:n])
        np.testing.assert_array_equal(series.value, TRUE[tag].value[:n])
    assert bool(recording.warnings) == (REAL[end - 1 : end] != b"\n")
