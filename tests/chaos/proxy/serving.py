"""A proxy process, driven by HTTP as Toxiproxy's documentation says, and a server behind it."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

LIMIT = 30.0
Serve = Callable[[socket.socket], None]


class Answer(NamedTuple):
    """Of the HTTP API."""

    status: int
    body: Any


class Proxy:
    """The process of ``python -m tarslab.chaos.proxy``."""

    def __init__(self, config: Path | None = None) -> None:
        self.port = free_port()
        more = [] if config is None else ["--config", str(config)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tarslab.chaos.proxy", "--port", str(self.port), *more],
            stderr=subprocess.PIPE,
        )
        self._wait()

    @property
    def url(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, content: object = None, **headers: str) -> Answer:
        """What its API answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            return Answer(answer.status, json.loads(text) if is_json else text.decode())
        finally:
            connection.close()

    def create(self, upstream: int, name: str = "echo") -> int:
        """A proxy before a port; the port that it listens at."""
        made = self.ask("POST", "/proxies", {"name": name, "upstream": f"127.0.0.1:{upstream}"})
        assert made.status == 201
        return int(made.body["listen"].rpartition(":")[2])

    def toxic(self, kind: str, *, of: str = "echo", **more: Any) -> Any:
        """Put a toxic there. more: its attributes, and ``name``, ``stream``, ``toxicity``."""
        own: dict[str, Any] = {"type": kind, "attributes": more}
        own |= {key: more.pop(key) for key in ("name", "stream", "toxicity") if key in more}
        added = self.ask("POST", f"/proxies/{of}/toxics", own)
        assert added.status == 200, added
        return added.body

    def untoxic(self, name: str, *, of: str = "echo") -> None:
        """Take a toxic off."""
        assert self.ask("DELETE", f"/proxies/{of}/toxics/{name}").status == 204

    def end(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.communicate()

    def _wait(self) -> None:
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), LIMIT).close()
                return
            except ConnectionRefusedError:
                assert self.process.poll() is None


class Server:
    """Serves each connection in a thread of its own."""

    def __init__(self, serve: Serve) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._serve = serve
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        """Accept nobody any more, and wait for those that are served."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join(LIMIT)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._served, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _served(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(LIMIT)
            # The proxy may reset it.
            with suppress(OSError):
                self._serve(connection)


def echo(connection: socket.socket) -> None:
    """Send back what comes, until it ends."""
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def connect(port: int) -> socket.socket:
    """A connection to a port of loopback."""
    return socket.create_connection(("127.0.0.1", port), LIMIT)


def receive(connection: socket.socket, size: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, f"ended after {len(data)} of {size} bytes"
        data += part
    return data


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
