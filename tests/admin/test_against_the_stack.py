"""Both clients on the real stack: every resource, a session that expires, and Redis out."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from inspect import isawaitable
from typing import Any

import pytest

import tarslab as tl
from tarslab.admin import (
    AdminClient,
    AsyncAdminClient,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Secret,
    Unauthorized,
    Unavailable,
)
from tarslab.admin.endpoints import Resource
from tarslab.admin.pages import AsyncPages
from tarslab.stack import Stack
from tests.admin.service import LIMIT

MANY = 50


class Resolved:
    """An asynchronous client, or a resource of one, whose calls give their results at once."""

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self._inner = inner
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if isinstance(member, Resource | AsyncPages) or callable(member):
            return Resolved(member, self._runner)
        return member

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        came = self._inner(*args, **kwargs)
        if isawaitable(came):
            return self._runner.run(self._awaited(came))
        return Resolved(came, self._runner) if isinstance(came, AsyncPages) else came

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        try:
            return self._runner.run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    async def _awaited(self, came: Any) -> Any:
        return await came


Open = Callable[..., Any]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack for the tests of this file."""
    with tl.stack.up() as stack:
        yield stack


@pytest.fixture(params=[AdminClient, AsyncAdminClient], ids=["blocking", "asyncio"])
def open_client(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Makes clients of one kind, with the arguments of AdminClient, and closes them."""
    with asyncio.Runner() as runner:
        opened: list[Any] = []

        def begin(*args: Any, **kwargs: Any) -> Any:
            opened.append(request.param(*args, **kwargs))
            if request.param is AdminClient:
                return opened[-1]
            return Resolved(opened[-1], runner)

        yield begin
        for client in opened:
            if isinstance(client, AdminClient):
                client.close()
            else:
                runner.run(client.aclose())


@pytest.fixture
def admin(open_client: Open, stack: Stack) -> Any:
    """A client of the user admin."""
    return open_client(stack.url, username="admin", password=stack.admin_password)


def test_who_one_is(admin: Any) -> None:
    me = admin.me()
    assert (me.name, me.kind, me.role) == ("admin", "user", "admin")
    assert "users:write" in me.scopes
    assert admin.mode == "normal"


def test_agents(admin: Any) -> None:
    agents = {agent.id: agent for agent in admin.agents.list()}
    assert set(agents) == {"a2c", "ddpg", "dqn", "ppo"}
    assert list(admin.agents.list().to_frame()["id"]) == sorted(agents)
    ppo = admin.agents.get("ppo")
    assert ppo.environment == agents["ppo"].environment == "CartPole-v1"
    assert [version.version for version in ppo.versions] == [1, 2, 3, 4, 5]
    assert 0 < len(ppo.reward.step) <= 60
    with pytest.raises(NotFound):
        admin.agents.get("nobody")


def test_metrics_of_an_agent(admin: Any) -> None:
    metrics = admin.agents.metrics("ppo", ["reward", "entropy"], version=2, points=50)
    assert metrics.version == 2
    assert set(metrics.metrics) == {"reward", "entropy"} <= set(metrics.available)
    frame = metrics.to_frame()
    assert set(frame["metric"]) == {"reward", "entropy"}
    assert frame.groupby("metric")["step"].apply(lambda steps: steps.is_monotonic_increasing).all()
    everything = admin.agents.metrics("ppo")
    assert set(everything.metrics) == set(everything.available)


def test_a_version_is_promoted_and_rolled_back(admin: Any) -> None:
    before = admin.agents.get("a2c").version
    promoted = admin.agents.promote("a2c", 4)
    assert promoted.version == 4
    assert (promoted.promotions[-1].by, promoted.promotions[-1].previous) == ("admin", before)
    with pytest.raises(Conflict):
        admin.agents.promote("a2c", 4)
    with pytest.raises(NotFound):
        admin.agents.promote("a2c", 99)
    back = admin.agents.rollback("a2c")
    assert back.version == before
    assert back.promotions[-1].rollback


def test_an_api_key_from_its_making_to_its_end(admin: Any, open_client: Open, stack: Stack) -> None:
    made = admin.api_keys.create("ci", ["agents:read"], expires_in=3600, idempotency_key=own_key())
    assert isinstance(made.key, Secret)
    keyed = open_client(stack.url, api_key=made.key)
    assert keyed.me().kind == "api_key"
    with pytest.raises(Forbidden):
        keyed.jwt.status()
    fresh = admin.api_keys.rotate(made.id, overlap_seconds=0)
    assert fresh.id == made.id
    assert fresh.key != made.key
    with pytest.raises(Unauthorized):
        keyed.me()
    assert admin.api_keys.get(made.id).last_used_at is not None
    assert made.id in [key.id for key in admin.api_keys.list()]
    admin.api_keys.revoke(made.id)
    assert admin.api_keys.get(made.id).state == "revoked"
    with pytest.raises(Conflict):
        admin.api_keys.rotate(made.id)
    with pytest.raises(NotFound):
        admin.api_keys.revoke("0" * 32)


def test_a_create_with_the_same_idempotency_key_is_the_same(admin: Any) -> None:
    key = own_key()
    first = admin.api_keys.create("once", ["agents:read"], idempotency_key=key)
    again = admin.api_keys.create("once", ["agents:read"], idempotency_key=key)
    assert (again.id, again.key) == (first.id, first.key)
    with pytest.raises(Invalid):
        admin.api_keys.create("twice", ["agents:read"], idempotency_key=key)


def own_key() -> str:
    return f"test-{time.time_ns()}"


def test_signing_keys_from_rehearsal_to_invalidation(admin: Any, stack: Stack) -> None:
    ring = admin.jwt.status()
    assert ring.algorithm == "ES256"
    # What is signed, what a clock may be off, and what a verifier may keep of the keys.
    parts = (ring.access_seconds, ring.skew_seconds, ring.jwks_cache_seconds)
    assert ring.minimum_grace_seconds == sum(parts)
    stack.clock.advance(ring.jwks_cache_seconds + 1)
    active = next(key.kid for key in ring.keys if key.state == "active")
    rehearsed = admin.jwt.rotate(grace_seconds=1, rehearse=True)
    assert rehearsed.rehearsal
    assert f"{ring.minimum_grace_seconds:g}" in rehearsed.refused
    with pytest.raises(Invalid) as caught:
        admin.jwt.rotate(grace_seconds=1)
    assert f"{ring.minimum_grace_seconds:g}" in caught.value.fields["grace_seconds"]
    rotated = admin.jwt.rotate()
    assert (rotated.retiring, rotated.refused) == (active, None)
    assert rotated.live_tokens >= 1
    assert rotated.broken_tokens == ()
    with pytest.raises(Conflict) as early:
        admin.jwt.rotate()
    assert early.value.retry_after is not None
    assert {key["kid"] for key in admin.jwt.jwks().keys} >= {rotated.active, rotated.next}
    states = admin.jwt.status().to_frame().set_index("kid")["state"]
    assert states[rotated.retiring] == "grace"
    # This breaks the client's own token: it is renewed.
    assert admin.jwt.invalidate(active, reason="a test").active == rotated.active
    assert admin.me().name == "admin"
    with pytest.raises(Conflict):
        admin.jwt.invalidate(active)
    with pytest.raises(NotFound):
        admin.jwt.invalidate("0" * 32)


def test_the_audit_log_is_filtered(admin: Any, open_client: Open, stack: Stack) -> None:
    made = admin.api_keys.create("audited", ["agents:read"])
    event = next(admin.audit.list(action="api_keys.create"))
    assert (event.actor, event.result, event.mode) == ("admin", "ok", "normal")
    assert made.id in event.target
    every = {"actor": "admin", "target": event.target, "result": "ok", "since": event.time - 1}
    assert event.seq in [found.seq for found in admin.audit.list(**every)]
    for filters in ({"actor": "nobody"}, {"until": 1.0}, {"since": event.time + 3600}):
        assert list(admin.audit.list(**filters)) == []
    # What an error says of its request is what the log knows it by.
    with pytest.raises(Forbidden) as caught:
        open_client(stack.url, api_key=made.key).jwt.status()
    (denied,) = admin.audit.list(request_id=caught.value.request_id)
    assert denied.result == "denied"


def test_the_audit_log_is_gone_through_in_pages_and_is_whole(admin: Any) -> None:
    for number in range(120):
        admin.agents.promote("ddpg", 2 + number % 2)
    seqs = [event.seq for event in admin.audit.list()]
    assert len(seqs) > 120
    assert seqs == list(range(max(seqs), max(seqs) - len(seqs), -1))
    assert len(admin.audit.list(action="agents.promote").to_frame()) >= 120
    verified = admin.audit.verify()
    assert verified.valid
    assert verified.first_bad is None
    assert verified.records >= len(seqs)


def test_studies_that_were_recorded(admin: Any) -> None:
    names = [study.name for study in admin.studies.list()]
    assert names == list(admin.studies.list().to_frame()["name"])
    for name in names:
        study = admin.studies.get(name)
        assert study.state == "recorded"
        best = admin.studies.best(name)
        if len(study.objectives) == 1:
            # Several where they are equal.
            assert study.best.number in [trial.number for trial in best]
            assert {trial.values for trial in best} == {study.best.values}
        else:
            assert len(best) > 1
            assert study.best is None
    trials = admin.studies.trials(names[0]).to_frame()
    assert len(trials) == admin.studies.get(names[0]).trials
    complete = list(admin.studies.trials(names[0], state="COMPLETE"))
    assert len(complete) == (trials["state"] == "COMPLETE").sum()
    with pytest.raises(NotFound):
        admin.studies.get("none")


def test_a_search_is_started_and_stopped(admin: Any) -> None:
    name = own_key()
    started = admin.studies.start(name, "digits", 1000, seed=1)
    assert (started.name, started.state) == (name, "running")
    with pytest.raises(Conflict):
        admin.studies.start(name, "digits", 5)
    wait_until(lambda: admin.studies.get(name).finished >= 1)
    assert admin.studies.best(name)[0].params
    assert admin.studies.stop(name).name == name
    wait_until(lambda: admin.studies.get(name).state == "stopped")
    with pytest.raises(Conflict):
        admin.studies.stop(name)


def test_a_proposal_is_approved_and_applied_and_another_rejected(admin: Any) -> None:
    study = next(study for study in admin.studies.list() if study.best)
    wanted = admin.proposals.create("dqn", study.name, study.best.number, note="better")
    assert (wanted.state, wanted.proposed_by) == ("pending", "admin")
    assert wanted.params == study.best.params
    assert admin.proposals.approve(wanted.id, "yes").reason == "yes"
    assert wanted.id in admin.agents.reload("dqn").applied
    assert admin.proposals.get(wanted.id).state == "applied"
    other = admin.proposals.create("dqn", study.name, study.best.number)
    assert admin.proposals.reject(other.id, "no").state == "rejected"
    with pytest.raises(Conflict):
        admin.proposals.approve(other.id)
    rejected = admin.proposals.list(agent="dqn", state="rejected")
    assert other.id in [proposal.id for proposal in rejected]
    with pytest.raises(NotFound):
        admin.proposals.get("0" * 32)


def test_a_user_comes_and_goes(admin: Any, open_client: Open, stack: Stack) -> None:
    made = admin.users.create("viktor", Secret("twelve-letters"), "viewer")
    assert made.role == "viewer"
    assert list(admin.users.list().to_frame()["username"]) == ["admin", "viktor"]
    viewer = open_client(stack.url)
    assert viewer.login("viktor", "twelve-letters").role == "viewer"
    with pytest.raises(Forbidden):
        viewer.users.list().to_frame()
    with pytest.raises(Invalid) as caught:
        admin.users.create("olga", "hunter2", "king")
    assert {"password", "role"} <= {field.rpartition(".")[2] for field in caught.value.fields}
    assert "hunter2" not in str(caught.value) + repr(caught.value.problem)
    admin.users.delete("viktor")
    with pytest.raises(Unauthorized):
        viewer.me()
    with pytest.raises(Unauthorized, match="login"):
        open_client(stack.url, username="admin", password="not-the-password").me()


def test_health_and_cleanup(admin: Any, open_client: Open, stack: Stack) -> None:
    ready = open_client(stack.url).health.ready()
    assert (ready.service, ready.mode, ready.store.up) == ("orchestration", "normal", True)
    services = admin.health.services()
    assert set(services.services) == {"orchestration", "automl", "hypersync"}
    assert services.to_frame()["ready"].all()
    rehearsed = admin.maintenance.cleanup(dry_run=True)
    assert rehearsed.dry_run
    done = admin.maintenance.cleanup()
    assert not done.dry_run
    assert done.healthy_after


def test_logout_ends_the_session_on_the_service(admin: Any) -> None:
    admin.me()
    admin.logout()
    with pytest.raises(Unauthorized, match="logged out"):
        admin.me()
    admin.login()
    assert admin.me().name == "admin"


def test_fifty_threads_on_an_expired_session_make_one_refresh(stack: Stack) -> None:
    with (
        AdminClient(stack.url, username="admin", password=stack.admin_password) as admin,
        ThreadPoolExecutor(MANY) as threads,
    ):
        before = logged(admin)
        ring = admin.jwt.status()
        stack.clock.advance(ring.access_seconds + ring.skew_seconds + 1)
        futures = [threads.submit(admin.agents.get, "ppo") for _ in range(MANY)]
        assert {future.result(LIMIT).id for future in futures} == {"ppo"}
        assert logged(admin) == [*before, "auth.refresh"]


def test_fifty_tasks_on_an_expired_session_make_one_refresh(stack: Stack) -> None:
    async def main() -> None:
        settings: dict[str, Any] = {"username": "admin", "password": stack.admin_password}
        async with AsyncAdminClient(stack.url, **settings) as admin:
            ring = await admin.jwt.status()
            with AdminClient(stack.url, **settings) as other:
                before = logged(other)
            stack.clock.advance(ring.access_seconds + ring.skew_seconds + 1)
            agents = await asyncio.gather(*(admin.agents.get("ppo") for _ in range(MANY)))
            assert {agent.id for agent in agents} == {"ppo"}
            actions = [e.action async for e in admin.audit.list() if e.action.startswith("auth.")]
            assert actions[::-1] == [*before, "auth.refresh"]

    asyncio.run(main())


def logged(admin: AdminClient) -> list[str]:
    """What happened to sessions, the oldest first."""
    events = [event for event in admin.audit.list() if event.action.startswith("auth.")]
    return [event.action for event in reversed(events)]


def test_with_redis_out_calls_go_on_in_legacy_mode_and_changes_are_refused(
    open_client: Open,
) -> None:
    with tl.stack.up() as stack:
        settings = {"username": "admin", "password": stack.admin_password, "retries": 0}
        admin, unkept = open_client(stack.url, **settings), open_client(stack.url, retries=0)
        unkept.login("admin", stack.admin_password)
        ring = admin.jwt.status()
        stack.stop("redis")
        wait_until(lambda: admin.me() and admin.mode == "legacy")
        with pytest.raises(Unavailable) as caught:
            admin.api_keys.create("no", ["agents:read"])
        assert caught.value.retry_after is not None
        assert not caught.value.maybe_done
        # No refresh in legacy mode: with a password there is a login instead.
        stack.clock.advance(ring.access_seconds + ring.skew_seconds + 1)
        assert admin.me().name == "admin"
        with pytest.raises(Unavailable):
            unkept.me()
        assert admin.login().refresh_token is None
        stack.start("redis")
        wait_until(lambda: admin.health.ready().mode == "normal")
        # The refresh token that was refused was not used up.
        assert unkept.me().name == "admin"
        assert admin.api_keys.create("yes", ["agents:read"]).state == "active"
        events = [event for event in admin.audit.list(action="auth.login") if event.queued]
        assert {event.mode for event in events} == {"legacy"}


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
