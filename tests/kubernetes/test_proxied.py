"""A stack with a proxy in each pod, in a real cluster; it is the one that the tests share."""

import time

import httpx
import pytest

import tarslab as tl
from tarslab.chaos import faults
from tarslab.chaos.guards import Guard
from tarslab.chaos.platforms import KubernetesPlatform, connect
from tarslab.chaos.undo import new_id
from tarslab.stack import Deployment
from tests.kubernetes.real import IMAGE, KUBECONFIG, NEEDS_CLUSTER
from tests.stack.waiting import LIMIT, wait_until

pytestmark = [pytest.mark.kubernetes, NEEDS_CLUSTER]

SLOW = 0.5
"""Seconds."""


@pytest.fixture(scope="module")
def proxied(context: str, deployed: Deployment) -> Deployment:
    """The stack, brought up to date with proxies."""
    return tl.stack.deploy(context, deployed.namespace, IMAGE, kubeconfig=KUBECONFIG, proxied=True)


def took(client: httpx.Client) -> float:
    """Seconds until an answer, be it on a connection that was open before."""
    begun = time.monotonic()
    client.get("/health/live").raise_for_status()
    return time.monotonic() - begun


def mode(deployed: Deployment) -> str:
    """What orchestration says that it is in."""
    url = f"{deployed.url}/health/ready"
    return httpx.get(url, timeout=LIMIT, trust_env=False).headers["X-Mode"]


def test_connections_are_slow_also_those_open_before_until_another_process_undoes_it(
    proxied: Deployment, runner: KubernetesPlatform
):
    name = new_id()
    attributes = {"latency": int(SLOW * 1000), "jitter": 0}
    with httpx.Client(base_url=proxied.urls["hypersync"], timeout=LIMIT, trust_env=False) as open_:
        took(open_)
        runner.degrade("hypersync", name=name, toxic="latency", attributes=attributes)
        # No answer comes before the delay is over, however fast the machine is.
        assert took(open_) >= SLOW
        connect(runner.reference()).restore("hypersync", name=name)
        wait_until(lambda: took(open_) < SLOW)


def test_services_go_on_in_legacy_mode_while_redis_is_cut_off(
    proxied: Deployment, runner: KubernetesPlatform
):
    with faults.cut_off(runner, "redis", guard=Guard(max_seconds=120)):
        wait_until(lambda: mode(proxied) == "legacy")
    wait_until(lambda: mode(proxied) == "normal")
