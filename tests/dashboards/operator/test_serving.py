"""The dashboard as a page: what it serves, to whom, and with which settings."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from tarslab.dashboards.cli import app
from tarslab.dashboards.operator.serving import TEMPLATES, environment
from tarslab.errors import BadArgument

COMMAND = [sys.executable, "-c", "from tarslab.dashboards.cli import app; app()", "operator"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a page that is served, with its token."""
    home = tmp_path_factory.mktemp("home")
    variables = {k: v for k, v in os.environ.items() if not k.startswith("TARSLAB_")}
    process = subprocess.Popen(
        [*COMMAND, "--url", "https://tars.example"],
        env=variables | {"XDG_CONFIG_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)
    assert found, line
    yield found[0]
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert "token" not in rest
    assert process.returncode == 0


def test_it_is_at_loopback_alone(address: str) -> None:
    port = int(re.findall(r":(\d+)/", address)[0])
    # What a machine is otherwise known by; 127.0.0.2 is loopback as well, and not what is bound.
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", port), 5):
        pass


def test_nobody_is_let_in_without_the_token(address: str) -> None:
    bare = address.partition("?")[0]
    for where in (bare, bare + "?token=guess", bare + "voila/files/30_admin_tour.ipynb"):
        answer = httpx.get(where, timeout=30)
        sent_to_login = answer.status_code == 302 and "/login" in answer.headers["Location"]
        assert sent_to_login or answer.status_code in (403, 404)
    assert httpx.get(address, timeout=60).status_code == 200


def test_a_port_that_is_taken_is_said(address: str) -> None:
    port = re.findall(r":(\d+)/", address)[0]
    done = subprocess.run(
        [*COMMAND, "--url", "https://tars.example", "--port", port],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"port {port}: Address already in use; give another one" in done.stderr


def test_a_url_and_a_profile_or_a_profile_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = dict(os.environ)
    try:
        both = CliRunner().invoke(app, ["operator", "--url", "https://x", "--profile", "y"])
        assert both.exit_code == 2
        assert "a URL and a profile: leave out one of them" in both.stderr
        missing = CliRunner().invoke(app, ["operator", "--profile", "nobody"])
        assert missing.exit_code == 2
        assert "write [nobody] with url" in missing.stderr
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_credentials_of_one_service_do_not_go_to_another() -> None:
    secret = {"TARSLAB_USERNAME": "ada", "TARSLAB_PASSWORD": "p", "TARSLAB_API_KEY": "k"}
    before = {"PATH": "/bin", "TARSLAB_URL": "https://one.example", **secret}
    other = environment(before, "https://two.example", None)
    assert other["TARSLAB_URL"] == "https://two.example"
    assert not other.keys() & secret.keys()
    same = environment(before, "https://one.example/", None)
    assert same.items() >= secret.items()
    by_profile = environment(before, None, "three")
    assert by_profile["TARSLAB_PROFILE"] == "three"
    assert not by_profile.keys() & {*secret, "TARSLAB_URL"}
    as_it_is = environment(before, None, None)
    assert as_it_is.items() >= before.items()


def test_voila_finds_the_template_beside_those_of_the_user() -> None:
    assert environment({}, None, None)["JUPYTER_PATH"] == str(TEMPLATES)
    joined = environment({"JUPYTER_PATH": "/mine"}, None, None)["JUPYTER_PATH"]
    assert joined == os.pathsep.join([str(TEMPLATES), "/mine"])
    with pytest.raises(BadArgument):
        environment({}, "https://x", "y")
