"""Deploying to an API that has what it takes to be in the way."""

import base64
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import tarslab as tl
from tarslab.errors import BadArgument, StackFailed
from tarslab.stack import Deployment
from tarslab.stack.cli import app
from tarslab.stack.kubernetes.manifests import OURS, PORTS
from tests.stack.kubernetes.api import ClusterApi
from tests.stack.waiting import wait_until

NAMESPACE = "tars"
IMAGE = "image:1"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
FORBIDDEN = 'User "dev" cannot'

Deploy = Callable[..., Deployment]


@pytest.fixture
def api() -> Iterator[ClusterApi]:
    """A cluster without the namespace."""
    found = ClusterApi()
    yield found
    found.close()


@pytest.fixture
def kubeconfig(api: ClusterApi, tmp_path: Path) -> Path:
    """Of its one context, ``test``."""
    return api.kubeconfig(tmp_path / "config")


@pytest.fixture
def said() -> list[str]:
    """What was said on the way."""
    return []


@pytest.fixture
def deploy(kubeconfig: Path, said: list[str]) -> Deploy:
    """Deploys there."""

    def there(**options: Any) -> Deployment:
        given: dict[str, Any] = {"timeout": 30.0, **options}
        return tl.stack.deploy(
            "test", NAMESPACE, IMAGE, kubeconfig=kubeconfig, on_progress=said.append, **given
        )

    return there


def test_a_stack_is_deployed_to_a_namespace_that_is_made(
    api: ClusterApi, deploy: Deploy, said: list[str]
):
    deployed = deploy()
    assert said[:2] == ["namespace tars made", "Secret tarslab made"]
    assert api.named("Deployment") == set(PORTS)
    assert len(api.named("Pod")) == 7
    assert api.named("PodDisruptionBudget") == set(PORTS) - {"redis"}
    service = api.objects[f"{CORE}/services/orchestration"]
    assert deployed.url == f"http://{service['spec']['clusterIP']}:8000"


def test_services_are_told_the_addresses_of_the_others(api: ClusterApi, deploy: Deploy):
    deploy()
    (container,) = api.objects[f"{DEPLOYMENTS}/orchestration"]["spec"]["template"]["spec"][
        "containers"
    ]
    told = {each["name"]: each.get("value") for each in container["env"]}
    address = api.objects[f"{CORE}/services/automl"]["spec"]["clusterIP"]
    assert told["TARSLAB_STACK_AUTOML_URL"] == f"http://{address}:8000"


def test_secrets_are_made_once_and_shown_by_nothing(
    api: ClusterApi, deploy: Deploy, said: list[str]
):
    deployed = deploy()
    made = dict(api.objects[f"{CORE}/secrets/tarslab"]["stringData"])
    assert made.keys() == {"secret", "signing_secret", "redis_password", "admin_password"}
    deploy()
    assert api.objects[f"{CORE}/secrets/tarslab"]["stringData"] == made
    assert len(api.requests("POST", "/secrets")) == 2
    shown = f"{said} {deployed!r} {vars(deployed)}"
    assert not [value for value in made.values() if value in shown]


def test_the_password_of_the_admin_is_asked_of_the_cluster_and_hidden(
    api: ClusterApi, deploy: Deploy
):
    deployed = deploy()
    # As an API answers.
    kept = {"admin_password": base64.b64encode(b"from-the-cluster").decode()}
    api.put(f"{CORE}/secrets/tarslab", {"metadata": {"name": "tarslab"}, "data": kept})
    assert deployed.admin_password.reveal() == "from-the-cluster"
    assert "from-the-cluster" not in repr(deployed.admin_password)
    api.remove(f"{CORE}/secrets/tarslab")
    with pytest.raises(StackFailed, match="no Secret tarslab is in tars"):
        _ = deployed.admin_password


def test_what_a_cluster_does_not_have_is_left_out_and_said(
    api: ClusterApi, deploy: Deploy, said: list[str]
):
    api.policies, api.classes = [], []
    deploy()
    assert "this cluster has no PodDisruptionBudgets: left out" in said
    assert not api.named("PodDisruptionBudget")
    assert [line for line in said if "no default StorageClass" in line]
    assert not api.named("PersistentVolumeClaim")


