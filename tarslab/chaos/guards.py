"""What keeps a fault within bounds."""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tarslab.chaos.platforms import Unit
from tarslab.errors import BadArgument, TarslabError


class Refused(TarslabError, PermissionError):
    """A fault that the guard rails do not let through: nothing was touched."""


@dataclass(frozen=True)
class Guard:
    """What a fault may do at most."""

    max_units: int = 1
    """Of one service, at a time."""
    max_seconds: float = 300.0
    """After which it is undone, even if the run hangs."""
    dry_run: bool = False
    """Only print what would be touched."""

    def __post_init__(self) -> None:
        if self.max_units < 1:
            raise BadArgument(f"max_units must be at least 1, not {self.max_units!r}")
        if not 0 < self.max_seconds < float("inf"):
            raise BadArgument(f"max_seconds must be more than 0, not {self.max_seconds!r}")

    def check(self, units: Sequence[Unit], touched: Iterable[tuple[str, str]] = ()) -> None:
        """Refused where a service would have more units touched at a time than it may.

        touched: service and name of each unit that is under a fault already.
        """
        already = set(touched)
        for service in sorted({unit.service for unit in units}):
            names = {unit.name for unit in units if unit.service == service}
            names |= {name for of, name in already if of == service}
            if len(names) > self.max_units:
                raise Refused(
                    f"{len(names)} units of {service} would be touched ({', '.join(sorted(names))})"
                    f", and {self.max_units} may be: name max_units={len(names)} if you mean it"
                )


def check_cluster(context: str, namespace: str, allow: Iterable[str]) -> None:
    """Refused unless a cluster's context is allowed by name, and the namespace is not protected."""
    from tarslab.cluster import is_protected

    if context not in set(allow):
        raise Refused(
            f"the context {context!r} is not among those that faults are allowed in: name it by "
            f"allow=[{context!r}] if it may be broken"
        )
    if is_protected(namespace):
        raise Refused(
            f"the namespace {namespace!r} keeps the cluster going, and is protected: "
            "name that of your services"
        )


def check_host(url: str, allow: Iterable[str] = ()) -> None:
    """Refused unless a URL is of loopback, or its host (or ``host:port``) is allowed by name."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        raise BadArgument("the URL of a service must be such as http://127.0.0.1:8000")
    if not _is_loopback(host) and not {host, f"{host}:{port}"} & set(allow):
        raise Refused(f"{host} is another machine: name it by allow=[{host!r}] if you may probe it")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
