"""A small server that load is put on."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Server:
    """The process of ``server.py``."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def ask(self, path: str) -> Any:
        """The answer at a path."""
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def seen(self) -> list[list[str]]:
        """Method, path, authorization and body of each request since ``forget``."""
        return [list(request) for request in self.ask("/seen")]

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One that all tests of a worker share: they leave it running."""
    shared = Server()
    yield shared
    shared.end()


@pytest.fixture
def own_server() -> Iterator[Server]:
    """One for a test that stops it."""
    own = Server()
    yield own
    own.end()
