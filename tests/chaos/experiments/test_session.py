"""Sessions, where there is nothing to break."""

from types import SimpleNamespace
from typing import Any

import pytest

from tarslab.chaos import experiments
from tarslab.chaos.experiments.session import Session
from tarslab.chaos.load import running
from tarslab.chaos.load.errors import LoadFailed
from tarslab.errors import BadArgument
from tests.chaos.experiments import made
from tests.chaos.load.made import Made

ELSEWHERE = "http://192.0.2.1:8000"


def test_a_second_load_is_refused_before_anything_is_touched():
    content = made.experiment(made.load(), made.load(), made.action("end_load"))
    with pytest.raises(BadArgument, match="has a load already: put both into one"):
        experiments.plan(content, made.nowhere(), target="http://127.0.0.1:1")


def test_a_second_load_is_refused_where_nothing_was_planned():
    session = made.session(made.load(), made.load())
    with pytest.raises(LoadFailed, match="nobody accepts connections"):
        session.load(made.LOAD)
    with pytest.raises(BadArgument, match="has a load already"):
        session.load(made.LOAD)


def test_the_end_of_a_load_waits_for_its_beginning(monkeypatch: pytest.MonkeyPatch):
    session, stopped = made.session(made.load(), made.action("end_load")), []
    load: Any = SimpleNamespace(stop=lambda: stopped.append(True))

    def begin(timeout: float) -> bool:
        session._load = load
        return True

    monkeypatch.setattr(session._load_begun, "wait", begin)
    session.end_load()
    assert stopped == [True]


def test_ctrl_c_that_a_load_has_taken_for_its_own_ends_all(monkeypatch: pytest.MonkeyPatch):
    run = running.LoadRun.__new__(running.LoadRun)
    result = Made(interrupted=True).requests(0, [10]).result()
    for name, value in {
        "test": result.test,
        "target": "it",
        "begun": lambda: 0.0,
        "wait": lambda *_: result,
        "stop": lambda: None,
        "_thread": SimpleNamespace(join=lambda: None),
    }.items():
        monkeypatch.setattr(run, name, value, raising=False)
    monkeypatch.setattr(running, "start_load", lambda *_, **__: run)
    session = made.session(made.load())
    session.load(made.LOAD)
    assert session.aborted.is_set()


def test_records_that_cannot_be_taken_back_are_told(monkeypatch: pytest.MonkeyPatch):
    def told(*, taken_back: bool) -> list[str]:
        session = made.session()
        writer: Any = SimpleNamespace(run="0a1b2c3d", take_back=lambda: taken_back)
        session._writer = writer
        session.close()
        return [event.text for event in session.events if event.kind == "writes"]

    assert told(taken_back=True) == []
    (text,) = told(taken_back=False)
    assert "API keys whose names begin with 0a1b2c3d" in text


@pytest.mark.parametrize("method", [[made.action("sign_in"), made.action("end_load")], []])
def test_a_target_elsewhere_is_not_asked_anything_unless_it_is_named(
    method: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    class Opened(Exception):
        pass

    def enter(self: Session) -> None:
        raise Opened

    monkeypatch.setattr(Session, "__enter__", enter)
    content = made.experiment(*method)
    with pytest.raises(BadArgument, match=r"192\.0\.2\.1 is another; name it by allow"):
        experiments.start(content, made.nowhere(), target=ELSEWHERE)
    with pytest.raises(Opened):
        experiments.start(content, made.nowhere(), target=ELSEWHERE, allow=["192.0.2.1"])
