"""Signed ends of the audit chain, kept in Redis and in a file beside it.

A chain proves what is in it, and not that its end was not cut off. A checkpoint says how far the
chain once went; the file is out of reach of whoever can only write to Redis. Records after the last
checkpoint are held by the memory of the service until it signs the next, a second later at most.
"""

import json
import os
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tarslab.stack.audit.chain import Head
from tarslab.stack.security.sealing import derive

NAME = "audit-checkpoints.jsonl"
KEPT = 1000
"""The latest that are looked at: the last one speaks for all records before it."""


class Checkpoint(NamedTuple):
    """The chain went up to ``seq`` with this MAC, said at ``time``."""

    seq: int
    mac: str
    time: float
    signature: str
    """Ed25519 over the members before, in hexadecimal."""

    @property
    def head(self) -> Head:
        """The end of the chain that it tells of."""
        return Head(self.seq, self.mac)

    def dump(self) -> str:
        """As a line of JSON."""
        return json.dumps(self._asdict())


class Checkpoints:
    """Signs checkpoints, and keeps them in a file."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._path = folder / NAME
        self._key = Ed25519PrivateKey.from_private_bytes(derive(secret, "audit-checkpoints"))
        self.kept = deque(
            (point for point in _read(self._path) if self.is_signed(point)), maxlen=KEPT
        )
        """The latest of the file that are rightly signed, oldest first."""

    @property
    def public_key(self) -> str:
        """Of the signatures: Ed25519, in hexadecimal."""
        return self._public.public_bytes_raw().hex()

    def sign(self, head: Head, time: float) -> Checkpoint:
        """A checkpoint of the chain's present end, which is in the file when this returns."""
        point = Checkpoint(head.seq, head.mac, time, "")
        point = point._replace(signature=self._key.sign(_message(point)).hex())
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, (point.dump() + "\n").encode())
        finally:
            os.close(descriptor)
        self.kept.append(point)
        return point

    def is_signed(self, point: Checkpoint) -> bool:
        """Whether the signature is this service's."""
        try:
            self._public.verify(bytes.fromhex(point.signature), _message(point))
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    @property
    def _public(self) -> Ed25519PublicKey:
        return self._key.public_key()


def parse(lines: Iterable[str]) -> Sequence[Checkpoint]:
    """Checkpoints from lines of JSON; a line that is none is left out."""
    found = []
    for line in lines:
        try:
            found.append(Checkpoint(**json.loads(line)))
        except (ValueError, TypeError, RecursionError):
            continue
    return found


def _read(path: Path) -> Sequence[Checkpoint]:
    if not path.exists():
        return []
    text = path.read_text(errors="replace")
    if not text.endswith("\n"):
        # Cut off by a crash: the next line must not be joined to it.
        with path.open("a") as file:
            file.write("\n")
    return parse(text.splitlines()[-KEPT:])


def _message(point: Checkpoint) -> bytes:
    return f"tarslab audit checkpoint\n{point.seq}\n{point.mac}\n{point.time!r}".encode()
