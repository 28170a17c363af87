"""The objects of one namespace: applied, read, removed and waited for."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tarslab.cluster import Cluster, Conflict, NotAllowed, NotThere

Json = dict[str, Any]

MANAGER = "tarslab"
APPLY = "application/apply-patch+yaml"
# Of the core API: what the client calls them.
CORE = {
    "PersistentVolumeClaim": "persistent_volume_claim",
    "Pod": "pod",
    "Secret": "secret",
    "Service": "service",
    "ServiceAccount": "service_account",
}
# Of the other APIs: what their paths call them.
GROUPED = {
    "Deployment": "deployments",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
}
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


class Objects:
    """The objects of a namespace, by a context of a kubeconfig.

    Raises BadArgument for a context that is not there; every method raises PlatformFailed where
    the API refuses, or does not answer.
    """

    def __init__(
        self, context: str, namespace: str, kubeconfig: str | os.PathLike[str] | None
    ) -> None:
        path = kubeconfig or os.environ.get("KUBECONFIG")
        self.namespace = namespace
        self._cluster = Cluster(context, None if path is None else str(Path(path).expanduser()))
        self._storage = client.StorageV1Api(self._cluster.core.api_client)

    def make_namespace(self) -> bool:
        """Make the namespace; whether it was not there yet."""
        read, create = self._cluster.core.read_namespace, self._cluster.core.create_namespace
        try:
            self._cluster.ask(f"namespace {self.namespace}", read, self.namespace)
        # A user of one namespace alone may not see that it is there.
        except NotAllowed:
            return False
        except NotThere:
            body = {"metadata": {"name": self.namespace}}
            with suppress(Conflict):
                self._cluster.ask(f"create namespace {self.namespace}", create, body)
            return True
        return False

    def has(self, group: str, version: str) -> bool:
        """Whether the cluster has a version of an API group."""
        with suppress(NotThere):
            resources = self._cluster.custom.get_api_resources
            self._cluster.ask(f"API {group}/{version}", resources, group, version)
            return True
        return False

    def has_default_storage(self) -> bool:
        """Whether a claim gets a volume by itself; True where the user may not see that."""
        try:
            found = self._cluster.ask("storage classes", self._storage.list_storage_class)
        except NotAllowed:
            return True
        annotations = [each["metadata"].get("annotations", {}) for each in found["items"]]
        return any(each.get(DEFAULT_CLASS) == "true" for each in annotations)

    def apply(self, each: Json, *, dry_run: bool = False) -> Json:
        """Have an object be as it is given here, by server-side apply.

        dry_run: have the API check it, and keep nothing.
        """
        options: Json = {"field_manager": MANAGER, "force": True, "_content_type": APPLY}
        if dry_run:
            options["dry_run"] = "All"
        name = each["metadata"]["name"]
        return self._ask("patch", each["kind"], each["apiVersion"], name, each, **options)

    def create(self, each: Json) -> bool:
        """Make an object; whether there was none of its name."""
        with suppress(Conflict):
            self._ask("create", each["kind"], each["apiVersion"], None, each)
            return True
        return False

    def read(self, kind: str, version: str, name: str) -> Json | None:
        """An object, or None where there is none."""
        with suppress(NotThere):
            return self._ask("get" if kind in GROUPED else "read", kind, version, name)
        return None

    def listed(self, kind: str, version: str, labels: Mapping[str, str]) -> list[Json]:
        """The objects that have labels; none where the cluster has none of the kind."""
        with suppress(NotThere):
            answer = self._ask("list", kind, version, None, label_selector=_selector(labels))
            return list(answer["items"])
        return []

    def delete(self, kind: str, version: str, name: str) -> None:
        """Remove an object, and what it controls."""
        with suppress(NotThere):
            options = {"propagationPolicy": "Background"}
            self._ask("delete", kind, version, name, body=options)

    def wait(
        self,
        what: str,
        kind: str,
        labels: Mapping[str, str],
        condition: Callable[[list[Json]], bool],
        timeout: float,
    ) -> None:
        """Watch objects of the core API until a condition holds; PlatformFailed where it is late.

        timeout: seconds.
        """
        method = getattr(self._cluster.core, f"list_namespaced_{CORE[kind]}")
        self._cluster.until(
            f"{what} in {self.namespace}",
            method,
            self.namespace,
            label_selector=_selector(labels),
            condition=lambda found: True if condition(found) else None,
            timeout=timeout,
        )

    def end_of_log(self, pod: str, container: str, lines: int, *, previous: bool = False) -> str:
        """The last lines of a container, or of the one before it; empty where there are none."""
        read = self._cluster.core.read_namespaced_pod_log
        with suppress(ApiException, HTTPError):
            said = read(
                pod,
                self.namespace,
                container=container,
                previous=previous,
                tail_lines=lines,
                _request_timeout=10.0,
            )
            return str(said).strip()
        return ""

    def close(self) -> None:
        """Give the connections back."""
        self._cluster.close()

    def _ask(
        self, verb: str, kind: str, version: str, name: str | None, *args: Any, **options: Any
    ) -> Json:
        which: list[str] = [] if name is None else [name]
        what = " ".join([verb, kind, *which, "in", self.namespace])
        if kind in CORE:
            method = getattr(self._cluster.core, f"{verb}_namespaced_{CORE[kind]}")
            return self._cluster.ask(what, method, *which, self.namespace, *args, **options)
        group, _, its = version.partition("/")
        method = getattr(self._cluster.custom, f"{verb}_namespaced_custom_object")
        where = (group, its, self.namespace, GROUPED[kind], *which)
        return self._cluster.ask(what, method, *where, *args, **options)


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items())
