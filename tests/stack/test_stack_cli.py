"""``tarslab stack``, as an operator runs it."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from redis import Redis

from tarslab.stack import Stack
from tarslab.stack.places import Place
from tests.stack.waiting import alive, wait_until_gone

COMMANDS = ("up", "status", "env", "logs", "down", "cleanup")


class Tarslab(Protocol):
    """Runs a command."""

    def __call__(
        self, *arguments: str, **environment: str
    ) -> "subprocess.CompletedProcess[str]": ...


@pytest.fixture
def tarslab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tarslab]:
    """Runs ``tarslab stack`` with state of its own, and takes down what is up at the end."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for variable in [name for name in os.environ if name.startswith("TARSLAB_")]:
        monkeypatch.delenv(variable)

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "tarslab", "stack", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )

    yield run
    for folder in tmp_path.glob("tarslab/stacks/*"):
        Place(folder).end()


def test_every_command_has_help(tarslab: Tarslab) -> None:
    for command in COMMANDS:
        result = tarslab(command, "--help")
        assert result.returncode == 0
        assert "Usage: " in result.stdout


def test_a_stack_from_up_to_down(tarslab: Tarslab, tmp_path: Path) -> None:
    up = tarslab("up")
    assert up.returncode == 0, up.stderr
    place = Place(tmp_path / "tarslab" / "stacks" / "default")
    kept = place.secrets()
    assert not [secret for secret in kept.values() if secret in up.stdout + up.stderr]
    assert "as when it was first up; tarslab stack env has it" in up.stdout

    known = json.loads(tarslab("status", "--json").stdout)
    assert known["ready"] is True
    assert known["url"] in up.stdout
    body = {"username": "admin", "password": kept["admin_password"]}
    assert httpx.post(f"{known['url']}/auth/login", json=body).status_code == 200
    with Redis.from_url(kept["redis_url"]) as redis:
        redis.set("written", "before")
    environment = tarslab("env").stdout
    sign_in = 'eval "$1"; exec "$2" -m tarslab stack cleanup --dry-run'
    shell = ["sh", "-c", sign_in, "sh", environment, sys.executable]
    assert subprocess.run(shell, capture_output=True, check=False).returncode == 0

    again = tarslab("up")
    assert again.returncode == 2
    assert "a stack is up already in" in again.stderr

    status = tarslab("status")
    assert status.returncode == 0
    names = [process["name"] for process in known["processes"]]
    assert [line.split()[:2] for line in status.stdout.splitlines()[1:]] == [
        [name, "ready"] for name in names
    ]

    down = tarslab("down")
    assert (down.returncode, down.stdout) == (0, "down\n")
    assert not any(alive(process["pid"]) for process in known["processes"])
    assert tarslab("status").returncode == 3
    assert "Ready to accept connections" in tarslab("logs", "redis").stdout

    assert tarslab("up").returncode == 0
    with Redis.from_url(place.secrets()["redis_url"]) as redis:
        assert redis.get("written") == b"before"


def test_a_process_that_is_down_makes_exit_code_1(tarslab: Tarslab, tmp_path: Path) -> None:
    assert tarslab("up", "--name", "lab").returncode == 0
    stack = Stack.attached(Place(tmp_path / "tarslab" / "stacks" / "lab"))
    assert stack is not None
    stack.stop("hypersync")
    status = tarslab("status", "--name", "lab", "--json")
    assert status.returncode == 1
    known = json.loads(status.stdout)
    assert known["ready"] is False
    assert {p["name"]: p["state"] for p in known["processes"]}["hypersync"] == "stopped"


def test_where_there_is_no_stack_it_says_so(tarslab: Tarslab) -> None:
    for command in ("status", "logs"):
        result = tarslab(command, "--name", "gone")
        assert result.returncode == 3
        assert "no stack 'gone'" in result.stderr
    down = tarslab("down")
    assert (down.returncode, down.stdout) == (0, "no stack 'default' is up\n")


@pytest.mark.parametrize("name", ["", "../else", ".hidden", "a/b", "-x", "n" * 65])
def test_a_name_is_no_path(tarslab: Tarslab, name: str) -> None:
    result = tarslab("status", f"--name={name}")
    assert result.returncode == 2
    assert "is no name of a stack" in result.stderr


