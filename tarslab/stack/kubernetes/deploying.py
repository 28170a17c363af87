"""A stack in a namespace of Kubernetes: deployed, found again, removed."""

import base64
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from tarslab.cluster import NotAllowed, is_protected
from tarslab.errors import BadArgument, PlatformFailed, StackFailed
from tarslab.stack.kubernetes.manifests import (
    MANAGED,
    OURS,
    PORTS,
    REVISION,
    SECRET,
    Json,
    manifests,
)
from tarslab.stack.kubernetes.objects import Objects
from tarslab.stack.kubernetes.waiting import Wait, Wanted, ended, settled, waits
from tarslab.stack.launching import SERVICES, new_secrets

if TYPE_CHECKING:
    from tarslab.admin import Secret

HELD = "what the services share, and the passwords of Redis and of the user admin"
# Newest first; before Kubernetes 1.21 there is the second alone.
POLICIES = ("v1", "v1beta1")
# What a user may lack the right to make, and the services do without.
RIGHTS = ("Role", "RoleBinding")
# What a stack leaves in a namespace, in the order to remove it: also what faults left there.
KINDS = (
    *(("Deployment", "apps/v1"), ("Service", "v1"), ("NetworkPolicy", "networking.k8s.io/v1")),
    *(("PodDisruptionBudget", f"policy/{version}") for version in POLICIES),
    *(("RoleBinding", "rbac.authorization.k8s.io/v1"), ("Role", "rbac.authorization.k8s.io/v1")),
    *(("ServiceAccount", "v1"), ("PersistentVolumeClaim", "v1"), ("Secret", "v1")),
)
# Lines of a log that say why a process ended.
TAIL = 4
# Seconds for the controllers to make pods, and for pods to end and volumes to go.
MADE, GONE = 20.0, 120.0

Say = Callable[[str], None]


class Deployment:
    """A stack in a namespace of a cluster."""

    def __init__(
        self,
        context: str,
        namespace: str,
        kubeconfig: str | os.PathLike[str] | None,
        urls: Mapping[str, str],
    ) -> None:
        self.context, self.namespace = context, namespace
        self.urls = dict(urls)
        """Of the Service before each service, within the cluster's network."""
        self._kubeconfig = kubeconfig

    @classmethod
    def of(
        cls,
        context: str,
        namespace: str,
        *,
        kubeconfig: str | os.PathLike[str] | None = None,
    ) -> Self:
        """The stack that is deployed to a namespace; StackFailed where none is."""
        _check(namespace)
        with _opened(context, namespace, kubeconfig) as objects:
            found = objects.listed("Service", "v1", OURS)
        hosts = {each["metadata"]["name"]: _host(each["spec"]["clusterIP"]) for each in found}
        if not hosts.keys() >= {*SERVICES}:
            raise StackFailed(
                f"no stack is in {namespace} of {context}: tarslab stack deploy makes one"
            )
        return cls(context, namespace, kubeconfig, _urls(hosts))

    @property
    def url(self) -> str:
        """Base URL of the API: that of orchestration, which passes on what is for the others."""
        return self.urls["orchestration"]

    @property
    def admin_password(self) -> "Secret":
        """Of the user ``admin``, asked of the cluster; StackFailed where it is not told."""
        from tarslab.admin import Secret

        with _opened(self.context, self.namespace, self._kubeconfig) as objects:
            found = objects.read("Secret", "v1", SECRET)
        if found is None:
            raise StackFailed(f"no Secret {SECRET} is in {self.namespace}: deploy the stack")
        return Secret(base64.b64decode(found["data"]["admin_password"]).decode())

    def undeploy(self) -> tuple[str, ...]:
        """Remove all of it, its data too; what was removed."""
        return undeploy(self.context, self.namespace, kubeconfig=self._kubeconfig)

    def __repr__(self) -> str:
        return f"<Deployment {self.url} in {self.namespace} of {self.context}>"