def test_before_kubernetes_1_21_disruption_budgets_are_of_the_beta(api: ClusterApi, deploy: Deploy):
    api.policies = ["v1beta1"]
    deploy()
    assert f"/apis/policy/v1beta1/namespaces/{NAMESPACE}/poddisruptionbudgets/automl" in api.objects


def test_who_may_not_give_rights_deploys_without_those_of_the_chaos_runner(
    api: ClusterApi, deploy: Deploy, said: list[str]
):
    for method in ("GET", "PATCH"):
        api.wrong(method, "/roles/chaos-runner", 403, f"{FORBIDDEN} roles")
    deploy()
    assert [line for line in said if line.startswith("left out: ") and FORBIDDEN in line]
    assert api.named("Deployment") == set(PORTS)


def test_who_may_not_deploy_is_told_which_right_is_lacking(api: ClusterApi, deploy: Deploy):
    api.wrong("PATCH", "/deployments/redis", 403, f"{FORBIDDEN} patch deployments")
    with pytest.raises(StackFailed, match=f"{FORBIDDEN} patch deployments"):
        deploy()


def test_what_somebody_else_made_is_left_as_it_is(api: ClusterApi, deploy: Deploy):
    theirs = {"metadata": {"name": "redis"}, "spec": {"replicas": 1}}
    api.put(f"{DEPLOYMENTS}/redis", theirs | {"spec": {"replicas": 0, "template": {}}})
    before = dict(api.objects)
    with pytest.raises(StackFailed, match="Deployment redis in tars was not made by tarslab"):
        deploy()
    assert api.objects.keys() - before.keys() == {"/api/v1/namespaces/tars"}
    assert api.objects[f"{DEPLOYMENTS}/redis"] == before[f"{DEPLOYMENTS}/redis"]


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "openshift-x", "default"])
def test_namespaces_of_the_cluster_are_refused_before_anything_is_asked(
    api: ClusterApi, kubeconfig: Path, namespace: str
):
    for refused in (
        lambda: tl.stack.deploy("test", namespace, IMAGE, kubeconfig=kubeconfig),
        lambda: tl.stack.undeploy("test", namespace, kubeconfig=kubeconfig),
    ):
        with pytest.raises(BadArgument, match=f"namespace: '{namespace}'"):
            refused()
    assert not api.asked


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (("nowhere", "tars", IMAGE), "context: 'nowhere' cannot be used"),
        (("test", "Tars", IMAGE), "namespace: 'Tars' is no name of one"),
        (("test", "tars", ""), "image: '' is no reference of an image"),
    ],
)
def test_what_cannot_be_used_is_named(kubeconfig: Path, where: tuple[str, str, str], said: str):
    with pytest.raises(BadArgument, match=said):
        tl.stack.deploy(*where, kubeconfig=kubeconfig)


def test_it_waits_until_every_pod_is_ready_and_says_what_for(
    api: ClusterApi, deploy: Deploy, said: list[str]
):
    api.ready_at_once = False
    done: list[Deployment] = []
    going = threading.Thread(target=lambda: done.append(deploy()))
    going.start()
    wait_until(lambda: len([line for line in said if "it runs, and is not ready" in line]) == 7)
    assert not done
    api.forget_versions()
    for path, each in list(api.objects.items()):
        if "/pods/" in path:
            ready = {"type": "Ready", "status": "True"}
            api.put(path, each | {"status": each["status"] | {"conditions": [ready]}})
    going.join()
    assert len(done) == 1


def test_a_process_that_ends_again_and_again_is_given_up_with_the_end_of_its_log(
    api: ClusterApi, deploy: Deploy
):
    api.ready_at_once = False
    crashed = {
        "image": IMAGE,
        "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 3}},
    }
    failure: list[StackFailed] = []

    def fail() -> None:
        try:
            deploy()
        except StackFailed as error:
            failure.append(error)

    going = threading.Thread(target=fail)
    going.start()
    wait_until(lambda: len(api.named("Pod")) == 7)
    (name, *_) = sorted(each for each in api.named("Pod") if each.startswith("automl"))
    api.logs[f"{name} before"] = "ModuleNotFoundError: No module named 'numba'\n"
    pod = api.objects[f"{CORE}/pods/{name}"]
    api.put(
        f"{CORE}/pods/{name}",
        pod | {"status": pod["status"] | {"containerStatuses": [crashed]}},
    )
    going.join()
    assert "automl-" in str(failure[0])
    assert "its process ended with exit code 3, 3 times; its log ends: ModuleNot" in str(failure[0])
    assert "what was applied to tars stays" in str(failure[0])


