"""``python -m tarslab.stack.kubernetes.redis``: the embedded server as the process of a container.

With ``ping``, it says by its exit code whether the server answers.
"""

import fcntl
import os
import socket
import sys
import tempfile
from pathlib import Path

from tarslab.stack import valkey

FOLDER = Path("/data")
STANDARD = 6379
PASSWORD, PORT = "REDIS_PASSWORD", "REDIS_PORT"
# Seconds that an answer may take: less than the probe's.
ANSWER = 2.0


def main() -> None:
    """Become the server, or ask it."""
    password, port = os.environ[PASSWORD], int(os.environ.get(PORT, STANDARD))
    if sys.argv[1:] == ["ping"]:
        sys.exit(not answers(password, port))
    serve(FOLDER, port, password)


def serve(folder: Path, port: int, password: str) -> None:
    """Become the server; first wait until no other one is at work in the folder."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Held by the server for as long as it lives: two would spoil each other's file.
    os.set_inheritable(lock, True)
    descriptor, config = tempfile.mkstemp(suffix=".conf")
    with open(descriptor, "w") as file:
        file.write(valkey.config(folder, password, port=port))
        # For those in other pods; a later line holds.
        file.write("bind * -::*\n")
    binary = str(valkey.binary())
    # It ends at a locale that the container does not have.
    environment = {name: value for name, value in os.environ.items() if name != PASSWORD}
    os.execve(binary, [binary, config], environment | {"LC_ALL": "C"})


def answers(password: str, port: int = STANDARD) -> bool:
    """Whether the server answers a PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), ANSWER) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            said = b""
            while part := connection.recv(4096):
                said += part
    except OSError:
        return False
    return b"+PONG" in said


if __name__ == "__main__":
    main()
