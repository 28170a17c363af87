"""What the pods of a stack wait for, read from the pods themselves."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from tarslab.stack.kubernetes.manifests import NAME, REVISION

Json = dict[str, Any]

# Reasons of a container that waits, and comes to nothing by itself.
NO_IMAGE = ("ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName")
# A process that ends so often, in so many starts of its pod, does not come up.
CRASHES = 3


class Wanted(NamedTuple):
    """What is wanted of a service: so many pods of a revision of its manifest."""

    revision: str
    replicas: int


class Wait(NamedTuple):
    """Why a pod is not ready."""

    pod: str
    service: str
    why: str
    log: Literal["running", "ended", "before"] | None = None
    """Whose log says more: that of its process, which runs or has ended, or of the one before."""
    hopeless: bool = False
    """Whether it comes to nothing unless somebody does something."""


def settled(pods: Iterable[Json], wanted: Mapping[str, Wanted]) -> bool:
    """Whether each service has the pods that are wanted, all ready, and no others."""
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    for service, (revision, replicas) in wanted.items():
        its = [pod for pod in staying if _service(pod) == service]
        good = [pod for pod in its if _revision(pod) == revision and _condition(pod, "Ready")]
        if not len(its) == len(good) == replicas:
            return False
    return True


def ended(pods: Iterable[Json]) -> bool:
    """Whether every pod is about to go, and none runs any more."""
    return all("deletionTimestamp" in pod["metadata"] and not _runs(pod) for pod in pods)


def waits(pods: Iterable[Json], wanted: Mapping[str, Wanted]) -> list[Wait]:
    """Why those of the wanted pods that are not ready are not, by name."""
    new = [
        pod
        for pod in pods
        if _service(pod) in wanted
        and _revision(pod) == wanted[_service(pod)].revision
        and "deletionTimestamp" not in pod["metadata"]
    ]
    found = [_wait(pod) for pod in new if not _condition(pod, "Ready")]
    missing = [
        Wait("", service, "its pods are not made yet")
        for service in wanted
        if all(_service(pod) != service for pod in new)
    ]
    return missing + sorted(found)


def _wait(pod: Json) -> Wait:
    name, service = str(pod["metadata"]["name"]), _service(pod)
    scheduled = _said(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] != "True":
        said = scheduled.get("message", "it waits for a node")
        return Wait(name, service, f"no node takes it: {said}")
    for container in pod["status"].get("containerStatuses", ()):
        state, last = container["state"], container.get("lastState", {})
        waiting = state.get("waiting", {})
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in NO_IMAGE:
            said = f"the image {container['image']} cannot be had ({reason}: {message})"
            # The first failure may be the network's.
            return Wait(name, service, said, hopeless=reason != "ErrImagePull")
        ended = state.get("terminated") or last.get("terminated")
        if "running" not in state and ended:
            times = int(container["restartCount"])
            said = f"its process ended with exit code {ended['exitCode']}, {times + 1} times"
            return Wait(
                name,
                service,
                said,
                "before" if waiting else "ended",
                hopeless=times + 1 >= CRASHES,
            )
        if waiting:
            said = f"{reason}: {message}" if message else reason
            return Wait(name, service, said)
        return Wait(name, service, "it runs, and is not ready", "running")
    return Wait(name, service, "it waits for the node's kubelet")


def _runs(pod: Json) -> bool:
    return any("running" in each["state"] for each in pod["status"].get("containerStatuses", ()))


def _service(pod: Json) -> str:
    return str(pod["metadata"].get("labels", {}).get(NAME, ""))


def _revision(pod: Json) -> str:
    return str(pod["metadata"].get("labels", {}).get(REVISION, ""))


def _condition(pod: Json, kind: str) -> bool:
    said = _said(pod, kind)
    return said is not None and said["status"] == "True"


def _said(pod: Json, kind: str) -> Json | None:
    for each in pod["status"].get("conditions", ()):
        if each["type"] == kind:
            return dict(each)
    return None
