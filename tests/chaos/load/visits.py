"""Small flows, in a module that an engine imports in no time."""

import asyncio
from typing import Any


async def one(user: Any) -> None:
    """One request."""
    await user.get("/x", name="x")


async def pausing(user: Any) -> None:
    """One request, and a while of nothing."""
    await user.get("/x", name="x")
    await asyncio.sleep(0.01)


async def slow(user: Any) -> None:
    """A request that takes half a minute."""
    await user.get("/slow/30", name="slow")
