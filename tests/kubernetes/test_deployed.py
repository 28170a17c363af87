"""The stack in a real cluster: the one that TARSLAB_TEST_KUBECONFIG names.

TARSLAB_TEST_STACK_IMAGE is an image of the services that its nodes have, or can pull.
"""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tarslab as tl
from tarslab.chaos import faults
from tarslab.chaos.guards import Guard
from tarslab.chaos.platforms import KubernetesPlatform, PlatformFailed
from tarslab.errors import StackFailed
from tarslab.stack import Deployment
from tarslab.stack.kubernetes.manifests import MANAGED, OURS, USER, manifests
from tarslab.stack.kubernetes.objects import CORE, GROUPED, Objects
from tarslab.stack.kubernetes.rights import RUNNER
from tarslab.stack.kubernetes.waiting import ended
from tests.stack.waiting import LIMIT, wait_until

KUBECONFIG = os.environ.get("TARSLAB_TEST_KUBECONFIG", "")
IMAGE = os.environ.get("TARSLAB_TEST_STACK_IMAGE", "docker.io/local/tarslab:test")
# Nobody listens there.
NO_IMAGE = "localhost:1/none:1"

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.skipif(
        not KUBECONFIG,
        reason="needs a cluster: make kubernetes, or TARSLAB_TEST_KUBECONFIG (docs/kubernetes.md)",
    ),
]

Namespaces = Callable[[], str]


@pytest.fixture(scope="module")
def context() -> str:
    """The kubeconfig's current context."""
    from kubernetes import config

    contexts = config.list_kube_config_contexts(KUBECONFIG)
    return str(contexts[1]["name"])


@pytest.fixture(scope="module")
def new_namespace(context: str) -> Iterator[Namespaces]:
    """Names namespaces that are not there, and removes them at the end."""
    named: list[str] = []

    def name() -> str:
        named.append(f"tarslab-test-{secrets.token_hex(3)}")
        return named[-1]

    yield name
    for namespace in named:
        objects = Objects(context, namespace, KUBECONFIG)
        if not objects.make_namespace():
            objects._cluster.core.delete_namespace(namespace)
        objects.close()


@pytest.fixture(scope="module")
def deployed(context: str, new_namespace: Namespaces) -> Deployment:
    """A stack that the tests share."""
    return tl.stack.deploy(context, new_namespace(), IMAGE, kubeconfig=KUBECONFIG)


@pytest.fixture
def objects(context: str, deployed: Deployment) -> Iterator[Objects]:
    """The objects of its namespace."""
    found = Objects(context, deployed.namespace, KUBECONFIG)
    yield found
    found.close()


@pytest.fixture
def runner(
    context: str, deployed: Deployment, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KubernetesPlatform]:
    """The platform with the rights of the chaos runner alone."""
    monkeypatch.setenv("TARSLAB_CHAOS_UNDO", str(tmp_path / "undo"))
    platform = KubernetesPlatform(
        context, deployed.namespace, allow=[context], kubeconfig=KUBECONFIG
    )
    account = f"system:serviceaccount:{deployed.namespace}:{RUNNER}"
    platform._cluster._api.set_default_header("Impersonate-User", account)
    yield platform
    platform.close()


@pytest.fixture
def admin(deployed: Deployment) -> Iterator[tl.AdminClient]:
    """The admin, by way of the Service."""
    with tl.AdminClient(
        deployed.url,
        username="admin",
        password=deployed.admin_password,
        allow_http=True,
    ) as client:
        yield client


def names(objects: Objects) -> dict[str, set[str]]:
    """Of all that is managed by tarslab and is not about to go, by kind."""
    versions = {
        "Deployment": ("apps/v1",),
        "NetworkPolicy": ("networking.k8s.io/v1",),
        "PodDisruptionBudget": ("policy/v1", "policy/v1beta1"),
        "Role": ("rbac.authorization.k8s.io/v1",),
        "RoleBinding": ("rbac.authorization.k8s.io/v1",),
    }
    return {
        kind: {
            each["metadata"]["name"]
            for version in versions.get(kind, ("v1",))
            for each in objects.listed(kind, version, MANAGED)
            if "deletionTimestamp" not in each["metadata"]
        }
        for kind in (*CORE, *GROUPED)
    }


@pytest.mark.parametrize("volume", [True, False])
@pytest.mark.parametrize("replicas", [1, 3])
def test_the_api_takes_every_manifest_field_by_field(
    context: str, new_namespace: Namespaces, replicas: int, volume: bool
):
    objects = Objects(context, new_namespace(), KUBECONFIG)
    objects.make_namespace()
    policy = "policy/v1" if objects.has("policy", "v1") else "policy/v1beta1"
    for each in manifests(
        objects.namespace, IMAGE, replicas=replicas, policy=policy, volume=volume
    ):
        assert objects.apply(each, dry_run=True)["metadata"]["name"] == each["metadata"]["name"]
    assert not any(names(objects).values())
    objects.close()


def test_an_admin_signs_in_through_the_service_and_finds_every_service_ready(
    admin: tl.AdminClient,
):
    assert {agent.id for agent in admin.agents.list()} == {"a2c", "ddpg", "dqn", "ppo"}
    found = admin.health.services()
    assert {name: one.ready for name, one in found.services.items()} == {
        "orchestration": True,
        "automl": True,
        "hypersync": True,
    }
    assert admin.audit.verify().valid
    assert list(admin.studies.list())


