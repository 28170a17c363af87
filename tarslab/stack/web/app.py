"""A service as an ASGI application: request ids, sizes, metrics, health, and background work."""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tarslab import __version__
from tarslab.stack.audit.chain import Event
from tarslab.stack.store import StoreDown, without_text
from tarslab.stack.web.context import USED, Context, address_of
from tarslab.stack.web.problems import (
    MEDIA_TYPE,
    Problem,
    ProblemBody,
    answer,
    responses,
    tell_problems,
    wait,
)

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
RETRY_SECONDS = 2
FLUSH_SECONDS = 1.0

Work = Callable[[], Coroutine[Any, Any, None]]


def make_app(
    context: Context,
    title: str,
    routers: Sequence[APIRouter],
    *,
    recover: Work,
    prepare: Work | None = None,
    background: Sequence[Work] = (),
) -> FastAPI:
    """The application of a service.

    ``prepare`` is awaited before anything else. ``recover`` is awaited when Redis is there, at the
    start and after each outage, before requests use it. ``background`` runs as long as the service
    does.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        if prepare is not None:
            await prepare()
        await context.store.look(recover)
        if not context.store.up:
            _enter_legacy(context)
        works: list[Work] = [
            lambda: context.store.watch(recover),
            lambda: _follow(context),
            lambda: _flush_used(context),
            *background,
        ]
        tasks = [asyncio.create_task(_lasting(work)) for work in works]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await context.close()

    app = FastAPI(
        title=title,
        version=__version__,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        responses=responses(401, 403, 422, 429, 503),
        redirect_slashes=False,
    )
    app.state.context = context
    context.store.went_down = lambda: _enter_legacy(context)
    tell_problems(app)
    app.add_exception_handler(StoreDown, _refused)
    app.include_router(_public(context))
    for router in routers:
        app.include_router(router)
    app.add_middleware(_Envelope, context=context)
    _document_problems(app)
    return app


async def recover_audit(context: Context) -> None:
    """Replay what waited on disk, and say that Redis is back."""
    if context.queue.damaged:
        detail = {"lines": context.queue.damaged}
        await _own_event(context, "audit.queue", "failed", detail)
        context.queue.damaged = 0
    count = await context.store.replay()
    context.metrics.legacy.set(0)
    context.metrics.queued.set(len(context.queue))
    if count:
        context.metrics.replayed.inc(count)
        log.info("Redis is back: %d audit events replayed", count)
        await _own_event(context, "mode.normal", "ok", {"replayed": count})


async def _own_event(context: Context, action: str, result: str, detail: dict[str, Any]) -> None:
    event = Event(context.now, context.service, action, "redis", result, detail=detail)
    await context.store.record(event)


def _enter_legacy(context: Context) -> None:
    context.metrics.legacy.set(1)
    if context.snapshots.current is not None:
        event = Event(context.now, context.service, "mode.legacy", "redis", "ok", mode="legacy")
        context.queue.put(event)
    context.metrics.queued.set(len(context.queue))


async def _lasting(work: Work) -> None:
    """Do background work again where an error ended it, such as a full disk."""
    while True:
        try:
            return await work()
        except Exception as error:
            log.error("background work failed, and is begun again: %s", without_text(error))
        await asyncio.sleep(RETRY_SECONDS)


async def _follow(context: Context) -> None:
    """Have the snapshot the latest also while nobody asks: it is what serves when Redis goes."""
    while True:
        await asyncio.sleep(context.settings.redis_probe_seconds)
        with suppress(StoreDown):
            await context.snapshots.refresh(context.store, context.now)


async def _flush_used(context: Context) -> None:
    """Write down when API keys were last used: not at every request, and not audited."""
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        used, context.used = context.used, {}
        if used:
            times = {key: str(time) for key, time in used.items()}
            try:
                await context.store.call(
                    lambda redis, times=times: redis.hset(USED, mapping=times)  # type: ignore[misc]
                )
            except StoreDown:
                context.used = {**used, **context.used}


async def _refused(request: Request, error: Exception) -> Response:
    """A request that needs Redis while it is out: refused rather than lost."""
    context: Context = request.app.state.context
    what = f"{request.method} {request.url.path}"
    caller = request.scope.get("caller")
    # Not of anybody: they could fill the disk.
    if caller is not None and request.method not in ("GET", "HEAD"):
        event = Event(
            context.now,
            caller,
            "mode.refused",
            what,
            "refused",
            request.scope.get("request_id", ""),
            address_of(request),
            "legacy",
        )
        context.queue.put(event)
    detail = f"Redis is out: {what} is refused rather than lost; try again"
    return answer(request, wait(503, detail, RETRY_SECONDS))


def _public(context: Context) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @router.get("/health/ready", responses=responses(503))
    async def ready() -> Response:
        """Requests are served, if need be in legacy mode."""
        seconds = await context.store.ping()
        known = context.snapshots.current is not None
        body = {
            "status": "ready" if known else "starting",
            "service": context.service,
            "mode": context.mode,
            "store": {"up": seconds is not None, "seconds": seconds},
            "snapshot_age": context.snapshot_age,
        }
        return Response(json.dumps(body), 200 if known else 503, media_type="application/json")

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """For Prometheus."""
        context.metrics.queued.set(len(context.queue))
        return Response(
            generate_latest(context.metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4
        )

    return router


class _Envelope:
    """Around each request: its id, its size, its time, and an answer whatever happens."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        request = Request(scope)
        given = request.headers.get("x-request-id", "")
        scope["request_id"] = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        status = 500

        async def enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._headers(scope, message)]
            await send(message)

        try:
            if not {".", ".."}.isdisjoint(scope["path"].split("/")):
                # It could be read in another way by what it is passed on to.
                raise Problem(404, "no such path")
            await self._app(scope, self._limited(request, receive), enveloped)
        except Problem as problem:
            await answer(request, problem)(scope, receive, enveloped)
        except Exception as error:
            log.error("request %s failed: %s", scope["request_id"], without_text(error))
            if status == 500:
                detail = "something went wrong here; its log has the request id"
                await answer(request, Problem(500, detail))(scope, receive, enveloped)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            metrics = self._context.metrics
            metrics.requests.labels(scope["method"], route, status).inc()
            taken = time.perf_counter() - start
            metrics.request_seconds.labels(scope["method"], route).observe(taken)

    def _headers(self, scope: Scope, message: Message) -> list[tuple[bytes, bytes]]:
        headers = {
            "x-request-id": scope["request_id"],
            "x-mode": self._context.mode,
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
            **{name.lower(): value for name, value in scope.get("ratelimit", {}).items()},
        }
        said = {name for name, _ in message["headers"]}
        made = [(name.encode(), value.encode()) for name, value in headers.items()]
        return [(name, value) for name, value in made if name not in said]

    def _limited(self, request: Request, receive: Receive) -> Receive:
        """The body, up to the size that is allowed."""
        most = self._context.settings.max_body_bytes
        detail = f"a body may have {most} bytes"
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise Problem(413, detail)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                # FastAPI makes any other error of reading a body into a 400.
                raise HTTPException(413, detail)
            return message

        return counted


def _document_problems(app: FastAPI) -> None:
    """OpenAPI with the schema of problems, in place of FastAPI's own of validation errors."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        schema = made()
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        definition = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(definition.pop("$defs", {}))
        schemas["ProblemBody"] = definition
        for path in schema["paths"].values():
            for operation in path.values():
                with suppress(KeyError):
                    found = operation["responses"]["422"]["content"]
                    found.pop("application/json", None)
                    found[MEDIA_TYPE] = {"schema": {"$ref": "#/components/schemas/ProblemBody"}}
                if "requestBody" in operation:
                    for status, told in responses(400, 413).items():
                        operation["responses"].setdefault(str(status), told)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
