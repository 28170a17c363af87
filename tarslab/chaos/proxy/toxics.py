"""What can be done to a stream of bytes: the toxics of Toxiproxy 2, under its names.

Each one's fields are the attributes that its HTTP API calls them by. A toxic handles the stream of
one direction of one connection: it looks at the next part, waits as long as it means to, and sends
it on, in pieces or never.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal, Protocol

from msgspec import Meta, Struct

Stream = Literal["upstream", "downstream"]
STREAMS: tuple[Stream, ...] = ("upstream", "downstream")
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
MILLI, MICRO = 1e-3, 1e-6
# Seconds for which what a limited bandwidth lets through is gathered.
TICK = 0.1


class Chunk(Struct):
    """Bytes of a stream, or with none of them its end."""

    data: bytes | memoryview
    at: float
    """When they came, by the clock of the event loop."""
    closes: bool = False
    """Whether the connection is closed after it, both ways."""


class Passage(Protocol):
    """A stream on its way through a toxic."""

    sent: int
    """Bytes sent on while this toxic was there."""

    async def head(self) -> Chunk:
        """The next part, which stays in its place until it is sent or dropped."""
        ...

    def send(self, size: int | None = None) -> None:
        """Send the next part on, or only its first bytes."""
        ...

    def drop(self) -> None:
        """Throw the next part away."""
        ...

    def close(self, *, reset: bool = False) -> None:
        """Close the connection: by RST, or after what was sent has gone out."""
        ...


class Toxic(Struct, forbid_unknown_fields=True):
    """What is done to a stream; in itself nothing."""

    closes: ClassVar[bool] = False
    """Whether the connections that it was on are closed when it is removed."""

    async def pipe(self, passage: Passage) -> None:
        """Handle a stream until it ends, or until this is cancelled."""
        while True:
            await passage.head()
            passage.send()


class Latency(Toxic):
    """Each part comes later, by ``latency`` ± ``jitter`` milliseconds, and none before another."""

    latency: Count = 0
    jitter: Count = 0

    async def pipe(self, passage: Passage) -> None:
        while True:
            chunk = await passage.head()
            delay = self.latency + random.uniform(-self.jitter, self.jitter)
            await _until(chunk.at + delay * MILLI)
            passage.send()


class Bandwidth(Toxic):
    """At most ``rate`` kilobytes (of 1,000 bytes) a second; 0: no limit."""

    rate: Count = 0

    async def pipe(self, passage: Passage) -> None:
        free = 0.0
        while True:
            chunk = await passage.head()
            size = len(chunk.data)
            if self.rate > 0:
                size = min(size, max(1, int(self.rate * 1000 * TICK)))
                free = max(free, _now()) + size / (self.rate * 1000)
                await _until(free)
            passage.send(size)


class SlowClose(Toxic):
    """The end of the stream comes ``delay`` milliseconds later."""

    delay: Count = 0

    async def pipe(self, passage: Passage) -> None:
        while True:
            chunk = await passage.head()
            if not chunk.data:
                await _until(chunk.at + self.delay * MILLI)
            passage.send()


class Timeout(Toxic):
    """Nothing gets through, and after ``timeout`` milliseconds the connection is closed.

    With 0 it stays open, until the toxic is removed.
    """

    timeout: Count = 0
    closes: ClassVar[bool] = True

    async def pipe(self, passage: Passage) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.timeout * MILLI or None):
                await _swallow(passage)
        passage.close()


class ResetPeer(Toxic):
    """The connection is reset, ``timeout`` milliseconds after something came to it."""

    timeout: Count = 0

    async def pipe(self, passage: Passage) -> None:
        chunk = await passage.head()
        await _until(chunk.at + self.timeout * MILLI)
        passage.close(reset=True)


class LimitData(Toxic):
    """The connection is closed once ``bytes`` bytes have got through."""

    bytes: Count = 0

    async def pipe(self, passage: Passage) -> None:
        while True:
            chunk = await passage.head()
            left = max(0, self.bytes - passage.sent)
            if not chunk.data or len(chunk.data) < left:
                passage.send()
                continue
            if left:
                passage.send(left)
            passage.close()
            return


class Slicer(Toxic):
    """Each part is cut into pieces of ``average_size`` ± ``size_variation`` bytes.

    ``delay``: microseconds after each.
    """

    average_size: Count = 0
    size_variation: Count = 0
    delay: Count = 0

    async def pipe(self, passage: Passage) -> None:
        while True:
            chunk = await passage.head()
            for size in self._sizes(len(chunk.data)):
                passage.send(size)
                await asyncio.sleep(self.delay * MICRO)

    def _sizes(self, total: int) -> Iterator[int]:
        """Of the pieces of a part; of its end, one without bytes."""
        if total - self.average_size <= self.size_variation or total < 2:
            yield total
            return
        varied = total // 2 + random.randint(-self.size_variation, self.size_variation)
        cut = min(max(1, varied), total - 1)
        yield from self._sizes(cut)
        yield from self._sizes(total - cut)


KINDS: dict[str, type[Toxic]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "limit_data": LimitData,
    "slicer": Slicer,
}


class Placed(Struct):
    """A toxic in its place, as the HTTP API shows it."""

    attributes: Any
    """A Toxic."""
    name: str
    type: str
    stream: Stream = "downstream"
    toxicity: Share = 1.0
    """The probability that it acts on a connection."""


async def _swallow(passage: Passage) -> None:
    while True:
        chunk = await passage.head()
        if chunk.data:
            passage.drop()
        else:
            passage.send()


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0, moment - _now()))
