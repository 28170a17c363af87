"""What the parts have in common: anywidgets whose programs stand beside them."""

from pathlib import Path
from typing import Any

import anywidget

from tarslab.dashboards.home import Home

FOLDER = Path(__file__).parent


def program(name: str) -> str:
    """The program of a part, with the few functions that all of them use."""
    return "\n".join(
        (FOLDER / file).read_text(encoding="utf-8") for file in ("dom.js", f"{name}.js")
    )


class Part(anywidget.AnyWidget):
    """A part of the dashboard, which shows state and tells what a person does.

    What it is told goes to ``heard``. A trait is kept in a saved notebook and a message is not, so
    secrets come and go by messages alone.
    """

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self._home = Home()
        self.on_msg(lambda _, content, __: self._home.call(self.heard, content))

    def heard(self, message: dict[str, Any]) -> None:
        """A message of the front end."""
