"""Faults in a cluster, as its API sees them; also where that is in the way, or lost."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tarslab.chaos import faults
from tarslab.chaos.guards import Guard, Refused
from tarslab.chaos.platforms import (
    Call,
    KubernetesPlatform,
    Platform,
    PlatformFailed,
    Unit,
    connect,
)
from tarslab.chaos.platforms.errors import PlatformWarning
from tarslab.chaos.undo import Journal, undo_all
from tarslab.cluster import Conflict, Lost, NotAllowed, NotThere, Overloaded
from tarslab.errors import BadArgument
from tests.chaos.platforms.api import LABEL, LOST, Api, pod_of
from tests.chaos.platforms.conftest import DEPLOYMENTS, NAMESPACE, PODS
from tests.stack.waiting import wait_until, wait_until_gone

TWO = Guard(max_units=2)
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
HELD = "tarslab.dev/replicas"


def first(platform: KubernetesPlatform, service: str = "automl") -> Unit:
    """The first unit of a service."""
    return platform.units(service)[0]


def names(platform: KubernetesPlatform, service: str = "automl") -> list[str]:
    """Of a service's pods."""
    return [unit.name for unit in platform.units(service)]


def replicas(api: Api, name: str = "automl") -> int:
    """That a Deployment says now."""
    return int(api.objects[f"{DEPLOYMENTS}/{name}"]["spec"]["replicas"])


def held(api: Api, name: str = "automl") -> str | None:
    """What a Deployment is marked with."""
    marks = api.objects[f"{DEPLOYMENTS}/{name}"]["metadata"].get("annotations", {})
    return None if HELD not in marks else str(marks[HELD])


def test_it_is_a_platform(kubernetes: KubernetesPlatform):
    assert isinstance(kubernetes, Platform)
    assert kubernetes.services == ("redis", "orchestration", "automl", "hypersync")


def test_the_units_of_a_service_are_the_pods_with_its_label(kubernetes: KubernetesPlatform):
    one, two = kubernetes.units("automl")
    assert (one.name, two.name) == ("automl-0", "automl-1")
    assert one.state == "ready"
    # 2026-01-02T03:04:05Z
    assert one.started == 1767323045.0
    assert kubernetes.units("hypersync") == ()


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"status": {"phase": "Pending"}}, "starting"),
        ({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "unready"),
        ({"status": {"conditions": []}}, "unready"),
        ({"status": {"phase": "Failed"}}, None),
        ({"status": {"phase": "Succeeded"}}, None),
        ({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}, None),
    ],
)
def test_a_pod_is_in_a_state_or_no_unit_any_more(
    kubernetes: KubernetesPlatform, api: Api, change: dict[str, Any], state: str | None
):
    pod = api.objects[f"{PODS}/redis-0"]
    for part, values in change.items():
        pod = pod | {part: pod[part] | values}
    api.put(f"{PODS}/redis-0", pod)
    assert [unit.state for unit in kubernetes.units("redis")] == ([] if state is None else [state])


def test_a_service_that_is_not_known_is_named_with_those_that_are(kubernetes: KubernetesPlatform):
    for call in (kubernetes.units, kubernetes.stop, kubernetes.start, kubernetes.address):
        with pytest.raises(BadArgument, match=r"service must be one of redis, orch.* not 'web'"):
            call("web")


def test_services_may_have_labels_of_their_own(api: Api, tmp_path: Path):
    api.put(f"{PODS}/x-0", pod_of("x-0", {"app": "x", "tier": "back"}))
    api.put(f"{PODS}/x-1", pod_of("x-1", {"app": "x", "tier": "front"}))
    platform = KubernetesPlatform(
        *("test", NAMESPACE),
        allow=["test"],
        kubeconfig=api.kubeconfig(tmp_path / "config"),
        labels={"x": {"app": "x", "tier": "front"}},
    )
    assert [unit.name for unit in platform.units("x")] == ["x-1"]
    platform.close()


def test_a_service_without_a_label_would_be_every_pod(api: Api, tmp_path: Path):
    kubeconfig = api.kubeconfig(tmp_path / "config")
    with pytest.raises(BadArgument, match="a service without a label would be every pod"):
        KubernetesPlatform(
            "test", NAMESPACE, allow=["test"], kubeconfig=kubeconfig, labels={"x": {}}
        )


