"""The session of a username and password: login, refresh and logout, as steps."""

import time
from dataclasses import dataclass, replace
from types import NoneType

from tarslab.admin.answers import read
from tarslab.admin.credentials import Credentials
from tarslab.admin.errors import AdminError, RateLimited, Unauthorized, Unavailable
from tarslab.admin.exchange import Exchange, Steps
from tarslab.admin.models import Login
from tarslab.admin.secret import Secret
from tarslab.errors import BadArgument

# An access token is renewed so long before it expires, or at a tenth of its life, seconds.
LEEWAY = 30.0


@dataclass(frozen=True)
class Tokens:
    """What a login or refresh gave."""

    access: Secret
    refresh: Secret | None
    good_until: float
    """By the monotonic clock, with the leeway taken off."""


class Session:
    """A session that begins when it is first needed, and is renewed while it can be.

    A refresh token is sent once: its second use would tell the service that it was stolen, and end
    the session. So it is given up before it is sent, and taken back only where it was surely not
    used.
    """

    def __init__(self, exchange: Exchange, credentials: Credentials) -> None:
        self._exchange = exchange
        self._credentials = credentials
        self._tokens: Tokens | None = None
        self._barred: Unauthorized | None = None
        """Why the password is not to be used again by itself."""

    def access(self, rejected: Secret | None = None) -> Secret | None:
        """The access token, where it is good: not the one that a service has rejected."""
        tokens = self._tokens
        if tokens is None or tokens.access is rejected or time.monotonic() >= tokens.good_until:
            return None
        return tokens.access

    def renewal(self) -> Steps[Secret]:
        """A new access token, by the refresh token or else the password.

        Raises:
            Unauthorized: Neither is there, or good.
        """
        if self._tokens and self._tokens.refresh:
            refreshed = yield from self._refresh(self._tokens, self._tokens.refresh)
            if refreshed:
                return refreshed.access
        if self._barred:
            raise self._barred.with_traceback(None)
        if not (self._credentials.username and self._credentials.password):
            raise Unauthorized(_MISSING if self._tokens is None else _ENDED)
        login = yield from self.login()
        return login.access_token

    def login(
        self, username: str | None = None, password: str | Secret | None = None
    ) -> Steps[Login]:
        """A new session, of the credentials that the client has or of others, which are not kept.

        Raises:
            BadArgument: There is no username or password, or an API key instead.
            Unauthorized: They are wrong.
        """
        held = self._credentials
        if held.api_key:
            raise BadArgument("a client with an API key has no session to log in to")
        username = username or held.username
        own = password is None and username == held.username
        secret = held.password if own else password
        if not username or not secret:
            raise BadArgument("a login needs a username and a password")
        asked = time.monotonic()
        body = {"username": username, "password": Secret(secret)}
        request = self._exchange.request("POST", "/auth/login", body=body)
        response = yield from self._exchange.send(request, repeatable=False, signed=False)
        try:
            login = read(response, Login)
        except Unauthorized as error:
            if own:
                # To try it for each call would lock the user out.
                self._barred = error
            raise
        self._barred = None
        self._tokens = _tokens(login, asked)
        return login

    def logout(self) -> Steps[None]:
        """The end of the session; login() begins another, and no call does by itself.

        Raises:
            BadArgument: The client has an API key.
            Unavailable: The service could not end it: it is still there.
        """
        if self._credentials.api_key:
            raise BadArgument("a client with an API key has no session to log out of")
        before, self._barred = self._barred, Unauthorized(_LOGGED_OUT)
        if self._tokens:
            try:
                yield from self._exchange.ask("POST", "/auth/logout", NoneType)
            except Unauthorized:
                pass  # It had ended.
            except AdminError:
                self._barred = before
                raise
        self._tokens = None

    def _refresh(self, before: Tokens, token: Secret) -> Steps[Tokens | None]:
        """New tokens; None where it takes a login."""
        self._tokens = replace(before, refresh=None)
        asked = time.monotonic()
        body = {"refresh_token": token}
        request = self._exchange.request("POST", "/auth/refresh", body=body)
        try:
            response = yield from self._exchange.send(
                request, repeatable=False, signed=False, accept=(503,)
            )
            login = read(response, Login)
        except AdminError as error:
            unused = isinstance(error, RateLimited) or (
                isinstance(error, Unavailable) and not error.maybe_done
            )
            if unused:
                self._tokens = before
            # 503 is legacy mode, in which a login works and a refresh does not.
            by_password = self._credentials.password and (error.status == 503 or not unused)
            if by_password or isinstance(error, Unauthorized):
                return None
            raise
        self._tokens = _tokens(login, asked)
        return self._tokens


_MISSING = (
    "no credentials: give username and password, or api_key; or set TARSLAB_USERNAME and "
    "TARSLAB_PASSWORD, or TARSLAB_API_KEY; or call login()"
)
_ENDED = "the session has ended, and no password is kept to begin another: call login()"
_LOGGED_OUT = "logged out: login() begins a new session"


def _tokens(login: Login, asked: float) -> Tokens:
    good = login.expires_in - min(LEEWAY, login.expires_in / 10)
    return Tokens(login.access_token, login.refresh_token, asked + good)
