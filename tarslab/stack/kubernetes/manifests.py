"""What a stack consists of in a namespace of Kubernetes: plain objects, in the order to apply them.

Deployments of the three services and of the embedded server, each with a Service before it, and
the rights of whoever breaks them on purpose. The Secret is no manifest: see ``deploying``.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tarslab.errors import BadArgument
from tarslab.stack.kubernetes import rights, sidecar
from tarslab.stack.launching import SERVICES, as_variables, chosen_by_user, secrets_of, told
from tarslab.stack.places import GRACE
from tarslab.stack.settings import PREFIX, Settings
from tarslab.stack.valkey import NAME as REDIS

Json = dict[str, Any]

NAME = "app.kubernetes.io/name"
MANAGED = {"app.kubernetes.io/managed-by": "tarslab"}
OURS = {"app.kubernetes.io/part-of": "tarslab", **MANAGED}
REVISION = "tarslab.dev/revision"
SECRET = "tarslab"
PORTS = {REDIS: 6379, **dict.fromkeys(SERVICES, 8000)}
# Where the processes listen that have a proxy before them.
BEHIND = {name: port + 100 for name, port in PORTS.items()}
PASSWORD, REDIS_PORT = "REDIS_PASSWORD", "REDIS_PORT"
DATA, TMP = "/data", "/tmp"
# Not root, and no user of the image's needs to be there.
USER = 10001
# Seconds that a pod still serves in once it is told to end: until then it may be sent requests.
DRAIN = 2

# Requested and most memory. Automl's searches run in its pod, some 250 MB each, eight at most.
MEMORY = {
    "redis": ("64Mi", "512Mi"),
    "orchestration": ("256Mi", "768Mi"),
    "automl": ("384Mi", "3Gi"),
    "hypersync": ("96Mi", "256Mi"),
    "proxy": ("64Mi", "192Mi"),
}


def manifests(
    namespace: str,
    image: str,
    *,
    replicas: int = 2,
    settings: Mapping[str, object] | None = None,
    addresses: Mapping[str, str] | None = None,
    policy: str | None = "policy/v1",
    volume: bool = True,
    proxied: bool = False,
) -> list[Json]:
    """The objects of a stack.

    image: of the services, and of the embedded server.
    replicas: pods of each service; Redis has one.
    settings: fields of ``tarslab.stack.settings.Settings``.
    addresses: where redis, automl and hypersync are reached; by default by the names of their
        Services, which needs the cluster's DNS.
    policy: API version of PodDisruptionBudgets; None where the cluster has none.
    volume: whether Redis keeps its data in a PersistentVolumeClaim of the default StorageClass;
        else it goes with its pod.
    proxied: whether a proxy stands before the process of each pod, to slow it down or cut it off.

    Raises BadArgument where an argument cannot be used.
    """
    if replicas < 1:
        raise BadArgument(f"replicas must be at least 1, not {replicas!r}")
    hosts = {name: name for name in PORTS} | dict(addresses or {})
    urls = {name: f"http://{hosts[name]}:{PORTS[name]}" for name in SERVICES}
    chosen = chosen_by_user(settings or {})
    _check(chosen)
    made = [_service(name) for name in PORTS]
    made += rights.of_chaos_runner(namespace)
    if volume:
        made.append(_claim())
    made.append(_redis(image, volume, proxied))
    for name in SERVICES:
        environment = _environment(name, hosts[REDIS], urls, chosen, _port(name, proxied))
        made.append(_deployment(name, replicas, _pod(name, image, environment, proxied)))
        # One that lets no pod go would only hold up whoever drains a node.
        if policy is not None and replicas > 1:
            made.append(_budget(name, policy))
    return [_placed(each, namespace) for each in made]


def _redis(image: str, volume: bool, proxied: bool) -> Json:
    module = ["python", "-P", "-m", "tarslab.stack.kubernetes.redis"]
    port = _port(REDIS, proxied)
    environment: list[Json] = [
        {"name": PASSWORD, "valueFrom": _from_secret("redis_password")},
        {"name": REDIS_PORT, "value": str(port)},
    ]
    container = {
        **_container(REDIS, image, module, environment, port),
        "readinessProbe": _probe({"exec": {"command": [*module, "ping"]}}, every=2),
        "livenessProbe": _probe({"tcpSocket": {"port": port}}, every=10),
    }
    pod = _pod_of(container, *_sidecars(REDIS, image, proxied))
    if volume:
        data = {"name": "data", "persistentVolumeClaim": {"claimName": REDIS}}
        pod["volumes"] = [data, *pod["volumes"][1:]]
    # A second server at the same volume would have to wait for the first.
    return _deployment(REDIS, 1, pod, strategy={"type": "Recreate"})


def _pod(name: str, image: str, environment: list[Json], proxied: bool) -> Json:
    """The pod of a service; the kubelet asks its process itself, whatever stands before it."""
    port = _port(name, proxied)
    module = ["python", "-P", "-m", "tarslab.stack.service", name]
    container = {
        **_container(name, image, module, environment, port),
        # Until it answers for the first time, which takes seconds, it is not killed for silence.
        "startupProbe": _probe(_answers(port, "live"), every=1, failures=120),
        "readinessProbe": _probe(_answers(port, "ready"), every=1, failures=2),
        "livenessProbe": _probe(_answers(port, "live"), every=10),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN)]}}},
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {NAME: name}},
    }
    pod = _pod_of(container, *_sidecars(name, image, proxied))
    return pod | {"topologySpreadConstraints": [spread]}


def _sidecars(name: str, image: str, proxied: bool) -> list[Json]:
    """The proxy before the process of a pod, where there is one."""
    if not proxied:
        return []
    front, behind = str(PORTS[name]), str(BEHIND[name])
    command = ["python", "-P", "-m", sidecar.MODULE, "serve", name, front, behind]
    return [
        {
            **_container(sidecar.CONTAINER, image, command, [], PORTS[name]),
            "volumeMounts": [{"name": "tmp", "mountPath": TMP}],
            "readinessProbe": _probe({"tcpSocket": {"port": PORTS[name]}}, every=2),
            # It passes on what is asked while the process comes to its end.
            "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN)]}}},
        }
    ]


def _port(name: str, proxied: bool) -> int:
    """That the process of a pod listens at."""
    return BEHIND[name] if proxied else PORTS[name]


def _pod_of(*containers: Json) -> Json:
    return {
        "automountServiceAccountToken": False,
        # The variables of other Services may be named as the services' own settings.
        "enableServiceLinks": False,
        # The first process of a namespace takes no SIGSTOP, and has to bury what others leave.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": DRAIN + int(GRACE),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [*containers],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
    }


def _container(
    name: str, image: str, command: list[str], environment: list[Json], port: int
) -> Json:
    requested, most = MEMORY[name]
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [
            {"name": "HOME", "value": TMP},
            {"name": "XDG_CACHE_HOME", "value": f"{TMP}/cache"},
            *environment,
        ],
        "ports": [{"containerPort": port, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": "100m", "memory": requested},
            "limits": {"memory": most},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": DATA}, {"name": "tmp", "mountPath": TMP}],
    }


def _environment(
    name: str, redis: str, urls: Mapping[str, str], chosen: Mapping[str, str], port: int
) -> list[Json]:
    """What launching tells a process, with the secrets by reference."""
    made = [{"name": PASSWORD, "valueFrom": _from_secret("redis_password")}]
    for secret in secrets_of(name):
        if secret != "redis_url":
            variable = PREFIX + secret.upper()
            made.append({"name": variable, "valueFrom": _from_secret(secret)})
    # Kubernetes puts in the password, which stands before it.
    url = f"redis://:$({PASSWORD})@{redis}:{PORTS[REDIS]}/0"
    plain = {
        **as_variables({**told(urls, DATA), "host": "0.0.0.0", "port": port}),
        **chosen,
    }
    escaped = {variable: value.replace("$(", "$$(") for variable, value in plain.items()}
    escaped[f"{PREFIX}REDIS_URL"] = url
    return made + [{"name": variable, "value": value} for variable, value in escaped.items()]


def _from_secret(key: str) -> Json:
    return {"secretKeyRef": {"name": SECRET, "key": key}}


def _answers(port: int, what: str) -> Json:
    return {"httpGet": {"path": f"/health/{what}", "port": port}}


def _probe(how: Json, *, every: int, failures: int = 3) -> Json:
    return {**how, "periodSeconds": every, "timeoutSeconds": 3, "failureThreshold": failures}


def _deployment(name: str, replicas: int, pod: Json, strategy: Json | None = None) -> Json:
    labels = {NAME: name}
    gently = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    # By which the pods of this very manifest are known.
    revision = hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()[:12]
    metadata = {"labels": {**labels, **OURS, REVISION: revision}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": labels},
            "strategy": strategy or gently,
            "template": {"metadata": metadata, "spec": pod},
        },
    }


def _service(name: str) -> Json:
    port = {"name": name, "port": PORTS[name], "targetPort": PORTS[name], "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {NAME: name}},
        "spec": {"selector": {NAME: name}, "ports": [port]},
    }


def _claim() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": REDIS, "labels": {NAME: REDIS}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def _budget(name: str, policy: str) -> Json:
    return {
        "apiVersion": policy,
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": {NAME: name}},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {NAME: name}}},
    }


def _placed(each: Json, namespace: str) -> Json:
    metadata = each["metadata"]
    labels = metadata.get("labels", {}) | OURS
    return each | {"metadata": metadata | {"namespace": namespace, "labels": labels}}


def _check(chosen: Mapping[str, str]) -> None:
    """BadArgument where a service would not take the settings."""
    needed = {"redis_url": "redis://redis", "secret": "made later", "data": DATA}
    Settings.from_environment({**as_variables(needed), **chosen})
