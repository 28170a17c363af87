"""Each method of each resource: what it sends and what it gives, in both clients."""

import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, assert_type

import httpx
import msgspec
import pandas as pd
import pytest

from tarslab.admin import AdminClient, AsyncAdminClient, Secret, models
from tarslab.admin.endpoints import Resource
from tarslab.admin.pages import AsyncPages, Pages
from tarslab.errors import BadArgument
from tests.admin import answers
from tests.admin.answers import page
from tests.admin.asking import Ask, Call

REASON = {"reason": "why"}
SEARCH = {"name": "s", "objective": "sphere", "n_trials": 5, "sampler": "tpe", "seed": 1}

# The call, the request that it is and its body, the answer and the type of the value or items.
CALLS: list[tuple[Call, str, Any, Any, Any]] = [
    (lambda c: c.me(), "GET /auth/me", None, answers.ME, models.Me),
    (lambda c: c.agents.list(), "GET /agents?limit=100", None, page(answers.AGENT), models.Agent),
    (lambda c: c.agents.get("ppo"), "GET /agents/ppo", None, answers.AGENT, models.Agent),
    (
        lambda c: c.agents.metrics("ppo"),
        "GET /agents/ppo/metrics",
        None,
        answers.METRICS,
        models.AgentMetrics,
    ),
    (
        lambda c: c.agents.metrics("ppo", ["reward", "entropy"], version=2, points=50),
        "GET /agents/ppo/metrics?metric=reward&metric=entropy&version=2&points=50",
        None,
        answers.METRICS,
        models.AgentMetrics,
    ),
    (
        lambda c: c.agents.metrics("ppo", "reward"),
        "GET /agents/ppo/metrics?metric=reward",
        None,
        answers.METRICS,
        models.AgentMetrics,
    ),
    (
        lambda c: c.agents.reload("ppo"),
        "POST /agents/ppo/reload",
        None,
        answers.AGENT | {"applied": ["p1"]},
        models.ReloadedAgent,
    ),
    (
        lambda c: c.agents.promote("ppo", 3),
        "POST /agents/ppo/promote",
        {"version": 3},
        answers.AGENT,
        models.Agent,
    ),
    (
        lambda c: c.agents.rollback("ppo"),
        "POST /agents/ppo/rollback",
        None,
        answers.AGENT,
        models.Agent,
    ),
    (
        lambda c: c.api_keys.list(),
        "GET /api-keys?limit=100",
        None,
        page(answers.API_KEY),
        models.ApiKey,
    ),
    (lambda c: c.api_keys.get("k"), "GET /api-keys/k", None, answers.API_KEY, models.ApiKey),
    (
        lambda c: c.api_keys.create("ci", ["agents:read"], expires_in=60),
        "POST /api-keys",
        {"name": "ci", "scopes": ["agents:read"], "expires_in": 60},
        answers.NEW_API_KEY,
        models.NewApiKey,
    ),
    (
        lambda c: c.api_keys.create("ci", "agents:read"),
        "POST /api-keys",
        {"name": "ci", "scopes": ["agents:read"]},
        answers.NEW_API_KEY,
        models.NewApiKey,
    ),
    (
        lambda c: c.api_keys.rotate("k", overlap_seconds=0),
        "POST /api-keys/k/rotate",
        {"overlap_seconds": 0},
        answers.NEW_API_KEY,
        models.NewApiKey,
    ),
    (lambda c: c.api_keys.revoke("k"), "DELETE /api-keys/k", None, None, None),
    (lambda c: c.jwt.status(), "GET /jwt/status", None, answers.KEY_RING, models.KeyRing),
    (
        lambda c: c.jwt.rotate(),
        "POST /jwt/rotate?rehearse=false",
        {},
        answers.ROTATION,
        models.Rotation,
    ),
    (
        lambda c: c.jwt.rotate(grace_seconds=930, rehearse=True),
        "POST /jwt/rotate?rehearse=true",
        {"grace_seconds": 930},
        answers.ROTATION,
        models.Rotation,
    ),
    (
        lambda c: c.jwt.invalidate("k1", "why"),
        "POST /jwt/keys/k1/invalidate",
        REASON,
        answers.INVALIDATION,
        models.Invalidation,
    ),
    (lambda c: c.jwt.jwks(), "GET /.well-known/jwks.json", None, answers.KEY_SET, models.KeySet),
    (
        lambda c: c.audit.list(),
        "GET /audit?limit=100",
        None,
        page(answers.EVENT),
        models.AuditEvent,
    ),
    (
        lambda c: c.audit.list(
            actor="ada",
            action="a",
            target="t&x=1",
            result="ok",
            request_id="r",
            since=datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC),
            until=1e9 + 0.5,
        ),
        # 2001-09-09 01:46:40 UTC is 1e9 Unix seconds.
        "GET /audit?actor=ada&action=a&target=t%26x%3D1&result=ok&request_id=r&since=1000000000.0"
        "&until=1000000000.5&limit=100",
        None,
        page(answers.EVENT),
        models.AuditEvent,
    ),
    (
        lambda c: c.audit.verify(),
        "GET /audit/verify",
        None,
        answers.VERIFICATION,
        models.AuditVerification,
    ),
    (lambda c: c.studies.list(), "GET /studies?limit=100", None, page(answers.STUDY), models.Study),
    (lambda c: c.studies.get("s"), "GET /studies/s", None, answers.STUDY, models.Study),
    (
        lambda c: c.studies.trials("s", state="COMPLETE"),
        "GET /studies/s/trials?state=COMPLETE&limit=100",
        None,
        page(answers.TRIAL),
        models.Trial,
    ),
    (
        lambda c: c.studies.best("s"),
        "GET /studies/s/best",
        None,
        {"trials": [answers.TRIAL]},
        models.Trial,
    ),
    (
        lambda c: c.studies.start("s", "sphere", 5, seed=1),
        "POST /studies",
        SEARCH,
        answers.STUDY,
        models.Study,
    ),
    (lambda c: c.studies.stop("s"), "POST /studies/s/stop", None, answers.STUDY, models.Study),
    (
        lambda c: c.proposals.list(agent="dqn", state="pending"),
        "GET /proposals?agent=dqn&state=pending&limit=100",
        None,
        page(answers.PROPOSAL),
        models.Proposal,
    ),
    (
        lambda c: c.proposals.get("p1"),
        "GET /proposals/p1",
        None,
        answers.PROPOSAL,
        models.Proposal,
    ),
    (
        lambda c: c.proposals.create("dqn", "s", 4, note="good"),
        "POST /proposals",
        {"agent": "dqn", "study": "s", "trial": 4, "note": "good"},
        answers.PROPOSAL,
        models.Proposal,
    ),
    (
        lambda c: c.proposals.approve("p1", "why"),
        "POST /proposals/p1/approve",
        REASON,
        answers.PROPOSAL,
        models.Proposal,
    ),
    (
        lambda c: c.proposals.reject("p1", "why"),
        "POST /proposals/p1/reject",
        REASON,
        answers.PROPOSAL,
        models.Proposal,
    ),
    (lambda c: c.users.list(), "GET /users?limit=100", None, page(answers.USER), models.User),
    (
        lambda c: c.users.create("eve", "pass-word-2", "viewer"),
        "POST /users",
        {"username": "eve", "password": "pass-word-2", "role": "viewer"},
        answers.USER,
        models.User,
    ),
    (lambda c: c.users.delete("eve"), "DELETE /users/eve", None, None, None),
    (lambda c: c.health.ready(), "GET /health/ready", None, answers.READINESS, models.Readiness),
    (
        lambda c: c.health.services(),
        "GET /health/services",
        None,
        answers.SERVICES,
        models.Services,
    ),
    (
        lambda c: c.maintenance.cleanup(dry_run=True),
        "POST /maintenance/cleanup?dry_run=true",
        None,
        answers.CLEANUP,
        models.Cleanup,
    ),
]
CREATES = ("POST /api-keys", "POST /users", "POST /proposals", "POST /studies")


