"""Where load may be sent, and with which credentials."""

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from tarslab.chaos.load.errors import LoadFailed
from tarslab.errors import BadArgument

USERNAME, PASSWORD = "TARSLAB_USERNAME", "TARSLAB_PASSWORD"
# Seconds that a target may take to accept a connection before load is sent.
ACCEPT = 5.0
PORTS = {"http": 80, "https": 443}


class Stacked(Protocol):
    """What is known of a stack: ``tl.stack.up()`` gives one."""

    @property
    def url(self) -> str: ...
    @property
    def admin_password(self) -> str: ...


@dataclass(frozen=True)
class Target:
    """A deployment that load may be sent to."""

    url: str
    """Without a slash at its end."""
    environment: dict[str, str] = field(repr=False)
    """With the credentials: what the generator is started with."""

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), parts.port or PORTS[parts.scheme]

    def check_reachable(self) -> None:
        """LoadFailed where nobody accepts a connection."""
        try:
            socket.create_connection(self.address, ACCEPT).close()
        except OSError as error:
            raise LoadFailed(
                f"{self.url}: nobody accepts connections there ({error}); is the stack up?"
            ) from None


def resolve(target: "str | Stacked", allow: Iterable[str] = ()) -> Target:
    """A target from its URL, or from a stack, whose administrator the users are then.

    With a URL the users are said by ``TARSLAB_USERNAME`` and ``TARSLAB_PASSWORD``, unless
    ``TARSLAB_URL`` says that these are for another server.

    allow: hosts (``host`` or ``host:port``) beside those of loopback that load may be sent to.

    Raises:
        BadArgument: It is no URL of a deployment, or of a host that is not allowed.
    """
    environment = dict(os.environ)
    if isinstance(target, str):
        url = target
        of = environment.get("TARSLAB_URL")
        if of and _origin(of) != _origin(url):
            environment = {k: v for k, v in environment.items() if k not in (USERNAME, PASSWORD)}
    else:
        url = target.url
        environment |= {USERNAME: "admin", PASSWORD: target.admin_password}
    parts = _parts(url)
    host = str(parts.hostname)
    port = parts.port or PORTS[parts.scheme]
    allowed = {each.lower() for each in allow}
    if not _is_loopback(host) and not allowed & {host, f"{host}:{port}"}:
        raise BadArgument(
            f"target: load is sent to this machine only, and {host} is another; name it by "
            f"allow=[{host!r}] (--allow {host}) if you may load it"
        )
    return Target(url.rstrip("/"), environment)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        right = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment:
        raise BadArgument("target: must be a URL such as http://127.0.0.1:8000, or a stack")
    if "@" in parts.netloc:
        raise BadArgument(
            f"target: give credentials by {USERNAME} and {PASSWORD}, not within the URL"
        )
    return parts


def _origin(url: str) -> tuple[Any, ...]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return (url,)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
