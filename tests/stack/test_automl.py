"""Studies over HTTP: what is read is what Optuna reads; what runs survives kills and outages."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import optuna
import psutil
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

import tarslab as tl
from tarslab import bundled
from tarslab.stack import Stack
from tarslab.stack.automl import objectives
from tarslab.stack.automl.searches import MOST
from tarslab.stack.automl.studies import Studies
from tarslab.stack.automl.worker import GO_ON, REDIS_URL
from tarslab.stack.store import StoreDown
from tests.stack.calling import Api, Callers, callers_of
from tests.stack.served import Valkey
from tests.stack.waiting import LIMIT, alive, wait_until, wait_until_gone

OwnStack = Callable[..., Stack]
Trials = list[tuple[dict[str, Any], Any]]

PARETO = "digits-two-objectives"
SINGLE = "cartpole-a2c"
SEED = 3
MOST_TRIALS = 18


@pytest.fixture
def callers(stack: Stack) -> Iterator[Callers]:
    with callers_of(stack) as found:
        yield found


@pytest.fixture
def admin(callers: Callers) -> Api:
    return callers.admin


def by_optuna(name: str) -> optuna.Study:
    """A bundled study, read by Optuna itself."""
    backend = JournalFileBackend(str(bundled.data("automl/studies.log")))
    return optuna.load_study(study_name=name, storage=JournalStorage(backend))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    """The same search in this process: hyperparameters and values of its first trials."""
    study = tl.studies.search(
        objectives.digits,
        storage=tmp_path_factory.mktemp("undisturbed") / "study.log",
        name="undisturbed",
        n_trials=MOST_TRIALS,
        directions="maximize",
        pruner="none",
        seed=SEED,
    )
    return [(trial.params, trial.values) for trial in study.frozen]


def order(name: str, **others: Any) -> dict[str, Any]:
    return {"name": name, "objective": "digits", "n_trials": 4, "seed": SEED} | others


def wait_for(api: Api, name: str, state: str) -> None:
    wait_until(lambda: api.get(f"/studies/{name}")["state"] != "running")
    assert api.get(f"/studies/{name}")["state"] == state


def wait_for_trials(api: Api, name: str, finished: int) -> None:
    wait_until(lambda: api.get(f"/studies/{name}")["finished"] >= finished)


def complete(api: Api, name: str) -> Trials:
    """What came of the trials that were not given up for others."""
    trials = api.all(f"/studies/{name}/trials", limit=7)
    assert [trial["number"] for trial in trials] == list(range(len(trials)))
    return [(t["params"], t["values"]) for t in trials if t["state"] == "COMPLETE"]


def pid_of(stack: Stack, name: str) -> int:
    (pid,) = (process.pid for process in stack.status() if process.name == name)
    assert pid is not None
    return pid


def searching(stack: Stack) -> list[int]:
    """The processes of searches."""
    return [child.pid for child in psutil.Process(pid_of(stack, "automl")).children()]


def audited(api: Api, **chosen: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Actor, result and detail, oldest first."""
    found = api.all("/audit", **chosen)
    return [(one["actor"], one["result"], one["detail"]) for one in reversed(found)]


def test_recorded_studies_are_those_that_optuna_reads(admin: Api) -> None:
    found = {study["name"]: study for study in admin.all("/studies", limit=2)}
    for name in (PARETO, SINGLE):
        expected = by_optuna(name)
        states = [trial.state for trial in expected.trials]
        study = found[name]
        assert study == admin.get(f"/studies/{name}")
        assert study["trials"] == len(states)
        assert study["failed"] == states.count(TrialState.FAIL) > 0
        assert study["finished"] == len(states) - study["failed"]
        assert (study["state"], study["started_by"]) == ("recorded", None)
        directions = [aim["direction"] for aim in study["objectives"]]
        assert directions == [direction.name.lower() for direction in expected.directions]
    assert [aim["name"] for aim in found[PARETO]["objectives"]] == ["accuracy", "parameters"]
    assert found[PARETO]["best"] is None
    assert found[SINGLE]["best"]["values"] == [by_optuna(SINGLE).best_value]


def test_trials_come_in_pages_as_optuna_has_them(admin: Api) -> None:
    expected = by_optuna(SINGLE).trials
    trials = admin.all(f"/studies/{SINGLE}/trials", limit=47)
    assert [trial["number"] for trial in trials] == [trial.number for trial in expected]
    for trial, frozen in zip(trials, expected, strict=True):
        assert trial["state"] == frozen.state.name
        assert trial["values"] == frozen.values
        assert trial["params"] == frozen.params
        assert frozen.datetime_start is not None
        assert frozen.duration is not None
        assert trial["started_at"] == frozen.datetime_start.timestamp()
        assert trial["duration"] == frozen.duration.total_seconds()
        assert trial["finished_at"] - trial["started_at"] == pytest.approx(trial["duration"])
    assert admin.get(f"/studies/{SINGLE}/trials/17") == trials[17]


