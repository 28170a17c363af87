"""Login, refresh and logout, of a service that ends a session whose refresh token comes twice."""

import asyncio
import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tarslab.admin import (
    AdminClient,
    AsyncAdminClient,
    RateLimited,
    Secret,
    Unauthorized,
    Unavailable,
    Unexpected,
    session,
)
from tarslab.admin.credentials import Credentials
from tarslab.admin.exchange import Exchange, Send, Steps
from tarslab.errors import BadArgument
from tests.admin import answers
from tests.admin.asking import Ask
from tests.admin.service import LIMIT, Answer, Service, problem

LOGIN, REFRESH, LOGOUT = "POST /auth/login", "POST /auth/refresh", "POST /auth/logout"
AGENT = "GET /agents/ppo"
MANY = 50


@pytest.fixture(autouse=True)
def _an_agent(service: Service) -> None:
    service.tell(AGENT, Answer(200, answers.AGENT))


def get(client: Any) -> Any:
    return client.agents.get("ppo")


def login(client: Any) -> Any:
    """With a password that the client does not keep."""
    return client.login("ada", "pass-word-1")


def login_as(client: Any, **given: str) -> Any:
    return client.login(**given)


def settings(service: Service, **more: Any) -> dict[str, Any]:
    return {"url": service.url, "username": "ada", "password": "pass-word-1", **more}


def test_the_first_call_logs_in_and_the_next_have_its_token(ask: Ask, service: Service) -> None:
    ask(get, get, **settings(service))
    assert [str(seen) for seen in service.seen] == [LOGIN, AGENT, AGENT]
    assert service.seen[0].body == {"username": "ada", "password": "pass-word-1"}
    assert "authorization" not in service.seen[0].headers
    assert [seen.headers["authorization"] for seen in service.seen[1:]] == ["Bearer access-1"] * 2


def test_a_rejected_token_is_refreshed_and_the_call_made_again(ask: Ask, service: Service) -> None:
    def reject(client: Any) -> None:
        service.reject_all_tokens()

    agent = ask(get, reject, get, reject, get, **settings(service))[-1]
    assert agent.id == "ppo"
    assert service.count(LOGIN) == 1
    bodies = [seen.body for seen in service.seen if str(seen) == REFRESH]
    assert bodies == [{"refresh_token": "refresh-1"}, {"refresh_token": "refresh-2"}]


def test_a_token_is_refreshed_before_it_expires(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def at(seconds: float) -> Any:
        return lambda client: setattr(clock, "now", 1000.0 + seconds)

    def refreshes(client: Any) -> int:
        return service.count(REFRESH)

    # Of 600 s of life the last 30 are the leeway.
    calls = [get, at(569), get, refreshes, at(571), get, refreshes]
    assert [came for came in ask(*calls, **settings(service)) if isinstance(came, int)] == [0, 1]
    assert service.rejected == 0


def test_the_leeway_of_a_short_life_is_a_tenth_of_it(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: clock.now))
    service.expires_in = 10
    ask(get, lambda c: setattr(clock, "now", 1008.9), get, **settings(service))
    assert service.count(REFRESH) == 0
    ask(get, lambda c: setattr(clock, "now", 1018.0), get, **settings(service))
    assert service.count(REFRESH) == 1


