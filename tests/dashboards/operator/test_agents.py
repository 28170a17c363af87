"""The tab of the agents."""

from tests.dashboards.operator.person import Person, cells
from tests.stack.served import Served


def test_the_agents_are_listed_with_state_and_a_curve_said_in_words(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        table = ada.dashboard.agents.table
        assert cells(table, "Agent") == ["a2c", "ddpg", "dqn", "ppo"]
        assert cells(table, "State") == ["ready"] * 4
        assert cells(table, "Final reward")[3] == "500"
        curve = table.rows[3]["cells"][-1]
        assert curve["path"].startswith("M0.0 ")
        assert curve["path"].count("L") == 59
        assert "highest 500" in curve["text"]

    live(story)


def test_nothing_can_be_done_before_an_agent_is_chosen(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        tab = ada.dashboard.agents
        assert tab.of_one.layout.display == "none"
        assert tab.promote.blocked == "Choose an agent."
        ada.press(tab.promote, version="2")
        assert not tab.promote.pending

    live(story)


def test_details_name_hyperparameters_versions_and_promotions(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        tab = ada.dashboard.agents
        tab.table.selected = "dqn"
        assert tab.of_one.layout.display is None
        assert "learning_rate 0.0023" in tab.details.value
        assert "policy_kwargs.net_arch [256, 256]" in tab.details.value
        assert cells(tab.versions, "Final reward") == ["178.9", "234.9", "278.2", "271.2", "215.2"]
        assert "version 1 promoted by orchestration" in tab.promotions.value

    live(story)


def test_a_promotion_is_confirmed_with_both_versions_named_and_can_be_rolled_back(
    live, service: Served
) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        tab = ada.dashboard.agents
        tab.table.selected = "dqn"
        ada.press(tab.promote, version="3")
        asked = await ada.question()
        assert asked.startswith("Promote version 3 of dqn?")
        assert "version 1 now, whose final reward is 178.9; version 3 reached 278.2." in asked
        ada.answer(False)
        await ada.until(lambda: not tab.promote.pending)
        assert service.get("/agents/dqn")["version"] == 1

        await ada.submit(tab.promote, version="3")
        assert tab.promote.note == "dqn runs version 3."
        assert service.get("/agents/dqn")["version"] == 3
        await ada.dashboard.refresh()
        assert cells(tab.table, "Version")[2] == "3"
        assert "version 3 promoted by admin" in tab.promotions.value

        ada.press(tab.rollback)
        assert "version 3 now, and will run version 1 again." in await ada.question()
        ada.answer(True)
        await ada.until(lambda: not tab.rollback.pending)
        assert tab.rollback.note == "dqn runs version 1 again."
        assert service.get("/agents/dqn")["version"] == 1

    live(story)


def test_what_the_service_refuses_is_said_at_the_field(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        tab = ada.dashboard.agents
        tab.table.selected = "ppo"
        await ada.submit(tab.promote, version="1")
        assert "Version 1 of ppo is promoted already." in tab.promote.errors["version"]
        assert tab.promote.note == ""
        # There is nothing to name, so that nothing is asked.
        await ada.submit(tab.rollback)
        assert "Nothing to roll back" in tab.rollback.note
        # What came of one agent is not shown with another.
        tab.table.selected = "dqn"
        assert tab.promote.errors == {}
        assert tab.rollback.note == ""

    live(story)


def test_a_reload_says_what_it_applied(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Agents")
        tab = ada.dashboard.agents
        tab.table.selected = "a2c"
        ada.press(tab.reload)
        # Nobody knows here what was approved: the service of proposals is not there.
        assert "that were approved for it take effect" in await ada.question()
        ada.answer(True)
        await ada.until(lambda: not tab.reload.pending)
        assert tab.reload.note == "a2c was reloaded, no proposal applied."
        assert service.get("/audit", action="agents.reload")["items"][0]["target"] == "agents/a2c"

    live(story)


def test_a_viewer_sees_the_agents_and_why_nothing_can_be_changed(live, viewer: str) -> None:
    async def story(vera: Person) -> None:
        await vera.open("Agents")
        tab = vera.dashboard.agents
        assert cells(tab.table, "Agent") == ["a2c", "ddpg", "dqn", "ppo"]
        tab.table.selected = "ppo"
        why = "This takes the scope agents:write, which vera (viewer) lacks."
        assert [form.blocked for form in (tab.reload, tab.promote, tab.rollback)] == [why] * 3

    live(story, username=viewer)
