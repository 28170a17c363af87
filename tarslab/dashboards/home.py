"""The event loop that all of a dashboard happens on."""

import asyncio
from collections.abc import Callable
from typing import Any


class Home:
    """The loop that runs where this is made: in a notebook, that of the cells.

    JupyterLab has the messages of widgets handled in threads of their own (subshells, Jupyter
    Enhancement Proposal 91), each with a loop; what is done there must come home first.
    """

    def __init__(self) -> None:
        self._loop = _running_loop()

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function on the loop: at once, where that runs here or there is none."""
        if self._loop is None or self._loop is _running_loop():
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)

    def calls(self, function: Callable[[], object]) -> Callable[[object], None]:
        """An observer of a trait that calls a function on the loop."""
        return lambda change: self.call(function)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
