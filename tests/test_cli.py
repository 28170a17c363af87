"""The command, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tarslab import bundled, doctor

ENDLESS = "import threading; threading.Event().wait()"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
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
    with subprocess.Popen([*command, "-o", str(tmp_path / "out")]) as process:
        wait_until(lambda: started.exists() and started.read_text() != "")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) != 0
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
