"""Loads by the embedded engine on a real server, and what they measure."""

import asyncio
import json
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

from tarslab.chaos.load import LoadFailed, flow, start_load
from tarslab.chaos.load.flows import FLOWS
from tarslab.chaos.load.flows.user import NOT_ANSWERED
from tarslab.chaos.load.progress import Progress
from tarslab.errors import BadArgument
from tests.chaos.load.conftest import Server
from tests.chaos.load.loads import LIMIT, PATIENT, arrivals, load, p95, summed, total, users
from tests.chaos.load.visits import one, pausing, slow


def test_arrivals_are_as_many_as_due_whatever_the_server_does(server: Server) -> None:
    result = load(server, a=arrivals(50, "1s"))
    assert total(result, "http_reqs") == total(result, "iterations") == 50
    assert total(result, "http_req_failed") == 0
    assert result.verdict == "passed"
    assert summed(result, "dispatch_lateness", "count") == 50
    assert result.audit.cpu_per_request > 0


def test_percentiles_tell_of_a_server_that_stops_also_when_no_user_is_free(
    own_server: Server,
) -> None:
    """The server is stopped for 0.5 s in 4 s, under 100 arrivals a second.

    Arrivals in a stop wait until its end. By hand: a share 0.5 / 4 of all arrivals waits for a time
    that is uniform in 0 to 0.5 s, so 5 % wait for longer than 0.5 (1 - 0.05 / 0.125) = 0.3 s.
    """
    rate, seconds, stop = 100, 8, 0.5
    test = {
        "scenarios": {
            "many": arrivals(rate, f"{seconds}s"),
            # Of the 50 arrivals in a stop 45 find no user: k6 would leave them out.
            "few": arrivals(rate, f"{seconds}s", preAllocatedVUs=5, maxVUs=5),
            # The closed model: five users who wait, and ask nothing meanwhile.
            "closed": users(5, f"{seconds}s", exec="pausing"),
        },
        "thresholds": PATIENT,
    }
    stops = []
    with start_load(test, own_server.url, flows={"one": one, "pausing": pausing}) as run:
        begun = run.begun()
        for at in (1, 5):
            time.sleep(max(0, begun + at - time.time()))
            stopped = time.time() - begun
            os.kill(own_server.process.pid, signal.SIGSTOP)
            time.sleep(stop)
            os.kill(own_server.process.pid, signal.SIGCONT)
            stops.append((stopped, time.time() - begun))
        result = run.wait()
    # The hand computation, with the times at which the server was really stopped.
    due = np.arange(rate * seconds) / rate
    waits = sum(np.where((due >= start) & (due < end), end - due, 0) for start, end in stops)
    truth = float(np.quantile(waits, 0.95)) * 1e3
    assert truth > 200
    for scenario in ("many", "few"):
        assert truth * 0.6 < p95(result, "http_req_duration", scenario) < truth * 1.6 + 100
    # What the others report: from when a request was sent, or with users who wait.
    assert p95(result, "http_req_service_duration", "few") < truth * 0.6
    assert p95(result, "http_req_duration", "closed") < truth * 0.6
    # The target kept the users who were missing, and that is said.
    assert result.audit.dropped_by_target > 20
    assert "waiting for the target" in result.explain()


def test_arrivals_that_the_flow_itself_keeps_out_are_the_generators_fault(server: Server) -> None:
    async def sleepy(user: Any) -> None:
        await asyncio.sleep(0.5)

    result = load(
        server, {"sleepy": sleepy}, a=arrivals(40, "1s", exec="sleepy", preAllocatedVUs=2, maxVUs=2)
    )
    assert result.audit.dropped_by_generator > 20
    assert result.audit.dropped_by_target == 0
    assert result.verdict == "invalid: generator-limited"
    assert total(result, "dropped_iterations") + total(result, "iterations") == 40


def test_a_ramp_and_scenarios_after_each_other(server: Server) -> None:
    ramp = {
        "executor": "ramping-arrival-rate",
        "exec": "one",
        "startRate": 0,
        "stages": [{"duration": "1s", "target": 40}],
        "preAllocatedVUs": 5,
        "maxVUs": 100,
        "tags": {"load": "ramp"},
    }
    result = load(server, a=ramp, b=arrivals(10, "1s", startTime="1s"))
    requests = result.requests[result.requests["metric"] == "http_reqs"]
    by_scenario = requests.groupby(["scenario", "load"], observed=True)["total"].sum()
    assert by_scenario.to_dict() == {("a", "ramp"): 20, ("b", ""): 10}
    assert requests["second"][requests["scenario"] == "b"].unique().tolist() == [1]


