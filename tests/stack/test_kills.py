"""Orchestration is killed while it writes: what it acknowledged is there, once, and proven."""

import itertools
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tarslab.stack.clock import Clock
from tarslab.stack.security.scopes import Scope
from tests.stack.served import PASSWORD, SECRET, SIGNING_SECRET, Valkey
from tests.stack.waiting import LIMIT, wait_until

WRITES = 500
WRITERS = 4
KILLS = 4


class Killed:
    """Orchestration in a process of its own, at a socket that outlives it."""

    def __init__(self, valkey: Valkey, folder: Path) -> None:
        self.clock = Clock(folder / "clock")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        own = {
            "REDIS_URL": valkey.url,
            "SECRET": SECRET,
            "SIGNING_SECRET": SIGNING_SECRET,
            "ADMIN_PASSWORD": PASSWORD,
            "DATA": str(folder / "data"),
            "CLOCK": str(folder / "clock"),
            "FD": str(self._listening.fileno()),
            "REDIS_TIMEOUT": "5",
            "REQUESTS_PER_SECOND": "100000",
            # A key may sign as soon as it is published.
            "JWKS_CACHE_SECONDS": "0",
            "ARGON2_MEMORY_KIB": "8",
            "ARGON2_ITERATIONS": "1",
        }
        self._environment = os.environ | {f"TARSLAB_STACK_{name}": own[name] for name in own}
        self._log = (folder / "log").open("ab")
        self._start()

    def kill(self) -> None:
        """SIGKILL, and start it again: connections that come meanwhile wait for it."""
        self._process.kill()
        self._process.wait()
        self._start()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._listening.close()
        self._log.close()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tarslab.stack.service", "orchestration"],
            env=self._environment,
            pass_fds=[self._listening.fileno()],
            stderr=self._log,
        )


@dataclass
class Attempts:
    """One thing that a writer wants done: the requests that it took, and the answer."""

    action: str
    requests: list[str] = field(default_factory=list)
    answer: Any = None
    status: int = 0


class Writer(threading.Thread):
    """Creates and revokes API keys, promotes its own agent and rotates signing keys."""

    def __init__(self, service: Killed, agent: str, key: str, seed: int, share: "Share") -> None:
        super().__init__()
        self._service, self._agent, self._share = service, agent, share
        self._random = random.Random(seed)
        self._client = httpx.Client(
            base_url=service.url, headers={"X-API-Key": key}, timeout=LIMIT, trust_env=False
        )
        self.done: list[Attempts] = []
        self.created: dict[str, str] = {}
        self.revoked: set[str] = set()
        self.promoted: list[int] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Write until there have been enough of all writers."""
        try:
            with self._client:
                while self._share.more():
                    self._write()
        except BaseException as error:
            self.failure = error

    def _write(self) -> None:
        match self._random.choices(["create", "revoke", "promote", "rotate"], [5, 3, 3, 1])[0]:
            case "revoke" if self.created.keys() - self.revoked:
                kid = self._random.choice(sorted(self.created.keys() - self.revoked))
                self._until_acknowledged("api_keys.revoke", "DELETE", f"/api-keys/{kid}")
                self.revoked.add(kid)
            case "promote":
                version = self._random.randint(1, 5)
                path = f"/agents/{self._agent}/promote"
                self._once("agents.promote", path, {"version": version})
            case "rotate":
                self._share.advance(self._service.clock)
                self._once("jwt.rotate", "/jwt/rotate", None)
            case _:
                body = {"name": uuid.uuid4().hex, "scopes": ["agents:read"]}
                made = self._until_acknowledged("api_keys.create", "POST", "/api-keys", body)
                self.created[made["id"]] = made["key"]

    def _until_acknowledged(self, action: str, method: str, path: str, body: Any = None) -> Any:
        """Ask again and again, as clients do who have an idempotency key."""
        attempts, same = Attempts(action), uuid.uuid4().hex
        self.done.append(attempts)
        deadline = time.monotonic() + LIMIT
        while not attempts.status:
            assert time.monotonic() < deadline
            headers = {"Idempotency-Key": same} if method == "POST" else {}
            self._try(attempts, method, path, body, headers)
        assert attempts.status in (201, 204), attempts
        return attempts.answer

    def _once(self, action: str, path: str, body: Any) -> None:
        """Ask once; where the answer is lost, nobody knows."""
        attempts = Attempts(action)
        self.done.append(attempts)
        self._try(attempts, "POST", path, body, {})
        # 409: promoted already, or rotated by another writer a moment ago.
        assert attempts.status in (0, 200, 409), attempts

    def _try(
        self, attempts: Attempts, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> None:
        attempts.requests.append(uuid.uuid4().hex)
        headers = {**headers, "X-Request-ID": attempts.requests[-1]}
        self._share.sent()
        try:
            answer = self._client.request(method, path, json=body, headers=headers)
        except httpx.TransportError:
            return
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        if answer.status_code != 503:
            attempts.status = answer.status_code
            attempts.answer = answer.json() if answer.content else None
        if answer.is_success:
            self._share.acknowledged()


class Share:
    """How many writes there were, and when it is time to kill."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._sent = itertools.count(1)
        self._random = random.Random(seed)
        self._kills = sorted(self._random.sample(range(20, WRITES), KILLS))
        self._done = 0
        self.due = threading.Semaphore(0)

    def more(self) -> bool:
        """Whether there is more to write."""
        return self._done < WRITES

    def sent(self) -> None:
        """A request goes off: perhaps it is one of those at which to kill."""
        with self._lock:
            if next(self._sent) in self._kills:
                self.due.release()

    def advance(self, clock: Clock) -> None:
        """Let time go by, but never back.

        By less than the window of a rate limit, which would take a request that was begun before
        for one of many in the future.
        """
        with self._lock:
            clock.advance(0.05)

    def acknowledged(self) -> None:
        """A write was answered well."""
        with self._lock:
            self._done += 1


