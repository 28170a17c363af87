"""The operator dashboard: who is signed in, what they see, what they do."""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import ipywidgets as widgets

from tarslab.admin import AdminClient, AsyncAdminClient
from tarslab.dashboards.home import Home
from tarslab.dashboards.operator.parts import Confirm, Masthead
from tarslab.dashboards.operator.polling import Poller
from tarslab.dashboards.operator.session import LEFT, Session, connect, found
from tarslab.dashboards.operator.tabs import (
    AgentsTab,
    ApiKeysTab,
    AuditTab,
    HealthTab,
    SigningKeysTab,
    SignInTab,
)
from tarslab.dashboards.operator.tabs.tab import Desk, Tab
from tarslab.dashboards.operator.troubles import Kind, trouble_of
from tarslab.dashboards.operator.words import moment
from tarslab.errors import BadArgument, TarslabError

# Seconds between two looks at a service, and at most between two at one that does not answer.
INTERVAL = 5.0
LONGEST = 15.0
LEGACY = "legacy: Redis is out, and changes are refused"


def operator(
    client_or_url: AdminClient | AsyncAdminClient | str | None = None,
    *,
    profile: str | None = None,
) -> "OperatorDashboard":
    """A dashboard to look after a T.A.R.S. deployment with.

    Nothing is asked of a service before the dashboard is on a screen. Passwords, tokens and keys
    are in no widget's state, output or notebook. It has a session of its own.

    Parameters
    ----------
    client_or_url
        A client, whose URL and credentials are used, or a URL to sign in to. By default those that
        ``AsyncAdminClient`` finds in the environment or a profile; where there are none, the form
        asks for the URL, too.
    profile
        The name of a profile to take the URL and credentials of.

    Raises
    ------
    BadArgument
        A client and a profile, or credentials that cannot be used.
    """
    client: AdminClient | AsyncAdminClient | None
    if isinstance(client_or_url, AdminClient | AsyncAdminClient):
        if profile is not None:
            raise BadArgument("a client and a profile: leave out one of them")
        client = client_or_url
    elif client_or_url is not None or profile is not None:
        client = connect(client_or_url, profile)
    else:
        client = found()
    return OperatorDashboard(Session(client))


