"""Refreshing for as long as somebody looks."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tarslab.dashboards.operator import polling
from tarslab.dashboards.operator.polling import Poller

LIMIT = 30


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "TICK", 0.02)
    monkeypatch.setattr(polling, "PULSE_LIMIT", 0.3)


class Watched:
    """Counts what a poller does."""

    def __init__(self, interval: float, refresh: Callable[[], Awaitable[float | None]]) -> None:
        self.refreshed = 0
        self.ticks = 0
        self._work = refresh
        self.poller = Poller(self._refresh, self._tick, interval)

    async def _refresh(self) -> float | None:
        self.refreshed += 1
        return await self._work()

    def _tick(self) -> None:
        self.ticks += 1

    async def until(self, condition: Callable[[], bool], *, looking: bool = True) -> None:
        """Wait for a condition, by default while somebody looks."""
        async with asyncio.timeout(LIMIT):
            while not condition():
                if looking:
                    self.poller.pulse("view")
                await asyncio.sleep(0.01)


async def nothing() -> float | None:
    """A refresh that is done at once."""
    return None


def test_it_begins_with_the_first_look_and_goes_on_while_somebody_looks() -> None:
    async def story() -> None:
        watched = Watched(0.05, nothing)
        await asyncio.sleep(0.1)
        assert (watched.refreshed, watched.ticks, watched.poller.running) == (0, 0, False)
        await watched.until(lambda: watched.refreshed >= 3 and watched.ticks >= 3)
        watched.poller.close()

    asyncio.run(story())


def test_it_ends_when_nobody_looks_any_more_and_begins_again() -> None:
    async def story() -> None:
        watched = Watched(0.05, nothing)
        await watched.until(lambda: watched.refreshed >= 1)
        await watched.until(lambda: not watched.poller.running, looking=False)
        seen = watched.refreshed
        await asyncio.sleep(0.2)
        assert watched.refreshed == seen
        await watched.until(lambda: watched.refreshed > seen)
        watched.poller.gone("view")
        await watched.until(lambda: not watched.poller.running, looking=False)

    asyncio.run(story())


def test_one_view_that_goes_leaves_another_its_refreshing() -> None:
    async def story() -> None:
        watched = Watched(0.05, nothing)
        watched.poller.pulse("other")
        await watched.until(lambda: watched.refreshed >= 1)
        watched.poller.gone("other")
        seen = watched.refreshed
        await watched.until(lambda: watched.refreshed > seen)
        watched.poller.close()

    asyncio.run(story())


def test_a_refresh_that_hangs_is_not_joined_by_another_and_does_not_hold_up_the_ticks() -> None:
    async def story() -> None:
        free = asyncio.Event()

        async def hang() -> float | None:
            await free.wait()
            return None

        watched = Watched(0.01, hang)
        await watched.until(lambda: watched.ticks >= 5)
        watched.poller.hurry()
        await watched.until(lambda: watched.ticks >= 10)
        assert watched.refreshed == 1
        free.set()
        await watched.until(lambda: watched.refreshed >= 2)
        watched.poller.close()

    asyncio.run(story())


def test_hurry_refreshes_before_the_interval_is_over() -> None:
    async def story() -> None:
        watched = Watched(3_600, nothing)
        await watched.until(lambda: watched.refreshed == 1)
        watched.poller.hurry()
        await watched.until(lambda: watched.refreshed == 2)
        watched.poller.close()

    asyncio.run(story())


def test_a_refresh_says_itself_when_the_next_is_due() -> None:
    async def story() -> None:
        answers = [0.0, 3_600.0]

        async def later() -> float | None:
            return answers.pop(0)

        watched = Watched(3_600, later)
        await watched.until(lambda: watched.refreshed == 2)
        await watched.until(lambda: watched.ticks >= 10)
        assert watched.refreshed == 2
        watched.poller.close()

    asyncio.run(story())
