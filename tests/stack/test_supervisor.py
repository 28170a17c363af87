"""The supervising process, with small programs in place of the services."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from tarslab.stack import ProcessStatus
from tarslab.stack.launching import _bound
from tarslab.stack.places import Place, ask
from tarslab.stack.supervisor import HOST, Plan, Program
from tests.stack.waiting import alive, wait_until, wait_until_gone

SERVE = """
listener = socket.socket(fileno=int(os.environ["TARSLAB_STACK_FD"]))
while True:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(os.environ.get("ANSWER", "yes").encode())
"""
GRANDCHILD = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
# Serves the first time, and then never again.
ONCE = """
import pathlib
if pathlib.Path(os.environ["MARK"]).exists():
    sys.exit("no more")
pathlib.Path(os.environ["MARK"]).touch()
"""


class Supervising:
    """A supervising process, and what is asked of it."""

    def __init__(self, folder: Path, stages: list[list[Program]], *, tethered: bool) -> None:
        self.place = Place(folder)
        self.place.prepare()
        parent = os.getpid() if tethered else None
        self.plan = Plan(str(folder), str(self.place.control()), stages, parent)
        with self.place.log("supervisor").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tarslab.stack.supervisor"],
                stdin=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdin is not None
        self.process.stdin.write(self.plan.dumps().encode())
        self.process.stdin.flush()
        wait_until(lambda: self.place.state() is not None)

    def ask(self, action: str = "status", name: str | None = None) -> dict[str, ProcessStatus]:
        request = {"action": action} | ({"name": name} if name else {})
        return {one.name: one for one in ask(Path(self.plan.control), request)}

    def until(self, name: str, state: str) -> ProcessStatus:
        wait_until(lambda: self.ask()[name].state == state)
        return self.ask()[name]

    def log(self, name: str) -> str:
        return self.place.log(name).read_text()

    def end(self) -> None:
        self.process.terminate()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


Supervise = Callable[..., Supervising]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Starts a supervising process for stages of programs."""
    started: list[Supervising] = []

    def start(*stages: list[Program], tethered: bool = False) -> Supervising:
        started.append(Supervising(tmp_path / "stack", list(stages), tethered=tethered))
        return started[-1]

    yield start
    for one in started:
        one.end()
        one.place.end()


def program(name: str, source: str = "", serve: bool = True, **env: str) -> Program:
    """A program of Python, which says yes when it is ready."""
    with _bound() as bound:
        port = bound.getsockname()[1]
    text = "import os, socket, sys\n" + textwrap.dedent(source) + (SERVE if serve else "")
    argv = [sys.executable, "-c", text]
    return Program(name, argv, f"tcp://{HOST}:{port}", port, "ready?", "yes", env)


def test_a_stage_starts_once_the_one_before_is_ready(supervise: Supervise) -> None:
    supervising = supervise([program("first", "import time; time.sleep(0.3)")], [program("second")])
    supervising.until("second", "ready")
    events = re.findall(r"(\w+): (ready|process)", supervising.log("supervisor"))
    assert events == [
        ("first", "process"),
        ("first", "ready"),
        ("second", "process"),
        ("second", "ready"),
    ]


def test_a_killed_process_is_started_again_at_the_same_address(supervise: Supervise) -> None:
    supervising = supervise([program("a"), program("b")])
    before = supervising.until("a", "ready")
    other = supervising.until("b", "ready")
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    wait_until(lambda: supervising.ask()["a"].restarts == 1)
    after = supervising.until("a", "ready")
    assert after.pid != before.pid
    assert after.url == before.url
    assert supervising.ask()["b"] == other
    assert "a: process " in supervising.log("supervisor")
    assert "died (signal 9)" in supervising.log("supervisor")


def test_what_a_dead_process_started_is_killed(supervise: Supervise) -> None:
    supervising = supervise([program("a", GRANDCHILD)])
    leader = supervising.until("a", "ready").pid
    grandchild = int(supervising.log("a"))
    assert leader is not None
    assert alive(grandchild)
    os.kill(leader, signal.SIGKILL)
    wait_until_gone([grandchild])


def test_one_that_never_gets_ready_is_given_up_at_its_fifth_death(supervise: Supervise) -> None:
    supervising = supervise([program("a", "sys.exit('no luck')", serve=False)], [program("b")])
    failed = supervising.until("a", "failed")
    assert failed.pid is None
    assert failed.restarts == 4
    assert supervising.log("a") == "no luck\n" * 5


def test_the_pause_before_a_start_doubles(supervise: Supervise) -> None:
    supervising = supervise([program("a", "sys.exit(1)", serve=False)])
    supervising.until("a", "failed")
    lines = supervising.log("supervisor").splitlines()
    times = {
        what: [
            datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f") for line in lines if what in line
        ]
        for what in ("died", "started")
    }
    pairs = zip(times["died"], times["started"][1:], strict=False)
    pauses = [(start - death).total_seconds() for death, start in pairs]
    # 0.1 s, doubled each time. A log rounds to milliseconds.
    assert len(pauses) == 4
    for pause, least in zip(pauses, [0.1, 0.2, 0.4, 0.8], strict=True):
        assert pause > least - 0.002


def test_one_that_was_ready_is_never_given_up(supervise: Supervise, tmp_path: Path) -> None:
    supervising = supervise([program("a", ONCE, MARK=str(tmp_path / "mark"))])
    pid = supervising.until("a", "ready").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: supervising.ask()["a"].restarts > 5)
    assert supervising.until("a", "backoff").pid is None


