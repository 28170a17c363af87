"""A connection through the proxy: two streams, each through the toxics of its direction."""

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

from tarslab.chaos.proxy.toxics import STREAMS, Chunk, Placed, Stream, Toxic

# Bytes read at once, and bytes of one stream that may be under way: then no more are read, and the
# sender has to wait, as before a full window of TCP.
READ, MOST = 1 << 16, 1 << 22
# Close by RST, and do not wait.
LINGER = struct.pack("ii", 1, 0)

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connection:
    """A client's connection, and the one to the upstream that was opened for it."""

    def __init__(
        self,
        client: Pipe,
        upstream: Pipe,
        toxics: Iterable[Placed],
        over: Callable[["Connection"], None],
    ) -> None:
        self._writers = (client[1], upstream[1])
        self._over = over
        self._going = len(STREAMS)
        self._links: Mapping[Stream, Link] = {
            "upstream": Link(self, client[0], upstream[1]),
            "downstream": Link(self, upstream[0], client[1]),
        }
        for toxic in toxics:
            self.add(toxic)

    def add(self, toxic: Placed) -> None:
        """Put a toxic at the end of its stream."""
        self._links[toxic.stream].add(toxic)

    def update(self, toxic: Placed) -> None:
        """Go on with a toxic's new attributes."""
        self._links[toxic.stream].update(toxic)

    def remove(self, toxic: Placed) -> None:
        """Take a toxic out: what waits in it is sent on, or the connection is closed."""
        self._links[toxic.stream].remove(toxic)

    def stream_ended(self) -> None:
        """Take note that one of the streams has ended."""
        self._going -= 1
        if self._going == 0:
            self.close()

    def close(self, *, reset: bool = False) -> None:
        """Close both sides once what was written has gone out, or at once by RST."""
        for link in self._links.values():
            link.stop()
        for writer in self._writers:
            if reset:
                reset_peer(writer)
            else:
                writer.close()
        self._over(self)


class Link:
    """One direction of a connection: a reader, a place for each toxic, a writer."""

    def __init__(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connection = connection
        self._reader, self._writer = reader, writer
        self._under_way = 0
        self._room = asyncio.Event()
        self._exit = Place(self)
        self._places: dict[str, Place] = {}
        self._tasks = [asyncio.create_task(work()) for work in (self._read, self._write)]

    def add(self, toxic: Placed) -> None:
        """Put a toxic before the exit."""
        place = Place(self)
        self._places[toxic.name] = place
        self._connect()
        place.run(toxic)

    def update(self, toxic: Placed) -> None:
        """Run a toxic anew."""
        self._places[toxic.name].run(toxic)

    def remove(self, toxic: Placed) -> None:
        """Take a toxic out; what waits there goes to the next place before anything else does."""
        place = self._places.pop(toxic.name)
        place.stop()
        if place.acts and toxic.attributes.closes:
            self._connection.close()
            return
        while place.waiting:
            place.send()
        self._connect()

    def count(self, change: int) -> None:
        """Take note of bytes that came, or are gone."""
        self._under_way += change
        if self._under_way < MOST:
            self._room.set()
        else:
            self._room.clear()

    def reset(self) -> None:
        """Close the connection by RST."""
        self._connection.close(reset=True)

    def stop(self) -> None:
        """Handle nothing any more."""
        for place in self._places.values():
            place.stop()
        for task in self._tasks:
            _cancel(task)

    def _connect(self) -> None:
        places = [*self._places.values(), self._exit]
        for place, following in pairwise(places):
            place.following = following

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while data := await self._reader.read(READ):
                self.count(len(data))
                self._entrance.put(Chunk(data, now()))
                await self._room.wait()
        except OSError:
            self.reset()
        else:
            self._entrance.put(Chunk(b"", now()))

    async def _write(self) -> None:
        while True:
            chunk = await self._exit.head()
            if chunk.closes:
                self._connection.close()
                return
            try:
                if chunk.data:
                    self._writer.write(chunk.data)
                    await self._writer.drain()
                else:
                    self._writer.write_eof()
            except OSError:
                self.reset()
                return
            if not chunk.data:
                self._connection.stream_ended()
                return
            self._exit.drop()

    @property
    def _entrance(self) -> "Place":
        return next(iter(self._places.values()), self._exit)


class Place:
    """What waits for a toxic, and the toxic's work on it."""

    def __init__(self, link: Link) -> None:
        self.waiting: deque[Chunk] = deque()
        self.following: Place | None = None
        self.sent = 0
        self.acts = False
        """Whether the toxic acts on this connection, as its toxicity had it."""
        self._link = link
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def run(self, toxic: Placed) -> None:
        """Have a toxic handle what waits, instead of the one before."""
        self.stop()
        self.acts = random.random() < toxic.toxicity
        acting: Toxic = toxic.attributes if self.acts else Toxic()
        self._task = asyncio.create_task(acting.pipe(self))

    def stop(self) -> None:
        """End the toxic's work: what it had not sent on still waits."""
        if self._task is not None:
            _cancel(self._task)

    def put(self, chunk: Chunk) -> None:
        """Have something wait here."""
        self.waiting.append(chunk)
        self._arrived.set()

    async def head(self) -> Chunk:
        """The next part, which stays in its place."""
        while not self.waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self.waiting[0]

    def send(self, size: int | None = None) -> None:
        """Send the next part on, or only its first bytes."""
        assert self.following is not None
        chunk = self.waiting[0]
        if size is None or size >= len(chunk.data):
            self.waiting.popleft()
        else:
            data = memoryview(chunk.data)
            self.waiting[0] = Chunk(data[size:], chunk.at)
            chunk = Chunk(data[:size], chunk.at)
        self.sent += len(chunk.data)
        self.following.put(chunk)

    def drop(self) -> None:
        """Throw the next part away."""
        self._link.count(-len(self.waiting.popleft().data))

    def close(self, *, reset: bool = False) -> None:
        """Close the connection: at once by RST, or after what was sent on."""
        if reset:
            self._link.reset()
        else:
            assert self.following is not None
            self.following.put(Chunk(b"", asyncio.get_running_loop().time(), closes=True))


def reset_peer(writer: asyncio.StreamWriter) -> None:
    """Close a connection by RST."""
    end = writer.get_extra_info("socket")
    if end is not None and not writer.transport.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    writer.transport.abort()


def _cancel(task: asyncio.Task[None]) -> None:
    # The one that asks for it is about to end.
    if task is not asyncio.current_task():
        task.cancel()
