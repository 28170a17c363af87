"""``python -m tests.kubernetes.volumes <kubeconfig> <folder>``: volumes for a cluster without any.

A default StorageClass, and a few volumes in folders of this machine, which is the only node.
"""

import sys
from pathlib import Path
from typing import Any

from kubernetes import client, config

COUNT = 4
CLASS = "tarslab-test"


def main() -> None:
    """Make them."""
    kubeconfig, folder = sys.argv[1], Path(sys.argv[2])
    settings = client.Configuration()
    config.load_kube_config(kubeconfig, client_configuration=settings)
    with client.ApiClient(settings) as api:
        core: Any = client.CoreV1Api(api)
        storage: Any = client.StorageV1Api(api)
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        about = {"metadata": {"name": CLASS, "annotations": default}}
        storage.create_storage_class(about | {"provisioner": "kubernetes.io/no-provisioner"})
        for number in range(COUNT):
            path = folder / str(number)
            path.mkdir(parents=True)
            core.create_persistent_volume(_volume(f"{CLASS}-{number}", path))


def _volume(name: str, path: Path) -> dict[str, Any]:
    node = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": CLASS,
        "local": {"path": str(path)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
    }
    return {"metadata": {"name": name}, "spec": spec}


if __name__ == "__main__":
    main()
