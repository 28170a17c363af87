"""The end of the stack that the tests of this folder share: the last of them by its name."""

import pytest

from tarslab.stack import Deployment
from tarslab.stack.kubernetes.manifests import MANAGED
from tarslab.stack.kubernetes.objects import CORE, GROUPED, Objects
from tarslab.stack.kubernetes.waiting import ended
from tests.kubernetes.real import NEEDS_CLUSTER, names

pytestmark = [pytest.mark.kubernetes, NEEDS_CLUSTER]


def test_undeploying_leaves_nothing(deployed: Deployment, objects: Objects):
    assert all(names(objects)[kind] for kind in ("Pod", "Secret", "Role"))
    deployed.undeploy()
    assert names(objects) == {kind: set() for kind in (*CORE, *GROUPED)}
    assert ended(objects.listed("Pod", "v1", MANAGED))
    assert deployed.undeploy() == ()
