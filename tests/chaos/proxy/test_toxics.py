"""Each toxic, on real connections: a delay has a lower bound, and no upper one but the limit."""

import random
import socket
import struct
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.chaos.proxy.toxics import Slicer
from tests.chaos.proxy.conftest import ServeIt
from tests.chaos.proxy.serving import LIMIT, Proxy, connect, echo, receive

DATA = random.Random(0).randbytes(3_000_000)


def sent_and_received(port: int, data: bytes) -> bytes:
    """Send bytes on one connection, and receive as many."""
    with connect(port) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        received = receive(connection, len(data))
        sender.join()
    return received


def first_byte(port: int) -> bytes:
    """What comes first on a connection."""
    with connect(port) as connection:
        return connection.recv(1)


def test_bytes_pass_unchanged(port: int):
    assert sent_and_received(port, DATA) == DATA


def test_an_end_passes_while_the_other_direction_goes_on(proxy: Proxy, serve: ServeIt):
    def answer_at_the_end(connection: socket.socket) -> None:
        size = 0
        while data := connection.recv(1 << 16):
            size += len(data)
        connection.sendall(struct.pack("!I", size))

    with connect(proxy.create(serve(answer_at_the_end))) as connection:
        connection.sendall(b"x" * 100_000)
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 4) == struct.pack("!I", 100_000)
        assert connection.recv(1) == b""


def test_a_reset_passes(proxy: Proxy, serve: ServeIt):
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    port = proxy.create(serve(reset))
    with pytest.raises(ConnectionResetError):
        first_byte(port)


def test_where_nobody_listens_behind_it_the_connection_is_reset(proxy: Proxy, serve: ServeIt):
    nobody = socket.socket()
    nobody.bind(("127.0.0.1", 0))
    with nobody, pytest.raises(ConnectionResetError):
        first_byte(proxy.create(nobody.getsockname()[1]))


def test_a_sender_waits_for_a_receiver_that_does_not_read(proxy: Proxy, serve: ServeIt):
    sent, stuck = [0], threading.Event()

    def flood(connection: socket.socket) -> None:
        connection.settimeout(1)
        try:
            while True:
                sent[0] += connection.send(bytes(1 << 20))
        except TimeoutError:
            stuck.set()

    with connect(proxy.create(serve(flood))):
        assert stuck.wait(30)
    # 4 MiB in the proxy, and the buffers of four sockets.
    assert sent[0] < 64 << 20


def test_latency_is_added_to_each_answer(proxy: Proxy, port: int):
    shown = proxy.toxic("latency", latency=200)
    assert shown == {
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
        "attributes": {"latency": 200, "jitter": 0},
    }
    with connect(port) as connection:
        for _ in range(2):
            start = time.monotonic()
            connection.sendall(b"ping")
            receive(connection, 4)
            assert time.monotonic() - start >= 0.199


def test_latency_delays_each_part_from_when_it_came_and_does_not_add_up(proxy: Proxy, port: int):
    proxy.toxic("latency", latency=1000)
    with connect(port) as connection:
        start = time.monotonic()
        for number in range(40):
            connection.sendall(struct.pack("!I", number))
            time.sleep(0.01)
        received = receive(connection, 160)
        # One after the other they would take 40 seconds.
        assert time.monotonic() - start < LIMIT
    assert received == b"".join(struct.pack("!I", number) for number in range(40))


def test_jitter_keeps_the_order(proxy: Proxy, port: int):
    proxy.toxic("latency", latency=20, jitter=20)
    lines = b"".join(b"%d\n" % number for number in range(300))
    with connect(port) as connection:
        for line in lines.splitlines(keepends=True):
            connection.sendall(line)
        assert receive(connection, len(lines)) == lines


def test_what_waits_in_a_toxic_that_is_removed_goes_on_at_once(proxy: Proxy, port: int):
    proxy.toxic("latency", latency=600_000)
    with connect(port) as connection:
        connection.sendall(b"first ")
        connection.sendall(b"second")
        proxy.untoxic("latency_downstream")
        assert receive(connection, 12) == b"first second"


def test_new_attributes_act_on_what_waits(proxy: Proxy, port: int):
    proxy.toxic("latency", latency=600_000)
    with connect(port) as connection:
        connection.sendall(b"ping")
        changed = proxy.ask(
            "PATCH", "/proxies/echo/toxics/latency_downstream", {"attributes": {"latency": 1}}
        )
        assert changed.body["attributes"] == {"latency": 1, "jitter": 0}
        assert receive(connection, 4) == b"ping"


def test_bandwidth_limits_the_rate(proxy: Proxy, port: int):
    proxy.toxic("bandwidth", rate=200)
    start = time.monotonic()
    assert sent_and_received(port, DATA[:120_000]) == DATA[:120_000]
    # 120,000 bytes at 200 · 1,000 a second.
    assert time.monotonic() - start >= 0.59


def test_a_close_comes_later(proxy: Proxy, serve: ServeIt):
    port = proxy.create(serve(lambda connection: connection.sendall(b"bye")))
    proxy.toxic("slow_close", delay=300)
    with connect(port) as connection:
        start = time.monotonic()
        assert receive(connection, 3) == b"bye"
        assert connection.recv(1) == b""
        assert time.monotonic() - start >= 0.28


