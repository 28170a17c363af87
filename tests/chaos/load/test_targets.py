"""Where load may be sent."""

import pytest

from tarslab.chaos.load.targets import resolve
from tarslab.errors import BadArgument


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("http://127.9.9.9:8000/", ("127.9.9.9", 8000)),
        ("http://localhost", ("localhost", 80)),
        ("https://[::1]/api", ("::1", 443)),
    ],
)
def test_this_machine_may_be_loaded(url: str, address: tuple[str, int]) -> None:
    target = resolve(url)
    assert target.address == address
    assert not target.url.endswith("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:8000",
        "http://example.org",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
        "http://[2001:db8::1]",
        "http://0.0.0.0:8000",
    ],
)
def test_other_machines_may_not_unless_they_are_named(url: str) -> None:
    with pytest.raises(BadArgument, match=r"load is sent to this machine only.*--allow"):
        resolve(url)
    with pytest.raises(BadArgument, match="load is sent to this machine only"):
        resolve(url, allow=["other.example.org", "192.0.2.2", "192.0.2.1:8001"])
    host = url.split("//")[1].strip("[]").removesuffix(":8000")
    assert resolve(url, allow=[host]).url == url


def test_a_host_may_be_named_with_its_port() -> None:
    assert resolve("http://Example.org:81", allow=["EXAMPLE.org:81"])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://localhost:x",
        "http://localhost?a",
    ],
)
def test_what_is_no_url_of_a_deployment_is_told(url: str) -> None:
    with pytest.raises(BadArgument, match="must be a URL such as"):
        resolve(url)


def test_credentials_stand_beside_the_url_and_are_not_quoted() -> None:
    with pytest.raises(BadArgument, match="TARSLAB_PASSWORD, not within the URL") as raised:
        resolve("http://me:hunter2@localhost")
    assert "hunter2" not in str(raised.value)


def test_credentials_of_the_environment_are_for_the_server_that_it_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TARSLAB_USERNAME", "me")
    monkeypatch.setenv("TARSLAB_PASSWORD", "hunter2")
    assert resolve("http://localhost:1").environment["TARSLAB_PASSWORD"] == "hunter2"
    monkeypatch.setenv("TARSLAB_URL", "http://localhost:1/")
    assert resolve("http://localhost:1").environment["TARSLAB_PASSWORD"] == "hunter2"
    elsewhere = resolve("http://localhost:2")
    assert not {"TARSLAB_USERNAME", "TARSLAB_PASSWORD"} & elsewhere.environment.keys()
    assert "hunter2" not in repr(resolve("http://localhost:1"))
