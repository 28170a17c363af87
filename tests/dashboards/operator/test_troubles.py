"""What a person sees of each error."""

import pytest

from tarslab.admin import (
    AdminError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    Unexpected,
)
from tarslab.admin.models import FieldError, Problem
from tarslab.dashboards.operator.troubles import BadField, Kind, Trouble, trouble_of
from tarslab.errors import BadArgument


def of(kind: type[AdminError], status: int, **more: object) -> Trouble:
    """A refusal with a reason, as it is shown."""
    problem = Problem(detail="no such thing", errors=(FieldError("name", "is empty"),))
    error = kind("GET /x: long", request_id="r1", status=status, problem=problem, **more)  # type: ignore[arg-type]
    return trouble_of(error)


@pytest.mark.parametrize(
    ("kind", "status", "means"),
    [
        (Unauthorized, 401, Kind.SIGNED_OUT),
        (Forbidden, 403, Kind.DENIED),
        (NotFound, 404, Kind.REFUSED),
        (Conflict, 409, Kind.REFUSED),
        (Invalid, 422, Kind.REFUSED),
        (RateLimited, 429, Kind.WAIT),
        (Unavailable, 503, Kind.UNREACHABLE),
        (Unexpected, 500, Kind.BROKEN),
    ],
)
def test_every_error_means_one_thing_and_is_told_in_the_services_words(kind, status, means) -> None:
    trouble = of(kind, status)
    assert trouble.kind is means
    assert trouble.text == "No such thing. (Request r1.)"


def test_every_child_of_the_clients_errors_is_told() -> None:
    known = {Unauthorized, Forbidden, NotFound, Conflict, Invalid, RateLimited, Unavailable}
    assert {*AdminError.__subclasses__()} == known | {Unexpected}


def test_a_refusal_that_passes_says_when() -> None:
    assert of(RateLimited, 429, retry_after=7.0).seconds == 7
    assert of(RateLimited, 429).seconds == 1
    early = of(Conflict, 409, retry_after=24.0)
    assert (early.kind, early.seconds) == (Kind.WAIT, 24)


def test_what_is_wrong_stands_at_its_field() -> None:
    assert of(Invalid, 422).fields == {"name": "is empty"}
    mine = trouble_of(BadField("since", "is no date and time"))
    assert (mine.kind, mine.fields) == (Kind.REFUSED, {"since": "Is no date and time."})


def test_no_answer_is_said_in_few_words_and_whether_it_may_have_been_done() -> None:
    error = Unavailable("POST /x: no answer of http://host (ReadTimeout; request 1). Long.")
    error.maybe_done = True
    assert trouble_of(error) == Trouble(
        Kind.UNREACHABLE, "The service does not answer.", maybe_done=True
    )


def test_an_answer_without_a_reason_is_quoted_whole() -> None:
    error = Unexpected("GET /x: the response is a page. Is the URL right?")
    assert trouble_of(error).text == "GET /x: the response is a page. Is the URL right?"
    assert trouble_of(BadArgument("no URL")).text == "No URL."
