"""The HTTP API, as https://github.com/Shopify/toxiproxy#http-api says it is."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.proxy.conftest import ServeIt
from tests.chaos.proxy.serving import Proxy, connect, echo, receive

HERE = "127.0.0.1:1"


def test_a_client_can_tell_that_it_is_of_version_2(proxy: Proxy):
    answer = proxy.ask("GET", "/version")
    assert answer.status == 200
    assert answer.body["version"].startswith("2.")


def test_a_proxy_is_made_shown_and_deleted(proxy: Proxy):
    made = proxy.ask("POST", "/proxies", {"name": "redis", "upstream": HERE})
    assert made.status == 201
    listen = made.body["listen"]
    assert listen.startswith("127.0.0.1:")
    assert not listen.endswith(":0")
    shown = {"name": "redis", "listen": listen, "upstream": HERE, "enabled": True, "toxics": []}
    assert made.body == shown
    assert proxy.ask("GET", "/proxies/redis").body == shown
    assert proxy.ask("GET", "/proxies").body == {"redis": shown}
    assert proxy.ask("DELETE", "/proxies/redis") == (204, "")
    assert proxy.ask("GET", "/proxies").body == {}


def test_a_proxy_may_listen_at_loopback_of_version_6(proxy: Proxy, serve: ServeIt):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    asked = {"name": "six", "listen": "[::1]:0", "upstream": f"localhost:{serve(echo)}"}
    proxy.ask("POST", "/proxies", asked)
    for enabled in (False, True):
        shown = proxy.ask("PATCH", "/proxies/six", {"enabled": enabled}).body
    port = int(shown["listen"].removeprefix("[::1]:"))
    with socket.create_connection(("::1", port), 30) as connection:
        connection.sendall(b"x")
        assert receive(connection, 1) == b"x"


def test_a_proxy_may_be_made_disabled(proxy: Proxy):
    made = proxy.ask("POST", "/proxies", {"name": "off", "upstream": HERE, "enabled": False})
    assert made.body["enabled"] is False


def test_a_proxy_passes_on_to_a_new_upstream(proxy: Proxy, serve: ServeIt):
    port = proxy.create(1)
    upstream = f"127.0.0.1:{serve(echo)}"
    shown = proxy.ask("PATCH", "/proxies/echo", {"upstream": upstream}).body
    assert (shown["upstream"], shown["listen"]) == (upstream, f"127.0.0.1:{port}")
    with connect(port) as connection:
        connection.sendall(b"x")
        assert receive(connection, 1) == b"x"


def test_toxics_are_made_listed_changed_and_removed(proxy: Proxy):
    proxy.create(1)
    up = proxy.toxic("bandwidth", stream="upstream", rate=5)
    down = proxy.toxic("latency", name="slow", toxicity=0.5, latency=9)
    assert (up["name"], up["toxicity"]) == ("bandwidth_upstream", 1.0)
    assert (down["name"], down["stream"]) == ("slow", "downstream")
    assert proxy.ask("GET", "/proxies/echo/toxics").body == [up, down]
    assert proxy.ask("GET", "/proxies/echo").body["toxics"] == [up, down]
    assert proxy.ask("GET", "/proxies/echo/toxics/slow").body == down
    change = {"toxicity": 1.0, "attributes": {"jitter": 3}}
    changed = proxy.ask("POST", "/proxies/echo/toxics/slow", change).body
    assert changed == down | {"toxicity": 1.0, "attributes": {"latency": 9, "jitter": 3}}
    assert proxy.ask("DELETE", "/proxies/echo/toxics/slow") == (204, "")
    assert proxy.ask("GET", "/proxies/echo/toxics").body == [up]


def test_many_are_made_at_once_and_those_that_are_the_same_stay(proxy: Proxy):
    many = [{"name": name, "listen": "127.0.0.1:0", "upstream": HERE} for name in ("a", "b")]
    first = proxy.ask("POST", "/populate", many)
    assert first.status == 201
    assert [each["name"] for each in first.body["proxies"]] == ["a", "b"]
    proxy.toxic("latency", of="a")
    again = [dict(each, upstream=HERE) for each in first.body["proxies"]]
    again[1]["upstream"] = "127.0.0.1:2"
    second = proxy.ask("POST", "/populate", again).body["proxies"]
    assert len(second[0]["toxics"]) == 1
    assert second[1]["upstream"] == "127.0.0.1:2"


def test_a_reset_enables_all_and_removes_every_toxic(proxy: Proxy):
    proxy.create(1)
    proxy.toxic("latency")
    proxy.toxic("timeout", stream="upstream")
    proxy.ask("POST", "/proxies/echo", {"enabled": False})
    assert proxy.ask("POST", "/reset") == (204, "")
    shown = proxy.ask("GET", "/proxies/echo").body
    assert (shown["enabled"], shown["toxics"]) == (True, [])


WRONG: list[tuple[str, str, object, int, str]] = [
    ("POST", "/proxies", {"upstream": HERE}, 400, "missing required field: name"),
    ("POST", "/proxies", {"name": "x"}, 400, "missing required field: upstream"),
    ("POST", "/proxies", {"name": 3}, 400, "bad request body"),
    ("POST", "/proxies", {"name": "echo", "upstream": HERE}, 409, "proxy already exists"),
    ("GET", "/proxies/none", None, 404, "proxy not found"),
    ("POST", "/proxies/none", {}, 404, "proxy not found"),
    ("DELETE", "/proxies/none", None, 404, "proxy not found"),
    ("POST", "/proxies/echo/toxics", {"type": "rain"}, 400, "invalid toxic type"),
    ("POST", "/proxies/echo/toxics", {"type": "timeout", "stream": "up"}, 400, "stream was inv"),
    ("POST", "/proxies/echo/toxics", {"type": "latency"}, 409, "toxic already exists"),
    (
        *("POST", "/proxies/echo/toxics"),
        {"type": "timeout", "attributes": {"timeout": -1}},
        *(400, "bad request body: Expected `int` >= 0 - at `$.timeout`"),
    ),
    ("POST", "/proxies/echo/toxics", {"type": "timeout", "toxicity": 2}, 400, "`float` <= 1.0"),
    ("GET", "/proxies/echo/toxics/none", None, 404, "toxic not found"),
    ("PATCH", "/proxies/echo/toxics/none", {}, 404, "toxic not found"),
    ("DELETE", "/proxies/echo/toxics/none", None, 404, "toxic not found"),
    ("GET", "/nothing", None, 404, "Not Found"),
    ("PUT", "/proxies", None, 405, "Method Not Allowed"),
]


@pytest.mark.parametrize(("method", "path", "content", "status", "said"), WRONG)
def test_what_is_wrong_is_said(
    proxy: Proxy, method: str, path: str, content: Any, status: int, said: str
):
    proxy.create(1)
    proxy.toxic("latency")
    answer = proxy.ask(method, path, content)
    assert (answer.status, answer.body["status"]) == (status, status)
    assert said in answer.body["error"]


def test_a_body_that_is_no_json_is_refused(proxy: Proxy):
    proxy.create(1)
    answer = proxy.ask("POST", "/proxies", "not an object")
    assert (answer.status, answer.body["error"][:16]) == (400, "bad request body")


def test_an_address_that_is_taken_is_told(proxy: Proxy):
    port = proxy.create(1)
    taken = {"name": "second", "listen": f"127.0.0.1:{port}", "upstream": HERE}
    answer = proxy.ask("POST", "/proxies", taken)
    assert (answer.status, answer.body["error"][:10]) == (500, "listen tcp")
    assert "second" not in proxy.ask("GET", "/proxies").body


@pytest.mark.parametrize("address", ["192.0.2.1:80", "example.org:80", "0.0.0.0:0", "[::]:0", "80"])
@pytest.mark.parametrize("field", ["listen", "upstream"])
def test_only_loopback_is_served(proxy: Proxy, field: str, address: str):
    asked = {"name": "x", "listen": "127.0.0.1:0", "upstream": HERE} | {field: address}
    answer = proxy.ask("POST", "/proxies", asked)
    assert (answer.status, answer.body["error"][:11]) == (400, "bad address")


def test_browsers_are_turned_away(proxy: Proxy):
    answer = proxy.ask("GET", "/proxies", **{"User-Agent": "Mozilla/5.0 (X11)"})
    assert answer.status == 403


def test_proxies_are_read_from_a_file_at_the_start(tmp_path: Path, serve: ServeIt):
    config = tmp_path / "toxiproxy.json"
    config.write_text(json.dumps([{"name": "one", "upstream": f"127.0.0.1:{serve(echo)}"}]))
    own = Proxy(config)
    try:
        listen = own.ask("GET", "/proxies/one").body["listen"]
        with connect(int(listen.rpartition(":")[2])) as connection:
            connection.sendall(b"x")
            assert receive(connection, 1) == b"x"
    finally:
        own.end()
