"""Faults on the real stack, and on a platform that takes note of what is done to it."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tarslab.chaos import faults
from tarslab.chaos.faults import Fault, Overran
from tarslab.chaos.guards import Guard, Refused
from tarslab.chaos.platforms import LocalPlatform, PlatformFailed
from tarslab.chaos.undo import Journal, undo_all
from tarslab.errors import BadArgument
from tests.chaos.recorded import Recorded
from tests.stack.waiting import alive, wait_until, wait_until_gone

TWO = Guard(max_units=2)


@pytest.fixture
def recorded(journal: Journal) -> Recorded:
    """A platform that takes note."""
    return Recorded()


def state(platform: LocalPlatform, service: str) -> str:
    """Of its one unit."""
    units = platform.units(service)
    return units[0].state if units else "none"


def answers(platform: LocalPlatform, service: str) -> bool:
    """Whether a service says within half a second that it is ready."""
    url = platform.address(service) + "/health/ready"
    with suppress(OSError), urllib.request.urlopen(url, timeout=0.5) as answer:
        return bool(answer.status == 200)
    return False


def test_an_outage_lasts_as_long_as_its_block(platform: LocalPlatform, journal: Journal):
    before = time.time()
    with faults.outage(platform, "redis") as fault:
        assert state(platform, "redis") == "none"
        assert [entry.fault for entry in journal.entries()] == ["outage of redis"]
    platform.wait_ready("redis")
    assert journal.entries() == ()
    assert fault.began is not None
    assert fault.ended is not None
    assert before <= fault.began <= fault.ended <= time.time()


def test_a_paused_process_goes_on_afterwards(platform: LocalPlatform):
    with faults.pause(platform, "automl") as fault:
        assert state(platform, "automl") == "paused"
        assert not answers(platform, "automl")
    wait_until(lambda: answers(platform, "automl"))
    assert platform.units("automl")[0].id == fault.units[0].id


def test_a_killed_process_is_replaced(platform: LocalPlatform):
    with faults.kill(platform, "automl") as fault:
        platform.wait_ready("automl")
        assert platform.units("automl")[0].id != fault.units[0].id


def test_redis_is_slow_for_as_long_as_the_block(platform: LocalPlatform):
    with Redis.from_url(platform.address("redis")) as redis:
        redis.ping()
        with faults.latency(platform, "redis", 200):
            start = time.monotonic()
            redis.ping()
            assert time.monotonic() - start >= 0.199
        redis.ping()


def test_latencies_add_up_and_each_is_taken_back_alone(platform: LocalPlatform):
    with Redis.from_url(platform.address("redis")) as redis, faults.latency(platform, "redis", 150):
        with faults.latency(platform, "redis", 150):
            start = time.monotonic()
            redis.ping()
            assert time.monotonic() - start >= 0.299
        start = time.monotonic()
        redis.ping()
        assert time.monotonic() - start >= 0.149


def test_a_service_that_is_cut_off_is_silent(platform: LocalPlatform):
    with faults.cut_off(platform, "automl"):
        assert not answers(platform, "automl")
        assert state(platform, "automl") == "ready"
    wait_until(lambda: answers(platform, "automl"))


def test_connections_are_reset(platform: LocalPlatform):
    url = platform.address("automl") + "/health/ready"
    with faults.reset(platform, "automl"), pytest.raises(ConnectionResetError):
        urllib.request.urlopen(url, timeout=30)
    wait_until(lambda: answers(platform, "automl"))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_fault_is_undone_where_its_block_fails(
    platform: LocalPlatform, journal: Journal, error: type[BaseException]
):
    with pytest.raises(error), faults.pause(platform, "automl"):
        raise error
    assert state(platform, "automl") == "ready"
    assert journal.entries() == ()


CALLS: list[tuple[Callable[[Recorded], Fault], list[str], list[str]]] = [
    (lambda p: faults.kill(p, "web"), ["kill web-2 0"], ["start web"]),
    (lambda p: faults.kill(p, "web", grace=3), ["kill web-2 3"], ["start web"]),
    (
        lambda p: faults.kill(p, "web", units=2, guard=TWO),
        ["kill web-2 0", "kill web-1 0"],
        ["start web"],
    ),
    (
        lambda p: faults.pause(p, "web", units=2, guard=TWO),
        ["pause web-2", "pause web-1"],
        ["resume web-1", "resume web-2"],
    ),
    (lambda p: faults.outage(p, "db", guard=TWO), ["stop db"], ["start db"]),
    (lambda p: faults.restart(p, "db", guard=TWO), ["restart db"], ["start db"]),
    (lambda p: faults.cut_off(p, "db", guard=TWO), ["cut off db"], ["restore db"]),
    (
        lambda p: faults.latency(p, "db", 300, jitter=30, toxicity=0.5, guard=TWO),
        ["degrade db latency {'latency': 300, 'jitter': 30} downstream 0.5"],
        ["restore db"],
    ),
    (
        lambda p: faults.bandwidth(p, "db", 64, guard=TWO),
        ["degrade db bandwidth {'rate': 64} downstream 1"],
        ["restore db"],
    ),
    (
        lambda p: faults.reset(p, "db", toxicity=0.2, guard=TWO),
        ["degrade db reset_peer {} downstream 0.2"],
        ["restore db"],
    ),
    (
        lambda p: faults.degrade(
            p, "db", "slicer", {"average_size": 9}, stream="upstream", guard=TWO
        ),
        ["degrade db slicer {'average_size': 9} upstream 1"],
        ["restore db"],
    ),
]


@pytest.mark.parametrize(("make", "done", "undone"), CALLS)
def test_each_fault_is_a_call_of_the_platform_and_one_that_takes_it_back(
    recorded: Recorded, make: Callable[[Recorded], Fault], done: list[str], undone: list[str]
):
    fault = make(recorded)
    assert recorded.calls == []

    def calls() -> list[str]:
        return [call for call in recorded.calls if not call.startswith("under ")]

    with fault:
        assert calls() == done
    assert calls() == done + undone


def test_what_undoes_it_is_on_the_disk_before_it_is_done(recorded: Recorded, journal: Journal):
    seen = []
    recorded.before = lambda call: seen.append((call, len(journal.entries())))
    with faults.outage(recorded, "web", guard=TWO):
        pass
    assert seen == [("stop web", 1), ("start web", 1)]
    assert journal.entries() == ()


def test_where_no_journal_can_be_written_nothing_is_broken(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TARSLAB_CHAOS_UNDO", str(tmp_path / "file" / "undo"))
    with pytest.raises(BadArgument, match="nothing is broken"), faults.kill(recorded, "web"):
        pytest.fail("the fault was done")
    assert recorded.calls == []


def test_a_dry_run_prints_what_would_be_touched_and_touches_nothing(
    platform: LocalPlatform, journal: Journal, capsys: pytest.CaptureFixture[str]
):
    before = platform.units("redis")
    with faults.outage(platform, "redis", guard=Guard(dry_run=True, max_seconds=9)) as fault:
        assert platform.units("redis") == before
        assert journal.entries() == ()
    pid = before[0].id
    assert capsys.readouterr().out == textwrap.dedent(f"""\
        outage of redis, on {platform!r}, for 9 s at most:
          process {pid} (redis): SIGKILL, and held down
        undone by:
          process {pid} (redis): started, if it is held down
    """)
    assert (fault.began, fault.ended) == (None, None)


def test_more_units_than_one_have_to_be_asked_for(recorded: Recorded):
    for fault in (faults.outage, faults.restart, faults.cut_off):
        with pytest.raises(Refused, match="2 units of web would be touched"):
            fault(recorded, "web")
    with pytest.raises(Refused):
        faults.kill(recorded, "web", units=2)
    assert recorded.calls == []


def test_faults_at_the_same_time_count_together(recorded: Recorded):
    with faults.kill(recorded, "web"):
        recorded.states["web-2"] = "unready"
        second = faults.kill(recorded, "web")
        assert [unit.name for unit in second.units] == ["web-1"]
        with pytest.raises(Refused, match="2 units of web"), second:
            pass
    assert recorded.calls == ["kill web-2 0", "start web"]


def test_only_what_is_ready_is_broken(recorded: Recorded):
    recorded.states |= {"web-1": "starting", "web-2": "paused"}
    for fault in (faults.kill, faults.pause):
        with pytest.raises(Refused, match="0 units of web are ready, and 1 would be needed"):
            fault(recorded, "web")
    with pytest.raises(Refused, match="no unit of web is ready"):
        faults.outage(recorded, "web", guard=TWO)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"toxic": "rain"}, "toxic must be one of latency, bandwidth"),
        ({"stream": "up"}, "stream must be one of upstream, downstream"),
        ({"toxicity": 1.5}, "toxicity must be 0 to 1"),
        ({"attributes": {"latency": -1}}, "attributes of latency: Expected `int` >= 0"),
        ({"attributes": {"lag": 1}}, "attributes of latency: .* unknown field `lag`"),
    ],
)
def test_a_toxic_that_cannot_be_is_told_before_anything_is_done(
    recorded: Recorded, wrong: dict[str, Any], said: str
):
    with pytest.raises(BadArgument, match=said):
        faults.degrade(recorded, "web", **{"toxic": "latency", **wrong})


def test_units_have_to_be_at_least_one(recorded: Recorded):
    with pytest.raises(BadArgument, match="units must be at least 1"):
        faults.kill(recorded, "web", units=0)


def test_what_was_done_is_undone_where_the_rest_cannot_be_done(
    recorded: Recorded, journal: Journal
):
    def refuse(call: str) -> None:
        if call == "pause web-1":
            raise PlatformFailed("it is gone")

    recorded.before = refuse
    fault = faults.pause(recorded, "web", units=2, guard=TWO)
    with pytest.raises(PlatformFailed, match="it is gone"), fault:
        pytest.fail("the fault was not done")
    assert recorded.calls == ["pause web-2", "resume web-1", "resume web-2"]
    assert journal.entries() == ()


def test_a_fault_that_cannot_be_undone_stays_in_the_journal_and_is_told(
    recorded: Recorded, journal: Journal
):
    def refuse(call: str) -> None:
        if call == "start web":
            raise PlatformFailed("the API is lost")

    recorded.before = refuse
    fault = faults.kill(recorded, "web")
    with pytest.raises(PlatformFailed, match="could not be undone: the API is lost"), fault:
        pass
    (left,) = journal.entries()
    # The watchdog goes on trying, until there is nothing to undo.
    assert fault._watchdog is not None
    assert alive(fault._watchdog.pid)
    journal.forget(left)
    wait_until_gone([fault._watchdog.pid])


def test_a_fault_is_done_once_and_undone_once(recorded: Recorded):
    fault = faults.kill(recorded, "web").begin()
    fault.end()
    fault.end()
    with pytest.raises(BadArgument, match="kill web has been done"):
        fault.begin()
    assert recorded.calls == ["kill web-2 0", "start web"]


def test_its_watchdog_ends_with_the_fault(recorded: Recorded):
    with faults.kill(recorded, "web") as fault:
        assert fault._watchdog is not None
        assert alive(fault._watchdog.pid)
    wait_until_gone([fault._watchdog.pid])


def test_a_fault_can_be_done_in_another_thread(recorded: Recorded):
    def work() -> None:
        with faults.kill(recorded, "web"):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert recorded.calls == ["kill web-2 0", "start web"]


def test_a_fault_may_be_ended_by_another_thread_than_its_own(recorded: Recorded, journal: Journal):
    ended: list[BaseException | None] = []

    def abort() -> None:
        try:
            fault.end()
        except BaseException as error:
            ended.append(error)
        else:
            ended.append(None)

    with faults.kill(recorded, "web") as fault:
        others = [threading.Thread(target=abort) for _ in range(2)]
        for other in others:
            other.start()
        for other in others:
            other.join()
        assert journal.entries() == ()
    assert ended == [None, None]
    assert recorded.calls == ["kill web-2 0", "start web"]


def test_a_fault_that_somebody_else_has_undone_is_told_at_its_end(
    recorded: Recorded, journal: Journal
):
    fault = faults.kill(recorded, "web").begin()
    (entry,) = journal.entries()
    journal.undo(entry, recorded)
    with pytest.raises(Overran, match="kill web was ended by somebody else"):
        fault.end()
    assert recorded.calls == ["kill web-2 0", "start web"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_undoing_waits_until_that_is_done(
    recorded: Recorded, number: signal.Signals
):
    def interrupt(call: str) -> None:
        if call == "start web":
            os.kill(os.getpid(), number)

    recorded.before = interrupt
    expected = KeyboardInterrupt if number == signal.SIGINT else SystemExit
    before = signal.getsignal(number)
    with pytest.raises(expected), faults.kill(recorded, "web"):
        pass
    assert recorded.calls == ["kill web-2 0", "start web"]
    assert signal.getsignal(number) is before


def test_a_signal_while_it_is_done_undoes_it(recorded: Recorded):
    def interrupt(call: str) -> None:
        if call == "kill web-2 0":
            os.kill(os.getpid(), signal.SIGTERM)

    recorded.before = interrupt
    with pytest.raises(SystemExit) as ended, faults.kill(recorded, "web"):
        pytest.fail("the fault was not done")
    assert ended.value.code == 143
    assert recorded.calls == ["start web"]


def test_a_run_that_takes_too_long_is_told_and_its_fault_is_over(platform: LocalPlatform):
    with (
        pytest.raises(Overran, match=r"longer than the 0\.5 s that it might"),
        faults.pause(platform, "automl", guard=Guard(max_seconds=0.5)),
    ):
        wait_until(lambda: state(platform, "automl") == "ready")


def test_what_broke_a_block_off_says_more_than_that_it_was_undone_already(
    recorded: Recorded, journal: Journal
):
    def broken_off() -> None:
        with faults.kill(recorded, "web"):
            journal.undo(journal.entries()[0], recorded)
            raise ValueError("this")

    with pytest.raises(ValueError, match="this"):
        broken_off()


def test_what_is_done_after_its_time_is_undone_at_once(
    platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch, journal: Journal
):
    """The platform takes so long that the watchdog has been there before."""
    stop = platform.stop

    def slow(service: str) -> None:
        wait_until(lambda: journal.entries() == ())
        stop(service)

    monkeypatch.setattr(platform, "stop", slow)
    fault = faults.outage(platform, "redis", guard=Guard(max_seconds=0.5))
    with pytest.raises(Overran), fault:
        pytest.fail("the fault was not done")
    platform.wait_ready("redis")


def test_what_is_done_while_somebody_undoes_the_fault_is_undone_too(
    recorded: Recorded, journal: Journal
):
    held = ExitStack()
    entry: Any = None

    def finish() -> None:
        wait_until(lambda: recorded.calls == ["kill web-2 0"])
        journal.forget(entry)
        held.close()

    undoing = threading.Thread(target=finish)

    def at_it(call: str) -> None:
        if call == "kill web-2 0":
            nonlocal entry
            (entry,) = journal.entries()
            held.enter_context(journal._locked(entry))
            undoing.start()

    recorded.before = at_it
    with pytest.raises(Overran), faults.kill(recorded, "web"):
        pytest.fail("the fault was not done")
    undoing.join()
    assert recorded.calls == ["kill web-2 0", "start web"]


RUN = """
import sys, time
from tarslab.chaos import faults
from tarslab.chaos.guards import Guard
from tarslab.chaos.platforms import connect
platform = connect({"kind": "local", "folder": sys.argv[1]})
with faults.pause(platform, "automl", guard=Guard(max_seconds=float(sys.argv[2]))) as fault:
    try:
        print(fault._watchdog.pid, flush=True)
        time.sleep(600)
    finally:
        print("unwinding", flush=True)
