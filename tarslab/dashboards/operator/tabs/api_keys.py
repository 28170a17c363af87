"""The API keys: made, shown once, rotated, revoked."""

import uuid
from collections.abc import Sequence

from tarslab.admin import AsyncAdminClient
from tarslab.admin.models import ApiKey, NewApiKey
from tarslab.dashboards.operator.actions import Action, Values, Work
from tarslab.dashboards.operator.parts import (
    Badge,
    Field,
    Form,
    Question,
    Row,
    ShownOnce,
    Table,
)
from tarslab.dashboards.operator.tabs.paging import Pager
from tarslab.dashboards.operator.tabs.tab import Desk, Tab, column, heading
from tarslab.dashboards.operator.words import length, moment

CHOOSE = "Choose a key in the table."
HOUR, DAY = 3_600, 86_400
LIVES = (
    ("", "never"),
    *((str(s), f"in {length(s)}") for s in (HOUR, 7 * DAY, 30 * DAY, 365 * DAY)),
)
OVERLAPS = (("0", "not at all"), *((str(s), length(s)) for s in (HOUR, 24 * HOUR, 7 * DAY)))
TONES = {"active": "good", "rotating": "warn", "expired": "plain", "revoked": "bad"}
PAGE = 15


class ApiKeysTab(Tab):
    """A form for a new key, and the table of those that are there."""

    title = "API keys"
    scope = "keys:read"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.keys: dict[str, ApiKey] = {}
        self._attempt: tuple[Values, str] | None = None
        self.create = self.bind(
            Form("Create key", "Creating…", _fields(()), look="primary"),
            Action(self.session, self._create, scope="keys:write"),
        )
        self.shown = ShownOnce()
        self.table = Table(
            "API keys",
            ("Name", "Begins", "Scopes", "Owner", "Created", "Expires", "Last used", "State"),
            selectable=True,
            empty="There is no key yet.",
        )
        self.pager = Pager(self._show_page, PAGE)
        confirm = desk.confirm.ask
        overlap = Field("overlap_seconds", "The old key goes on working", "select", OVERLAPS)
        self.rotate = self.bind(
            Form(
                "Rotate",
                "Rotating…",
                [overlap],
                values={"overlap_seconds": str(HOUR)},
                look="primary",
            ),
            self._action(self._rotate).confirmed_by(self._about_rotating, confirm),
        )
        self.revoke = self.bind(
            Form("Revoke", "Revoking…", look="danger"),
            self._action(self._revoke).confirmed_by(self._about_revoking, confirm),
        )
        self.lay_out(
            column(heading("New key"), self.create, self.shown),
            column(self.table, self.pager.view, self.rotate, self.revoke),
        )
        self.table.chosen = self._chose

    @property
    def key(self) -> ApiKey | None:
        """The one that is chosen."""
        return self.keys.get(self.table.selected)

    async def load(self) -> None:
        self._take(await self.session.ask(_all))

    def look(self) -> None:
        scopes = self.session.me.scopes if self.session.me else ()
        if scopes:
            self.create.offer(_fields(scopes))
        super().look()

    def clear(self) -> None:
        self.shown.hide()
        self._attempt = None
        self._take([])

    def _take(self, keys: Sequence[ApiKey]) -> None:
        ended = ("expired", "revoked")
        ordered = sorted(keys, key=lambda key: (key.state in ended, -key.created_at))
        self.keys = {key.id: key for key in ordered}
        self.pager.show(len(ordered))
        self._chose()

    def _show_page(self, start: int, end: int) -> None:
        self.table.show([_row(key) for key in [*self.keys.values()][start:end]])

    def _chose(self) -> None:
        name = f"“{self.key.name}”" if self.key else ""
        self.rotate.label = f"Rotate {name}".strip()
        self.revoke.label = f"Revoke {name}".strip()
        for action in self.actions:
            action.look()

    def _action(self, work: Work) -> Action:
        return Action(
            self.session,
            work,
            scope="keys:write",
            unless=self._not_this,
            subject=lambda: self.table.selected,
        )

    def _not_this(self) -> str:
        if self.key is None:
            return CHOOSE
        ended = self.key.state in ("expired", "revoked")
        return f"“{self.key.name}” is {self.key.state}." if ended else ""

    async def _create(self, values: Values) -> str:
        # The same again after a lost answer is the same key, and not a second one.
        if self._attempt is None or self._attempt[0] != values:
            self._attempt = values, str(uuid.uuid4())
        number = self._attempt[1]
        life = float(values["expires_in"]) if values["expires_in"] else None
        made = await self.session.ask(
            lambda client: client.api_keys.create(
                values["name"], values["scopes"], expires_in=life, idempotency_key=number
            )
        )
        self._attempt = None
        self._hand_over(made, f"Key “{made.name}”: copy it now")
        self.create.put(name="", scopes=[])
        return f"Key “{made.name}” was created."

    async def _about_rotating(self, values: Values) -> Question:
        key, overlap = self._chosen(), float(values["overlap_seconds"])
        goes_on = f"goes on working for {length(overlap)}" if overlap else "ends at once"
        return Question(
            f"Rotate the key “{key.name}”?",
            (f"A new key takes its place; the old one ({key.prefix}…) {goes_on}.",),
            "Rotate",
        )

    async def _rotate(self, values: Values) -> str:
        key, overlap = self._chosen(), float(values["overlap_seconds"])
        made = await self.session.ask(
            lambda client: client.api_keys.rotate(key.id, overlap_seconds=overlap)
        )
        self._hand_over(made, f"New key “{made.name}”: copy it now")
        return f"“{made.name}” was rotated: the new key stands above."

    async def _about_revoking(self, values: Values) -> Question:
        key = self._chosen()
        return Question(
            f"Revoke the key “{key.name}”?",
            (
                f"Whatever uses it ({key.prefix}…, of {key.owner}) is refused from now on.",
                "This cannot be undone.",
            ),
            "Revoke",
        )

    async def _revoke(self, values: Values) -> str:
        key = self._chosen()
        await self.session.ask(lambda client: client.api_keys.revoke(key.id))
        self.desk.poller.hurry()
        return f"“{key.name}” was revoked."

    def _hand_over(self, made: NewApiKey, what: str) -> None:
        self.shown.show(made.key, what)
        self.desk.poller.hurry()

    def _chosen(self) -> ApiKey:
        assert self.key is not None
        return self.key


async def _all(client: AsyncAdminClient) -> list[ApiKey]:
    return [key async for key in client.api_keys.list()]


def _fields(scopes: Sequence[str]) -> list[Field]:
    return [
        Field("name", "Name", hint="What it is for."),
        Field("expires_in", "Expires", "select", LIVES),
        Field(
            "scopes",
            "Scopes",
            "checks",
            tuple((scope, scope) for scope in scopes),
            hint="A key may have scopes that you have.",
        ),
    ]


def _row(key: ApiKey) -> Row:
    state = key.state
    if key.overlap_until is not None:
        state = f"rotating, old one until {moment(key.overlap_until)[11:16]}"
    return Row(
        key.id,
        f"{key.name}, {key.state}",
        (
            key.name,
            key.prefix,
            ", ".join(key.scopes),
            key.owner,
            moment(key.created_at),
            moment(key.expires_at) or "never",
            moment(key.last_used_at) or "never",
            Badge(state, TONES.get(key.state, "plain")),
        ),
    )