@pytest.mark.parametrize(
    ("context", "namespace", "allow", "said"),
    [
        ("test", "tars", [], "'test' is not among those that faults are allowed in"),
        ("test", "tars", ["prod"], "'test' is not among those that faults are allowed in"),
        ("test", "kube-system", ["test"], "'kube-system' .* is protected"),
    ],
)
def test_nothing_is_asked_of_a_cluster_that_is_not_allowed(
    api: Api, tmp_path: Path, context: str, namespace: str, allow: list[str], said: str
):
    kubeconfig = api.kubeconfig(tmp_path / "config")
    with pytest.raises(Refused, match=said):
        KubernetesPlatform(context, namespace, allow=allow, kubeconfig=kubeconfig)
    assert api.asked == []


def test_a_context_that_is_not_there_is_told(api: Api, tmp_path: Path):
    kubeconfig = api.kubeconfig(tmp_path / "config")
    with pytest.raises(BadArgument, match=r"context: 'other' cannot be used .*get-contexts"):
        KubernetesPlatform("other", NAMESPACE, allow=["other"], kubeconfig=kubeconfig)


def test_a_pod_is_deleted_with_a_grace_and_its_uid_in_the_body(
    kubernetes: KubernetesPlatform, api: Api
):
    unit = first(kubernetes)
    kubernetes.kill(unit, grace=7)
    (asked,) = api.requests("DELETE")
    assert asked.path == f"{PODS}/automl-0"
    assert asked.body["gracePeriodSeconds"] == 7
    assert asked.body["preconditions"] == {"uid": unit.id}
    # Beside a body they would be ignored.
    assert asked.query == {}
    assert len(names(kubernetes)) == 2
    assert "automl-0" not in names(kubernetes)


def test_a_pod_that_was_replaced_is_not_killed_in_the_person_of_another(
    kubernetes: KubernetesPlatform, api: Api
):
    unit = first(kubernetes)
    api.remove(f"{PODS}/automl-0")
    with pytest.raises(PlatformFailed, match="pod automl-0 is gone"):
        kubernetes.kill(unit)
    api.put(f"{PODS}/automl-0", pod_of("automl-0", {LABEL: "automl"}))
    for verb in (kubernetes.kill, kubernetes.pause, kubernetes.kill_process):
        with pytest.raises(PlatformFailed, match="another one has its name"):
            verb(unit)
    assert api.requests("DELETE") == []
    assert api.ran == []


def test_a_pod_that_is_replaced_at_the_last_moment_is_left_alone(
    kubernetes: KubernetesPlatform, api: Api
):
    unit = first(kubernetes)
    api.wrong("DELETE", "/automl-0", 409, "the UID in the precondition does not match")
    with pytest.raises(PlatformFailed, match="pod automl-0 is gone"):
        kubernetes.kill(unit)


def test_a_pod_that_nothing_would_bring_back_is_left_alone(
    kubernetes: KubernetesPlatform, api: Api
):
    api.put(f"{PODS}/hypersync", pod_of("hypersync", {LABEL: "hypersync"}, owner=None))
    with pytest.raises(PlatformFailed, match="has no controller: nothing would bring it back"):
        kubernetes.kill(first(kubernetes, "hypersync"))
    assert api.requests("DELETE") == []


def test_an_outage_scales_to_nothing_and_back(
    kubernetes: KubernetesPlatform, api: Api, journal: Journal
):
    with faults.outage(kubernetes, "automl", guard=TWO):
        assert (replicas(api), held(api), names(kubernetes)) == (0, "2", [])
    assert (replicas(api), held(api), len(names(kubernetes))) == (2, None, 2)
    assert replicas(api, "redis") == 1


def test_a_service_is_scaled_for_as_long_as_the_block(kubernetes: KubernetesPlatform, api: Api):
    with faults.scale(kubernetes, "automl", 1, guard=TWO):
        assert (replicas(api), held(api)) == (1, "2")
    assert (replicas(api), held(api)) == (2, None)


def test_scaling_is_done_once_and_undone_once(kubernetes: KubernetesPlatform, api: Api):
    """An answer may be lost, and the request be made again."""
    for _ in range(2):
        kubernetes.scale("automl", 1)
        assert (replicas(api), held(api)) == (1, "2")
    for _ in range(2):
        kubernetes.start("automl")
        assert (replicas(api), held(api)) == (2, None)


