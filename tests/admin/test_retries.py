"""Which calls are made again, after which waits; the steps themselves are played, so none waits."""

import socket
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarslab.admin import AdminError, RateLimited, Unavailable
from tarslab.admin import answers as reading
from tarslab.admin.answers import retry_after
from tarslab.admin.exchange import BACKOFF, LONGEST, PATIENCE, Exchange, Sleep, Steps
from tarslab.admin.models import Me
from tests.admin import answers
from tests.admin.asking import Ask
from tests.admin.service import Answer, Service, problem

ME = "GET /auth/me"
GOOD = httpx.Response(200, json=answers.ME)


def failed(status: int, **headers: str) -> httpx.Response:
    """A refusal, with headers written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named)


def play(steps: Steps[Any], outcomes: Iterable[Any]) -> tuple[Any, list[float], int]:
    """What comes of steps whose requests have these outcomes; the waits; how many were sent."""
    left, waits, sent = iter(outcomes), [], 0
    try:
        step = next(steps)
        while True:
            if isinstance(step, Sleep):
                waits.append(step.seconds)
                step = next(steps)
                continue
            sent += 1
            outcome = next(left)
            if isinstance(outcome, Exception):
                step = steps.throw(outcome)
            else:
                outcome.request = step.request
                step = steps.send(outcome)
    except StopIteration as end:
        return end.value, waits, sent
    except AdminError as error:
        return error, waits, sent


def ask_for_me(retries: int = 3, **how: Any) -> Steps[Me]:
    exchange = Exchange("http://localhost:9", retries)
    return exchange.ask(how.pop("method", "GET"), "/auth/me", Me, **how)


REPEATABLE: list[dict[str, Any]] = [
    {"method": "GET"},
    {"method": "PUT"},
    {"method": "DELETE"},
    {"method": "POST", "idempotency_key": "k"},
    {"method": "POST", "repeatable": True},
]
PASSING = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("late"),
    httpx.PoolTimeout("late"),
    httpx.ReadTimeout("late"),
    httpx.ReadError("cut"),
    httpx.RemoteProtocolError("cut"),
    *[failed(status) for status in (429, 502, 503, 504)],
]


@pytest.mark.parametrize("outcome", PASSING, ids=repr)
@pytest.mark.parametrize("how", REPEATABLE, ids=repr)
def test_an_idempotent_call_is_made_again_after_what_passes(
    how: dict[str, Any], outcome: Any
) -> None:
    value, waits, sent = play(ask_for_me(**how), [outcome, outcome, GOOD])
    assert value.name == "ada"
    assert sent == 3
    assert len(waits) == 2


@pytest.mark.parametrize("outcome", PASSING, ids=repr)
def test_a_call_that_changes_something_is_made_again_only_where_nothing_was_done(
    outcome: Any,
) -> None:
    value, _, sent = play(ask_for_me(method="POST"), [outcome, GOOD])
    if isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        assert (value.name, sent) == ("ada", 2)
    else:
        assert isinstance(value, RateLimited | Unavailable)
        assert sent == 1


@pytest.mark.parametrize(("status", "sends"), [(429, 2), (503, 2), (502, 1), (504, 1)])
def test_a_refusal_that_says_when_to_come_back_was_not_carried_out(status: int, sends: int) -> None:
    outcomes = [failed(status, Retry_After="2"), GOOD]
    value, waits, sent = play(ask_for_me(method="POST"), outcomes)
    assert sent == sends
    if sends == 2:
        assert 2 <= waits[0] <= 2 + BACKOFF
    else:
        assert value.maybe_done


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 409, 422, 500, 301])
def test_what_does_not_pass_is_not_asked_for_again(status: int) -> None:
    outcome = GOOD if status == 200 else failed(status, Location="/", Retry_After="1")
    assert play(ask_for_me(), [outcome])[2] == 1


def test_it_is_tried_again_as_often_as_said() -> None:
    for retries in (0, 1, 3):
        value, waits, sent = play(ask_for_me(retries), [failed(503)] * 9)
        assert isinstance(value, Unavailable)
        assert (len(waits), sent) == (retries, retries + 1)


def test_the_waits_are_random_and_grow_to_a_bound() -> None:
    # Full jitter: uniform from 0 to min(cap, base * 2**attempt).
    # https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    runs = [play(ask_for_me(7), [failed(502)] * 9)[1] for _ in range(200)]
    bounds = [min(LONGEST, BACKOFF * 2**attempt) for attempt in range(7)]
    assert bounds == [0.25, 0.5, 1, 2, 4, 5, 5]
    for attempt, bound in enumerate(bounds):
        waits = [run[attempt] for run in runs if len(run) > attempt]
        assert all(0 <= wait <= bound for wait in waits)
        # Of 100 and more uniform waits all would be in one half with a chance below 1e-30.
        assert min(waits) < bound / 2 < max(waits)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=8, max_size=8))
def test_all_waits_of_a_call_stay_within_the_patience(hints: list[int]) -> None:
    outcomes = [failed(429, Retry_After=str(hint)) for hint in hints]
    error, waits, sent = play(ask_for_me(7), outcomes)
    assert isinstance(error, RateLimited)
    assert sum(waits) <= PATIENCE
    assert sent == len(waits) + 1
    for hint, wait in zip(hints, waits, strict=False):
        assert wait >= hint
    assert error.retry_after == hints[len(waits)]


def test_a_wait_that_is_too_long_is_not_begun() -> None:
    error, waits, _ = play(ask_for_me(), [failed(429, Retry_After="3600")])
    assert waits == []
    assert "Try again in 3600 s" in str(error)


def test_it_is_told_where_a_call_may_have_been_carried_out() -> None:
    cut, refused = httpx.ReadError("cut"), httpx.ConnectError("refused")
    error, *_ = play(ask_for_me(method="POST"), [cut])
    assert error.maybe_done
    assert "look before you do it again" in str(error)
    error, *_ = play(ask_for_me(0, method="POST"), [refused])
    assert not error.maybe_done
    assert "Is the service up" in str(error)
    error, *_ = play(ask_for_me(0, method="POST"), [failed(503, Retry_After="1")])
    assert not error.maybe_done
    # An attempt before may have been.
    error, *_ = play(ask_for_me(1, **REPEATABLE[3]), [cut, failed(503, Retry_After="1")])
    assert error.maybe_done
    error, *_ = play(ask_for_me(1, **REPEATABLE[3]), [cut, refused])
    assert error.maybe_done


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    untrusted = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    error, waits, sent = play(ask_for_me(), [untrusted, GOOD])
    assert isinstance(error, Unavailable)
    assert (waits, sent) == ([], 1)


def test_what_a_protocol_error_quotes_is_not_told() -> None:
    # h11's message for a header that it refuses.
    quoting = httpx.LocalProtocolError("Illegal header value b'hunter2'")
    error, *_ = play(ask_for_me(0), [quoting])
    assert "LocalProtocolError" in str(error)
    assert "hunter2" not in str(error)


def test_a_deletion_that_was_cut_off_and_is_gone_when_repeated_was_done() -> None:
    exchange = Exchange("http://localhost:9", 3)
    delete = lambda: exchange.ask("DELETE", "/users/eve", type(None))  # noqa: E731
    assert play(delete(), [httpx.ReadError("cut"), failed(404)])[0] is None
    for before in ([], [httpx.ConnectError("refused")], [failed(503, Retry_After="0")]):
        value, *_ = play(delete(), [*before, failed(404)])
        assert type(value).__name__ == "NotFound"


def test_each_attempt_of_a_call_has_the_same_request_id_and_idempotency_key(
    ask: Ask, service: Service
) -> None:
    again = problem(503, "not now", {"Retry-After": "0"})
    service.tell("POST /proposals", again, again, Answer(201, answers.PROPOSAL))
    (made,) = ask(lambda c: c.proposals.create("dqn", "s", 4), url=service.url, api_key="k")
    assert made.id == "p1"
    for name in ("x-request-id", "idempotency-key"):
        assert len({seen.headers[name] for seen in service.seen}) == 1
    assert len(service.seen) == 3


def test_a_cut_connection_is_made_again(ask: Ask, service: Service) -> None:
    service.tell(ME, Answer(0, cut=True), Answer(200, answers.ME))
    (me,) = ask(lambda c: c.me(), url=service.url, api_key="k")
    assert me.name == "ada"
    assert len(service.seen) == 2


def test_a_change_is_not_sent_twice_over_a_cut_connection(ask: Ask, service: Service) -> None:
    service.tell("POST /agents/ppo/promote", Answer(0, cut=True))
    with pytest.raises(Unavailable, match="look before you do it again") as caught:
        ask(lambda c: c.agents.promote("ppo", 2), url=service.url, api_key="k")
    assert len(service.seen) == 1
    assert caught.value.request_id == service.seen[0].headers["x-request-id"]


def test_a_body_that_stalls_is_given_up_and_asked_for_again(ask: Ask, service: Service) -> None:
    service.tell(ME, Answer(200, answers.ME, stall=True), Answer(200, answers.ME))
    (me,) = ask(lambda c: c.me(), url=service.url, api_key="k", timeout=0.2, retries=9)
    assert me.name == "ada"
    service.tell(ME, Answer(200, answers.ME, stall=True))
    with pytest.raises(Unavailable, match="Timeout"):
        ask(lambda c: c.me(), url=service.url, api_key="k", timeout=0.05, retries=0)


def test_nobody_at_the_port_is_unavailable(ask: Ask, free_port: int) -> None:
    with pytest.raises(Unavailable, match=r"ConnectError.*Is the service up") as caught:
        ask(lambda c: c.me(), url=f"http://127.0.0.1:{free_port}", api_key="k", retries=1)
    assert caught.value.status is None
    assert not caught.value.maybe_done


def test_a_service_that_comes_up_meanwhile_is_reached(ask: Ask, service: Service) -> None:
    service.tell(ME, Answer(503, None, {"Retry-After": "0"}), Answer(200, answers.ME))
    assert ask(lambda c: c.me(), url=service.url, api_key="k")[0].name == "ada"


def test_a_peer_that_does_not_speak_http_is_unavailable(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Unavailable, match="Timeout"):
            ask(lambda c: c.me(), url=url, api_key="k", retries=0, timeout=0.05)


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own time is not UTC."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert retry_after(failed(429, Retry_After=str(seconds))) == seconds
    assert retry_after(failed(429, Retry_After=f" {seconds}\t")) == seconds


@pytest.mark.parametrize(
    "date",
    [
        # The three forms of RFC 9110, 5.6.7, all of the same second: 784111777 of Unix.
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_retry_after_as_a_date_counts_from_the_responses_own(date: str, far_east: None) -> None:
    for now, wait in [("08:49:30", 7), ("08:49:37", 0), ("08:50:00", 0)]:
        headers = {"Retry_After": date, "Date": f"Sun, 06 Nov 1994 {now} GMT"}
        assert retry_after(failed(503, **headers)) == wait


@settings(deadline=None)
@given(st.integers(-1000, 1000))
def test_retry_after_as_a_date_without_a_date_counts_from_now(ahead: int) -> None:
    now = 1_700_000_000
    moment = datetime.fromtimestamp(now + ahead, UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "time", SimpleNamespace(time=lambda: now + 0.25))
        wait = retry_after(failed(503, Retry_After=format_datetime(moment, usegmt=True)))
    assert wait == max(0, ahead - 0.25)


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_retry_after_that_is_neither_is_none_and_no_error(text: str) -> None:
    wait = retry_after(failed(503, Retry_After=text))
    assert wait is None or wait >= 0
    assert (wait is None) or any(character.isdigit() for character in text)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "+1", "soon", "0x10", "1e3", "٣"])
def test_retry_after_that_rfc_9110_does_not_allow_is_none(text: str) -> None:
    headers = httpx.Headers({"Retry-After": text}, encoding="utf-8")
    assert retry_after(httpx.Response(503, headers=headers)) is None


def test_retry_after_of_more_digits_than_a_number_has_is_for_ever() -> None:
    assert retry_after(failed(503, Retry_After="9" * 5000)) == float("inf")