class OperatorDashboard(widgets.VBox):  # type: ignore[misc]
    """A line on where and who, and a tab for each thing to look after.

    What is visible is refreshed every five seconds, for as long as it is; ``refresh`` does it once.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.masthead = Masthead()
        self.confirm = Confirm()
        self.poller = Poller(self._poll, self._tick, INTERVAL)
        desk = Desk(session, self.confirm, self.poller)
        self.sign_in = SignInTab(desk)
        self.agents = AgentsTab(desk)
        self.api_keys = ApiKeysTab(desk)
        self.signing_keys = SigningKeysTab(desk)
        self.audit = AuditTab(desk)
        self.health = HealthTab(desk)
        self.pages: list[Tab] = [
            *(self.sign_in, self.agents, self.api_keys),
            *(self.signing_keys, self.audit, self.health),
        ]
        self.tabs = widgets.Tab(
            [page.view for page in self.pages],
            titles=[page.title for page in self.pages],
            selected_index=0,
        )
        super().__init__([self.masthead, self.tabs, self.confirm])
        self.add_class("tars-operator")
        # Who is signed in, and who was the last, each with the service.
        self._seen_as: tuple[str, str] | None = None
        self._last: tuple[str, str] | None = None
        self._back_to: int | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._banner = ""
        self.closing: asyncio.Task[None] | None = None
        """Done when the connections are closed, after ``close``."""
        self.masthead.pulse, self.masthead.gone = self.poller.pulse, self.poller.gone
        self.tabs.observe(Home().calls(self._turned), names="selected_index")
        session.watch(self._session_changed)
        self._session_changed()

    @property
    def page(self) -> Tab:
        """The tab that is open."""
        return self.pages[self.tabs.selected_index or 0]

    async def refresh(self) -> None:
        """Fetch what the open tab shows; what goes wrong is shown."""
        await self._poll()
        self._tick()

    def close(self) -> None:
        """Take it away: nothing is asked any more, and the session is left to expire."""
        self.poller.close()
        for page in self.pages:
            for action in page.actions:
                action.cancel()
        self.api_keys.shown.hide()
        # Without a loop no connection was ever made.
        with suppress(RuntimeError):
            self.closing = asyncio.get_running_loop().create_task(self.session.close())
        for widget in [*_below(self.tabs), self.tabs, self.masthead, self.confirm]:
            widget.close()
        super().close()

    async def _poll(self) -> float | None:
        """Refresh; the seconds until the next time, where that is not the usual."""
        session = self.session
        if session.me is None and not session.can_sign_in_alone:
            return None
        try:
            await session.check()
            await self.page.refresh()
        except TarslabError as error:
            return self._put_off(error)
        except Exception as error:
            # Nobody waits for a refresh, so that nobody else would say it.
            self._say(f"The dashboard failed: {type(error).__name__}.", INTERVAL)
            raise
        self._failures = 0
        self._say("", 0.0)
        self.masthead.refreshed = (
            f"Refreshed at {moment(session.now())[11:]} UTC, every {INTERVAL:g} s"
        )
        return None

    def _put_off(self, error: TarslabError) -> float | None:
        trouble = trouble_of(error)
        if trouble.kind is Kind.SIGNED_OUT:
            return None
        self._failures += 1
        backoff = min(LONGEST, 2.0 ** min(self._failures - 1, 10))
        seconds = trouble.seconds or backoff
        self._say(trouble.text, seconds)
        return seconds

    def _say(self, text: str, seconds: float) -> None:
        self._banner, self._retry_at = text, time.monotonic() + seconds
        self._tick()

    def _tick(self) -> None:
        self.masthead.banner = self._banner
        left = math.ceil(self._retry_at - time.monotonic())
        again = f"Trying again in {left} s." if left > 0 else "Trying again…"
        self.masthead.countdown = again if self._banner else ""
        self.page.tick()
        for action in self.page.actions:
            action.look()

    def _turned(self) -> None:
        """Another tab: show what is allowed there, and refresh it."""
        self.page.look()
        self.poller.hurry()

    def _session_changed(self) -> None:
        session, me = self.session, self.session.me
        self.masthead.where = session.url or "No service yet"
        self.masthead.who = f"signed in as {me.name}" if me else "not signed in"
        self.masthead.mode = (
            "" if me is None else LEGACY if session.mode == "legacy" else session.mode
        )
        if me is None:
            self.masthead.refreshed = ""
        now = (session.url, me.name) if me else None
        if now != self._seen_as:
            self._seen_as = now
            self._moved(now)
        for page in self.pages:
            page.look()

    def _moved(self, now: tuple[str, str] | None) -> None:
        """Somebody has signed in or out, or was signed out by the service."""
        if now is None:
            self._say("", 0.0)
            self.api_keys.shown.hide()
            left = self.session.ended == LEFT
            self._back_to = None if left else self.tabs.selected_index
            if left:
                self._clear()
            self.tabs.selected_index = 0
            return
        if now != self._last:
            self._clear()
        self._last = now
        if self._back_to is not None:
            self.tabs.selected_index, self._back_to = self._back_to, None

    def _clear(self) -> None:
        """Show nobody what somebody else has seen."""
        for page in self.pages:
            page.clear()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widgets, and beside them what a page without a kernel says."""
        bundle = dict(super()._repr_mimebundle_(**kwargs))
        return {"text/html": STILL, **bundle, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return "<OperatorDashboard>"


STILL = (
    "<p>The operator dashboard works where a kernel runs: open this notebook in JupyterLab, or run "
    "<code>tarslab dashboard operator</code>.</p>"
)


def _below(box: Any) -> Iterator[Any]:
    for child in box.children:
        if hasattr(child, "children"):
            yield from _below(child)
        yield child