def test_trials_of_one_state_can_be_asked_for(admin: Api) -> None:
    failed = admin.all(f"/studies/{SINGLE}/trials", state="FAIL")
    expected = by_optuna(SINGLE).get_trials(states=(TrialState.FAIL,))
    assert [trial["number"] for trial in failed] == [trial.number for trial in expected]
    assert all(trial["values"] is None for trial in failed)


def test_the_best_are_optunas_best(admin: Api) -> None:
    for name in (PARETO, SINGLE):
        found = admin.get(f"/studies/{name}/best")["trials"]
        expected = {trial.number for trial in by_optuna(name).best_trials}
        assert {trial["number"] for trial in found} == expected


def test_a_search_gives_what_the_same_search_gives_elsewhere(
    admin: Api, undisturbed: Trials
) -> None:
    started = admin.post("/studies", order("elsewhere", n_trials=6))
    assert (started["state"], started["started_by"]) == ("running", "admin")
    assert started["objectives"] == [{"name": "accuracy", "direction": "maximize"}]
    wait_for(admin, "elsewhere", "finished")
    assert complete(admin, "elsewhere") == undisturbed[:6]
    study = admin.get("/studies/elsewhere")
    assert (study["trials"], study["finished"], study["failed"]) == (6, 6, 0)
    assert study["best"]["values"] == [max(values for _, (values,) in complete(admin, "elsewhere"))]


def test_a_search_is_audited_from_its_start_to_its_end(admin: Api) -> None:
    admin.post("/studies", order("audited", n_trials=1))
    # Its process is only being started.
    assert admin.get("/studies/audited/best") == {"trials": []}
    assert admin.get("/studies/audited/trials")["items"] == []
    wait_for(admin, "audited", "finished")
    start, end = audited(admin, target="studies/audited")
    asked = {"objective": "digits", "n_trials": 1, "sampler": "tpe", "seed": SEED}
    assert start == ("admin", "ok", asked)
    assert end == ("automl", "ok", {})


def test_a_search_of_two_objectives_has_a_frontier(admin: Api) -> None:
    admin.post("/studies", order("two", objective="digits-pareto", n_trials=8))
    wait_for(admin, "two", "finished")
    front = {tuple(trial["values"]) for trial in admin.get("/studies/two/best")["trials"]}
    values = [tuple(found) for _, found in complete(admin, "two")]

    def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        return one != other and one[0] >= other[0] and one[1] <= other[1]

    assert front == {other for other in values if not any(dominates(one, other) for one in values)}
    for params, (_, weights) in [(p, v) for p, v in complete(admin, "two")]:
        # 8 x 8 pixels, one hidden layer, ten digits; each unit has a bias.
        assert weights == (64 + 1) * params["hidden_units"] + (params["hidden_units"] + 1) * 10
    assert admin.get("/studies/two")["best"] is None


def test_objectives_say_what_they_search(admin: Api) -> None:
    found = {objective["name"]: objective for objective in admin.get("/objectives")["items"]}
    assert found["digits-pareto"]["metrics"] == ["accuracy", "weights"]
    assert found["digits-pareto"]["directions"] == ["maximize", "minimize"]
    assert found["digits"]["params"]["learning_rate"] == {
        "type": "float",
        "low": 1e-4,
        "high": 1e-1,
        "log": True,
    }
    assert found["digits"]["params"]["hidden_units"]["type"] == "int"


def test_a_search_stops_and_can_be_gone_on_with(
    admin: Api, stack: Stack, undisturbed: Trials
) -> None:
    admin.post("/studies", order("stopped", n_trials=1000))
    wait_for_trials(admin, "stopped", 2)
    processes = searching(stack)
    assert admin.post("/studies/stopped/stop")["state"] == "stopped"
    wait_until_gone(processes)
    status, detail = admin.refused("POST", "/studies/stopped/stop")
    assert (status, detail) == (409, "the search stopped does not run: it is stopped")
    done = complete(admin, "stopped")
    assert 2 <= len(done) < 1000
    again = admin.post("/studies", order("stopped", n_trials=len(done) + 2))
    assert (again["state"], again["finished"]) == ("running", len(done))
    wait_for(admin, "stopped", "finished")
    found = complete(admin, "stopped")
    assert len(found) == len(done) + 2
    assert found[:MOST_TRIALS] == undisturbed[: len(found)]
    assert [actor for actor, *_ in audited(admin, target="studies/stopped")] == [
        "admin",
        "admin",
        "admin",
        "automl",
    ]


