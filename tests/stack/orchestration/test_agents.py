"""The agents over HTTP: real curves, versions, promotions."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tarslab as tl
from tarslab import bundled
from tarslab.errors import BadLog
from tarslab.stack.orchestration import agents, recordings
from tarslab.stack.proposals import PROPOSALS, Proposal, ProposalState
from tests.stack.conftest import Serve, read_once
from tests.stack.served import Served, Valkey
from tests.stack.waiting import wait_until

FOLDERS = {
    "a2c": "cartpole/a2c",
    "ddpg": "pendulum/ddpg",
    "dqn": "cartpole/dqn",
    "ppo": "cartpole/ppo",
}


@cache
def loaded(agent: str) -> tl.Runs:
    """An agent's runs as tarslab itself reads them."""
    return tl.load(bundled.data(FOLDERS[agent]))


def recorded(agent: str, version: int, metric: str = "reward") -> tuple[list[int], list[float]]:
    """A curve in them, of the seed before the version: steps and values."""
    runs = loaded(agent)
    run = runs.table.loc[runs.table["seed"] == version - 1, "run"].item()
    scalars = runs.scalars[(runs.scalars["run"] == run) & (runs.scalars["metric"] == metric)]
    return scalars["step"].tolist(), scalars["value"].tolist()


def propose(valkey: Valkey, name: str, agent: str, state: str, at: float, **params: Any) -> None:
    """A proposal as hypersync keeps it."""
    proposal = Proposal(
        id=name,
        agent=agent,
        study="a study",
        trial=1,
        params=params,
        values=[1.0],
        note=None,
        state=ProposalState(state),
        proposed_by="carol",
        proposed_at=at,
        decided_by="dave",
        decided_at=at,
    )
    valkey.client.hset(PROPOSALS, name, proposal.model_dump_json())


def test_the_agents_are_listed_by_id_page_by_page(served: Served):
    first = served.get("/agents", limit=3)
    rest = served.get("/agents", limit=3, cursor=first["next_cursor"])
    assert [agent["id"] for agent in first["items"]] == ["a2c", "ddpg", "dqn"]
    assert [agent["id"] for agent in rest["items"]] == ["ppo"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("agent", "algorithm", "environment"),
    [
        ("dqn", "dqn", "CartPole-v1"),
        ("a2c", "a2c", "CartPole-v1"),
        ("ppo", "ppo", "CartPole-v1"),
        ("ddpg", "ddpg", "Pendulum-v1"),
    ],
)
def test_an_agent_is_a_recorded_algorithm_in_five_versions(
    served: Served, agent: str, algorithm: str, environment: str
):
    found = served.get(f"/agents/{agent}")
    assert (found["id"], found["algorithm"], found["environment"]) == (
        agent,
        algorithm,
        environment,
    )
    assert (found["state"], found["version"]) == ("ready", 1)
    assert [version["version"] for version in found["versions"]] == [1, 2, 3, 4, 5]
    for version in found["versions"]:
        _, rewards = recorded(agent, version["version"])
        assert version["final_reward"] == pytest.approx(sum(rewards[-100:]) / 100)
    assert found["final_reward"] == found["versions"][0]["final_reward"]


def test_an_agent_has_the_hyperparameters_of_its_training(served: Served):
    table = loaded("ppo").table
    row = table[table["seed"] == 0].iloc[0].to_dict()
    assert served.get("/agents/ppo")["hyperparameters"] == {
        str(name).removeprefix("hp."): value
        for name, value in row.items()
        if str(name).startswith("hp.")
    }


@pytest.mark.parametrize("agent", FOLDERS)
@pytest.mark.parametrize("version", [1, 4])
def test_metrics_are_those_that_tarslab_loads(served: Served, agent: str, version: int):
    found = served.get(f"/agents/{agent}/metrics", version=version, points=10_000)
    assert (found["agent"], found["version"]) == (agent, version)
    assert found["available"] == sorted(found["metrics"])
    assert "reward" in found["available"]
    for metric, curve in found["metrics"].items():
        steps, values = recorded(agent, version, metric)
        assert curve["step"] == steps
        assert curve["value"] == pytest.approx(values, rel=0, abs=0)


@pytest.mark.parametrize("points", [10, 50, 200])
def test_few_points_are_of_the_curve_with_its_ends_and_extremes(served: Served, points: int):
    curve = served.get("/agents/ppo/metrics", metric="reward", points=points)["metrics"]["reward"]
    steps, values = recorded("ppo", 1)
    assert len(curve["step"]) <= points < len(steps)
    # Several episodes may end at one step.
    assert set(zip(curve["step"], curve["value"], strict=True)) <= set(
        zip(steps, values, strict=True)
    )
    assert curve["step"] == sorted(curve["step"])
    assert (curve["step"][0], curve["step"][-1]) == (steps[0], steps[-1])
    assert (min(curve["value"]), max(curve["value"])) == (min(values), max(values))


