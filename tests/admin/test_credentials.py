"""Where the URL and the credentials come from, and where they may go."""

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tarslab.admin import AdminClient, Unavailable
from tarslab.admin.credentials import Credentials, Given, find, profiles_path
from tarslab.errors import BadArgument
from tests.admin import answers
from tests.admin.asking import Ask
from tests.admin.service import Answer, Service

HERE, THERE = "https://here.example", "https://there.example"


def found(*, profile: str | None = None, allow_http: bool = False, **given: Any) -> tuple[Any, ...]:
    """What a client with these arguments goes by, with its secrets shown."""
    got = find(Given.of("the arguments", given), profile, allow_http=allow_http)
    shown = [secret and secret.reveal() for secret in (got.password, got.api_key)]
    return (got.url, got.username, *shown)


@pytest.fixture
def profiles() -> Path:
    """The file of profiles, with two that have a login and a key."""
    path = profiles_path()
    path.parent.mkdir(parents=True)
    path.write_text(
        f"""
        [default]
        url = "{HERE}"
        username = "ada"
        password = "of-file"

        [there]
        url = "{THERE}"
        api_key = "key-of-file"
        ca_bundle = "/etc/ca.pem"
        """
    )
    path.chmod(0o600)
    return path


def setenv(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"TARSLAB_{name.upper()}", value)


def test_arguments_alone() -> None:
    assert found(url=HERE, username="ada", password="p") == (HERE, "ada", "p", None)
    assert found(url=f"{HERE}/", api_key="k") == (HERE, None, None, "k")
    assert found(url=HERE) == (HERE, None, None, None)


def test_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, url=HERE, username="ada", password="p", ca_bundle="/ca.pem")
    assert found() == (HERE, "ada", "p", None)
    assert find(Given("the arguments"), None, allow_http=False).ca_bundle == "/ca.pem"
    setenv(monkeypatch, username="", password="", api_key="k")
    assert found() == (HERE, None, None, "k")


def test_profiles_by_argument_environment_and_default(
    profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found() == (HERE, "ada", "of-file", None)
    assert found(profile="there") == (THERE, None, None, "key-of-file")
    setenv(monkeypatch, profile="there")
    assert found() == (THERE, None, None, "key-of-file")
    assert find(Given("the arguments"), None, allow_http=False).ca_bundle == "/etc/ca.pem"
    assert found(profile="default") == (HERE, "ada", "of-file", None)


def test_arguments_go_before_the_environment_and_that_before_the_environments_profile(
    profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setenv(monkeypatch, url=HERE, username="eve", password="of-environment", profile="default")
    assert found() == (HERE, "eve", "of-environment", None)
    assert found(username="bob", password="p") == (HERE, "bob", "p", None)
    assert found(api_key="k") == (HERE, None, None, "k")
    # A profile that is named as an argument is one.
    assert found(profile="default") == (HERE, "ada", "of-file", None)


def test_a_password_goes_with_its_own_username_only(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, username="ada", password="of-ada")
    assert found(url=HERE, username="ada") == (HERE, "ada", "of-ada", None)
    assert found(url=HERE, username="eve") == (HERE, "eve", None, None)
    monkeypatch.delenv("TARSLAB_USERNAME")
    assert found(url=HERE, username="eve") == (HERE, "eve", "of-ada", None)


def test_a_username_of_the_arguments_takes_no_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setenv(monkeypatch, api_key="k")
    assert found(url=HERE, username="ada") == (HERE, "ada", None, None)
    assert found(url=HERE) == (HERE, None, None, "k")


def test_credentials_beside_one_url_never_go_to_another(
    profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setenv(monkeypatch, url=HERE, username="ada", password="p")
    for other in (THERE, "https://here.example:8443", "http://localhost", f"{HERE}.evil.example"):
        assert found(url=other)[1:] == (None, None, None)
    assert found(url=f"{HERE}/other/path")[1:] == ("ada", "p", None)
    assert found(url="https://HERE.example:443")[1:] == ("ada", "p", None)
    setenv(monkeypatch, url=THERE, profile="default")
    assert found() == (THERE, "ada", "p", None)
    with pytest.raises(BadArgument, match="not that of the profile 'there'"):
        found(url=HERE, profile="there")
    assert found(url=THERE, profile="there")[3] == "key-of-file"


def test_two_kinds_of_credentials_in_one_place_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BadArgument, match="in the arguments"):
        found(url=HERE, username="ada", api_key="k")
    setenv(monkeypatch, password="p", api_key="k")
    with pytest.raises(BadArgument, match="in the environment"):
        found(url=HERE)


def test_a_password_without_a_username_is_refused() -> None:
    with pytest.raises(BadArgument, match="TARSLAB_USERNAME"):
        found(url=HERE, password="p")


def test_without_a_url_anywhere_the_places_are_named() -> None:
    with pytest.raises(BadArgument, match=r"TARSLAB_URL, or write \[default\] .*profiles\.toml"):
        found()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_of_profiles_that_others_can_open_is_refused(profiles: Path, mode: int) -> None:
    profiles.chmod(mode)
    with pytest.raises(BadArgument, match=rf"chmod 600 {profiles}"):
        found()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[other]\nurl = 'https://x'", "no profile 'default'; there are other"),
        ("", "no profile 'default'; there are none"),
        ("default = 1", "no profile 'default'"),
        ("[default]\nurl = 'https://x'\npasword = 'hunter2'", "pasword: a profile has texts url"),
        ("[default]\nurl = 'https://x'\npassword = 12345", "password: a profile has texts url"),
        ("[default]\nusername = 'ada'", "lacks url"),
        ("[default]\nurl = 'ftp://x'", r"url 'ftp://x' in .*profiles.toml \[default\]"),
        ("[default]\npassword = hunter2", "cannot be read"),
    ],
)
def test_a_profile_that_cannot_be_used_is_named_and_not_quoted(
    profiles: Path, text: str, said: str
) -> None:
    profiles.write_text(text)
    with pytest.raises(BadArgument, match=said) as caught:
        found()
    assert str(profiles) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "12345" not in str(caught.value)


