"""Proposals, from a trial to an agent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from tarslab.stack import Stack
from tests.stack.calling import Api, Callers, callers_of
from tests.stack.waiting import wait_until

OwnStack = Callable[..., Stack]

STUDY = "cartpole-a2c"
PARETO = "digits-two-objectives"


@pytest.fixture
def callers(stack: Stack) -> Iterator[Callers]:
    with callers_of(stack) as found:
        yield found


@pytest.fixture
def admin(callers: Callers) -> Api:
    return callers.admin


def order(agent: str = "a2c", trial: int = 38, **others: Any) -> dict[str, Any]:
    return {"agent": agent, "study": STUDY, "trial": trial} | others


def audited(api: Api, proposal: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Action, actor and detail, oldest first."""
    found = api.all("/audit", target=f"proposals/{proposal['id']}")
    return [(one["action"], one["actor"], one["detail"]) for one in reversed(found)]


def test_an_approved_proposal_is_applied_by_the_next_reload(admin: Api) -> None:
    trial = admin.get(f"/studies/{STUDY}/trials/38")
    proposed = admin.post("/proposals", order(note="the best of the search"))
    assert proposed["params"] == trial["params"]
    assert proposed["values"] == trial["values"] == [500.0]
    assert (proposed["state"], proposed["proposed_by"]) == ("pending", "admin")
    assert (proposed["note"], proposed["decided_by"]) == ("the best of the search", None)
    assert admin.get(f"/proposals/{proposed['id']}") == proposed
    before = admin.get("/agents/a2c")["hyperparameters"]
    assert admin.post("/agents/a2c/reload")["applied"] == []

    approved = admin.post(f"/proposals/{proposed['id']}/approve", {"reason": "as planned"})
    assert (approved["state"], approved["decided_by"]) == ("approved", "admin")
    assert approved["reason"] == "as planned"
    assert approved["decided_at"] >= approved["proposed_at"]
    assert admin.get("/agents/a2c")["hyperparameters"] == before

    reloaded = admin.post("/agents/a2c/reload")
    assert reloaded["applied"] == [proposed["id"]]
    assert reloaded["hyperparameters"] == before | trial["params"]
    applied = admin.get(f"/proposals/{proposed['id']}")
    assert applied["state"] == "applied"
    assert applied["applied_at"] >= approved["decided_at"]
    assert admin.post("/agents/a2c/reload")["applied"] == []

    status, detail = admin.refused("POST", f"/proposals/{proposed['id']}/approve")
    assert (status, detail) == (409, "this proposal is applied already")
    create, approve = audited(admin, proposed)
    assert create == (
        "proposals.create",
        "admin",
        {"agent": "a2c", "study": STUDY, "trial": 38},
    )
    assert approve == (
        "proposals.approve",
        "admin",
        {"agent": "a2c", "reason": "as planned", "superseded": []},
    )


def test_an_approval_takes_the_place_of_one_that_is_not_applied_yet(admin: Api) -> None:
    first, second, other = (
        admin.post("/proposals", order(agent, trial))
        for agent, trial in (("dqn", 10), ("dqn", 11), ("ddpg", 12))
    )
    for proposal in (other, first, second):
        admin.post(f"/proposals/{proposal['id']}/approve")
    assert admin.get(f"/proposals/{first['id']}")["state"] == "superseded"
    assert admin.get(f"/proposals/{other['id']}")["state"] == "approved"
    *_, (_, _, detail) = audited(admin, second)
    assert detail["superseded"] == [first["id"]]
    assert admin.post("/agents/dqn/reload")["applied"] == [second["id"]]
    third = admin.post("/proposals", order("dqn", 13))
    admin.post(f"/proposals/{third['id']}/approve")
    assert admin.get(f"/proposals/{second['id']}")["state"] == "applied"