def test_a_sparkline_of_the_promoted_version_comes_with_the_agent(served: Served):
    served.post("/agents/a2c/promote", {"version": 3})
    reward = served.get("/agents/a2c")["reward"]
    sixty = served.get("/agents/a2c/metrics", metric="reward", version=3, points=60)
    assert reward == sixty["metrics"]["reward"]
    assert 10 < len(reward["step"]) <= 60


def test_metrics_are_of_the_promoted_version_and_of_all_metrics_by_default(served: Served):
    served.post("/agents/ppo/promote", {"version": 2})
    found = served.get("/agents/ppo/metrics")
    assert found["version"] == 2
    assert set(found["metrics"]) == set(found["available"])
    two = served.get("/agents/ppo/metrics", metric=["reward", "value_loss"])["metrics"]
    assert set(two) == {"reward", "value_loss"}
    assert served.get("/agents/ppo/metrics", version=1)["version"] == 1


def test_values_that_are_not_finite_are_left_out_of_a_curve():
    values = [1.0, 2.0, np.nan, 4.0, np.inf, 6.0]
    curves = {"loss": pd.DataFrame({"step": range(6), "value": values})}
    version = read_once("ppo").versions[0]._replace(curves=curves)
    assert version.curve("loss", 10) == ([0, 1, 3, 5], [1.0, 2.0, 4.0, 6.0])


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/agents/sac", "no agent sac; there are a2c, ddpg, dqn, ppo"),
        ("/agents/sac/metrics", "no agent sac"),
        ("/agents/ppo/metrics?metric=regret", "no metric regret of ppo; there are"),
        ("/agents/ppo/metrics?version=6", "no version 6 of ppo"),
    ],
)
def test_what_is_not_there_is_404_and_what_is_there_is_told(served: Served, path: str, told: str):
    answer = served.ask("GET", path)
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(told)


@pytest.mark.parametrize("path", ["/agents/PPO", "/agents/ppo/metrics?points=5", "/agents?limit=0"])
def test_what_cannot_be_is_422(served: Served, path: str):
    assert served.ask("GET", path).status_code == 422


def test_a_promotion_says_who_and_when_and_what_was_before(served: Served):
    token = served.user("olivia", "operator")
    served.clock.advance(100.0)
    now = served.clock.now()
    answer = served.ask("POST", "/agents/dqn/promote", token=token, json={"version": 4})
    assert answer.status_code == 200
    agent = answer.json()
    assert agent["version"] == 4
    first, last = agent["promotions"]
    assert (first["version"], first["previous"], first["by"]) == (1, None, "orchestration")
    assert {**last, "at": None} == {
        **{"version": 4, "previous": 1, "by": "olivia", "at": None, "rollback": False}
    }
    assert last["at"] == pytest.approx(now, abs=30)
    shown = {version["version"]: version for version in agent["versions"]}
    assert (shown[4]["promoted_by"], shown[4]["promoted_at"]) == ("olivia", last["at"])
    assert (shown[1]["promoted_by"], shown[2]["promoted_by"]) == ("orchestration", None)
    assert served.get("/agents/dqn") == agent


def test_a_version_is_promoted_once(served: Served):
    served.post("/agents/ppo/promote", {"version": 2})
    answer = served.ask("POST", "/agents/ppo/promote", json={"version": 2})
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "version 2 of ppo is promoted already",
    )
    assert len(served.get("/agents/ppo")["promotions"]) == 2


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/agents/ppo/promote", {"version": 6}, 404),
        ("/agents/sac/promote", {"version": 1}, 404),
        ("/agents/ppo/promote", {"version": 0}, 422),
        ("/agents/ppo/promote", {"version": "2"}, 422),
        ("/agents/ppo/promote", {}, 422),
        ("/agents/ppo/promote", {"version": 2, "by": "carol"}, 422),
        ("/agents/sac/rollback", None, 404),
        ("/agents/sac/reload", None, 404),
    ],
)
def test_what_cannot_be_promoted_changes_nothing(served: Served, path: str, body: Any, status: int):
    before = served.get("/agents")
    assert served.ask("POST", path, json=body).status_code == status
    assert served.get("/agents") == before


def test_rollbacks_go_back_the_way_that_promotions_came(served: Served):
    for version in (3, 5, 2):
        served.post("/agents/ppo/promote", {"version": version})
    seen = [served.post("/agents/ppo/rollback")["version"] for _ in range(3)]
    assert seen == [5, 3, 1]
    answer = served.ask("POST", "/agents/ppo/rollback")
    assert answer.status_code == 409
    assert "nothing to roll back" in answer.json()["detail"]
    promotions = served.get("/agents/ppo")["promotions"]
    assert [(one["version"], one["rollback"]) for one in promotions] == [
        *[(1, False), (3, False), (5, False), (2, False)],
        *[(5, True), (3, True), (1, True)],
    ]
    served.post("/agents/ppo/promote", {"version": 4})
    assert served.post("/agents/ppo/rollback")["version"] == 1


