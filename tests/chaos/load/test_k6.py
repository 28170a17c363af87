"""The same load by k6: its script, its operator, and its runs where there is a k6."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tarslab.chaos.load import LoadFailed, LoadTest, export, flow, run_load, start_load
from tarslab.chaos.load.flows import FLOWS
from tarslab.chaos.load.k6.engine import binary
from tarslab.chaos.load.loadtest import shipped
from tarslab.errors import BadArgument
from tests.chaos.load.conftest import Server

needs_k6 = pytest.mark.skipif(
    binary() is None, reason="there is no k6 (the package k6, which is of a third party, has one)"
)
PATIENT = {"http_req_service_duration": ["max<1000000"]}


def options_of(script: str) -> Any:
    found = re.search(r"^export const options = (\{.*?^\});", script, re.DOTALL | re.MULTILINE)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("name", shipped())
def test_a_script_has_the_scenarios_and_thresholds_of_the_file(name: str) -> None:
    options = options_of(export(name, scale=0.5))
    tags = options.pop("systemTags")
    assert {"scenario", "name", "status"} <= set(tags)
    assert LoadTest.of(options).named(name) == LoadTest.of(name).scaled(0.5)


def test_a_script_has_each_import_once_and_each_flow() -> None:
    scenario = {"executor": "constant-vus", "duration": "1s"}
    names = ("jwt", "jwt_thinking", "mixed")
    test = {"scenarios": {name: scenario | {"exec": name} for name in names}}
    script = export(test)
    imports = [line for line in script.splitlines() if line.startswith("import ")]
    assert len(imports) == len(set(imports)) == 4
    assert script.count("export function jwt(") == script.count("export function mixed(") == 1


def test_a_script_has_no_credentials_and_no_metric_that_k6_lacks() -> None:
    scenario = {"executor": "constant-vus", "duration": "1s", "exec": "jwt"}
    test = {"scenarios": {"a": scenario}, "thresholds": PATIENT | {"http_reqs": ["count>0"]}}
    script = export(test)
    assert options_of(script)["thresholds"] == {"http_reqs": ["count>0"]}
    assert "__ENV.TARSLAB_PASSWORD" in script


def test_manifests_of_the_operator_hold_the_script_and_take_credentials_from_a_secret() -> None:
    text = export("jwt-stress", format="k6-operator", target="http://tars.svc:8000", parallelism=3)
    config, run = yaml.safe_load_all(text)
    ((file, script),) = config["data"].items()
    assert script == export("jwt-stress")
    # The fields that the operator's documentation of TestRun names.
    assert (run["apiVersion"], run["kind"]) == ("k6.io/v1alpha1", "TestRun")
    assert run["spec"]["parallelism"] == 3
    assert run["spec"]["script"]["configMap"] == {"name": config["metadata"]["name"], "file": file}
    assert run["spec"]["arguments"] == "--no-usage-report"
    environment = {each["name"]: each for each in run["spec"]["runner"]["env"]}
    assert environment["TARSLAB_URL"]["value"] == "http://tars.svc:8000"
    assert environment["TARSLAB_PASSWORD"]["valueFrom"]["secretKeyRef"]["key"] == "password"


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="target: the URL"):
        export("spike", format="k6-operator")
    with pytest.raises(BadArgument, match="parallelism: at least 1"):
        export("spike", format="k6-operator", target="http://x", parallelism=0)
    with pytest.raises(BadArgument, match="must be k6 or k6-operator"):
        export("spike", format="jmeter")  # type: ignore[arg-type]

    @flow(name="only_python")
    async def only_python(user: Any) -> None:
        pass

    flow(name="lost_twin", k6=tmp_path / "lost.js")(only_python)
    scenario = {"executor": "constant-vus", "duration": "1s"}
    try:
        for name, problem in (("only_python", "has no twin"), ("lost_twin", "cannot be read")):
            with pytest.raises(BadArgument, match=problem):
                export({"scenarios": {"a": scenario | {"exec": name}}})
    finally:
        del FLOWS["only_python"], FLOWS["lost_twin"]


def test_without_k6_the_engine_says_where_it_is_had(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(BadArgument, match="there is no k6 on the path"):
        run_load("sustained", server.url, engine="k6")


@needs_k6
@pytest.mark.parametrize("flow", ["mixed", "jwt"])
def test_both_engines_send_the_same_requests_in_the_same_order(server: Server, flow: str) -> None:
    # One user, so that the order is one; 100 iterations have every request of the mix.
    scenario = {"executor": "constant-vus", "exec": flow, "vus": 1, "duration": "1s"}
    seen = []
    for engine in ("embedded", "k6"):
        server.ask("/forget")
        result = run_load({"scenarios": {"a": scenario}}, server.url, engine=engine)
        requests = server.seen()
        seen.append(requests)
        assert len(requests) == result.requests.query("metric == 'http_reqs'")["total"].sum()
    shortest = min(map(len, seen))
    assert shortest >= 100
    assert seen[0][:shortest] == seen[1][:shortest]


@needs_k6
def test_both_engines_measure_the_same(server: Server, tmp_path: Path) -> None:
    twin = tmp_path / "waiting.js"
    twin.write_text(
        """
        import http from 'k6/http';
        export function waiting() {
          http.get(`${__ENV.TARSLAB_URL}/slow/0.1`, { tags: { name: 'slow' } });
          http.get(`${__ENV.TARSLAB_URL}/status/503`, { tags: { name: 'down' } });
        }
        """
    )

    @flow(k6=twin)
    async def waiting(user: Any) -> None:
        await user.get("/slow/0.1", name="slow")
        await user.get("/status/503", name="down")

    scenario = {
        "executor": "constant-arrival-rate",
        "exec": "waiting",
        "rate": 20,
        "duration": "2s",
        "preAllocatedVUs": 40,
        "tags": {"kind": "parity"},
    }
    thresholds = PATIENT | {
        "http_req_duration{name:slow}": ["min>=100"],
        "http_req_failed{kind:parity}": ["rate==0.5"],
        "http_req_failed{name:down}": ["rate<0.5"],
        "iterations": ["count>30"],
    }
    test = {"scenarios": {"a": scenario}, "thresholds": thresholds}
    results = []
    try:
        for engine in ("embedded", "k6"):
            out = tmp_path / engine
            results.append(run_load(test, server.url, engine=engine, out=out, raw=True))
    finally:
        del FLOWS["waiting"]
    ours, theirs = results
    assert (ours.about.engine, theirs.about.engine) == ("embedded", "k6")
    for result in results:
        whole = result.thresholds[result.thresholds["part"] == "run"]
        assert whole["held"].tolist() == [True, True, True, False, True]
        assert result.errors[["error", "name"]].values.tolist() == [["HTTP 503", "down"]]
        # k6 may have one more or less at the end.
        assert abs(result.requests.query("metric == 'iterations'")["total"].sum() - 40) <= 1
        assert len(result.points) == result.requests.query("metric == 'http_reqs'")["total"].sum()
        slow = result.points.query("name == 'slow'")
        assert (slow["done"] - slow["sent"] >= 0.1).all()
        assert result.seconds == pytest.approx(2, abs=0.5)
    medians = [r.windows("http_req_duration{name:slow}", "med<1", 9)["value"][0] for r in results]
    assert np.ptp(medians) < 100
    # k6 does not say how late it was.
    assert np.isnan(theirs.audit.lateness)


@needs_k6
def test_k6_ends_when_it_is_told_to(server: Server) -> None:
    scenario = {"executor": "constant-vus", "vus": 1, "exec": "jwt", "duration": "1h"}
    run = start_load({"scenarios": {"a": scenario}}, server.url, engine="k6")
    run.begun()
    threading.Timer(0.5, run.stop).start()
    result = run.wait()
    assert result.interrupted
    assert len(result.requests)


@needs_k6
def test_what_k6_does_not_take_is_told_in_its_words(server: Server, tmp_path: Path) -> None:
    twin = tmp_path / "broken.js"
    twin.write_text("export function broken( {")

    @flow(k6=twin)
    async def broken(user: Any) -> None:
        pass

    scenario = {"executor": "constant-vus", "exec": "broken", "duration": "1s"}
    try:
        with pytest.raises(LoadFailed, match=r"k6 ended with exit code \d+; it said:"):
            run_load({"scenarios": {"a": scenario}}, server.url, engine="k6")
    finally:
        del FLOWS["broken"]
