"""Calls of both clients, one after the other."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Protocol

from tarslab.admin import AdminClient, AsyncAdminClient
from tarslab.admin.pages import AsyncPages, Pages

Call = Callable[[Any], Any]


class Ask(Protocol):
    """Makes a client with some settings, and gives the results of calls, one after the other."""

    def __call__(self, *calls: Call, **settings: Any) -> list[Any]: ...


def ask_blocking(*calls: Call, **settings: Any) -> list[Any]:
    """What calls of an AdminClient give; lists as lists."""
    with AdminClient(**settings) as client:
        results = [call(client) for call in calls]
        return [list(came) if isinstance(came, Pages) else came for came in results]


def ask_awaiting(*calls: Call, **settings: Any) -> list[Any]:
    """What calls of an AsyncAdminClient give; lists as lists."""

    async def main() -> list[Any]:
        async with AsyncAdminClient(**settings) as client:
            results = []
            for call in calls:
                came = call(client)
                if isinstance(came, AsyncPages):
                    came = [item async for item in came]
                results.append(await came if isawaitable(came) else came)
            return results

    return asyncio.run(main())
