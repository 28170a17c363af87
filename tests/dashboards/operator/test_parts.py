"""The parts: what they are told, by whom, and what they keep."""

import asyncio
import threading
from typing import Any

import pytest

from tarslab.dashboards.operator.parts import Badge, Field, Form, Masthead, Row, Table
from tarslab.dashboards.operator.parts.part import Part
from tests.dashboards.operator.person import tell

LIMIT = 30


def test_what_another_thread_is_told_is_done_on_the_loop_of_the_dashboard() -> None:
    """As JupyterLab's subshells tell it."""

    async def story() -> None:
        home = asyncio.get_running_loop()
        came: asyncio.Queue[Any] = asyncio.Queue()
        form = Form("Do", "Doing…")
        form.submitted = lambda values: came.put_nowait(("form", asyncio.get_running_loop()))
        table = Table("Things", ["Name"], selectable=True)
        table.chosen = lambda: came.put_nowait(("table", asyncio.get_running_loop()))

        async def subshell() -> None:
            tell(form, {"submit": 0, "values": {}})
            choose(table, "a")

        thread = threading.Thread(target=lambda: asyncio.run(subshell()))
        thread.start()
        async with asyncio.timeout(LIMIT):
            assert [await came.get(), await came.get()] == [("form", home), ("table", home)]
        thread.join()

    asyncio.run(story())


def choose(table: Table, key: str) -> None:
    """Choose a row as a front end does."""
    data = {"method": "update", "state": {"selected": key}}
    table._handle_msg({"content": {"data": data}, "buffers": []})


def test_a_row_that_was_chosen_stays_so_while_it_is_there() -> None:
    table = Table("Things", ["Name", "State"], numbers=["State"], selectable=True)
    rows = [Row("a", "a", ("A", Badge("good", "good"))), Row("b", "b", ("B", ""))]
    table.show(rows)
    choose(table, "b")
    table.show(reversed(rows))
    assert table.selected == "b"
    table.show(rows[:1])
    assert table.selected == ""
    assert table.columns[1] == {"name": "State", "number": True}


def test_a_form_keeps_what_was_typed_when_it_offers_other_options() -> None:
    choice = Field("life", "Life", "select", (("", "never"),))
    form = Form("Do", "Doing…", [Field("name", "Name"), choice], values={"name": "x"})
    assert form.values == {"name": "x", "life": ""}
    form.offer(
        [Field("name", "Name"), Field("life", "Life", "select", (("", "never"), ("1", "1")))]
    )
    assert form.values["name"] == "x"
    assert form.fields[1]["options"] == [["", "never"], ["1", "1"]]


def test_what_is_wrong_stands_at_its_field_and_the_rest_below() -> None:
    form = Form("Do", "Doing…", [Field("scopes", "Scopes", "checks")])
    form.blame({"scopes.0": "no such scope"}, "scopes.0: no such scope")
    assert (form.errors, form.note) == ({"scopes": "no such scope"}, "")
    form.blame({"scopes": "none", "elsewhere": "bad"}, "two things")
    assert (form.errors, form.note) == ({"scopes": "none"}, "two things")
    form.blame({}, "")
    assert (form.errors, form.note) == ({}, "")


def test_a_masthead_tells_of_each_view_that_looks() -> None:
    masthead = Masthead()
    seen: list[str] = []
    masthead.pulse = seen.append
    masthead.gone = lambda view: seen.append(f"{view} gone")
    tell(masthead, {"pulse": "one"})
    tell(masthead, {"gone": "one"})
    tell(masthead, {"else": 1})
    assert seen == ["one", "one gone"]


@pytest.mark.parametrize("part", Part.__subclasses__(), ids=lambda part: part.__name__)
def test_each_part_brings_its_program_and_fetches_nothing(part: type[Part]) -> None:
    program = str(part._esm)
    assert "export default { render };" in program
    # The name of SVG is no address.
    assert "://" not in program.replace("http://www.w3.org/2000/svg", "")
    assert "import" not in program
