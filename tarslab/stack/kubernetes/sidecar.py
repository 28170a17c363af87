"""``python -m tarslab.stack.kubernetes.sidecar``: the proxy before the process of a pod.

``serve <service> <port> <behind>`` listens at a port of the pod, and passes on to the one behind.
``add <JSON>`` puts a toxic on it and ``remove <name> ...`` takes some off: for exec, since the
proxy's API is on loopback.
"""

import json
import sys
import tempfile
from pathlib import Path

CONTAINER = "proxy"
MODULE = "tarslab.stack.kubernetes.sidecar"
API = 8474


def main() -> None:
    """Serve, or ask the one that serves."""
    match sys.argv[1:]:
        case ["serve", service, port, behind]:
            serve(service, int(port), int(behind))
        case ["add", toxic]:
            add(toxic)
        case ["remove", *names]:
            remove(*names)


def serve(service: str, port: int, behind: int) -> None:
    """Serve until told to end."""
    from tarslab.chaos.proxy.__main__ import run

    proxy = {"name": service, "listen": f"0.0.0.0:{port}", "upstream": f"127.0.0.1:{behind}"}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "proxies.json"
        config.write_text(json.dumps([proxy]))
        run(API, config, in_pod=True)


def add(toxic: str) -> None:
    """Put a toxic on the proxy: the arguments of ``ProxyClient.add`` but for the first."""
    from tarslab.chaos.proxy.client import ProxyClient

    with ProxyClient(f"http://127.0.0.1:{API}") as client:
        (service,) = client.proxies()
        client.add(service, **json.loads(toxic))


def remove(*names: str) -> None:
    """Take toxics off, if they are there."""
    from tarslab.chaos.proxy.client import ProxyClient

    with ProxyClient(f"http://127.0.0.1:{API}") as client:
        (service,) = client.proxies()
        for name in names:
            client.remove(service, name)


if __name__ == "__main__":
    main()
