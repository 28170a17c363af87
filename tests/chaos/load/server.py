"""A small HTTP server for tests of load, in a process of its own: ``python server.py``.

It says its port, and answers by the path: ``/status/503``, ``/slow/0.2`` (seconds), ``/lost`` (the
connection is closed), ``/reset`` (it is reset), ``/seen`` (the requests so far), ``/forget``,
tokens at ``/auth/login`` and ``/auth/refresh``, and ``{}`` elsewhere.
"""

import asyncio
import json
import socket
import struct
import sys

SEEN: list[list[str]] = []
TOKENS = {"access_token": "a-token", "refresh_token": "r-token", "expires_in": 240}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            method, path, _ = lines[0].split(" ")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            status, answer = await answered(method, path, headers, body)
            if not status:
                if path == "/reset":
                    _reset_when_closed(writer)
                break
            content = json.dumps(answer).encode()
            writer.write(
                f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(content)}\r\n\r\n".encode()
                + content
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def answered(
    method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, object]:
    """Status and body."""
    _, first, *rest = path.split("/")
    if first == "seen":
        return 200, SEEN
    if first == "forget":
        SEEN.clear()
        return 200, {}
    SEEN.append([method, path, headers.get("authorization", ""), body.decode()])
    if first == "status":
        return int(rest[0]), {}
    if first == "slow":
        await asyncio.sleep(float(rest[0]))
    if first in ("lost", "reset"):
        return 0, {}
    return 200, TOKENS if path in ("/auth/login", "/auth/refresh") else {}


def _reset_when_closed(writer: asyncio.StreamWriter) -> None:
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)


async def main() -> None:
    """Serve until the process is ended, or its standard input is."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
