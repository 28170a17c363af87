"""The clients of the T.A.R.S. admin API."""

from typing import Any, Self

from tarslab.admin.credentials import Given, find
from tarslab.admin.endpoints import R, Resource, endpoint
from tarslab.admin.exchange import Exchange, Steps
from tarslab.admin.models import Login, Me
from tarslab.admin.resources import (
    Agents,
    ApiKeys,
    Audit,
    Health,
    Jwt,
    Maintenance,
    Proposals,
    Studies,
    Users,
)
from tarslab.admin.running import Awaiting, Blocking
from tarslab.admin.secret import Secret
from tarslab.errors import BadArgument


class _Client(Resource[R]):
    """What both clients are; they differ only in how a call is run."""

    _runner_type: type[R]

    def __init__(
        self,
        url: str | None = None,
        *,
        username: str | None = None,
        password: str | Secret | None = None,
        api_key: str | Secret | None = None,
        profile: str | None = None,
        ca_bundle: str | None = None,
        allow_http: bool = False,
        timeout: float = 10.0,
        retries: int = 3,
        transport: Any = None,
    ) -> None:
        """A client of the API at a URL.

        The first place that has it gives the URL, the credentials and the CA bundle:

        1. the arguments;
        2. the profile that is an argument;
        3. the environment: TARSLAB_URL, TARSLAB_USERNAME, TARSLAB_PASSWORD, TARSLAB_API_KEY,
           TARSLAB_CA_BUNDLE;
        4. the profile named by TARSLAB_PROFILE, or ``default`` where there is no URL so far.

        A profile is a table of ``profiles.toml`` in the user's configuration folder (on Linux
        ~/.config/tarslab/): url, and some of username, password, api_key and ca_bundle. A file
        that other users can open is refused. Credentials that stand beside another server's URL
        are not used.

        A username and password log in when a call needs it. The session is renewed before it
        expires and when it is rejected, once for all calls that wait for it; it ends by
        ``logout()`` or expires.

        Args:
            url: Of the API, ``https://host``. ``http://`` only to this machine, or see allow_http.
            username: To log in as.
            password: To log in with; without one, ``login()`` takes it.
            api_key: Instead of a username and password.
            profile: As above.
            ca_bundle: A file of PEM certificates to verify the server's by, instead of certifi's.
            allow_http: Let credentials cross a network unencrypted.
            timeout: Seconds to wait for an answer or the next part of it; for a connection 3 at
                most.
            retries: How often a call is tried again that fails in passing: no connection, no answer
                in time, 429, 502, 503, 504. The waits are random and grow, or as Retry-After says,
                and 30 s in all at most. A call that changes something, and has no idempotency key,
                is tried again only where nothing was done.
            transport: An httpx transport instead of the network, for tests.

        Raises:
            BadArgument: There is no URL, or the credentials cannot be used.
        """
        if not 0 < timeout < float("inf"):
            raise BadArgument(f"timeout {timeout!r}: give seconds above 0")
        members = {
            "url": url,
            "username": username,
            "password": password,
            "api_key": api_key,
            "ca_bundle": ca_bundle,
        }
        credentials = find(Given.of("the arguments", members), profile, allow_http=allow_http)
        self.credentials = credentials
        exchange = Exchange(credentials.url, retries)
        super().__init__(self._runner_type(exchange, credentials, timeout, transport))
        self.agents = Agents(self._runner)
        self.api_keys = ApiKeys(self._runner)
        self.jwt = Jwt(self._runner)
        self.audit = Audit(self._runner)
        self.studies = Studies(self._runner)
        self.proposals = Proposals(self._runner)
        self.users = Users(self._runner)
        self.health = Health(self._runner)
        self.maintenance = Maintenance(self._runner)

    @property
    def url(self) -> str:
        """Of the API."""
        return self.credentials.url

    @property
    def mode(self) -> str | None:
        """``normal``, or ``legacy`` while the services' Redis is out: what was last said."""
        return self._runner.exchange.mode

    @endpoint
    def login(
        self, username: str | None = None, password: str | Secret | None = None
    ) -> Steps[Login]:
        """Begin a new session, now.

        By default with the username and password that the client has; those given here are used
        this once and not kept.

        Raises:
            BadArgument: A username or password is missing, or there is an API key.
            Unauthorized: They are wrong.
        """
        return self._runner.session.login(username, password)

    @endpoint
    def logout(self) -> Steps[None]:
        """End the session, its access tokens too; only ``login()`` begins another.

        Raises:
            BadArgument: There is an API key.
            Unavailable: It could not be ended.
        """
        return self._runner.session.logout()

    @endpoint
    def me(self) -> Steps[Me]:
        """Whose the credentials are, and what they may do."""
        return self._ask("GET", "/auth/me", Me)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.credentials}>"


class AdminClient(_Client[Blocking]):
    """The T.A.R.S. admin API, for scripts and notebooks. Threads may share one.

    >>> with AdminClient("https://tars.example", username="ada", password=password) as admin:
    ...     admin.agents.list().to_frame()
    ...     admin.jwt.rotate(grace_seconds=1200)
    """

    _runner_type = Blocking

    def close(self) -> None:
        """Close the connections; the session on the service goes on until it expires."""
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncAdminClient(_Client[Awaiting]):
    """The T.A.R.S. admin API under asyncio: the same, with each call awaited, in one event loop.

    >>> async with AsyncAdminClient("https://tars.example", api_key=key) as admin:
    ...     agent = await admin.agents.get("ppo")
    ...     async for event in admin.audit.list(action="agent.promote"):
    ...         print(event.actor, event.target)
    """

    _runner_type = Awaiting

    async def aclose(self) -> None:
        """Close the connections; the session on the service goes on until it expires."""
        await self._runner.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
