"""What keeps a fault within bounds."""

import pytest

from tarslab.chaos.guards import Guard, Refused, check_cluster, check_host
from tarslab.chaos.platforms import Unit
from tarslab.errors import BadArgument


def units(*names: str) -> list[Unit]:
    """Ready units; each name begins with that of its service."""
    return [Unit(name, name.partition("-")[0], name, "ready") for name in names]


def test_one_unit_of_a_service_may_be_touched():
    Guard().check(units("web-1", "db-1"))


def test_more_are_refused_unless_so_many_are_named():
    said = (
        r"2 units of web would be touched \(web-1, web-2\), and 1 may be: name max_units=2 if you "
        "mean it"
    )
    with pytest.raises(Refused, match=said):
        Guard().check(units("web-1", "web-2", "db-1"))
    Guard(max_units=2).check(units("web-1", "web-2", "db-1"))


def test_units_that_are_under_a_fault_already_count_once():
    Guard().check(units("web-1"), [("web", "web-1"), ("db", "db-1")])
    with pytest.raises(Refused, match="2 units of web"):
        Guard().check(units("web-1"), [("web", "web-2")])


@pytest.mark.parametrize("wrong", [{"max_units": 0}, {"max_seconds": 0}, {"max_seconds": -1}])
def test_a_guard_that_would_let_nothing_through_is_a_mistake(wrong: dict[str, int]):
    (name,) = wrong
    with pytest.raises(BadArgument, match=f"{name} must be"):
        Guard(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_every_fault_has_an_end(seconds: float):
    with pytest.raises(BadArgument, match="max_seconds must be"):
        Guard(max_seconds=seconds)


def test_a_context_has_to_be_allowed_by_its_very_name():
    check_cluster("kind-test", "tars", ["kind-test"])
    for allow in ([], ["kind"], ["KIND-TEST"], ["other"]):
        with pytest.raises(Refused, match=r"name it by allow=\['kind-test'\]"):
            check_cluster("kind-test", "tars", allow)


@pytest.mark.parametrize(
    "namespace", ["kube-system", "kube-public", "kube-node-lease", "kube-anything", "istio-system"]
)
def test_namespaces_that_keep_a_cluster_going_are_refused(namespace: str):
    with pytest.raises(Refused, match=f"the namespace '{namespace}' .* is protected"):
        check_cluster("kind-test", namespace, ["kind-test"])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80", "http://127.9.9.9", "http://localhost:1", "http://[::1]:80"]
)
def test_loopback_needs_no_leave(url: str):
    check_host(url)


def test_another_host_has_to_be_allowed_by_its_name():
    url = "https://tars.example.org:8443/health"
    with pytest.raises(Refused, match=r"name it by allow=\['tars.example.org'\]"):
        check_host(url, ["example.org"])
    check_host(url, ["tars.example.org"])
    check_host(url, ["tars.example.org:8443"])
    with pytest.raises(Refused):
        check_host(url, ["tars.example.org:80"])


@pytest.mark.parametrize("url", ["tars", "http://", "http://[::1", "http://host:port"])
def test_what_is_no_url_is_told(url: str):
    with pytest.raises(BadArgument, match="must be such as"):
        check_host(url)