def test_a_service_that_a_fault_has_scaled_is_not_scaled_by_another(
    kubernetes: KubernetesPlatform, api: Api
):
    kubernetes.scale("automl", 1)
    with pytest.raises(PlatformFailed, match="Deployment automl is scaled by a fault already"):
        kubernetes.stop("automl")
    assert (replicas(api), held(api)) == (1, "2")


def test_a_negative_scale_is_told(kubernetes: KubernetesPlatform):
    with pytest.raises(BadArgument, match="replicas must be at least 0, not -1"):
        kubernetes.scale("automl", -1)


def test_where_nothing_controls_a_service_that_is_told(kubernetes: KubernetesPlatform):
    with pytest.raises(PlatformFailed, match=r"no Deployment or StatefulSet .* pods of hypersync"):
        kubernetes.stop("hypersync")
    kubernetes.start("hypersync")


def test_a_workload_that_others_change_meanwhile_is_read_anew(
    kubernetes: KubernetesPlatform, api: Api
):
    api.wrong("PATCH", "/automl", 409, "the object has been modified", times=2)
    kubernetes.scale("automl", 1)
    assert replicas(api) == 1
    assert len(api.requests("PATCH", "/automl")) == 3


def test_what_others_have_scaled_to_meanwhile_is_what_it_is_scaled_back_to(
    kubernetes: KubernetesPlatform, api: Api
):
    ask, path = kubernetes._cluster.ask, f"{DEPLOYMENTS}/automl"

    def meanwhile(what: str, method: Any, *args: Any, **options: Any) -> Any:
        answer = ask(what, method, *args, **options)
        if what.startswith("Deployment automl") and replicas(api) == 2:
            found = api.objects[path]
            api.put(path, found | {"spec": found["spec"] | {"replicas": 5}})
        return answer

    kubernetes._cluster.ask = meanwhile  # type: ignore[method-assign]
    kubernetes.scale("automl", 1)
    assert (replicas(api), held(api)) == (1, "5")


def test_pods_are_killed_in_an_outage_once_their_controller_knows_of_it(
    kubernetes: KubernetesPlatform, api: Api
):
    """Before, it would replace them."""
    api.reconciles = False
    outage = threading.Thread(target=kubernetes.stop, args=("automl",))
    outage.start()
    wait_until(lambda: bool(api.requests("WATCH", "/pods")))
    assert api.requests("DELETE") == []
    api.reconcile()
    outage.join()
    assert names(kubernetes) == []


def test_a_workload_that_others_change_all_the_time_is_given_up(
    kubernetes: KubernetesPlatform, api: Api
):
    api.wrong("PATCH", "/automl", 409, "the object has been modified", times=5)
    with pytest.raises(Conflict, match="the object has been modified"):
        kubernetes.scale("automl", 1)


