"""A namespace of a Kubernetes cluster as a platform: its pods, and what controls them.

What has to be remembered to undo a fault stands with the objects themselves (an annotation, a
NetworkPolicy's name), so that any process can do it.
"""

import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tarslab.chaos.guards import check_cluster
from tarslab.chaos.platforms import containers, objects, preflight
from tarslab.chaos.platforms.errors import PlatformWarning
from tarslab.chaos.platforms.objects import Json
from tarslab.chaos.platforms.platform import Call, Unit
from tarslab.chaos.platforms.preflight import Around
from tarslab.chaos.proxy.toxics import STREAMS
from tarslab.cluster import Cluster, Conflict, NotAllowed, NotThere
from tarslab.errors import BadArgument, PlatformFailed

LABEL = "app.kubernetes.io/name"
SERVICES = ("redis", "orchestration", "automl", "hypersync")
RESTARTED = "kubectl.kubernetes.io/restartedAt"
# Tries to change an object that others change, too.
TRIES = 5
# Seconds for a NetworkPolicy to act, and for a container to end.
POLICY, ENDED = 5.0, 20.0


class KubernetesPlatform:
    """Services in a namespace, reached by a context of a kubeconfig.

    context, namespace: both have to be named.
    allow: the contexts in which faults may be done.
    kubeconfig: path of the file; by default that of KUBECONFIG, or ~/.kube/config.
    labels: of each service's pods; by default ``app.kubernetes.io/name: <service>`` for redis,
        orchestration, automl and hypersync.
    patience: seconds for which a request is tried again while the API is lost or too busy.

    Raises Refused for a context that is not allowed or a namespace that is protected, and
    BadArgument for a context that is not there.
    """

    kind = "kubernetes"

    def __init__(
        self,
        context: str,
        namespace: str,
        *,
        allow: Iterable[str],
        kubeconfig: str | os.PathLike[str] | None = None,
        labels: Mapping[str, Mapping[str, str]] | None = None,
        patience: float = 30.0,
    ) -> None:
        check_cluster(context, namespace, allow)
        if labels is None:
            labels = {service: {LABEL: service} for service in SERVICES}
        if not all(labels.values()):
            raise BadArgument("labels: a service without a label would be every pod")
        self.context, self.namespace = context, namespace
        self._labels = {service: dict(its) for service, its in labels.items()}
        path = kubeconfig or os.environ.get("KUBECONFIG")
        self._kubeconfig = None if path is None else str(Path(path).expanduser().absolute())
        self._cluster = Cluster(context, self._kubeconfig, patience=patience)

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the services that labels are known of."""
        return tuple(self._labels)

    def units(self, service: str) -> tuple[Unit, ...]:
        """The pods of a service that are not about to go, by name."""
        pods = self._listed("pods", self._cluster.core.list_namespaced_pod, service)
        units = [objects.unit(pod, service) for pod in pods if objects.stays(pod)]
        return tuple(sorted(units, key=lambda unit: unit.name))

    def address(self, service: str) -> str:
        """The URL, within the cluster, of the Service before the pods."""
        labels = self._of(service)
        for each in self._listed("services", self._cluster.core.list_namespaced_service):
            spec = each["spec"]
            selector = spec.get("selector") or {}
            if selector and selector.items() <= labels.items():
                scheme = "redis" if service == "redis" else "http"
                return f"{scheme}://{spec['clusterIP']}:{spec['ports'][0]['port']}"
        raise PlatformFailed(f"no Service in {self.namespace} stands before the pods of {service}")

    def kill(self, unit: Unit, *, grace: float = 0.0) -> None:
        """Delete a pod; PlatformFailed where nothing would replace it, or it is gone."""
        if objects.controller(self._pod(unit)) is None:
            raise PlatformFailed(
                f"pod {self.namespace}/{unit.name} has no controller: nothing would bring it back"
            )
        # In the body: beside one, query parameters are ignored.
        options = {"gracePeriodSeconds": round(grace), "preconditions": {"uid": unit.id}}
        delete = self._cluster.core.delete_namespaced_pod
        with _replaced(unit):
            self._ask(f"delete pod {unit.name}", delete, unit.name, self.namespace, body=options)

    def kill_process(self, unit: Unit) -> None:
        """SIGKILL to the processes of a pod's first container, which the kubelet starts again."""
        pod = self._pod(unit)
        before = objects.restarts(pod)
        containers.signal(self._cluster, self.namespace, unit.name, _first_container(pod), "KILL")

        def ended(pods: list[Json]) -> bool | None:
            return True if any(objects.has_ended(pod, before) for pod in pods) else None

        self._cluster.until(
            f"the end of the container of pod {unit.name}",
            self._cluster.core.list_namespaced_pod,
            self.namespace,
            field_selector=f"metadata.name={unit.name}",
            condition=ended,
            timeout=ENDED,
        )

    def pause(self, unit: Unit) -> None:
        """SIGSTOP to the processes of a pod's first container."""
        container = _first_container(self._pod(unit))
        containers.signal(self._cluster, self.namespace, unit.name, container, "STOP")

    def resume(self, unit: Unit) -> None:
        """SIGCONT to them, if the pod is still there."""
        with suppress(NotThere, Replaced):
            container = _first_container(self._pod(unit))
            containers.signal(self._cluster, self.namespace, unit.name, container, "CONT")

    def restart(self, service: str) -> None:
        """Have the pods of a service replaced in order, as ``kubectl rollout restart`` does."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        template = {"metadata": {"annotations": {RESTARTED: now}}}
        self._change_workloads(service, lambda _: {"spec": {"template": template}})

    def stop(self, service: str) -> None:
        """Scale a service to 0, and delete its pods without a grace."""
        units = self.units(service)
        self.scale(service, 0)

        def going(pods: list[Json]) -> bool | None:
            return None if any(map(objects.stays, pods)) else True

        # One that is deleted before its controller knows of the scale would be replaced.
        self._until(f"pods of {service} to end", service, going, ENDED)
        for unit in units:
            with suppress(Replaced):
                self.kill(unit)

    def scale(self, service: str, replicas: int) -> None:
        """Scale a service, and remember what it had; PlatformFailed where a fault has already."""
        if replicas < 0:
            raise BadArgument(f"replicas must be at least 0, not {replicas!r}")
        self._change_workloads(service, lambda workload: objects.scaled(workload, replicas))

    def start(self, service: str) -> None:
        """Scale a service that a fault has scaled back to what it had."""
        with suppress(_NoWorkload):
            self._change_workloads(service, objects.scaled_back)

    def degrade(
        self,
        service: str,
        *,
        name: str,
        toxic: str,
        attributes: Mapping[str, int],
        stream: str = "downstream",
        toxicity: float = 1.0,
    ) -> None:
        """Put a toxic on the proxy in each pod of a service; PlatformFailed where there is none."""
        pods = self._proxied(service)
        if not pods:
            raise _no_proxy(service)
        self._add(pods, toxic, attributes, name=name, stream=stream, toxicity=toxicity)

    def cut_off(self, service: str, *, name: str) -> None:
        """Let nothing through to a service's pods and back.

        Where a proxy is in each, they drop what comes from either side; else a NetworkPolicy does.
        From within a pod it is tried whether the cluster's network enforces it: PlatformFailed
        where it does not, and a PlatformWarning where that cannot be told.
        """
        if pods := self._proxied(service):
            for stream in STREAMS:
                self._add(pods, "timeout", {"timeout": 0}, name=f"{name}.{stream}", stream=stream)
            return
        ready = [unit for unit in self.units(service) if unit.state == "ready"]
        reached = bool(ready) and self._reaches_out(ready[0]) is True
        policy = objects.policy(name, self._of(service))
        create = self._cluster.networking.create_namespaced_network_policy
        # It is there where an earlier try was not answered.
        with suppress(Conflict):
            self._ask("create NetworkPolicy", create, self.namespace, policy)
        if not reached:
            why = "none of its pods can try to reach the API server"
            message = f"whether the NetworkPolicy on {service} is enforced is not known: {why}"
            warnings.warn(message, PlatformWarning, stacklevel=2)
            return
        deadline = time.monotonic() + POLICY
        while self._reaches_out(ready[0]):
            if time.monotonic() > deadline:
                raise PlatformFailed(
                    f"the NetworkPolicy on {service} was accepted, and this cluster's network does "
                    "not enforce it: its pods still reach others"
                )

    def restore(self, service: str, *, name: str) -> None:
        """Take toxics off the proxies, and remove that NetworkPolicy."""
        toxics = (name, *(f"{name}.{stream}" for stream in STREAMS))
        failures: dict[str, PlatformFailed] = {}
        for pod in filter(objects.is_proxied, self._running(service)):
            try:
                self._ask_proxy(pod, "remove", *toxics)
            except PlatformFailed as error:
                failures[pod["metadata"]["uid"]] = error
        delete = self._cluster.networking.delete_namespaced_network_policy
        with suppress(NotThere):
            self._ask("delete NetworkPolicy", delete, name, self.namespace)
        # A proxy that is gone took them with it.
        there = {unit.id for unit in self.units(service)} if failures else set()
        for uid in there & failures.keys():
            raise failures[uid]

    def is_cordoned(self, node: str) -> bool:
        """Whether a node takes no more pods."""
        found = self._ask(f"node {node}", self._cluster.core.read_node, node)
        return bool(found["spec"].get("unschedulable"))

    def cordon(self, node: str) -> None:
        """Have a node take no more pods."""
        self._schedulable(node, False)

    def uncordon(self, node: str) -> None:
        """Have a node take pods again."""
        with suppress(NotThere):
            self._schedulable(node, True)

    def units_on(self, node: str) -> tuple[Unit, ...]:
        """The pods of the namespace that a drain would evict from a node."""
        pods = self._on(node)
        return tuple(objects.unit(pod, self._service_of(pod)) for pod in pods)

    def drain(self, node: str) -> None:
        """Evict the namespace's pods from a node, as disruption budgets let it."""
        version = self._eviction_version()
        evict = self._cluster.core.create_namespaced_pod_eviction
        for pod in self._on(node):
            name = str(pod["metadata"]["name"])
            where = {"name": name, "namespace": self.namespace}
            body = {"apiVersion": version, "kind": "Eviction", "metadata": where}
            with suppress(NotThere):
                self._ask(f"evict pod {name}", evict, name, self.namespace, body)

    def wait_ready(self, service: str, timeout: float = 60.0) -> None:
        """Wait until as many pods of a service are ready as should be there, all of them new."""
        deadline = time.monotonic() + timeout
        workloads = self._workloads(service)
        for workload in workloads:
            self._until_rolled_out(workload, timeout)
        wanted = sum(map(objects.replicas, workloads))

        def ready(pods: list[Json]) -> bool | None:
            states = [objects.unit(pod, service).state for pod in pods if objects.stays(pod)]
            return True if states.count("ready") == len(states) >= wanted else None

        left = max(0.0, deadline - time.monotonic())
        self._until(f"{wanted} pods of {service} ready", service, ready, left)

    def explain(self, call: Call) -> str:
        """Exactly which objects a call would touch, and what is left without them."""
        around = Around(self.namespace)
        if isinstance(call.target, Unit):
            service = call.target.service
            if call.verb == "resume" or service not in self._labels:
                return preflight.of_unit(call, around, None)
            units, workloads = self.units(service), self._workloads(service)
            around = Around(self.namespace, units, workloads, self._budgets())
            return preflight.of_unit(call, around, self._pod(call.target))
        if call.verb in ("degrade", "cut_off", "restore") and self._proxied(call.target):
            return preflight.of_proxies(call, around._replace(units=self.units(call.target)))
        if call.verb == "degrade":
            raise _no_proxy(call.target)
        if call.verb in ("cordon", "uncordon", "drain"):
            units = self.units_on(call.target) if call.verb == "drain" else ()
            return preflight.of_node(call, around._replace(units=units))
        if call.verb not in ("start", "restore"):
            units, workloads = self.units(call.target), self._workloads(call.target)
            around = Around(self.namespace, units, workloads)
        return preflight.of_service(call, around)

    def version(self) -> str:
        """Of Kubernetes."""
        return f"Kubernetes {self._ask('version', self._cluster.code.get_code)['gitVersion']}"

    def describe(self) -> dict[str, Any]:
        """Versions, and the size of the cluster where the user may see it."""
        nodes = None
        with suppress(NotAllowed):
            nodes = len(self._ask("nodes", self._cluster.core.list_node)["items"])
        return {
            "platform": self.kind,
            "version": self.version(),
            "context": self.context,
            "namespace": self.namespace,
            "nodes": nodes,
            "services": list(self.services),
        }

    def reference(self) -> dict[str, Any]:
        """Context, namespace, and the path of the kubeconfig."""
        return {
            "kind": self.kind,
            "context": self.context,
            "namespace": self.namespace,
            "allow": [self.context],
            "kubeconfig": self._kubeconfig,
            "labels": self._labels,
        }

    def close(self) -> None:
        """Give the connections back."""
        self._cluster.close()

    def __repr__(self) -> str:
        return f"the namespace {self.namespace} of {self.context}"

    def _ask(self, what: str, method: Callable[..., Any], *args: Any, **options: Any) -> Json:
        return self._cluster.ask(f"{what} in {self.namespace}", method, *args, **options)

    def _of(self, service: str) -> dict[str, str]:
        if service not in self._labels:
            known = ", ".join(self.services)
            raise BadArgument(f"service must be one of {known}, not {service!r}")
        return self._labels[service]

    def _until_rolled_out(self, workload: Json, timeout: float) -> None:
        """Watch a workload until its controller has made what it says now."""
        name = str(workload["metadata"]["name"])
        apps = self._cluster.apps
        method = {
            "Deployment": apps.list_namespaced_deployment,
            "StatefulSet": apps.list_namespaced_stateful_set,
        }[workload["kind"]]
        self._cluster.until(
            f"{workload['kind']} {name} in {self.namespace} rolled out",
            method,
            self.namespace,
            field_selector=f"metadata.name={name}",
            condition=lambda found: True if all(map(objects.rolled_out, found)) else None,
            timeout=timeout,
        )

    def _until(
        self,
        what: str,
        service: str,
        condition: Callable[[list[Json]], bool | None],
        timeout: float,
    ) -> None:
        """Watch the pods of a service until a condition holds."""
        self._cluster.until(
            f"{what} in {self.namespace}",
            self._cluster.core.list_namespaced_pod,
            self.namespace,
            label_selector=_selector(self._of(service)),
            condition=condition,
            timeout=timeout,
        )

    def _listed(
        self, what: str, method: Callable[..., Any], service: str | None = None, **options: Any
    ) -> list[Json]:
        if service is not None:
            options["label_selector"] = _selector(self._of(service))
        return list(self._ask(f"list {what}", method, self.namespace, **options)["items"])

    def _pod(self, unit: Unit) -> Json:
        with _replaced(unit):
            read = self._cluster.core.read_namespaced_pod
            pod = self._ask(f"pod {unit.name}", read, unit.name, self.namespace)
        if pod["metadata"]["uid"] != unit.id:
            raise Replaced(f"pod {unit.name} is gone: another one has its name")
        return pod

    def _on(self, node: str) -> list[Json]:
        pods = self._cluster.core.list_namespaced_pod
        found = self._listed("pods", pods, field_selector=f"spec.nodeName={node}")
        return [pod for pod in found if objects.can_be_evicted(pod)]

    def _service_of(self, pod: Json) -> str:
        """The service that a pod belongs to, else what controls it."""
        labels = pod["metadata"].get("labels", {})
        for service, its in self._labels.items():
            if its.items() <= labels.items():
                return service
        return objects.controller(pod) or str(pod["metadata"]["name"])

    def _workloads(self, service: str) -> list[Json]:
        """The Deployments and StatefulSets whose pods have a service's labels."""
        labels = self._of(service)
        apps, found = self._cluster.apps, []
        for kind, method in (
            ("Deployment", apps.list_namespaced_deployment),
            ("StatefulSet", apps.list_namespaced_stateful_set),
        ):
            for each in self._listed(f"{kind}s", method):
                its = each["spec"]["template"]["metadata"].get("labels", {})
                if labels.items() <= its.items():
                    found.append({**each, "kind": kind})
        return found

    def _change_workloads(self, service: str, change: Callable[[Json], Json | None]) -> None:
        workloads = self._workloads(service)
        if not workloads:
            raise _NoWorkload(
                f"no Deployment or StatefulSet in {self.namespace} has pods of {service}"
            )
        for workload in workloads:
            self._change(workload, change)

    def _change(self, workload: Json, change: Callable[[Json], Json | None]) -> None:
        """Change a workload as it is now: what others change meanwhile is read anew."""
        kind, name = workload["kind"], str(workload["metadata"]["name"])
        apps = self._cluster.apps
        read, patch = {
            "Deployment": (apps.read_namespaced_deployment, apps.patch_namespaced_deployment),
            "StatefulSet": (apps.read_namespaced_stateful_set, apps.patch_namespaced_stateful_set),
        }[kind]
        for left in reversed(range(TRIES)):
            found = self._ask(f"{kind} {name}", read, name, self.namespace)
            patched = change({**found, "kind": kind})
            if patched is None:
                return
            seen = {"resourceVersion": found["metadata"]["resourceVersion"]}
            patched["metadata"] = patched.get("metadata", {}) | seen
            try:
                self._ask(f"patch {kind} {name}", patch, name, self.namespace, patched)
                return
            except Conflict:
                if not left:
                    raise

    def _schedulable(self, node: str, value: bool) -> None:
        patch = self._cluster.core.patch_node
        change = {"spec": {"unschedulable": None if value else True}}
        self._cluster.ask(f"patch node {node}", patch, node, change)

    def _running(self, service: str) -> list[Json]:
        """The pods of a service in which something can be asked."""
        pods = self._listed("pods", self._cluster.core.list_namespaced_pod, service)
        return [pod for pod in pods if objects.stays(pod) and objects.is_running(pod)]

    def _proxied(self, service: str) -> list[Json]:
        """The same, where a proxy is in each of them; else none."""
        pods = self._running(service)
        return pods if all(map(objects.is_proxied, pods)) else []

    def _add(
        self, pods: Iterable[Json], toxic: str, attributes: Mapping[str, int], **more: Any
    ) -> None:
        described = {"kind": toxic, "attributes": dict(attributes), **more}
        for pod in pods:
            self._ask_proxy(pod, "add", json.dumps(described))

    def _ask_proxy(self, pod: Json, *words: str) -> None:
        name = str(pod["metadata"]["name"])
        containers.ask_proxy(self._cluster, self.namespace, name, *words)

    def _reaches_out(self, unit: Unit) -> bool | None:
        container = _first_container(self._pod(unit))
        return containers.reaches_out(self._cluster, self.namespace, unit.name, container)

    def _eviction_version(self) -> str:
        """``policy/v1``, or before Kubernetes 1.22 ``policy/v1beta1``."""
        for each in self._ask("resources", self._cluster.core.get_api_resources)["resources"]:
            if each["name"] == "pods/eviction":
                return f"{each['group']}/{each['version']}"
        raise PlatformFailed("this cluster does not evict pods")

    def _budgets(self) -> list[Json] | None:
        """The PodDisruptionBudgets; None where the user may not see them."""
        method = self._cluster.custom.list_namespaced_custom_object
        for version in ("v1", "v1beta1"):
            with suppress(NotThere):
                try:
                    where = ("policy", version, self.namespace, "poddisruptionbudgets")
                    return list(self._ask("disruption budgets", method, *where)["items"])
                except NotAllowed:
                    return None
        return []


class Replaced(PlatformFailed):
    """A pod is gone."""


class _NoWorkload(PlatformFailed):
    """Nothing there controls the pods of a service."""


def _no_proxy(service: str) -> PlatformFailed:
    return PlatformFailed(
        f"connections to {service} cannot be slowed down: no proxy is in each of its pods; "
        "deploy the stack with proxied=True (tarslab stack deploy --proxied)"
    )


@contextmanager
def _replaced(unit: Unit) -> Iterator[None]:
    try:
        yield
    except (NotThere, Conflict) as error:
        raise Replaced(f"pod {unit.name} is gone: {error}") from None


def _first_container(pod: Json) -> str:
    return str(pod["spec"]["containers"][0]["name"])


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