def test_a_search_ends_at_its_timeout(admin: Api) -> None:
    admin.post("/studies", order("timed", n_trials=1000, timeout=0.01))
    wait_for(admin, "timed", "finished")
    assert admin.get("/studies/timed")["finished"] < 1000


def test_a_search_whose_process_is_killed_has_failed(admin: Api, stack: Stack) -> None:
    admin.post("/studies", order("killed", n_trials=1000))
    wait_for_trials(admin, "killed", 1)
    (process,) = searching(stack)
    psutil.Process(process).kill()
    wait_for(admin, "killed", "failed")
    assert audited(admin, action="studies.end", target="studies/killed") == [
        ("automl", "failed", {"exit_code": -9})
    ]


def test_a_create_that_is_sent_twice_starts_one_search(admin: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = (
        admin.client.post("/studies", json=order("once", n_trials=1), headers=headers)
        for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert len(audited(admin, action="studies.start", target="studies/once")) == 1
    status, _ = admin.refused("POST", "/studies", order("once", n_trials=2), headers=headers)
    assert status == 422
    wait_for(admin, "once", "finished")


def test_only_so_many_searches_run_at_once(admin: Api, stack: Stack) -> None:
    names = [f"crowd-{number}" for number in range(MOST + 1)]
    answers = [admin.client.post("/studies", json=order(name, n_trials=1000)) for name in names]
    for name in names[:MOST]:
        admin.post(f"/studies/{name}/stop")
    assert [answer.status_code for answer in answers] == [202] * MOST + [409]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    wait_until(lambda: not searching(stack))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/studies/nothing", 404),
        ("GET", "/studies/nothing/trials", 404),
        ("GET", "/studies/nothing/best", 404),
        ("GET", f"/studies/{SINGLE}/trials/150", 404),
        ("GET", f"/studies/{SINGLE}/trials?state=DONE", 422),
        ("GET", f"/studies/{SINGLE}/trials?limit=0", 422),
        ("GET", f"/studies/{SINGLE}/trials?cursor=a", 422),
        ("POST", "/studies/nothing/stop", 404),
        ("POST", f"/studies/{SINGLE}/stop", 409),
    ],
)
def test_what_is_not_there_is_said(admin: Api, method: str, path: str, status: int) -> None:
    assert admin.refused(method, path)[0] == status


