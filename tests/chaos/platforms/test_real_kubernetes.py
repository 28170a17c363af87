"""Faults in a real cluster: the one that TARSLAB_TEST_KUBECONFIG names, in a namespace of its own.

TARSLAB_TEST_IMAGE is an image with busybox and its ``httpd``.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tarslab.chaos import faults
from tarslab.chaos.guards import Guard
from tarslab.chaos.platforms import KubernetesPlatform, PlatformFailed
from tarslab.chaos.undo import Journal, undo_all
from tests.stack.waiting import LIMIT, wait_until

KUBECONFIG = os.environ.get("TARSLAB_TEST_KUBECONFIG", "")
IMAGE = os.environ.get("TARSLAB_TEST_IMAGE", "docker.io/local/busybox:1")

pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.skipif(not KUBECONFIG, reason="TARSLAB_TEST_KUBECONFIG names no cluster"),
]

LABEL = "app.kubernetes.io/name"
SERVE = "echo ok > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
TWO = Guard(max_units=2)


class Admin:
    """The cluster's administrator."""

    def __init__(self, api: Any) -> None:
        from kubernetes import client

        self.core: Any = client.CoreV1Api(api)
        self.apps: Any = client.AppsV1Api(api)
        self.networking: Any = client.NetworkingV1Api(api)


@pytest.fixture(scope="module")
def admin() -> Iterator[Admin]:
    """The administrator."""
    from kubernetes import client, config

    settings = client.Configuration()
    config.load_kube_config(KUBECONFIG, client_configuration=settings)
    with client.ApiClient(settings) as api:
        yield Admin(api)


@pytest.fixture(scope="module")
def context() -> str:
    """The kubeconfig's current context."""
    from kubernetes import config

    contexts = config.list_kube_config_contexts(KUBECONFIG)
    return str(contexts[1]["name"])


@pytest.fixture(scope="module")
def namespace(admin: Admin) -> Iterator[str]:
    """A namespace with ``automl`` (two pods) and ``hypersync`` (one)."""
    name = f"tarslab-test-{secrets.token_hex(3)}"
    admin.core.create_namespace({"metadata": {"name": name}})
    try:
        admin.apps.create_namespaced_deployment(name, deployment("automl", 2, shared=True))
        admin.apps.create_namespaced_deployment(name, deployment("hypersync", 1, shared=False))
        yield name
    finally:
        admin.core.delete_namespace(name)


@pytest.fixture
def platform(
    namespace: str, context: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KubernetesPlatform]:
    """The namespace, with every pod ready before a test and after it."""
    monkeypatch.setenv("TARSLAB_CHAOS_UNDO", str(tmp_path / "undo"))
    found = KubernetesPlatform(context, namespace, allow=[context], kubeconfig=KUBECONFIG)
    all_ready(found)
    yield found
    all_ready(found)
    found.close()


def all_ready(platform: KubernetesPlatform) -> None:
    """Wait until both services are."""
    for service in ("automl", "hypersync"):
        platform.wait_ready(service, 2 * LIMIT)


def deployment(name: str, replicas: int, *, shared: bool) -> dict[str, Any]:
    """A small HTTP server. shared: whether its pods' containers share the process namespace."""
    labels = {LABEL: name}
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", SERVE],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    pod = {
        "shareProcessNamespace": shared,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def names(platform: KubernetesPlatform, service: str = "automl") -> set[str]:
    """Of its pods now."""
    return {unit.name for unit in platform.units(service)}


def ready(platform: KubernetesPlatform, service: str = "automl") -> int:
    """How many of its pods are ready."""
    return sum(unit.state == "ready" for unit in platform.units(service))


def test_a_killed_pod_is_replaced_by_another(platform: KubernetesPlatform):
    with faults.kill(platform, "automl") as fault:
        (victim,) = fault.units
    platform.wait_ready("automl", LIMIT)
    assert victim.name not in names(platform)
    assert ready(platform) == 2


