"""Audit events that wait on disk while Redis is out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tarslab.stack import store
from tarslab.stack.audit.chain import Event
from tarslab.stack.audit.queue import Queue
from tests.stack.attacks.on_logins import sign_in
from tests.stack.conftest import Serve
from tests.stack.outage import QUICK, Outage, is_unavailable
from tests.stack.served import Served, Valkey
from tests.stack.waiting import wait_until


@pytest.fixture
def outage(serve: Serve, own_valkey: Valkey) -> Outage:
    """Orchestration on a Redis that the test may kill."""
    return Outage(serve(own_valkey, **QUICK), own_valkey)


def test_audit_events_wait_on_disk_and_are_replayed_in_order_each_once(outage):
    served = outage.served
    viewer = served.user("ada", "viewer")
    count = len(outage.events())
    outage.begin()
    _eventful(served, viewer)
    outage.end()
    replayed = [event for event in outage.events() if event["queued"]]
    assert [(event["action"], event["actor"], event["result"]) for event in replayed] == [
        ("mode.legacy", "orchestration", "ok"),
        *EVENTFUL,
    ]
    assert {event["mode"] for event in replayed} == {"legacy"}
    times = [event["time"] for event in replayed]
    assert times == sorted(times)
    numbers = [event["seq"] for event in outage.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= count + len(replayed) + 1
    assert served.get("/audit/verify")["valid"]
    assert not list(Path(served.settings.data).glob("audit-queue*.jsonl"))


def test_events_outlive_a_service_that_is_restarted_in_the_outage(outage):
    served = outage.served
    viewer = served.user("ada", "viewer")
    # An earlier outage, whose events are numbered, too.
    outage.begin()
    _eventful(served, viewer)
    outage.end()
    count = len(outage.events())
    outage.begin()
    _eventful(served, viewer)
    served.restart()
    _eventful(served, viewer)
    outage.end()
    replayed = [event for event in outage.events()[count:] if event["queued"]]
    life = [("mode.legacy", "orchestration", "ok"), *EVENTFUL]
    assert [(event["action"], event["actor"], event["result"]) for event in replayed] == life * 2
    assert served.get("/audit/verify")["valid"]


def test_a_service_that_dies_amid_the_replay_goes_on_with_it(outage, monkeypatch):
    served = outage.served
    outage.begin()
    for number in range(7):
        served.core.queue.put(_event(number))
    served.stop()
    forget, calls = Queue.forget, []

    def dies(self: Queue, replayed: int) -> None:
        calls.append(replayed)
        if replayed >= 6:
            raise SystemError("killed")
        forget(self, replayed)

    with monkeypatch.context() as patch:
        patch.setattr(store, "REPLAY_BATCH", 3)
        patch.setattr(Queue, "forget", dies)
        outage.valkey.start()
        served.start()
        wait_until(lambda: 6 in calls)
        assert served.client.get("/health/live").headers["x-mode"] == "legacy"
        served.stop()
    served.start()
    served.wait_for("normal")
    found = outage.events(action="test")
    assert [event["detail"]["number"] for event in found] == list(range(7))
    assert served.get("/audit/verify")["valid"]


def test_a_service_that_dies_before_it_forgets_what_was_replayed_replays_nothing_twice(outage):
    served = outage.served
    outage.begin()
    served.core.queue.put(_event(1))
    path = outage.queue_file()
    content = path.read_bytes()
    outage.end()
    served.stop()
    path.write_bytes(content)
    served.start()
    served.wait_for("normal")
    assert len(outage.events(action="test")) == 1


def test_an_event_that_is_queued_while_redis_is_there_is_replayed_soon(outage):
    # A request that was refused in the moment in which Redis came back.
    outage.served.core.queue.put(_event(1))
    wait_until(lambda: len(outage.events(action="test")) == 1)
    assert not outage.served.core.queue


def _flipped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b'"test"', b'"text"'), *lines[3:]]


def _cut(lines: list[bytes]) -> list[bytes]:
    return [*lines[:-1], lines[-1][:30]]


def _removed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], *lines[3:]]


def _repeated(lines: list[bytes]) -> list[bytes]:
    return [*lines, lines[2]]


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def _garbage(lines: list[bytes]) -> list[bytes]:
    return [b"\xff\0 {}\n", *lines]


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (_flipped, [0, 2, 3]),
        (_cut, [0, 1, 2]),
        (_removed, [0, 2, 3]),
        (_repeated, [0, 1, 2, 3]),
        (_swapped, [0, 2, 3]),
        (_garbage, [0, 1, 2, 3]),
    ],
)
def test_a_queue_that_was_damaged_is_told_of_and_the_rest_is_replayed(
    outage: Outage, damage: Callable[[list[bytes]], list[bytes]], left: list[int]
):
    served = outage.served
    outage.begin()
    # After the first line, which tells of the outage itself.
    for number in range(4):
        served.core.queue.put(_event(number))
    served.stop()
    path = outage.queue_file()
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    served.start()
    served.core.queue.put(_event(9))
    outage.end()
    found = outage.events(action="test")
    assert [event["detail"]["number"] for event in found] == [*left, 9]
    (told,) = outage.events(action="audit.queue")
    assert (told["result"], told["detail"]) == ("failed", {"lines": 1})
    assert served.get("/audit/verify")["valid"]


def test_a_queue_of_another_place_is_not_believed(outage, tmp_path):
    served = outage.served
    other = tmp_path / "other"
    other.mkdir()
    Queue(other, "another secret").put(_event(1))
    outage.begin()
    served.stop()
    path = outage.queue_file()
    content = path.read_bytes()
    (forged,) = other.glob("audit-queue*.jsonl")
    path.unlink()
    path.write_bytes(forged.read_bytes())
    # Nor a file of its own under another name: it might have been replayed.
    path.with_name(f"audit-queue-{'f' * 32}.jsonl").write_bytes(content)
    served.start()
    outage.end()
    assert outage.events(action="test") == []


EVENTFUL = [
    ("auth.login", "admin", "ok"),
    ("auth.login", "admin", "failed"),
    ("access.denied", "ada", "denied"),
    ("mode.refused", "admin", "refused"),
]


def _eventful(served: Served, viewer: str) -> None:
    """What EVENTFUL tells of."""
    token = served.login()["access_token"]
    sign_in(served, "admin", "wrong")
    assert served.ask("GET", "/users", token=viewer).status_code == 403
    is_unavailable(served.ask("POST", "/jwt/rotate", token=token))


def _event(number: int) -> Event:
    return Event(float(number), "test", "test", "test", "ok", detail={"number": number})
