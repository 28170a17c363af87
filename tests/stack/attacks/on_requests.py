"""Attacks with requests that are too large, ambiguous, or misleading."""

import http.client
import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httptools

from tarslab.stack.web import app, problems
from tests.stack.attacks.attack import Attack, all_of, constant, without
from tests.stack.attacks.canary import canary
from tests.stack.served import PASSWORD, Served

CREDENTIALS = {"username": "admin", "password": PASSWORD}
END = b"\r\n"
CANARY_SECRET = "hunter2-correct-horse"


def oversized(served: Served) -> bool:
    """A body that says how large it is."""
    return served.client.post("/auth/login", content=_padded(served)).status_code != 413


def oversized_in_chunks(served: Served) -> bool:
    """A body that does not."""
    pieces = iter([_padded(served), b" " * 65_536])
    return served.client.post("/auth/login", content=pieces).status_code != 413


def line_in_the_request_id(served: Served) -> bool:
    """A request id that would be more than that in the answer, or in a log."""
    ids = (
        b"a\nSet-Cookie: stolen=1",
        b"a\rSet-Cookie: stolen=1",
        b"a\r\n Set-Cookie: stolen=1",
        b"a%0d%0aSet-Cookie: stolen=1",
        b"<script>alert(1)</script>",
        b"a b",
        b"a\tb",
        b"\xc3\xa9",
        b"a" * 65,
        b"",
    )
    return any(_echoed(served, given) for given in ids)


def misleading_host(served: Served) -> bool:
    """A host that an answer would send others to."""
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"}
    answers = [
        served.client.get(path, headers=evil) for path in ("/agents/", "/auth/me/", "//evil")
    ]
    return any("evil" in str(answer.headers) for answer in answers)


def two_lengths(served: Served) -> bool:
    """Two lengths: who stands in front could believe one, and the service the other."""
    body = json.dumps(CREDENTIALS).encode()
    lengths = (str(len(body)).encode(), b"5")
    heads = [
        [b"Content-Length: " + first, b"Content-Length: " + second]
        for first, second in (lengths, lengths[::-1], (lengths[0], lengths[0]))
    ]
    return any(_status(served, head, body) != 400 for head in heads)


def length_and_chunks(served: Served) -> bool:
    """A length, and chunks (RFC 9112, 6.3)."""
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    body = b"0\r\n\r\n" + smuggled
    head = [b"Content-Length: " + str(len(body)).encode(), b"Transfer-Encoding: chunked"]
    return _status(served, head, body) != 400


class LenientParser(httptools.HttpRequestParser):
    """Takes what RFC 9112 forbids: the first of several lengths, and chunks in spite of one."""

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_chunked_length=True)

    def feed_data(self, data: Any) -> None:
        """As if there were one length."""
        super().feed_data(re.sub(rb"(?s)(Content-Length: .*)Content-Length:", rb"\1X-Other:", data))


def out_of_the_gateway(served: Served) -> bool:
    """A path that leaves what the service behind was asked for."""
    with canary({"items": []}) as (url, heard):
        urls = served.core.gateway._urls
        before, urls["automl"] = urls["automl"], url.removesuffix("/keys.json")
        try:
            for path in (
                "/studies/../metrics",
                "/studies/x/../../metrics",
                "/studies/./../metrics",
                "/studies/%2e%2e/metrics",
                "/studies/.%2E/metrics",
                "/studies/..%2fmetrics",
            ):
                _raw_get(served, path)
            assert served.ask("GET", "/studies/a..b").status_code == 200
        finally:
            urls["automl"] = before
    return heard != ["/studies/a..b"]


def password_in_an_error(served: Served) -> bool:
    """A password in a body that is wrong, told again by the error or by the log."""
    bodies: list[Any] = [
        {"username": "admin", "password": [CANARY_SECRET]},
        {"username": "admin", "password": CANARY_SECRET * 20},
        {"username": [CANARY_SECRET], "password": 1},
        {"username": "admin", "pass": CANARY_SECRET},
        CANARY_SECRET,
        [CANARY_SECRET],
    ]
    contents = [json.dumps(body).encode() for body in bodies]
    contents += [contents[0][:-1], contents[0] + b"}", b"\xff" + contents[0]]
    with logged() as lines:
        answers = [
            served.client.post(path, content=content, headers={"Content-Type": kind})
            for path in ("/auth/login", f"/auth/{CANARY_SECRET[:3]}", "/auth/refresh")
            for content in contents
            for kind in ("application/json", "text/plain")
        ]
    assert {answer.status_code for answer in answers} <= {400, 404, 422}
    told = [answer.text + str(answer.headers) for answer in answers] + lines
    return any(CANARY_SECRET in text for text in told)


@contextmanager
def logged() -> Iterator[list[str]]:
    """What is logged meanwhile, but by the client."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith("http"):
                lines.append(self.format(record))

    root, kept = logging.getLogger(), Kept()
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(kept)


def raw(served: Served, request: bytes) -> bytes:
    """What is answered to exactly these bytes, until the connection is closed."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return answer


def _padded(served: Served) -> bytes:
    """A login that is right, and too large."""
    return json.dumps(CREDENTIALS).encode() + b" " * served.settings.max_body_bytes


def _echoed(served: Served, request_id: bytes) -> bool:
    head = [b"GET /health/live HTTP/1.1", b"Host: x", b"Connection: close"]
    answer = raw(served, END.join([*head, b"X-Request-ID: " + request_id, END]))
    headers, _, _ = answer.partition(END + END)
    found = re.search(rb"\r\nx-request-id: (.*?)\r\n", headers)
    known = found is None or found[1] == request_id.strip() or not found[1].isalnum()
    return answer.startswith(b"HTTP/1.1 200") and (known or b"stolen" in headers)


def _status(served: Served, lengths: list[bytes], body: bytes) -> int:
    """How the first answer begins to a login with this head."""
    head = [b"POST /auth/login HTTP/1.1", b"Host: x", b"Content-Type: application/json"]
    answer = raw(served, END.join([*head, *lengths, b"Connection: close", b"", body]))
    return int(answer.split(b" ", 2)[1])


def _raw_get(served: Served, path: str) -> int:
    """A GET of a path as it stands, by admin."""
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=60)
    try:
        token = served.login()["access_token"]
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


LENIENT = constant(httptools, "HttpRequestParser", LenientParser)
_LENGTH = without(app._Envelope._limited, "int(length) > most", "False")
_COUNTED = without(app._Envelope._limited, "received > most", "False")

ATTACKS = [
    Attack("an oversized body", oversized, all_of(_LENGTH, _COUNTED)),
    Attack("an oversized body in chunks", oversized_in_chunks, _COUNTED),
    Attack(
        "a header in the request id",
        line_in_the_request_id,
        constant(app, "REQUEST_ID", re.compile(r"[^\r\n]+")),
    ),
    Attack("two lengths", two_lengths, LENIENT),
    Attack("a length and chunks", length_and_chunks, LENIENT),
    Attack(
        "a path out of the gateway",
        out_of_the_gateway,
        without(
            app._Envelope.__call__,
            'not {".", ".."}.isdisjoint(scope["path"].split("/"))',
            "False",
        ),
    ),
]
AT_START = [
    Attack(
        "a misleading host",
        misleading_host,
        without(app.make_app, "redirect_slashes=False", "redirect_slashes=True"),
    ),
    Attack(
        "a password in an error",
        password_in_an_error,
        without(problems.tell_problems, 'message=part["msg"]', 'message=str(part["input"])'),
    ),
]
"""Their defences are built in when the service starts."""
