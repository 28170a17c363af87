"""Audit events that wait on disk while Redis is out, and are replayed in order, each once."""

import hmac
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from tarslab.stack.audit.chain import Event
from tarslab.stack.security.sealing import derive

NAME = "audit-queue"


class Queue:
    """A file of events, a line each under a MAC, numbered from 1; a new file for each outage.

    What was replayed of a file is known by its name and a number, which are kept in Redis in one
    step with the records (``Store.replay``): so a crash between the two loses nothing and doubles
    nothing.
    """

    def __init__(self, folder: Path, secret: str) -> None:
        self._folder = folder
        self._key = derive(secret, "audit-queue")
        self.damaged = 0
        """Lines of the file that are gone, or could not be proven when it was read."""
        left = sorted(folder.glob(f"{NAME}-*.jsonl"))
        self._path = left[0] if left else self._new_path()
        self._last = 0
        self._waiting = self._read()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def name(self) -> str:
        """Of the file, for good."""
        return self._path.stem

    def put(self, event: Event) -> None:
        """Keep an event; it is on disk when this returns."""
        self._last += 1
        body = json.dumps([self._last, *event])
        line = f"{self._mac(body)} {body}\n".encode()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._waiting.append((self._last, event))

    def after(self, replayed: int) -> Sequence[tuple[int, Event]]:
        """The events that are numbered higher than what was replayed."""
        return [(number, event) for number, event in self._waiting if number > replayed]

    def forget(self, replayed: int) -> None:
        """Drop what was replayed; the file, too, once that is all of it."""
        self._waiting = [entry for entry in self._waiting if entry[0] > replayed]
        if not self._waiting:
            self._path.unlink(missing_ok=True)
            self._path, self._last = self._new_path(), 0

    def _new_path(self) -> Path:
        return self._folder / f"{NAME}-{uuid.uuid4().hex}.jsonl"

    def _read(self) -> list[tuple[int, Event]]:
        if not self._path.exists():
            return []
        found: list[tuple[int, Event]] = []
        text = self._path.read_text(errors="replace")
        if not text.endswith("\n"):
            # Cut off by a crash: the next line must not be joined to it.
            with self._path.open("a") as file:
                file.write("\n")
        lines = text.splitlines()
        for line in lines:
            mac, _, body = line.partition(" ")
            if hmac.compare_digest(mac.encode(), self._mac(body).encode()):
                number, *members = json.loads(body)
                if number > (found[-1][0] if found else 0):
                    found.append((number, Event(*members)))
                    continue
            self.damaged += 1
        highest = found[-1][0] if found else 0
        self.damaged = max(self.damaged, highest - len(found))
        # Beyond the numbers of what is damaged: they may be replayed already.
        self._last = max(highest, len(lines))
        return found

    def _mac(self, body: str) -> str:
        return hmac.digest(self._key, f"{self.name}\n{body}".encode(), "sha256").hex()