"""


class Run:
    """Another process that pauses automl, and sleeps."""

    def __init__(self, platform: LocalPlatform, seconds: float = 300) -> None:
        folder = platform.reference()["folder"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, folder, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.watchdog = int(self.process.stdout.readline())

    def ended(self) -> tuple[int, str]:
        """Its exit code, and what it said at its end."""
        said, _ = self.process.communicate()
        return self.process.returncode, said.strip()


@pytest.fixture
def run(platform: LocalPlatform) -> Iterator[Callable[..., Run]]:
    """Starts a process in mid-fault."""
    begun: list[Run] = []

    def begin(seconds: float = 300) -> Run:
        begun.append(Run(platform, seconds))
        assert state(platform, "automl") == "paused"
        return begun[-1]

    yield begin
    for each in begun:
        each.process.kill()
        each.process.wait()
        assert each.process.stdout is not None
        each.process.stdout.close()
        wait_until_gone([each.watchdog])


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT)],
)
def test_a_run_that_is_ended_by_a_signal_undoes_its_fault_first(
    run: Callable[..., Run],
    platform: LocalPlatform,
    journal: Journal,
    number: signal.Signals,
    code: int,
):
    begun = run()
    begun.process.send_signal(number)
    assert begun.ended() == (code, "unwinding")
    assert state(platform, "automl") == "ready"
    assert journal.entries() == ()


def test_the_watchdog_undoes_the_fault_of_a_run_that_is_killed(
    run: Callable[..., Run], platform: LocalPlatform, journal: Journal
):
    begun = run()
    begun.process.kill()
    assert begun.ended() == (-signal.SIGKILL, "")
    wait_until(lambda: state(platform, "automl") == "ready")
    wait_until(lambda: journal.entries() == ())


def test_the_watchdog_undoes_the_fault_of_a_run_that_hangs(
    run: Callable[..., Run], platform: LocalPlatform, journal: Journal
):
    begun = run(seconds=4)
    begun.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: state(platform, "automl") == "ready")
    wait_until(lambda: journal.entries() == ())
    begun.process.send_signal(signal.SIGCONT)


def test_where_the_watchdog_is_killed_too_another_process_undoes_it(
    run: Callable[..., Run], platform: LocalPlatform, journal: Journal
):
    begun = run()
    os.kill(begun.watchdog, signal.SIGKILL)
    wait_until_gone([begun.watchdog])
    begun.process.kill()
    begun.ended()
    assert state(platform, "automl") == "paused"
    (done,) = undo_all()
    assert (done.entry.fault, done.error) == ("pause automl", None)
    assert state(platform, "automl") == "ready"
    assert journal.entries() == ()


def test_the_next_run_finishes_what_the_one_before_left(
    run: Callable[..., Run], platform: LocalPlatform
):
    begun = run()
    os.kill(begun.watchdog, signal.SIGKILL)
    wait_until_gone([begun.watchdog])
    begun.process.kill()
    begun.ended()
    assert state(platform, "automl") == "paused"
    with faults.kill(platform, "hypersync"):
        assert state(platform, "automl") == "ready"
