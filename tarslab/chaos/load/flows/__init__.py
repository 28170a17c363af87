"""Flows: what one user does in an iteration, as Python functions by name.

    @flow
    async def browse(user):
        agents = await user.get("/agents", name="agents")
        user.check("agents are listed", agents.ok)

A scenario names its flow by ``exec``. Those that come with tarslab are ``mixed``, ``jwt``
and ``jwt_thinking``.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from tarslab.errors import BadArgument

if TYPE_CHECKING:
    from tarslab.chaos.load.flows.user import User

Function = Callable[["User"], Awaitable[object]]

FLOWS: dict[str, "Flow"] = {}


@dataclass(frozen=True)
class Flow:
    """What one user does, and its twin for k6."""

    name: str
    function: Function
    k6: Path | None = None
    """JavaScript that defines a function of the same name, which does the same."""


@overload
def flow(function: Function) -> Function: ...
@overload
def flow(*, name: str | None = None, k6: Path | None = None) -> Callable[[Function], Function]: ...
def flow(
    function: Function | None = None, *, name: str | None = None, k6: Path | None = None
) -> Function | Callable[[Function], Function]:
    """Register a flow: ``async def`` of a ``User``, by its own name or ``name``.

    k6: a file of JavaScript that defines a function of the same name which does the same, for
        ``engine="k6"`` and exports; how it finds its helpers is shown by those of tarslab.
    """

    def register(function: Function) -> Function:
        of = name or str(getattr(function, "__name__", ""))
        FLOWS[of] = Flow(of, function, k6)
        return function

    return register if function is None else register(function)


def find(names: Iterable[str], given: Mapping[str, Function] | None = None) -> dict[str, Flow]:
    """The flows of these names: given, registered, or shipped.

    Raises:
        BadArgument: There is none of a name; the message lists those there are.
    """
    import tarslab.chaos.load.flows.shipped  # noqa: F401

    known = FLOWS | {name: Flow(name, function) for name, function in (given or {}).items()}
    for name in names:
        if name not in known:
            raise BadArgument(
                f"exec: no flow {name!r}; there are {', '.join(sorted(known))}. Register yours by "
                "@tarslab.chaos.load.flow, or give it by flows="
            )
    return {name: known[name] for name in names}