@pytest.mark.parametrize(("call", "request_line", "body", "answer", "kind"), CALLS)
def test_a_method_sends_its_request_and_gives_the_answer_as_a_value(
    ask: Ask, call: Call, request_line: str, body: Any, answer: Any, kind: Any
) -> None:
    seen: list[httpx.Request] = []
    (value,) = ask(call, **answering(answer, seen))
    (request,) = seen
    assert f"{request.method} {request.url.raw_path.decode()}" == request_line
    assert (json.loads(request.content) if request.content else None) == body
    assert ("Idempotency-Key" in request.headers) == (request_line in CREATES)
    if answer is None:
        assert value is None
        return
    if isinstance(value, list | tuple):
        (answer,), (value,) = answer.get("items") or answer["trials"], value
    assert type(value) is kind
    # The answers have whole seconds, which are floats in the values: equal all the same.
    assert json.loads(msgspec.json.encode(value, enc_hook=Secret.reveal)) == answer


def test_every_method_is_called_above() -> None:
    called: set[str] = set()
    for call, *_ in CALLS:
        called.add(".".join(call.__code__.co_names[:2]))
    with AdminClient("http://127.0.0.1:9", api_key="k") as client:
        methods = {
            f"{room}.{name}"
            for room, resource in vars(client).items()
            if isinstance(resource, Resource)
            for name, _ in inspect.getmembers(resource, inspect.ismethod)
            if not name.startswith("_")
        }
    assert methods == called - {"me"}


