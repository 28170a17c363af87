"""The way to the services behind orchestration: one address for clients."""

import asyncio
import time

import httpx
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from tarslab.stack.orchestration.core import HereCore
from tarslab.stack.web.access import Known
from tarslab.stack.web.problems import Problem, wait

router = APIRouter()

PASSED = ("authorization", "x-api-key", "content-type", "accept", "idempotency-key")
RETURNED = (
    "content-type",
    "retry-after",
    "www-authenticate",
    "allow",
    "x-mode",
    "ratelimit",
    "ratelimit-policy",
)
SECONDS = httpx.Timeout(10, connect=1)
HEALTH_SECONDS = 2.0


class ServiceHealth(BaseModel):
    """One service, as orchestration sees it."""

    ready: bool
    mode: str | None
    seconds: float | None
    detail: str | None = None


class Services(BaseModel):
    """All services."""

    services: dict[str, ServiceHealth]


class _Readiness(BaseModel):
    mode: str


class Gateway:
    """Connections to the services behind orchestration."""

    def __init__(self, urls: dict[str, str | None]) -> None:
        self._urls = urls
        self._client = httpx.AsyncClient(timeout=SECONDS, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def passed_on(self, service: str, request: Request) -> Response:
        """The service's answer to the request; 503 where it gives none."""
        url = self._urls[service]
        if url is None:
            raise wait(503, f"this stack has no {service}", 60)
        path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii")
        query = request.scope["query_string"].decode("ascii", "replace")
        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        headers["x-request-id"] = request.scope["request_id"]
        try:
            answer = await self._client.request(
                request.method,
                f"{url}{path}" + (f"?{query}" if query else ""),
                headers=headers,
                content=await request.body(),
            )
        except httpx.TransportError as error:
            raise wait(503, f"{service} does not answer ({type(error).__name__})", 2) from None
        except httpx.InvalidURL:
            raise Problem(404, "no such path") from None
        kept = {name: answer.headers[name] for name in RETURNED if name in answer.headers}
        return Response(answer.content, answer.status_code, headers=kept)

    async def health(self, service: str) -> ServiceHealth:
        """Whether a service is ready, and how long it took to say so."""
        url = self._urls[service]
        if url is None:
            return ServiceHealth(ready=False, mode=None, seconds=None, detail="not configured")
        start = time.perf_counter()
        try:
            answer = await self._client.get(f"{url}/health/ready", timeout=HEALTH_SECONDS)
            mode = _Readiness.model_validate_json(answer.content).mode
        except (httpx.TransportError, ValueError) as error:
            return ServiceHealth(ready=False, mode=None, seconds=None, detail=type(error).__name__)
        seconds = time.perf_counter() - start
        return ServiceHealth(ready=answer.status_code == 200, mode=mode, seconds=seconds)


@router.get("/health/services", tags=["health"])
async def services(here: HereCore, caller: Known) -> Services:
    """Each service's health."""
    behind = ("automl", "hypersync")
    found = await asyncio.gather(*(here.gateway.health(name) for name in behind))
    own = ServiceHealth(ready=True, mode=here.mode, seconds=0.0)
    return Services(services={here.service: own, **dict(zip(behind, found, strict=True))})


async def studies(request: Request, here: HereCore, caller: Known) -> Response:
    """automl's: see its own OpenAPI."""
    return await here.gateway.passed_on("automl", request)


async def proposals(request: Request, here: HereCore, caller: Known) -> Response:
    """hypersync's: see its own OpenAPI."""
    return await here.gateway.passed_on("hypersync", request)


for _path, _endpoint in (
    ("/studies", studies),
    ("/objectives", studies),
    ("/proposals", proposals),
):
    for _below in ("", "/{path:path}"):
        router.add_api_route(
            _path + _below, _endpoint, methods=["GET", "POST", "DELETE"], include_in_schema=False
        )
