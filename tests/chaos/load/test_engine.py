"""The processes of the embedded engine, their files and their ends."""

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tarslab.chaos.load import LoadFailed, LoadResult, run_load, start_load
from tarslab.chaos.load.engine import embedded, timer
from tarslab.chaos.load.engine.timer import Timer
from tarslab.errors import BadArgument
from tests.chaos.load.conftest import Server
from tests.chaos.load.loads import LIMIT, PATIENT, arrivals, load, total, users
from tests.chaos.load.visits import one


def test_flows_that_cannot_be_read_are_told(server: Server) -> None:
    with pytest.raises(LoadFailed, match="the flows cannot be loaded"):
        load(server, {"one": _Unreadable()}, a=arrivals(1, "1s"))


def test_single_requests_are_kept_on_request(server: Server, tmp_path: Path) -> None:
    result = load(server, options={"raw": True, "out": tmp_path / "run"}, a=arrivals(20, "1s"))
    points = result.points
    assert len(points) == 20
    assert sorted(points["due"]) == pytest.approx([k / 20 for k in range(20)])
    assert (points["due"] <= points["sent"]).all()
    assert (points["sent"] <= points["done"]).all()
    again = LoadResult.load(tmp_path / "run")
    assert again.points.equals(points)
    assert again.verdict == result.verdict
    with pytest.raises(BadArgument, match="single requests need out"):
        load(server, options={"raw": True}, a=arrivals(20, "1s"))


def test_where_single_requests_cannot_be_written_it_ends_with_what_was_measured(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "points.parquet").mkdir()
    with pytest.raises(LoadFailed, match=r"points\.parquet: cannot be written") as raised:
        load(server, options={"raw": True, "out": tmp_path}, a=arrivals(50, "1h"))
    assert raised.value.result is not None


