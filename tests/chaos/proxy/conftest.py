"""A proxy process for the tests of a worker, and servers behind it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.chaos.proxy.serving import Proxy, Serve, Server, echo

ServeIt = Callable[[Serve], int]


@pytest.fixture(scope="session")
def shared_proxy() -> Iterator[Proxy]:
    """The process of ``proxy``."""
    shared = Proxy()
    yield shared
    shared.end()


@pytest.fixture
def proxy(shared_proxy: Proxy) -> Iterator[Proxy]:
    """A proxy process without proxies."""
    yield shared_proxy
    for name in shared_proxy.ask("GET", "/proxies").body:
        shared_proxy.ask("DELETE", f"/proxies/{name}")


@pytest.fixture
def serve() -> Iterator[ServeIt]:
    """Serves connections by a function; the port."""
    with ExitStack() as held:

        def begin(work: Serve) -> int:
            server = Server(work)
            held.callback(server.close)
            return server.port

        yield begin


@pytest.fixture
def port(proxy: Proxy, serve: ServeIt) -> int:
    """The port of a proxy before a server that sends back what comes."""
    return proxy.create(serve(echo))
