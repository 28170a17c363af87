"""Audit events that wait on disk."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarslab.stack.audit.chain import Event
from tarslab.stack.audit.queue import Queue


def event(number: int) -> Event:
    """The so-many-th event."""
    return Event(float(number), "carol", "auth.login", "auth", "ok", detail={"number": number})


def waiting(folder: Path, count: int) -> Path:
    """A file of events."""
    queue = Queue(folder, "secret")
    for number in range(1, count + 1):
        queue.put(event(number))
    return file_of(folder)


def file_of(folder: Path) -> Path:
    """The one file of the queue."""
    (found,) = folder.glob("audit-queue-*")
    return found


def test_events_wait_in_their_order_and_outlive_the_process(tmp_path: Path):
    waiting(tmp_path, 3)
    queue = Queue(tmp_path, "secret")
    assert len(queue) == 3
    assert queue.after(0) == [(number, event(number)) for number in (1, 2, 3)]
    assert queue.after(2) == [(3, event(3))]
    assert queue.damaged == 0


def test_an_event_is_on_disk_when_it_was_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []
    sync = os.fsync

    def counted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    path = waiting(tmp_path, 1)
    assert synced == [path.stat().st_size]
    assert path.stat().st_mode & 0o777 == 0o600


def test_numbers_go_on_where_a_file_was_read(tmp_path: Path):
    waiting(tmp_path, 2)
    queue = Queue(tmp_path, "secret")
    queue.put(event(3))
    assert [number for number, _ in queue.after(0)] == [1, 2, 3]
    assert queue.name == file_of(tmp_path).stem


def test_what_was_replayed_is_dropped_and_a_new_outage_has_a_new_file(tmp_path: Path):
    path = waiting(tmp_path, 3)
    queue = Queue(tmp_path, "secret")
    queue.forget(2)
    assert [number for number, _ in queue.after(0)] == [3]
    assert path.exists()
    queue.forget(3)
    assert not path.exists()
    assert not queue
    queue.put(event(4))
    assert queue.after(0) == [(1, event(4))]
    assert file_of(tmp_path) != path


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda lines: [lines[0], lines[1].replace("carol", "mallory"), lines[2]], [1, 3]),
        (lambda lines: [lines[0], lines[2]], [1, 3]),
        (lambda lines: [lines[0], "", lines[1], lines[2]], [1, 2, 3]),
        (lambda lines: [lines[0], lines[0], *lines[1:]], [1, 2, 3]),
        (lambda lines: [lines[2], lines[0], lines[1]], [3]),
        (lambda lines: ["\x00\x01", *lines], [1, 2, 3]),
    ],
)
def test_lines_that_were_changed_are_left_out_and_counted(tmp_path: Path, damage, left: list[int]):
    path = waiting(tmp_path, 3)
    path.write_text("\n".join(damage(path.read_text().splitlines())) + "\n")
    queue = Queue(tmp_path, "secret")
    assert [number for number, _ in queue.after(0)] == left
    assert queue.damaged > 0


def test_a_line_that_a_crash_cut_off_spoils_none_after_it(tmp_path: Path):
    path = waiting(tmp_path, 3)
    path.write_bytes(path.read_bytes()[:-20])
    queue = Queue(tmp_path, "secret")
    assert queue.damaged == 1
    queue.put(event(9))
    read_again = Queue(tmp_path, "secret")
    assert [one for _, one in read_again.after(0)] == [event(1), event(2), event(9)]


def test_lines_of_another_file_or_another_secret_are_not_believed(tmp_path: Path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    path = waiting(tmp_path / "one", 2)
    target = waiting(tmp_path / "other", 1)
    target.write_bytes(path.read_bytes())
    assert len(Queue(tmp_path / "other", "secret")) == 0
    assert len(Queue(tmp_path / "one", "another secret")) == 0


@settings(deadline=None)
@given(
    st.builds(
        Event,
        st.floats(0, 1e10),
        *[st.text(st.characters(exclude_categories=["Cs"]), max_size=20)] * 7,
        st.booleans(),
        st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)),
    )
)
def test_an_event_is_read_as_it_was_put(tmp_path_factory: pytest.TempPathFactory, one: Event):
    folder = tmp_path_factory.mktemp("queue")
    Queue(folder, "secret").put(one)
    assert Queue(folder, "secret").after(0) == [(1, one)]
    assert json.loads(file_of(folder).read_text().split(" ", 1)[1])[0] == 1