def deploy(
    context: str,
    namespace: str,
    image: str,
    *,
    kubeconfig: str | os.PathLike[str] | None = None,
    replicas: int = 2,
    settings: Mapping[str, object] | None = None,
    proxied: bool = False,
    timeout: float = 300.0,
    on_progress: Say = lambda _: None,
) -> Deployment:
    """Deploy the stack to a namespace of a cluster, or bring the one there up to date.

    A namespace that is not there is made. The secrets are made once, and stay in the cluster. Where
    it fails or is interrupted, what was applied stays: the same call goes on.

    context, namespace: both have to be named; not one of the cluster's own namespaces, nor default.
    image: of the services and of the embedded server.
    kubeconfig: path of the file; by default that of KUBECONFIG, or ~/.kube/config.
    replicas: pods of each service; Redis has one.
    settings: fields of ``tarslab.stack.settings.Settings``, such as ``{"access_seconds": 60}``.
    proxied: whether a proxy stands before the process of each pod, to slow it down or cut it off.
    timeout: seconds until every pod has to be ready.
    on_progress: is called with what is done, and with what pods wait for.

    Raises BadArgument where an argument cannot be used, and StackFailed where the cluster refuses,
    something there of the same name is not tarslab's, or the pods do not get ready: with the reason
    of each.
    """
    _check(namespace, image)
    with _opened(context, namespace, kubeconfig) as objects:
        make = partial(
            manifests, namespace, image, replicas=replicas, settings=settings, proxied=proxied
        )
        # What cannot be used is refused before anything is touched.
        make()
        if objects.make_namespace():
            on_progress(f"namespace {namespace} made")
        left = _left_out(objects, on_progress)
        # What goes would take the data of the new stack with it.
        what = "the end of the volume of a stack that was removed"
        objects.wait(what, "PersistentVolumeClaim", MANAGED, _stay, GONE)
        first = make(**left)
        secret = _secret(namespace)
        _refuse_foreign(objects, [*first, secret])
        if objects.create(secret):
            on_progress(f"Secret {SECRET} made")
        services = [objects.apply(each) for each in first if each["kind"] == "Service"]
        hosts = {each["metadata"]["name"]: _host(each["spec"]["clusterIP"]) for each in services}
        made = make(addresses=hosts, **left)
        for each in made:
            if each["kind"] != "Service":
                _apply(objects, each, on_progress)
        on_progress(f"{len(made)} objects applied")
        _wait(objects, _wanted(made), timeout, on_progress)
    return Deployment(context, namespace, kubeconfig, _urls(hosts))


def undeploy(
    context: str,
    namespace: str,
    *,
    kubeconfig: str | os.PathLike[str] | None = None,
    on_progress: Say = lambda _: None,
) -> tuple[str, ...]:
    """Remove a stack from a namespace, its data and secrets too, and wait until none of it runs.

    Only what ``deploy`` and faults made there; the namespace stays. What was removed, such as
    ``Deployment redis``.

    Raises BadArgument where an argument cannot be used, and StackFailed where the cluster refuses.
    """
    _check(namespace)
    with _opened(context, namespace, kubeconfig) as objects:
        removed = tuple(_remove(objects, on_progress))
        # A kubelet may take a minute to have a pod forgotten, and with it its volume.
        objects.wait("the end of each pod", "Pod", MANAGED, ended, GONE)
    return removed


def planned(
    context: str,
    namespace: str,
    image: str,
    *,
    kubeconfig: str | os.PathLike[str] | None = None,
    replicas: int = 2,
    proxied: bool = False,
    on_progress: Say = lambda _: None,
) -> list[Json]:
    """The objects that ``deploy`` would apply, but for the Secret; nothing is touched.

    They find each other by the names of their Services, where ``deploy`` puts in the addresses.
    """
    _check(namespace, image)
    with _opened(context, namespace, kubeconfig) as objects:
        left = _left_out(objects, on_progress)
        return manifests(namespace, image, replicas=replicas, proxied=proxied, **left)


@contextmanager
def _opened(
    context: str, namespace: str, kubeconfig: str | os.PathLike[str] | None
) -> Iterator[Objects]:
    try:
        with closing(Objects(context, namespace, kubeconfig)) as objects:
            yield objects
    except PlatformFailed as error:
        raise StackFailed(str(error)) from None


def _check(namespace: str, image: str | None = None) -> None:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise BadArgument(
            f"namespace: {namespace!r} is no name of one: up to 63 of a-z, 0-9 and -, which begin "
            "and end with a letter or digit"
        )
    protected = is_protected(namespace)
    if protected or namespace == "default":
        why = "keeps the cluster going" if protected else "is where all sorts of things are"
        raise BadArgument(f"namespace: {namespace!r} {why}: name one for the stack alone")
    if image is not None and not re.fullmatch(r"\S+", image):
        raise BadArgument(f"image: {image!r} is no reference of an image")


def _left_out(objects: Objects, say: Say) -> dict[str, Any]:
    """What of ``manifests`` the cluster does not have, which is said."""
    found = [f"policy/{version}" for version in POLICIES if objects.has("policy", version)]
    if not found:
        say("this cluster has no PodDisruptionBudgets: left out")
    volume = objects.has_default_storage()
    if not volume:
        say("this cluster has no default StorageClass: what Redis holds goes with its pod")
    return {"policy": found[0] if found else None, "volume": volume}