@pytest.mark.parametrize("known", [False, True], ids=["rejected", "expired"])
def test_fifty_threads_on_an_expired_token_make_one_refresh(
    service: Service, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    with AdminClient(**settings(service)) as client, ThreadPoolExecutor(MANY) as threads:
        client.login()
        expire(service, monkeypatch, known)
        begun = threading.Barrier(MANY)

        def call() -> str:
            begun.wait(LIMIT)
            return client.agents.get("ppo").id

        futures = [threads.submit(call) for _ in range(MANY)]
        assert [future.result(LIMIT) for future in futures] == ["ppo"] * MANY
    assert service.count(REFRESH) == 1
    assert service.count(LOGIN) == 1
    assert service.rejected == (0 if known else MANY)


@pytest.mark.parametrize("known", [False, True], ids=["rejected", "expired"])
def test_fifty_tasks_on_an_expired_token_make_one_refresh(
    service: Service, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    async def main() -> None:
        async with AsyncAdminClient(**settings(service)) as client:
            await client.login()
            expire(service, monkeypatch, known)
            agents = await asyncio.gather(*(client.agents.get("ppo") for _ in range(MANY)))
            assert [agent.id for agent in agents] == ["ppo"] * MANY

    asyncio.run(main())
    assert service.count(REFRESH) == 1
    assert service.count(LOGIN) == 1
    assert service.rejected == (0 if known else MANY)


def expire(service: Service, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """Let the token be expired: by the client's clock, or only to the service.

    Then the refresh is answered when every call was rejected, so that each has asked for it.
    """
    service.reject_all_tokens()
    if not known:
        service.hold_refresh_until = lambda: service.rejected >= MANY
        return
    now = time.monotonic()
    later = SimpleNamespace(monotonic=lambda: now + service.expires_in)
    monkeypatch.setattr(session, "time", later)


def test_fifty_threads_share_a_refresh_that_fails(service: Service) -> None:
    with AdminClient(url=service.url, retries=0) as client, ThreadPoolExecutor(MANY) as threads:
        login(client)
        service.reject_all_tokens()
        service.hold_refresh_until = lambda: service.rejected >= MANY
        service.fresh.clear()
        futures = [threads.submit(get, client) for _ in range(MANY)]
        for future in futures:
            with pytest.raises(Unauthorized, match=r"call login\(\)"):
                future.result(LIMIT)
    assert service.count(LOGIN) == 1
    # A call that came after the failure asks once more, and never with a token that was used.
    used = [seen.body["refresh_token"] for seen in service.seen if str(seen) == REFRESH]
    assert used == ["refresh-1"]


def test_a_session_that_has_ended_begins_anew_by_the_password(ask: Ask, service: Service) -> None:
    def end(client: Any) -> None:
        service.reject_all_tokens()
        service.fresh.clear()

    agent = ask(get, end, get, **settings(service))[-1]
    assert agent.id == "ppo"
    assert [service.count(name) for name in (LOGIN, REFRESH)] == [2, 1]


def test_without_a_password_the_end_of_a_session_is_told(ask: Ask, service: Service) -> None:
    def end(client: Any) -> None:
        service.reject_all_tokens()
        service.fresh.clear()

    with pytest.raises(Unauthorized, match=r"no password is kept .* call login\(\)"):
        ask(login, get, end, get, url=service.url, username="ada")
    assert [service.count(name) for name in (LOGIN, REFRESH)] == [1, 1]


def test_a_login_in_legacy_mode_gives_no_refresh_token_and_is_made_again(
    ask: Ask, service: Service
) -> None:
    service.refreshable = False
    first, *_ = ask(
        lambda c: c.login(), get, lambda c: service.reject_all_tokens(), get, **settings(service)
    )
    assert first.refresh_token is None
    assert first.mode == "legacy"
    assert [service.count(name) for name in (LOGIN, REFRESH)] == [2, 0]


def test_a_refresh_that_legacy_mode_refuses_is_made_good_by_a_login(
    ask: Ask, service: Service
) -> None:
    service.tell(REFRESH, problem(503, "Redis is out", {"Retry-After": "5"}))
    agent = ask(get, lambda c: service.reject_all_tokens(), get, **settings(service))[-1]
    assert agent.id == "ppo"
    assert [service.count(name) for name in (LOGIN, REFRESH)] == [2, 1]


def test_a_refresh_that_legacy_mode_refuses_goes_on_later_without_a_password(
    ask: Ask, service: Service
) -> None:
    service.tell(REFRESH, problem(503, "Redis is out", {"Retry-After": "5"}))

    def refused(client: Any) -> Any:
        return failing(client, Unavailable)

    def back(client: Any) -> None:
        del service.told[REFRESH]

    _, _, error, _, agent = ask(
        login, lambda c: service.reject_all_tokens(), refused, back, get, url=service.url
    )
    assert error.retry_after == 5
    assert agent.id == "ppo"
    assert service.count(LOGIN) == 1
    assert service.count(REFRESH) == 2


def failing(client: Any, kind: type[Exception]) -> Any:
    """The error of a call, of either client."""
    if isinstance(client, AdminClient):
        with pytest.raises(kind) as caught:
            get(client)
        return caught.value

    async def call() -> Exception:
        with pytest.raises(kind) as caught:
            await get(client)
        return caught.value

    return call()


@pytest.mark.parametrize(
    "lost",
    [Answer(0, cut=True), Answer(502, b"bad gateway"), Answer(200, {"access_token": "x"})],
    ids=["cut", "gateway", "no answer that can be read"],
)
def test_a_refresh_token_that_may_be_used_up_is_never_sent_again(
    ask: Ask, service: Service, lost: Answer
) -> None:
    service.tell(REFRESH, lost)
    reject = lambda c: service.reject_all_tokens()  # noqa: E731
    _, _, error, *_ = ask(
        login,
        reject,
        lambda c: failing(c, Unexpected if lost.status == 200 else Unavailable),
        lambda c: failing(c, Unauthorized),
        lambda c: failing(c, Unauthorized),
        url=service.url,
    )
    assert service.count(REFRESH) == 1
    # With a password the session is begun anew instead.
    agent = ask(get, reject, get, **settings(service))[-1]
    assert agent.id == "ppo"
    assert service.count(REFRESH) == 2
    assert isinstance(error, Unexpected) or error.maybe_done


def test_a_refresh_that_is_limited_waits_and_keeps_its_token(ask: Ask, service: Service) -> None:
    limited = problem(429, "too many", {"Retry-After": "3600"})
    service.tell(REFRESH, limited)

    def back(client: Any) -> None:
        del service.told[REFRESH]

    _, _, error, _, agent = ask(
        get,
        lambda c: service.reject_all_tokens(),
        lambda c: failing(c, RateLimited),
        back,
        get,
        **settings(service),
    )
    assert error.retry_after == 3600
    assert agent.id == "ppo"
    assert [service.count(name) for name in (LOGIN, REFRESH)] == [1, 2]


def test_a_refresh_that_was_not_sent_keeps_its_token() -> None:
    made = Exchange("http://localhost:9", retries=0)
    own = session.Session(made, Credentials("http://localhost:9", "ada"))
    tokens = {"access_token": "a1", "expires_in": 600, "refresh_token": "r1"}
    more = {"refresh_expires_in": 3600, "role": "admin", "scopes": [], "mode": "normal"}
    login = own.login("ada", "pass-word-1")
    request = sent_by(login)
    with pytest.raises(StopIteration):
        login.send(httpx.Response(200, json=tokens | more, request=request))
    renewal = own.renewal()
    request = sent_by(renewal)
    with pytest.raises(Unavailable, match="no answer"):
        renewal.throw(httpx.ConnectError("refused", request=request))
    assert sent_by(own.renewal()).content == b'{"refresh_token":"r1"}'


def sent_by(steps: Steps[Any]) -> httpx.Request:
    step = next(steps)
    assert isinstance(step, Send)
    return step.request


def test_a_wrong_password_is_tried_once_and_not_for_each_call(ask: Ask, service: Service) -> None:
    errors = ask(
        *[lambda c: failing(c, Unauthorized)] * 3, url=service.url, username="ada", password="no"
    )
    assert service.count(LOGIN) == 1
    assert all("wrong username or password" in str(error) for error in errors)
    assert all(error.status == 401 for error in errors)


def test_login_tries_a_password_again_when_told_to(ask: Ask, service: Service) -> None:
    service.tell(LOGIN, problem(401, "disabled"), service._tokens())
    _, came, agent = ask(
        lambda c: failing(c, Unauthorized), lambda c: c.login(), get, **settings(service)
    )
    assert came.role == "admin"
    assert agent.id == "ppo"


def test_a_typing_error_at_login_leaves_the_kept_password_in_use(
    ask: Ask, service: Service
) -> None:
    def mistyped(client: Any) -> Any:
        if isinstance(client, AdminClient):
            with pytest.raises(Unauthorized):
                client.login("ada", "pass-wrod")
            return None

        async def call() -> None:
            with pytest.raises(Unauthorized):
                await client.login("ada", "pass-wrod")

        return call()

    assert ask(mistyped, get, **settings(service))[-1].id == "ppo"


def test_a_token_that_is_rejected_though_new_is_not_renewed_for_ever(
    ask: Ask, service: Service
) -> None:
    service.tell(AGENT, problem(401, "the clock is wrong"))
    with pytest.raises(Unauthorized, match="the clock is wrong"):
        ask(get, **settings(service))
    assert [service.count(name) for name in (LOGIN, REFRESH, AGENT)] == [1, 1, 2]


def test_logout_ends_the_session_until_login_begins_another(ask: Ask, service: Service) -> None:
    _, _, error, _, agent = ask(
        get,
        lambda c: c.logout(),
        lambda c: failing(c, Unauthorized),
        lambda c: c.login(),
        get,
        **settings(service),
    )
    assert "logged out" in str(error)
    assert agent.id == "ppo"
    assert [service.count(name) for name in (LOGIN, LOGOUT)] == [2, 1]


def test_logout_of_a_session_that_has_ended_or_never_began_is_no_error(
    ask: Ask, service: Service
) -> None:
    def end(client: Any) -> None:
        service.reject_all_tokens()
        service.fresh.clear()

    ask(get, end, lambda c: c.logout(), **settings(service))
    assert service.count(LOGIN) == 1
    ask(lambda c: c.logout(), **settings(service))
    assert service.count(LOGIN) == 1


def test_a_logout_that_the_service_cannot_do_is_told_and_can_be_made_again(
    ask: Ask, service: Service
) -> None:
    service.tell(LOGOUT, problem(503, "Redis is out"))

    def refused(client: Any) -> Any:
        if isinstance(client, AdminClient):
            with pytest.raises(Unavailable, match="Redis is out"):
                client.logout()
            return None

        async def call() -> None:
            with pytest.raises(Unavailable, match="Redis is out"):
                await client.logout()

        return call()

    def end(client: Any) -> None:
        service.reject_all_tokens()
        service.fresh.clear()

    def works(client: Any) -> None:
        del service.told[LOGOUT]

    # What was not ended goes on, and begins anew as before.
    ask(get, refused, get, end, get, works, lambda c: c.logout(), **settings(service))
    assert [service.count(name) for name in (LOGIN, LOGOUT)] == [2, 2]
    assert service.good == set()


def test_the_api_key_goes_with_each_call_and_nothing_logs_in(ask: Ask, service: Service) -> None:
    ask(get, url=service.url, api_key="tars_k")
    (seen,) = service.seen
    assert seen.headers["x-api-key"] == "tars_k"
    assert "authorization" not in seen.headers


@pytest.mark.parametrize("act", ["login", "logout"])
def test_an_api_key_has_no_session(ask: Ask, service: Service, act: str) -> None:
    with pytest.raises(BadArgument, match="API key has no session"):
        ask(lambda c: getattr(c, act)(), url=service.url, api_key="tars_k")


def test_a_login_needs_both_a_username_and_its_password(ask: Ask, service: Service) -> None:
    for given in ({}, {"username": "eve"}, {"password": "pass-word-1"}):
        with pytest.raises(BadArgument, match="username and a password"):
            ask(functools.partial(login_as, **given), url=service.url)
    # The password that the client has is ada's.
    with pytest.raises(BadArgument, match="username and a password"):
        ask(lambda c: c.login("eve"), **settings(service))
    assert service.seen == []
    assert ask(lambda c: c.login(password=Secret("pass-word-1")), url=service.url, username="ada")


def test_without_credentials_only_what_is_public_is_asked_for(ask: Ask, service: Service) -> None:
    service.tell("GET /health/ready", Answer(200, answers.READINESS))
    (ready,) = ask(lambda c: c.health.ready(), url=service.url)
    assert ready.service == "orchestration"
    with pytest.raises(Unauthorized, match="TARSLAB_API_KEY"):
        ask(get, url=service.url)
    assert service.count(AGENT) == 0


def test_what_is_public_is_asked_for_without_the_credentials(ask: Ask, service: Service) -> None:
    service.tell("GET /health/ready", Answer(200, answers.READINESS))
    ask(lambda c: c.health.ready(), **settings(service))
    ask(lambda c: c.health.ready(), url=service.url, api_key="tars_k")
    for seen in service.seen:
        assert not {"authorization", "x-api-key"} & seen.headers.keys()
    assert service.count(LOGIN) == 0


def test_a_redirect_is_not_followed_and_no_credential_leaves(ask: Ask, service: Service) -> None:
    other = Service()
    try:
        moved = Answer(307, None, {"Location": f"{other.url}/agents/ppo?secret=1"})
        service.tell(AGENT, moved)
        for credentials in (settings(service), {"url": service.url, "api_key": "tars_k"}):
            with pytest.raises(Unexpected, match=r"307 .* redirect to http://127.0.0.1") as caught:
                ask(get, **credentials)
            assert "secret" not in str(caught.value)
        assert other.seen == []
    finally:
        other.server_close()


def test_a_cancelled_call_does_not_take_the_others_refresh_along(service: Service) -> None:
    held = threading.Event()
    service.hold_refresh_until = lambda: held.is_set()

    async def main() -> str:
        async with AsyncAdminClient(url=service.url) as client:
            await client.login("ada", "pass-word-1")
            service.reject_all_tokens()
            first = asyncio.create_task(client.agents.get("ppo"))
            await until(lambda: service.count(REFRESH) == 1)
            second = asyncio.create_task(client.agents.get("ppo"))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            release(service, held)
            return (await second).id

    assert asyncio.run(main()) == "ppo"
    assert service.count(REFRESH) == 1


def test_closing_waits_for_a_refresh_under_way(service: Service) -> None:
    held = threading.Event()
    service.hold_refresh_until = lambda: held.is_set()

    async def main() -> None:
        async with AsyncAdminClient(url=service.url) as client:
            await client.login("ada", "pass-word-1")
            service.reject_all_tokens()
            call = asyncio.create_task(client.agents.get("ppo"))
            await until(lambda: service.count(REFRESH) == 1)
            call.cancel()
            asyncio.get_running_loop().call_later(0.05, release, service, held)

    asyncio.run(main())
    assert service.fresh == {"refresh-2"}


def test_a_thread_that_is_interrupted_in_a_refresh_leaves_it_to_the_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()
    real = session.Session.renewal
    attempts = iter([True])

    def interrupted(self: session.Session) -> Any:
        if next(attempts, False):
            waiting.wait(LIMIT)
            raise KeyboardInterrupt
        return (yield from real(self))

    with AdminClient(**settings(service)) as client, ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(session.Session, "renewal", interrupted)
        first = threads.submit(get, client)
        auth = client._runner._auth
        wait_for(lambda: getattr(auth, "_renewal", None) is not None)
        second = threads.submit(get, client)
        # The second is in line when it has taken the pending result: then it is interrupted.
        renewal = getattr(auth, "_renewal")  # noqa: B009
        wait_for(lambda: renewal._condition._waiters)
        waiting.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(LIMIT)
        assert second.result(LIMIT).id == "ppo"


async def until(condition: Any) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.001)


def wait_for(condition: Any) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def release(service: Service, held: threading.Event) -> None:
    with service.changed:
        held.set()
        service.changed.notify_all()
