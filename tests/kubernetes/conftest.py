"""A stack in a real cluster, and who may do what there."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

import tarslab as tl
from tarslab.chaos.platforms import KubernetesPlatform
from tarslab.stack import Deployment
from tarslab.stack.kubernetes.objects import Objects
from tarslab.stack.kubernetes.rights import RUNNER
from tests.kubernetes.real import IMAGE, KUBECONFIG, Namespaces


@pytest.fixture(scope="session")
def context() -> str:
    """The kubeconfig's current context."""
    from kubernetes import config

    contexts = config.list_kube_config_contexts(KUBECONFIG)
    return str(contexts[1]["name"])


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
    context: str, deployed: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