def test_deploying_again_leaves_pods_and_secrets_as_they_are(
    context: str, deployed: Deployment, objects: Objects
):
    before, password = names(objects), deployed.admin_password
    again = tl.stack.deploy(context, deployed.namespace, IMAGE, kubeconfig=KUBECONFIG)
    assert names(objects) == before
    assert again.urls == deployed.urls
    assert again.admin_password == password


def test_a_service_is_an_ordinary_user_and_can_write_nowhere_else(objects: Objects):
    script = """
        python -c "import os; print(os.getuid())"
        for at in / /opt /data /tmp; do (: > $at/x) 2>/dev/null && echo $at; done
    """
    for pod in objects.listed("Pod", "v1", OURS):
        name = pod["metadata"]["name"]
        container = pod["spec"]["containers"][0]["name"]
        _, said = objects._cluster.run(objects.namespace, name, container, script)
        assert said.split() == [str(USER), "/data", "/tmp"]


def test_the_chaos_runner_may_kill_and_restart(runner: KubernetesPlatform):
    with faults.kill(runner, "hypersync") as fault:
        (victim,) = fault.units
    runner.wait_ready("hypersync", LIMIT)
    assert victim.name not in {unit.name for unit in runner.units("hypersync")}
    with faults.restart(runner, "hypersync", guard=Guard(max_units=2)):
        pass
    runner.wait_ready("hypersync", 2 * LIMIT)
    assert runner.address("hypersync").startswith("http://")


def test_the_chaos_runner_may_pause_a_service_and_hold_it_down(runner: KubernetesPlatform):
    with faults.pause(runner, "hypersync"):
        wait_until(lambda: [u.state for u in runner.units("hypersync")].count("ready") == 1)
    runner.wait_ready("hypersync", LIMIT)
    with faults.outage(runner, "hypersync", guard=Guard(max_units=2)):
        assert runner.units("hypersync") == ()
    runner.wait_ready("hypersync", LIMIT)


def test_the_chaos_runner_may_cut_a_service_off_where_the_network_lets_it(
    runner: KubernetesPlatform, objects: Objects
):
    said = None
    try:
        with faults.cut_off(runner, "hypersync", guard=Guard(max_units=2)):
            assert names(objects)["NetworkPolicy"]
    except PlatformFailed as error:
        said = str(error)
    assert said is None or "does not enforce it" in said
    assert not names(objects)["NetworkPolicy"]
    runner.wait_ready("hypersync", LIMIT)


def test_the_chaos_runner_may_not_read_secrets_or_touch_nodes(
    runner: KubernetesPlatform, objects: Objects
):
    with pytest.raises(PlatformFailed, match=r'cannot get resource "nodes"'):
        runner.is_cordoned("node1")
    read = runner._cluster.core.read_namespaced_secret
    with pytest.raises(PlatformFailed, match=r'cannot get resource "secrets"'):
        runner._cluster.ask("secret", read, "tarslab", objects.namespace)


def test_what_redis_holds_outlives_its_pod_where_there_is_a_volume(
    runner: KubernetesPlatform, objects: Objects, admin: tl.AdminClient
):
    if not objects.has_default_storage():
        pytest.skip("this cluster has no default StorageClass")
    key = admin.api_keys.create("kept", scopes=["agents:read"])
    with faults.kill(runner, "redis"):
        pass
    runner.wait_ready("redis", LIMIT)

    def found() -> bool:
        try:
            return key.id in {each.id for each in admin.api_keys.list()}
        except tl.admin.Unavailable:
            return False

    wait_until(found)
    assert admin.audit.verify().valid


def test_an_image_that_is_not_there_is_said_and_what_was_applied_can_be_removed(
    context: str, new_namespace: Namespaces
):
    namespace = new_namespace()
    with pytest.raises(
        StackFailed, match=rf"the image {NO_IMAGE} cannot be had \(ImagePullBackOff"
    ):
        tl.stack.deploy(context, namespace, NO_IMAGE, kubeconfig=KUBECONFIG)
    command = ["stack", "deploy", "--context", context, "--namespace", namespace]
    command += ["--image", NO_IMAGE.replace("none", "other"), "--kubeconfig", KUBECONFIG]
    stopped = subprocess.Popen(
        [sys.executable, "-m", "tarslab", *command],
        stderr=subprocess.PIPE,
        text=True,
        # Whatever a background job ignores.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert stopped.stderr is not None
    assert stopped.stderr.readline().endswith(" objects applied\n")
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=LIMIT)
    assert stopped.returncode == 130
    assert f"stopped: what was applied to {namespace} stays" in said
    removed = tl.stack.undeploy(context, namespace, kubeconfig=KUBECONFIG)
    assert {"Deployment redis", "Secret tarslab", f"Role {RUNNER}"} <= set(removed)


def test_undeploying_leaves_nothing(deployed: Deployment, objects: Objects):
    assert all(names(objects)[kind] for kind in ("Pod", "Secret", "Role"))
    deployed.undeploy()
    assert names(objects) == {kind: set() for kind in (*CORE, *GROUPED)}
    assert ended(objects.listed("Pod", "v1", MANAGED))
    assert deployed.undeploy() == ()