def test_promotions_outlive_the_service(served: Served):
    served.post("/agents/ppo/promote", {"version": 3})
    before = served.get("/agents/ppo")
    served.restart()
    assert served.get("/agents/ppo") == before


def test_a_reload_applies_what_was_approved_for_the_agent(served: Served, valkey: Valkey):
    propose(valkey, "1", "ppo", "approved", 20.0, gamma=0.9, clip_range=0.3)
    propose(valkey, "2", "ppo", "approved", 10.0, gamma=0.8, ent_coef=0.1)
    propose(valkey, "3", "ppo", "pending", 30.0, gamma=0.7)
    propose(valkey, "4", "ppo", "rejected", 30.0, gamma=0.6)
    propose(valkey, "5", "dqn", "approved", 30.0, gamma=0.5)
    before = served.get("/agents/ppo")["hyperparameters"]
    served.clock.advance(50.0)
    reloaded = served.post("/agents/ppo/reload")
    assert reloaded.pop("applied") == ["2", "1"]
    # The one decided last has the last word.
    changed = {"gamma": 0.9, "clip_range": 0.3, "ent_coef": 0.1}
    assert reloaded["hyperparameters"] == {**before, **changed}
    assert reloaded["loaded_at"] == pytest.approx(served.clock.now(), abs=30)
    assert served.get("/agents/ppo") == reloaded
    kept = {
        name: Proposal.model_validate_json(text)
        for name, text in valkey.client.hgetall(PROPOSALS).items()
    }
    assert {name: one.state.value for name, one in kept.items()} == {
        **{"1": "applied", "2": "applied", "3": "pending", "4": "rejected", "5": "approved"}
    }
    assert kept["1"].applied_at == reloaded["loaded_at"]
    assert served.post("/agents/ppo/reload")["applied"] == []


def test_an_agent_whose_runs_cannot_be_read_is_failed_until_they_can(
    served: Served, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
):
    propose(valkey, "1", "ppo", "approved", 20.0, gamma=0.9)
    read = recordings.read

    def unreadable(agent: str) -> Any:
        raise BadLog(Path("/a/secret/place"), "is gone")

    monkeypatch.setattr(agents, "read", unreadable)
    answer = served.ask("POST", "/agents/ppo/reload")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert "secret" not in answer.text
    assert served.get("/agents/ppo")["state"] == "failed"
    assert served.get("/audit", action="agents.reload")["items"][0]["result"] == "failed"
    monkeypatch.setattr(agents, "read", read)
    assert served.post("/agents/ppo/reload")["applied"] == ["1"]
    assert served.get("/agents/ppo")["state"] == "ready"


def test_what_is_done_to_agents_is_audited(served: Served, valkey: Valkey):
    propose(valkey, "1", "ppo", "approved", 20.0, gamma=0.9)
    served.post("/agents/ppo/promote", {"version": 3})
    served.post("/agents/ppo/rollback")
    served.post("/agents/ppo/reload")
    records = served.get("/audit", target="agents/ppo")["items"]
    assert [(record["action"], record["actor"], record["detail"]) for record in records] == [
        ("agents.reload", "admin", {"applied": ["1"]}),
        ("agents.rollback", "admin", {"version": 1, "previous": 3}),
        ("agents.promote", "admin", {"version": 3, "previous": 1}),
        ("agents.register", "orchestration", {}),
    ]


def test_agents_are_as_last_seen_while_redis_is_out(own_valkey: Valkey, serve: Serve):
    served = serve(own_valkey)
    served.post("/agents/ppo/promote", {"version": 3})
    before = served.get("/agents")
    own_valkey.kill()
    assert served.get("/agents") == before
    assert served.get("/agents/ppo/metrics")["version"] == 3
    # After a restart nobody has seen them: 503, rather than the first version again.
    served.restart()
    assert served.ask("GET", "/agents").status_code == 503
    own_valkey.start()
    wait_until(lambda: served.ask("GET", "/agents").status_code == 200)
    assert served.get("/agents") == before


def test_two_services_agree_on_what_is_promoted(serve: Serve, valkey: Valkey):
    one, other = serve(valkey, "one"), serve(valkey, "other")
    one.post("/agents/ppo/promote", {"version": 3})
    assert other.get("/agents/ppo")["version"] == 3
    other.post("/agents/ppo/rollback")
    assert one.get("/agents/ppo")["version"] == 1
    registered = one.get("/audit", action="agents.register")["items"]
    assert len(registered) == 4
