"""No password, token or key is shown: not by a value, an error, a log or a traceback."""

import copy
import json
import logging
import pickle
import traceback
from typing import Any

import msgspec
import pytest

from tarslab.admin import AdminError, Secret, models
from tarslab.errors import BadArgument
from tests.admin import answers
from tests.admin.asking import Ask
from tests.admin.service import Answer, Service, problem

PASSWORD, API_KEY, NO_HEADER = "pass-word-1", "tars_the-very-key", "access-1\nX-Evil: 1"
LOGIN: dict[str, Any] = {
    "expires_in": 600,
    "refresh_token": "refresh-1",
    "refresh_expires_in": 600,
    "role": "admin",
    "scopes": [],
    "mode": "normal",
}


def test_a_secret_shows_itself_only_when_told_to() -> None:
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s" % secret, repr([secret])]  # noqa: UP031
    assert shown == ["**********"] * 5 + ["[**********]"]
    assert repr(Secret("")) == repr(Secret("x" * 99))
    assert not hasattr(secret, "__dict__")
    assert Secret(secret).reveal() == "hunter2"


def test_a_secret_is_equal_to_the_same_secret_and_to_no_text() -> None:
    assert Secret("é") == Secret("é")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret("a"))


@pytest.mark.parametrize(
    "keep",
    [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.to_builtins],
)
def test_a_secret_is_not_written_by_what_writes_values(keep: Any) -> None:
    with pytest.raises(TypeError):
        keep(Secret("hunter2"))


def test_a_secret_is_text() -> None:
    with pytest.raises(TypeError, match="text, not int") as caught:
        Secret(12345)  # type: ignore[arg-type]
    assert "12345" not in str(caught.value)


def test_a_new_key_is_hidden_in_its_value_and_in_a_notebook() -> None:
    new = msgspec.convert(
        answers.NEW_API_KEY, models.NewApiKey, dec_hook=lambda kind, value: kind(value)
    )
    assert new.key.reveal() == answers.NEW_API_KEY["key"]
    for shown in (repr(new), str(new), new._repr_html_()):
        assert "the-key" not in shown
        assert "**********" in shown
    with pytest.raises(TypeError):
        pickle.dumps(new)


def test_what_a_service_says_is_no_markup_in_a_notebook() -> None:
    user = models.User("<script>alert(1)</script>", "viewer", False, 0.0)
    assert "<script>" not in user._repr_html_()
    assert "&lt;script&gt;" in user._repr_html_()


def test_a_long_member_is_cut_in_a_notebook() -> None:
    curve = models.Curve(tuple(range(1000)), tuple(map(float, range(1000))))
    assert len(curve._repr_html_()) < 600


def everything(ask: Ask, service: Service, **credentials: Any) -> list[BaseException]:
    """Calls that succeed and fail in many ways; the errors of the latter."""
    agent, users, keys, login = (
        "GET /agents/ppo",
        "POST /users",
        "POST /api-keys",
        "POST /auth/login",
    )
    calls: list[tuple[Any, str, Answer]] = [
        (get, agent, Answer(200, answers.AGENT)),
        (get, agent, Answer(401, echo=True)),
        (get, agent, Answer(200, ["no agent"])),
        (create, users, Answer(201, answers.USER)),
        (create, users, Answer(422, echo=True)),
        (create, users, Answer(500, echo=True)),
        (create, users, Answer(200, ["no user"])),
        (create, users, Answer(0, cut=True)),
        (lambda c: c.api_keys.create("ci", []), keys, Answer(201, answers.NEW_API_KEY)),
        (get, login, Answer(401, echo=True)),
        (get, login, Answer(503, echo=True)),
        (get, login, Answer(0, cut=True)),
        (get, login, Answer(200, {"access_token": PASSWORD})),
        (get, login, Answer(200, LOGIN | {"access_token": NO_HEADER})),
    ]
    errors: list[BaseException] = []
    for call, request, answer in calls:
        service.told.clear()
        service.tell(agent, Answer(200, answers.AGENT))
        service.tell(request, answer)
        try:
            ask(call, url=service.url, retries=0, **credentials)
        except (AdminError, BadArgument) as error:
            errors.append(error)
    return errors


def get(client: Any) -> Any:
    return client.agents.get("ppo")


def create(client: Any) -> Any:
    return client.users.create("eve", PASSWORD, "viewer")


@pytest.mark.parametrize(
    "credentials", [{"username": "ada", "password": PASSWORD}, {"api_key": API_KEY}], ids=str
)
def test_neither_logs_nor_errors_hold_a_secret_even_where_the_service_sends_it_back(
    ask: Ask, service: Service, credentials: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "httpx")
    caplog.set_level(logging.DEBUG, "httpcore")
    errors = everything(ask, service, **credentials)
    assert len(errors) == (11 if "username" in credentials else 6)
    secrets = [PASSWORD, API_KEY, answers.NEW_API_KEY["key"], "access-1", "refresh-1"]
    texts = [record.getMessage() for record in caplog.records]
    assert any("HTTP Request: GET http://127.0.0.1" in text for text in texts)
    for error in errors:
        texts += [str(error), repr(error), "".join(traceback.format_exception(error))]
        texts += [repr(vars(error)), repr(getattr(error, "problem", None))]
    for text in texts:
        for secret in secrets:
            assert secret not in text


def test_a_key_that_no_header_can_hold_is_refused_before_it_is_quoted(ask: Ask) -> None:
    for key in (f"{API_KEY}\n", f"{API_KEY}é", f"{API_KEY}\x00"):
        with pytest.raises(BadArgument, match="a newline at its end") as caught:
            ask(lambda c: c.me(), url="http://localhost:9", api_key=key)
        assert "the-very-key" not in "".join(traceback.format_exception(caught.value))


def test_an_echo_is_found_in_the_form_that_json_gives_it(ask: Ask, service: Service) -> None:
    password = 'quo"te\\éé'
    kind = {"Content-Type": "application/problem+json"}
    service.tell("POST /users", Answer(422, {"detail": f"not {password}"}, kind))
    for body in (
        {"detail": f"not {password}"},
        json.dumps({"detail": f"not {password}"}, ensure_ascii=False).encode(),
    ):
        service.tell("POST /users", Answer(422, body, kind))
        with pytest.raises(AdminError) as caught:
            ask(lambda c: c.users.create("eve", password, "viewer"), url=service.url, api_key="k9")
        assert "te\\" not in str(caught.value)
        assert "not **********" in str(caught.value)


def test_a_password_that_is_a_word_of_the_answer_is_not_pointed_out(
    ask: Ask, service: Service
) -> None:
    service.tell("POST /auth/login", problem(401, "wrong username or password"))
    with pytest.raises(AdminError, match="wrong username or password"):
        ask(get, url=service.url, username="ada", password="wrong")


def test_the_client_shows_no_secret_among_its_members(ask: Ask, service: Service) -> None:
    service.tell("GET /agents/ppo", Answer(200, answers.AGENT))

    def members(client: Any) -> str:
        seen: list[str] = []

        def walk(thing: Any, depth: int) -> None:
            seen.append(repr(thing))
            for value in vars(thing).values() if hasattr(thing, "__dict__") and depth else ():
                walk(value, depth - 1)

        walk(client, 5)
        return " ".join(seen)

    for credentials in ({"username": "ada", "password": PASSWORD}, {"api_key": API_KEY}):
        shown = ask(lambda c: c.agents.get("ppo"), members, url=service.url, **credentials)[1]
        for secret in (PASSWORD, API_KEY, "access-1", "refresh-1"):
            assert secret not in shown
