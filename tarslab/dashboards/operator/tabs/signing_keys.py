"""The keys that access tokens are signed with: their ring, its rotation, and the emergency."""

from tarslab.admin import Conflict
from tarslab.admin.models import KeyRing, SigningKey
from tarslab.dashboards.operator.actions import Action, Values
from tarslab.dashboards.operator.parts import Badge, Field, Form, Question, Row, Table
from tarslab.dashboards.operator.tabs.tab import (
    Desk,
    Tab,
    column,
    heading,
    html,
    row,
    seconds_of,
    show_facts,
)
from tarslab.dashboards.operator.troubles import BadField
from tarslab.dashboards.operator.words import count, countdown, length, moment, short
from tarslab.errors import TarslabError

TONES = {"active": "good", "next": "plain", "grace": "warn", "invalidated": "bad"}
BROKEN_SHOWN = 5


class SigningKeysTab(Tab):
    """The ring with its states and countdowns."""

    title = "Signing keys"
    scope = "jwt:read"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.ring: KeyRing | None = None
        self.lives = html()
        self.table = Table(
            "Signing keys",
            ("Key", "State", "Verifies for", "Created", "Active since", "Live tokens"),
            numbers=("Live tokens",),
            selectable=True,
        )
        confirm = desk.confirm.ask
        self.rotate = self.bind(
            Form("Rotate", "Rotating…", [_grace("")], look="primary"),
            Action(
                self.session,
                self._rotate,
                scope="jwt:write",
                unless=self._not_now,
                at="grace_seconds",
            ).confirmed_by(self._about_rotating, confirm),
        )
        reason = Field("reason", "Reason", hint="Stands in the audit log.")
        self.invalidate = self.bind(
            Form("Invalidate", "Invalidating…", [reason], look="danger"),
            Action(
                self.session,
                self._invalidate,
                scope="jwt:write",
                unless=self._not_this,
                subject=lambda: self.table.selected,
            ).confirmed_by(self._about_invalidating, confirm),
        )
        self.lay_out(
            self.lives,
            self.table,
            row(
                column(heading("Rotate"), self.rotate),
                column(heading("In an emergency"), self.invalidate),
            ),
        )
        self.table.chosen = self._chose

    @property
    def key(self) -> SigningKey | None:
        """The one that is chosen."""
        keys = self.ring.keys if self.ring else ()
        return next((key for key in keys if key.kid == self.table.selected), None)

    async def load(self) -> None:
        self.ring = await self.session.ask(lambda client: client.jwt.status())
        ring = self.ring
        least = ring.minimum_grace_seconds
        show_facts(
            self.lives,
            ("Mode", ring.mode),
            ("Algorithm", ring.algorithm),
            (
                "Least grace",
                f"{length(least)}: an access token lives {length(ring.access_seconds)}, clocks may "
                f"differ by {length(ring.skew_seconds)}, verifiers keep the keys for "
                f"{length(ring.jwks_cache_seconds)}",
            ),
        )
        self.rotate.offer([_grace(f"At least {least:g}; empty for the service's own.")])
        self.tick()
        self._chose()

    def tick(self) -> None:
        if self.ring is not None:
            now = self.session.now()
            self.table.show([_row(key, now) for key in self.ring.keys])

    def clear(self) -> None:
        self.ring = None
        self.lives.value = ""
        self.table.show([])

    def _chose(self) -> None:
        self.invalidate.label = f"Invalidate {short(self.key.kid)}" if self.key else "Invalidate"
        for action in self.actions:
            action.look()

    def _not_now(self) -> str:
        legacy = self.ring is not None and self.ring.mode == "legacy"
        return "Not while Redis is out." if legacy else ""

    def _not_this(self) -> str:
        if self.key is None:
            return "Choose a key in the table."
        return "It is invalidated already." if self.key.state == "invalidated" else ""

    async def _about_rotating(self, values: Values) -> Question:
        grace = seconds_of(values["grace_seconds"], "grace_seconds")
        plan = await self.session.ask(
            lambda client: client.jwt.rotate(grace_seconds=grace, rehearse=True)
        )
        if plan.refused:
            raise self._refusal(plan.refused, grace)
        until = moment(plan.grace_until)
        broken = [f"{one.subject} until {moment(one.expires_at)}" for one in plan.broken_tokens]
        tokens = count(plan.live_tokens or 0, "live token")
        return Question(
            "Rotate the signing keys?",
            (
                f"{short(plan.active or '')} signs from now on.",
                f"{short(plan.retiring or '')} signs no more, and verifies until {until} UTC.",
                f"Of {tokens}, {len(broken) or 'none'} will break" + (":" if broken else "."),
                *broken[:BROKEN_SHOWN],
            ),
            "Rotate",
            danger=bool(broken),
        )

    def _refusal(self, why: str, grace: float | None) -> TarslabError:
        """What a rehearsal refused, as the rotation itself would have been."""
        assert self.ring is not None
        if grace is not None and grace < self.ring.minimum_grace_seconds:
            return BadField("grace_seconds", why)
        # The next key is not published for long enough.
        upcoming = [key.created_at for key in self.ring.keys if key.state == "next"]
        known_at = max(upcoming, default=0.0) + self.ring.jwks_cache_seconds
        return Conflict(why, retry_after=max(1.0, known_at - self.session.now()))

    async def _rotate(self, values: Values) -> str:
        grace = seconds_of(values["grace_seconds"], "grace_seconds")
        done = await self.session.ask(lambda client: client.jwt.rotate(grace_seconds=grace))
        self.desk.poller.hurry()
        return f"{short(done.active or '')} signs now."

    async def _about_invalidating(self, values: Values) -> Question:
        key = self._chosen()
        tokens = count(key.live_tokens or 0, "live token")
        takes_over = ("It signs now: the next key takes over at once.",)
        return Question(
            f"Invalidate the signing key {short(key.kid)}?",
            (
                *(takes_over if key.state == "active" else ()),
                f"Its {tokens} break at once: who holds one has to renew it or sign in again.",
                "This cannot be undone.",
            ),
            "Invalidate",
        )

    async def _invalidate(self, values: Values) -> str:
        key, reason = self._chosen(), values["reason"].strip() or None
        done = await self.session.ask(lambda client: client.jwt.invalidate(key.kid, reason))
        self.invalidate.put(reason="")
        self.desk.poller.hurry()
        broken = count(done.broken_tokens, "token")
        return f"{short(key.kid)} is invalid, {broken} broken; {short(done.active)} signs."

    def _chosen(self) -> SigningKey:
        assert self.key is not None
        return self.key


def _grace(hint: str) -> Field:
    return Field("grace_seconds", "Grace, seconds", "number", hint=hint)


def _row(key: SigningKey, now: float) -> Row:
    verifies = {
        "active": "as long as it signs",
        "next": "from when it signs",
        "grace": "" if key.grace_until is None else countdown(key.grace_until - now),
    }
    return Row(
        key.kid,
        f"{short(key.kid)}, {key.state}",
        (
            short(key.kid),
            Badge(key.state, TONES.get(key.state, "plain")),
            verifies.get(key.state, "no more"),
            moment(key.created_at),
            moment(key.activated_at),
            "unknown" if key.live_tokens is None else str(key.live_tokens),
        ),
    )
