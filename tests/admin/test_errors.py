"""From a refusal to the error that a user meets."""

import pickle
from typing import Any

import httpx
import pytest

from tarslab.admin import (
    AdminClient,
    AdminError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    Unexpected,
    errors,
)
from tarslab.errors import TarslabError
from tests.admin import answers
from tests.admin.asking import Ask
from tests.admin.service import Answer, Service, problem

AGENT = "GET /agents/ppo"


def get(client: Any) -> Any:
    return client.agents.get("ppo")


def settings(service: Service) -> dict[str, Any]:
    return {"url": service.url, "api_key": "tars_the-key", "retries": 0}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, Invalid),
        (422, Invalid),
        (429, RateLimited),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
        (302, Unexpected),
        (405, Unexpected),
        (418, Unexpected),
        (500, Unexpected),
    ],
)
def test_a_status_is_its_error_with_what_the_service_said(
    ask: Ask, service: Service, status: int, kind: type[AdminError]
) -> None:
    service.tell(AGENT, problem(status, "version 9 of ppo", {"Location": "/x"}))
    with pytest.raises(AdminError) as caught:
        ask(get, **settings(service))
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, TarslabError)
    assert error.status == status
    assert error.problem is not None
    assert error.problem.detail == "version 9 of ppo"
    assert error.request_id == service.seen[0].headers["x-request-id"]
    assert error.request_id in str(error)
    assert "GET /agents/ppo" in str(error)
    assert "version 9 of ppo" in str(error)


@pytest.mark.parametrize("location", [None, "http://[", "//x:y/"])
def test_a_redirect_to_nowhere_is_an_error_like_others(
    ask: Ask, service: Service, location: str | None
) -> None:
    service.tell(AGENT, Answer(307, None, {"Location": location} if location else {}))
    with pytest.raises((Unexpected, Unavailable)):
        ask(get, **settings(service))


def test_the_request_id_is_the_one_that_the_service_says(ask: Ask, service: Service) -> None:
    service.tell(AGENT, problem(404, "no", {"X-Request-ID": "other-1"}))
    with pytest.raises(NotFound, match=r"\(404, request other-1\)") as caught:
        ask(get, **settings(service))
    assert caught.value.request_id == "other-1"


def test_an_invalid_request_names_its_fields(ask: Ask, service: Service) -> None:
    wrong = [{"field": "grace_seconds", "message": "at least 930"}, {"field": "x", "message": "y"}]
    service.tell(AGENT, problem(422, "The request is not valid.", errors=wrong))
    with pytest.raises(Invalid, match=r"not valid\. grace_seconds: at least 930; x: y") as caught:
        ask(get, **settings(service))
    assert caught.value.fields == {"grace_seconds": "at least 930", "x": "y"}


def test_an_invalid_request_of_which_nothing_is_said_has_no_fields() -> None:
    assert Invalid("no").fields == {}


def test_a_limit_says_when_to_come_back(ask: Ask, service: Service) -> None:
    service.tell(AGENT, problem(429, "too many", {"Retry-After": "7"}))
    with pytest.raises(RateLimited, match=r"too many .* Try again in 7 s\.") as caught:
        ask(get, **settings(service))
    assert caught.value.retry_after == 7


def test_a_conflict_may_say_when_to_come_back_too(ask: Ask, service: Service) -> None:
    service.tell("POST /jwt/rotate", problem(409, "too early", {"Retry-After": "120"}))
    with pytest.raises(Conflict) as caught:
        ask(lambda c: c.jwt.rotate(), **settings(service))
    assert caught.value.retry_after == 120
    assert len(service.seen) == 1


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/problem+json"])
def test_a_refusal_that_no_service_wrote_asks_for_the_url(
    ask: Ask, service: Service, kind: str
) -> None:
    service.tell(AGENT, Answer(404, b"<h1>\xff nginx", {"Content-Type": kind}))
    with pytest.raises(NotFound, match="is the URL that of its API") as caught:
        ask(get, **settings(service))
    assert caught.value.problem is None
    assert "nginx" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>log in here</html>", "malformed"),
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (answers.AGENT | {"version": "two"}, r"Expected `int`, got `str` - at `\$.version`"),
        (
            {name: value for name, value in answers.AGENT.items() if name != "version"},
            "missing required field `version`",
        ),
        (
            answers.AGENT | {"versions": [{"version": 1}]},
            r"missing required field `run` - at `\$.versions\[0\]`",
        ),
        (
            answers.AGENT | {"reward": {"step": [1, 2], "value": [0.5]}},
            r"2 steps have 1 values - at `\$.reward`",
        ),
    ],
)
def test_an_answer_that_is_not_what_the_api_says_names_the_member(
    ask: Ask, service: Service, body: Any, said: str
) -> None:
    service.tell(AGENT, Answer(200, body))
    with pytest.raises(Unexpected, match=said) as caught:
        ask(get, **settings(service))
    assert "log in here" not in str(caught.value)
    assert "of this version?" in str(caught.value)
    assert caught.value.status == 200


def test_a_secret_that_is_no_text_names_its_member_and_is_not_quoted(
    ask: Ask, service: Service
) -> None:
    service.tell("POST /api-keys", Answer(201, answers.NEW_API_KEY | {"key": 12345}))
    with pytest.raises(Unexpected, match=r"Expected `str`, got `int` - at `\$.key`") as caught:
        ask(lambda c: c.api_keys.create("ci", []), **settings(service))
    assert "12345" not in str(caught.value)


def test_members_of_a_newer_service_are_ignored(ask: Ask, service: Service) -> None:
    newer = answers.AGENT | {"fresh": 1, "reward": answers.CURVE | {"smooth": []}}
    service.tell(AGENT, Answer(200, newer | {"state": "paused"}))
    (agent,) = ask(get, **settings(service))
    assert agent.state == "paused"


def test_a_body_that_is_not_what_its_encoding_says_is_unavailable(
    ask: Ask, service: Service
) -> None:
    service.tell(AGENT, Answer(200, b"no gzip", {"Content-Encoding": "gzip"}))
    with pytest.raises(Unavailable, match="DecodingError"):
        ask(get, **settings(service))


@pytest.mark.parametrize("name", [n for n in vars(errors) if not n.startswith("_")])
def test_an_error_survives_pickle(name: str) -> None:
    kind = getattr(errors, name)
    if not (isinstance(kind, type) and issubclass(kind, AdminError)):
        return
    error = pickle.loads(pickle.dumps(kind("what", request_id="r", status=1, retry_after=2.0)))
    assert type(error) is kind
    assert (str(error), error.request_id, error.status, error.retry_after) == ("what", "r", 1, 2.0)


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    drawn = errors.__doc__ or ""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in kinds:
        assert f" {kind.__name__} " in drawn.replace("\n", " ")
    assert {kind.__base__ for kind in kinds} == {TarslabError.__base__, TarslabError, AdminError}


def test_an_error_of_a_response_shows_no_inner_one() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(404))
    with (
        AdminClient("http://localhost:9", api_key="k", transport=transport) as client,
        pytest.raises(NotFound) as caught,
    ):
        client.me()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