class _Unreadable:
    """Pickled as something that raises when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)

    async def __call__(self, user: Any) -> None:
        raise NotImplementedError


def test_shards_share_the_arrivals_and_the_result_is_as_of_one(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "SHARD_RATE", 50)
    monkeypatch.setattr(embedded, "cores", lambda: 2)

    async def numbered(user: Any) -> None:
        await user.post("/n", name="n", json=[user.iteration, user.number])

    server.ask("/forget")
    result = load(server, {"one": numbered}, a=arrivals(80, "1s"))
    assert result.about.shards == 2
    assert total(result, "http_reqs") == 80
    numbers = [json.loads(body) for _, _, _, body in server.seen()]
    assert sorted(iteration for iteration, _ in numbers) == list(range(80))
    # Each shard has arrivals, and users, of one remainder.
    assert {(iteration % 2, (number - 1) % 2) for iteration, number in numbers} == {(0, 0), (1, 1)}


def test_credentials_are_in_no_argument_and_no_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARSLAB_USERNAME", "somebody")
    monkeypatch.setenv("TARSLAB_PASSWORD", "hunter2-of-load")
    server.ask("/forget")
    test = {"scenarios": {"a": users(1, "1s", exec="jwt")}, "thresholds": PATIENT}
    with start_load(test, server.url, out=tmp_path, raw=True) as run:
        run.begun()
        children = psutil.Process().children()
        arguments = [argument for child in children for argument in child.cmdline()]
        result = run.wait()
    assert "tarslab.chaos.load.engine" in arguments
    assert "hunter2" not in " ".join(arguments)
    logins = [body for _, path, _, body in server.seen() if path == "/auth/login"]
    assert json.loads(logins[0]) == {"username": "somebody", "password": "hunter2-of-load"}
    for file in tmp_path.iterdir():
        assert b"hunter2" not in file.read_bytes()
        assert b"a-token" not in file.read_bytes()
    assert "hunter2" not in repr(result) + result.explain()


def test_a_stack_is_a_target_with_its_own_password(server: Server) -> None:
    class Stack:
        url = server.url
        admin_password = "of-the-stack"

    server.ask("/forget")
    run_load({"scenarios": {"a": arrivals(1, "1s", exec="jwt")}, "thresholds": PATIENT}, Stack())
    requests = [(method, path) for method, path, _, _ in server.seen()]
    assert requests == [
        ("POST", "/auth/login"),
        *[("GET", "/auth/me")] * 5,
        ("POST", "/auth/refresh"),
    ]
    assert json.loads(server.seen()[0][3])["password"] == "of-the-stack"
    assert [authorization for _, path, authorization, _ in server.seen() if path == "/auth/me"] == [
        "bearer a-token"
    ] * 5


def test_an_engine_that_is_killed_is_told_with_what_it_had_measured(
    server: Server, tmp_path: Path
) -> None:
    test = {"scenarios": {"a": arrivals(50, "1h")}, "thresholds": PATIENT}
    run = start_load(test, server.url, flows={"one": one}, out=tmp_path)
    run.begun()
    children = [
        c for c in psutil.Process().children() if "tarslab.chaos.load.engine" in c.cmdline()
    ]
    threading.Timer(1.2, children[-1].kill).start()
    with pytest.raises(LoadFailed, match="ended before the load did, by signal 9") as raised:
        run.wait()
    assert raised.value.result is not None
    kept = LoadResult.load(tmp_path)
    assert total(kept, "http_reqs") == total(raised.value.result, "http_reqs") > 0
    assert kept.interrupted


def test_an_earlier_result_does_not_pass_for_that_of_a_run_that_breaks_off(
    server: Server, tmp_path: Path
) -> None:
    load(server, options={"out": tmp_path}, a=arrivals(1, "1s"))
    assert LoadResult.load(tmp_path).verdict == "passed"
    with pytest.raises(LoadFailed, match="the flows cannot be loaded"):
        load(server, {"one": _Unreadable()}, options={"out": tmp_path}, a=arrivals(1, "1s"))
    with pytest.raises(BadArgument, match="no results of load there"):
        LoadResult.load(tmp_path)


def test_an_engine_ends_with_the_process_that_started_it(server: Server) -> None:
    program = f"""
        import asyncio
        from tarslab.chaos.load import start_load

        async def one(user):
            await user.get("/x")

        run = start_load({{"scenarios": {{"a": {arrivals(5, "1h")}}}}}, {server.url!r},
                         flows={{"one": one}})
        run.begun()
        print("begun", flush=True)
        run.wait()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "begun\n"
        (engine,) = psutil.Process(parent.pid).children()
        parent.kill()
    gone, _ = psutil.wait_procs([engine], LIMIT)
    assert gone


def test_ctrl_c_gives_what_was_measured_so_far(server: Server) -> None:
    program = f"""
        from tarslab.chaos.load import run_load

        async def one(user):
            await user.get("/x")

        def told(progress):
            if progress.requests:
                print("going", flush=True)

        result = run_load({{"scenarios": {{"a": {arrivals(20, "1h")}}}}}, {server.url!r},
                          flows={{"one": one}}, on_progress=told)
        print(result.interrupted, len(result.requests) > 0)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=LIMIT)
    assert said.splitlines()[-1] == "True True"
    assert process.returncode == 0


@pytest.mark.parametrize("descriptors", [True, False])
def test_a_timer_calls_back_when_it_was_last_told_to(
    descriptors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not descriptors:
        monkeypatch.setattr(timer, "_LIBC", None)

    async def calls() -> list[float]:
        called, done = [], asyncio.Event()

        def back() -> None:
            called.append(time.monotonic())
            done.set()

        own = Timer(asyncio.get_running_loop(), back)
        begun = time.monotonic()
        own.at(begun + 3600)
        own.at(begun + 0.05)
        await asyncio.wait_for(done.wait(), LIMIT)
        done.clear()
        # What is past is now.
        own.at(begun)
        await asyncio.wait_for(done.wait(), LIMIT)
        own.at(time.monotonic() + 0.05)
        own.close()
        await asyncio.sleep(0.1)
        return [moment - begun for moment in called]

    first, second = asyncio.run(calls())
    assert first >= 0.049
    assert second >= first
