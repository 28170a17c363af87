"""What is read from pods. Their states are as a kubelet of Kubernetes 1.20 reports them."""

from typing import Any

import pytest

from tarslab.stack.kubernetes.manifests import NAME, REVISION
from tarslab.stack.kubernetes.waiting import Wait, Wanted, ended, settled, waits

Json = dict[str, Any]
WANTED = {"automl": Wanted("new", 2)}


def pod(
    name: str = "automl-1",
    *,
    revision: str = "new",
    ready: bool = False,
    going: bool = False,
    container: Json | None = None,
    unscheduled: str | None = None,
) -> Json:
    """A pod of automl; container: how the kubelet has it."""
    scheduled = {"type": "PodScheduled", "status": "True"}
    if unscheduled is not None:
        scheduled = {"type": "PodScheduled", "status": "False", "message": unscheduled}
    conditions = [scheduled, {"type": "Ready", "status": str(ready)}]
    status: Json = {"phase": "Pending", "conditions": conditions}
    if container is not None:
        status["containerStatuses"] = [{"image": "image:1", "restartCount": 0, **container}]
    metadata: Json = {"name": name, "labels": {NAME: "automl", REVISION: revision}}
    if going:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    return {"metadata": metadata, "status": status}


def waiting(reason: str, message: str = "", **more: Any) -> Json:
    """A container that waits."""
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


ENDED = {"terminated": {"exitCode": 3}}


@pytest.mark.parametrize(
    ("found", "why", "log", "hopeless"),
    [
        (pod(unscheduled="0/1 nodes"), "no node takes it: 0/1 nodes", None, False),
        (pod(), "it waits for the node's kubelet", None, False),
        (pod(container=waiting("ContainerCreating")), "ContainerCreating", None, False),
        (
            pod(container=waiting("CreateContainerConfigError", 'secret "x" not found')),
            'CreateContainerConfigError: secret "x" not found',
            None,
            False,
        ),
        (
            pod(container=waiting("ErrImagePull", "refused")),
            "the image image:1 cannot be had (ErrImagePull: refused)",
            None,
            False,
        ),
        (
            pod(container=waiting("ImagePullBackOff", "back-off")),
            "the image image:1 cannot be had (ImagePullBackOff: back-off)",
            None,
            True,
        ),
        (
            pod(container={"state": ENDED}),
            "its process ended with exit code 3, 1 times",
            "ended",
            False,
        ),
        (
            pod(container=waiting("CrashLoopBackOff", lastState=ENDED, restartCount=2)),
            "its process ended with exit code 3, 3 times",
            "before",
            True,
        ),
        (
            pod(container={"state": {"running": {}}, "lastState": ENDED, "restartCount": 1}),
            "it runs, and is not ready",
            "running",
            False,
        ),
    ],
)
def test_why_a_pod_is_not_ready_is_told(found: Json, why: str, log: Any, hopeless: bool):
    assert waits([found], WANTED) == [Wait("automl-1", "automl", why, log, hopeless)]


def test_ready_pods_and_those_of_others_and_of_old_manifests_are_waited_for_no_more():
    others = pod("other-1", revision="old")
    assert waits([pod(ready=True), others, pod("automl-2", going=True)], WANTED) == []


def test_a_service_without_pods_waits_for_them():
    assert [each.why for each in waits([], WANTED)] == ["its pods are not made yet"]


def test_a_service_has_settled_once_it_has_the_pods_that_are_wanted_and_no_others():
    good = [pod("automl-1", ready=True), pod("automl-2", ready=True)]
    assert settled(good, WANTED)
    assert settled([*good, pod("automl-3", revision="old", going=True)], WANTED)
    assert not settled(good[:1], WANTED)
    assert not settled([*good, pod("automl-3", revision="old", ready=True)], WANTED)
    assert not settled([good[0], pod("automl-2", ready=True, revision="old")], WANTED)
    assert not settled([good[0], pod("automl-2")], WANTED)


def test_a_stack_has_ended_once_its_pods_are_about_to_go_and_none_runs():
    running: Json = {"state": {"running": {}}}
    assert ended([])
    assert ended([pod(going=True), pod("automl-2", going=True, container={"state": ENDED})])
    assert not ended([pod(going=True, container=running)])
    # Its controller has not come to it yet.
    assert not ended([pod(container=waiting("ContainerCreating"))])
