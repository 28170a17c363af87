"""The command, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

import tarslab as tl
from tarslab import bundled, doctor

ENDLESS = "import threading; threading.Event().wait()"


@contextmanager
def started_by(command: list[str], cwd: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A command while it runs, which it does no more at the end of the block."""
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def tarslab(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tarslab", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.mark.parametrize("command", ["demo", "report", "doctor", "version"])
def test_every_command_has_help(command: str) -> None:
    result = tarslab(command, "--help")
    assert result.returncode == 0
    assert "Usage: " in result.stdout


def test_a_report_on_ones_own_logs_by_relative_path(tmp_path: Path) -> None:
    log = tmp_path / "my_logs" / "run" / "monitor.csv"
    log.parent.mkdir(parents=True)
    rows = "".join(f"{i},{10 + i},{i}\n" for i in range(30))
    log.write_text('#{"t_start": 0}\nr,l,t\n' + rows)
    notebook = bundled.root() / "notebooks" / "10_training_curves.ipynb"
    result = tarslab(
        *("report", notebook, "-p", "log_dir=my_logs", "-p", "window=5", "-p", "by=env"),
        *("-o", "out"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "out/index.html" in result.stdout
    page = (tmp_path / "out" / "10_training_curves.html").read_text()
    assert "Not drawn: no run has a loss" in page
    assert "<code>my_logs</code>" in page
    assert str(tmp_path) not in page


def test_a_failing_notebook_is_named_and_the_exit_code_is_1(tmp_path: Path) -> None:
    notebook = bundled.root() / "notebooks" / "00_quickstart.ipynb"
    result = tarslab("report", notebook, "-p", "log_dir=gone", "-o", tmp_path / "out")
    assert result.returncode == 1
    assert "LogNotFound: gone: no such file or folder" in result.stdout
    assert "gone: no such file" in (tmp_path / "out" / "index.html").read_text()


def test_an_unknown_parameter_is_a_message_and_not_a_traceback(tmp_path: Path) -> None:
    notebook = bundled.root() / "notebooks" / "00_quickstart.ipynb"
    result = tarslab("report", notebook, "-p", "windw=5", "-o", tmp_path / "out")
    assert result.returncode == 2
    assert "has no parameter windw; it takes:" in result.stderr
    assert "window: int = 10  points in the rolling mean" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_interrupt_stops_the_kernels_and_the_notebooks_that_wait(tmp_path: Path) -> None:
    started = tmp_path / "started"
    cells = [f"import os; open({str(started)!r}, 'w').write(str(os.getpid()))", ENDLESS]
    notebooks = [tmp_path / f"{name}.ipynb" for name in "abc"]
    for path in notebooks:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        nbformat.write(notebook, path)
    command = [sys.executable, "-m", "tarslab", "report", *map(str, notebooks)]
    with started_by([*command, "-o", str(tmp_path / "out")]) as process:
        wait_until(lambda: started.exists() and started.read_text() != "")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode != 0
    kernel = int(started.read_text())
    wait_until(lambda: not alive(kernel))


def test_a_missing_notebook_is_a_message(tmp_path: Path) -> None:
    result = tarslab("report", tmp_path / "gone.ipynb")
    assert result.returncode == 2
    assert "no such notebook" in result.stderr


def test_the_doctor_finds_this_machine_well() -> None:
    result = tarslab("doctor")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("ok ") == 6


def test_the_doctor_names_a_missing_package_and_the_mend(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "requires", lambda _: ["nosuchpackage>=1", "numpy>=99"])
    finding = doctor._packages()
    assert "nosuchpackage>=1, numpy>=99 (is" in finding.state
    assert "pip install" in finding.mend


def test_the_doctor_names_a_kernel_whose_python_is_gone(tmp_path: Path, monkeypatch) -> None:
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/gone/python"], "display_name": "x"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    finding = doctor._kernel()
    assert "/gone/python" in finding.state
    assert "ipykernel install" in finding.mend


TRAIN = """
def good(trial):
    return trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 3)

def bad(trial):
    raise ValueError("diverged")
"""


def write_trainer(path: Path, *cells: str) -> Path:
    v4 = nbformat.v4
    tagged = v4.new_code_cell("x: float = 0.0\nn: int = 1", metadata={"tags": ["parameters"]})
    nbformat.write(v4.new_notebook(cells=[tagged, *map(v4.new_code_cell, cells)]), path)
    return path


def test_the_help_of_tune_teaches_with_an_example() -> None:
    result = tarslab("tune", "--help")
    assert result.returncode == 0
    assert "tarslab tune train.ipynb -s lr=log:1e-5..1e-1 " in result.stdout


def test_a_search_over_a_notebook_says_what_was_found_and_where_it_is(tmp_path: Path) -> None:
    record = "from tarslab.studies import record\nrecord(loss=x + n)"
    write_trainer(tmp_path / "train.ipynb", record)
    result = tarslab(
        *("tune", "train.ipynb", "-s", "x=0..1", "-p", "n=3", "--metric", "loss"),
        *("--trials", "2", "--seed", "0", "-o", "tried"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    study = tl.load_study(tmp_path / "study.log", "train")
    (best,) = study.front().to_dict("records")
    assert best["value"] == 3 + best["params_x"]
    assert "Study train: 2 trials (2 COMPLETE), 1 parameters, minimize loss" in result.stdout
    assert f"trial {best['number']}: loss {best['value']:g} with x=" in result.stdout
    assert "study = tl.load_study('study.log', 'train')" in result.stdout
    assert (tmp_path / "tried" / "train" / "trial_1" / "train.ipynb").exists()


def test_a_search_over_a_function_goes_on_to_the_total(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    for trials, workers in ((2, 1), (4, 2)):
        result = tarslab(
            *("tune", "train:good", "--storage", "s.db"),
            *("--trials", str(trials), "--workers", str(workers)),
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert f"Study good: {trials} trials ({trials} COMPLETE)" in result.stdout
    assert "Warning: " in result.stderr
    assert "s.db: workers wait for one another in a SQLite database" in result.stderr


def test_a_search_whose_every_trial_fails_says_why_and_the_exit_code_is_1(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    result = tarslab("tune", "train:bad", "--trials", "2", cwd=tmp_path)
    assert result.returncode == 1
    assert "every trial failed, the last by ValueError: diverged (line 6 of train.py" in (
        result.stdout
    )


def test_a_search_that_cannot_begin_is_a_message(tmp_path: Path) -> None:
    write_trainer(tmp_path / "train.ipynb")
    result = tarslab("tune", "train.ipynb", "--metric", "loss", "-s", "x=1e-5", cwd=tmp_path)
    assert result.returncode == 2
    assert "space: x=1e-5: a range is 1..4, 0.1..0.9, log:1e-5..1e-1 or relu|tanh" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "study.log").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_search_that_is_stopped_leaves_no_kernel_and_can_go_on(tmp_path: Path, how: int) -> None:
    started = tmp_path / "started"
    tell = f"import os; open({str(started)!r}, 'w').write(str(os.getpid()))"
    write_trainer(tmp_path / "train.ipynb", tell, ENDLESS)
    command = [sys.executable, "-m", "tarslab", "tune", "train.ipynb", "--metric", "loss"]
    command += ["-s", "x=0..1", "--trials", "2"]
    with started_by(command, cwd=tmp_path) as process:
        wait_until(lambda: started.exists() and started.read_text() != "")
        process.send_signal(how)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command goes on with 'train' in study.log" in said
    kernel = int(started.read_text())
    wait_until(lambda: not alive(kernel))
    study = tl.load_study(tmp_path / "study.log")
    assert study.trials["state"].tolist() == ["FAIL", "WAITING"]
    assert study.frozen[1].system_attrs["fixed_params"] == study.frozen[0].params
