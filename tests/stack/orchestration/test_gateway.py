"""The way to the services behind orchestration: well, gone, hanging or talking nonsense."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tarslab.stack.orchestration import gateway
from tests.stack.conftest import Serve
from tests.stack.served import Served, Valkey
from tests.stack.waiting import wait_until

# Answers each request, in a process of its own that can be stopped.
ANSWER = """
import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 204 No Content\\r\\nConnection: close\\r\\n\\r\\n")
"""


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent, as a service behind would see it."""

    protocol_version = "HTTP/1.1"
    answers: dict[str, tuple[int, dict[str, str], bytes]]

    def do_any(self) -> None:
        """Any method."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        seen = {
            "method": self.command,
            "target": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode(),
        }
        told = (200, {"Content-Type": "application/json"}, json.dumps(seen).encode())
        status, headers, content = self.answers.get(self.path, told)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_any  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def answers() -> dict[str, tuple[int, dict[str, str], bytes]]:
    """What the service behind answers at some paths, instead of what it was sent."""
    return {}


@pytest.fixture
def behind(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """The address of a service."""

    class Handler(Echo):
        pass

    Handler.answers = answers
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, args=[0.01])
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.fixture
def served(serve: Serve, valkey: Valkey, behind: str) -> Served:
    """Orchestration with that service as both that are behind it."""
    return serve(valkey, automl_url=behind, hypersync_url=behind)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which connections are refused, and nobody else can listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/studies"),
        ("GET", "/studies/a%20study%2Fof%20mine/trials?state=COMPLETE&limit=5"),
        ("POST", "/studies/x/stop"),
        ("GET", "/objectives"),
        ("GET", "/proposals?agent=ppo"),
        ("POST", "/proposals"),
        ("DELETE", "/proposals/1"),
        ("GET", "/studies/%C3%BC?x=%C3%BC"),
    ],
)
def test_a_request_is_passed_on_as_it_came(served: Served, method: str, path: str):
    seen = served.ask(method, path).json()
    assert (seen["method"], seen["target"]) == (method, path)


def test_a_body_and_what_goes_with_it_are_passed_on_and_nothing_else(served: Served):
    token = served.login()["access_token"]
    answer = served.ask(
        "POST",
        "/proposals",
        token=token,
        json={"agent": "ppo"},
        headers={
            **{"Idempotency-Key": "one", "X-Request-ID": "mine-7", "Accept": "application/json"},
            **{"X-Forwarded-For": "10.0.0.1", "Cookie": "a=b", "X-Role": "admin"},
        },
    )
    seen = answer.json()
    assert json.loads(seen["body"]) == {"agent": "ppo"}
    headers = seen["headers"]
    assert headers["authorization"] == f"Bearer {token}"
    assert headers["idempotency-key"] == "one"
    assert headers["x-request-id"] == "mine-7"
    assert headers["content-type"] == "application/json"
    assert not {"x-forwarded-for", "cookie", "x-role"} & set(headers)
    assert answer.headers["x-request-id"] == "mine-7"


def test_an_api_key_is_passed_on(served: Served):
    key = served.post("/api-keys", {"name": "x", "scopes": ["studies:read"]})["key"]
    headers = served.ask("GET", "/studies", token=key).json()["headers"]
    assert headers["x-api-key"] == key
    assert "authorization" not in headers


def test_a_request_id_is_made_once_for_all_services(served: Served):
    answer = served.ask("GET", "/studies")
    assert answer.headers["x-request-id"] == answer.json()["headers"]["x-request-id"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 404, 409, 422, 429, 503])
def test_an_answer_comes_back_as_it_was_given(served: Served, answers: Any, status: int):
    content = b"" if status == 204 else b'{"items": []}'
    headers = {"Content-Type": "application/problem+json", "Retry-After": "7", "Set-Cookie": "a=b"}
    answers["/studies"] = (status, headers, content)
    answer = served.ask("GET", "/studies")
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "7"
    assert "set-cookie" not in answer.headers


def test_each_header_of_an_answer_comes_once(served: Served, answers: Any):
    own = {"X-Mode": "legacy", "RateLimit": '"default";r=5;t=0', "X-Request-ID": "another"}
    answers["/studies"] = (200, own, b"{}")
    answer = served.ask("GET", "/studies", headers={"X-Request-ID": "mine"})
    names = [name for name, _ in answer.headers.multi_items()]
    assert len(set(names)) == len(names)
    # How the service that answered is, and not the one in between.
    assert answer.headers["x-mode"] == "legacy"
    assert answer.headers["x-request-id"] == "mine"


def test_nobody_unknown_gets_behind(served: Served):
    for path in ("/studies", "/proposals/1", "/objectives"):
        answer = served.client.get(path)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", [b"/studies/", b"/studies?x="])
def test_a_path_that_is_too_long_to_be_passed_on_is_404(served: Served, path: bytes):
    token = served.login()["access_token"]
    port = httpx.URL(served.url).port
    assert port is not None
    # The server takes as much, and httpx does not send it, with a host before it.
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\n" % path.ljust(65_530, b"a"))
        connection.sendall(
            b"Connection: close\r\nAuthorization: Bearer %s\r\n\r\n" % token.encode()
        )
        assert connection.makefile("rb").readline() == b"HTTP/1.1 404 Not Found\r\n"


def test_other_methods_are_not_passed_on(served: Served):
    answer = served.ask("PUT", "/studies")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "service"), [("/studies", "automl"), ("/proposals", "hypersync")])
def test_a_service_that_is_gone_is_503_until_it_is_back(
    serve: Serve, valkey: Valkey, nobody: str, path: str, service: str
):
    served = serve(valkey, automl_url=nobody, hypersync_url=nobody)
    answer = served.ask("GET", path, headers={"X-Request-ID": "mine"})
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith(f"{service} does not answer")
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"
    assert int(answer.headers["retry-after"]) >= 1
    health = served.get("/health/services")["services"]
    assert health[service] == {
        **{"ready": False, "mode": None, "seconds": None, "detail": "ConnectError"}
    }
    assert health["orchestration"]["ready"]


def test_a_service_that_is_not_configured_is_503(serve: Serve, valkey: Valkey):
    answer = serve(valkey).ask("GET", "/studies")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "this stack has no automl"


def test_a_service_that_hangs_is_503_after_a_while_and_the_others_are_served(
    serve: Serve, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gateway, "SECONDS", httpx.Timeout(0.2, connect=0.2))
    monkeypatch.setattr(gateway, "HEALTH_SECONDS", 0.2)
    with subprocess.Popen(
        [sys.executable, "-c", ANSWER], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        served = serve(valkey, automl_url=url)
        wait_until(lambda: served.ask("GET", "/studies").status_code == 204)
        process.send_signal(signal.SIGSTOP)
        answer = served.ask("GET", "/studies")
        assert answer.status_code == 503
        assert "automl does not answer (ReadTimeout)" in answer.json()["detail"]
        health = served.get("/health/services")["services"]["automl"]
        assert (health["ready"], health["detail"]) == (False, "ReadTimeout")
        assert served.ask("GET", "/agents").status_code == 200
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: served.ask("GET", "/studies").status_code == 204)
        process.kill()


def test_a_service_that_hangs_up_in_the_middle_is_503(serve: Serve, valkey: Valkey):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            for said in (
                b"",
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
                b"nonsense\r\n\r\n",
            ):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(said)

        answering = threading.Thread(target=hang_up)
        answering.start()
        served = serve(valkey, automl_url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        for _ in range(3):
            answer = served.ask("GET", "/studies")
            assert answer.status_code == 503
            assert "does not answer (RemoteProtocolError)" in answer.json()["detail"]
        answering.join()


def test_the_health_of_the_services_is_what_they_say(served: Served, answers: Any):
    answers["/health/ready"] = (503, {}, json.dumps({"mode": "legacy"}).encode())
    found = served.get("/health/services")["services"]["automl"]
    assert (found["ready"], found["mode"], found["detail"]) == (False, "legacy", None)
    assert found["seconds"] > 0
    answers["/health/ready"] = (200, {}, json.dumps({"mode": "normal"}).encode())
    assert served.get("/health/services")["services"]["hypersync"]["ready"]


@pytest.mark.parametrize("said", [b"", b"nonsense", b"[]", b"null", b'{"mode": 5}', b"\xff"])
def test_nonsense_is_not_health(served: Served, answers: Any, said: bytes):
    answers["/health/ready"] = (200, {}, said)
    found = served.get("/health/services")["services"]["automl"]
    assert not found["ready"]
    assert found["detail"]
