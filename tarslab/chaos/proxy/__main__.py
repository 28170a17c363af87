"""The proxy's process: ``python -m tarslab.chaos.proxy --port 8474 --config proxies.json``."""

import argparse
import asyncio
import resource
from pathlib import Path

import uvicorn
from uvloop import new_event_loop

from tarslab.chaos.proxy.api import application
from tarslab.chaos.proxy.proxies import Proxies

HOST = "127.0.0.1"


def main() -> None:
    """Serve the API on a port of loopback, and the proxies of a file, until told to end."""
    parser = argparse.ArgumentParser(prog="tarslab.chaos.proxy", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8474)
    parser.add_argument("--config", type=Path, help="a JSON list of proxies")
    asked = parser.parse_args()
    run(asked.port, asked.config)


def run(port: int, config: Path | None, *, in_pod: bool = False) -> None:
    """The same. in_pod: the proxies may listen at other addresses than those of loopback."""
    # Each connection takes two descriptors.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(port, config, in_pod=in_pod))


async def serve(port: int, config: Path | None, *, in_pod: bool = False) -> None:
    """Serve until told to end."""
    proxies = Proxies(in_pod=in_pod)
    if config is not None:
        await proxies.populate(config.read_bytes())
    server = uvicorn.Server(
        uvicorn.Config(
            application(proxies),
            host=HOST,
            port=port,
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
    )
    await server.serve()


if __name__ == "__main__":
    main()
