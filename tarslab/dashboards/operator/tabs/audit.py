"""The audit log: found, gone through, proven, taken away."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html import escape
from typing import Any

import msgspec

from tarslab.admin import AsyncAdminClient
from tarslab.admin.models import AuditEvent, AuditVerification
from tarslab.dashboards.operator.actions import Action, Values
from tarslab.dashboards.operator.parts import Badge, Download, Field, Form, Row, Table
from tarslab.dashboards.operator.tabs.tab import Desk, Tab, column, heading, html, row
from tarslab.dashboards.operator.troubles import BadField
from tarslab.dashboards.operator.words import facts, moment, short

PAGE = 20
RESULTS = ("ok", "denied", "failed", "refused")
TONES = {"ok": "good", "denied": "warn", "failed": "bad", "refused": "warn"}
FILTERS = (
    Field("actor", "Actor"),
    Field("action", "Action", hint="Such as agents.promote."),
    Field("target", "Target"),
    Field("result", "Result", "select", (("", "any"), *((result, result) for result in RESULTS))),
    Field("request_id", "Request id"),
    Field("since", "Since, UTC", "time"),
    Field("until", "Until, UTC", "time"),
)
FORMATS = (("jsonl", "JSON lines"), ("csv", "CSV"))
COLUMNS = AuditEvent.__struct_fields__
# Events of a part of an export, and the pause after it: Jupyter drops more than 1 MB a second.
PART, PAUSE = 200, 0.1


class AuditTab(Tab):
    """The events that a filter leaves, the newest first."""

    title = "Audit"
    scope = "audit:read"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.filter: dict[str, Any] = {}
        self.page = 0
        self._listed: Listed | None = None
        self.proof: AuditVerification | None = None
        self.badge = html()
        self.verify = self.bind(Form("Verify again", "Verifying…"), self._action(self._verify))
        self.apply = self.bind(Form("Filter", "Filtering…", FILTERS), self._action(self._apply))
        self.table = Table(
            "Events, the newest first",
            ("Time, UTC", "Actor", "Action", "Target", "Result", "Request"),
            selectable=True,
            empty="No event fits the filter.",
        )
        self.event = html()
        self.table.chosen = self._show_event
        self.newer = self.bind(
            Form("Newer", "Newer"),
            self._action(self._newer, lambda: "" if self.page else "These are the newest."),
        )
        self.older = self.bind(
            Form("Older", "Looking…"),
            self._action(self._older, lambda: "" if self._has_more else "These are the oldest."),
        )
        self.download = Download()
        self.export = self.bind(
            Form(
                "Export",
                "Exporting…",
                [Field("format", "Format", "select", FORMATS)],
                values={"format": "jsonl"},
            ),
            self._action(self._export),
        )
        self.lay_out(
            row(self.badge, self.verify),
            self.apply,
            column(self.table, row(self.newer, self.older), self.event),
            column(heading("Export what the filter leaves"), self.export, self.download),
        )

    async def load(self) -> None:
        """The newest events; who has gone to older ones is left there."""
        if self.page == 0:
            newest = await self._first()
            # Somebody may have turned the page in the meantime.
            if self.page == 0 and not self.older.pending:
                self._listed = newest
                self._show_page()
        if self.proof is None:
            await self._verify({})

    def clear(self) -> None:
        self._listed, self.page, self.proof = None, 0, None
        self.badge.value = ""
        self.table.show([])

    @property
    def _events(self) -> list[AuditEvent]:
        return [] if self._listed is None else self._listed.events

    @property
    def _has_more(self) -> bool:
        return len(self._events) > (self.page + 1) * PAGE

    def _action(self, work: Any, unless: Any = lambda: "") -> Action:
        return Action(self.session, work, scope="audit:read", unless=unless)

    async def _apply(self, values: Values) -> str:
        self.filter = _filter(values)
        self._listed, self.page = await self._first(), 0
        self._show_page()
        return ""

    async def _newer(self, values: Values) -> str:
        self.page -= 1
        self._show_page()
        return ""

    async def _older(self, values: Values) -> str:
        listed = self._listed
        assert listed is not None
        await self._fetch(listed, self.page + 1)
        # Another filter may have been applied in the meantime.
        if listed is self._listed:
            self.page += 1
            self._show_page()
        return ""

    async def _first(self) -> "Listed":
        async def begin(client: AsyncAdminClient) -> Listed:
            return Listed(client.audit.list(**self.filter))

        listed = await self.session.ask(begin)
        await self._fetch(listed, 0)
        return listed

    async def _fetch(self, listed: "Listed", page: int) -> None:
        """Have this page, and one event more where there is one."""
        await self.session.ask(lambda _: listed.have((page + 1) * PAGE + 1))

    def _show_page(self) -> None:
        start = self.page * PAGE
        self.table.show(map(_row, self._events[start : start + PAGE]))
        for action in self.actions:
            action.look()

    def _show_event(self) -> None:
        chosen = [event for event in self._events if str(event.seq) == self.table.selected]
        self.event.value = facts(_in_full(chosen[0])) if chosen else ""

    async def _verify(self, values: Values) -> str:
        proof = await self.session.ask(lambda client: client.audit.verify())
        self.proof = proof
        self.badge.value = _badge(proof, self.session.now())
        return ""

    async def _export(self, values: Values) -> str:
        kind = values["format"]
        number = 0

        async def export(client: AsyncAdminClient) -> None:
            nonlocal number
            part: list[AuditEvent] = []
            if kind == "csv":
                self.download.add(_csv([], header=True))
            async for event in client.audit.list(**self.filter):
                part.append(event)
                number += 1
                if len(part) == PART:
                    self.download.add(_text(part, kind))
                    self.export.doing = f"Exporting… {number:,}"
                    part = []
                    await asyncio.sleep(PAUSE)
            self.download.add(_text(part, kind))

        try:
            await self.session.ask(export)
        except BaseException:
            self.download.drop()
            raise
        finally:
            self.export.doing = "Exporting…"
        day = datetime.fromtimestamp(self.session.now(), UTC)
        name = f"audit-{day:%Y%m%dT%H%M%SZ}.{kind}"
        self.download.finish(name, "text/csv" if kind == "csv" else "application/jsonl")
        return f"{number:,} events were exported as {name}."


class Listed:
    """A list as far as it was fetched."""

    def __init__(self, more: AsyncIterator[AuditEvent]) -> None:
        self.events: list[AuditEvent] = []
        self._more = more

    async def have(self, wanted: int) -> None:
        """Fetch until there are so many, or no more."""
        while len(self.events) < wanted:
            try:
                self.events.append(await anext(self._more))
            except StopAsyncIteration:
                return


def _filter(values: Values) -> dict[str, Any]:
    texts = {name: value.strip() for name, value in values.items() if value.strip()}
    for name in ("since", "until"):
        if name in texts:
            try:
                texts[name] = datetime.fromisoformat(texts[name]).replace(tzinfo=UTC)
            except ValueError:
                raise BadField(name, "is no date and time") from None
    return texts


def _row(event: AuditEvent) -> Row:
    kind, slash, name = (event.target or "").partition("/")
    place, rest, last = name.rpartition("/")
    return Row(
        str(event.seq),
        f"event {event.seq}, {event.action}",
        (
            moment(event.time),
            event.actor or "",
            event.action,
            f"{kind}{slash}{place}{rest}{short(last)}",
            Badge(event.result, TONES.get(event.result, "plain")),
            short(event.request_id or ""),
        ),
    )


def _in_full(event: AuditEvent) -> list[tuple[str, str]]:
    shown = {name: _plain(getattr(event, name)) for name in COLUMNS}
    shown["time"] = f"{moment(event.time)} UTC"
    return [(name.replace("_", " "), text) for name, text in shown.items() if text]


def _badge(proof: AuditVerification, now: float) -> str:
    at = f"at {moment(now)} UTC"
    if proof.valid:
        tone, word = "good", "Chain verified"
        said = f"{proof.records:,} records and {proof.checkpoints:,} checkpoints, {at}"
    elif proof.first_bad is not None:
        tone, word = "bad", f"Chain broken at record {proof.first_bad.seq:,}"
        said = f"{proof.first_bad.reason}; {proof.records:,} records before it are good, {at}"
    else:
        tone, word, said = "bad", "Chain broken", at
    return f'<p><span class="tars-badge tars-{tone}">{word}</span> {escape(said)}</p>'


def _text(events: list[AuditEvent], kind: str) -> str:
    if kind == "csv":
        return _csv(events)
    return "".join(msgspec.json.encode(event).decode() + "\n" for event in events)


def _csv(events: list[AuditEvent], *, header: bool = False) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(COLUMNS)
    for event in events:
        writer.writerow([_safe(_plain(getattr(event, name))) for name in COLUMNS])
    return text.getvalue()


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _safe(text: str) -> str:
    """A text that a spreadsheet does not take for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