def test_users_of_the_closed_model_begin_anew_when_they_are_done(server: Server) -> None:
    ramp = {
        "executor": "ramping-vus",
        "exec": "pausing",
        "startVUs": 1,
        "stages": [{"duration": "500ms", "target": 4}, {"duration": "500ms", "target": 0}],
    }
    result = load(server, {"pausing": pausing}, a=ramp)
    assert total(result, "iterations") > 8
    assert summed(result, "vus", "max") == 4
    assert result.audit.arrivals == 0
    # A closed model has no arrivals that could be late: beats of the event loop show it.
    assert summed(result, "dispatch_lateness", "count") >= 40


def test_iterations_are_numbered_over_all_users_and_each_keeps_its_state(server: Server) -> None:
    async def counting(user: Any) -> None:
        user.state["turns"] = user.state.get("turns", 0) + 1
        user.shared.setdefault("iterations", []).append(user.iteration)
        await user.post("/note", name="note", json=[user.number, user.state["turns"]])
        if len(user.shared["iterations"]) == 20:
            await user.post("/all", name="all", json=sorted(user.shared["iterations"]))

    server.ask("/forget")
    load(server, {"counting": counting}, a=arrivals(20, "1s", exec="counting"))
    notes = [json.loads(body) for _, path, _, body in server.seen() if path == "/note"]
    turns: dict[int, list[int]] = {}
    for number, turn in notes:
        turns.setdefault(number, []).append(turn)
    for several in turns.values():
        assert sorted(several) == list(range(1, len(several) + 1))
    assert [json.loads(body) for _, path, _, body in server.seen() if path == "/all"] == [
        list(range(20))
    ]


def test_checks_trends_and_counters_of_a_flow_are_metrics(server: Server) -> None:
    async def measuring(user: Any) -> None:
        answer = await user.get("/x", name="x", headers={"Authorization": "Bearer t"})
        user.check("is there", answer.status == 200)
        user.check("is odd", user.iteration % 2)
        user.trend("own_wait", 12.5)
        user.count("own_things", 3)

    server.ask("/forget")
    thresholds = {
        "checks{check:is there}": ["rate==1"],
        "checks{check:is odd}": ["rate==0.5"],
        "own_wait": ["avg==12.5", "max<13"],
        "own_things": ["count==60"],
    }
    result = load(
        server, {"measuring": measuring}, thresholds, a=arrivals(20, "1s", exec="measuring")
    )
    whole = result.thresholds.query("part == 'run'")
    assert whole["held"].all(), result.explain()
    assert len(whole) == len(PATIENT) + 5
    assert {authorization for _, _, authorization, _ in server.seen()} == {"bearer t"}


def test_errors_are_told_apart_by_kind(server: Server, free_port: int) -> None:
    async def failing(user: Any) -> None:
        await user.get("/status/503", name="down")
        await user.get("/lost", name="lost")
        await user.get("/reset", name="reset")
        answer = await user.get("/status/404", name="none")
        if user.iteration == 1:
            raise KeyError("a secret that must not be shown")
        answer.json()["token"]

    result = load(server, {"failing": failing}, a=arrivals(4, "1s", exec="failing"))
    counts: dict[str, int] = {}
    for row in result.errors.to_dict("records"):
        counts[row["error"]] = counts.get(row["error"], 0) + row["count"]
    flows = {kind: count for kind, count in counts.items() if kind.startswith("flow: ")}
    assert {kind: count for kind, count in counts.items() if kind not in flows} == {
        "HTTP 404": 4,
        "HTTP 503": 4,
        "connection lost": 8,
    }
    assert sum(flows.values()) == 4
    assert all(kind.startswith("flow: KeyError in line ") for kind in flows)
    assert "secret" not in result.errors.to_string()
    assert total(result, "http_req_failed") == 16


def test_a_server_that_goes_away_is_an_error_of_its_requests(own_server: Server) -> None:
    test = {"scenarios": {"a": arrivals(20, "2s")}, "thresholds": PATIENT}
    with start_load(test, own_server.url, flows={"one": one}) as run:
        run.begun()
        time.sleep(0.7)
        own_server.process.kill()
        result = run.wait()
    assert (
        {"connection refused"}
        <= set(result.errors["error"])
        <= {
            "connection refused",
            "connection lost",
        }
    )
    assert total(result, "http_reqs") == 40


def test_what_is_not_answered_within_the_grace_counts_as_an_error(server: Server) -> None:
    result = load(
        server, {"slow": slow}, a=arrivals(10, "500ms", exec="slow", gracefulStop="300ms")
    )
    assert result.errors[["error", "count"]].values.tolist() == [[NOT_ANSWERED, 5]]
    assert result.audit.unfinished == 5
    assert summed(result, "http_req_duration", "max") >= 290


