"""The shipped experiments on a stack in a real cluster, as they are on this machine."""

import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tarslab as tl
from tarslab.chaos.experiments import ExperimentResult
from tarslab.chaos.experiments.environment import measured_on
from tarslab.chaos.platforms import KubernetesPlatform
from tarslab.stack import Deployment
from tests.kubernetes.real import KUBECONFIG, NEEDS_CLUSTER

pytestmark = [pytest.mark.kubernetes, NEEDS_CLUSTER]

SERVICES = ("orchestration", "automl", "hypersync")


def failed(result: ExperimentResult) -> list[str]:
    """The criteria that do not hold; those that the load's generator was too slow for may."""
    return [row["criterion"] for row in result.rows if row["passed"] is False]


def tarslab(*arguments: str, **variables: str) -> str:
    """What the command line says, which goes well."""
    done = subprocess.run(
        [sys.executable, "-m", "tarslab", *arguments],
        env={**os.environ, "KUBECONFIG": KUBECONFIG, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    # 3: the machine was too slow for the load.
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return done.stdout


def exported(said: str) -> dict[str, str]:
    """The variables that a shell would have of it."""
    pairs = (line.removeprefix("export ").partition("=") for line in said.splitlines())
    return {name: shlex.split(value)[0] for name, _, value in pairs}


def test_a_plan_names_the_very_pods_their_owner_and_budget_and_what_is_left(
    context: str, deployed: Deployment, runner: KubernetesPlatform
):
    (first, _) = sorted(runner.units("orchestration"), key=lambda unit: unit.started or 0)
    where = ["--context", context, "--namespace", deployed.namespace, "--allow", context]
    said = tarslab("chaos", "plan", "pod-kill", *where)
    replicas = re.escape(first.name.rpartition("-")[0])
    assert re.search(
        rf"pod {deployed.namespace}/{first.name} \(orchestration\): deleted with a grace of 0 s; "
        rf"owned by ReplicaSet {replicas}; 1 of 2 ready left; PodDisruptionBudget orchestration "
        r"allows 1",
        said,
    )
    assert f"are sent to {deployed.url}" in said
    assert {unit.id for unit in runner.units("orchestration")} >= {first.id}


def test_each_service_is_back_from_repeated_kills_with_the_rights_of_the_runner_alone(
    deployed: Deployment, runner: KubernetesPlatform, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TARSLAB_USERNAME", "admin")
    monkeypatch.setenv("TARSLAB_PASSWORD", deployed.admin_password.reveal())
    result = tl.chaos.run(
        "pod-kill", runner, scale=0.1, variables={"repeats": 2, "pause_seconds": 0}
    )
    assert failed(result) == []
    assert [fault.name for fault in result.faults] == [
        f"kill {service}" for service in SERVICES for _ in range(2)
    ]
    for service in SERVICES:
        interval = result.recovery(service)
        assert 0 <= interval.low <= interval.estimate <= interval.high < math.inf
    assert re.match(
        rf"Kubernetes v1\.\d+.*, namespace {deployed.namespace} of {runner.context}; ",
        measured_on(result.about.environment),
    )


def test_services_go_on_without_redis_and_lose_nothing_that_was_acknowledged(
    context: str, deployed: Deployment, tmp_path: Path
):
    where = ["--context", context, "--namespace", deployed.namespace]
    known = exported(tarslab("stack", "env", *where))
    assert known["TARSLAB_URL"] == deployed.url
    options = ["--allow", context, "--scale", "0.1", "-o", str(tmp_path / "out")]
    # A pod that goes without a grace closes no connection: that it is gone is found out by time.
    options += ["--var", "outage_seconds=50"]
    said = tarslab(
        *("chaos", "run", "redis-outage", *where, "--target", deployed.url, *options),
        TARSLAB_CHAOS_UNDO=str(tmp_path / "undo"),
        **known,
    )
    result = ExperimentResult.load(tmp_path / "out")
    assert failed(result) == []
    assert result.about.environment["platform"]["version"] in said
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [p for p in kept if known["TARSLAB_PASSWORD"].encode() in p.read_bytes()]
