"""A stack as a program brings it up."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from redis import Redis, RedisError

import tarslab as tl
from tarslab.errors import BadArgument, StackFailed
from tarslab.stack import Stack, valkey
from tarslab.stack.launching import SERVICES, _bound
from tarslab.stack.places import Place
from tarslab.stack.supervisor import HOST
from tests.stack.conftest import OwnStack
from tests.stack.waiting import alive, wait_until, wait_until_gone

PROCESSES = ("redis", *SERVICES)
# Brings up a stack and says where, then does what the test adds.
PARENT = """
import json, os, signal, sys, time
import tarslab as tl

stack = tl.stack.up()
pids = [process.pid for process in stack.status()]
print(json.dumps([str(stack.folder), stack._supervisor.pid, *pids]), flush=True)
"""


def pids(stack: Stack) -> dict[str, int]:
    """Of the processes that run."""
    return {one.name: one.pid for one in stack.status() if one.pid is not None}


def redis(stack: Stack) -> "Redis":
    return Redis.from_url(stack.redis_url)


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a Redis server that is no stack's."""
    with _bound() as bound:
        port = bound.getsockname()[1]
    with subprocess.Popen(
        [str(valkey.binary()), "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        config = f"bind {HOST}\nport {port}\nrequirepass open-sesame\nsave ''\n"
        process.stdin.write(config.encode())
        process.stdin.close()
        while b"Ready to accept" not in process.stdout.readline():
            assert process.poll() is None
        yield f"redis://:open-sesame@{HOST}:{port}/0"
        process.terminate()


def test_every_process_is_ready(stack: Stack) -> None:
    assert [one.name for one in stack.status()] == list(PROCESSES)
    assert {one.state for one in stack.status()} == {"ready"}
    for name, url in stack.urls.items():
        answer = httpx.get(f"{url}/health/ready")
        assert answer.status_code == 200
        assert answer.json()["service"] == name
    assert stack.url == stack.urls["orchestration"]


def test_redis_wants_the_password(stack: Stack) -> None:
    with redis(stack) as client:
        assert client.ping()
    address = stack.redis_url.rpartition("@")[2]
    with (
        Redis.from_url(f"redis://{address}") as stranger,
        pytest.raises(RedisError, match=r"(?i)authenticat"),
    ):
        stranger.ping()


def test_the_admin_can_log_in(stack: Stack) -> None:
    body = {"username": "admin", "password": stack.admin_password}
    assert httpx.post(f"{stack.url}/auth/login", json=body).json()["role"] == "admin"


def test_only_loopback_is_listened_at(stack: Stack) -> None:
    for pid in pids(stack).values():
        listening = [
            one.laddr.ip
            for one in psutil.Process(pid).net_connections("inet")
            if one.status == psutil.CONN_LISTEN
        ]
        assert listening == [HOST]


def test_no_secret_stands_where_others_look(stack: Stack) -> None:
    secrets = json.loads((stack.folder / "secrets.json").read_text())
    assert set(secrets) == {
        *("secret", "signing_secret", "redis_password", "redis_url", "admin_password"),
    }
    running = [*pids(stack).values(), json.loads(_state(stack))["supervisor"]["pid"]]
    told = [
        repr(stack),
        repr(stack.status()),
        _state(stack),
        *(path.read_text() for path in (stack.folder / "logs").iterdir()),
        *(" ".join(psutil.Process(pid).cmdline()) for pid in running),
    ]
    assert [text for text in told for secret in secrets.values() if secret in text] == []


def test_its_folder_is_its_users_alone(stack: Stack) -> None:
    assert stack.folder.stat().st_mode & 0o777 == 0o700
    for name in ("secrets.json", "stack.json", "redis.conf"):
        assert (stack.folder / name).stat().st_mode & 0o777 == 0o600


def test_each_service_is_told_only_what_it_needs(stack: Stack) -> None:
    told = {name: psutil.Process(pid).environ() for name, pid in pids(stack).items()}
    for name in ("signing_secret", "admin_password"):
        variable = f"TARSLAB_STACK_{name.upper()}"
        assert [p for p in told if variable in told[p]] == ["orchestration"]


def test_the_logs_are_those_of_the_processes(stack: Stack) -> None:
    assert "Ready to accept connections" in stack.logs("redis")
    assert stack.logs("supervisor", 1).count("\n") == 1
    with pytest.raises(
        BadArgument,
        match="one of automl, hypersync, orchestration, redis, supervisor, not 'web'",
    ):
        stack.logs("web")


def test_an_unknown_process_is_named_with_the_known_ones(stack: Stack) -> None:
    for action in (stack.stop, stack.start, stack.restart, stack.kill):
        with pytest.raises(BadArgument, match="one of redis, orchestration, automl, hypersync"):
            action("web")


def test_each_killed_process_comes_back_at_its_address(own_stack: OwnStack) -> None:
    stack = own_stack()
    with redis(stack) as client:
        client.set("written", "before")
    before = pids(stack)
    for name in PROCESSES:
        os.kill(before[name], signal.SIGKILL)
        wait_until(lambda name=name: _of(stack, name).restarts == 1)  # type: ignore[misc]
        stack.wait_ready()
    after = pids(stack)
    assert set(after) == set(PROCESSES)
    assert not set(after.values()) & set(before.values())
    for url in stack.urls.values():
        assert httpx.get(f"{url}/health/ready").status_code == 200
    with redis(stack) as client:
        assert client.get("written") == b"before"


def test_processes_are_killed_and_held_down_on_purpose(own_stack: OwnStack) -> None:
    stack = own_stack()
    first = pids(stack)
    stack.kill("automl")
    stack.wait_ready()
    assert _of(stack, "automl").restarts == 1
    stack.stop("redis")
    assert _of(stack, "redis").state == "stopped"
    stack.wait_ready()
    assert not alive(first["redis"])
    stack.start("redis")
    stack.restart("hypersync")
    stack.wait_ready()
    last = pids(stack)
    changed = {name for name in PROCESSES if last[name] != first[name]}
    assert changed == {"automl", "redis", "hypersync"}


def test_the_clock_moves_for_every_service(own_stack: OwnStack) -> None:
    stack = own_stack()
    stack.clock.advance(3600)
    stack.clock.advance(-600)
    assert stack.clock.ahead == 3000
    body = {"username": "admin", "password": stack.admin_password}
    token = httpx.post(f"{stack.url}/auth/login", json=body).json()["access_token"]
    me = httpx.get(f"{stack.url}/auth/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert me["expires_at"] > time.time() + 3000


def test_nothing_is_left_behind_after_down(own_stack: OwnStack) -> None:
    stack = own_stack()
    running = [*pids(stack).values(), json.loads(_state(stack))["supervisor"]["pid"]]
    stack.down()
    assert not any(map(alive, running))
    assert not stack.folder.exists()
    stack.down()
    with pytest.raises(StackFailed, match=f"the stack in {stack.folder} is down"):
        stack.status()


def test_nothing_is_left_behind_of_a_parent_that_is_killed() -> None:
    with parent("time.sleep(600)") as process:
        folder, running = said(process)
        process.kill()
    wait_until_gone(running)
    wait_until(lambda: not folder.exists())


def test_nothing_is_left_behind_of_a_killed_parent_whose_fork_lives_on() -> None:
    fork = """
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(600)
    """
    with parent(fork) as process:
        folder, running = said(process)
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        wait_until_gone(running)
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: not folder.exists())


def test_nothing_is_left_behind_of_a_parent_that_forgets_it() -> None:
    with parent("sys.stdin.read()") as process:
        folder, running = said(process)
    assert process.returncode == 0
    wait_until_gone(running)
    assert not folder.exists()


def test_a_fork_that_ends_takes_nothing_with_it() -> None:
    fork = """
    if os.fork() == 0:
        sys.exit()
    os.wait()
    print({process.state for process in stack.status()}, flush=True)
    """
    with parent(fork) as process:
        said(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "{'ready'}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_nothing_is_left_behind_of_a_supervising_process_that_is_killed(
    own_stack: OwnStack,
) -> None:
    stack = own_stack()
    running = pids(stack).values()
    os.kill(json.loads(_state(stack))["supervisor"]["pid"], signal.SIGKILL)
    wait_until_gone(running)
    with pytest.raises(StackFailed, match="the supervising process ended"):
        stack.wait_ready()
    stack.down()
    assert not stack.folder.exists()


def test_a_folder_brings_the_data_and_the_admin_back(tmp_path: Path) -> None:
    with tl.stack.up(folder=tmp_path / "lab") as stack:
        with redis(stack) as client:
            client.set("written", "before")
        password = stack.admin_password
        stack.clock.advance(60)
    assert stack.folder.exists()
    with tl.stack.up(folder=tmp_path / "lab") as stack:
        with redis(stack) as client:
            assert client.get("written") == b"before"
        assert stack.admin_password == password
        assert stack.clock.ahead == 60
        body = {"username": "admin", "password": password}
        assert httpx.post(f"{stack.url}/auth/login", json=body).status_code == 200


def test_a_folder_holds_one_stack_at_a_time(stack: Stack) -> None:
    number = json.loads(_state(stack))["supervisor"]["pid"]
    with pytest.raises(
        StackFailed,
        match=rf"up already in {stack.folder} \(its supervising process is {number}",
    ):
        tl.stack.up(folder=stack.folder)
    assert {one.state for one in stack.status()} == {"ready"}


def test_a_folder_is_freed_of_what_a_killed_stack_left(own_stack: OwnStack, tmp_path: Path) -> None:
    left = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    place = Place(tmp_path)
    (tmp_path / "lock").touch()
    record = {"pid": left.pid, "created": psutil.Process(left.pid).create_time()}
    gone = {"pid": 2**22 + 1, "created": 1.0}
    state = {"supervisor": gone, "control": str(place.control()), "processes": [record]}
    place.keep("stack.json", json.dumps(state))
    own_stack(folder=tmp_path)
    # The number is taken from whoever waits first: psutil or Popen.
    assert not alive(left.pid)
    left.communicate()


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    mode = tmp_path.stat().st_mode
    with pytest.raises(BadArgument, match=f"folder: {tmp_path} holds other files"):
        tl.stack.up(folder=tmp_path)
    assert tmp_path.stat().st_mode == mode


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadArgument, match="cannot be used"):
        tl.stack.up(folder=tmp_path / "file" / "lab")


def test_a_folder_with_a_path_too_long_for_a_socket(own_stack: OwnStack, tmp_path: Path) -> None:
    stack = own_stack(folder=tmp_path / ("long" * 30))
    control = Path(json.loads(_state(stack))["control"])
    assert {one.state for one in stack.status()} == {"ready"}
    assert control.parent.stat().st_mode & 0o777 == 0o700
    stack.down()
    assert not control.parent.exists()


def test_a_redis_of_the_users_is_used_and_not_stopped(own_stack: OwnStack, server: str) -> None:
    stack = own_stack(server)
    assert set(pids(stack)) == set(SERVICES)
    assert stack.redis_url == server
    with Redis.from_url(server) as client:
        assert client.dbsize() > 0
        stack.down()
        assert client.ping()


def test_a_redis_that_does_not_answer_is_named(free_port: int) -> None:
    url = f"redis://:open-sesame@{HOST}:{free_port}/0"
    with pytest.raises(BadArgument, match=f"redis: the server at {HOST} does not ser") as error:
        tl.stack.up(url)
    assert "sesame" not in str(error.value)


def test_a_redis_with_another_password_is_named(server: str) -> None:
    with pytest.raises(BadArgument, match="does not serve: invalid username-pass") as error:
        tl.stack.up(server.replace("open-sesame", "close-sesame"))
    assert "sesame" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    ["http://host", "redis://", "host:6379", "redis://host:sesame", "redis://h/0?sesame=1"],
)
def test_what_is_no_url_of_redis_is_refused(url: str) -> None:
    with pytest.raises(BadArgument, match=r"^redis: ") as error:
        tl.stack.up(url)
    assert "sesame" not in str(error.value)


