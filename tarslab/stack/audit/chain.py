"""The audit chain: each record's MAC covers the record and the MAC before it.

Who cannot make MACs cannot change, remove, add or reorder records without a trace. The end of the
chain is held by checkpoints, which are signed and also kept outside of Redis (``checkpoints``).
"""

import hmac
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tarslab.stack.security.sealing import derive

SCHEMA = 1
START = "0" * 64
_TEXTS = ("actor", "action", "target", "result", "request_id", "address", "mode")
_MEMBERS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(_TEXTS, str),
    **{"seq": int, "schema": int, "time": (int, float), "queued": bool, "detail": dict},
}
_HEAD = re.compile(r"(?P<seq>[0-9]{1,15}):(?P<mac>[0-9a-f]{64})", re.ASCII)


class Event(NamedTuple):
    """Something that was done, or tried."""

    time: float
    actor: str
    action: str
    target: str
    result: str
    """``ok``, ``denied`` (not allowed), ``failed`` (tried, not right), ``refused`` (Redis out)."""
    request_id: str = ""
    address: str = ""
    mode: str = "normal"
    queued: bool = False
    """Whether it waited on disk while Redis was out."""
    detail: Mapping[str, Any] = {}


class Head(NamedTuple):
    """The end of the chain."""

    seq: int
    mac: str

    def dump(self) -> str:
        """As it is kept in Redis."""
        return f"{self.seq}:{self.mac}"

    @classmethod
    def parse(cls, text: str | None) -> "Head":
        """From Redis; the start of the chain where there is none. Unreadable, where it is none."""
        if text is None:
            return cls(0, START)
        found = _HEAD.fullmatch(text)
        if found is None:
            raise Unreadable
        return cls(int(found["seq"]), found["mac"])


class Unreadable(ValueError):
    """Kept, but not a record, or not the end of the chain."""


class Flaw(NamedTuple):
    """The first record that is not as it was written."""

    seq: int
    reason: str


class Chain:
    """Makes and proves records with a key that is derived from the services' secret."""

    def __init__(self, secret: str) -> None:
        self._key = derive(secret, "audit")

    def append(self, head: Head, event: Event) -> tuple[str, Head]:
        """The record of an event as it is kept, and the new end."""
        # Two processes may say the same at the same time; a commit is known by its first record.
        nonce = os.urandom(8).hex()
        record = {"seq": head.seq + 1, "schema": SCHEMA, "nonce": nonce, **event._asdict()}
        body = json.dumps(record, sort_keys=True, separators=(",", ":"))
        mac = self.mac(head.mac, body)
        return f"{mac} {body}", Head(head.seq + 1, mac)

    def mac(self, previous: str, body: str) -> str:
        """HMAC-SHA256 over the MAC before and the body."""
        return hmac.digest(self._key, f"{previous}\n{body}".encode(), "sha256").hex()

    def follow(self, start: Head, records: Iterable[str]) -> tuple[Head, Flaw | None]:
        """Prove records that come after ``start``: the end reached, and the first flaw."""
        head = start
        for kept in records:
            due = head.seq + 1
            mac, _, body = kept.partition(" ")
            if not hmac.compare_digest(mac.encode(), self.mac(head.mac, body).encode()):
                return head, Flaw(due, self._what_is_wrong(kept, due))
            record = json.loads(body)
            if record["seq"] != due or record["schema"] != SCHEMA:
                return head, Flaw(due, f"numbered {record['seq']}, schema {record['schema']}")
            head = Head(due, mac)
        return head, None

    def _what_is_wrong(self, kept: str, due: int) -> str:
        try:
            seq = read(kept)["seq"]
        except Unreadable:
            return "is not a record"
        if seq != due:
            return f"missing or moved: record {seq} stands in its place"
        return "changed, or follows a record that was"


def read(kept: str) -> dict[str, Any]:
    """A kept record's members, and its MAC, unproven; Unreadable where it is none."""
    mac, _, body = kept.partition(" ")
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable from None
    if not isinstance(record, dict) or any(
        not isinstance(record.get(name), kind) for name, kind in _MEMBERS.items()
    ):
        raise Unreadable
    return {**record, "mac": mac}