def test_a_restart_changes_the_pods_template(kubernetes: KubernetesPlatform, api: Api):
    kubernetes.restart("automl")
    template = api.objects[f"{DEPLOYMENTS}/automl"]["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert template["metadata"]["labels"] == {LABEL: "automl"}


def test_processes_are_paused_and_go_on_by_signals_within_the_first_container(
    kubernetes: KubernetesPlatform, api: Api
):
    api.scripts += [(0, ""), (0, "")]
    with faults.pause(kubernetes, "redis"):
        pass
    assert [pod for pod, _ in api.ran] == ["redis-0", "redis-0"]
    assert ["-STOP" in script for _, script in api.ran] == [True, False]
    assert ["-CONT" in script for _, script in api.ran] == [False, True]
    assert {each.query["container"] for each in api.requests("GET", "/exec")} == {"web"}


@pytest.mark.parametrize(
    ("code", "output", "said"),
    [
        (0, "1\n", "its process 1 takes no SIGSTOP from within: set shareProcessNamespace: true"),
        (4, "", "no process there may be signalled by its user"),
        (3, "readlink: not found", r"need /bin/sh, readlink and sed there \(readlink: not found\)"),
        (126, "no /bin/sh", "need /bin/sh"),
    ],
)
def test_a_container_that_cannot_be_paused_says_why(
    kubernetes: KubernetesPlatform, api: Api, code: int, output: str, said: str
):
    api.scripts += [(code, output), (0, "")]
    with pytest.raises(PlatformFailed, match=said), faults.pause(kubernetes, "redis"):
        pytest.fail("the fault was not done")
    # What was stopped goes on.
    assert "-CONT" in api.ran[-1][1]


def test_a_killed_process_is_waited_for(kubernetes: KubernetesPlatform, api: Api):
    def end(pod: str) -> None:
        status = api.objects[pod]["status"]
        ended = [status["containerStatuses"][0] | {"restartCount": 1}]
        threading.Timer(
            0.2,
            lambda: api.put(
                pod, api.objects[pod] | {"status": status | {"containerStatuses": ended}}
            ),
        ).start()

    api.on_run = end
    # The shell there is killed with the container.
    api.scripts.append((137, ""))
    kubernetes.kill_process(first(kubernetes, "redis"))
    assert "-KILL" in api.ran[0][1]


def test_nothing_is_resumed_in_a_pod_that_is_gone(kubernetes: KubernetesPlatform, api: Api):
    unit = first(kubernetes)
    api.remove(f"{PODS}/automl-0")
    kubernetes.resume(unit)
    assert api.ran == []


def test_an_exec_that_is_refused_or_lost_is_told(kubernetes: KubernetesPlatform, api: Api):
    unit = first(kubernetes)
    api.wrong("GET", "/exec", 403, "cannot create resource pods/exec")
    with pytest.raises(NotAllowed, match="exec in pod tars/automl-0: Forbidden"):
        kubernetes.pause(unit)
    api.scripts.append((LOST, "lost"))
    with pytest.raises(Lost, match="exec in pod tars/automl-0"):
        kubernetes.pause(unit)


def test_a_policy_that_the_network_enforces_cuts_a_service_off(
    kubernetes: KubernetesPlatform, api: Api
):
    # The API server is reached before, still for a moment, and then no more.
    api.scripts += [(0, ""), (0, ""), (1, "")]
    with faults.cut_off(kubernetes, "redis"):
        (policy,) = [each for path, each in api.objects.items() if path.startswith(POLICIES)]
        assert policy["spec"] == {
            "podSelector": {"matchLabels": {LABEL: "redis"}},
            "policyTypes": ["Ingress", "Egress"],
        }
    assert not any(path.startswith(POLICIES) for path in api.objects)


def test_a_policy_that_the_network_does_not_enforce_is_no_fault(
    kubernetes: KubernetesPlatform, api: Api, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tarslab.chaos.platforms.kubernetes.POLICY", 0.2)
    api.scripts += [(0, "")] * 1000
    said = "accepted, and this cluster's network does not enforce it"
    with pytest.raises(PlatformFailed, match=said), faults.cut_off(kubernetes, "redis"):
        pytest.fail("the fault was not done")
    assert not any(path.startswith(POLICIES) for path in api.objects)


def test_where_a_pod_cannot_try_it_is_said_that_it_is_not_known(
    kubernetes: KubernetesPlatform, api: Api
):
    api.scripts.append((2, ""))
    with (
        pytest.warns(PlatformWarning, match="whether the NetworkPolicy on redis is enforced"),
        faults.cut_off(kubernetes, "redis"),
    ):
        assert any(path.startswith(POLICIES) for path in api.objects)


def test_a_policy_that_is_there_already_or_gone_already_is_as_it_should_be(
    kubernetes: KubernetesPlatform, api: Api
):
    api.scripts += [(0, ""), (1, ""), (0, ""), (1, "")]
    kubernetes.cut_off("redis", name="x")
    kubernetes.cut_off("redis", name="x")
    kubernetes.restore("redis", name="x")
    kubernetes.restore("redis", name="x")


def proxied(api: Api) -> None:
    """Have a proxy in each pod of automl."""
    for number in range(2):
        pod = pod_of(f"automl-{number}", {LABEL: "automl"})
        pod["spec"]["containers"].append({"name": "proxy"})
        api.put(f"{PODS}/automl-{number}", pod)


def test_the_proxies_in_the_pods_of_a_service_are_told_of_a_toxic_and_to_forget_it(
    kubernetes: KubernetesPlatform, api: Api
):
    proxied(api)
    api.scripts += [(0, "")] * 4
    fault = faults.latency(kubernetes, "automl", 100, jitter=5, guard=Guard(max_units=2))
    said = str(fault)
    assert "proxies in pods automl-0, automl-1 of tars: latency downstream" in said
    assert "automl-1 of tars: as they were" in said
    with fault:
        told = [(pod, shlex.split(script)) for pod, script in api.ran]
        assert [pod for pod, _ in told] == ["automl-0", "automl-1"]
        assert {script[-2] for _, script in told} == {"add"}
        toxic = json.loads(told[0][1][-1])
        name = toxic.pop("name")
        assert toxic == {
            "kind": "latency",
            "attributes": {"latency": 100, "jitter": 5},
            "stream": "downstream",
            "toxicity": 1.0,
        }
    undone = [shlex.split(script) for _, script in api.ran[2:]]
    assert [script[script.index("remove") + 1] for script in undone] == [name, name]


def test_a_service_with_proxies_is_cut_off_by_them_both_ways(
    kubernetes: KubernetesPlatform, api: Api
):
    proxied(api)
    api.scripts += [(0, "")] * 6
    kubernetes.cut_off("automl", name="x")
    toxics = [json.loads(shlex.split(script)[-1]) for _, script in api.ran]
    assert {(each["name"], each["stream"]) for each in toxics} == {
        ("x.upstream", "upstream"),
        ("x.downstream", "downstream"),
    }
    assert not api.requests("POST", "networkpolicies")
    kubernetes.restore("automl", name="x")
    assert shlex.split(api.ran[-1][1])[-3:-2] == ["x"]


def test_a_proxy_that_refuses_says_why_and_one_that_is_gone_has_nothing_to_forget(
    kubernetes: KubernetesPlatform, api: Api
):
    proxied(api)
    api.scripts += [(1, "Traceback\nPlatformFailed: the proxy refused")]
    with pytest.raises(PlatformFailed, match=r"pod tars/automl-0: PlatformFailed: the proxy ref"):
        kubernetes.degrade("automl", name="x", toxic="latency", attributes={"latency": 1})
    api.scripts += [(1, "no"), (0, "")]
    api.on_run = api.remove
    kubernetes.restore("automl", name="x")
    assert kubernetes.units("automl") == ()


@pytest.mark.parametrize("dry_run", [True, False])
def test_nothing_slows_a_service_down_that_has_no_proxies(
    kubernetes: KubernetesPlatform, journal: Journal, dry_run: bool
):
    with (
        pytest.raises(PlatformFailed, match="connections to redis cannot be slowed down"),
        faults.latency(kubernetes, "redis", 100, guard=Guard(dry_run=dry_run)),
    ):
        pytest.fail("the fault was not done")
    assert journal.entries() == ()


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_node_is_drained_by_evictions_of_the_version_that_the_cluster_knows(
    kubernetes: KubernetesPlatform, api: Api, version: str
):
    api.eviction = version
    api.put(f"{PODS}/agent", pod_of("agent", {}, owner="DaemonSet agent"))
    elsewhere = pod_of("automl-9", {LABEL: "automl"})
    elsewhere["spec"]["nodeName"] = "node2"
    api.put(f"{PODS}/automl-9", elsewhere)
    with faults.drain(kubernetes, "node1", guard=TWO) as fault:
        assert kubernetes.is_cordoned("node1")
        assert {unit.service for unit in fault.units} == {"automl", "redis"}
    assert not kubernetes.is_cordoned("node1")
    evicted = [asked.body for asked in api.requests("POST", "/eviction")]
    assert {each["metadata"]["name"] for each in evicted} == {"automl-0", "automl-1", "redis-0"}
    assert {each["apiVersion"] for each in evicted} == {f"policy/{version}"}


def test_an_eviction_waits_for_a_disruption_budget(kubernetes: KubernetesPlatform, api: Api):
    said = "Cannot evict pod as it would violate the pod's disruption budget."
    api.wrong("POST", "/automl-0/eviction", 429, said, times=2)
    kubernetes.drain("node1")
    assert len(api.requests("POST", "/automl-0/eviction")) == 3


def test_an_eviction_that_a_budget_does_not_let_through_is_told_and_the_node_takes_pods_again(
    kubernetes: KubernetesPlatform, api: Api
):
    said = "Cannot evict pod as it would violate the pod's disruption budget."
    api.wrong("POST", "/automl-0/eviction", 429, said, times=100)
    with (
        pytest.raises(Overloaded, match="evict pod automl-0 in tars: Cannot evict pod"),
        faults.drain(kubernetes, "node1", guard=TWO),
    ):
        pytest.fail("the fault was not done")
    assert not kubernetes.is_cordoned("node1")


def test_a_node_that_is_cordoned_already_is_left_alone(kubernetes: KubernetesPlatform):
    kubernetes.cordon("node1")
    with pytest.raises(Refused, match="node1 is cordoned already"):
        faults.drain(kubernetes, "node1", guard=TWO)


def test_a_drain_counts_every_unit_that_it_would_evict(kubernetes: KubernetesPlatform, api: Api):
    with pytest.raises(Refused, match="2 units of automl would be touched"):
        faults.drain(kubernetes, "node1")
    assert api.requests("PATCH") == []


def test_a_node_that_is_gone_is_uncordoned(kubernetes: KubernetesPlatform, api: Api):
    api.remove("/api/v1/nodes/node1")
    kubernetes.uncordon("node1")
    with pytest.raises(NotThere):
        kubernetes.cordon("node1")


def test_a_service_is_waited_for_until_as_many_pods_as_wanted_are_ready(
    kubernetes: KubernetesPlatform, api: Api
):
    api.ready_at_once = False
    kubernetes.kill(first(kubernetes))
    (new,) = [name for name in names(kubernetes) if name != "automl-1"]

    def get_ready() -> None:
        wait_until(lambda: bool(api.requests("WATCH", "/pods")))
        api.put(f"{PODS}/{new}", pod_of(new, {LABEL: "automl"}))

    thread = threading.Thread(target=get_ready)
    thread.start()
    kubernetes.wait_ready("automl", timeout=30)
    thread.join()
    assert all(unit.state == "ready" for unit in kubernetes.units("automl"))


def test_what_is_not_ready_in_time_is_told(kubernetes: KubernetesPlatform, api: Api):
    api.remove(f"{PODS}/automl-0")
    with pytest.raises(PlatformFailed, match=r"2 pods of automl ready in tars: not there"):
        kubernetes.wait_ready("automl", timeout=0.2)


INTERRUPTIONS: list[dict[str, Any]] = [
    {"status": 410, "message": "too old resource version", "within": True},
    {"status": 410, "message": "too old resource version"},
    {"status": 500, "message": "etcdserver: leader changed", "within": True},
    {"status": 503, "message": "apiserver is shutting down"},
    {"status": LOST, "within": True},
    {"status": LOST},
]


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_a_watch_that_is_interrupted_begins_anew_with_a_list(
    kubernetes: KubernetesPlatform, api: Api, interruption: dict[str, Any]
):
    api.remove(f"{PODS}/automl-0")
    api.wrong("WATCH", "/pods", **interruption)

    def come_back() -> None:
        wait_until(lambda: len(api.requests("WATCH", "/pods")) >= 2)
        api.put(f"{PODS}/automl-0", pod_of("automl-0", {LABEL: "automl"}))

    thread = threading.Thread(target=come_back)
    thread.start()
    kubernetes.wait_ready("automl", timeout=30)
    thread.join()
    assert len(api.requests("GET", "/pods")) >= 2


def test_a_watch_that_has_become_too_old_misses_nothing(kubernetes: KubernetesPlatform, api: Api):
    """What happened between the list and the watch is found by the next list."""
    api.remove(f"{PODS}/automl-0")
    listed = kubernetes._cluster.ask

    def late(what: str, method: Any, *args: Any, **options: Any) -> Any:
        answer = listed(what, method, *args, **options)
        if what.startswith("2 pods") and not api.requests("WATCH", "/pods"):
            api.put(f"{PODS}/automl-0", pod_of("automl-0", {LABEL: "automl"}))
            api.forget_versions()
        return answer

    kubernetes._cluster.ask = late  # type: ignore[method-assign]
    kubernetes.wait_ready("automl", timeout=30)
    assert len(api.requests("WATCH", "/pods")) == 1


def test_what_the_user_may_not_do_is_told_by_the_right_that_is_lacking(
    kubernetes: KubernetesPlatform, api: Api
):
    said = 'pods is forbidden: User "u" cannot list resource "pods" in the namespace "tars"'
    api.wrong("GET", "/pods", 403, said)
    with pytest.raises(NotAllowed, match=f"list pods in tars: {said}"):
        kubernetes.units("automl")
    assert len(api.requests("GET", "/pods")) == 1


def test_a_right_that_is_lacking_in_the_middle_of_a_fault_undoes_it(
    kubernetes: KubernetesPlatform, api: Api, journal: Journal
):
    fault = faults.drain(kubernetes, "node1", guard=TWO)
    api.wrong("POST", "/eviction", 403, "cannot create resource pods/eviction")
    with pytest.raises(NotAllowed, match="pods/eviction"), fault:
        pytest.fail("the fault was not done")
    assert not kubernetes.is_cordoned("node1")
    assert journal.entries() == ()


def test_an_api_that_is_too_busy_is_asked_again_when_it_says(
    kubernetes: KubernetesPlatform, api: Api
):
    headers = {"Retry-After": "1"}
    api.wrong("GET", "/pods", 429, "too many requests", headers=headers)
    start = time.monotonic()
    assert len(kubernetes.units("automl")) == 2
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize("status", [429, 500, 503, LOST])
def test_an_api_that_does_not_answer_for_a_moment_is_asked_again(
    kubernetes: KubernetesPlatform, api: Api, status: int
):
    api.wrong("DELETE", "/automl-0", status, "not now", times=2)
    kubernetes.kill(first(kubernetes))
    assert len(api.requests("DELETE", "/automl-0")) == 3


def test_an_api_that_stays_busy_or_lost_is_given_up(kubernetes: KubernetesPlatform, api: Api):
    api.wrong("GET", "/pods", 429, "too many requests", times=100)
    with pytest.raises(Overloaded, match="list pods in tars: too many requests"):
        kubernetes.units("automl")
    api.close_port()
    with pytest.raises(Lost, match="list pods in tars: the API does not answer"):
        kubernetes.units("automl")


def test_a_fault_that_cannot_be_undone_because_the_api_is_lost_is_undone_when_it_is_back(
    kubernetes: KubernetesPlatform, api: Api, journal: Journal
):
    fault = faults.outage(kubernetes, "automl", guard=TWO).begin()
    api.wrong("GET", "/deployments", LOST, times=10_000)
    with pytest.raises(PlatformFailed, match=r"could not be undone: .*the API does not answer"):
        fault.end()
    assert len(journal.entries()) == 1
    assert replicas(api) == 0
    api.put_right()
    # The watchdog, which goes on trying.
    wait_until(lambda: journal.entries() == ())
    assert (replicas(api), held(api)) == (2, None)


def test_the_card_of_a_fault_names_the_pod_its_owner_and_what_is_left(
    kubernetes: KubernetesPlatform, api: Api
):
    unit = first(kubernetes)
    explained = kubernetes.explain(Call("kill", unit, {"grace": 3.0}))
    assert explained == (
        "pod tars/automl-0 (automl): deleted with a grace of 3 s; owned by ReplicaSet automl-5d4; "
        "1 of 2 ready left; no PodDisruptionBudget"
    )


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_the_card_names_the_disruption_budgets_of_a_pod(
    kubernetes: KubernetesPlatform, api: Api, version: str
):
    budgets = f"/apis/policy/{version}/namespaces/{NAMESPACE}/poddisruptionbudgets"
    if version == "v1beta1":
        whole = "/apis/policy/v1/namespaces/tars/poddisruptionbudgets"
        api.wrong("GET", whole, 404, "the server could not find the requested resource")
    selectors: dict[str, Any] = {
        "mine": {"matchLabels": {LABEL: "automl"}},
        "also": {"matchExpressions": [{"key": LABEL, "operator": "In", "values": ["automl"]}]},
        "redis": {"matchLabels": {LABEL: "redis"}},
        "not": {"matchExpressions": [{"key": LABEL, "operator": "DoesNotExist"}]},
    }
    for name, selector in selectors.items():
        status = {"disruptionsAllowed": 1}
        budget = {"metadata": {"name": name}, "spec": {"selector": selector}, "status": status}
        api.put(f"{budgets}/{name}", budget)
    explained = kubernetes.explain(Call("pause", first(kubernetes)))
    assert explained.endswith(
        "; PodDisruptionBudget mine allows 1, PodDisruptionBudget also allows 1"
    )


def test_the_card_says_where_budgets_may_not_be_seen(kubernetes: KubernetesPlatform, api: Api):
    api.wrong("GET", "/poddisruptionbudgets", 403, "forbidden")
    explained = kubernetes.explain(Call("kill", first(kubernetes)))
    assert explained.endswith("; PodDisruptionBudgets may not be seen")


def test_a_dry_run_names_every_object_and_touches_none(
    kubernetes: KubernetesPlatform, api: Api, capsys: pytest.CaptureFixture[str]
):
    dry = Guard(max_units=2, dry_run=True)
    with faults.outage(kubernetes, "automl", guard=dry):
        pass
    with faults.drain(kubernetes, "node1", guard=dry):
        pass
    with faults.cut_off(kubernetes, "redis", guard=dry) as cut:
        pass
    name = cut.changes[0].do.arguments["name"]
    said = [line.strip() for line in capsys.readouterr().out.splitlines() if line[0] == " "]
    assert said == [
        "in tars: Deployment automl scaled from 2 to 0; pods automl-0, automl-1 deleted without a "
        "grace",
        "workloads of automl in tars: scaled back, if a fault scaled them",
        "node node1: takes no more pods",
        "node node1: pods of tars evicted: automl-0 (automl), automl-1 (automl), redis-0 (redis)",
        "node node1: takes pods again",
        f"NetworkPolicy tars/{name}: made; nothing gets through to pods redis-0",
        f"NetworkPolicy tars/{name}: removed",
    ]
    assert {asked.method for asked in api.asked} == {"GET"}


def test_users_reach_a_service_at_the_address_of_its_service(
    kubernetes: KubernetesPlatform, api: Api
):
    spec = {"clusterIP": "10.96.0.9", "ports": [{"port": 8000}, {"port": 9000}]}
    for name, selector in (("headless", None), ("all", {}), ("automl", {LABEL: "automl"})):
        each = {"metadata": {"name": name}, "spec": spec | {"selector": selector}}
        api.put(f"{SERVICES}/{name}", each)
    assert kubernetes.address("automl") == "http://10.96.0.9:8000"
    with pytest.raises(PlatformFailed, match="no Service in tars stands before the pods of redis"):
        kubernetes.address("redis")


def test_a_result_says_which_cluster_and_no_secret(kubernetes: KubernetesPlatform, api: Api):
    about = kubernetes.describe()
    assert about["version"] == "Kubernetes v1.99.0"
    assert (about["context"], about["namespace"], about["nodes"]) == ("test", "tars", 1)
    api.wrong("GET", "/nodes", 403, "forbidden")
    assert kubernetes.describe()["nodes"] is None
    assert "a-token" not in json.dumps([about, kubernetes.reference(), repr(kubernetes)])


def test_it_is_found_again_by_its_reference(kubernetes: KubernetesPlatform):
    again = connect(json.loads(json.dumps(kubernetes.reference())))
    assert isinstance(again, KubernetesPlatform)
    assert again.units("automl") == kubernetes.units("automl")
    again.close()


RUN = """
import json, sys, time
from tarslab.chaos import faults
from tarslab.chaos.guards import Guard
from tarslab.chaos.platforms import connect
platform = connect(json.loads(sys.argv[1]))
with faults.outage(platform, "automl", guard=Guard(max_units=2)) as fault:
    print(fault._watchdog.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("watched", [True, False])
def test_an_outage_ends_where_its_run_is_killed(
    kubernetes: KubernetesPlatform, api: Api, journal: Journal, watched: bool
):
    where = json.dumps(kubernetes.reference())
    with subprocess.Popen(
        [sys.executable, "-c", RUN, where], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        watchdog = int(run.stdout.readline())
        assert replicas(api) == 0
        if not watched:
            os.kill(watchdog, signal.SIGKILL)
            wait_until_gone([watchdog])
        run.kill()
    if not watched:
        assert replicas(api) == 0
        assert [each.error for each in undo_all()] == [None]
    wait_until(lambda: journal.entries() == ())
    assert (replicas(api), held(api)) == (2, None)
    wait_until_gone([watchdog])