def test_an_admin_password_of_the_users_is_not_kept(tmp_path: Path) -> None:
    chosen = "correct horse battery staple"
    with tl.stack.up(folder=tmp_path, admin_password=chosen) as stack:
        assert stack.admin_password == chosen
        body = {"username": "admin", "password": chosen}
        assert httpx.post(f"{stack.url}/auth/login", json=body).status_code == 200
    assert chosen not in (tmp_path / "secrets.json").read_text()
    with (
        tl.stack.up(folder=tmp_path) as stack,
        pytest.raises(StackFailed, match="not kept: give the same again"),
    ):
        _ = stack.admin_password


def test_a_second_admin_password_is_refused(tmp_path: Path) -> None:
    Place(tmp_path).keep("secrets.json", json.dumps({"admin_password": "made"}))
    (tmp_path / "lock").touch()
    with pytest.raises(BadArgument, match=r"admin_password: the stack in .* has made one"):
        tl.stack.up(folder=tmp_path, admin_password="another")


def test_settings_reach_the_services(own_stack: OwnStack) -> None:
    stack = own_stack(settings={"access_seconds": 61})
    body = {"username": "admin", "password": stack.admin_password}
    answer = httpx.post(f"{stack.url}/auth/login", json=body)
    assert answer.json()["expires_in"] == 61


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"access_secnds": 60}, "TARSLAB_STACK_ACCESS_SECNDS: Extra inputs"),
        ({"access_seconds": "long"}, "TARSLAB_STACK_ACCESS_SECONDS: "),
        ({"grace_seconds": 10}, "a grace of 10 s would cut off good tokens"),
        ({"secret": "sesame"}, "settings: secret is the stack's own to say"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        tl.stack.up(settings=settings)


def test_credentials_of_the_environment_stay_there(
    own_stack: OwnStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARSLAB_PASSWORD", "sesame")
    # Orchestration is told one of its own, the others none.
    monkeypatch.setenv("TARSLAB_STACK_SIGNING_SECRET", "sesame")
    stack = own_stack()
    for pid in pids(stack).values():
        assert "sesame" not in psutil.Process(pid).environ().values()


def test_what_is_not_ready_in_time_fails_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StackFailed, match=r"not ready within 0 s: [^.]+\. The log ends:"):
        tl.stack.up(folder=tmp_path, timeout=0)
    assert Place(tmp_path).state() is None
    assert not [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(process.info["cmdline"] or ())
    ]


def parent(then: str) -> "subprocess.Popen[str]":
    """A process of Python that brings up a stack, and what it does then."""
    source = PARENT + textwrap.dedent(then)
    return subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> tuple[Path, list[int]]:
    """The folder and the processes of its stack."""
    assert process.stdout is not None
    folder, *running = json.loads(process.stdout.readline())
    assert all(map(alive, running))
    return Path(folder), running


def _of(stack: Stack, name: str) -> tl.stack.ProcessStatus:
    return next(one for one in stack.status() if one.name == name)


def _state(stack: Stack) -> str:
    return (stack.folder / "stack.json").read_text()