def test_a_program_that_is_not_there_is_given_up_with_the_reason(supervise: Supervise) -> None:
    missing = program("a")
    missing.argv[0] = "/no/such/program"
    supervising = supervise([missing])
    supervising.until("a", "failed")
    assert "No such file or directory: '/no/such/program'" in supervising.log("supervisor")


def test_a_process_that_is_held_down_stays_down_until_it_is_started(supervise: Supervise) -> None:
    supervising = supervise([program("a"), program("b")])
    before = supervising.until("a", "ready")
    stopped = supervising.ask("stop", "a")["a"]
    assert (stopped.state, stopped.pid) == ("stopped", None)
    wait_until_gone([before.pid])
    # Another one that dies and comes back meanwhile changes nothing about it.
    supervising.until("b", "ready")
    supervising.ask("kill", "b")
    supervising.until("b", "ready")
    assert supervising.ask()["a"] == stopped
    supervising.ask("start", "a")
    after = supervising.until("a", "ready")
    assert after.pid != before.pid
    assert after.restarts == 0


def test_a_given_up_process_can_be_started(supervise: Supervise, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    supervising = supervise([program("a", ONCE, MARK=str(mark))])
    supervising.until("a", "failed")
    mark.unlink()
    supervising.ask("start", "a")
    supervising.until("a", "ready")


def test_connections_are_refused_while_a_process_is_down(supervise: Supervise) -> None:
    supervising = supervise([program("a")])
    supervising.until("a", "ready")
    supervising.ask("stop", "a")
    (only,) = supervising.plan.stages[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, only.port))


def test_what_does_not_heed_sigterm_is_killed(supervise: Supervise) -> None:
    supervising = supervise([program("deaf", DEAF), program("frozen")])
    pids = [supervising.until(name, "ready").pid for name in ("deaf", "frozen")]
    assert pids[1] is not None
    os.kill(pids[1], signal.SIGSTOP)
    supervising.end()
    wait_until_gone(pids)


def test_one_that_was_ready_and_does_not_answer_is_unready(supervise: Supervise) -> None:
    supervising = supervise([program("a")])
    pid = supervising.until("a", "ready").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert supervising.ask()["a"].state == "unready"
    os.kill(pid, signal.SIGCONT)
    assert supervising.until("a", "ready").pid == pid


def test_one_that_says_no_is_not_ready(supervise: Supervise) -> None:
    supervising = supervise([program("a", ANSWER="no")], [program("b")])
    wait_until(lambda: supervising.ask()["a"].pid is not None)
    first = supervising.ask()
    assert {one.state for one in first.values()} == {"starting"}
    assert first["b"].pid is None


def test_everything_ends_with_the_supervising_process(supervise: Supervise) -> None:
    supervising = supervise([program("a", GRANDCHILD)], [program("b")])
    pids = [supervising.until(name, "ready").pid for name in ("b", "a")]
    supervising.end()
    wait_until_gone([*pids, int(supervising.log("a"))])
    assert supervising.place.state() is None
    assert not Path(supervising.plan.control).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_everything_ends_where_the_supervising_process_is_killed(supervise: Supervise) -> None:
    # They do not read the standard input whose end would tell them.
    unbound = program("a", "import time; time.sleep(600)", serve=False)
    supervising = supervise([program("b")], [unbound])
    wait_until(lambda: supervising.ask()["a"].pid is not None)
    pids = [one.pid for one in supervising.ask().values()]
    supervising.process.kill()
    wait_until_gone(pids)


def test_everything_ends_where_the_input_ends(supervise: Supervise) -> None:
    supervising = supervise([program("a")], tethered=True)
    pid = supervising.until("a", "ready").pid
    assert supervising.process.stdin is not None
    supervising.process.stdin.close()
    assert supervising.process.wait(30) == 0
    wait_until_gone([pid])


def test_without_a_parent_it_goes_on_after_the_input(supervise: Supervise) -> None:
    supervising = supervise([program("a")])
    assert supervising.process.stdin is not None
    supervising.process.stdin.close()
    pid = supervising.until("a", "ready").pid
    supervising.ask("kill", "a")
    assert supervising.until("a", "ready").pid != pid


def test_stack_json_names_the_processes_that_run(supervise: Supervise) -> None:
    supervising = supervise([program("a", SECRET="do not tell")])
    pid = supervising.until("a", "ready").pid
    path = supervising.place.folder / "stack.json"
    state = json.loads(path.read_text())
    assert state["supervisor"]["pid"] == supervising.process.pid
    (process,) = state["processes"]
    assert process["pid"] == pid
    assert process["created"] == pytest.approx(psutil.Process(pid).create_time(), abs=2)
    assert path.stat().st_mode & 0o777 == 0o600
    told = path.read_text() + supervising.log("supervisor") + repr(supervising.plan)
    assert "do not tell" not in told


def test_a_folder_that_is_gone_does_not_end_what_runs(supervise: Supervise) -> None:
    supervising = supervise([program("a")])
    pid = supervising.until("a", "ready").pid
    supervising.place.vanish()
    assert pid is not None
    assert alive(pid)
    assert supervising.process.poll() is None
    supervising.end()
    wait_until_gone([pid])


def test_a_process_of_the_same_number_is_not_taken_for_one_of_the_stack(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "lock").touch()
    place.prepare()
    bystander = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    created = psutil.Process(bystander.pid).create_time()
    # As a machine that was started anew since counts its processes from the first again.
    record = {"pid": bystander.pid, "created": created - 3600}
    state = {"supervisor": record, "control": str(place.control()), "processes": [record]}
    place.keep("stack.json", json.dumps(state))
    place.end()
    assert alive(bystander.pid)
    assert place.state() is None
    bystander.communicate()
