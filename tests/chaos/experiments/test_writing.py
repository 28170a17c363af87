"""The writer, against a service that forgets."""

from collections.abc import Iterable
from contextlib import nullcontext
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from tarslab.admin.errors import Unavailable
from tarslab.admin.secret import Secret
from tarslab.chaos.experiments import writing
from tarslab.chaos.experiments.writing import Writer
from tests.stack.waiting import wait_until


class Forgetful:
    """Creates records, and keeps them but for some."""

    down = False
    """Whether it answers nothing more than creates."""

    def __init__(self, *, forget: Iterable[int] = (), refuse: Iterable[int] = ()) -> None:
        self.kept: dict[str, Any] = {}
        self.revoked: set[str] = set()
        self.api_keys = self
        self._ids, self._forget, self._refuse = count(), set(forget), set(refuse)

    def create(self, name: str, scopes: Iterable[str], **_: Any) -> Any:
        number = next(self._ids)
        made = SimpleNamespace(id=str(number), name=name, key=Secret("k"), state="active")
        if number in self._refuse:
            raise Unavailable("no", status=503)
        if number not in self._forget:
            self.kept[made.id] = made
        return made

    def list(self) -> list[Any]:
        if self.down:
            raise Unavailable("down")
        return list(self.kept.values())

    def revoke(self, id: str) -> None:
        self.revoked.add(id)


def written(service: Forgetful, errors: list[BaseException]) -> Writer:
    """After ten writes at least."""
    writer = Writer(lambda **_: nullcontext(service), 200.0, errors.append)  # type: ignore[arg-type]
    wait_until(lambda: len(writer.result) >= 10)
    return writer


def test_a_write_that_was_acknowledged_and_forgotten_is_lost():
    # The first record is the writer's own key: that of number 3 is its third write.
    service = Forgetful(forget=[3], refuse=[5])
    errors: list[BaseException] = []
    writes = written(service, errors).read_back()
    assert errors == []
    assert writes.lost == 1
    assert writes.to_frame().query("lost")["number"].tolist() == [2]
    assert writes.writes[4].status == 503
    assert not writes.writes[4].acknowledged
    assert writes.acknowledged == len(writes) - 1
    assert writes.read_back


def test_whatever_was_created_is_taken_back():
    service = Forgetful()
    written(service, []).read_back()
    assert service.revoked == set(service.kept)


def test_a_record_that_is_there_twice_is_counted():
    service = Forgetful()
    writer = written(service, [])
    writer.stop()
    service.kept["again"] = SimpleNamespace(id="again", name=service.kept["1"].name)
    assert writer.read_back().repeated == 1


def test_what_was_not_read_back_is_not_lost_but_not_known():
    writer = written(Forgetful(forget=[3]), [])
    writer.stop()
    assert writer.result.lost == 0
    assert not writer.result.read_back


def test_what_was_not_read_back_is_taken_back_all_the_same():
    service = Forgetful()
    writer = written(service, [])
    assert writer.take_back()
    assert service.revoked == set(service.kept)
    assert not writer.result.read_back


def test_what_was_taken_back_before_is_left_alone():
    service = Forgetful()
    writer = written(service, [])
    writer.read_back()
    service.down = True
    assert writer.take_back()


def test_what_a_service_that_is_down_does_not_take_back_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writing, "TAKING", 0.05)
    monkeypatch.setattr(writing, "AGAIN", 0.01)
    service = Forgetful()
    writer = written(service, [])
    service.down = True
    assert not writer.take_back()
    assert service.revoked == set()