def test_a_rejected_proposal_stays_so(admin: Api) -> None:
    proposed = admin.post("/proposals", order("ppo"))
    rejected = admin.post(f"/proposals/{proposed['id']}/reject", {"reason": "of another agent"})
    assert (rejected["state"], rejected["decided_by"]) == ("rejected", "admin")
    for decision in ("approve", "reject"):
        status, detail = admin.refused("POST", f"/proposals/{proposed['id']}/{decision}")
        assert (status, detail) == (409, "this proposal is rejected already")
    assert admin.post("/agents/ppo/reload")["applied"] == []
    assert audited(admin, proposed)[1] == (
        "proposals.reject",
        "admin",
        {"agent": "ppo", "reason": "of another agent"},
    )


def test_proposals_are_listed_by_agent_and_state_oldest_first(admin: Api) -> None:
    trials = admin.all(f"/studies/{PARETO}/trials", state="COMPLETE")[:3]
    made = [admin.post("/proposals", order("ddpg", t["number"], study=PARETO)) for t in trials]
    admin.post(f"/proposals/{made[1]['id']}/reject")
    ids = [proposal["id"] for proposal in made]
    found = admin.all("/proposals", limit=2, agent="ddpg")
    assert [proposal["id"] for proposal in found if proposal["id"] in ids] == ids
    assert {proposal["agent"] for proposal in found} == {"ddpg"}
    pending = admin.all("/proposals", agent="ddpg", state="pending")
    assert [proposal["id"] for proposal in pending] == [ids[0], ids[2]]
    assert found[-1]["values"] == trials[2]["values"]
    assert admin.refused("GET", "/proposals?state=done")[0] == 422


def failed_trial(admin: Api) -> int:
    failed = admin.all(f"/studies/{STUDY}/trials", state="FAIL")
    return int(failed[0]["number"])


def test_a_trial_without_a_result_cannot_be_proposed(admin: Api) -> None:
    number = failed_trial(admin)
    status, detail = admin.refused("POST", "/proposals", order(trial=number))
    assert (status, detail) == (409, f"trial {number} of {STUDY} has no result: it is FAIL")


@pytest.mark.parametrize(
    ("wrong", "status", "detail"),
    [
        ({"agent": "sac"}, 404, "no agent sac"),
        ({"study": "nothing"}, 404, "no study nothing"),
        ({"study": "../users"}, 404, None),
        ({"trial": 150}, 404, f"no trial 150 of study {STUDY}"),
        ({"trial": -1}, 422, None),
        ({"trial": "38"}, 422, None),
        ({"agent": "a2c/../x"}, 422, None),
        ({"note": "n" * 501}, 422, None),
        ({"params": {"learning_rate": 1}}, 422, None),
        ({"state": "approved"}, 422, None),
    ],
)
def test_a_proposal_that_cannot_be_is_refused(
    admin: Api, wrong: dict[str, Any], status: int, detail: str | None
) -> None:
    found = admin.refused("POST", "/proposals", order() | wrong)
    assert found[0] == status
    assert detail in (None, found[1])


def test_a_proposal_that_is_not_there_is_said(admin: Api) -> None:
    nothing = "0" * 32
    for method, path in (("GET", ""), ("POST", "/approve"), ("POST", "/reject")):
        found = admin.refused(method, f"/proposals/{nothing}{path}")
        assert found == (404, f"no proposal {nothing}")
    assert admin.refused("GET", "/proposals/1")[0] == 422


def test_who_may_only_read_decides_nothing(callers: Callers) -> None:
    proposed = callers.admin.post("/proposals", order("ppo"))
    viewer = callers.user("hypersync-viewer", "viewer")
    assert viewer.get(f"/proposals/{proposed['id']}") == proposed
    assert viewer.refused("POST", "/proposals", order())[0] == 403
    for decision in ("approve", "reject"):
        assert viewer.refused("POST", f"/proposals/{proposed['id']}/{decision}")[0] == 403
    assert callers.nobody().refused("GET", "/proposals")[0] == 401
    operator = callers.user("hypersync-operator", "operator")
    decided = operator.post(f"/proposals/{proposed['id']}/reject")
    assert decided["decided_by"] == "hypersync-operator"


