"""The embedded stack as a platform: its real processes, and the proxy before them."""

import json
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis.exceptions import ConnectionError, RedisError

import tarslab as tl
from tarslab.chaos.platforms import (
    Call,
    LocalPlatform,
    Platform,
    PlatformFailed,
    PlatformGone,
    Unit,
    connect,
)
from tarslab.chaos.platforms.platform import Verb
from tarslab.errors import BadArgument
from tarslab.stack import Stack
from tarslab.stack.places import Place
from tests.stack.waiting import alive, wait_until

SERVICES = ("redis", "orchestration", "automl", "hypersync")


def unit(platform: LocalPlatform, service: str) -> Unit:
    """The one unit of a service."""
    (found,) = platform.units(service)
    return found


def health(platform: LocalPlatform, service: str, timeout: float = 30.0) -> dict[str, object]:
    """What a service says of itself; OSError where it does not answer."""
    url = platform.address(service) + "/health/ready"
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return dict(json.load(answer))


def test_it_is_a_platform(platform: LocalPlatform):
    assert isinstance(platform, Platform)
    assert platform.services == SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_one_unit_its_process(platform: LocalPlatform, stack: Stack, service: str):
    found = unit(platform, service)
    pids = {status.name: status.pid for status in stack.status()}
    assert (found.name, found.id, found.state) == (service, str(pids[service]), "ready")
    assert found.started == psutil.Process(pids[service]).create_time()


def test_a_service_that_is_not_there_is_named_with_those_that_are(platform: LocalPlatform):
    said = "service must be one of redis, orchestration, automl, hypersync, not 'proxy'"
    for call in (platform.units, platform.stop, platform.start, platform.address):
        with pytest.raises(BadArgument, match=said):
            call("proxy")


def test_a_process_that_is_killed_is_started_again_and_not_taken_for_its_successor(
    platform: LocalPlatform,
):
    before = unit(platform, "automl")
    platform.kill(before)
    assert not alive(int(before.id))
    platform.wait_ready("automl")
    now = unit(platform, "automl")
    assert now.id != before.id
    for gone in (before, Unit("automl", "automl", now.id, "ready", (now.started or 0) - 60)):
        for verb in (platform.kill, platform.pause):
            with pytest.raises(PlatformFailed, match=f"process {gone.id} .automl. is gone"):
                verb(gone)
        platform.resume(gone)
    assert unit(platform, "automl") == now


def test_a_process_may_end_by_itself_within_a_grace(platform: LocalPlatform, stack: Stack):
    before = unit(platform, "hypersync")
    platform.kill(before, grace=30.0)
    platform.wait_ready("hypersync")
    assert f"hypersync: process {before.id} died (signal 15)" in stack.logs("supervisor")


def test_a_process_that_does_not_end_within_its_grace_is_killed(
    platform: LocalPlatform, stack: Stack
):
    before = unit(platform, "hypersync")
    platform.pause(before)
    platform.kill(before, grace=0.2)
    platform.wait_ready("hypersync")
    assert f"hypersync: process {before.id} died (signal 9)" in stack.logs("supervisor")


def test_a_paused_process_holds_its_connections_and_does_not_answer(platform: LocalPlatform):
    paused = unit(platform, "automl")
    platform.pause(paused)
    assert unit(platform, "automl").state == "paused"
    with pytest.raises(TimeoutError):
        health(platform, "automl", timeout=0.5)
    platform.resume(paused)
    platform.resume(paused)
    assert health(platform, "automl")["status"] == "ready"
    assert unit(platform, "automl").id == paused.id


def test_a_process_that_hangs_does_not_hold_up_a_look_at_another(
    platform: LocalPlatform, stack: Stack
):
    paused = unit(platform, "automl")
    platform.pause(paused)
    assert unit(platform, "redis").state == "ready"
    assert [one.name for one in stack.status("hypersync")] == ["hypersync"]
    recorded = Place(stack.folder).state()
    assert recorded is not None
    # It would be unready if it had been asked.
    states = {one["name"]: one["state"] for one in recorded["processes"]}
    assert states["automl"] == "ready"
    assert {one.name: one.state for one in stack.status()}["automl"] == "unready"
    platform.resume(paused)


def test_a_service_is_held_down_until_it_is_started(platform: LocalPlatform):
    before = unit(platform, "redis")
    platform.stop("redis")
    assert platform.units("redis") == ()
    assert not alive(int(before.id))
    with closing(Redis.from_url(platform.address("redis"))) as redis:
        with pytest.raises(ConnectionError):
            redis.ping()
        platform.start("redis")
        platform.start("redis")
        platform.wait_ready("redis")
        assert redis.ping()


@pytest.mark.parametrize("grace", [-1, 6])
def test_a_grace_that_the_supervisor_does_not_give_is_told(stack: Stack, grace: float):
    with pytest.raises(BadArgument, match=f"grace must be 0 to 5 seconds, not {grace}"):
        stack.stop("redis", grace=grace)


def test_a_service_is_restarted(platform: LocalPlatform):
    before = unit(platform, "automl")
    platform.restart("automl")
    platform.wait_ready("automl")
    assert unit(platform, "automl").id != before.id


def test_what_does_not_get_ready_in_time_is_told(platform: LocalPlatform):
    platform.stop("automl")
    with pytest.raises(PlatformFailed, match=r"automl is stopped after 0.1 s"):
        platform.wait_ready("automl", timeout=0.1)
    platform.start("automl")


