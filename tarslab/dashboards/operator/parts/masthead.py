"""The line above the tabs, and the banner of what is wrong."""

from collections.abc import Callable
from typing import Any

import traitlets

from tarslab.dashboards.operator.parts.part import FOLDER, Part, program


class Masthead(Part):
    """Where, who, in which mode; and whether anybody looks.

    ``pulse`` is called every two seconds by each view that is visible, ``gone`` by one that is
    taken away.
    """

    _esm = program("masthead")
    _css = (FOLDER / "style.css").read_text(encoding="utf-8")

    where = traitlets.Unicode().tag(sync=True)
    who = traitlets.Unicode().tag(sync=True)
    mode = traitlets.Unicode().tag(sync=True)
    refreshed = traitlets.Unicode().tag(sync=True)
    banner = traitlets.Unicode().tag(sync=True)
    countdown = traitlets.Unicode().tag(sync=True)
    tone = traitlets.Unicode("bad").tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.pulse: Callable[[str], None] = lambda view: None
        self.gone: Callable[[str], None] = lambda view: None

    def heard(self, message: dict[str, Any]) -> None:
        if "pulse" in message:
            self.pulse(message["pulse"])
        elif "gone" in message:
            self.gone(message["gone"])