def test_a_folder_in_place_of_the_profiles_is_an_error_with_its_name() -> None:
    profiles_path().mkdir(parents=True)
    with pytest.raises(BadArgument, match="cannot be read"):
        found()


@pytest.mark.parametrize(
    "url",
    [
        "here.example",
        "ftp://here",
        "https://",
        "https://here?x=1",
        "https://here#x",
        "http://x:port",
    ],
)
def test_a_url_that_is_none_of_an_api_is_refused(url: str) -> None:
    with pytest.raises(BadArgument, match="give https://host"):
        found(url=url)


@pytest.mark.parametrize("url", ["https://ada:hunter2@here", "https://ada:hun@ter2@here:x@"])
def test_a_password_in_the_url_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(BadArgument, match="beside it, not in it") as caught:
        found(url=url)
    assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000", "http://127.0.0.1", "http://127.9.9.9:80", "http://[::1]:8000"],
)
def test_http_to_this_machine_is_used(url: str) -> None:
    assert found(url=url, api_key="k")[3] == "k"


@pytest.mark.parametrize(
    "url",
    ["http://here.example", "http://10.0.0.1", "http://localhost.evil.example", "http://0.0.0.0"],
)
def test_http_over_a_network_is_used_only_when_told_so(url: str) -> None:
    with pytest.raises(BadArgument, match="allow_http=True"):
        found(url=url, api_key="k")
    assert found(url=url, api_key="k", allow_http=True)[3] == "k"
    with AdminClient(url, api_key="k", allow_http=True) as client:
        assert client.url == url


def test_a_proxy_of_the_environment_sees_nothing_that_goes_to_this_machine(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Service()
    try:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        service.tell("GET /auth/me", Answer(200, answers.ME))
        ask(lambda c: c.me(), url=service.url, api_key="k", retries=0, timeout=5)
        assert proxy.seen == []
    finally:
        proxy.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that is its own authority, and its key, in one file each."""
    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tarslab test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(private)
    return folder


@pytest.fixture
def secure(authority: Path) -> Iterator[Service]:
    """The service over TLS."""
    service = Service()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    service.socket = context.wrap_socket(service.socket, server_side=True)
    service.url = service.url.replace("http:", "https:")
    service.tell("GET /auth/me", Answer(200, answers.ME))
    thread = threading.Thread(target=service.serve_forever, args=(0.01,))
    thread.start()
    yield service
    service.shutdown()
    service.server_close()
    thread.join()


def test_a_certificate_of_an_authority_that_is_given_is_trusted(
    ask: Ask, secure: Service, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = str(authority / "ca.pem")
    assert ask(lambda c: c.me(), url=secure.url, api_key="k", ca_bundle=bundle)[0].name == "ada"
    setenv(monkeypatch, ca_bundle=bundle)
    assert ask(lambda c: c.me(), url=secure.url, api_key="k")[0].name == "ada"


def test_a_certificate_that_is_not_trusted_is_told_at_once_with_the_mend(
    ask: Ask, secure: Service
) -> None:
    with pytest.raises(Unavailable, match="give that as ca_bundle"):
        ask(lambda c: c.me(), url=secure.url, api_key="k", retries=99)
    assert secure.seen == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_bundle_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadArgument, match=rf"{path}: no CA bundle"):
        AdminClient(HERE, ca_bundle=str(path))


def test_credentials_do_not_show_their_secrets() -> None:
    shown = Credentials(HERE, "ada", Given.of("x", {"password": "hunter2"}).password)
    assert "hunter2" not in repr(shown) + str(shown)
