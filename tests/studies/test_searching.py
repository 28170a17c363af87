"""Searches that really run: in this process, in worker processes, killed and gone on with."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import optuna
import psutil
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

import tarslab as tl
from tarslab.errors import BadArgument, BadStudy, LogNotFound
from tarslab.studies import objectives, report, search
from tarslab.studies.searching import OWNER, Progress, _Quota

# Its first trials end, the others hang until they are stopped.
HANGS = """
import sys, threading
from tarslab.studies import search

def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    if trial.number >= 3:
        threading.Event().wait()
    return x**2

search(objective, storage=sys.argv[1], name="s", n_trials=8, seed=0, workers=int(sys.argv[2]))
"""

QUICK = """
import sys
from tarslab.studies import search

def objective(trial):
    return trial.suggest_float("x", -5, 5)**2

search(objective, storage=sys.argv[1], name="s", n_trials=16)
"""

PARAMETERS = 'x: float = 0.0\nact: str = "relu"\nn: int = 2\nfree = None'


def square(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", -5, 5) ** 2


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(study: tl.Study) -> dict[str, int]:
    return dict(Counter(study.trials["state"]))


def counting(study: tl.Study) -> list[Any]:
    """The trials that were not given up for others that try the same again."""
    return [
        trial for trial in study.frozen if "tried again" not in trial.user_attrs.get("error", "")
    ]


def hanging(path: Path, workers: int) -> subprocess.Popen[bytes]:
    """A search in a process of its own, of which three trials are done and the others hang."""
    process = subprocess.Popen([sys.executable, "-c", HANGS, str(path), str(workers)])

    def hangs() -> bool:
        if not path.exists() or not path.stat().st_size:
            return False
        trials = tl.load_study(path).frozen
        running = [t for t in trials if t.state.name == "RUNNING" and t.params]
        return len(trials) == 3 + workers and len(running) == workers

    wait_until(hangs)
    return process


def write_notebook(path: Path, *cells: str) -> Path:
    v4 = nbformat.v4
    tagged = v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    nbformat.write(v4.new_notebook(cells=[tagged, *map(v4.new_code_cell, cells)]), path)
    return path


def test_a_function_is_searched_here_and_the_study_comes_back(tmp_path: Path) -> None:
    told: list[Progress] = []
    study = search(
        square, storage=tmp_path / "s.log", name="s", n_trials=12, on_progress=told.append
    )
    assert states(study) == {"COMPLETE": 12}
    assert [progress.finished for progress in told] == list(range(1, 13))
    assert told[-1].best == study.trials["value"].min()
    by_optuna = optuna.load_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(tmp_path / "s.log")))
    )
    assert [t.params for t in by_optuna.trials] == [t.params for t in study.frozen]


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii", "qmc"])
def test_a_seed_gives_the_same_search_also_in_two_parts(tmp_path: Path, sampler: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -5, 5)
        for step in range(3):
            trial.report(x**2 + step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x**2 + trial.suggest_int("n", 1, 5)

    def run(name: str, n_trials: int, seed: int | None) -> tl.Study:
        storage = tmp_path / "s.log"
        return search(
            objective, storage=storage, name=name, n_trials=n_trials, sampler=sampler, seed=seed
        )

    straight = run("straight", 12, seed=3)
    run("parts", 5, seed=3)
    parts = run("parts", 12, seed=None)
    assert parts.attributes["tarslab:seed"] == 3
    compared = ["state", "value", "params_x", "params_n"]
    assert parts.trials[compared].equals(straight.trials[compared])
    assert parts.trials["params_x"].nunique() == 12
    assert not run("other", 12, seed=4).trials[compared].equals(straight.trials[compared])


def test_a_trial_that_raises_fails_with_its_reason_and_counts(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> Any:
        trial.suggest_float("x", 0, 1)
        if trial.number == 0:
            raise ZeroDivisionError("by nothing")
        return {1: 1.0, 2: float("nan"), 3: [1.0, 2.0]}.get(trial.number, "much")

    study = search(objective, storage=tmp_path / "s.log", name="s", n_trials=5)
    assert study.trials["state"].tolist() == ["FAIL", "COMPLETE", "FAIL", "FAIL", "FAIL"]
    errors = study.trials["user_attrs_error"].tolist()
    assert errors[0].startswith("ZeroDivisionError: by nothing (line ")
    assert "of test_searching.py, in objective" in errors[0]
    assert "gave nan where 1 numbers were due" in errors[2]
    assert "gave [1.0, 2.0] where 1 numbers" in errors[3]
    assert "could not convert string to float: 'much'" in errors[4]


def test_several_objectives_with_names(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> list[float]:
        x = trial.suggest_float("x", 0, 1)
        return [x, 1 - x]

    study = search(
        objective,
        storage=tmp_path / "s.db",
        name="s",
        n_trials=5,
        directions=["minimize", "maximize"],
        metrics=["loss", "reward"],
        sampler="nsgaii",
    )
    assert study.objectives == ("loss", "reward")
    assert study.directions == ("minimize", "maximize")
    assert states(study) == {"COMPLETE": 5}


def test_ctrl_c_here_gives_the_trial_up_and_the_next_search_tries_it_again(tmp_path: Path) -> None:
    def stopped_at_3(trial: optuna.Trial) -> float:
        value = square(trial)
        if trial.number == 3:
            raise KeyboardInterrupt
        return value

    storage = tmp_path / "s.log"
    with pytest.raises(KeyboardInterrupt):
        search(stopped_at_3, storage=storage, name="s", n_trials=6, seed=0)
    assert states(tl.load_study(storage)) == {"COMPLETE": 3, "FAIL": 1, "WAITING": 1}
    study = search(square, storage=storage, name="s", n_trials=6)
    assert study.trials["state"].tolist() == [*["COMPLETE"] * 3, "FAIL", *["COMPLETE"] * 3]
    straight = search(square, storage=storage, name="straight", n_trials=6, seed=0)
    assert [t.params for t in counting(study)] == [t.params for t in straight.frozen]


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsgaii"])
@pytest.mark.parametrize("asked", [0, 1, 2])
def test_a_trial_cut_off_between_its_hyperparameters_goes_on_as_it_would_have(
    tmp_path: Path, sampler: str, asked: int
) -> None:
    cut_off: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        total = 0.0
        for place in range(3):
            if trial.number in cut_off and place == asked:
                raise KeyboardInterrupt
            total += trial.suggest_float(f"x{place}", -5, 5) ** 2
        return total

    def run(name: str) -> tl.Study:
        storage = tmp_path / "s.log"
        return search(objective, storage=storage, name=name, n_trials=15, sampler=sampler, seed=0)

    straight = run("straight")
    cut_off += [2, 13]
    for _ in cut_off:
        with pytest.raises(KeyboardInterrupt):
            run("cut off")
    found = run("cut off")
    assert states(found) == {"COMPLETE": 15, "FAIL": 2}
    assert [t.params for t in counting(found)] == [t.params for t in straight.frozen]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_search_is_gone_on_with_and_nothing_is_lost(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "s.log"
    process = hanging(path, workers)
    children = psutil.Process(process.pid).children(recursive=True)
    before = tl.load_study(path)
    process.kill()
    process.wait()
    # The workers see that nobody feeds them any more.
    wait_until(lambda: not any(child.is_running() for child in children))
    study = search(square, storage=path, name="s", n_trials=8, workers=workers, seed=0)
    finished = [t for t in before.frozen if t.state.name == "COMPLETE"]
    assert len(finished) == 3
    assert study.frozen[:3] == finished
    assert states(study) == {"COMPLETE": 8, "FAIL": workers}
    cut_off = [t.params for t in before.frozen[3:]]
    assert [t.params for t in study.frozen[3 : 3 + 2 * workers]] == cut_off * 2
    if workers == 1:
        straight = search(square, storage=path, name="straight", n_trials=8, seed=0)
        assert [t.params for t in counting(study)] == [t.params for t in straight.frozen]


def test_ctrl_c_stops_the_workers_and_tells_the_storage(tmp_path: Path) -> None:
    path = tmp_path / "s.log"
    process = hanging(path, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == 2
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert not any(child.is_running() for child in children)
    study = tl.load_study(path)
    assert states(study) == {"COMPLETE": 3, "FAIL": 2, "WAITING": 2}
    given_up = study.trials["user_attrs_error"].dropna().unique().tolist()
    assert given_up == ["the search was stopped; tried again as a later trial"]


def test_workers_share_the_trials_of_a_journal_on_redis(tmp_path: Path, redis_url: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        # No worker goes on before all three have begun.
        (tmp_path / str(os.getpid())).touch()
        deadline = time.monotonic() + 60
        while len(os.listdir(tmp_path)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        trial.set_user_attr("pid", os.getpid())
        return trial.suggest_float("x", 0, 1)

    study = search(objective, storage=redis_url, name="shared", n_trials=15, workers=3)
    assert study.trials["number"].tolist() == list(range(15))
    assert states(study) == {"COMPLETE": 15}
    assert study.trials["user_attrs_pid"].nunique() == 3
    assert os.getpid() not in study.trials["user_attrs_pid"]
    assert study.trials["params_x"].nunique() == 15


def test_two_searches_of_one_study_run_no_more_than_the_total(tmp_path: Path) -> None:
    path = tmp_path / "s.log"
    both = [subprocess.Popen([sys.executable, "-c", QUICK, str(path)]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    study = tl.load_study(path)
    assert states(study)["COMPLETE"] == 16
    # One that both planned at the same time is never begun.
    assert states(study).get("WAITING", 0) <= 1
    assert states(study).keys() <= {"COMPLETE", "WAITING"}


def test_a_worker_that_dies_costs_no_other_trial(tmp_path: Path) -> None:
    deadly = tmp_path / "deadly"

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 0:
            deadly.write_text(str(x))
        if trial.number == 1 or (deadly.exists() and deadly.read_text() == str(x)):
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    study = search(objective, storage=tmp_path / "s.log", name="s", n_trials=5, workers=2)
    done = counting(study)
    assert len(done) == 5
    assert sorted(t.state.name for t in done) == [*["COMPLETE"] * 4, "FAIL"]
    (failed,) = (t for t in done if t.state.name == "FAIL")
    first = study.frozen[0]
    assert failed.params == first.params
    assert failed.user_attrs["error"] == ("the worker process died (signal 9), for the second time")
    assert first.user_attrs["error"].endswith("died (signal 9); tried again as a later trial")


def test_many_workers_on_sqlite_are_warned_and_right(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    optuna.create_study(storage=url, study_name="s").enqueue_trial({"x": 0.5})
    with pytest.warns(UserWarning, match=r"s\.db: workers wait for one another in a SQLite"):
        study = search(square, storage=url, name="s", n_trials=6, workers=2)
    assert study.trials["number"].tolist() == list(range(6))
    assert study.frozen[0].params == {"x": 0.5}
    assert states(study) == {"COMPLETE": 6}


PROXY = """
import sys
from optuna.storages import RDBStorage, run_grpc_proxy_server
run_grpc_proxy_server(RDBStorage(sys.argv[1]), host="localhost", port=int(sys.argv[2]))
"""


def test_a_search_over_a_grpc_proxy(tmp_path: Path, free_port: int) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    command = [sys.executable, "-W", "ignore", "-c", PROXY, url, str(free_port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            storage = f"grpc://localhost:{free_port}"
            assert states(search(square, storage=storage, name="s", n_trials=3)) == {"COMPLETE": 3}
        finally:
            server.kill()


def test_no_trial_is_started_after_the_timeout(tmp_path: Path) -> None:
    study = search(square, storage=tmp_path / "s.log", name="s", n_trials=3, timeout=0)
    assert len(study) == 0


def test_a_running_trial_of_somebody_else_is_named_and_left_alone(tmp_path: Path) -> None:
    storage = tmp_path / "s.log"
    of_optuna = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(storage))), study_name="s"
    )
    of_optuna.ask()
    with pytest.warns(UserWarning, match="s: trials 0 are RUNNING, begun on another machine or"):
        study = search(square, storage=storage, name="s", n_trials=3)
    assert study.trials["state"].tolist() == ["RUNNING", "COMPLETE", "COMPLETE"]


def test_a_notebook_is_executed_for_each_trial_and_kept(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("limit = -0.9")
    notebook = write_notebook(
        tmp_path / "train.ipynb",
        "from tarslab.studies import record, report\nimport beside",
        "open('log.txt', 'w').write(act)",
        "if x < beside.limit:\n    raise ValueError('diverged')",
        "for step in range(3):\n    report(x, step)",
        "record(loss=0)\nrecord(loss=x + n, seconds=1.5)",
    )
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(-1, 1)}
    storage = tmp_path / "s.log"
    earlier = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(storage))), study_name="s"
    )
    for _ in range(5):
        params, reported = {"x": 0.0}, dict.fromkeys(range(3), 0.0)
        earlier.add_trial(
            create_trial(
                params=params, distributions=space, intermediate_values=reported, value=2.0
            )
        )
    for x in (-0.5, 0.5, -1.0):
        earlier.enqueue_trial({"x": x})
    study = search(
        notebook,
        {"x": "-1..1"},
        storage=storage,
        name="s",
        n_trials=8,
        metrics="loss",
        workers=2,
        parameters={"n": 3, "act": "tanh"},
        out=tmp_path / "out",
    )
    complete, pruned, failed = study.frozen[5:]
    assert complete.state.name == "COMPLETE"
    assert complete.value == 2.5
    assert complete.user_attrs == {"seconds": 1.5}
    assert complete.intermediate_values == {0: -0.5, 1: -0.5, 2: -0.5}
    # The median of the five others is 0.
    assert pruned.state.name == "PRUNED"
    assert pruned.intermediate_values == {0: 0.5}
    assert failed.state.name == "FAIL"
    assert "train.ipynb, cell 5: ValueError: diverged" in failed.user_attrs["error"]
    for number in (5, 6, 7):
        folder = tmp_path / "out" / study.name / f"trial_{number}"
        assert (folder / "log.txt").read_text() == "tanh"
        executed = nbformat.read(folder / "train.ipynb", as_version=4)
        assert any(f"x = {study.frozen[number].params['x']}" in c.source for c in executed.cells)
    assert study.objectives == ("loss",)


def test_a_report_outside_of_a_search_does_nothing() -> None:
    report(1.0, 0)


def test_a_report_that_cannot_be_taken_says_why() -> None:
    single = optuna.create_study()
    with objectives._listening(single.ask()) as heard:
        report(1.0, 0)
        with pytest.raises(BadArgument, match=r"report\(1\.0, -1\): .*step"):
            report(1.0, -1)
    assert not heard.pruned
    several = optuna.create_study(directions=["minimize", "maximize"])
    with (
        objectives._listening(several.ask()),
        pytest.raises(BadArgument, match="multi-objective"),
    ):
        report(1.0, 0)


def ranges(tmp_path: Path, space: dict[str, Any]) -> dict[str, BaseDistribution]:
    notebook = write_notebook(tmp_path / "n.ipynb")
    return dict(objectives.notebook(notebook, space, {}, ["loss"], tmp_path, 1).space)


@pytest.mark.parametrize(
    ("name", "said", "meant"),
    [
        ("x", "-1..1", FloatDistribution(-1, 1)),
        ("x", "log:1e-5..1e-1", FloatDistribution(1e-5, 1e-1, log=True)),
        ("n", "1..4", IntDistribution(1, 4)),
        ("n", "log:1..1024", IntDistribution(1, 1024, log=True)),
        ("n", "32|64", CategoricalDistribution([32, 64])),
        ("act", "relu|tanh", CategoricalDistribution(["relu", "tanh"])),
        ("act", "1|2", CategoricalDistribution(["1", "2"])),
        ("free", "0.5..1", FloatDistribution(0.5, 1)),
        ("free", "1..2", IntDistribution(1, 2)),
        ("free", "1|true|a", CategoricalDistribution([1, True, "a"])),
        ("n", IntDistribution(0, 10, step=5), IntDistribution(0, 10, step=5)),
    ],
)
def test_ranges_are_read_as_the_notebooks_types(tmp_path: Path, name, said, meant) -> None:
    assert ranges(tmp_path, {name: said}) == {name: meant}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"x": "1e-5"}, r"space: x=1e-5: a range is 1\.\.4, 0\.1\.\.0\.9, log:.*relu\|tanh"),
        ({"x": "a..b"}, r"space: x=a\.\.b: a range is"),
        ({"x": "..1"}, r"space: x=\.\.1: a range is"),
        ({"x": "2..1"}, r"space: x=2\.\.1: the ends of a range are finite, the lower first"),
        ({"x": "log:0..1"}, r"space: x=log:0\.\.1: .*above zero where it starts with log:"),
        ({"x": "0..inf"}, r"space: x=0\.\.inf: the ends of a range are finite"),
        ({"free": "[1]|[2]"}, r"space: free=\[1\]\|\[2\]: a choice is a text, a number"),
        ({"n": "0.5..1"}, r"0\.5 is not a int; the notebook takes n: int = 2"),
        ({"n": "1|two"}, r"'two' is not a int; the notebook takes n: int = 2"),
        ({"act": "1..2"}, r"1 is not a str; the notebook takes act: str"),
        ({"y": "0..1"}, r"n\.ipynb has no parameter y; it takes:\n  x: float = 0\.0"),
        ({}, r"n\.ipynb needs a space"),
    ],
)
def test_a_range_that_cannot_be_used_is_named(tmp_path: Path, space, message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        ranges(tmp_path, space)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampler": "tpo"}, "sampler must be one of tpe, random, nsgaii, cmaes, qmc, not 'tpo'"),
        ({"pruner": "mean"}, "pruner must be one of median, percentile, hyperband, .*, none, not"),
        ({"n_trials": 0}, "n_trials must be at least 1, not 0"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"directions": "up"}, "directions are minimize or maximize, not up"),
        ({"metrics": ["a", "b"]}, r"metrics and directions go together: 2 \(a, b\) and 1 \(min"),
        ({"space": {"x": "0..1"}}, "space and parameters are for notebooks"),
        ({"objective": "math:nothing"}, "math:nothing: module 'math' has no attribute 'nothing'"),
        ({"objective": "nosuchmodule:f"}, "nosuchmodule:f: No module named 'nosuchmodule'"),
        ({"objective": "math:pi"}, "math:pi is no function but float"),
        ({"storage": "study"}, r"storage: study is no journal \(study.log\), SQLite database"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_trial(tmp_path, arguments, message) -> None:
    given: dict[str, Any] = {"storage": tmp_path / "s.log", "name": "s", "n_trials": 1} | arguments
    with pytest.raises(BadArgument, match=message):
        search(given.pop("objective", square), **given)
    assert not (tmp_path / "s.log").exists()


def test_a_notebook_without_metrics_or_with_a_parameter_twice_is_refused(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb")
    given: dict[str, Any] = {"storage": tmp_path / "s.log", "name": "s", "n_trials": 1}
    with pytest.raises(BadArgument, match="needs metrics: the name that it records"):
        search(notebook, {"x": "0..1"}, **given)
    with pytest.raises(BadArgument, match="x has a range and a fixed value too"):
        search(notebook, {"x": "0..1"}, metrics="loss", parameters={"x": 1}, **given)
    with pytest.raises(LogNotFound, match=r"gone\.ipynb: no such notebook"):
        search(tmp_path / "gone.ipynb", {"x": "0..1"}, metrics="loss", **given)


def test_an_objective_that_no_process_can_be_sent_is_refused(tmp_path: Path) -> None:
    lock = threading.Lock()

    def objective(trial: optuna.Trial) -> float:
        with lock:
            return square(trial)

    with pytest.raises(BadArgument, match="cannot be sent to a worker process"):
        search(objective, storage=tmp_path / "s.log", name="s", n_trials=2, workers=2)


def test_what_contradicts_the_study_that_is_there_is_refused_with_both_named(
    tmp_path: Path,
) -> None:
    storage = tmp_path / "s.log"
    given: dict[str, Any] = {"storage": storage, "name": "s", "n_trials": 2}
    search(square, metrics="loss", **given)
    before = storage.read_bytes()
    with pytest.raises(
        BadArgument,
        match=r"s\.log holds 's' with directions minimize, and this .*"
        r"has maximize: give the same, or another name",
    ):
        search(square, directions="maximize", **given)
    with pytest.raises(BadArgument, match="with metrics loss, and this search has reward"):
        search(square, metrics="reward", **given)
    notebook = write_notebook(tmp_path / "n.ipynb")
    with pytest.raises(
        BadArgument,
        match=r"with the space x = FloatDistribution\(high=5\.0.*and "
        r"this search has FloatDistribution\(high=1\.0",
    ):
        search(notebook, {"x": "0..1"}, metrics="loss", **given)
    with pytest.raises(BadArgument, match="with the space x, and this search has n as well"):
        search(notebook, {"x": "-5..5", "n": "1..2"}, metrics="loss", **given)
    assert storage.read_bytes() == before


def test_a_storage_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(BadStudy, match=r"redis://someone:\*\*\*@localhost:1/0 cannot be"):
        search(square, storage="redis://someone:hunter2@localhost:1/0", name="s", n_trials=1)


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_a_seed_that_is_none_is_refused_before_any_trial(tmp_path: Path, seed: Any) -> None:
    with pytest.raises(BadArgument, match="seed must be a whole number"):
        search(square, storage=tmp_path / "s.log", name="s", n_trials=1, seed=seed)
    assert not (tmp_path / "s.log").exists()


def test_a_search_goes_on_while_no_trial_keeps_its_constraints(tmp_path: Path) -> None:
    def constrained(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -5, 5)
        trial.set_constraint("never", 1.0)
        return x

    told: list[Progress] = []
    search(constrained, storage=tmp_path / "s.log", name="s", n_trials=3, on_progress=told.append)
    assert [progress.best for progress in told] == [None] * 3


def test_an_objective_that_exits_is_a_failed_trial(tmp_path: Path) -> None:
    def exits(trial: optuna.Trial) -> float:
        sys.exit("bad flag")

    study = search(exits, storage=tmp_path / "s.log", name="s", n_trials=2)
    assert [trial.state.name for trial in study.frozen] == ["FAIL"] * 2
    assert "bad flag" in study.frozen[0].user_attrs["error"]


def test_who_loses_a_trial_to_another_search_does_not_stand_as_its_owner() -> None:
    study = optuna.create_study()
    study.enqueue_trial({})
    (trial,) = study.get_trials(deepcopy=True)
    winner, loser = (
        _Quota(study, study._storage, {"search": name}, 1, math.inf, lambda _: None)
        for name in ("winner", "loser")
    )
    assert winner._take(trial)
    assert not loser._take(trial)
    assert study.trials[0].system_attrs[OWNER] == {"search": "winner"}


def test_what_a_user_has_noted_of_a_study_is_left_alone(tmp_path: Path) -> None:
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "s.log")))
    study = optuna.create_study(storage=storage, study_name="s")
    study.set_user_attr("seed", [1, 2, 3])
    study.set_user_attr("sampler", "my own")
    found = search(square, storage=tmp_path / "s.log", name="s", n_trials=1)
    assert found.attributes["seed"] == [1, 2, 3]
    assert found.attributes["sampler"] == "my own"
