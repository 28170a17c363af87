"""Errors as the API tells them: problem+json (RFC 9457), each with its request's id."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: ("bad-request", "The request cannot be read"),
    401: ("unauthorized", "Sign in first"),
    403: ("forbidden", "Not allowed"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Not a method of this resource"),
    409: ("conflict", "At odds with the present state"),
    413: ("too-large", "The request is too large"),
    422: ("invalid", "The request does not say what is needed"),
    429: ("rate-limited", "Too many requests"),
    500: ("internal", "An error of the server"),
    502: ("bad-gateway", "A service behind this one does not answer"),
    503: ("unavailable", "Not possible at the moment"),
}


class FieldError(BaseModel):
    """What is wrong with one member of a request."""

    field: str
    message: str


class ProblemBody(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldError] | None = None


class Problem(Exception):
    """Answer the request with an error."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = list(errors)


def unauthorized(detail: str) -> Problem:
    """401, with the way to authenticate."""
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


def not_found(what: str) -> Problem:
    """404."""
    return Problem(404, f"no {what}")


def invalid(field: str, message: str) -> Problem:
    """422, at a member of the body."""
    return Problem(422, f"{field}: {message}", errors=[FieldError(field=field, message=message)])


def wait(status: int, detail: str, seconds: float) -> Problem:
    """An error that passes: 409, 429 or 503 with ``Retry-After``."""
    return Problem(status, detail, headers={"Retry-After": str(max(1, -int(-seconds // 1)))})


def answer(request: Request, problem: Problem) -> JSONResponse:
    """The response that tells of a problem."""
    slug, title = TITLES.get(problem.status, ("error", HTTPStatus(problem.status).phrase))
    body = ProblemBody(
        type=f"urn:tarslab:problem:{slug}",
        title=title,
        status=problem.status,
        detail=problem.detail,
        instance=request.url.path,
        request_id=request.scope.get("request_id", ""),
        errors=problem.errors or None,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def tell_problems(app: FastAPI) -> None:
    """Have all errors of an app told as problems."""

    async def problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return answer(request, error)

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        told = Problem(error.status_code, str(error.detail), headers=error.headers)
        return answer(request, told)

    async def validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # Never what was sent: it may be a password.
        errors = [FieldError(field=_field(part), message=part["msg"]) for part in error.errors()]
        detail = "; ".join(f"{part.field}: {part.message}" for part in errors)
        return answer(request, Problem(422, detail, errors=errors))

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, validation)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the problems that an operation can answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": TITLES[status][1], "content": content} for status in statuses}


def _field(part: Mapping[str, Any]) -> str:
    where = [str(name) for name in part["loc"] if name not in ("body", "query", "path", "header")]
    return ".".join(where) or "body"
