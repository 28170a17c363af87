"""A form: labelled fields, one button, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from tarslab.admin import Secret
from tarslab.dashboards.operator.parts.part import Part, program

Submitted = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Field:
    """One field.

    ``kind``: ``text``, ``number``, ``time`` (UTC), ``password``, ``select`` or ``checks`` (any
    number of options). Options are value and label, and of a check that is barred also why.
    """

    name: str
    label: str
    kind: str = "text"
    options: tuple[tuple[str, ...], ...] = ()
    hint: str = ""
    autocomplete: str = ""

    def spec(self) -> dict[str, Any]:
        """As the front end takes it."""
        return {
            "name": self.name,
            "label": self.label,
            "kind": self.kind,
            "options": [list(option) for option in self.options],
            "hint": self.hint,
            "autocomplete": self.autocomplete,
        }


class Form(Part):
    """Fields and a button.

    What is typed into a ``password`` is no trait at any time. It comes with the submission, as a
    ``Secret``, and the field is empty from then on.

    A click counts for what was on screen when it was made: each carries the ``turn``, which is
    over with the first, so that a double click is one submission.
    """

    _esm = program("form")

    fields: Any = traitlets.List().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    errors = traitlets.Dict().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    doing = traitlets.Unicode().tag(sync=True)
    look = traitlets.Unicode().tag(sync=True)
    pending = traitlets.Bool().tag(sync=True)
    blocked = traitlets.Unicode().tag(sync=True)
    wait = traitlets.Int().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    tone = traitlets.Unicode("plain").tag(sync=True)
    turn = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        label: str,
        doing: str,
        fields: Sequence[Field] = (),
        *,
        values: Mapping[str, Any] | None = None,
        look: str = "plain",
    ) -> None:
        """
        doing: What the button says while it is being done.
        values: To start with.
        look: Of the button: ``primary``, ``danger`` or ``plain``.
        """
        empty = {f.name: [] if f.kind == "checks" else "" for f in fields if f.kind != "password"}
        super().__init__(
            label=label,
            doing=doing,
            fields=[field.spec() for field in fields],
            values=empty | dict(values or {}),
            look=look,
        )
        self.submitted: Submitted = lambda values: None

    def heard(self, message: dict[str, Any]) -> None:
        # The kernel keeps the message until the next one, so it must not keep the secrets.
        secrets = {name: Secret(text) for name, text in message.pop("secrets", {}).items()}
        if message.get("submit") != self.turn:
            return
        # Told at once, so that the button is not free in between.
        with self.hold_sync():
            self.turn += 1
            self.values = message["values"]
            self.submitted({**message["values"], **secrets})

    def blame(self, errors: Mapping[str, str], text: str) -> None:
        """What is wrong, at its fields; the text, where it is of none or of others."""
        # Of a list a service names the item: scopes.0.
        at = {name.partition(".")[0]: why for name, why in errors.items()}
        here = {field["name"] for field in self.fields}
        self.errors = {name: why for name, why in at.items() if name in here}
        self.note = "" if at and at.keys() <= here else text

    def offer(self, fields: Sequence[Field]) -> None:
        """Other fields, or options; what was typed stays."""
        self.fields = [field.spec() for field in fields]

    def put(self, **values: Any) -> None:
        """Fill in fields."""
        self.values = {**self.values, **values}
