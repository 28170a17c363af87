"""``tarslab load``."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tarslab.chaos.load import LoadResult
from tarslab.chaos.load.cli import app
from tests.chaos.load.conftest import Server
from tests.chaos.load.made import Made

GOOD = {"http_req_service_duration": ["max<1000000"], "http_req_failed": ["rate<0.5"]}
runner = CliRunner()


def scenario(folder: Path, exec: str, thresholds: object, duration: str = "1s") -> str:
    path = folder / "load.yaml"
    arrivals = {
        "executor": "constant-arrival-rate",
        "exec": exec,
        "rate": 10,
        "duration": duration,
        "preAllocatedVUs": 10,
    }
    path.write_text(yaml.safe_dump({"scenarios": {"a": arrivals}, "thresholds": thresholds}))
    return str(path)


def test_a_run_shows_its_figures_and_saves_them(server: Server, tmp_path: Path) -> None:
    path = scenario(tmp_path, "jwt", GOOD, "2s")
    out = tmp_path / "out"
    options = ["--target", server.url, "--scale", "0.5", "--raw", "--out", str(out)]
    said = runner.invoke(app, ["run", path, *options])
    assert said.exit_code == 0, said.output
    assert "passed: load against" in said.output
    assert "jwt_verify_duration" in said.output
    result = LoadResult.load(out)
    assert result.about.scale == 0.5
    assert len(result.points) == 70


def test_a_broken_threshold_is_exit_code_99(server: Server, tmp_path: Path) -> None:
    path = scenario(tmp_path, "jwt", GOOD | {"http_reqs": ["count<1"]})
    said = runner.invoke(app, ["run", path, "--target", server.url])
    assert said.exit_code == 99
    assert "http_reqs: count<1 does not hold" in said.output


def test_flows_of_a_file_are_found(server: Server, tmp_path: Path) -> None:
    (tmp_path / "own_flows.py").write_text(
        "from tarslab.chaos.load import flow\n"
        "PATH = '/status/404'\n"
        "@flow\n"
        "async def own_flow(user):\n"
        "    await user.get(PATH, name='own')\n"
    )
    path = scenario(tmp_path, "own_flow", GOOD)
    flows = ["--flows", str(tmp_path / "own_flows.py")]
    said = runner.invoke(app, ["run", path, "--target", server.url, *flows])
    assert said.exit_code == 99
    assert "HTTP 404" in said.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["run", "sustained"], "give --target, or set TARSLAB_URL"),
        (["run", "sustained", "--target", "http://192.0.2.1"], "--allow 192.0.2.1"),
        (["run", "sustaind", "--target", "http://127.0.0.1:1"], "jwt-stress, spike, sustained"),
        (["run", "spike", "--target", "http://127.0.0.1:1", "--scale", "0"], "scale must be above"),
        (["run", "spike", "--flows", "missing.py"], "flows are a file of Python"),
        (["export", "spike", "--format", "k6-operator"], "target: the URL"),
        (["compare", "no", "where"], "no results of load there"),
        (["compare", "a", "b", "--fail-if-worse", "ten"], "a share such as 10% or 0.1"),
        (["capacity", "jwt-stress", "--target", "http://127.0.0.1:1"], "a capacity is a rate"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_exit_code_2(
    arguments: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TARSLAB_URL", raising=False)
    said = runner.invoke(app, arguments)
    assert said.exit_code == 2
    assert problem in said.output
    assert "Traceback" not in said.output


def test_an_export_is_printed_or_written(tmp_path: Path) -> None:
    printed = runner.invoke(app, ["export", "spike"])
    assert printed.exit_code == 0
    assert "export const options" in printed.output
    out = tmp_path / "spike.yaml"
    options = ["--format", "k6-operator", "--target", "http://tars:1", "--parallelism", "2"]
    assert runner.invoke(app, ["export", "spike", *options, "--out", str(out)]).exit_code == 0
    assert [each["kind"] for each in yaml.safe_load_all(out.read_text())] == [
        "ConfigMap",
        "TestRun",
    ]


def saved(folder: Path, milliseconds: float, late: float = 1.0) -> str:
    made = Made().late([late])
    for second in range(10):
        made.requests(second, [milliseconds + second % 3] * 20)
    return str(made.result().save(folder / f"{milliseconds}-{late}"))


def test_a_comparison_is_a_sentence_and_fails_a_build_when_it_is_worse(tmp_path: Path) -> None:
    fast, slow = saved(tmp_path, 20), saved(tmp_path, 40)
    said = runner.invoke(app, ["compare", fast, slow])
    assert said.exit_code == 0
    assert said.output.startswith("P95 of http_req_duration rose by 91 %")
    gate = ["--fail-if-worse", "10%"]
    assert runner.invoke(app, ["compare", fast, slow, *gate]).exit_code == 1
    assert runner.invoke(app, ["compare", slow, fast, *gate]).exit_code == 0
    assert runner.invoke(app, ["compare", fast, slow, "--fail-if-worse", "1.5"]).exit_code == 0
    late = saved(tmp_path, 40, late=90)
    said = runner.invoke(app, ["compare", fast, late, *gate])
    assert said.exit_code == 3
    assert "limited by its generator" in said.output


def test_a_capacity_is_searched(server: Server, tmp_path: Path) -> None:
    path = scenario(tmp_path, "jwt", GOOD)
    said = runner.invoke(app, ["capacity", path, "--target", server.url, "--trials", "1"])
    assert said.exit_code == 0, said.output
    assert said.output.splitlines() == [
        "1. 10/s: passed",
        "10 arrivals a second meet the thresholds.",
    ]


def test_sigterm_shows_what_was_measured_so_far(server: Server, tmp_path: Path) -> None:
    path = scenario(tmp_path, "jwt", GOOD, "1h")
    out = tmp_path / "out"
    program = "from tarslab.chaos.load.cli import app; app()"
    arguments = ["run", path, "--target", server.url, "--raw", "--out", str(out)]
    server.ask("/forget")
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not server.seen():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"somebody ended it early" in said
    assert json.loads((out / "result.json").read_text())["about"]["interrupted"]
