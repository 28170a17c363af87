"""``python -m tarslab.stack.service <name>``: serve one service of the stack."""

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from importlib import import_module

import uvicorn
from fastapi import FastAPI

from tarslab.errors import TarslabError
from tarslab.stack.settings import Settings

SERVICES = ("orchestration", "automl", "hypersync")
# Less than the supervisor waits before it kills.
GRACEFUL_SECONDS = 4


def serve(name: str, settings: Settings) -> None:
    """Serve until SIGTERM, or until standard input ends where the service is tethered."""
    make: Callable[[Settings], FastAPI] = import_module(f"tarslab.stack.{name}").make
    listening = None if settings.fd is None else [socket.socket(fileno=settings.fd)]
    server = uvicorn.Server(
        uvicorn.Config(
            make(settings),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            # Who speaks to it from this machine must not choose the address that it is known by.
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
    )
    if settings.tether:
        threading.Thread(target=_end_with_input, args=[server], daemon=True).start()
    server.run(sockets=listening)


def _end_with_input(server: uvicorn.Server) -> None:
    while os.read(0, 1024):
        pass
    server.should_exit = True


def main() -> None:
    """Serve the service that is named on the command line."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in SERVICES:
        sys.exit(f"usage: python -m tarslab.stack.service {{{'|'.join(SERVICES)}}}")
    try:
        serve(name, Settings.from_environment())
    except TarslabError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
