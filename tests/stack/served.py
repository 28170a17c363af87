"""Orchestration served in this process: real HTTP, a real Valkey, and a clock that tests move."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
import uvloop
from redis import Redis
from redis.exceptions import ConnectionError

from tarslab.stack.clock import Clock
from tarslab.stack.orchestration.core import Core
from tarslab.stack.settings import Settings
from tarslab.stack.valkey import binary, config
from tests.stack.waiting import LIMIT, wait_until

T = TypeVar("T")

PASSWORD = "correct horse battery staple"
SECRET = "the services' secret of the tests"
SIGNING_SECRET = "orchestration's secret of the tests"


class Valkey:
    """A server at a Unix socket, so that no port is raced for."""

    def __init__(self) -> None:
        # Paths of sockets must be short.
        self._folder = tempfile.TemporaryDirectory(prefix="valkey-")
        folder = Path(self._folder.name)
        self.socket = str(folder / "socket")
        self.url = f"unix://{self.socket}"
        self._config = folder / "valkey.conf"
        self._config.write_text(config(folder, socket=self.socket))
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = Redis.from_url(self.url, decode_responses=True)
        """What tests look at, and change behind the services' backs."""

    def start(self) -> None:
        """Start it, with what it held; it answers when this returns."""
        self._process = subprocess.Popen(
            [str(binary()), str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"LC_ALL": "C"},
        )
        wait_until(self._answers)

    def stop(self) -> None:
        """SIGTERM."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def copy(self) -> Path:
        """What it holds, as ``hold`` takes it."""
        folder = Path(self._folder.name)
        return Path(shutil.copytree(folder / "appendonlydir", folder / uuid.uuid4().hex))

    def hold(self, copy: Path | None) -> None:
        """While it is down: have it hold what it did, or nothing."""
        held = Path(self._folder.name) / "appendonlydir"
        shutil.rmtree(held)
        if copy is not None:
            shutil.copytree(copy, held)

    def hang(self) -> None:
        """SIGSTOP: connections stay, answers do not come."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, and remove what it held."""
        self.client.close()
        self.kill()
        self._folder.cleanup()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except ConnectionError:
            return False


class Served:
    """A service at ``url``, and a client of it; orchestration's is signed in as admin."""

    def __init__(self, settings: Settings, service: str = "orchestration") -> None:
        self.settings = settings
        self.service = service
        self.clock = Clock(settings.clock)
        self.core: Core
        """The service's own context: its secrets, its keys, its store."""
        self._token: tuple[str, float] | None = None
        self.start()

    def start(self) -> None:
        """Serve, at a new address."""
        app = import_module(f"tarslab.stack.{self.service}").make(self.settings)
        self.core = app.state.context
        options = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, proxy_headers=False
        )
        self._server = uvicorn.Server(options)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=LIMIT)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive())
        assert self._server.started

    def stop(self) -> None:
        """Stop serving, as at SIGTERM."""
        self.client.close()
        self._server.should_exit = True
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        self._listening.close()

    def restart(self) -> None:
        """Stop, and serve with the same settings and data."""
        self.stop()
        self.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something on the service's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)

    def login(self, username: str = "admin", password: str = PASSWORD) -> dict[str, Any]:
        """What signing in answers."""
        body = {"username": username, "password": password}
        answer = self.client.post("/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def sign_in_again(self) -> None:
        """Have the next request as admin made with a new token."""
        self._token = None

    def user(self, username: str, role: str) -> str:
        """The access token of a new user."""
        body = {"username": username, "password": PASSWORD, "role": role}
        answer = self.ask("POST", "/users", json=body)
        assert answer.status_code == 201, answer.text
        return str(self.login(username)["access_token"])

    def ask(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> httpx.Response:
        """A request with this access token or API key; by default as admin."""
        token = self._admin() if token is None else token
        name = "X-API-Key" if token.startswith("tars_") else "Authorization"
        value = token if token.startswith("tars_") else f"Bearer {token}"
        headers = {name: value, **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, **params: Any) -> Any:
        """What an admin's GET answers."""
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        """What an admin's POST answers."""
        answer = self.ask("POST", path, json=body, params=params)
        assert answer.is_success, answer.text
        return answer.json()

    def wait_for(self, mode: str) -> None:
        """Wait until the service is in a mode."""
        wait_until(lambda: self.client.get("/health/live").headers["x-mode"] == mode)

    def forget_token(self) -> None:
        """Sign in anew as admin before the next request."""
        self._token = None

    def _admin(self) -> str:
        if self._token is None or self.clock.now() >= self._token[1]:
            tokens = self.login()
            self._token = tokens["access_token"], self.clock.now() + tokens["expires_in"] - 5
        return self._token[0]

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self._loop = runner.get_loop()
            runner.run(self._server.serve(sockets=[self._listening]))


def freeze(patch: pytest.MonkeyPatch) -> None:
    """Have the time stand still, but for what a clock is advanced."""
    moment = time.time()
    patch.setattr(Clock, "now", lambda clock: moment + clock.ahead)


def settings_of(folder: Path, redis_url: str, **others: Any) -> Settings:
    """Settings with cheap passwords, and all that a service keeps in ``folder``.

    A Redis that is late because the machine is busy is not out.
    """
    folder.mkdir(exist_ok=True)
    cheap = {"argon2_memory_kib": 8, "argon2_iterations": 1, "redis_timeout": 5.0}
    secrets = {"secret": SECRET, "signing_secret": SIGNING_SECRET, "admin_password": PASSWORD}
    own = {"redis_url": redis_url, "data": folder, "clock": folder / "clock"}
    return Settings.model_validate({**own, **secrets, **cheap, **others})
