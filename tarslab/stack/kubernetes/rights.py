"""The rights of the chaos runner in a namespace: the least that its faults need, and why."""

from typing import Any, NamedTuple

Json = dict[str, Any]

RUNNER = "chaos-runner"
RBAC = "rbac.authorization.k8s.io"


class Right(NamedTuple):
    """Verbs on resources of an API group, and what they are needed for."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    reason: str


RIGHTS = (
    Right("", ("pods",), ("get", "list", "watch"), "to find a service's pods, and wait for them"),
    Right("", ("pods",), ("delete",), "kill, and outage"),
    Right(
        "",
        ("pods/exec",),
        ("get", "create"),
        "pause, kill_process, toxics, and a cut-off's probing",
    ),
    Right("", ("pods/eviction",), ("create",), "to drain as disruption budgets let it"),
    Right("", ("services",), ("list",), "the addresses that probes go to"),
    Right(
        "apps",
        ("deployments", "statefulsets"),
        ("get", "list", "watch", "patch"),
        "restart, outage and scale, their undoing, and to wait for it",
    ),
    Right(
        "networking.k8s.io", ("networkpolicies",), ("create", "delete"), "cut_off, and its undoing"
    ),
    Right("policy", ("poddisruptionbudgets",), ("list",), "what a plan says before a kill"),
)


def of_chaos_runner(namespace: str) -> list[Json]:
    """A ServiceAccount, and a Role that is bound to it."""
    rules = [
        {"apiGroups": [right.group], "resources": [*right.resources], "verbs": [*right.verbs]}
        for right in RIGHTS
    ]
    account = {"kind": "ServiceAccount", "name": RUNNER, "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": RUNNER}},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "Role",
            "metadata": {"name": RUNNER},
            "rules": rules,
        },
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": RUNNER},
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": RUNNER},
            "subjects": [account],
        },
    ]