def test_users_that_are_not_wanted_any_more_are_ended_after_their_grace(server: Server) -> None:
    ramp = {
        "executor": "ramping-vus",
        "exec": "slow",
        "startVUs": 2,
        "stages": [{"duration": "0s", "target": 0}, {"duration": "1s", "target": 0}],
        "gracefulRampDown": "100ms",
        "gracefulStop": "30s",
    }
    result = load(server, {"slow": slow}, a=ramp)
    assert result.audit.unfinished == 2


def test_a_broken_threshold_may_end_the_run(server: Server) -> None:
    async def failing(user: Any) -> None:
        await user.get("/status/500", name="bad")

    threshold = {"threshold": "rate<0.5", "abortOnFail": True, "delayAbortEval": "200ms"}
    result = load(
        server,
        {"failing": failing},
        {"http_req_failed": [threshold]},
        a=arrivals(20, "40s", exec="failing"),
    )
    assert result.seconds < 40
    assert result.about.aborted_by == "http_req_failed: rate<0.5"
    assert (result.verdict, result.interrupted) == ("failed", False)


def test_a_run_in_the_background_can_be_stopped(server: Server) -> None:
    test = {"scenarios": {"a": arrivals(50, "1h")}, "thresholds": PATIENT}
    seen: list[Progress] = []
    run = start_load(test, server.url, flows={"one": one})
    assert abs(run.begun() - time.time()) < LIMIT
    threading.Timer(1.2, run.stop).start()
    result = run.wait(seen.append)
    assert not run.running
    assert result.interrupted
    assert "somebody ended it early" in result.explain()
    assert 0 < total(result, "http_reqs") < 50 * LIMIT
    assert [progress.over for progress in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1].requests == total(result, "http_reqs")
    assert "requests" in str(seen[-1])
    # Once more gives the same.
    assert run.wait() is result


def test_requests_that_hang_are_in_the_percentiles_of_a_run_that_is_stopped(
    server: Server,
) -> None:
    few = arrivals(10, "1h", exec="slow", preAllocatedVUs=2, maxVUs=2)
    test = {"scenarios": {"a": few}, "thresholds": PATIENT}
    run = start_load(test, server.url, flows={"slow": slow})
    begun = run.begun()
    while time.time() < begun + 1:
        time.sleep(0.05)
    run.stop()
    result = run.wait()
    assert total(result, "http_reqs") == 0
    assert summed(result, "http_req_duration", "max") >= 900
    rows = result.requests.query("metric == 'http_req_duration'")
    assert rows["count"][rows["unanswered"] == "true"].sum() == 2
    assert rows["count"][rows["dropped"] == "true"].sum() == result.audit.dropped_by_target >= 7


def test_the_mix_is_what_it_says(server: Server) -> None:
    server.ask("/forget")
    load(server, a=arrivals(100, "1s", exec="mixed"))
    paths = [path for _, path, _, _ in server.seen()]
    counts = {path: paths.count(path) for path in set(paths)}
    # Logins beside the 2: of each session that was not there yet, of ten at most; meanwhile others
    # ask for the health.
    assert 2 <= counts.pop("/auth/login") <= 12
    assert counts.pop("/health/live") + counts.pop("/health/ready") >= 20
    assert counts.keys() == {"/auth/refresh", "/auth/me", "/agents", "/agents/dqn", "/api-keys"}
    assert counts["/auth/me"] <= 35
    assert counts["/agents"] <= 15


def test_a_target_that_nobody_serves_is_told_at_once(free_port: int) -> None:
    with pytest.raises(LoadFailed, match="nobody accepts connections there"):
        load(f"http://127.0.0.1:{free_port}", a=arrivals(1, "1s"))


def test_an_unknown_flow_or_engine_lists_those_there_are(server: Server) -> None:
    known = r"no flow 'on'; there are .*jwt, jwt_thinking, mixed, one"
    with pytest.raises(BadArgument, match=known):
        load(server, a=arrivals(1, "1s", exec="on"))
    with pytest.raises(BadArgument, match="must be embedded or k6, not 'k7'"):
        load(server, options={"engine": "k7"}, a=arrivals(1, "1s"))


def test_a_flow_may_be_registered_by_name(server: Server) -> None:
    @flow(name="registered")
    async def anything(user: Any) -> None:
        await user.delete("/gone", name="gone")

    server.ask("/forget")
    try:
        load(server, a=arrivals(2, "1s", exec="registered"))
    finally:
        del FLOWS["registered"]
    assert [(method, path) for method, path, _, _ in server.seen()] == [("DELETE", "/gone")] * 2


def test_a_flow_that_leaves_the_target_is_an_error(server: Server) -> None:
    async def straying(user: Any) -> None:
        await user.get("http://192.0.2.1/", name="elsewhere")

    result = load(server, {"straying": straying}, a=arrivals(2, "1s", exec="straying"))
    assert result.errors["count"].tolist() == [2]
    assert result.errors["error"][0].startswith("flow: ValueError")
    assert total(result, "http_reqs") == 0
