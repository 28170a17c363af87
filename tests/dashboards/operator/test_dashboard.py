"""The dashboard as a whole: what it asks and when, and what it says when that fails."""

import asyncio
from pathlib import Path

import pytest

import tarslab as tl
from tarslab.admin import AdminClient, Forbidden, RateLimited, Unavailable
from tarslab.dashboards.operator.tabs import AgentsTab
from tarslab.errors import BadArgument
from tests.dashboards.operator.person import Person, cells, leave, tell
from tests.stack.served import PASSWORD, Served


def test_it_needs_no_service_and_no_loop_to_be_made() -> None:
    dashboard = tl.dashboards.operator()
    assert [page.title for page in dashboard.pages] == [
        *("Sign in", "Agents", "API keys", "Signing keys", "Audit", "Health")
    ]
    assert dashboard.masthead.where == "No service yet"
    assert dashboard.agents._why_not.value == "<p>Sign in first.</p>"
    dashboard.close()


def test_a_page_without_a_kernel_is_told_where_it_works_and_nothing_else() -> None:
    bundle = tl.dashboards.operator("https://tars.example")._repr_mimebundle_()
    assert set(bundle) == {*("text/plain", "text/html", "application/vnd.jupyter.widget-view+json")}
    assert bundle["text/plain"] == "<OperatorDashboard>"
    assert "tars.example" not in str(bundle["text/html"])


def test_a_url_a_client_or_a_profile_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert tl.dashboards.operator("https://one.example/").masthead.where == "https://one.example"
    profiles = tmp_path / "config" / "tarslab" / "profiles.toml"
    profiles.parent.mkdir(parents=True)
    profiles.write_text('[two]\nurl = "https://two.example"\nusername = "ada"\n')
    profiles.chmod(0o600)
    dashboard = tl.dashboards.operator(profile="two")
    assert dashboard.masthead.where == "https://two.example"
    assert dashboard.sign_in.sign_in.values["username"] == "ada"
    monkeypatch.setenv("TARSLAB_PROFILE", "two")
    assert tl.dashboards.operator().masthead.where == "https://two.example"
    client = AdminClient("http://far.example", username="ada", allow_http=True)
    assert tl.dashboards.operator(client).masthead.where == "http://far.example"
    with pytest.raises(BadArgument, match="a client and a profile"):
        tl.dashboards.operator(client, profile="two")
    with pytest.raises(BadArgument, match="no profile 'three'"):
        tl.dashboards.operator(profile="three")


def test_nothing_is_asked_before_anybody_looks_nor_once_nobody_does(service: Served) -> None:
    async def story() -> None:
        admin = AdminClient(service.url, username="admin", password=PASSWORD)
        dashboard = tl.dashboards.operator(admin)
        ada = Person(dashboard)
        before = requests(service)
        await asyncio.sleep(0.1)
        assert requests(service) == before
        tell(dashboard.masthead, {"pulse": "view"})
        await ada.until(lambda: dashboard.session.me is not None)
        await ada.until(lambda: "Refreshed at" in dashboard.masthead.refreshed)
        tell(dashboard.masthead, {"gone": "view"})
        await ada.until(lambda: not dashboard.poller.running)
        await leave(dashboard)

    asyncio.run(story())


def test_only_the_tab_that_is_open_is_refreshed(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Health")
        asked = [label for label in routes(service) if label in ("/agents", "/api-keys", "/audit")]
        assert asked == []

    live(story)


def test_a_service_that_hangs_is_said_and_the_dashboard_goes_on_and_recovers_by_itself(
    live, hang
) -> None:
    async def story(ada: Person) -> None:
        dashboard = ada.dashboard
        await ada.open("Agents")
        hung = hang()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.005)

        counting = asyncio.create_task(count())
        dashboard.poller.hurry()
        while not dashboard.masthead.banner:
            tell(dashboard.masthead, {"pulse": "view"})
            await asyncio.sleep(0.02)
        # The loop has turned all the while: the interface does not freeze.
        assert turns > 20
        assert dashboard.masthead.banner == "The service does not answer."
        assert dashboard.masthead.countdown.startswith("Trying again")
        assert cells(dashboard.agents.table, "Agent") == ["a2c", "ddpg", "dqn", "ppo"]
        hung.end()
        while dashboard.masthead.banner:
            tell(dashboard.masthead, {"pulse": "view"})
            await asyncio.sleep(0.02)
        counting.cancel()

    live(story)


