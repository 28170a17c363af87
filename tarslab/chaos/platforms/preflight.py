"""What a fault would do to a cluster, in words: the very objects, and what is left without them."""

from collections.abc import Sequence
from typing import NamedTuple

from tarslab.chaos.platforms import objects
from tarslab.chaos.platforms.objects import Json
from tarslab.chaos.platforms.platform import Call, Unit, done_to_connections


class Around(NamedTuple):
    """What stands around the pods of a service."""

    namespace: str
    units: Sequence[Unit] = ()
    workloads: Sequence[Json] = ()
    budgets: Sequence[Json] | None = ()
    """PodDisruptionBudgets; None where the user may not see them."""


def of_unit(call: Call, around: Around, pod: Json | None) -> str:
    """A call on a pod. pod: as it is now, for what would take it away."""
    unit = call.target
    assert isinstance(unit, Unit)
    done = {
        "kill": f"deleted with a grace of {call.arguments.get('grace', 0):g} s",
        "kill_process": "SIGKILL to the processes of its first container",
        "pause": "SIGSTOP to the processes of its first container",
        "resume": "SIGCONT to the processes of its first container",
    }[call.verb]
    line = f"pod {around.namespace}/{unit.name} ({unit.service}): {done}"
    if pod is None:
        return line
    ready = sum(each.state == "ready" for each in around.units)
    left = ready - (unit.state == "ready")
    wanted = sum(map(objects.replicas, around.workloads))
    owner = objects.controller(pod) or "nobody: nothing would replace it"
    budget = _budgets(pod, around.budgets)
    return f"{line}; owned by {owner}; {left} of {wanted} ready left; {budget}"


def of_service(call: Call, around: Around) -> str:
    """A call on a service."""
    service, given = str(call.target), call.arguments
    pods = ", ".join(unit.name for unit in around.units) or "none"
    wide = f"{around.namespace}/"
    if call.verb == "cut_off":
        return f"NetworkPolicy {wide}{given['name']}: made; nothing gets through to pods {pods}"
    if call.verb == "restore":
        return f"NetworkPolicy {wide}{given['name']}: removed"
    if call.verb == "start":
        return f"workloads of {service} in {around.namespace}: scaled back, if a fault scaled them"
    named = [(f"{objects.name_of(each)}", objects.replicas(each)) for each in around.workloads]
    if call.verb == "restart":
        what = ", ".join(name for name, _ in named)
        return f"{what} in {around.namespace}: pods {pods} replaced in order"
    to = given.get("replicas", 0)
    what = ", ".join(f"{name} scaled from {replicas} to {to}" for name, replicas in named)
    gone = f"; pods {pods} deleted without a grace" if call.verb == "stop" else ""
    return f"in {around.namespace}: {what}{gone}"


def of_proxies(call: Call, around: Around) -> str:
    """A call on the proxies in the pods of a service."""
    pods = ", ".join(unit.name for unit in around.units) or "none"
    return f"proxies in pods {pods} of {around.namespace}: {done_to_connections(call)}"


def of_node(call: Call, around: Around) -> str:
    """A call on a node."""
    if call.verb == "drain":
        pods = ", ".join(f"{unit.name} ({unit.service})" for unit in around.units) or "none"
        return f"node {call.target}: pods of {around.namespace} evicted: {pods}"
    more = "no more pods" if call.verb == "cordon" else "pods again"
    return f"node {call.target}: takes {more}"


def _budgets(pod: Json, budgets: Sequence[Json] | None) -> str:
    if budgets is None:
        return "PodDisruptionBudgets may not be seen"
    labels = pod["metadata"].get("labels", {})
    found = [
        f"PodDisruptionBudget {objects.name_of(each)} allows "
        f"{each.get('status', {}).get('disruptionsAllowed', 0)}"
        for each in budgets
        if objects.selects(each["spec"].get("selector") or {}, labels)
    ]
    return ", ".join(found) or "no PodDisruptionBudget"
