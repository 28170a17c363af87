"""Who is signed in, and where: the only way from the dashboard to a service."""

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from tarslab.admin import AdminClient, AsyncAdminClient, Secret, Unauthorized
from tarslab.admin.models import Me
from tarslab.errors import BadArgument

T = TypeVar("T")

# Seconds without an answer after which a service counts as unreachable.
PATIENCE = 5.0
SIGNED_OUT = "Sign in first."
# Why nobody is signed in any more.
LEFT = "Signed out."
ENDED = "Your session has ended. Sign in to go on: what you typed elsewhere is kept."


class Session:
    """The client and what is known of its credentials; their secrets stay in the client.

    Whoever ``watch``es is called after every change of:

    - ``me``: who is signed in, or None;
    - ``ended``: why nobody is any more, or "";
    - ``mode``: ``normal``, ``legacy``, or "" where it is not known.
    """

    def __init__(self, client: AdminClient | AsyncAdminClient | None = None) -> None:
        self._client = None if client is None else _like(client)
        self.me: Me | None = None
        self.ended = ""
        self._ahead = 0.0
        self._watchers: list[Callable[[], None]] = []

    @property
    def url(self) -> str:
        """Of the API, or ""."""
        return "" if self._client is None else self._client.url

    @property
    def username(self) -> str:
        """Whom the client was given to sign in as, or ""."""
        return "" if self._client is None else self._client.credentials.username or ""

    @property
    def mode(self) -> str:
        """What the last answer said."""
        return "" if self._client is None else self._client.mode or ""

    @property
    def can_sign_in_alone(self) -> bool:
        """Whether the client has credentials, as of a profile, and nobody has signed out of it."""
        if self._client is None or self.ended:
            return False
        credentials = self._client.credentials
        return bool(credentials.api_key or credentials.password)

    def now(self) -> float:
        """The service's time, in Unix seconds, as far as it is known."""
        return time.time() + self._ahead

    def watch(self, changed: Callable[[], None]) -> None:
        """Have this called after changes."""
        self._watchers.append(changed)

    def lacks(self, scope: str) -> str:
        """Why something that takes a scope is not possible, or ""."""
        if self.me is None:
            return SIGNED_OUT
        if scope and scope not in self.me.scopes:
            whose = f"{self.me.name} ({self.me.role})" if self.me.role else self.me.name
            return f"This takes the scope {scope}, which {whose} lacks."
        return ""

    async def sign_in(self, url: str, username: str, password: Secret) -> None:
        """Begin a session, whose password is not kept.

        Raises:
            BadArgument: The URL, username or password cannot be used.
            AdminError: As of ``login``.
        """
        client = _client(url, username=username, **self._trust(url))
        asked = time.time()
        try:
            login = await client.login(password=password)
            me = await client.me()
        except BaseException:
            await client.aclose()
            raise
        before, self._client = self._client, client
        if before is not None:
            await before.aclose()
        # How long a token lives and when it expires, together, tell the service's time.
        self._ahead = 0.0 if me.expires_at is None else me.expires_at - login.expires_in - asked
        self.me, self.ended = me, ""
        self._changed()

    async def sign_out(self) -> None:
        """End the session at the service.

        Raises:
            Unavailable: It could not be ended: it is still there.
        """
        if self._client is not None and self.me is not None and self.me.kind == "user":
            await self._client.logout()
        self.me, self.ended = None, LEFT
        self._changed()

    async def check(self) -> None:
        """Ask whose the credentials are; it renews them where they are about to expire."""
        asked = self._client
        me = await self.ask(lambda client: client.me())
        # Somebody may have signed out or in since.
        if asked is self._client and not self.ended and me != self.me:
            self.me = me
            self._changed()

    async def ask(self, call: Callable[[AsyncAdminClient], Awaitable[T]]) -> T:
        """What a call gives; what it says of the session and the service is kept.

        Raises:
            AdminError: As the call does.
        """
        if self._client is None:
            raise BadArgument("no service: sign in to one")
        client, mode = self._client, self.mode
        try:
            return await call(client)
        except Unauthorized:
            if client is self._client:
                self.me, self.ended = None, self.ended or ENDED
                self._changed()
            raise
        finally:
            if client is self._client and mode != self.mode:
                self._changed()

    async def metrics(self) -> str:
        """What the API tells Prometheus, asked for without credentials; "" where it does not."""
        if self._client is None:
            return ""
        known = self._client.credentials
        try:
            async with httpx.AsyncClient(
                timeout=PATIENCE, verify=known.verify(), trust_env=not known.local
            ) as http:
                answer = await http.get(f"{known.url}/metrics")
        except httpx.RequestError:
            return ""
        return answer.text if answer.is_success else ""

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    def _trust(self, url: str) -> dict[str, Any]:
        """What the client was given about the way to the same service."""
        if self._client is None or url.rstrip("/") != self._client.url:
            return {}
        return _way(self._client)

    def _changed(self) -> None:
        for watcher in self._watchers:
            watcher()


def connect(url: str | None, profile: str | None) -> AsyncAdminClient:
    """A client as ``AsyncAdminClient`` finds it.

    Raises:
        BadArgument: There is no URL, or the credentials cannot be used.
    """
    return _client(url, profile=profile)


def found() -> AsyncAdminClient | None:
    """The client of the environment or the default profile; None where neither has a URL.

    Raises:
        BadArgument: One has, and it cannot be used.
    """
    try:
        return connect(None, None)
    except BadArgument as error:
        if str(error).startswith("no URL") and not os.environ.get("TARSLAB_PROFILE"):
            return None
        raise


def _client(url: str | None, **more: Any) -> AsyncAdminClient:
    # The dashboard tries again itself, and shows that it does.
    return AsyncAdminClient(url, timeout=PATIENCE, retries=0, **more)


def _like(client: AdminClient | AsyncAdminClient) -> AsyncAdminClient:
    """A client with the same credentials and a session of its own."""
    known = client.credentials
    return _client(
        known.url,
        username=known.username,
        password=known.password,
        api_key=known.api_key,
        **_way(client),
    )


def _way(client: AdminClient | AsyncAdminClient) -> dict[str, Any]:
    # Whoever made the client has allowed what it does.
    return {"ca_bundle": client.credentials.ca_bundle, "allow_http": True}