def test_nothing_gets_through_a_timeout_which_closes_what_it_was_on(proxy: Proxy, port: int):
    with connect(port) as connection:
        connection.sendall(b"1")
        assert receive(connection, 1) == b"1"
        proxy.toxic("timeout", timeout=0)
        connection.sendall(b"2")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(30)
        proxy.untoxic("timeout_downstream")
        assert connection.recv(1) == b""
    assert sent_and_received(port, b"3") == b"3"


def test_a_timeout_closes_the_connection_after_its_time(proxy: Proxy, port: int):
    proxy.toxic("timeout", timeout=200)
    with connect(port) as connection:
        start = time.monotonic()
        connection.sendall(b"lost")
        assert connection.recv(1) == b""
        assert time.monotonic() - start >= 0.19


def test_a_peer_is_reset_when_something_comes(proxy: Proxy, port: int):
    proxy.toxic("reset_peer")
    with connect(port) as connection:
        connection.sendall(b"ping")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize("limit", [0, 1, 70_000])
def test_the_connection_is_closed_after_so_many_bytes(proxy: Proxy, port: int, limit: int):
    proxy.toxic("limit_data", bytes=limit)
    with connect(port) as connection:
        connection.sendall(DATA[:200_000])
        received = receive(connection, limit)
        assert connection.recv(1) == b""
    assert received == DATA[:limit]


def test_upstream_is_what_the_client_sends(proxy: Proxy, serve: ServeIt):
    heard: list[bytes] = []
    over = threading.Event()

    def hear(connection: socket.socket) -> None:
        while data := connection.recv(1 << 16):
            heard.append(data)
        over.set()

    port = proxy.create(serve(hear))
    proxy.toxic("limit_data", stream="upstream", bytes=10)
    with connect(port) as connection:
        connection.sendall(b"0123456789 and more")
        assert over.wait(30)
    assert b"".join(heard) == b"0123456789"


def test_slices_are_whole_together(proxy: Proxy, port: int):
    proxy.toxic("slicer", average_size=500, size_variation=300, delay=10)
    assert sent_and_received(port, DATA[:200_000]) == DATA[:200_000]


@given(
    total=st.integers(0, 5000),
    average=st.integers(0, 200),
    variation=st.integers(0, 200),
)
def test_slices_are_no_longer_than_the_most_and_add_up(total: int, average: int, variation: int):
    sizes = list(Slicer(average_size=average, size_variation=variation)._sizes(total))
    assert sum(sizes) == total
    assert max(sizes) <= max(1, average + variation)
    assert min(sizes) >= min(1, total)


def test_toxicity_is_the_probability_that_a_connection_is_touched(proxy: Proxy, port: int):
    proxy.toxic("limit_data", toxicity=0.5, bytes=0)
    touched = 0
    for _ in range(100):
        with connect(port) as connection:
            connection.sendall(b"?")
            touched += connection.recv(1) == b""
    # The chance to be outside of this is 1e-9 (binomial, n = 100, p = 0.5).
    assert 20 <= touched <= 80


def test_toxics_act_one_after_the_other(proxy: Proxy, port: int):
    proxy.toxic("limit_data", name="first", bytes=6)
    proxy.toxic("limit_data", name="second", bytes=4)
    with connect(port) as connection:
        connection.sendall(b"0123456789")
        assert receive(connection, 4) == b"0123"
        assert connection.recv(1) == b""


def test_toxics_that_come_and_go_lose_nothing(proxy: Proxy, port: int):
    """Hundreds of changes, on a connection that is full all the time."""
    dice = random.Random(7)
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("latency", {"latency": 5, "jitter": 5}),
        ("slicer", {"average_size": 3000, "size_variation": 1000}),
        ("bandwidth", {"rate": 100_000}),
        ("slow_close", {"delay": 1}),
    ]
    received: list[bytes] = []
    data = DATA * 4
    with connect(port) as connection:
        sending = threading.Thread(target=connection.sendall, args=(data,))
        receiving = threading.Thread(target=lambda: received.append(receive(connection, len(data))))
        sending.start()
        receiving.start()
        there: dict[str, str] = {}
        for number in range(120):
            if there and dice.random() < 0.5:
                proxy.untoxic(there.pop(dice.choice(sorted(there))))
                continue
            kind, attributes = dice.choice(kinds)
            stream = dice.choice(["upstream", "downstream"])
            name = f"{kind}-{number}"
            proxy.toxic(kind, name=name, stream=stream, **attributes)
            there[name] = name
        for name in there:
            proxy.untoxic(name)
        sending.join()
        receiving.join()
    assert received == [data]


def test_a_disabled_proxy_refuses_and_drops_what_it_had(proxy: Proxy, serve: ServeIt):
    port = proxy.create(serve(echo))
    with connect(port) as connection:
        connection.sendall(b"x")
        receive(connection, 1)
        shown = proxy.ask("POST", "/proxies/echo", {"enabled": False})
        assert (shown.status, shown.body["enabled"]) == (200, False)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    proxy.ask("PATCH", "/proxies/echo", {"enabled": True})
    assert sent_and_received(port, b"again") == b"again"