@pytest.mark.parametrize(
    ("wrong", "status", "named"),
    [
        ({"objective": "os:system"}, 422, "there are digits, digits-pareto"),
        ({"n_trials": 0}, 422, "n_trials"),
        ({"n_trials": 1001}, 422, "n_trials"),
        ({"n_trials": "4"}, 422, "n_trials"),
        ({"name": "../x"}, 422, "name"),
        ({"name": "x" * 81}, 422, "name"),
        ({"sampler": "grid"}, 422, "sampler"),
        ({"seed": -1}, 422, "seed"),
        ({"timeout": 0}, 422, "timeout"),
        ({"storage": "redis://elsewhere"}, 422, "storage"),
        ({"name": SINGLE}, 409, f"there is a study {SINGLE}"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    admin: Api, wrong: dict[str, Any], status: int, named: str
) -> None:
    found, detail = admin.refused("POST", "/studies", order("wrong") | wrong)
    assert found == status
    assert named in detail
    assert admin.refused("GET", "/studies/wrong")[0] == 404


def test_a_search_goes_on_with_its_own_objective_alone(admin: Api) -> None:
    admin.post("/studies", order("own", n_trials=1))
    status, detail = admin.refused("POST", "/studies", order("own"))
    assert (status, detail) == (409, "the search own runs already")
    wait_for(admin, "own", "finished")
    status, detail = admin.refused("POST", "/studies", order("own", objective="digits-pareto"))
    assert (status, detail) == (409, "the study own is of the objective digits")


def test_who_may_only_read_starts_and_stops_nothing(callers: Callers) -> None:
    reader = callers.user("automl-viewer", "viewer")
    assert reader.get(f"/studies/{SINGLE}")["trials"] == 150
    assert reader.refused("POST", "/studies", order("denied"))[0] == 403
    assert reader.refused("POST", f"/studies/{SINGLE}/stop")[0] == 403
    nothing = callers.key("automl-none", "agents:read")
    assert nothing.refused("GET", "/studies")[0] == 403
    assert callers.nobody().refused("GET", "/studies")[0] == 401
    starter = callers.key("automl-starter", "studies:read", "studies:write")
    assert starter.post("/studies", order("by-key", n_trials=1))["started_by"].startswith("key:")
    wait_for(starter, "by-key", "finished")


def test_automl_itself_lets_nobody_in_either(stack: Stack, admin: Api) -> None:
    url = f"{stack.urls['automl']}/studies"
    assert httpx.get(url, trust_env=False).status_code == 401
    headers = {"Authorization": admin.client.headers["Authorization"]}
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 200


def test_searches_of_the_user_on_the_same_redis_are_shown(admin: Api, stack: Stack) -> None:
    mine = tl.studies.search(
        lambda trial: trial.suggest_float("x", 0, 1),
        storage=stack.redis_url,
        name="mine",
        n_trials=2,
    )
    study = admin.get("/studies/mine")
    assert (study["state"], study["source"], study["finished"]) == ("recorded", "redis", 2)
    assert [values for _, (values,) in complete(admin, "mine")] == list(mine.trials["value"])
    status, _ = admin.refused("POST", "/studies", order("mine"))
    assert status == 409
    assert stack.redis_url not in admin.client.get("/studies").text


def test_a_search_on_redis_is_read_by_load_study(admin: Api, stack: Stack) -> None:
    admin.post("/studies", order("loaded", n_trials=2))
    wait_for(admin, "loaded", "finished")
    study = tl.load_study(stack.redis_url, "loaded")
    assert [(t.params, t.values) for t in study.frozen] == complete(admin, "loaded")


def test_no_secret_is_seen_of_a_search(admin: Api, stack: Stack) -> None:
    admin.post("/studies", order("secret", n_trials=1000))
    wait_for_trials(admin, "secret", 1)
    (process,) = map(psutil.Process, searching(stack))
    secret = stack.redis_url.split("@")[0].rpartition(":")[2]
    assert len(secret) > 10
    assert secret not in " ".join(process.cmdline())
    own = {name for name in process.environ() if name.startswith("TARSLAB_STACK_")}
    assert own == {"TARSLAB_STACK_REDIS_URL"}
    admin.post("/studies/secret/stop")
    wait_until_gone([process.pid])
    assert secret not in stack.logs("automl")


def test_a_search_goes_on_after_kills_of_the_service_and_of_redis(
    own_stack: OwnStack, undisturbed: Trials
) -> None:
    stack = own_stack()
    with callers_of(stack) as callers:
        admin = callers.admin
        admin.post("/studies", order("survivor", n_trials=MOST_TRIALS))
        wait_for_trials(admin, "survivor", 3)
        processes = searching(stack)

        stack.kill("automl")
        wait_until_gone(processes)
        stack.wait_ready()
        wait_for_trials(admin, "survivor", 6)
        (process,) = searching(stack)

        automl = pid_of(stack, "automl")
        done = complete(admin, "survivor")
        stack.stop("redis")
        wait_until(lambda: admin.client.get("/studies").headers["X-Mode"] == "legacy")
        listed = admin.client.get(f"{stack.urls['automl']}/studies")
        assert listed.headers["X-Mode"] == "legacy"
        assert [s["state"] for s in listed.json()["items"]] == ["recorded"] * 3
        assert admin.get(f"/studies/{SINGLE}")["trials"] == 150
        for method, path in (
            ("GET", "/studies/survivor"),
            ("GET", "/studies/survivor/trials"),
            ("POST", "/studies/survivor/stop"),
        ):
            assert admin.refused(method, path)[0] == 503
        assert admin.refused("POST", "/studies", order("other"))[0] == 503
        assert alive(process)
        stack.start("redis")
        stack.wait_ready()

        wait_until(lambda: admin.client.get("/studies/survivor").status_code == 200)
        wait_for(admin, "survivor", "finished")
        assert pid_of(stack, "automl") == automl
        assert complete(admin, "survivor")[: len(done)] == done
        assert complete(admin, "survivor") == undisturbed
        assert admin.get("/audit/verify")["valid"]


def test_a_search_whose_service_is_restarted_goes_on(
    own_stack: OwnStack, tmp_path: Path, undisturbed: Trials
) -> None:
    stack = own_stack(folder=tmp_path / "stack")
    with callers_of(stack) as callers:
        callers.admin.post("/studies", order("kept", n_trials=10))
        wait_for_trials(callers.admin, "kept", 2)
    stack.down()
    again = own_stack(folder=tmp_path / "stack")
    with callers_of(again) as callers:
        wait_for(callers.admin, "kept", "finished")
        assert complete(callers.admin, "kept") == undisturbed[:10]


def journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def test_other_recordings_are_shown_as_they_are(own_stack: OwnStack, tmp_path: Path) -> None:
    odd, broken = tmp_path / "odd.log", tmp_path / "broken.db"
    study = optuna.create_study(storage=journal(odd), study_name="odd", direction="minimize")
    kind = optuna.distributions.FloatDistribution(-math.inf, math.inf)
    study.add_trial(create_trial(value=math.inf, params={"x": math.inf}, distributions={"x": kind}))
    study.enqueue_trial({"x": 1.0})
    optuna.create_study(storage=journal(odd), study_name=SINGLE)
    optuna.create_study(storage=journal(odd), study_name="of/several")
    broken.write_bytes(b"SQLite format 3\x00 and no more")
    stack = own_stack(settings={"recordings": [odd, broken, tmp_path / "missing.db"]})
    with callers_of(stack) as callers:
        admin = callers.admin
        assert [study["name"] for study in admin.all("/studies")][-2:] == ["odd", "of/several"]
        assert admin.get("/studies/of%2Fseveral")["name"] == "of/several"
        assert admin.all("/studies/of%2Fseveral/trials") == []
        trial, waiting = admin.all("/studies/odd/trials")
        assert (trial["values"], trial["params"]) == ([None], {"x": None})
        assert (waiting["state"], waiting["started_at"], waiting["duration"]) == (
            "WAITING",
            None,
            None,
        )
        # The bundled study comes first.
        assert admin.get(f"/studies/{SINGLE}")["trials"] == 150
        study.add_trial(create_trial(value=1.0, params={}, distributions={}))
        assert admin.get("/studies/odd")["trials"] == 3
        assert admin.get("/studies/odd")["best"]["number"] == 2
        for path in (broken, tmp_path / "missing.db"):
            assert str(path) in stack.logs("automl")


def test_a_study_without_a_complete_trial_has_no_best(own_stack: OwnStack, tmp_path: Path) -> None:
    optuna.create_study(storage=journal(tmp_path / "new.log"), study_name="new")
    stack = own_stack(settings={"recordings": [tmp_path / "new.log"]})
    with callers_of(stack) as callers:
        assert callers.admin.get("/studies/new/best") == {"trials": []}
        assert callers.admin.get("/studies/new")["best"] is None


# The process of a search, which does not wait long for Redis.
IMPATIENT = """
from tarslab.studies import workers
workers.OUTAGE = 0.1
from tarslab.stack.automl.worker import main
main()
"""


@pytest.fixture
def process(own_valkey: Valkey) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a search, in the middle of it."""
    started = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT],
        stdin=subprocess.PIPE,
        env=os.environ | {REDIS_URL: own_valkey.url},
    )
    line = json.dumps(order("s", n_trials=1000, sampler="tpe", timeout=None))
    assert started.stdin is not None
    started.stdin.write(line.encode() + b"\n")
    started.stdin.flush()
    wait_until(lambda: own_valkey.client.exists(":log:30") == 1)
    yield started
    started.kill()
    started.communicate()


def test_a_search_ends_with_who_started_it(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(LIMIT) == GO_ON


def test_a_search_without_redis_says_that_it_can_go_on(
    process: subprocess.Popen[bytes], own_valkey: Valkey
) -> None:
    own_valkey.kill()
    assert process.wait(LIMIT) == GO_ON
    own_valkey.start()
    assert tl.load_study(own_valkey.url, "s").frozen


def test_a_search_whose_journal_was_lost_fails(
    process: subprocess.Popen[bytes], own_valkey: Valkey
) -> None:
    own_valkey.client.flushall()
    assert process.wait(LIMIT) not in (0, GO_ON)


def test_the_journal_is_read_anew_where_redis_lost_it(own_valkey: Valkey) -> None:
    def made(name: str) -> None:
        tl.studies.search(lambda trial: 1.0, storage=own_valkey.url, name=name, n_trials=1)

    studies = Studies([], own_valkey.url, timeout=1.0)
    made("before")
    assert list(studies.own()) == ["before"]
    assert studies.own()["before"] is studies.own()["before"]
    own_valkey.client.flushall()
    assert list(studies.own()) == []
    made("after")
    assert list(studies.own()) == ["after"]
    own_valkey.kill()
    with pytest.raises(StoreDown):
        studies.own()
    own_valkey.start()
    assert list(studies.own()) == ["after"]
    studies.close()