def answering(answer: Any, seen: list[httpx.Request] | None = None) -> dict[str, Any]:
    """Settings of a client that is answered one thing, and nothing crosses a network."""

    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return httpx.Response(204) if answer is None else httpx.Response(200, json=answer)

    transport = httpx.MockTransport(handle)
    return {"url": "http://127.0.0.1:9/", "api_key": "tars_x", "transport": transport}


def test_a_type_checker_sees_what_each_client_gives() -> None:
    with AdminClient(**answering(answers.AGENT)) as client:
        assert_type(client.agents.get("ppo"), models.Agent)
    with AdminClient(**answering(page(answers.AGENT))) as client:
        assert_type(client.agents.list(), Pages[models.Agent])
        assert_type(next(client.agents.list()), models.Agent)
        assert_type([agent.id for agent in client.agents.list()], list[str])
        assert_type(client.agents.list().to_frame(), pd.DataFrame)
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            client.agents.get()  # type: ignore[call-arg]


async def typed_calls(client: AsyncAdminClient) -> None:
    """Read by mypy alone: these lines are right where it is content."""
    assert_type(await client.agents.get("ppo"), models.Agent)
    assert_type(client.agents.list(), AsyncPages[models.Agent])
    assert_type([agent.id async for agent in client.agents.list()], list[str])
    assert_type(await client.agents.list().to_frame(), pd.DataFrame)
    assert_type(await client.studies.best("s"), tuple[models.Trial, ...])
    assert_type(await client.login(), models.Login)
    await client.agents.promote("ppo", "3")  # type: ignore[arg-type]


def test_a_method_says_in_a_notebook_what_it_takes_and_does() -> None:
    with AdminClient(**answering(None)) as client:
        signature = inspect.signature(client.agents.promote)
        assert str(signature) == "(agent: str, version: int) -> tarslab.admin.models.Agent"
        assert inspect.signature(client.agents.list).return_annotation == Pages[models.Agent]
        assert (client.agents.promote.__doc__ or "").startswith("Make an agent run a version")
        assert client.agents.promote.__name__ == "promote"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_cannot_lead_to_another_path(ask: Ask, name: str) -> None:
    with pytest.raises(BadArgument, match="no name"):
        ask(lambda c: c.agents.get(name), **answering(answers.AGENT))


@pytest.mark.parametrize(
    ("name", "sent"),
    [("a/b", "a%2Fb"), ("a?x=1#y", "a%3Fx%3D1%23y"), ("é %", "%C3%A9%20%25"), ("%2e", "%252e")],
)
def test_a_name_is_quoted(ask: Ask, name: str, sent: str) -> None:
    seen: list[httpx.Request] = []
    ask(lambda c: c.studies.get(name), **answering(answers.STUDY, seen))
    assert seen[0].url.raw_path.decode() == f"/studies/{sent}"


def test_the_path_of_the_url_stands_before_the_calls(ask: Ask) -> None:
    seen: list[httpx.Request] = []
    settings = answering(answers.ME, seen) | {"url": "http://127.0.0.1:9/tars/v1/"}
    ask(lambda c: c.me(), **settings)
    assert str(seen[0].url) == "http://127.0.0.1:9/tars/v1/auth/me"


