"""What a fault costs a search."""

from typing import Any

import pandas as pd
import pytest

import tarslab as tl
from tarslab.admin import AdminClient
from tarslab.chaos import faults
from tarslab.chaos.platforms import LocalPlatform
from tarslab.chaos.searches import SearchCost, SearchFailed, search_cost
from tarslab.errors import BadArgument
from tarslab.stack import Stack
from tests.stack.waiting import wait_until


def trials(search: str, *rows: tuple[int, str, float, float, float | None, float]) -> pd.DataFrame:
    columns = ["number", "state", "began", "ended", "value", "params_x"]
    return pd.DataFrame(rows, columns=columns).assign(search=search)


# Killed in its second trial, which is tried again as the third.
COST = SearchCost(
    pd.concat(
        [
            trials(
                "undisturbed",
                (0, "COMPLETE", 0.0, 1.0, 0.5, 1.0),
                (1, "COMPLETE", 1.0, 3.0, 0.75, 2.0),
            ),
            trials(
                "disturbed",
                (0, "COMPLETE", 0.0, 1.5, 0.5, 1.0),
                (1, "FAIL", 1.5, 4.0, None, 2.0),
                (2, "COMPLETE", 4.0, 6.0, 0.75, 2.0),
            ),
        ],
        ignore_index=True,
    ),
    fault="kill automl",
    began=2.0,
    ended=3.5,
    finished_before=1,
    lost=0,
)


@pytest.fixture(scope="module")
def admin(stack: Stack) -> AdminClient:
    return AdminClient(stack.url, username="admin", password=stack.admin_password)


def test_each_search_is_summed_up() -> None:
    assert COST.summary().to_dict("index") == {
        "undisturbed": {"trials": 2, "complete": 2, "failed": 0, "seconds": 3.0, "best": 0.75},
        "disturbed": {"trials": 3, "complete": 2, "failed": 1, "seconds": 6.0, "best": 0.75},
    }
    assert COST.seconds_lost == 3.0


def test_a_trial_that_was_tried_again_is_the_same_trial() -> None:
    assert COST.differing == 0
    other = COST.trials.copy()
    other.loc[other["number"] == 2, "params_x"] = 3.0
    assert SearchCost(other, "kill automl", 2.0, 3.5, 1, 0).differing == 1


def test_the_cost_is_said_in_sentences() -> None:
    assert COST.explain() == (
        "The fault (kill automl) lasted 1.5 s. The search took 6.0 s with it and 3.0 s without. Of "
        "its 3 trials 2 are complete and 1 failed; 0 of the 1 that were finished before it were "
        "lost, and 0 of the undisturbed search have no equal in it."
    )


def test_an_outage_of_redis_costs_a_search_time_and_no_trial(
    platform: LocalPlatform, admin: AdminClient
) -> None:
    outage = faults.outage(platform, "redis")
    cost = search_cost(admin, outage, n_trials=4, after=2, hold=1.0)
    counts = cost.summary()[["complete", "failed"]]
    assert counts.to_dict("index") == {
        "undisturbed": {"complete": 4, "failed": 0},
        "disturbed": {"complete": 4, "failed": 0},
    }
    assert cost.finished_before >= 2
    assert (cost.lost, cost.differing) == (0, 0)
    assert 0 < cost.began < cost.ended
    tl.charts.search_cost(cost).to_dict()


def test_a_search_that_takes_too_long_is_said_and_the_fault_never_begun(
    platform: LocalPlatform, admin: AdminClient
) -> None:
    outage = faults.outage(platform, "redis")
    with pytest.raises(SearchFailed, match=r"undisturbed-\w+: the search is not done after 0 s"):
        search_cost(admin, outage, n_trials=2, after=1, timeout=0)
    assert outage.began is None


def test_a_fault_that_the_search_did_not_meet_has_cost_it_nothing_and_is_no_result(
    platform: LocalPlatform, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = faults.kill(platform, "hypersync")
    begin = kill.begin

    def late() -> faults.Fault:
        searches = admin.studies
        wait_until(lambda: all(study.state != "running" for study in searches.list()))
        return begin()

    monkeypatch.setattr(kill, "begin", late)
    with pytest.raises(SearchFailed, match="over before the fault began: give more n_trials"):
        search_cost(admin, kill, n_trials=2, after=1, hold=0)
    assert kill.ended is not None


@pytest.mark.parametrize("wrong", [{"after": 4}, {"after": -1}, {"hold": -1}])
def test_what_cannot_be_is_refused(
    platform: LocalPlatform, admin: AdminClient, wrong: dict[str, Any]
) -> None:
    with pytest.raises(BadArgument, match=next(iter(wrong))):
        search_cost(admin, faults.outage(platform, "redis"), n_trials=4, **wrong)
