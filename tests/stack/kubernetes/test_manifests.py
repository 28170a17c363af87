"""What a stack consists of on Kubernetes; ``tests/kubernetes`` has the API take it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tarslab.errors import BadArgument
from tarslab.stack.kubernetes.manifests import PORTS, REVISION, manifests
from tarslab.stack.kubernetes.rights import RIGHTS
from tarslab.stack.launching import SERVICES

Json = dict[str, Any]
GUIDE = Path(__file__).parents[3] / "docs" / "kubernetes.md"


def of(kind: str, made: list[Json]) -> dict[str, Json]:
    """The objects of a kind, by name."""
    return {each["metadata"]["name"]: each for each in made if each["kind"] == kind}


def pod(name: str, **options: Any) -> Json:
    """The pod of a Deployment."""
    made = of("Deployment", manifests("tars", "image:1", **options))
    return dict(made[name]["spec"]["template"]["spec"])


def variables(name: str, **options: Any) -> Json:
    """The environment of its container, with references to secrets as they are."""
    (container,) = pod(name, **options)["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.mark.parametrize("name", PORTS)
def test_a_pod_is_an_ordinary_user_who_may_write_to_its_volumes_alone(name: str):
    its = pod(name)
    (container,) = its["containers"]
    assert its["securityContext"]["runAsNonRoot"] is True
    assert its["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {each["mountPath"] for each in container["volumeMounts"]} == {"/data", "/tmp"}
    assert {"readinessProbe", "livenessProbe"} <= container.keys()
    assert container["resources"]["limits"].keys() == {"memory"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_probed_at_its_own_health_routes(name: str):
    (container,) = pod(name)["containers"]
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "startup")
    }
    assert paths == {"readiness": "/health/ready", "startup": "/health/live"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"


def test_orchestration_alone_is_given_what_signs_and_the_password_of_the_admin():
    secret = {
        name: {key for key, value in variables(name).items() if isinstance(value, dict)}
        for name in SERVICES
    }
    shared = {"REDIS_PASSWORD", "TARSLAB_STACK_SECRET"}
    own = {"TARSLAB_STACK_SIGNING_SECRET", "TARSLAB_STACK_ADMIN_PASSWORD"}
    assert secret == {"orchestration": shared | own, "automl": shared, "hypersync": shared}


def test_the_password_of_redis_stands_before_the_url_that_it_is_put_into():
    names = list(variables("automl"))
    assert names.index("REDIS_PASSWORD") < names.index("TARSLAB_STACK_REDIS_URL")
    url = variables("automl", addresses={"redis": "10.96.0.7"})["TARSLAB_STACK_REDIS_URL"]
    assert url == "redis://:$(REDIS_PASSWORD)@10.96.0.7:6379/0"


def test_services_find_each_other_by_name_or_by_address():
    assert variables("orchestration")["TARSLAB_STACK_AUTOML_URL"] == "http://automl:8000"
    given = variables("orchestration", addresses={"automl": "[fd00::7]"})
    assert given["TARSLAB_STACK_AUTOML_URL"] == "http://[fd00::7]:8000"


def test_settings_are_told_to_every_service_and_nothing_in_them_is_put_in():
    for name in SERVICES:
        given = variables(name, settings={"access_seconds": 60, "issuer": "$(REDIS_PASSWORD)"})
        assert given["TARSLAB_STACK_ACCESS_SECONDS"] == "60"
        # Kubernetes makes one dollar of two, and leaves what follows as it is.
        assert given["TARSLAB_STACK_ISSUER"] == "$$(REDIS_PASSWORD)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"replicas": 0}, "replicas must be at least 1, not 0"),
        ({"settings": {"secret": "mine"}}, "secret is the stack's own to say"),
        ({"settings": {"access_seconds": 1000}}, "TARSLAB_STACK_ACCESS_SECONDS"),
        ({"settings": {"no_such": 1}}, "TARSLAB_STACK_NO_SUCH"),
    ],
)
def test_what_no_service_would_take_is_refused(options: Json, said: str):
    with pytest.raises(BadArgument, match=said):
        manifests("tars", "image:1", **options)


def test_each_service_may_be_disrupted_a_pod_at_a_time_where_it_has_several():
    budgets = of("PodDisruptionBudget", manifests("tars", "image:1", policy="policy/v1beta1"))
    assert budgets.keys() == set(SERVICES)
    assert {each["apiVersion"] for each in budgets.values()} == {"policy/v1beta1"}
    assert not of("PodDisruptionBudget", manifests("tars", "image:1", policy=None))
    # It would hold up for good whoever drains the node.
    assert not of("PodDisruptionBudget", manifests("tars", "image:1", replicas=1))


def test_redis_keeps_its_data_in_a_claim_or_with_its_pod():
    assert pod("redis")["volumes"][0]["persistentVolumeClaim"] == {"claimName": "redis"}
    assert "redis" in of("PersistentVolumeClaim", manifests("tars", "image:1"))
    assert pod("redis", volume=False)["volumes"][0] == {"name": "data", "emptyDir": {}}
    assert not of("PersistentVolumeClaim", manifests("tars", "image:1", volume=False))


@pytest.mark.parametrize("name", ["redis", *SERVICES])
def test_a_proxy_stands_where_the_service_is_reached_and_the_kubelet_asks_behind_it(name: str):
    service, proxy = pod(name, proxied=True)["containers"]
    (front,) = of("Service", manifests("tars", "image:1", proxied=True))[name]["spec"]["ports"]
    assert proxy["ports"] == [{"containerPort": front["targetPort"], "protocol": "TCP"}]
    (behind,) = (port["containerPort"] for port in service["ports"])
    assert proxy["command"][-3:] == [name, str(front["targetPort"]), str(behind)]
    ports = {each["name"]: each.get("value") for each in service["env"]}
    assert str(behind) in (ports.get("TARSLAB_STACK_PORT"), ports.get("REDIS_PORT"))
    (asked,) = (
        service["livenessProbe"][how]["port"]
        for how in ("httpGet", "tcpSocket")
        if how in service["livenessProbe"]
    )
    assert asked == behind != front["targetPort"]
    assert proxy["securityContext"] == service["securityContext"]


def test_a_revision_is_another_where_the_pods_are():
    def revisions(image: str, **options: Any) -> dict[str, str]:
        made = of("Deployment", manifests("tars", image, **options))
        return {
            name: each["spec"]["template"]["metadata"]["labels"][REVISION]
            for name, each in made.items()
        }

    first = revisions("image:1")
    assert revisions("image:1", replicas=5) == first
    assert not first.items() & revisions("image:2").items()


def test_no_secret_stands_in_a_manifest():
    assert not of("Secret", manifests("tars", "image:1"))
    text = json.dumps(manifests("tars", "image:1"))
    assert "stringData" not in text


def test_the_chaos_runner_has_no_right_that_the_guide_does_not_give_the_reason_of():
    (role,) = of("Role", manifests("tars", "image:1")).values()
    assert len(role["rules"]) == len(RIGHTS)
    told = GUIDE.read_text()
    for rule, right in zip(role["rules"], RIGHTS, strict=True):
        assert not {"*", "secrets", "nodes"} & {*rule["resources"], *rule["verbs"]}
        resources, verbs = ", ".join(right.resources), ", ".join(right.verbs)
        assert f"| `{resources}` | {verbs} | {right.reason} |" in told