@contextmanager
def killed(valkey: Valkey, folder: Path) -> Iterator[Killed]:
    """The service, which is ended at last."""
    service = Killed(valkey, folder)
    try:
        yield service
    finally:
        service.close()


@pytest.mark.parametrize("seed", [7])
def test_what_was_acknowledged_outlives_kills_and_is_there_once(
    own_valkey: Valkey, tmp_path: Path, seed: int
):
    with killed(own_valkey, tmp_path) as service:
        client = httpx.Client(base_url=service.url, timeout=LIMIT, trust_env=False)
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        signed_in = client.post("/auth/login", json={"username": "admin", "password": PASSWORD})
        bearer = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        ask = {"name": "of the writers", "scopes": [scope.value for scope in Scope]}
        own = client.post("/api-keys", json=ask, headers=bearer).json()
        client.headers["X-API-Key"] = own["key"]

        share, moments = Share(seed), random.Random(seed)
        agents = ["a2c", "ddpg", "dqn", "ppo"]
        writers = [
            Writer(service, agents[number], own["key"], seed + number, share)
            for number in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        for _ in range(KILLS):
            assert share.due.acquire(timeout=LIMIT)
            # Somewhere in a request: these take some milliseconds.
            time.sleep(moments.uniform(0.0, 0.01))
            service.kill()
        for writer in writers:
            writer.join(LIMIT)
            assert writer.failure is None, writer.failure
            assert not writer.is_alive()

        everything = list(pages(client, "/audit", limit=200))
        verified = client.get("/audit/verify").json()
        kept = {key["id"]: key for key in pages(client, "/api-keys", limit=200)}
        states = {agent["id"]: agent for agent in pages(client, "/agents")}
        ring = client.get("/jwt/status").json()["keys"]
        good = {
            key: client.get("/auth/me", headers={"X-API-Key": key}).status_code
            for writer in writers
            for key in writer.created.values()
        }
        client.close()

    assert verified["valid"], verified
    assert verified["records"] == len(everything)
    recorded = Counter(
        (record["request_id"], record["action"])
        for record in everything
        if record["result"] == "ok"
    )
    unanswered = 0
    for attempts in (one for writer in writers for one in writer.done):
        times = sum(recorded[request, attempts.action] for request in attempts.requests)
        if attempts.action == "api_keys.revoke":
            # Revoked again, it is recorded again.
            assert 1 <= times <= len(attempts.requests), attempts
        elif attempts.status in (200, 201):
            assert times == 1, attempts
        elif attempts.status == 409:
            assert times == 0, attempts
        else:
            assert times <= 1, attempts
            unanswered += 1
    # Else nothing was cut off, and nothing was shown.
    assert unanswered + sum(len(one.requests) - 1 for writer in writers for one in writer.done) > 0

    created = {kid: key for writer in writers for kid, key in writer.created.items()}
    revoked = set().union(*(writer.revoked for writer in writers))
    assert kept.keys() == {own["id"], *created}
    assert len({key["name"] for key in kept.values()}) == len(kept)
    for kid, key in created.items():
        assert kept[kid]["state"] == ("revoked" if kid in revoked else "active")
        assert good[key] == (401 if kid in revoked else 200)

    for agent, state in states.items():
        promoted = [
            (record["detail"]["previous"], record["detail"]["version"])
            for record in reversed(everything)
            if record["action"] == "agents.promote" and record["target"] == f"agents/{agent}"
        ]
        shown = [(one["previous"], one["version"]) for one in state["promotions"]]
        assert shown == [(None, 1), *promoted]
    rotations = sum(record["action"] == "jwt.rotate" for record in everything)
    assert len(ring) == rotations + 2
    done = sum(one.status in (200, 201, 204) for writer in writers for one in writer.done)
    assert done >= WRITES


def pages(client: httpx.Client, path: str, **params: Any) -> Iterator[Any]:
    """All items of a list."""
    cursor: dict[str, str] = {}
    while True:
        page = client.get(path, params={**params, **cursor}).json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}
