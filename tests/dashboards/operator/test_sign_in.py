"""Signing in and out, and what a session that ends leaves."""

import asyncio
from pathlib import Path

import tarslab as tl
from tarslab.admin import AdminClient
from tests.dashboards.operator.person import Person, leave
from tests.stack.served import PASSWORD, Served, Valkey, settings_of


def test_who_signs_in_is_shown_with_what_they_may_do_and_for_how_long(live) -> None:
    async def story(ada: Person) -> None:
        shown = ada.dashboard.sign_in.me.value
        assert "<dd>admin</dd>" in shown
        assert "agents:write" in shown
        # 60 s after the service's time, which is told from whole seconds.
        assert "in 0:59" in shown or "in 1:00" in shown or "in 0:58" in shown
        assert ada.dashboard.masthead.who == "signed in as admin"
        assert ada.dashboard.masthead.mode == "normal"

    live(story)


def test_a_wrong_password_is_said_at_its_field(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.sign_in(service.url, "not that")
        form = ada.dashboard.sign_in.sign_in
        assert "Wrong user name or password." in form.errors["password"]
        assert form.note == ""
        assert ada.dashboard.session.me is None
        await ada.sign_in(service.url, PASSWORD)
        assert ada.dashboard.session.me is not None

    live(story, signed_in=False)


def test_what_is_missing_or_no_url_is_said_at_its_field(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        form = ada.dashboard.sign_in.sign_in
        await ada.sign_in("", PASSWORD)
        assert form.errors == {"url": "Is needed."}
        await ada.sign_in(service.url, PASSWORD, username=" ")
        assert form.errors == {"username": "Is needed."}
        await ada.sign_in(service.url, "")
        assert form.errors == {"password": "Is needed."}
        await ada.sign_in("http://tars.example", PASSWORD)
        assert "unencrypted" in form.errors["url"]

    live(story, signed_in=False)


def test_too_many_failures_are_waited_out_with_a_countdown(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        form = ada.dashboard.sign_in.sign_in
        logins = lambda: len(service.get("/audit", action="auth.login")["items"])  # noqa: E731
        before = logins()
        # The settings of the stack allow five.
        for _ in range(6):
            await ada.sign_in(service.url, "not that")
        assert "Too many failed logins" in form.note
        wait = form.wait
        assert 25 <= wait <= 30
        await ada.sign_in(service.url, PASSWORD)
        assert logins() == before + 5
        while form.wait == wait:
            await asyncio.sleep(0.05)
            ada.dashboard.sign_in.look()

    live(story, signed_in=False)


def test_signing_out_ends_the_session_and_clears_what_was_seen(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        assert ada.dashboard.agents.table.rows
        await ada.submit(ada.dashboard.sign_in.sign_out)
        assert ada.dashboard.session.me is None
        assert ada.dashboard.agents.table.rows == []
        assert ada.dashboard.tabs.selected_index == 0
        assert "Signed out." in ada.dashboard.sign_in.ended.value
        assert len(service.get("/audit", actor="admin", action="auth.logout")["items"]) == 1
        # It does not sign in again by itself, nor is anything asked.
        await ada.open("Agents")
        assert ada.dashboard.agents.table.rows == []
        assert "Sign in first." in ada.dashboard.agents._why_not.value

    live(story)


def test_a_session_that_ended_leads_back_to_sign_in_and_keeps_the_work(
    live, service: Served
) -> None:
    service.user("ada", "admin")

    async def story(ada: Person) -> None:
        dashboard = ada.dashboard
        await ada.open("API keys")
        create = dashboard.api_keys.create
        create.values = {**create.values, "name": "half typed"}
        end_sessions_of(service, "ada")
        await dashboard.refresh()
        assert dashboard.page.title == "Sign in"
        assert "Your session has ended" in dashboard.sign_in.ended.value
        assert create.blocked == "Sign in first."
        await ada.sign_in(service.url, PASSWORD, username="ada")
        assert dashboard.page.title == "API keys"
        assert create.values["name"] == "half typed"
        assert create.blocked == ""

    live(story, username="ada")


def test_an_action_that_meets_an_ended_session_says_that_nothing_was_done(
    live, service: Served
) -> None:
    service.user("ada", "admin")

    async def story(ada: Person) -> None:
        await ada.open("API keys")
        end_sessions_of(service, "ada")
        create = ada.dashboard.api_keys.create
        await ada.submit(create, name="ci", scopes=["agents:read"])
        assert "Nothing was done: sign in, and do it again." in create.note
        assert ada.dashboard.page.title == "Sign in"
        assert service.get("/api-keys")["items"] == []

    live(story, username="ada")


def test_the_access_token_is_renewed_without_a_click(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        dashboard = ada.dashboard
        assert dashboard.session.me is not None
        before = dashboard.session.me.expires_at or 0.0
        # The service's time moves on, so that it refuses the token.
        service.clock.advance(100)
        await dashboard.refresh()
        assert dashboard.session.me is not None
        assert (dashboard.session.me.expires_at or 0.0) >= before + 100
        actions = [e["action"] for e in service.get("/audit", actor="admin")["items"]]
        assert actions.count("auth.refresh") == 1

    live(story)


def test_a_client_with_credentials_is_signed_in_by_itself(service: Served) -> None:
    async def look() -> None:
        with AdminClient(service.url, username="admin", password=PASSWORD) as admin:
            dashboard = tl.dashboards.operator(admin)
        assert dashboard.session.me is None
        await dashboard.refresh()
        assert dashboard.masthead.who == "signed in as admin"
        await leave(dashboard)

    asyncio.run(look())


def test_an_api_key_is_named_as_such_and_can_be_signed_out_of(service: Served) -> None:
    key = service.post("/api-keys", {"name": "ci", "scopes": ["agents:read"]})["key"]

    async def look() -> None:
        dashboard = tl.dashboards.operator(AdminClient(service.url, api_key=key))
        await dashboard.refresh()
        assert "an API key" in dashboard.sign_in.me.value
        assert "This takes the scope keys:read, which" in dashboard.session.lacks("keys:read")
        person = Person(dashboard)
        await person.submit(dashboard.sign_in.sign_out)
        await dashboard.refresh()
        assert dashboard.masthead.who == "not signed in"
        await leave(dashboard)

    asyncio.run(look())


def end_sessions_of(service: Served, name: str) -> None:
    """Remove a user, and have another one of the same name."""
    assert service.ask("DELETE", f"/users/{name}").status_code == 204
    service.user(name, "admin")


def test_who_signs_in_next_does_not_see_what_another_has_seen(live, service: Served) -> None:
    service.user("ada", "admin")
    service.user("vera", "viewer")
    service.post("/api-keys", {"name": "ci", "scopes": ["agents:read"]})

    async def story(ada: Person) -> None:
        await ada.open("Agents")
        agents = ada.dashboard.agents
        agents.table.selected = "dqn"
        await ada.open("API keys")
        table = ada.dashboard.api_keys.table
        assert table.rows
        end_sessions_of(service, "ada")
        await ada.dashboard.refresh()
        assert table.rows
        await ada.sign_in(service.url, PASSWORD, username="vera")
        assert table.rows == []
        assert (agents.details.value, agents.versions.rows) == ("", [])

    live(story, username="ada")


def test_the_same_name_at_another_service_is_somebody_else(
    live, service: Served, valkey: Valkey, tmp_path: Path
) -> None:
    other = Served(settings_of(tmp_path / "other", valkey.url))
    service.user("ada", "admin")

    async def story(ada: Person) -> None:
        await ada.open("Audit")
        assert ada.dashboard.audit.badge.value
        await ada.open("Agents")
        end_sessions_of(service, "ada")
        await ada.dashboard.refresh()
        await ada.sign_in(other.url, PASSWORD, username="ada")
        assert ada.dashboard.audit.badge.value == ""

    try:
        live(story, username="ada")
    finally:
        other.stop()


def test_what_a_service_says_is_text_and_no_html() -> None:
    dashboard = tl.dashboards.operator("https://tars.example")
    dashboard.audit._show("<img src=x onerror=alert(1)> lacks a scope")
    assert dashboard.audit._why_not.value == (
        "<p>&lt;img src=x onerror=alert(1)&gt; lacks a scope</p>"
    )
    dashboard.close()
