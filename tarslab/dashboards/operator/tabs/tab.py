"""What the tabs have in common."""

from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

import ipywidgets as widgets

from tarslab.admin import Forbidden
from tarslab.dashboards.operator.actions import Action
from tarslab.dashboards.operator.parts import Confirm, Form
from tarslab.dashboards.operator.polling import Poller
from tarslab.dashboards.operator.session import Session
from tarslab.dashboards.operator.troubles import BadField, trouble_of
from tarslab.dashboards.operator.words import facts


@dataclass(frozen=True)
class Desk:
    """What every tab works with."""

    session: Session
    confirm: Confirm
    poller: Poller


class Tab:
    """A tab: ``view`` shows what ``load`` has fetched, and forms that start actions."""

    title: ClassVar[str]
    scope: ClassVar[str] = ""
    """That reading takes."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.session = desk.session
        self.actions: list[Action] = []
        self.view = widgets.VBox()
        self._why_not = html()
        self._content: list[Any] = []

    async def load(self) -> None:
        """Fetch what is shown, and show it."""

    def tick(self) -> None:
        """Show what changes with time alone."""

    def clear(self) -> None:
        """Show nothing that somebody who was signed in has seen."""

    async def refresh(self) -> None:
        """Load, where that is allowed; else say why it is not."""
        why_not = self.session.lacks(self.scope)
        if not why_not:
            try:
                await self.load()
            except Forbidden as error:
                why_not = trouble_of(error).text
        self._show(why_not)

    def look(self) -> None:
        """Show what the session allows by now."""
        self._show(self.session.lacks(self.scope))
        for action in self.actions:
            action.look()

    def bind(self, form: Form, action: Action) -> Form:
        """Have a form start an action, and show what comes of it."""

        def show() -> None:
            with form.hold_sync():
                form.pending = action.pending
                form.wait = action.wait
                form.blocked = "" if action.pending else action.blocked
                form.tone = action.outcome.tone
                form.blame(action.outcome.fields, action.outcome.text)

        action.changed = show
        form.submitted = action.start
        self.actions.append(action)
        show()
        return form

    def lay_out(self, *content: Any) -> None:
        """What the tab shows to those who may see it."""
        self._content = list(content)
        self._show(self.session.lacks(self.scope))

    def _show(self, why_not: str) -> None:
        self._why_not.value = f"<p>{escape(why_not)}</p>" if why_not else ""
        # Forms are hidden and not taken away, so that what was typed stays.
        for part in self._content:
            part.layout.display = "none" if why_not else None
        self._why_not.layout.display = None if why_not else "none"
        children = (self._why_not, *self._content)
        if self.view.children != children:
            self.view.children = children


def html(value: str = "") -> widgets.HTML:
    """Text to look at."""
    return widgets.HTML(value)


def heading(text: str) -> widgets.HTML:
    """The title of a part of a tab."""
    return widgets.HTML(f"<h2>{text}</h2>")


def row(*content: Any) -> widgets.HBox:
    """Side by side, and below one another where it is narrow."""
    return widgets.HBox(
        content, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start")
    )


def column(*content: Any) -> widgets.VBox:
    """Below one another."""
    return widgets.VBox(content)


def show_facts(shown: widgets.HTML, *pairs: tuple[str, str]) -> None:
    """Names and values."""
    shown.value = facts(pairs)


def seconds_of(text: str, field: str) -> float | None:
    """What was typed as a number of seconds; None for nothing.

    Raises:
        BadField: It is none.
    """
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise BadField(field, f"{text!r} is no number of seconds") from None
