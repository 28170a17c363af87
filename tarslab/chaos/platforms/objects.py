"""What a platform reads in the objects of a Kubernetes API."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tarslab.chaos.platforms.platform import State, Unit
from tarslab.errors import PlatformFailed
from tarslab.stack.kubernetes.sidecar import CONTAINER

Json = dict[str, Any]

# What a workload is marked with that faults have scaled: how many replicas it had.
HELD = "tarslab.dev/replicas"
# What the kubelet runs by itself, and a DaemonSet would put back on a cordoned node.
MIRROR = "kubernetes.io/config.mirror"


def name_of(each: Json) -> str:
    """Kind and name of a workload, the name of another object."""
    name = str(each["metadata"]["name"])
    return f"{each['kind']} {name}" if each.get("kind") else name


def unit(pod: Json, service: str) -> Unit:
    """A pod as a unit of a service."""
    started = pod["status"].get("startTime")
    return Unit(
        name=str(pod["metadata"]["name"]),
        service=service,
        id=str(pod["metadata"]["uid"]),
        state=_state(pod),
        started=None if started is None else datetime.fromisoformat(started).timestamp(),
    )


def stays(pod: Json) -> bool:
    """Whether a pod is neither about to go nor done."""
    going = "deletionTimestamp" in pod["metadata"]
    return not going and pod["status"].get("phase") not in ("Succeeded", "Failed")


def controller(pod: Json) -> str | None:
    """What replaces a pod when it goes."""
    for owner in pod["metadata"].get("ownerReferences", ()):
        if owner.get("controller"):
            return f"{owner['kind']} {owner['name']}"
    return None


def restarts(pod: Json) -> int:
    """How often the kubelet has started its first container anew."""
    return sum(int(each["restartCount"]) for each in pod["status"]["containerStatuses"][:1])


def has_ended(pod: Json, before: int) -> bool:
    """Whether its first container has ended since it had been started anew so often."""
    first = pod["status"]["containerStatuses"][0]
    return int(first["restartCount"]) > before or "running" not in first["state"]


def is_running(pod: Json) -> bool:
    """Whether its containers have been started."""
    return bool(pod["status"].get("phase") == "Running")


def is_proxied(pod: Json) -> bool:
    """Whether a proxy stands before its process."""
    return any(each["name"] == CONTAINER for each in pod["spec"].get("containers", ()))


def can_be_evicted(pod: Json) -> bool:
    """Whether a drain takes a pod away."""
    mirrored = MIRROR in pod["metadata"].get("annotations", {})
    return stays(pod) and not mirrored and not (controller(pod) or "").startswith("DaemonSet ")


def replicas(workload: Json) -> int:
    """How many pods a workload wants."""
    return int(workload["spec"].get("replicas", 1))


def rolled_out(workload: Json) -> bool:
    """Whether the controller has seen a workload as it is, and made all of its pods anew."""
    status = workload.get("status", {})
    seen = int(status.get("observedGeneration", 0)) >= int(workload["metadata"]["generation"])
    # A StatefulSet that was never changed counts none as updated.
    new = int(status.get("updatedReplicas", status.get("currentReplicas", 0)))
    return seen and int(status.get("replicas", 0)) <= new and new >= replicas(workload)


def scaled(workload: Json, to: int) -> Json | None:
    """The change that scales a workload, and marks it with what it had; None if that is done."""
    held = workload["metadata"].get("annotations", {}).get(HELD)
    if held is None:
        had = str(replicas(workload))
        return {"metadata": {"annotations": {HELD: had}}, "spec": {"replicas": to}}
    if replicas(workload) == to:
        return None
    raise PlatformFailed(
        f"{name_of(workload)} is scaled by a fault already: undo it first (tarslab chaos undo)"
    )


def scaled_back(workload: Json) -> Json | None:
    """The change that scales it back to what it is marked with; None if it is not marked."""
    held = workload["metadata"].get("annotations", {}).get(HELD)
    if held is None:
        return None
    return {"metadata": {"annotations": {HELD: None}}, "spec": {"replicas": int(held)}}


def policy(name: str, labels: Mapping[str, str]) -> Json:
    """A NetworkPolicy that lets nothing through to pods with these labels, and back."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "tarslab"}},
        "spec": {
            "podSelector": {"matchLabels": dict(labels)},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches labels; an empty one matches all."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        _expressed(each, labels) for each in selector.get("matchExpressions", ())
    )


def _expressed(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", ())
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def _state(pod: Json) -> State:
    phase = pod["status"].get("phase")
    if phase == "Failed":
        return "failed"
    if phase != "Running":
        return "starting"
    conditions = pod["status"].get("conditions", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return "ready" if ready else "unready"
