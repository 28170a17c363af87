"""A Kubernetes API of the tests' own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tarslab.chaos.platforms import KubernetesPlatform
from tarslab.chaos.undo import Journal
from tests.chaos.platforms.api import LABEL, Api, deployment_of, pod_of

NAMESPACE = "tars"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"


@pytest.fixture
def api() -> Iterator[Api]:
    """Two pods of ``automl`` and one of ``redis``, each with a Deployment."""
    found = Api()
    for name, count in (("automl", 2), ("redis", 1)):
        found.put(f"{DEPLOYMENTS}/{name}", deployment_of(name, count))
        for number in range(count):
            pod = pod_of(f"{name}-{number}", {LABEL: name})
            found.put(f"{PODS}/{pod['metadata']['name']}", pod)
    found.put("/api/v1/nodes/node1", {"metadata": {"name": "node1"}, "spec": {}})
    yield found
    found.close()


@pytest.fixture
def kubernetes(api: Api, tmp_path: Path, journal: Journal) -> Iterator[KubernetesPlatform]:
    """The platform of that API; requests are tried again for two seconds."""
    kubeconfig = api.kubeconfig(tmp_path / "config")
    platform = KubernetesPlatform(
        "test", NAMESPACE, allow=["test"], kubeconfig=kubeconfig, patience=2.0
    )
    yield platform
    platform.close()
