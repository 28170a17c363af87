"""Probes: figures of sequences that are worked out by hand, and the real stack under real faults.

In the sequences a probe is sent each second, ``.`` is answered and ``x`` is not.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.chaos import faults
from tarslab.chaos.guards import Refused
from tarslab.chaos.platforms import LocalPlatform
from tarslab.chaos.prober import Probe
from tarslab.chaos.probes import Downtime, ProbeResult, Probes, ProbesFailed
from tarslab.errors import BadArgument
from tarslab.stack import Stack
from tests.stack.waiting import wait_until

SERVICE = "web"


def seen(text: str, *, late: float = 0.25, modes: str = "") -> ProbeResult:
    """What probes saw, a letter a second from 100 on. late: until each was over.

    modes: a letter for each probe, ``n`` for normal and ``l`` for legacy.
    """
    names = {"n": "normal", "l": "legacy"}
    probes = [
        Probe(SERVICE, 100.0 + n, 100.0 + n, 100.0 + n + late, "timeout" if of == "x" else "", "")
        for n, of in enumerate(text)
    ]
    probes = [
        probe._replace(mode=names.get(mode, ""))
        for probe, mode in zip(probes, modes.ljust(len(text)), strict=True)
    ]
    return ProbeResult(tuple(probes), rate=1.0, timeout=1.0)


def test_a_service_is_down_from_the_last_good_probe_to_the_first_good_one():
    (down,) = seen("...xx..").downtimes(SERVICE)
    assert down == Downtime(SERVICE, 102.0, 103.0, 104.0, 105.0, 2)
    assert (down.start, down.end, down.seconds) == (102.0, 105.0, 3.0)


def test_the_resolution_says_by_how_much_that_may_be_too_long():
    (down,) = seen("...xx..").downtimes(SERVICE)
    # It was down from 103 to 104 at least.
    assert down.resolution == 2.0
    (short,) = seen(".x.").downtimes(SERVICE)
    assert (short.seconds, short.resolution) == (2.0, 2.0)


def test_a_service_that_is_up_all_the_time_has_no_downtime():
    result = seen(".....")
    assert result.downtimes(SERVICE) == ()
    assert result.longest(SERVICE) is None
    assert result.availability(SERVICE) == 1.0


def test_a_service_may_be_down_before_the_first_probe_and_after_the_last():
    first, last = seen("xx..x").downtimes(SERVICE)
    assert (first.last_good, first.start, first.end) == (None, 100.0, 102.0)
    assert (last.first_good, last.start, last.end) == (None, 103.0, 104.0)


def test_a_service_that_never_answered_was_down_from_the_first_probe_to_the_last():
    (down,) = seen("xxx").downtimes(SERVICE)
    assert down == Downtime(SERVICE, None, 100.0, 102.0, None, 3)
    assert (down.seconds, down.resolution) == (2.0, 0.0)
    assert seen("xxx").availability(SERVICE) == 0.0


def test_the_longest_is_found():
    found = seen("..x.xxx..xx.").longest(SERVICE)
    assert found is not None
    assert (found.start, found.end) == (103.0, 107.0)


def test_availability_is_the_share_of_probes_that_were_answered():
    result = seen("..xx.x.x")
    assert result.availability(SERVICE) == 0.5
    assert result.failed(SERVICE) == 4


def test_the_time_to_detect_lasts_until_a_probe_is_known_to_have_failed():
    # That of 103 is over at 103.25.
    assert seen("...xx..").time_to_detect(SERVICE, since=102.5) == 0.75
    assert seen(".......").time_to_detect(SERVICE, since=102.5) is None
    # The fault may hit a probe that was sent before it.
    assert seen("...xx..", late=0.75).time_to_detect(SERVICE, since=103.5) == 0.25


def test_the_time_to_recover_lasts_until_the_answer_after_the_last_failure():
    # That of 105 is over at 105.25.
    assert seen("...xx..").time_to_recover(SERVICE, since=102.5) == 2.75
    assert seen("...x.x.").time_to_recover(SERVICE, since=102.5) == 3.75


def test_a_service_that_did_not_fail_has_recovered_at_once_and_one_that_still_does_never():
    assert seen("..x....").time_to_recover(SERVICE, since=103.5) == 0.0
    assert seen("...xxxx").time_to_recover(SERVICE, since=102.5) is None


def test_modes_are_counted_and_timed():
    result = seen("..x....", modes="nn llnn")
    assert result.modes(SERVICE) == {"normal": 4, "legacy": 2}
    assert result.time_to_mode(SERVICE, "legacy", since=101.5) == 1.75
    assert result.time_to_mode(SERVICE, "legacy", since=105.0) is None


def test_a_part_of_the_time_can_be_looked_at():
    assert [probe.sent for probe in seen(".....").between(101.0, 103.0).probes] == [101.0, 102.0]


def test_a_service_that_was_not_probed_is_named_with_those_that_were():
    with pytest.raises(BadArgument, match="service must be one of web, not 'db'"):
        seen("..").availability("db")
    with pytest.raises(BadArgument, match="no service was probed"):
        ProbeResult((), 20.0, 1.0).downtimes("web")


def test_a_row_for_each_service_sums_it_up():
    (row,) = seen("...xx..", modes="nnn  ll").summary().to_dict("records")
    assert row == {
        "service": SERVICE,
        "probes": 7,
        "failed": 2,
        "availability": 5 / 7,
        "downtimes": 1,
        "down": 3.0,
        "longest": 3.0,
        "resolution": 2.0,
        "modes": "normal 3, legacy 2",
        "lateness": 0.0,
    }


def test_a_frame_has_a_row_for_each_probe_and_gives_the_result_back():
    result = seen(".x", modes="n ")
    frame = result.to_frame()
    expected = pd.DataFrame(
        {
            "service": [SERVICE, SERVICE],
            "due": [100.0, 101.0],
            "sent": [100.0, 101.0],
            "done": [100.25, 101.25],
            "failure": ["", "timeout"],
            "mode": ["normal", ""],
            "ok": [True, False],
            "lateness": [0.0, 0.0],
            "latency": [0.25, 0.25],
        }
    )
    pd.testing.assert_frame_equal(frame, expected, check_dtype=False)
    assert ProbeResult.of_frame(frame, rate=1.0, timeout=1.0) == result


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_downtimes_cover_exactly_the_probes_that_failed(answered: list[bool], random):
    text = "".join("." if ok else "x" for ok in answered)
    result = seen(text)
    # Answers come in any order.
    shuffled = list(result.probes)
    random.shuffle(shuffled)
    downs = ProbeResult(tuple(shuffled), 1.0, 1.0).downtimes(SERVICE)
    assert downs == result.downtimes(SERVICE)
    assert sum(down.failed for down in downs) == text.count("x")
    for probe in result.probes:
        covering = [d for d in downs if d.first_failed <= probe.sent <= d.last_failed]
        assert len(covering) == (not probe.ok)
    for before, after in pairwise(downs):
        assert before.first_good is not None
        assert after.last_good is not None
        assert before.first_good <= after.last_good
    for down in downs:
        bounds = [time for time in (down.last_good, down.first_good) if time is not None]
        assert all(result.probes[int(time - 100)].ok for time in bounds)
        assert down.seconds >= down.last_failed - down.first_failed


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that handles a connection after the other; its URL."""
    over = threading.Event()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if over.is_set():
                    return
                answer(connection)

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def test_probes_go_on_while_a_target_hangs_and_the_schedule_does_not_wait():
    """A server that accepts and never answers: with a timeout of 1 s, 20 probes wait at a time."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with answering(lambda connection: connection.sendall(GOOD)) as good:
            with Probes({"silent": url, "good": good}, timeout=1.0) as probes:
                wait_until(lambda: len(probes.result.of("silent")) > 40)
            result = probes.result
    assert result.failures("silent") == {"timeout": len(result.of("silent"))}
    assert result.availability("good") > 0.5
    due = [probe.due for probe in result.of("silent")]
    # Every moment of the schedule that is there is a multiple of 1/20 s after the first.
    turns = [(moment - due[0]) * 20 for moment in due]
    assert all(abs(turn - round(turn)) < 1e-3 for turn in turns)
    waited = [probe.done - probe.sent for probe in result.of("silent")]
    assert min(waited) >= 0.99


GOOD = b"HTTP/1.1 200 OK\r\nX-Mode: normal\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (GOOD, ""),
        (GOOD.replace(b"200 OK", b"302 Found"), ""),
        (GOOD.replace(b"200 OK", b"503 Service Unavailable"), "HTTP 503"),
        (GOOD.replace(b"200 OK", b"404 Not Found"), "HTTP 404"),
        (GOOD[:-1], "answer cut off"),
        (GOOD[:20], "answer cut off"),
        (b"", "connection lost"),
        (b"SSH-2.0\r\n\r\n", "no HTTP"),
    ],
)
def test_an_answer_is_good_or_has_a_kind_of_failure(answer: bytes, failure: str):
    def say(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with answering(say) as url, Probes({"web": url}, timeout=30) as probes:
        pass
    assert {probe.failure for probe in probes.result.probes} == {failure}
    assert ("normal" in probes.result.modes("web")) == (answer.endswith(b"{}"))


def test_a_port_where_nobody_listens_refuses():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with Probes({"web": f"http://127.0.0.1:{nobody.getsockname()[1]}"}, timeout=30) as probes:
            pass
    assert set(probes.result.failures("web")) == {"connection refused"}


def test_a_path_is_asked_for_where_the_url_has_one_else_whether_it_is_ready():
    asked = []

    def note(connection: socket.socket) -> None:
        asked.append(connection.recv(4096).split(b" ")[1])
        connection.sendall(GOOD)

    with answering(note) as url, Probes({"a": url, "b": url + "/v1/health?x=1"}):
        pass
    assert set(asked) == {b"/health/ready", b"/v1/health?x=1"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"targets": {}}, "targets must be at least one"),
        ({"targets": {"a": "ftp://127.0.0.1"}}, "the URL of a must be such as"),
        ({"targets": {"a": "http://user:s3cret@127.0.0.1"}}, "the URL of a must be such as"),
        ({"rate": 19}, "rate must be at least 20 a second, not 19"),
        ({"timeout": 0}, "timeout must be more than 0 and at most 50 s at this rate, not 0"),
        ({"timeout": 51}, "timeout must be more than 0 and at most 50 s at this rate, not 51"),
    ],
)
def test_what_cannot_be_probed_is_told(wrong: dict[str, object], said: str):
    with pytest.raises(BadArgument, match=said) as told:
        Probes(**{"targets": {"a": "http://127.0.0.1:1"}, **wrong})  # type: ignore[arg-type]
    assert "s3cret" not in str(told.value)


def test_another_machine_is_probed_where_it_is_allowed_alone():
    with pytest.raises(Refused, match=r"192\.0\.2\.1 is another machine"):
        Probes({"a": "http://192.0.2.1"})
    Probes({"a": "http://192.0.2.1"}, allow=["192.0.2.1"])


def test_probes_whose_process_is_killed_say_so_and_keep_what_they_saw(platform: LocalPlatform):
    probes = Probes(platform)

    def killed() -> None:
        with probes:
            assert probes._process is not None
            os.kill(probes._process.pid, signal.SIGKILL)

    with pytest.raises(ProbesFailed, match="ended early"):
        killed()
    assert set(probes.result.services) == set(platform.services)


def test_probes_whose_process_cannot_start_say_so_and_leave_nothing_open(monkeypatch):
    monkeypatch.setattr("sys.executable", "/gone/python")
    probes = Probes({"a": "http://127.0.0.1:1"})
    with pytest.raises(ProbesFailed, match=r"did not start: .*/gone/python"):
        probes.start()
    assert probes._errors.closed


def test_every_service_of_a_stack_answers_and_redis_too(platform: LocalPlatform):
    with Probes(platform, timeout=30) as probes:
        pass
    result = probes.result
    assert set(result.services) == {"redis", "orchestration", "automl", "hypersync"}
    for service in result.services:
        assert result.failures(service) == {}
    assert set(result.modes("automl")) == {"normal"}


def test_no_secret_of_a_stack_is_in_what_probes_show(platform: LocalPlatform, stack: Stack):
    with Probes(platform) as probes:
        pass
    shown = json.dumps([repr(probes), repr(probes.result)])
    assert stack.redis_url.split("@")[0].removeprefix("redis://:") not in shown


def test_redis_that_asks_for_a_password_is_up_and_a_wrong_one_is_a_failure(
    platform: LocalPlatform,
):
    _, _, rest = platform.address("redis").rpartition("@")
    targets = {"asked": f"redis://{rest}", "refused": f"redis://:wrong@{rest}"}
    with Probes(targets, timeout=30) as probes:
        pass
    assert probes.result.failures("asked") == {}
    assert set(probes.result.failures("refused")) == {"Redis: WRONGPASS"}


def test_a_killed_service_is_seen_to_go_and_to_come_back(platform: LocalPlatform):
    with Probes(platform, ["automl", "hypersync"], timeout=30) as probes:
        with faults.kill(platform, "automl") as fault:
            wait_until(lambda: probes.result.failed("automl") > 0)
        platform.wait_ready("automl")
        back = time.time()
        wait_until(lambda: probes.result.of("automl")[-1].sent > back)
    result = probes.result
    assert fault.began is not None
    longest = result.longest("automl")
    assert longest is not None
    assert longest.first_good is not None
    # The probe that was under way, or one after it.
    assert longest.last_failed > fault.began - 1
    detected = result.time_to_detect("automl", fault.began)
    recovered = result.time_to_recover("automl", fault.began)
    assert detected is not None
    assert recovered is not None
    assert 0 <= detected <= recovered
    assert result.failed("hypersync") == 0


def test_a_paused_service_times_out_and_is_not_refused(platform: LocalPlatform):
    with Probes(platform, ["automl"], timeout=0.5) as probes:
        with faults.pause(platform, "automl"):
            wait_until(lambda: probes.result.failures("automl").get("timeout", 0) > 10)
        back = time.time()
        wait_until(lambda: any(p.ok and p.sent > back for p in probes.result.of("automl")))
    # A connection that waited while it was paused may be lost by its own client's end.
    assert set(probes.result.failures("automl")) <= {"timeout", "connection lost"}
    assert probes.result.longest("automl") is not None


def test_an_outage_of_redis_shows_in_the_mode_and_users_are_still_answered(
    platform: LocalPlatform,
):
    with Probes(platform, ["orchestration", "redis"]) as probes:
        with faults.outage(platform, "redis") as fault:
            wait_until(lambda: "legacy" in probes.result.modes("orchestration"))
        platform.wait_ready("redis")
        back = time.time()
        wait_until(lambda: any(p.ok and p.sent > back for p in probes.result.of("redis")))
    result = probes.result
    assert fault.began is not None
    assert result.time_to_mode("orchestration", "legacy", fault.began) is not None
    assert result.failed("redis") > 0
    assert result.availability("orchestration") > 0.5


def test_what_has_been_seen_can_be_looked_at_while_it_goes_on(platform: LocalPlatform):
    with Probes(platform, ["automl"]) as probes:
        first = len(probes.result.probes)
        wait_until(lambda: len(probes.result.probes) > first)
    with closing(socket.socket()):
        assert probes.stop() == probes.result
