"""Each method of a resource is written once, as the steps of its call, and works in both clients.

``endpoint`` makes a method that returns steps into one that runs them: of a resource of
``AdminClient`` it returns the result, of one of ``AsyncAdminClient`` a coroutine of it. ``listing``
does so for lists. Type checkers and editors see the same.
"""

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, get_args, overload
from urllib.parse import quote

from tarslab.admin.exchange import Steps
from tarslab.admin.models import Model
from tarslab.admin.pages import AsyncPages, Listing, Pages
from tarslab.admin.running import Awaiting, Blocking
from tarslab.errors import BadArgument

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=Model)
R = TypeVar("R", bound=Blocking | Awaiting)


class Resource(Generic[R]):
    """Some endpoints of an API, and what runs their calls."""

    def __init__(self, runner: R) -> None:
        self._runner: R = runner

    def _ask(self, method: str, path: str, kind: type[T], **how: Any) -> Steps[T]:
        return self._runner.exchange.ask(method, path, kind, **how)

    def _list(self, path: str, kind: type[M], **params: Any) -> Listing[M]:
        return Listing(self._runner.exchange, path, kind, params)


class Endpoint(Protocol[P, T_co]):
    """A method that returns in a blocking client, and is awaited in one of asyncio."""

    @overload
    def __get__(
        self, resource: Resource[Blocking], owner: object = ..., /
    ) -> Callable[P, T_co]: ...
    @overload
    def __get__(
        self, resource: Resource[Awaiting], owner: object = ..., /
    ) -> Callable[P, Coroutine[Any, Any, T_co]]: ...


class ListEndpoint(Protocol[P, M]):
    """A method that returns an iterator, in a client of asyncio an asynchronous one."""

    @overload
    def __get__(
        self, resource: Resource[Blocking], owner: object = ..., /
    ) -> Callable[P, Pages[M]]: ...
    @overload
    def __get__(
        self, resource: Resource[Awaiting], owner: object = ..., /
    ) -> Callable[P, AsyncPages[M]]: ...


def endpoint(describe: Callable[Concatenate[Any, P], Steps[T]]) -> Endpoint[P, T]:
    """A method from one that gives the steps of its call."""

    @wraps(describe)
    def method(resource: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        return resource._runner.run(describe(resource, *args, **kwargs))

    return cast(Endpoint[P, T], _returning(method, get_args(_returned(describe))[-1]))


def listing(describe: Callable[Concatenate[Any, P], Listing[M]]) -> ListEndpoint[P, M]:
    """A method from one that says which list it is."""

    @wraps(describe)
    def method(resource: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        return resource._runner.pages(describe(resource, *args, **kwargs))

    return cast(ListEndpoint[P, M], _returning(method, Pages[get_args(_returned(describe))[0]]))  # type: ignore[misc]


def path(*segments: str | int) -> str:
    """A path of segments, each quoted.

    Raises:
        BadArgument: A segment is empty, or leads elsewhere.
    """
    texts = [str(segment) for segment in segments]
    if bad := [text for text in texts if text in ("", ".", "..")]:
        raise BadArgument(f"{bad[0]!r} is no name of anything")
    return "".join(f"/{quote(text, safe='')}" for text in texts)


def _returned(describe: Callable[..., Any]) -> Any:
    return inspect.signature(describe).return_annotation


def _returning(method: Callable[..., Any], kind: Any) -> Callable[..., Any]:
    """The method, with the result in the signature that a notebook shows."""
    shown = inspect.signature(method).replace(return_annotation=kind)
    method.__signature__ = shown  # type: ignore[attr-defined]
    return method
