"""The agents: how they do, which version they run, and changing that."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tarslab.admin import AsyncAdminClient, Forbidden, Unavailable
from tarslab.admin.models import Agent, AgentVersion, Proposal
from tarslab.dashboards.operator.actions import Action, Values, Work
from tarslab.dashboards.operator.parts import Badge, Field, Form, Question, Row, Table
from tarslab.dashboards.operator.tabs.tab import Desk, Tab, column, html, row, show_facts
from tarslab.dashboards.operator.words import count, moment, number, reward

CHOOSE = "Choose an agent."
LATEST_PROMOTIONS = 5


class AgentsTab(Tab):
    """A table of agents, and below it what is to know of the one that is chosen."""

    title = "Agents"
    scope = "agents:read"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.agents: dict[str, Agent] = {}
        self.table = Table(
            "Agents",
            ("Agent", "Algorithm", "Environment", "State", "Version", "Final reward", "Reward"),
            numbers=("Version", "Final reward"),
            selectable=True,
        )
        self.details = html()
        self.versions = Table(
            "Versions",
            ("Version", "Recording", "Points", "Final reward", "Promoted", "By"),
            numbers=("Version", "Points", "Final reward"),
        )
        self.promotions = html()
        confirm = desk.confirm.ask
        self.reload = self.bind(
            Form("Reload", "Reloading…"),
            self._action(self._reload).confirmed_by(self._about_reloading, confirm),
        )
        self.promote = self.bind(
            Form("Promote", "Promoting…", [_versions(())], look="primary"),
            self._action(self._promote, at="version").confirmed_by(self._about_promoting, confirm),
        )
        self.rollback = self.bind(
            Form("Roll back", "Rolling back…", look="danger"),
            self._action(self._roll_back).confirmed_by(self._about_rolling_back, confirm),
        )
        self.of_one = column(
            self.details,
            row(self.reload, self.rollback),
            self.promote,
            self.versions,
            self.promotions,
        )
        self.lay_out(self.table, column(self.of_one))
        self.table.chosen = lambda: self._show_one(chosen=True)
        self._show_one()

    @property
    def agent(self) -> Agent | None:
        """The one that is chosen."""
        return self.agents.get(self.table.selected)

    async def load(self) -> None:
        self._take(await self.session.ask(_all))

    def clear(self) -> None:
        self._take([])
        self.details.value = self.promotions.value = ""
        self.versions.show([])

    def _take(self, agents: Sequence[Agent]) -> None:
        self.agents = {agent.id: agent for agent in agents}
        self.table.show(map(_row, agents))
        self._show_one()

    def _show_one(self, *, chosen: bool = False) -> None:
        agent = self.agent
        self.of_one.layout.display = "none" if agent is None else None
        if agent is not None:
            show_facts(self.details, *_details(agent))
            self.versions.caption = f"Versions of {agent.id}"
            self.versions.show(map(_version_row, agent.versions))
            self.promotions.value = _promotions(agent)
            self.reload.label = f"Reload {agent.id}"
            self.promote.label = f"Promote this version of {agent.id}"
            self.rollback.label = f"Roll {agent.id} back"
            self.promote.offer([_versions([version.version for version in agent.versions])])
            if chosen:
                self.promote.put(version=str(agent.version))
        for action in self.actions:
            action.look()

    def _action(self, work: Work, at: str = "") -> Action:
        return Action(
            self.session,
            work,
            scope="agents:write",
            unless=lambda: "" if self.agent else CHOOSE,
            subject=lambda: self.table.selected,
            at=at,
        )

    async def _about_reloading(self, _: Values) -> Question | None:
        agent = self._chosen()

        async def approved(client: AsyncAdminClient) -> list[Proposal]:
            found = client.proposals.list(agent=agent.id, state="approved")
            return [proposal async for proposal in found]

        try:
            proposals = await self.session.ask(approved)
        except (Forbidden, Unavailable):
            said = "The hyperparameters that were approved for it take effect, if there are any."
            return Question(f"Reload {agent.id}?", (said,), "Reload")
        if not proposals:
            return None
        what = [f"trial {p.trial} of {p.study}: {_settings(p.params)}" for p in proposals]
        return Question(
            f"Reload {agent.id}?",
            (f"{count(len(proposals), 'approved proposal')} will take effect:", *what),
            "Reload",
        )

    async def _reload(self, _: Values) -> str:
        agent = self._chosen()
        reloaded = await self.session.ask(lambda client: client.agents.reload(agent.id))
        self.desk.poller.hurry()
        applied = count(len(reloaded.applied), "proposal") if reloaded.applied else "no proposal"
        return f"{agent.id} was reloaded, {applied} applied."

    async def _about_promoting(self, values: Values) -> Question:
        agent, version = self._chosen(), int(values["version"])
        rewards = {known.version: known.final_reward for known in agent.versions}
        return Question(
            f"Promote version {version} of {agent.id}?",
            (
                f"It runs version {agent.version} now, whose final reward is "
                f"{number(rewards.get(agent.version))}; version {version} reached "
                f"{number(rewards.get(version))}.",
                "It can be rolled back.",
            ),
            "Promote",
            danger=False,
        )

    async def _promote(self, values: Values) -> str:
        agent, version = self._chosen(), int(values["version"])
        await self.session.ask(lambda client: client.agents.promote(agent.id, version))
        self.desk.poller.hurry()
        return f"{agent.id} runs version {version}."

    async def _about_rolling_back(self, _: Values) -> Question | None:
        agent = self._chosen()
        previous = agent.promotions[-1].previous if agent.promotions else None
        if previous is None:
            return None
        return Question(
            f"Roll {agent.id} back?",
            (f"It runs version {agent.version} now, and will run version {previous} again.",),
            "Roll back",
        )

    async def _roll_back(self, _: Values) -> str:
        agent = self._chosen()
        after = await self.session.ask(lambda client: client.agents.rollback(agent.id))
        self.desk.poller.hurry()
        return f"{agent.id} runs version {after.version} again."

    def _chosen(self) -> Agent:
        assert self.agent is not None
        return self.agent


async def _all(client: AsyncAdminClient) -> list[Agent]:
    return [agent async for agent in client.agents.list()]


def _row(agent: Agent) -> Row:
    return Row(
        agent.id,
        agent.id,
        (
            agent.id,
            agent.algorithm,
            agent.environment,
            Badge(agent.state, "good" if agent.state == "ready" else "bad"),
            str(agent.version),
            number(agent.final_reward),
            reward(agent.reward),
        ),
    )


def _version_row(version: AgentVersion) -> Row:
    return Row(
        str(version.version),
        f"version {version.version}",
        (
            str(version.version),
            version.run,
            f"{version.points:,}",
            number(version.final_reward),
            moment(version.promoted_at),
            version.promoted_by or "",
        ),
    )


def _versions(numbers: Sequence[int]) -> Field:
    options = tuple((str(number), f"version {number}") for number in numbers)
    return Field("version", "Version", kind="select", options=options)


def _details(agent: Agent) -> list[tuple[str, str]]:
    return [
        ("Agent", f"{agent.id}: {agent.algorithm} on {agent.environment}"),
        ("Version", str(agent.version)),
        ("Loaded", f"{moment(agent.loaded_at)} UTC"),
        ("Hyperparameters", _settings(agent.hyperparameters)),
    ]


def _promotions(agent: Agent) -> str:
    """The latest, the newest first."""
    latest = agent.promotions[: -LATEST_PROMOTIONS - 1 : -1]
    lines = [
        f"{moment(one.at)} UTC: version {one.version} "
        f"{'again, rolled back' if one.rollback else 'promoted'} by {one.by}"
        for one in latest
    ]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h3>Latest promotions</h3><ul>{items}</ul>" if items else ""


def _settings(params: Mapping[str, Any]) -> str:
    shown = {k: v if isinstance(v, str) else json.dumps(v) for k, v in params.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "none"
