"""Signing in and out, and who one is."""

from tarslab.admin import Secret, Unauthorized
from tarslab.dashboards.operator.actions import Action, Values
from tarslab.dashboards.operator.parts import Field, Form
from tarslab.dashboards.operator.tabs.tab import Desk, Tab, html, show_facts
from tarslab.dashboards.operator.troubles import BadField, trouble_of
from tarslab.dashboards.operator.words import countdown
from tarslab.errors import BadArgument

FIELDS = (
    Field("url", "Service", hint="https://host", autocomplete="url"),
    Field("username", "Username", autocomplete="username"),
    Field("password", "Password", kind="password", autocomplete="current-password"),
)


class SignInTab(Tab):
    """The form to sign in; for who is signed in, what is known of them."""

    title = "Sign in"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        start = {"url": self.session.url, "username": self.session.username}
        self.ended = html()
        self.sign_in = self.bind(
            Form("Sign in", "Signing in…", FIELDS, values=start, look="primary"),
            Action(self.session, self._sign_in, signed_in=False),
        )
        self.me = html()
        self.sign_out = self.bind(
            Form("Sign out", "Signing out…"), Action(self.session, self._sign_out)
        )
        self.view.children = (self.ended, self.sign_in, self.me, self.sign_out)
        self.look()

    def look(self) -> None:
        session = self.session
        signed_in = session.me is not None
        self.ended.value = "" if signed_in or not session.ended else f"<p>{session.ended}</p>"
        for part in (self.ended, self.sign_in):
            part.layout.display = "none" if signed_in else None
        for part in (self.me, self.sign_out):
            part.layout.display = None if signed_in else "none"
        for action in self.actions:
            action.look()
        self.tick()

    async def refresh(self) -> None:
        self.look()

    def tick(self) -> None:
        me = self.session.me
        if me is None:
            return
        pairs = [
            ("Signed in as", me.name),
            ("By", "an API key" if me.kind == "api_key" else "a password"),
            ("Role", me.role or "none"),
            ("May", ", ".join(me.scopes)),
        ]
        if me.expires_at is not None:
            left = countdown(me.expires_at - self.session.now())
            token = me.kind == "user"
            renewed = f"in {left}; it is renewed by itself" if token else f"in {left}"
            pairs.append(("Access token expires" if token else "Expires", renewed))
        show_facts(self.me, *pairs)

    async def _sign_in(self, values: Values) -> str:
        url, username = values["url"].strip(), values["username"].strip()
        password: Secret = values["password"]
        for field, text in (("url", url), ("username", username), ("password", password.reveal())):
            if not text:
                raise BadField(field, "is needed")
        try:
            await self.session.sign_in(url, username, password)
        except BadArgument as error:
            raise BadField("url", str(error)) from None
        except Unauthorized as error:
            raise BadField("password", trouble_of(error).text) from None
        self.desk.poller.hurry()
        return ""

    async def _sign_out(self, values: Values) -> str:
        await self.session.sign_out()
        return ""
