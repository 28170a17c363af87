"""The orchestration service: the admin API, and the way to the other two services."""

from fastapi import FastAPI

from tarslab.stack.audit.log import keep_checkpoints
from tarslab.stack.orchestration import (
    agents,
    api_keys,
    audit,
    auth,
    gateway,
    jwt,
    maintenance,
    setup,
    users,
)
from tarslab.stack.orchestration.core import Core
from tarslab.stack.settings import Settings
from tarslab.stack.web.app import make_app

ROUTERS = tuple(
    part.router for part in (auth, users, agents, api_keys, jwt, audit, maintenance, gateway)
)


def make(settings: Settings) -> FastAPI:
    """The service's application."""
    behind = {"automl": settings.automl_url, "hypersync": settings.hypersync_url}
    core = Core(settings, agents.Agents(), gateway.Gateway(behind))

    async def prepare() -> None:
        await core.agents.load_all()

    async def recover() -> None:
        await setup.recover(core)
        await agents.begin(core)

    async def checkpoint() -> None:
        await keep_checkpoints(
            core.store,
            core.checkpoints,
            lambda: core.now,
            settings.checkpoint_records,
            settings.checkpoint_seconds,
        )

    return make_app(
        core,
        "T.A.R.S. orchestration",
        ROUTERS,
        recover=recover,
        prepare=prepare,
        background=[checkpoint],
    )