def test_one_that_is_not_there_is_said_at_the_form(live, service: Served, free_port: int) -> None:
    async def story(ada: Person) -> None:
        await ada.sign_in(f"http://127.0.0.1:{free_port}", PASSWORD)
        assert ada.dashboard.sign_in.sign_in.note == "The service does not answer."

    live(story, signed_in=False)


def test_attempts_that_fail_are_made_more_and_more_seldom(live, hang) -> None:
    async def story(ada: Person) -> None:
        waits = [ada.dashboard._put_off(Unavailable("none")) for _ in range(6)]
        assert waits == [1, 2, 4, 8, 15, 15]

    live(story)


def test_too_many_requests_are_waited_out(live, service: Served, monkeypatch) -> None:
    async def story(ada: Person) -> None:
        dashboard = ada.dashboard
        await ada.open("Agents")
        tab = dashboard.agents
        tab.table.selected = "ppo"
        limit = service.core.requests
        # What was counted against one limit says nothing of another.
        tight = limit._replace(name="tight", burst=1, rate=0.2)
        monkeypatch.setattr(service.core, "requests", tight)
        await dashboard.refresh()
        assert dashboard.masthead.banner.startswith("Over 0.2 requests a second.")
        assert dashboard.masthead.countdown.startswith("Trying again in ")
        await ada.submit(tab.rollback)
        assert "Over 0.2 requests a second." in tab.rollback.note
        assert 1 <= tab.rollback.wait <= 5
        monkeypatch.setattr(service.core, "requests", limit)
        await dashboard.refresh()
        assert dashboard.masthead.banner == ""
        # What was said goes with the wait.
        while tab.rollback.wait:
            await asyncio.sleep(0.05)
            tab.look()
        assert tab.rollback.note == ""

    live(story)


def test_the_next_refresh_comes_when_the_service_says(live) -> None:
    async def story(ada: Person) -> None:
        dashboard = ada.dashboard
        assert dashboard._put_off(RateLimited("too many", retry_after=7.0)) == 7
        assert dashboard.masthead.countdown == "Trying again in 7 s."

    live(story)


def test_a_refusal_of_the_service_takes_the_place_of_the_tab(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        # Since the last look at the session, the service has become stricter.
        tab = ada.dashboard.agents

        async def load() -> None:
            raise Forbidden("no", request_id="r", status=403)

        tab.load = load  # type: ignore[method-assign]
        await ada.open("Agents")
        assert tab._why_not.layout.display is None
        assert tab.table.layout.display == "none"
        del tab.load
        await ada.dashboard.refresh()
        assert tab.table.layout.display is None

    live(story)


def test_a_defect_is_said_and_is_no_endless_pending(live, monkeypatch, caplog) -> None:
    async def broken(self: AgentsTab, values: object) -> str:
        raise ZeroDivisionError("secret figures")

    monkeypatch.setattr(AgentsTab, "_promote", broken)

    async def story(ada: Person) -> None:
        await ada.open("Agents")
        tab = ada.dashboard.agents
        tab.table.selected = "ppo"
        await ada.submit(tab.promote, version="2")
        assert tab.promote.note == "The dashboard failed: ZeroDivisionError."
        assert not tab.promote.pending

    live(story)


def test_a_question_that_is_open_is_the_only_one(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        tab = ada.dashboard.agents
        tab.table.selected = "ppo"
        ada.press(tab.promote, version="2")
        await ada.question()
        first = ada.asked["ticket"]
        ada.press(tab.reload)
        await ada.until(lambda: tab.reload.pending)
        assert ada.asked["ticket"] == first
        # The answer to another question is none to this one.
        tell(ada.dashboard.confirm, {"answer": True, "ticket": first + 1})
        assert ada.asked["ticket"] == first
        ada.answer(False)
        await ada.until(lambda: ada.asked.get("ticket") == first + 1)
        ada.answer(False)
        await ada.until(lambda: not tab.reload.pending)

    live(story)


def test_a_closed_dashboard_gives_up_what_it_was_doing(live, hang) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        tab = ada.dashboard.agents
        tab.table.selected = "ppo"
        ada.press(tab.promote, version="2")
        await ada.question()
        ada.dashboard.close()
        await ada.until(lambda: not tab.promote.pending)

    live(story)


def requests(service: Served) -> float:
    """How many requests it has answered."""
    return sum(routes(service).values())


def routes(service: Served) -> dict[str, float]:
    """How often each route was asked."""
    counted: dict[str, float] = {}
    for family in service.core.metrics.requests.collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                route = sample.labels["route"]
                counted[route] = counted.get(route, 0.0) + sample.value
    return counted
