"""Where a client finds its URL and credentials."""

import ipaddress
import os
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import platformdirs

from tarslab.admin.secret import Secret
from tarslab.errors import BadArgument

MEMBERS = ("url", "username", "password", "api_key", "ca_bundle")
DEFAULT_PROFILE = "default"


@dataclass(frozen=True)
class Given:
    """What one place says: the arguments, the environment or a profile."""

    place: str
    url: str | None = None
    username: str | None = None
    password: Secret | None = None
    api_key: Secret | None = None
    ca_bundle: str | None = None

    @classmethod
    def of(cls, place: str, members: Mapping[str, Any]) -> "Given":
        """From texts; empty ones count as not given.

        Raises:
            BadArgument: The URL is none of an API.
        """
        texts = {name: value for name, value in members.items() if value}
        if "url" in texts:
            texts["url"] = _checked(texts["url"], place)
        for name in ("password", "api_key"):
            if name in texts:
                texts[name] = Secret(texts[name])
        return cls(place, **texts)


@dataclass(frozen=True)
class Credentials:
    """What a client goes by."""

    url: str
    """Without a slash at its end."""
    username: str | None = None
    password: Secret | None = None
    api_key: Secret | None = None
    ca_bundle: str | None = None

    def __str__(self) -> str:
        if self.api_key:
            return f"{self.url} with an API key"
        return f"{self.url} as {self.username}" if self.username else self.url

    @property
    def local(self) -> bool:
        """Whether the URL is of this machine."""
        host = httpx.URL(self.url).host
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def verify(self) -> ssl.SSLContext | bool:
        """What the server's certificate is verified by.

        Raises:
            BadArgument: The CA bundle cannot be read.
        """
        if self.ca_bundle is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.ca_bundle)
        except OSError as error:
            raise BadArgument(
                f"{self.ca_bundle}: no CA bundle to read ({error}); ca_bundle is a file of PEM "
                "certificates"
            ) from None


def profiles_path() -> Path:
    """The file of profiles: ``~/.config/tarslab/profiles.toml`` on Linux."""
    return platformdirs.user_config_path("tarslab") / "profiles.toml"


def find(arguments: Given, profile: str | None, *, allow_http: bool) -> Credentials:
    """The URL and credentials of the arguments, a profile and the environment.

    Raises:
        BadArgument: There is no URL, or none that credentials may be sent to; two kinds of
            credentials in one place; a profile that is not there, or open to others.
    """
    places = _places(arguments, profile)
    url = next(place.url for place in places if place.url)
    found = Credentials(
        url=url,
        # Credentials are for the server that they stand beside, and for no other.
        **_of_one_kind(
            [place for place in places if not place.url or _origin(place.url) == _origin(url)]
        ),
        ca_bundle=next((place.ca_bundle for place in places if place.ca_bundle), None),
    )
    if url.startswith("http:") and not found.local and not allow_http:
        raise BadArgument(
            f"{url}: credentials would cross the network unencrypted; use https://, or give "
            "allow_http=True where the network itself is trusted"
        )
    return found


def _places(arguments: Given, profile: str | None) -> list[Given]:
    """In order of precedence; at least one has a URL."""
    places = [arguments]
    if profile:
        named = _profile(profile)
        if arguments.url and _origin(arguments.url) != _origin(named.url or ""):
            raise BadArgument(f"url is not that of the profile {profile!r}: leave out one of them")
        places.append(named)
    environment = Given.of(
        "the environment", {name: os.environ.get(f"TARSLAB_{name.upper()}") for name in MEMBERS}
    )
    places.append(environment)
    if not profile:
        fallback = os.environ.get("TARSLAB_PROFILE")
        if fallback or not (arguments.url or environment.url):
            places.append(_profile(fallback or DEFAULT_PROFILE))
    return places


def _of_one_kind(places: list[Given]) -> dict[str, Any]:
    """The API key, or the username and password, of the first place that has either."""
    username: str | None = None
    password: Secret | None = None
    for place in places:
        if place.api_key and (place.username or place.password):
            raise BadArgument(f"both a username and an API key in {place.place}: leave out one")
        if place.api_key and not username:
            return {"api_key": _sendable(place.api_key)}
        if not username or place.username in (None, username):
            username = username or place.username
            password = password or place.password
    if password and not username:
        raise BadArgument("a password without a username: give username, or set TARSLAB_USERNAME")
    return {"username": username, "password": password}


def _profile(name: str) -> Given:
    path = profiles_path()
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise BadArgument(f"{path}: other users can open it; chmod 600 {path}")
            profiles = tomllib.load(file)
    except FileNotFoundError:
        raise BadArgument(
            f"no URL: give url, set TARSLAB_URL, or write [{name}] with url = ... to {path}"
        ) from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadArgument(f"{path}: cannot be read ({error})") from None
    members = profiles.get(name)
    if not isinstance(members, dict):
        raise BadArgument(f"{path}: no profile {name!r}; there are {', '.join(profiles) or 'none'}")
    for member, value in members.items():
        if member not in MEMBERS or not isinstance(value, str):
            raise BadArgument(
                f"{path}: [{name}] {member}: a profile has texts {', '.join(MEMBERS)}"
            )
    if not members.get("url"):
        raise BadArgument(f"{path}: [{name}] lacks url")
    return Given.of(f"{path} [{name}]", members)


def _checked(url: str, place: str) -> str:
    """A URL that is one of an API, without the slash at its end."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.userinfo or "@" in url:
        raise BadArgument(f"url in {place}: give username and password beside it, not in it")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise BadArgument(f"url {url!r} in {place}: give https://host, then :port and /path if any")
    return str(parsed).rstrip("/")


def _origin(url: str) -> tuple[str, str, int | None]:
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def _sendable(key: Secret) -> Secret:
    """A key that can be a header; the errors of others would quote it."""
    text = key.reveal()
    if not (text.isascii() and text.isprintable()):
        raise BadArgument("the API key holds what no key does: is there a newline at its end?")
    return key
