"""Somebody at the dashboard, without a browser: what a front end would send, and what it got."""

import asyncio
from collections.abc import Callable
from typing import Any

from comm.base_comm import BaseComm

from tarslab.dashboards import OperatorDashboard
from tarslab.dashboards.operator.parts import Form, Table
from tarslab.dashboards.operator.parts.part import Part

# Conditions are waited for so long at most, seconds.
LIMIT = 30


class Line(BaseComm):
    """A line to a front end, which keeps all that goes over it."""

    sent: list[dict[str, Any]] = []  # noqa: RUF012

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
        **keys: Any,
    ) -> None:
        Line.sent.append({"type": msg_type, "comm": self.comm_id, "data": data or {}})


class Person:
    """Works a dashboard as a front end does, message by message."""

    def __init__(self, dashboard: OperatorDashboard) -> None:
        self.dashboard = dashboard

    async def sign_in(self, url: str, password: str, username: str = "admin") -> None:
        """Fill in the form, and press the button."""
        form = self.dashboard.sign_in.sign_in
        await self.submit(form, url=url, username=username, password=password)

    async def open(self, title: str) -> None:
        """Turn to a tab, and see it refreshed."""
        titles = [page.title for page in self.dashboard.pages]
        self.dashboard.tabs.selected_index = titles.index(title)
        await self.dashboard.refresh()

    async def submit(self, form: Form, *, answer: bool = True, **values: Any) -> None:
        """Press a form's button, answer what is asked, and wait until it is done."""
        self.press(form, **values)
        await self.until(lambda: not form.pending or self.asked)
        if self.asked:
            self.answer(answer)
        await self.until(lambda: not form.pending)

    def press(self, form: Form, *, turn: int | None = None, **values: Any) -> dict[str, Any]:
        """Press a form's button with these values, and go on; the message that was sent."""
        secret = [field["name"] for field in form.fields if field["kind"] == "password"]
        message = {
            "submit": form.turn if turn is None else turn,
            "values": {**form.values, **{k: v for k, v in values.items() if k not in secret}},
            "secrets": {name: values.get(name, "") for name in secret},
        }
        tell(form, message)
        return message

    @property
    def asked(self) -> dict[str, Any]:
        """The question that is open."""
        return dict(self.dashboard.confirm.question)

    def answer(self, yes: bool) -> None:
        """Answer it."""
        tell(self.dashboard.confirm, {"answer": yes, "ticket": self.asked["ticket"]})

    async def question(self) -> str:
        """What is asked, once something is."""
        await self.until(lambda: bool(self.asked))
        return "\n".join([self.asked["title"], *self.asked["lines"]])

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(LIMIT):
            while not condition():
                await asyncio.sleep(0.01)


async def leave(dashboard: OperatorDashboard) -> None:
    """Close a dashboard, and see its connections closed."""
    dashboard.close()
    assert dashboard.closing is not None
    await dashboard.closing


def tell(part: Part, content: dict[str, Any]) -> None:
    """Send a message as a front end does."""
    data = {"method": "custom", "content": content}
    part._handle_msg({"content": {"data": data}, "buffers": []})


def received(part: Part) -> list[dict[str, Any]]:
    """The messages that a part has sent its front end, without those of state."""
    return [
        sent["data"]["content"]
        for sent in Line.sent
        if sent["comm"] == part.model_id and sent["data"].get("method") == "custom"
    ]


def cells(table: Table, column: str) -> list[Any]:
    """A column of a table; of badges their words."""
    place = [one["name"] for one in table.columns].index(column)
    found = [row["cells"][place] for row in table.rows]
    return [cell["text"] if isinstance(cell, dict) else cell for cell in found]
