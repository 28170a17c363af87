"""The tab of the API keys."""

import asyncio
from typing import Any

import pytest

import tarslab as tl
from tarslab.admin import AdminClient
from tarslab.dashboards.operator.parts import shown_once
from tests.dashboards.operator.person import Person, cells, leave, received, tell
from tests.stack.served import Served


def test_a_new_key_is_handed_to_the_page_once_and_works(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("API keys")
        tab = ada.dashboard.api_keys
        await ada.submit(tab.create, name="ci", scopes=["agents:read"], expires_in="3600")
        assert tab.create.note == "Key “ci” was created."
        assert tab.shown.what == "Key “ci”: copy it now"
        assert received(tab.shown) == []
        tell(tab.shown, {"want": tab.shown.ticket})
        tell(tab.shown, {"want": tab.shown.ticket})
        (message,) = received(tab.shown)
        assert service.ask("GET", "/agents", token=message["key"]).status_code == 200
        await ada.dashboard.refresh()
        assert cells(tab.table, "Name") == ["ci"]
        assert cells(tab.table, "Begins") == [message["key"][:9]]
        assert cells(tab.table, "State") == ["active"]
        # The form is ready for the next one.
        assert tab.create.values["name"] == ""

    live(story)


def test_a_key_that_was_hidden_or_whose_time_is_over_is_not_handed_out(
    live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_once, "SECONDS", 0.2)

    async def story(ada: Person) -> None:
        await ada.open("API keys")
        tab = ada.dashboard.api_keys
        await ada.submit(tab.create, name="one", scopes=["agents:read"])
        ticket = tab.shown.ticket
        await ada.until(lambda: tab.shown.ticket == 0)
        tell(tab.shown, {"want": ticket})
        await ada.submit(tab.create, name="two", scopes=["agents:read"])
        ticket = tab.shown.ticket
        tell(tab.shown, {"hide": ticket})
        assert tab.shown.ticket == 0
        tell(tab.shown, {"want": ticket})
        assert received(tab.shown) == []

    live(story)


def test_a_key_on_screen_goes_with_the_session(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("API keys")
        tab = ada.dashboard.api_keys
        await ada.submit(tab.create, name="ci", scopes=["agents:read"])
        assert tab.shown.ticket
        await ada.submit(ada.dashboard.sign_in.sign_out)
        assert tab.shown.ticket == 0
        assert tab.table.rows == []

    live(story)


def test_a_double_click_makes_one_key(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("API keys")
        create = ada.dashboard.api_keys.create
        turn = create.turn
        wanted: dict[str, Any] = {"name": "ci", "scopes": ["agents:read"]}
        ada.press(create, turn=turn, **wanted)
        ada.press(create, turn=turn, **wanted)
        await ada.until(lambda: not create.pending)
        # Also where the second click is read after the first is done with.
        ada.press(create, turn=turn, **wanted)
        assert not create.pending
        assert len(service.get("/api-keys")["items"]) == 1

    live(story)


def test_the_same_again_after_a_lost_answer_is_the_same_key(live, service: Served, hang) -> None:
    async def story(ada: Person) -> None:
        await ada.open("API keys")
        tab = ada.dashboard.api_keys
        hung = hang()
        wanted: dict[str, Any] = {"name": "ci", "scopes": ["agents:read"]}
        await ada.submit(tab.create, **wanted)
        assert "The service does not answer. It may have been done" in tab.create.note
        hung.end()
        # What hung has been carried out by now.
        await ada.until(lambda: service.get("/api-keys")["items"])
        await ada.submit(tab.create, **wanted)
        assert tab.create.note == "Key “ci” was created."
        assert len(service.get("/api-keys")["items"]) == 1

    live(story)


def test_what_cannot_be_used_is_said_at_its_field(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("API keys")
        create = ada.dashboard.api_keys.create
        await ada.submit(create, name="", scopes=["agents:read"])
        assert set(create.errors) == {"name"}
        await ada.submit(create, name="ci", scopes=[])
        assert set(create.errors) == {"scopes"}
        await ada.submit(create, name="ci", scopes=["nothing:read"])
        assert set(create.errors) == {"scopes"}

    live(story)


def test_a_rotation_names_the_overlap_and_hands_over_the_new_key(live, service: Served) -> None:
    old = service.post("/api-keys", {"name": "ci", "scopes": ["agents:read"]})

    async def story(ada: Person) -> None:
        await ada.open("API keys")
        tab = ada.dashboard.api_keys
        assert tab.rotate.blocked == "Choose a key in the table."
        tab.table.selected = old["id"]
        assert tab.rotate.label == "Rotate “ci”"
        ada.press(tab.rotate, overlap_seconds="3600")
        assert f"({old['prefix']}…) goes on working for 1 h." in await ada.question()
        ada.answer(True)
        await ada.until(lambda: not tab.rotate.pending)
        tell(tab.shown, {"want": tab.shown.ticket})
        new = received(tab.shown)[-1]["key"]
        assert new != old["key"]
        for key in (old["key"], new):
            assert service.ask("GET", "/agents", token=key).status_code == 200
        await ada.dashboard.refresh()
        assert cells(tab.table, "State")[0].startswith("rotating, old one until ")

    live(story)


def test_a_revocation_names_the_key_and_ends_it(live, service: Served) -> None:
    key = service.post("/api-keys", {"name": "ci", "scopes": ["agents:read"]})

    async def story(ada: Person) -> None:
        await ada.open("API keys")
        tab = ada.dashboard.api_keys
        tab.table.selected = key["id"]
        ada.press(tab.revoke)
        asked = await ada.question()
        assert asked.startswith("Revoke the key “ci”?")
        assert "This cannot be undone." in asked
        ada.answer(True)
        await ada.until(lambda: not tab.revoke.pending)
        assert tab.revoke.note == "“ci” was revoked."
        assert service.ask("GET", "/agents", token=key["key"]).status_code == 401
        await ada.dashboard.refresh()
        assert cells(tab.table, "State") == ["revoked"]
        assert tab.revoke.blocked == "“ci” is revoked."

    live(story)


def test_a_key_with_more_scopes_than_ones_own_cannot_be_rotated_and_says_why(
    service: Served,
) -> None:
    def make(name: str, *scopes: str) -> dict[str, str]:
        return dict(service.post("/api-keys", {"name": name, "scopes": scopes}))

    wide, narrow = make("wide", "users:write"), make("narrow", "agents:read")
    # An API key may do less than the admin who has made it.
    key = make("mine", "agents:read", "keys:read", "keys:write")["key"]

    async def story() -> None:
        dashboard = tl.dashboards.operator(AdminClient(service.url, api_key=key))
        await dashboard.refresh()
        ada = Person(dashboard)
        await ada.open("API keys")
        tab = dashboard.api_keys
        tab.table.selected = wide["id"]
        await ada.submit(tab.rotate)
        assert tab.rotate.blocked.startswith("This key has scopes that ")
        # It is of that key alone.
        tab.table.selected = narrow["id"]
        assert tab.rotate.blocked == ""
        tab.table.selected = wide["id"]
        assert tab.rotate.blocked.startswith("This key has scopes that ")
        await leave(dashboard)

    asyncio.run(story())


def test_many_keys_are_gone_through_a_page_at_a_time_the_newest_first(
    live, service: Served
) -> None:
    for number in range(32):
        service.post("/api-keys", {"name": f"key {number}", "scopes": ["agents:read"]})

    async def story(ada: Person) -> None:
        await ada.open("API keys")
        tab = ada.dashboard.api_keys
        assert cells(tab.table, "Name") == [f"key {n}" for n in range(31, 16, -1)]
        before, after, where = tab.pager.view.children
        assert "1–15 of 32" in where.value
        assert before.blocked == "This is the first page."
        ada.press(after)
        ada.press(after)
        assert cells(tab.table, "Name") == ["key 1", "key 0"]
        assert after.blocked == "This is the last page."
        # A refresh stays there.
        await ada.dashboard.refresh()
        assert cells(tab.table, "Name") == ["key 1", "key 0"]
        ada.press(before)
        assert "16–30 of 32" in where.value

    live(story)


def test_an_operator_sees_the_keys_and_a_viewer_why_not(live, service: Served, viewer: str) -> None:
    service.user("oda", "operator")
    service.post("/api-keys", {"name": "ci", "scopes": ["agents:read"]})

    async def operators(oda: Person) -> None:
        await oda.open("API keys")
        tab = oda.dashboard.api_keys
        assert cells(tab.table, "Name") == ["ci"]
        assert tab.create.blocked == "This takes the scope keys:write, which oda (operator) lacks."

    async def viewers(vera: Person) -> None:
        await vera.open("API keys")
        tab = vera.dashboard.api_keys
        assert tab.table.rows == []
        assert "keys:read, which vera (viewer) lacks." in tab._why_not.value
        assert tab._why_not.layout.display is None

    live(operators, username="oda")
    live(viewers, username=viewer)