def test_a_trial_is_read_with_the_callers_own_rights(callers: Callers) -> None:
    both = callers.key("hypersync-both", "proposals:write", "studies:read")
    assert both.post("/proposals", order("ppo"))["proposed_by"].startswith("key:")
    blind = callers.key("hypersync-blind", "proposals:write")
    headers = {"X-Request-ID": "seen-by-automl"}
    status, detail = blind.refused("POST", "/proposals", order("ppo"), headers=headers)
    assert status == 403
    assert "studies:read" in detail
    # automl's own record of it, under the request id of the client.
    (denied,) = callers.admin.all("/audit", request_id="seen-by-automl")
    assert (denied["action"], denied["target"]) == (
        "access.denied",
        f"GET /studies/{STUDY}/trials/38",
    )


def test_hypersync_itself_lets_nobody_in_either(stack: Stack) -> None:
    url = f"{stack.urls['hypersync']}/proposals"
    assert httpx.get(url, trust_env=False).status_code == 401


def test_a_create_that_is_sent_twice_proposes_once(admin: Api) -> None:
    headers = {"Idempotency-Key": "twice"}
    first, second = (
        admin.client.post("/proposals", json=order("ppo"), headers=headers) for _ in range(2)
    )
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert len(audited(admin, first.json())) == 1
    status, _ = admin.refused("POST", "/proposals", order("ppo", 39), headers=headers)
    assert status == 422


def test_without_automl_nothing_is_proposed_but_all_is_decided(own_stack: OwnStack) -> None:
    stack = own_stack()
    with callers_of(stack) as callers:
        admin = callers.admin
        headers = {"Idempotency-Key": "kept"}
        proposed = admin.client.post("/proposals", json=order(), headers=headers).json()
        stack.stop("automl")
        answer = admin.client.post("/proposals", json=order())
        assert answer.status_code == 503
        assert answer.json()["detail"] == "automl cannot be reached: try again"
        assert int(answer.headers["Retry-After"]) >= 1
        # An answer that was lost is given again, without automl.
        again = admin.client.post("/proposals", json=order(), headers=headers)
        assert (again.status_code, again.json()) == (201, proposed)
        assert [one["id"] for one in admin.all("/proposals")] == [proposed["id"]]
        assert admin.post(f"/proposals/{proposed['id']}/approve")["state"] == "approved"


def test_without_redis_nothing_is_proposed_or_decided(own_stack: OwnStack) -> None:
    stack = own_stack()
    with callers_of(stack) as callers:
        admin = callers.admin
        proposed = admin.post("/proposals", order())
        stack.stop("redis")
        for method, path, body in (
            ("GET", "/proposals", None),
            ("GET", f"/proposals/{proposed['id']}", None),
            ("POST", "/proposals", order()),
            ("POST", f"/proposals/{proposed['id']}/approve", None),
        ):
            assert admin.refused(method, path, body)[0] == 503
        # A study that only Redis may know.
        assert admin.refused("POST", "/proposals", order(study="own"))[0] == 503
        stack.start("redis")
        wait_until(lambda: admin.client.get("/proposals").status_code == 200)
        assert admin.get(f"/proposals/{proposed['id']}") == proposed
        wait_until(lambda: admin.client.get("/audit/verify").status_code == 200)
        assert admin.get("/audit/verify")["valid"]


def test_a_result_that_is_not_finite_cannot_be_proposed(
    own_stack: OwnStack, tmp_path: Path
) -> None:
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "odd.log")))
    study = optuna.create_study(storage=storage, study_name="odd/one")
    study.add_trial(create_trial(value=float("inf")))
    stack = own_stack(settings={"recordings": [tmp_path / "odd.log"]})
    with callers_of(stack) as callers:
        infinite = order(trial=0, study="odd/one")
        status, detail = callers.admin.refused("POST", "/proposals", infinite)
        assert (status, detail) == (409, "trial 0 of odd/one has a result that is not finite")