def test_a_password_that_is_made_is_shown_on_a_terminal(tarslab: Tarslab, tmp_path: Path) -> None:
    del tarslab
    code, shown = _on_a_terminal("up")
    assert code == 0
    place = Place(tmp_path / "tarslab" / "stacks" / "default")
    password = place.secrets()["admin_password"]
    assert password in shown
    assert not [path for path in place.logs().values() if password in path.read_text()]


def test_the_variables_of_a_stack_are_for_a_shell_and_not_for_a_screen(tarslab: Tarslab) -> None:
    assert tarslab("up").returncode == 0
    code, shown = _on_a_terminal("env")
    assert code == 2
    assert "this would show the admin's password" in shown
    assert "TARSLAB_PASSWORD" not in shown


def test_a_password_of_the_environment_is_the_admins(tarslab: Tarslab, tmp_path: Path) -> None:
    chosen = "correct horse battery staple"
    up = tarslab("up", TARSLAB_ADMIN_PASSWORD=chosen)
    assert up.returncode == 0
    assert chosen not in up.stdout
    assert "that of TARSLAB_ADMIN_PASSWORD" in up.stdout
    assert "admin_password" not in Place(tmp_path / "tarslab" / "stacks" / "default").secrets()
    url = json.loads(tarslab("status", "--json").stdout)["url"]
    body = {"username": "admin", "password": chosen}
    assert httpx.post(f"{url}/auth/login", json=body).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_ends_at_a_signal(
    tarslab: Tarslab, tmp_path: Path, number: signal.Signals
) -> None:
    del tarslab
    with subprocess.Popen(
        [sys.executable, "-m", "tarslab", "stack", "up", "--foreground"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        state = Place(tmp_path / "tarslab" / "stacks" / "default").state()
        assert state is not None
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert rest.endswith("down\n")
    wait_until_gone([one["pid"] for one in (state["supervisor"], *state["processes"])])


def test_logs_of_all_are_told_apart(tarslab: Tarslab, tmp_path: Path) -> None:
    _write_log(tmp_path, "redis", "one\ntwo\nthree\n")
    _write_log(tmp_path, "automl", "four\n")
    assert tarslab("logs", "-n", "2").stdout == "automl: four\nredis: two\nredis: three\n"
    assert tarslab("logs", "redis", "-n", "1").stdout == "three\n"


def test_a_log_that_is_not_there_is_named_with_those_that_are(
    tarslab: Tarslab, tmp_path: Path
) -> None:
    _write_log(tmp_path, "redis", "")
    result = tarslab("logs", "web")
    assert result.returncode == 2
    assert "service must be one of redis, not 'web'" in result.stderr


def test_logs_are_followed_until_an_interrupt(tarslab: Tarslab, tmp_path: Path) -> None:
    del tarslab
    log = _write_log(tmp_path, "redis", "one\ntwo\n")
    with subprocess.Popen(
        [sys.executable, "-m", "tarslab", "stack", "logs", "redis", "-n", "1", "-f"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "two\n"
        with log.open("a") as file:
            file.write("three\n")
        assert process.stdout.readline() == "three\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
    assert process.returncode == 0


def test_cleanup_says_what_it_would_remove(tarslab: Tarslab, stack: Stack) -> None:
    who = {"TARSLAB_USERNAME": "admin", "TARSLAB_PASSWORD": stack.admin_password}
    result = tarslab("cleanup", "--dry-run", "--url", stack.url, **who)
    assert result.returncode == 0, result.stderr
    assert "would be removed" in result.stdout
    assert re.search(r"^ *api keys +\d+ *$", result.stdout, re.MULTILINE)


def test_cleanup_by_nobody_is_refused(tarslab: Tarslab, stack: Stack) -> None:
    result = tarslab("cleanup", "--url", stack.url)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "Error: " in result.stderr


def _write_log(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / "tarslab" / "stacks" / "default" / "logs" / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _on_a_terminal(command: str) -> tuple[int, str]:
    """The exit code, and what is shown."""
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "tarslab", "stack", command],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = _read_all(screen)
    return process.returncode, shown


def _read_all(screen: int) -> str:
    read = b""
    try:
        while part := os.read(screen, 4096):
            read += part
    # How Linux says that the other end is closed.
    except OSError:
        pass
    os.close(screen)
    return read.decode()