def test_a_killed_process_is_started_again_in_its_pod(platform: KubernetesPlatform, admin: Admin):
    with faults.kill_process(platform, "automl") as fault:
        (victim,) = fault.units
    platform.wait_ready("automl", LIMIT)
    pod = admin.core.read_namespaced_pod(victim.name, platform.namespace)
    assert pod.metadata.uid == victim.id
    assert pod.status.container_statuses[0].restart_count == 1


def test_a_paused_pod_is_unready_until_it_goes_on(platform: KubernetesPlatform):
    with faults.pause(platform, "automl") as fault:
        # Its readiness probe hangs.
        wait_until(lambda: ready(platform) == 1)
    platform.wait_ready("automl", LIMIT)
    assert fault.units[0].name in names(platform)


def test_the_first_process_of_a_namespace_cannot_be_paused_and_that_is_said(
    platform: KubernetesPlatform,
):
    with (
        pytest.raises(PlatformFailed, match=r"takes no SIGSTOP .* shareProcessNamespace: true"),
        faults.pause(platform, "hypersync"),
    ):
        pass
    assert ready(platform, "hypersync") == 1


def test_an_outage_leaves_no_pod_until_it_ends(platform: KubernetesPlatform):
    with faults.outage(platform, "automl", guard=TWO):
        assert names(platform) == set()
    platform.wait_ready("automl", LIMIT)
    assert ready(platform) == 2


def test_a_restart_replaces_every_pod(platform: KubernetesPlatform):
    before = names(platform)
    with faults.restart(platform, "automl", guard=TWO):
        platform.wait_ready("automl", LIMIT)
        assert not before & names(platform)


def test_a_node_is_drained_and_takes_pods_again(platform: KubernetesPlatform, admin: Admin):
    (node, *_) = [each.metadata.name for each in admin.core.list_node().items]
    before = {unit.name for unit in platform.units_on(node)}
    with faults.drain(platform, node, guard=TWO):
        assert platform.is_cordoned(node)
        assert not before & {unit.name for unit in platform.units_on(node)}
    assert not platform.is_cordoned(node)


def test_a_network_policy_acts_or_is_said_not_to(platform: KubernetesPlatform, admin: Admin):
    said = None
    try:
        with faults.cut_off(platform, "automl", guard=TWO):
            assert platform._reaches_out(platform.units("automl")[0]) is False
    except PlatformFailed as error:
        said = str(error)
    assert said is None or "does not enforce it" in said
    left = admin.networking.list_namespaced_network_policy(platform.namespace)
    assert left.items == []


def test_a_user_without_rights_is_told_which_are_lacking(
    context: str, namespace: str, admin: Admin, tmp_path: Path
):
    # Every cluster has this account, which may do nothing.
    wait_until(lambda: bool(admin.core.list_namespaced_service_account(namespace).items))
    rights = KubernetesPlatform(context, namespace, allow=[context], kubeconfig=KUBECONFIG)
    account = f"system:serviceaccount:{namespace}:default"
    rights._cluster._api.set_default_header("Impersonate-User", account)
    with pytest.raises(PlatformFailed, match=rf'"{account}" cannot list resource "pods"'):
        rights.units("automl")
    rights.close()


def test_a_fault_is_undone_where_its_run_and_its_watchdog_are_killed(
    platform: KubernetesPlatform, tmp_path: Path
):
    script = """
        import json, sys, time
        from tarslab.chaos import faults
        from tarslab.chaos.guards import Guard
        from tarslab.chaos.platforms import connect
        platform = connect(json.loads(sys.argv[1]))
        with faults.outage(platform, "automl", guard=Guard(max_units=2)) as fault:
            print(fault._watchdog.pid, flush=True)
            time.sleep(600)
    """
    runner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), json.dumps(platform.reference())],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout is not None
    watchdog = int(runner.stdout.readline())
    os.kill(watchdog, signal.SIGKILL)
    runner.kill()
    runner.communicate()
    assert names(platform) == set()
    (done,) = undo_all()
    assert (done.entry.fault, done.error) == ("outage of automl", None)
    platform.wait_ready("automl", LIMIT)
    assert Journal().entries() == ()


def test_the_version_of_the_cluster_is_told(platform: KubernetesPlatform):
    about = platform.describe()
    assert about["version"].startswith("Kubernetes v1.")
    assert about["nodes"] >= 1
