"""What an engine and the process that started it tell each other: length and MessagePack."""

import struct
from typing import IO, Any

import msgspec
from msgspec import Struct

from tarslab.chaos.load.recording import Batch

LENGTH = struct.Struct("<I")


class Plan(Struct, frozen=True, tag=True):
    """What an engine is to do; credentials are in its environment."""

    options: dict[str, Any]
    """Of the load test, scaled already."""
    target: str
    flows: bytes
    """A mapping of names to functions, by cloudpickle."""
    imports: list[str]
    """Folders that flows may import from."""
    shard: int
    shards: int
    raw: bool


class Start(Struct, frozen=True, tag=True):
    """Begin at that moment of ``time.monotonic``, which all processes of a machine share."""

    at: float


class Ready(Struct, frozen=True, tag=True):
    """The engine waits for its start."""


class Points(Struct, frozen=True, tag=True):
    """Single requests, as columns; moments in seconds from the start."""

    due: list[float]
    sent: list[float]
    done: list[float]
    scenario: list[str]
    name: list[str]
    method: list[str]
    status: list[int]
    error: list[str]


class Measured(Struct, frozen=True, tag=True):
    """What came since the last one."""

    batch: Batch
    points: Points
    cpu: float
    """Seconds of processor that the engine has used since the start."""
    elapsed: float
    """Seconds since the start."""


class Ended(Struct, frozen=True, tag=True):
    """The last word."""

    unfinished: int
    """Iterations that were broken off."""


class Failed(Struct, frozen=True, tag=True):
    """The last word, of an engine that cannot go on."""

    why: str


Message = Plan | Start | Ready | Measured | Ended | Failed

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def frame(message: Message) -> bytes:
    """As bytes."""
    body = _ENCODER.encode(message)
    return LENGTH.pack(len(body)) + body


def receive(stream: IO[bytes]) -> Message | None:
    """The next one, or None where the other end is gone."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = stream.read(length)
    return _DECODER.decode(body) if len(body) == length else None
