"""What orchestration has beyond every service's context: the secrets that sign, the agents."""

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from tarslab.errors import BadArgument
from tarslab.stack.audit.checkpoints import Checkpoints
from tarslab.stack.security.limits import Limit
from tarslab.stack.security.passwords import Passwords
from tarslab.stack.security.sealing import Seal, derive
from tarslab.stack.settings import Settings
from tarslab.stack.web.context import Context

if TYPE_CHECKING:
    from tarslab.stack.orchestration.agents import Agents
    from tarslab.stack.orchestration.gateway import Gateway


class Core(Context):
    """The context of orchestration."""

    def __init__(self, settings: Settings, agents: "Agents", gateway: "Gateway") -> None:
        super().__init__("orchestration", settings)
        if settings.signing_secret is None:
            raise BadArgument("orchestration needs TARSLAB_STACK_SIGNING_SECRET")
        secret = settings.signing_secret.get_secret_value()
        self.agents = agents
        self.gateway = gateway
        self.seal = Seal(secret, "signing-keys")
        self.refresh_key = derive(secret, "refresh-tokens")
        self.api_key_key = derive(secret, "api-keys")
        self.passwords = Passwords(settings.argon2_memory_kib, settings.argon2_iterations)
        self.checkpoints = Checkpoints(settings.data, secret)
        refill = 1 / settings.login_refill_seconds
        self.failures_of_user = Limit("login-user", settings.login_failures_per_user, refill)
        self.failures_of_address = Limit(
            "login-address", settings.login_failures_per_address, refill
        )

    async def close(self) -> None:
        """Give connections and threads back."""
        self.passwords.close()
        await self.gateway.close()
        await super().close()


def core_of(request: Request) -> Core:
    """Orchestration's context."""
    core = request.app.state.context
    assert isinstance(core, Core)
    return core


HereCore = Annotated[Core, Depends(core_of)]
