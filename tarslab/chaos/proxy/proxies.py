"""The proxies: each listens at an address of loopback, and passes on to another one.

In a pod they listen at its own addresses, too.
"""

import asyncio
import ipaddress
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from tarslab.chaos.proxy.links import Connection, reset_peer
from tarslab.chaos.proxy.toxics import KINDS, STREAMS, Placed, Share, Stream

T = TypeVar("T")
BACKLOG = 512
LAST_PORT = 65_535


class Refused(Exception):
    """A request that cannot be done, with the status that HTTP has for it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Described(Struct):
    """A proxy as a request describes it."""

    name: str = ""
    listen: str = ""
    upstream: str = ""
    enabled: bool = True


class Proxy:
    """One proxy, with its toxics and connections."""

    def __init__(self, described: Described, *, in_pod: bool = False) -> None:
        self._in_pod = in_pod
        self.name = _required("name", described.name)
        self.listen = described.listen or "127.0.0.1:0"
        self.upstream = _required("upstream", described.upstream)
        self._check(self.listen, self.upstream)
        self.toxics: dict[str, Placed] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._opening: set[asyncio.Task[Any]] = set()

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def shown(self) -> dict[str, Any]:
        """As the HTTP API shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": self.in_order(),
        }

    def in_order(self) -> list[Placed]:
        """Its toxics, by direction and in the order in which they act."""
        return [toxic for stream in STREAMS for toxic in self._of(stream)]

    async def start(self) -> None:
        """Listen; Refused where the address is taken."""
        if self._server is None:
            host, port = _address(self.listen, beyond=self._in_pod)
            try:
                self._server = await asyncio.start_server(
                    self._accepted, host, port, backlog=BACKLOG
                )
            except OSError as error:
                raise Refused(f"listen tcp {self.listen}: {error.strerror}", 500) from None
            host, port = self._server.sockets[0].getsockname()[:2]
            self.listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def stop(self) -> None:
        """Do not listen, and drop every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._opening):
            task.cancel()
        for connection in list(self._connections):
            connection.close(reset=True)

    async def update(self, described: Described) -> None:
        """Listen there and pass on to there, or do not."""
        if (described.listen, described.upstream) != (self.listen, self.upstream):
            self._check(described.listen, described.upstream)
            self.stop()
            self.listen, self.upstream = described.listen, described.upstream
        if described.enabled:
            await self.start()
        else:
            self.stop()

    def toxic(self, name: str) -> Placed:
        """The toxic of this name; Refused where there is none."""
        if name not in self.toxics:
            raise Refused("toxic not found", 404)
        return self.toxics[name]

    def add(self, body: bytes) -> Placed:
        """Put a toxic at the end of its stream, also on connections that are open."""
        toxic = _decoded(body, _New).placed()
        if toxic.name in self.toxics:
            raise Refused("toxic already exists", 409)
        self.toxics[toxic.name] = toxic
        for connection in list(self._connections):
            connection.add(toxic)
        return toxic

    def change(self, name: str, body: bytes) -> Placed:
        """Give a toxic new attributes, and leave those that are not named."""
        toxic = self.toxic(name)
        new = _decoded(body, _Changed)
        attributes = msgspec.structs.asdict(toxic.attributes) | new.attributes
        toxic.attributes = _converted(attributes, KINDS[toxic.type])
        toxic.toxicity = toxic.toxicity if new.toxicity is None else new.toxicity
        for connection in list(self._connections):
            connection.update(toxic)
        return toxic

    def remove(self, name: str) -> None:
        """Take a toxic out."""
        toxic = self.toxic(name)
        del self.toxics[name]
        for connection in list(self._connections):
            connection.remove(toxic)

    def _check(self, listen: str, upstream: str) -> None:
        _address(listen, beyond=self._in_pod)
        _address(upstream)

    def _of(self, stream: Stream) -> list[Placed]:
        return [toxic for toxic in self.toxics.values() if toxic.stream == stream]

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._opening.add(task)
        try:
            upstream = await asyncio.open_connection(*_address(self.upstream))
        # Refused: by RST the client hears of it as it would without a proxy.
        except (OSError, asyncio.CancelledError):
            reset_peer(writer)
            return
        finally:
            self._opening.discard(task)
        connection = Connection(
            (reader, writer), upstream, self.toxics.values(), self._connections.discard
        )
        self._connections.add(connection)


class Proxies:
    """Every proxy of the process.

    in_pod: whether they may listen at other addresses than those of loopback.
    """

    def __init__(self, *, in_pod: bool = False) -> None:
        self._in_pod = in_pod
        self._proxies: dict[str, Proxy] = {}

    def all(self) -> list[Proxy]:
        """Each of them."""
        return list(self._proxies.values())

    def named(self, name: str) -> Proxy:
        """The proxy of this name; Refused where there is none."""
        if name not in self._proxies:
            raise Refused("proxy not found", 404)
        return self._proxies[name]

    async def create(self, body: bytes) -> Proxy:
        """A new proxy."""
        described = _decoded(body, Described)
        proxy = Proxy(described, in_pod=self._in_pod)
        if proxy.name in self._proxies:
            raise Refused("proxy already exists", 409)
        return await self._begin(proxy, described.enabled)

    async def populate(self, body: bytes) -> list[Proxy]:
        """Several, in place of those of the same names that listen or pass on to elsewhere."""
        asked = _decoded(body, list[Described])
        many = [(Proxy(one, in_pod=self._in_pod), one.enabled) for one in asked]
        made = []
        for proxy, enabled in many:
            there = self._proxies.get(proxy.name)
            if there and (there.listen, there.upstream) == (proxy.listen, proxy.upstream):
                made.append(there)
                continue
            if there:
                there.stop()
            made.append(await self._begin(proxy, enabled))
        return made

    async def update(self, name: str, body: bytes) -> Proxy:
        """Change where a proxy listens and passes on to, or whether it is enabled."""
        proxy = self.named(name)
        known = {"listen": proxy.listen, "upstream": proxy.upstream, "enabled": proxy.enabled}
        await proxy.update(_converted(known | _decoded(body, dict[str, Any]), Described))
        return proxy

    def delete(self, name: str) -> None:
        """Remove a proxy."""
        self.named(name).stop()
        del self._proxies[name]

    async def reset(self) -> None:
        """Enable each, and remove every toxic."""
        for proxy in self.all():
            await proxy.start()
            for name in list(proxy.toxics):
                proxy.remove(name)

    async def _begin(self, proxy: Proxy, enabled: bool) -> Proxy:
        if enabled:
            await proxy.start()
        self._proxies[proxy.name] = proxy
        return proxy


class _New(Struct):
    """A toxic as a request describes it."""

    type: str = ""
    name: str = ""
    stream: str = "downstream"
    toxicity: Share = 1.0
    attributes: dict[str, Any] = {}

    def placed(self) -> Placed:
        stream = next((one for one in STREAMS if one == self.stream), None)
        if stream is None:
            raise Refused("stream was invalid, can be either upstream or downstream", 400)
        if self.type not in KINDS:
            raise Refused("invalid toxic type", 400)
        attributes = _converted(self.attributes, KINDS[self.type])
        name = self.name or f"{self.type}_{stream}"
        return Placed(attributes, name, self.type, stream, self.toxicity)


class _Changed(Struct):
    toxicity: Share | None = None
    attributes: dict[str, Any] = {}


def _decoded(body: bytes, of: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=of)
    except msgspec.DecodeError as error:
        raise Refused(f"bad request body: {error}", 400) from None


def _converted(values: object, to: type[T]) -> T:
    try:
        return msgspec.convert(values, to)
    except msgspec.ValidationError as error:
        raise Refused(f"bad request body: {error}", 400) from None


def _required(field: str, value: str) -> str:
    if not value:
        raise Refused(f"missing required field: {field}", 400)
    return value


def _address(text: str, *, beyond: bool = False) -> tuple[str, int]:
    """Host and port; Refused unless it is of loopback: nobody else's traffic is touched here.

    beyond: it may be another address, or all of them.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdecimal() or int(port) > LAST_PORT:
        raise Refused(f"bad address {text!r}: must be such as 127.0.0.1:6379", 400)
    if host == "localhost":
        return "127.0.0.1", int(port)
    try:
        ours = ipaddress.ip_address(host).is_loopback or beyond
    except ValueError:
        ours = False
    if not ours:
        raise Refused(f"bad address {text!r}: this proxy serves addresses of loopback only", 400)
    return host, int(port)
