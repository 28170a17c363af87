"""The journal of faults: on the disk before anything is broken, until it is mended."""

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tarslab.chaos import undo
from tarslab.chaos.platforms import Call, LocalPlatform, PlatformFailed, PlatformGone, Unit
from tarslab.chaos.undo import Entry, Journal, carry_out, new_id, this_process, undo_all
from tarslab.errors import BadArgument
from tests.chaos.recorded import Recorded

FAR = 4e9
WEB = Unit("web-1", "web", "id-web-1", "ready")


@pytest.fixture
def gone() -> tuple[int, float]:
    """A process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        created = psutil.Process(process.pid).create_time()
        process.communicate()
    return process.pid, created


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """The platform that entries are undone at."""
    platform = Recorded()
    monkeypatch.setattr(undo, "connect", lambda reference: platform)
    return platform


def entry(
    *calls: Call,
    owner: tuple[int, float] | None = None,
    began: float = 0.0,
    until: float = FAR,
    platform: str = "one",
) -> Entry:
    """A fault of this process, unless ``owner`` is another."""
    return Entry(
        id=new_id(),
        fault="a fault",
        platform={"kind": "recorded", "name": platform},
        undo=calls or (Call("start", "web"),),
        units=(("web", "web-1"),),
        began=began,
        until=until,
        owner=owner or this_process(),
    )


def test_an_entry_is_read_back_as_it_was_written(journal: Journal):
    kept = entry(Call("resume", WEB), Call("restore", "web", {"name": "x"}))
    journal.add(kept)
    assert Journal(journal.folder).entries() == (kept,)


def test_only_its_user_may_read_the_journal(journal: Journal):
    journal.add(entry())
    (file,) = journal.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700


def test_an_entry_is_synced_to_the_disk_and_so_is_its_folder(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    kept = entry()
    journal.add(kept)
    assert synced == [journal.folder / f"{kept.id}.draft", journal.folder]


def test_a_journal_that_cannot_be_written_is_named_and_nothing_is_broken(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(BadArgument, match=r"file/undo cannot be written .*TARSLAB_CHAOS_UNDO"):
        Journal(tmp_path / "file" / "undo").add(entry())


def test_a_file_that_is_no_entry_is_named_once_the_others_are_undone(
    connected: Recorded, journal: Journal, gone: tuple[int, float]
):
    journal.add(entry(owner=gone))
    (journal.folder / "torn.json").write_text('{"id": "x", "fau')
    with pytest.raises(BadArgument, match=r"torn\.json: no entry of a journal .* remove the file"):
        undo_all()
    assert connected.calls == ["start web"]
    assert journal.entries() == ()


def test_an_empty_journal_has_nothing_to_undo(journal: Journal):
    assert journal.entries() == ()
    assert undo_all() == ()


def test_what_a_run_left_is_undone_the_latest_first(
    connected: Recorded, journal: Journal, gone: tuple[int, float]
):
    for began, service in ((2.0, "web"), (1.0, "db")):
        journal.add(entry(Call("start", service), owner=gone, began=began))
    done = undo_all()
    assert [(each.entry.began, each.error) for each in done] == [(2.0, None), (1.0, None)]
    assert connected.calls == ["start web", "start db"]
    assert journal.entries() == ()


def test_what_a_run_does_that_goes_on_is_left_unless_asked_for(
    connected: Recorded, journal: Journal
):
    journal.add(entry())
    assert undo_all() == ()
    assert len(journal.entries()) == 1
    assert len(undo_all(also_held=True)) == 1
    assert connected.calls == ["start web"]


def test_what_a_run_does_beyond_its_time_is_undone(connected: Recorded, journal: Journal):
    journal.add(entry(until=1.0))
    assert len(undo_all()) == 1


def test_another_process_of_the_same_number_is_not_the_run(connected: Recorded, journal: Journal):
    pid, created = this_process()
    journal.add(entry(owner=(pid, created - 60)))
    assert len(undo_all()) == 1


def test_only_what_was_done_to_a_platform_is_undone_for_it(
    connected: Recorded, journal: Journal, gone: tuple[int, float]
):
    for name in ("one", "two"):
        journal.add(entry(owner=gone, platform=name))
    assert [each.entry.platform["name"] for each in undo_all(platform=connected)] == ["one"]
    assert [each.platform["name"] for each in journal.entries()] == ["two"]


def test_what_cannot_be_undone_is_kept_and_told(
    connected: Recorded, journal: Journal, gone: tuple[int, float]
):
    def refuse(call: str) -> None:
        raise PlatformFailed(f"no {call} today")

    journal.add(entry(owner=gone))
    connected.before = refuse
    (failed,) = undo_all()
    assert failed.error == "a fault could not be undone: no start web today"
    connected.before = lambda call: None
    (done,) = undo_all()
    assert done.error is None


def test_the_rest_is_undone_even_where_one_part_cannot_be():
    platform = Recorded()

    def refuse(call: str) -> None:
        if call == "start web":
            raise BadArgument("service must be another")

    platform.before = refuse
    with pytest.raises(PlatformFailed, match="service must be another"):
        carry_out(entry(Call("start", "web"), Call("start", "db")), platform)
    assert platform.calls == ["start db"]


def test_where_the_platform_is_gone_so_is_the_fault(
    connected: Recorded, journal: Journal, gone: tuple[int, float]
):
    def vanished(call: str) -> None:
        raise PlatformGone("it is down")

    connected.before = vanished
    journal.add(entry(owner=gone))
    assert [each.error for each in undo_all()] == [None]
    assert journal.entries() == ()


def test_an_entry_can_be_forgotten(journal: Journal):
    kept = entry()
    journal.add(kept)
    journal.forget(kept)
    journal.forget(kept)
    assert not journal.holds(kept)


def test_a_fault_is_undone_once_where_several_try_at_the_same_time(journal: Journal):
    platform = Recorded()
    at_it, go_on = threading.Event(), threading.Event()

    def wait(call: str) -> None:
        at_it.set()
        assert go_on.wait(30)

    platform.before = wait
    kept = entry()
    journal.add(kept)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(journal.undo, kept, platform)
        assert at_it.wait(30)
        second = pool.submit(Journal(journal.folder).undo, kept, platform)
        go_on.set()
        assert (first.result(), second.result()) == (True, False)
    assert platform.calls == ["start web"]


def test_a_stack_that_is_down_has_nothing_to_undo(
    journal: Journal, tmp_path: Path, gone: tuple[int, float]
):
    where = {"kind": "local", "folder": str(tmp_path)}
    journal.add(Entry("x", "outage of redis", where, (Call("start", "redis"),), (), 0.0, FAR, gone))
    assert [each.error for each in undo_all()] == [None]


def test_a_platform_of_no_known_kind_is_told(journal: Journal, gone: tuple[int, float]):
    journal.add(entry(owner=gone))
    (failed,) = undo_all()
    assert failed.error is not None
    assert "a platform of the kind 'recorded' is not known" in failed.error


def test_a_platform_that_cannot_be_asked_is_told_and_the_others_are_undone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, gone: tuple[int, float]
):
    platform = Recorded()

    def connect(reference: dict[str, str]) -> Recorded:
        if reference["name"] == "two":
            raise BadArgument("context: 'two' cannot be used")
        return platform

    monkeypatch.setattr(undo, "connect", connect)
    for began, name in ((2.0, "two"), (1.0, "one")):
        journal.add(entry(owner=gone, began=began, platform=name))
    failed, done = undo_all()
    assert failed.error == "a fault could not be undone: context: 'two' cannot be used"
    assert (done.entry.platform["name"], done.error) == ("one", None)
    assert platform.calls == ["start web"]
    assert journal.entries() == (failed.entry,)


def test_undoing_twice_on_a_real_stack_is_undoing_once(platform: LocalPlatform):
    (redis,) = platform.units("redis")
    calls = (Call("resume", redis), Call("restore", "redis", {"name": "x"}), Call("start", "redis"))
    for _ in range(2):
        carry_out(entry(*calls), platform)
    assert platform.units("redis") == (redis,)
