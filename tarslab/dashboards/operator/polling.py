"""Refreshing what is looked at, for as long as somebody looks."""

import asyncio
from collections.abc import Awaitable, Callable

# Seconds from one pulse of a view after which it counts as gone: pages pulse every two.
PULSE_LIMIT = 7.0
TICK = 1.0


class Poller:
    """Refreshes every ``interval`` seconds, and ticks every second in between.

    It begins with the first ``pulse`` of a view and ends when no view has pulsed for
    ``PULSE_LIMIT`` seconds: a cell that was cleared, a page that was closed or is behind others
    costs nothing. A refresh that hangs holds up neither the ticks nor the pulses, and is never
    joined by a second one.

    refresh: Does it; it gives the seconds until the next where that is not the interval.
    tick: Called every second.
    """

    def __init__(
        self,
        refresh: Callable[[], Awaitable[float | None]],
        tick: Callable[[], None],
        interval: float,
    ) -> None:
        self.interval = interval
        self._refresh = refresh
        self._tick = tick
        self._views: dict[str, float] = {}
        self._due = 0.0
        self._wake = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether anybody looks."""
        return self._watching is not None

    def pulse(self, view: str) -> None:
        """This view is visible."""
        loop = asyncio.get_running_loop()
        self._views[view] = loop.time()
        if self._watching is None:
            self._watching = loop.create_task(self._watch())

    def gone(self, view: str) -> None:
        """This view is not there any more."""
        self._views.pop(view, None)
        self._wake.set()

    def hurry(self) -> None:
        """Refresh now: what is shown is out of date."""
        self._due = 0.0
        self._wake.set()

    def close(self) -> None:
        """Refresh no more."""
        for task in (self._watching, self._refreshing):
            if task is not None:
                task.cancel()
        self._views.clear()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._seen(loop.time()):
                self._wake.clear()
                self._tick()
                if self._refreshing is None and loop.time() >= self._due:
                    self._due = loop.time() + self.interval
                    self._refreshing = loop.create_task(self._refresh_once())
                try:
                    async with asyncio.timeout(TICK):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            self._watching = None

    async def _refresh_once(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            seconds = await self._refresh()
            if seconds is not None:
                self._due = loop.time() + seconds
        finally:
            self._refreshing = None
            self._wake.set()

    def _seen(self, now: float) -> bool:
        self._views = {v: seen for v, seen in self._views.items() if now - seen < PULSE_LIMIT}
        return bool(self._views)
