"""The cluster of the tests: the one that TARSLAB_TEST_KUBECONFIG names.

TARSLAB_TEST_STACK_IMAGE is an image of the services that its nodes have, or can pull.
"""

import os
from collections.abc import Callable

import pytest

from tarslab.stack.kubernetes.manifests import MANAGED
from tarslab.stack.kubernetes.objects import CORE, GROUPED, Objects

KUBECONFIG = os.environ.get("TARSLAB_TEST_KUBECONFIG", "")
IMAGE = os.environ.get("TARSLAB_TEST_STACK_IMAGE", "docker.io/local/tarslab:test")
NEEDS_CLUSTER = pytest.mark.skipif(
    not KUBECONFIG,
    reason="needs a cluster: make kubernetes, or TARSLAB_TEST_KUBECONFIG (docs/kubernetes.md)",
)

Namespaces = Callable[[], str]


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