def test_a_stack_that_is_not_ready_in_time_says_why(api: ClusterApi, deploy: Deploy):
    api.ready_at_once = False
    with pytest.raises(StackFailed, match=r"not ready within 1 s: automl-\d+: it runs, and is"):
        deploy(timeout=1.0)


def test_a_quota_that_lets_no_pod_be_made_is_told(
    api: ClusterApi, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tarslab.stack.kubernetes.deploying.MADE", 1.0)
    api.reconciles = False
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}
    put = api._put

    async def refused(path: str, each: dict[str, Any]) -> dict[str, Any]:
        kept = await put(path, each)
        if path.endswith("/deployments/automl"):
            kept["status"]["conditions"] = [condition]
        return kept

    monkeypatch.setattr(api, "_put", refused)
    with pytest.raises(StackFailed, match="no pods of automl can be made: exceeded quota: small"):
        deploy()


def test_undeploying_removes_all_that_was_made_and_nothing_else(
    api: ClusterApi, deploy: Deploy, kubeconfig: Path
):
    deployed = deploy()
    theirs = f"{CORE}/secrets/theirs"
    api.put(theirs, {"metadata": {"name": "theirs"}})
    # What a fault left there.
    policy = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies/cut-off"
    api.put(policy, {"metadata": {"name": "cut-off", "labels": OURS}})
    removed = deployed.undeploy()
    assert {"Deployment redis", "Secret tarslab", "NetworkPolicy cut-off"} <= set(removed)
    assert set(api.objects) == {"/api/v1/namespaces/tars", theirs}
    assert tl.stack.undeploy("test", NAMESPACE, kubeconfig=kubeconfig) == ()


def command(kubeconfig: Path, name: str, *more: str) -> list[str]:
    """The arguments of a command."""
    where = ["--context", "test", "--namespace", NAMESPACE, "--kubeconfig", str(kubeconfig)]
    return [name, *where, *more]


def test_the_command_deploys_and_shows_no_password(api: ClusterApi, kubeconfig: Path):
    result = CliRunner().invoke(app, command(kubeconfig, "deploy", "--image", IMAGE))
    assert result.exit_code == 0, result.output
    assert "kubectl get secret tarslab -o jsonpath='{.data.admin_password}'" in result.output
    made = api.objects[f"{CORE}/secrets/tarslab"]["stringData"]
    assert not [value for value in made.values() if value in result.output]


def test_a_dry_run_prints_the_manifests_and_touches_nothing(api: ClusterApi, kubeconfig: Path):
    arguments = command(kubeconfig, "deploy", "--image", IMAGE, "--replicas", "3", "--dry-run")
    result = CliRunner().invoke(app, arguments)
    found = list(yaml.safe_load_all(result.stdout))
    assert {each["kind"] for each in found} >= {"Deployment", "Service", "Role"}
    assert "Secret" not in {each["kind"] for each in found}
    assert {each["spec"]["replicas"] for each in found if each["kind"] == "Deployment"} == {1, 3}
    assert {each.method for each in api.asked} == {"GET"}


def test_the_command_says_how_things_stand_when_it_is_stopped(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
):
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tarslab.stack.kubernetes.deploying.deploy", stopped)
    result = CliRunner().invoke(app, command(kubeconfig, "deploy", "--image", IMAGE))
    assert result.exit_code == 130
    assert "stopped: what was applied to tars stays; the same command goes on" in result.output


def test_the_command_asks_before_it_removes(api: ClusterApi, deploy: Deploy, kubeconfig: Path):
    deploy()
    result = CliRunner().invoke(app, command(kubeconfig, "undeploy"), input="n\n")
    assert result.exit_code == 1
    assert api.named("Deployment") == set(PORTS)
    result = CliRunner().invoke(app, command(kubeconfig, "undeploy", "--yes"))
    assert result.stdout == "removed\n"
    assert not api.named("Deployment")
