"""The stack in a real cluster."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

import tarslab as tl
from tarslab.chaos import faults
from tarslab.chaos.guards import Guard
from tarslab.chaos.platforms import KubernetesPlatform, PlatformFailed
from tarslab.errors import StackFailed
from tarslab.stack import Deployment
from tarslab.stack.kubernetes.manifests import OURS, USER, manifests
from tarslab.stack.kubernetes.objects import Objects
from tarslab.stack.kubernetes.rights import RUNNER
from tests.kubernetes.real import IMAGE, KUBECONFIG, NEEDS_CLUSTER, Namespaces, names
from tests.stack.waiting import LIMIT, wait_until

# Nobody listens there.
NO_IMAGE = "localhost:1/none:1"

pytestmark = [pytest.mark.kubernetes, NEEDS_CLUSTER]


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
