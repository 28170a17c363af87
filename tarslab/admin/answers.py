"""From a response to the value that it holds, or to the error that it is."""

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import NoneType
from typing import Any, TypeVar

import httpx
import msgspec

from tarslab.admin.errors import (
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
from tarslab.admin.models import Problem
from tarslab.admin.secret import HIDDEN, Secret

T = TypeVar("T")

REQUEST_ID = "X-Request-ID"
# The length from which a text counts as a secret, characters.
SHORTEST = 8


def read(response: httpx.Response, kind: type[T], accept: tuple[int, ...] = ()) -> T:
    """The value of a response: of 2xx, and of a status in ``accept`` that is no problem.

    Raises:
        AdminError: Its child for the status; Unexpected where the value is not a ``kind``.
    """
    welcome = response.is_success or (response.status_code in accept and _problem(response) is None)
    if not welcome:
        raise error_of(response)
    if kind is NoneType:
        return None  # type: ignore[return-value]
    try:
        return msgspec.json.decode(response.content, type=kind, dec_hook=_secret)
    except msgspec.DecodeError as error:
        # msgspec's messages name the member and the type, and never the value.
        raise _unexpected(response, f"is not what the API says: {error}") from None


def error_of(response: httpx.Response) -> AdminError:
    """The error that a response is."""
    status, problem, wait = response.status_code, _problem(response), retry_after(response)
    said = _said(problem)
    if status not in ERRORS:
        what = f"is {status} {response.reason_phrase}".rstrip()
        if response.next_request is not None:
            to = response.next_request.url
            what += f", a redirect to {to.scheme}://{to.host}, where no credentials are sent"
        return _unexpected(response, f"{what}: {said}" if said else what)
    kind, mend = ERRORS[status]
    if wait is not None:
        mend = f"Try again in {wait:g} s."
    elif problem is None:
        mend = f"{mend} No T.A.R.S. service said this: is the URL that of its API?"
    number = _request_id(response)
    error = kind(
        f"{_call(response)}: {said or 'no reason given'} ({status}, request {number}). {mend}",
        request_id=number,
        status=status,
        problem=problem,
        retry_after=wait,
    )
    if isinstance(error, Unavailable):
        # Of these only a 503 that says when to come back says that nothing was done.
        error.maybe_done = status != 503 or wait is None
    return error


def retry_after(response: httpx.Response) -> float | None:
    """Seconds of ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date); None without a good one.

    A date counts from the response's own ``Date``, so that the clocks need not agree.
    """
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+", text):
        return float(text)
    moment = _date(text)
    if moment is None:
        return None
    now = _date(response.headers.get("Date", ""))
    return max(0.0, moment - (time.time() if now is None else now))


def without_secrets(text: str, request: httpx.Request) -> str:
    """A text without what the request carries in secret, should the other side have echoed it.

    Of less than 8 characters a secret may be a word of the text itself, which hiding it would give
    away.
    """
    for secret in _secrets(request):
        for form in {secret, msgspec.json.encode(secret).decode()[1:-1]}:
            text = text.replace(form, HIDDEN)
    return text


ERRORS: dict[int, tuple[type[AdminError], str]] = {
    400: (Invalid, "Mend the arguments."),
    401: (Unauthorized, "Give a username and password, or an API key, that are good."),
    403: (Forbidden, "It takes a scope that these credentials lack: me() lists theirs."),
    404: (NotFound, "Look at the list of what there is."),
    409: (Conflict, "Look at its state, and do what that allows."),
    413: (Invalid, "Send less at once."),
    422: (Invalid, "Mend the arguments."),
    429: (RateLimited, "Ask less often."),
    500: (Unexpected, "The service failed: its log has more under the request id."),
    502: (Unavailable, "Try again later."),
    503: (Unavailable, "Try again later."),
    504: (Unavailable, "Try again later."),
}


def _problem(response: httpx.Response) -> Problem | None:
    """What a response says in the way of RFC 9457."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/problem+json":
        return None
    try:
        # Encoded anew, so that a secret in it is written as without_secrets expects.
        said = msgspec.json.encode(msgspec.json.decode(response.content)).decode()
        return msgspec.json.decode(without_secrets(said, response.request), type=Problem)
    except msgspec.DecodeError:
        return None


def _said(problem: Problem | None) -> str:
    if problem is None:
        return ""
    what = problem.detail or problem.title
    wrong = "; ".join(f"{error.field}: {error.message}" for error in problem.errors)
    parts = [what] if wrong in what else [what, wrong]
    return ". ".join(part.rstrip(".") for part in parts if part)


def _unexpected(response: httpx.Response, what: str) -> Unexpected:
    number = _request_id(response)
    return Unexpected(
        f"{_call(response)}: the response {what} (request {number}). Is the URL that of a T.A.R.S. "
        "API, and of this version?",
        request_id=number,
        status=response.status_code,
        problem=_problem(response),
        retry_after=retry_after(response),
    )


def _call(response: httpx.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"


def _request_id(response: httpx.Response) -> str:
    return str(response.headers.get(REQUEST_ID, response.request.headers.get(REQUEST_ID, "?")))


def _date(text: str) -> float | None:
    """An HTTP date (RFC 9110, 5.6.7) in Unix seconds."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # Of the three forms, asctime's says no zone: it is UTC.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _secret(kind: type[Any], value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"Expected `str`, got `{type(value).__name__}`")


def _secrets(request: httpx.Request) -> list[str]:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    sent = [token, request.headers.get("X-API-Key", "")]
    if request.headers.get("Content-Type") == "application/json":
        body = msgspec.json.decode(request.content)
        sent += [body.get(name, "") for name in ("password", "refresh_token")]
    return [secret for secret in sent if len(secret) >= SHORTEST]
