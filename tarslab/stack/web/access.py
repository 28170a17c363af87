"""``allowed(scope)``: the routes' way to say who may call them."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from tarslab.stack.security.scopes import Scope
from tarslab.stack.web.context import Caller, Here
from tarslab.stack.web.problems import Problem

# Named in OpenAPI; the context reads the headers itself, so that its errors are problems.
_SCHEMES = (
    Security(HTTPBearer(auto_error=False, bearerFormat="JWT", scheme_name="access token")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="API key")),
)


async def signed_in(
    request: Request,
    here: Here,
    _bearer: Annotated[Any, _SCHEMES[0]],
    _key: Annotated[Any, _SCHEMES[1]],
) -> Caller:
    """Anybody known."""
    return await here.authenticate(request)


Known = Annotated[Caller, Depends(signed_in)]


def allowed(scope: Scope) -> Any:
    """A caller who has the scope; all others are answered 403, which is audited."""

    async def caller(request: Request, here: Here, known: Known) -> Caller:
        if scope not in known.scopes:
            target = f"{request.method} {request.url.path}"
            event = known.event(here.now, "access.denied", target, "denied", scope=scope.value)
            await here.store.record(event)
            raise Problem(403, f"this needs the scope {scope.value}, which {known.name} lacks")
        return known

    return Depends(caller)