CREATE_CALLS: list[tuple[Callable[..., Any], Any]] = [
    (lambda c, **key: c.api_keys.create("ci", ["agents:read"], **key), answers.NEW_API_KEY),
    (lambda c, **key: c.users.create("eve", "pass-word-2", "viewer", **key), answers.USER),
    (lambda c, **key: c.proposals.create("dqn", "s", 4, **key), answers.PROPOSAL),
    (lambda c, **key: c.studies.start("s", "sphere", 5, **key), answers.STUDY),
]


@pytest.mark.parametrize(("create", "answer"), CREATE_CALLS)
def test_a_create_has_an_idempotency_key_of_its_own_or_the_callers(
    ask: Ask, create: Callable[..., Any], answer: Any
) -> None:
    seen: list[httpx.Request] = []
    ask(create, create, lambda c: create(c, idempotency_key="mine"), **answering(answer, seen))
    first, second, third = (request.headers["Idempotency-Key"] for request in seen)
    assert first != second
    assert third == "mine"


@pytest.mark.parametrize("key", ["", "x" * 129, "é", "a\nb"])
def test_an_idempotency_key_that_no_service_takes_is_refused(ask: Ask, key: str) -> None:
    with pytest.raises(BadArgument, match="idempotency_key"):
        ask(lambda c: CREATE_CALLS[0][0](c, idempotency_key=key), **answering(None))


def test_an_api_key_in_place_of_its_id_never_gets_into_a_url(ask: Ask) -> None:
    with pytest.raises(BadArgument, match="give its id") as caught:
        ask(lambda c: c.api_keys.revoke("tars_abcdef"), **answering(None))
    assert "abcdef" not in str(caught.value)


def test_the_mode_of_the_last_response_is_known(ask: Ask) -> None:
    modes = iter(["normal", "legacy", None])

    def handle(request: httpx.Request) -> httpx.Response:
        mode = next(modes)
        return httpx.Response(200, json=answers.ME, headers={"X-Mode": mode} if mode else {})

    def mode_after(client: Any) -> Any:
        return client.mode

    def me(client: Any) -> Any:
        return client.me()

    settings = {"url": "http://localhost:9", "transport": httpx.MockTransport(handle)}
    calls = [mode_after, me, mode_after, me, mode_after, me, mode_after]
    assert ask(*calls, api_key="k", **settings)[::2] == [None, "normal", "legacy", "legacy"]


def test_an_argument_that_json_has_no_form_for_is_refused(ask: Ask) -> None:
    with pytest.raises(TypeError, match="object cannot be sent"):
        ask(lambda c: c.agents.promote("ppo", object()), **answering(None))


def test_a_service_that_is_not_ready_says_how_it_is(ask: Ask) -> None:
    not_ready = answers.READINESS | {"status": "starting", "store": {"up": False, "seconds": None}}
    transport = httpx.MockTransport(lambda request: httpx.Response(503, json=not_ready))
    (readiness,) = ask(lambda c: c.health.ready(), url="http://localhost:9", transport=transport)
    assert readiness.status == "starting"
    assert not readiness.store.up


def test_a_timeout_is_always_there() -> None:
    for timeout in (0, -1, float("inf"), float("nan")):
        with pytest.raises(BadArgument, match="timeout"):
            AdminClient("http://localhost:9", timeout=timeout)
    seen: list[httpx.Request] = []
    ask_settings = answering(answers.ME, seen)
    for timeout, connect in ((10.0, 3.0), (1.0, 1.0)):
        with AdminClient(**ask_settings, timeout=timeout) as client:
            client.me()
        limits = seen[-1].extensions["timeout"]
        assert limits == {"connect": connect, "read": timeout, "write": timeout, "pool": timeout}


def test_the_clients_show_where_they_go_and_as_whom() -> None:
    with AdminClient("https://tars.example/", username="ada", password="pass-word-1") as client:
        assert repr(client) == "<AdminClient of https://tars.example as ada>"
        assert client.url == "https://tars.example"
    with AdminClient("https://tars.example", api_key="tars_x") as client:
        assert repr(client) == "<AdminClient of https://tars.example with an API key>"
    with AdminClient("https://tars.example") as client:
        assert repr(client) == "<AdminClient of https://tars.example>"
