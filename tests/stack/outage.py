"""Orchestration, and a Redis that goes and comes back."""

import re
from pathlib import Path
from typing import Any

import httpx

from tests.stack.served import Served, Valkey

QUICK = {"redis_probe_seconds": 0.05}


class Outage:
    """Orchestration, and a Redis that goes and comes back."""

    def __init__(self, served: Served, valkey: Valkey) -> None:
        self.served = served
        self.valkey = valkey

    def begin(self) -> None:
        """Redis is killed, and the service knows."""
        self.valkey.kill()
        self.served.wait_for("legacy")

    def end(self) -> None:
        """Redis is there again, and the service knows."""
        self.valkey.start()
        self.served.wait_for("normal")

    def events(self, **filters: Any) -> list[dict[str, Any]]:
        """The audit log, from its first record on."""
        found: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            page = self.served.get("/audit", limit=200, **filters, **more)
            found += page["items"]
            if page["next_cursor"] is None:
                return found[::-1]
            more = {"cursor": page["next_cursor"]}

    def queue_file(self) -> Path:
        """Where audit events wait."""
        (path,) = Path(self.served.settings.data).glob("audit-queue*.jsonl")
        return path


def is_unavailable(answer: httpx.Response) -> None:
    """Check that a request was refused, to be tried again."""
    assert answer.status_code == 503, answer.text
    assert answer.json()["type"] == "urn:tarslab:problem:unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-mode"] == "legacy"


def metric(served: Served, name: str) -> float:
    """What the service tells Prometheus."""
    text = served.client.get("/metrics").text
    (value,) = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(value)
