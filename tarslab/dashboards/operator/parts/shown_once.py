"""A secret that is shown once."""

import asyncio
from typing import Any

import traitlets

from tarslab.admin import Secret
from tarslab.dashboards.operator.parts.part import Part, program

# How long it stays on screen, seconds.
SECONDS = 120


class ShownOnce(Part):
    """Hands a secret to the page, once, and keeps it nowhere.

    The page asks for it when it can show it; from then on the kernel does not have it. On screen it
    stays until it is hidden, for ``SECONDS`` at most.
    """

    _esm = program("shown_once")

    ticket = traitlets.Int().tag(sync=True)
    """Of what is shown; 0 where nothing is."""
    what = traitlets.Unicode().tag(sync=True)
    seconds = traitlets.Int(SECONDS).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._secret: Secret | None = None
        self._tickets = 0
        self._end: asyncio.TimerHandle | None = None

    def show(self, secret: Secret, what: str) -> None:
        """Show this instead of what was shown; ``what`` says what it is."""
        self.hide()
        self._secret = secret
        self.what = what
        self._tickets += 1
        self.ticket = self._tickets
        self._end = asyncio.get_running_loop().call_later(SECONDS, self.hide)

    def hide(self) -> None:
        """Show nothing any more."""
        self._secret = None
        self.ticket = 0
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def heard(self, message: dict[str, Any]) -> None:
        if "want" in message and message["want"] == self.ticket and self._secret is not None:
            secret, self._secret = self._secret, None
            self.send({"ticket": self.ticket, "key": secret.reveal()})
        if message.get("hide") == self.ticket:
            self.hide()

    def close(self) -> None:
        """Take it away, the secret too."""
        self.hide()
        super().close()
