"""The tab of the audit log."""

import csv
import io
import json

from tarslab.dashboards.operator.tabs.audit import _safe
from tarslab.stack.store import RECORDS
from tests.dashboards.operator.person import Person, cells, received
from tests.stack.served import Served


def test_the_newest_events_are_shown_with_the_proof_of_the_chain(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        service.post("/agents/ppo/promote", {"version": 2})
        await ada.open("Audit")
        tab = ada.dashboard.audit
        assert cells(tab.table, "Action")[0] == "agents.promote"
        assert cells(tab.table, "Target")[0] == "agents/ppo"
        assert "Chain verified" in tab.badge.value
        # A new one is there with the next refresh.
        service.post("/agents/ppo/rollback")
        await ada.dashboard.refresh()
        assert cells(tab.table, "Action")[0] == "agents.rollback"

    live(story)


def test_a_log_that_was_changed_is_said_to_be_broken_and_where(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Audit")
        tab = ada.dashboard.audit
        service.run(service.core.store.call(lambda redis: redis.lset(RECORDS, 2, "{}")))
        await ada.submit(tab.verify)
        assert "Chain broken at record 3" in tab.badge.value
        assert "tars-bad" in tab.badge.value

    live(story)


def test_filters_leave_what_fits_and_can_be_taken_back(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        service.ask("GET", "/agents", token="tars_nothing")
        service.post("/agents/ppo/promote", {"version": 2})
        service.post("/agents/dqn/promote", {"version": 2})
        await ada.open("Audit")
        tab = ada.dashboard.audit
        await ada.submit(tab.apply, action="agents.promote", target="agents/dqn")
        assert cells(tab.table, "Target") == ["agents/dqn"]
        await ada.submit(tab.apply, action="", target="", result="failed")
        assert tab.table.rows == []
        await ada.submit(tab.apply, result="", since="2100-01-01T00:00:00")
        assert tab.table.rows == []
        await ada.submit(tab.apply, since="2020-01-01T00:00:00", until="2100-01-01T00:00:00")
        assert len(tab.table.rows) > 3
        await ada.submit(tab.apply, since="yesterday", until="")
        assert tab.apply.errors == {"since": "Is no date and time."}

    live(story)


def test_an_event_that_is_chosen_is_shown_in_full(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        service.post("/agents/ppo/promote", {"version": 2})
        await ada.open("Audit")
        tab = ada.dashboard.audit
        event = service.get("/audit", action="agents.promote")["items"][0]
        tab.table.selected = str(event["seq"])
        assert event["request_id"] in tab.event.value
        assert "127.0.0.1" in tab.event.value

    live(story)


def test_older_events_are_gone_through_and_stay_while_new_ones_come(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        promote(service, 45)
        await ada.open("Audit")
        tab = ada.dashboard.audit
        assert tab.newer.blocked == "These are the newest."
        newest = cells(tab.table, "Request")
        await ada.submit(tab.older)
        second = cells(tab.table, "Request")
        assert not set(newest) & set(second) - {""}
        promote(service, 1)
        await ada.dashboard.refresh()
        assert cells(tab.table, "Request") == second
        await ada.submit(tab.older)
        assert tab.older.blocked == "These are the oldest."
        assert cells(tab.table, "Action")[-1] == "stack.begin"
        await ada.submit(tab.newer)
        assert cells(tab.table, "Request") == second

    live(story)


def test_what_the_filter_leaves_is_exported_in_parts_as_json_lines_or_csv(
    live, service: Served
) -> None:
    async def story(ada: Person) -> None:
        promote(service, 210)
        await ada.open("Audit")
        tab = ada.dashboard.audit
        await ada.submit(tab.apply, action="agents.promote")
        for kind in ("jsonl", "csv"):
            before = len(received(tab.download))
            await ada.submit(tab.export, format=kind)
            *parts, end = received(tab.download)[before:]
            text = "".join(part["part"] for part in parts)
            assert end["name"].startswith("audit-")
            assert end["name"].endswith(f".{kind}")
            assert tab.export.note.startswith("210 events were exported as audit-")
            rows = (
                list(map(json.loads, text.splitlines()))
                if kind == "jsonl"
                else list(csv.DictReader(io.StringIO(text)))
            )
            assert len(rows) == 210
            assert {row["action"] for row in rows} == {"agents.promote"}
            assert [int(row["seq"]) for row in rows] == sorted(
                (int(row["seq"]) for row in rows), reverse=True
            )

    live(story)


def test_a_cell_that_a_spreadsheet_would_compute_is_exported_as_text() -> None:
    assert _safe("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert _safe("agents/ppo") == "agents/ppo"


def promote(service: Served, times: int) -> None:
    """Make so many events."""
    for _ in range(times):
        now = service.get("/agents/ppo")["version"]
        service.post("/agents/ppo/promote", {"version": now % 5 + 1})
