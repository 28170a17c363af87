"""The HTTP API of Toxiproxy 2, so that its clients can drive the proxies."""

from collections.abc import Awaitable, Callable, Iterator

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tarslab.chaos.proxy.proxies import Proxies, Refused

# Of Toxiproxy, whose API this is.
VERSION = "2.12.0+tarslab"

Answer = tuple[object, int]
CREATED, NOTHING = 201, 204


def application(proxies: Proxies) -> ASGIApp:
    """The API over these proxies."""
    return _NoBrowsers(
        Starlette(
            routes=list(_routes(_Api(proxies))),
            exception_handlers={Refused: _refused, HTTPException: _refused},
        )
    )


class _Api:
    """What each request does; documented at https://github.com/Shopify/toxiproxy#http-api."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies

    async def version(self, _: Request) -> Answer:
        return {"version": VERSION}, 200

    async def reset(self, _: Request) -> Answer:
        await self._proxies.reset()
        return None, NOTHING

    async def proxies(self, _: Request) -> Answer:
        return {proxy.name: proxy.shown() for proxy in self._proxies.all()}, 200

    async def create(self, request: Request) -> Answer:
        return (await self._proxies.create(await request.body())).shown(), CREATED

    async def populate(self, request: Request) -> Answer:
        made = await self._proxies.populate(await request.body())
        return {"proxies": [proxy.shown() for proxy in made]}, CREATED

    async def proxy(self, request: Request) -> Answer:
        return self._proxies.named(request.path_params["proxy"]).shown(), 200

    async def update(self, request: Request) -> Answer:
        name = request.path_params["proxy"]
        return (await self._proxies.update(name, await request.body())).shown(), 200

    async def delete(self, request: Request) -> Answer:
        self._proxies.delete(request.path_params["proxy"])
        return None, NOTHING

    async def toxics(self, request: Request) -> Answer:
        return self._proxies.named(request.path_params["proxy"]).in_order(), 200

    async def add_toxic(self, request: Request) -> Answer:
        body = await request.body()
        return self._proxies.named(request.path_params["proxy"]).add(body), 200

    async def toxic(self, request: Request) -> Answer:
        proxy = self._proxies.named(request.path_params["proxy"])
        return proxy.toxic(request.path_params["toxic"]), 200

    async def change_toxic(self, request: Request) -> Answer:
        body = await request.body()
        proxy = self._proxies.named(request.path_params["proxy"])
        return proxy.change(request.path_params["toxic"], body), 200

    async def remove_toxic(self, request: Request) -> Answer:
        self._proxies.named(request.path_params["proxy"]).remove(request.path_params["toxic"])
        return None, NOTHING


class _NoBrowsers:
    """Turns away browsers, as Toxiproxy does: a page from elsewhere must not reach this API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        agents = [value for name, value in scope.get("headers", ()) if name == b"user-agent"]
        if any(agent.startswith(b"Mozilla/") for agent in agents):
            await Response("User agent not allowed\n", 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _routes(api: _Api) -> Iterator[Route]:
    proxy, toxics = "/proxies/{proxy}", "/proxies/{proxy}/toxics"
    for method, path, work in (
        ("GET", "/version", api.version),
        ("POST", "/reset", api.reset),
        ("GET", "/proxies", api.proxies),
        ("POST", "/proxies", api.create),
        ("POST", "/populate", api.populate),
        ("GET", proxy, api.proxy),
        ("POST", proxy, api.update),
        ("PATCH", proxy, api.update),
        ("DELETE", proxy, api.delete),
        ("GET", toxics, api.toxics),
        ("POST", toxics, api.add_toxic),
        ("GET", toxics + "/{toxic}", api.toxic),
        ("POST", toxics + "/{toxic}", api.change_toxic),
        ("PATCH", toxics + "/{toxic}", api.change_toxic),
        ("DELETE", toxics + "/{toxic}", api.remove_toxic),
    ):
        yield Route(path, _endpoint(work), methods=[method])


def _endpoint(
    work: Callable[[Request], Awaitable[Answer]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        content, status = await work(request)
        if status == NOTHING:
            return Response(status_code=NOTHING)
        return Response(msgspec.json.encode(content), status, media_type="application/json")

    return endpoint


async def _refused(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refused) else getattr(error, "status_code", 500)
    content = {"error": str(error), "status": status}
    return Response(msgspec.json.encode(content), status, media_type="application/json")
