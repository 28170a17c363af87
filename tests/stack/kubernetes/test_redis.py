"""The embedded server as a container has it, on a real server."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import AuthenticationError, Redis

from tarslab.stack.kubernetes.redis import answers
from tests.stack.waiting import wait_until

PASSWORD = "a-password-of-the-test"
SERVE = """
import sys
from pathlib import Path
from tarslab.stack.kubernetes.redis import serve
serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
"""

Serve = Callable[[int], "subprocess.Popen[bytes]"]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server on a port, all in the same folder."""
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", SERVE, str(tmp_path), str(port), PASSWORD]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_it_answers_whoever_knows_its_password(serve: Serve, free_port: int):
    assert not answers(PASSWORD, free_port)
    serve(free_port)
    wait_until(lambda: answers(PASSWORD, free_port))
    assert not answers("another", free_port)
    with Redis(port=free_port) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()


def test_its_password_is_neither_in_its_environment_nor_on_its_command_line(
    serve: Serve, free_port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    process = serve(free_port)
    wait_until(lambda: answers(PASSWORD, free_port))
    for file in ("environ", "cmdline"):
        assert PASSWORD.encode() not in Path(f"/proc/{process.pid}/{file}").read_bytes()


def test_a_second_server_waits_until_the_first_is_gone_and_has_what_it_held(
    serve: Serve, free_port: int
):
    first = serve(free_port)
    wait_until(lambda: answers(PASSWORD, free_port))
    with Redis(port=free_port, password=PASSWORD) as client:
        client.set("kept", "yes")
    second = serve(free_port)
    first.kill()
    first.wait()
    wait_until(lambda: answers(PASSWORD, free_port))
    assert second.poll() is None
    with Redis(port=free_port, password=PASSWORD) as client:
        assert client.get("kept") == b"yes"