def _refuse_foreign(objects: Objects, made: list[Json]) -> None:
    """StackFailed where an object of the same name is somebody else's."""
    for each in made:
        kind, name = each["kind"], each["metadata"]["name"]
        try:
            there = objects.read(kind, each["apiVersion"], name)
        except NotAllowed:
            if kind not in RIGHTS:
                raise
            continue
        if there is not None and not OURS.items() <= there["metadata"].get("labels", {}).items():
            raise StackFailed(
                f"{kind} {name} in {objects.namespace} was not made by tarslab, and is left as it "
                "is: name a namespace for the stack alone"
            )


def _secret(namespace: str) -> Json:
    metadata = {"name": SECRET, "namespace": namespace, "labels": OURS}
    about = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    return about | {"stringData": new_secrets()}


def _apply(objects: Objects, each: Json, say: Say) -> None:
    try:
        objects.apply(each)
    except NotAllowed as error:
        # Who may not give rights may still deploy the services.
        if each["kind"] not in RIGHTS:
            raise
        say(f"left out: {error}")


def _wanted(made: list[Json]) -> dict[str, Wanted]:
    found = {}
    for each in made:
        if each["kind"] == "Deployment":
            revision = each["spec"]["template"]["metadata"]["labels"][REVISION]
            found[each["metadata"]["name"]] = Wanted(revision, each["spec"]["replicas"])
    return found


def _wait(objects: Objects, wanted: dict[str, Wanted], timeout: float, say: Say) -> None:
    """Watch the pods until all are ready, and say what they wait for."""
    deadline = time.monotonic() + timeout
    told: dict[str, str] = {}
    latest: list[Wait] = []

    def look(pods: list[Json]) -> bool:
        latest[:] = waits(pods, wanted)
        for each in latest:
            line = _line(each)
            if each.pod and told.get(each.pod) != line:
                told[each.pod] = line
                say(f"{line}{_log(objects, each)}")
            if each.hopeless:
                raise StackFailed(f"{line}{_log(objects, each)}; {_stays(objects)}")
        return settled(pods, wanted)

    def are_made(pods: list[Json]) -> bool:
        look(pods)
        return all(each.pod for each in latest)

    try:
        objects.wait("pods", "Pod", OURS, are_made, min(MADE, timeout))
    except PlatformFailed:
        _raise_if_refused(objects)
    try:
        left = max(0.0, deadline - time.monotonic())
        objects.wait("pods ready", "Pod", OURS, look, left)
    except PlatformFailed as error:
        reasons = "; ".join(f"{_line(each)}{_log(objects, each)}" for each in latest)
        raise StackFailed(
            f"not ready within {timeout:g} s: {reasons or error}; {_stays(objects)}"
        ) from None


def _raise_if_refused(objects: Objects) -> None:
    """StackFailed where a controller may not make pods: a quota, or an admission."""
    for each in objects.listed("Deployment", "apps/v1", OURS):
        for condition in each.get("status", {}).get("conditions", ()):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                name, said = each["metadata"]["name"], condition.get("message", "no reason given")
                raise StackFailed(f"no pods of {name} can be made: {said}; {_stays(objects)}")


def _line(wait: Wait) -> str:
    return f"{wait.pod or wait.service}: {wait.why}"


def _log(objects: Objects, wait: Wait) -> str:
    if wait.log is None:
        return ""
    # Of a process that ended, the last line is seldom the one that says why.
    lines = 1 if wait.log == "running" else TAIL
    end = objects.end_of_log(wait.pod, wait.service, lines, previous=wait.log == "before")
    return f"; its log ends: {end}" if end else ""


def _stays(objects: Objects) -> str:
    return (
        f"what was applied to {objects.namespace} stays: deploy again to go on, or undeploy it "
        "(tarslab stack undeploy)"
    )


def _remove(objects: Objects, say: Say) -> Iterator[str]:
    for kind, version in KINDS:
        try:
            found = objects.listed(kind, version, MANAGED)
        except NotAllowed as error:
            if kind not in RIGHTS:
                raise
            say(f"left as it is: {error}")
            continue
        for each in found:
            name = each["metadata"]["name"]
            # A claim goes once the kubelet has forgotten the pod that had it.
            if "deletionTimestamp" in each["metadata"]:
                continue
            objects.delete(kind, version, name)
            say(f"{kind} {name} removed")
            yield f"{kind} {name}"


def _stay(found: list[Json]) -> bool:
    return all("deletionTimestamp" not in each["metadata"] for each in found)


def _urls(hosts: Mapping[str, str]) -> dict[str, str]:
    return {name: f"http://{hosts[name]}:{PORTS[name]}" for name in SERVICES}


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