def test_redis_answers_the_services_later_while_it_is_slowed_down(platform: LocalPlatform):
    """They reach it through the proxy, and say how long a round trip takes."""

    def seconds() -> float:
        store = health(platform, "orchestration")["store"]
        assert isinstance(store, dict)
        return float(store["seconds"])

    platform.degrade("redis", name="slow", toxic="latency", attributes={"latency": 120})
    assert seconds() >= 0.119
    platform.restore("redis", name="slow")
    platform.restore("redis", name="slow")
    wait_until(lambda: seconds() < 0.1)


def test_a_toxic_may_act_on_what_is_sent_to_a_service(platform: LocalPlatform):
    platform.degrade(
        "automl", name="deaf", toxic="limit_data", attributes={"bytes": 0}, stream="upstream"
    )
    with pytest.raises(OSError, match=r"Remote end closed|reset by peer"):
        health(platform, "automl")
    platform.restore("automl", name="deaf")
    assert health(platform, "automl")["status"] == "ready"


def test_nothing_comes_from_a_service_that_is_cut_off_and_its_process_lives(
    platform: LocalPlatform,
):
    before = unit(platform, "automl")
    platform.cut_off("automl", name="cut")
    with pytest.raises(TimeoutError):
        health(platform, "automl", timeout=0.5)
    platform.restore("automl", name="cut")
    assert health(platform, "automl")["status"] == "ready"
    assert unit(platform, "automl") == before


def test_the_services_go_on_in_legacy_mode_while_redis_is_cut_off(platform: LocalPlatform):
    platform.cut_off("redis", name="cut")
    wait_until(lambda: health(platform, "orchestration")["mode"] == "legacy")
    platform.restore("redis", name="cut")
    wait_until(lambda: health(platform, "orchestration")["mode"] == "normal")


def test_a_toxic_that_the_proxy_refuses_is_told(platform: LocalPlatform):
    with pytest.raises(PlatformFailed, match="the proxy refused: invalid toxic type"):
        platform.degrade("redis", name="x", toxic="rain", attributes={})


def test_a_call_is_explained_by_the_very_process_or_connections(platform: LocalPlatform):
    automl = unit(platform, "automl")
    toxic = {
        "name": "x",
        "toxic": "latency",
        "attributes": {"latency": 300, "jitter": 5},
        "toxicity": 0.5,
    }

    def of(verb: Verb, service: str, **arguments: object) -> str:
        return platform.explain(Call(verb, service, arguments))

    process = f"process {automl.id} (automl)"
    assert platform.explain(Call("kill", automl)) == f"{process}: SIGKILL"
    graceful = platform.explain(Call("kill", automl, {"grace": 2.0}))
    assert graceful == f"{process}: SIGTERM, and SIGKILL after 2 s"
    assert platform.explain(Call("pause", automl)) == f"{process}: SIGSTOP"
    assert platform.explain(Call("resume", automl)) == f"{process}: SIGCONT"
    assert of("stop", "automl") == f"{process}: SIGKILL, and held down"
    assert of("degrade", "redis", **toxic) == (
        "connections to redis: latency downstream (latency=300, jitter=5), on 50% of them"
    )
    assert of("cut_off", "redis", name="x") == (
        "connections to redis: nothing gets through, either way"
    )
    assert of("restore", "redis", name="x") == "connections to redis: as they were"


def test_a_result_says_where_it_was_measured_and_no_secret(platform: LocalPlatform, stack: Stack):
    about = platform.describe()
    assert about["version"] == f"tarslab {tl.__version__}"
    assert (about["platform"], about["proxied"]) == ("local", True)
    said = json.dumps([about, platform.reference(), repr(platform)])
    assert stack.redis_url not in said
    assert stack.admin_password not in said


def test_it_is_found_again_by_its_reference(platform: LocalPlatform):
    again = connect(json.loads(json.dumps(platform.reference())))
    assert again.units("redis") == platform.units("redis")


def test_a_stack_without_a_proxy_says_how_to_come_by_one_and_one_that_is_down_is_gone(
    tmp_path: Path,
):
    with tl.stack.up(folder=tmp_path / "stack") as plain:
        platform = LocalPlatform(plain)
        assert platform.describe()["proxied"] is False
        with pytest.raises(PlatformFailed, match=r"tl\.stack\.up\(proxied=True\)"):
            platform.cut_off("redis", name="x")
        platform.restore("redis", name="x")
        # A plan says so too.
        for verb in ("degrade", "cut_off"):
            with pytest.raises(PlatformFailed, match=r"tl\.stack\.up\(proxied=True\)"):
                platform.explain(Call(verb, "redis", {"name": "x"}))
        assert "as they were" in platform.explain(Call("restore", "redis", {"name": "x"}))
    for work in (
        lambda: platform.units("redis"),
        lambda: platform.start("redis"),
        lambda: connect(platform.reference()),
    ):
        with pytest.raises(PlatformGone):
            work()


def test_redis_is_reached_with_its_password_alone(platform: LocalPlatform):
    host, _, rest = platform.address("redis").rpartition("@")
    assert host
    with closing(Redis.from_url(f"redis://{rest}")) as nobody, pytest.raises(RedisError):
        nobody.ping()


def test_a_stack_that_stays_up_by_itself_may_have_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    command = [sys.executable, "-m", "tarslab", "stack", "up", "--proxied"]
    subprocess.run(command, check=True, stdout=subprocess.PIPE)
    place = Place(tmp_path / "tarslab" / "stacks" / "default")
    try:
        platform = LocalPlatform.at(place.folder)
        assert platform.describe()["proxied"] is True
        platform.cut_off("automl", name="cut")
        with pytest.raises(TimeoutError):
            health(platform, "automl", timeout=0.5)
        platform.restore("automl", name="cut")
        assert health(platform, "automl")["status"] == "ready"
    finally:
        place.end()
