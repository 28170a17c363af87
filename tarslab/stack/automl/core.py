"""What automl has beyond every service's context: studies to read, and searches that run."""

from typing import Annotated

from fastapi import Depends, Request

from tarslab.stack.automl.searches import Searches
from tarslab.stack.automl.studies import Studies
from tarslab.stack.settings import Settings
from tarslab.stack.web.context import Context


class Automl(Context):
    """The context of automl."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("automl", settings)
        redis_url = settings.redis_url.get_secret_value()
        self.studies = Studies(settings.recordings, redis_url, settings.redis_timeout)
        self.searches = Searches(self.store, redis_url, lambda: self.now)

    async def close(self) -> None:
        """Give connections and threads back."""
        self.studies.close()
        await super().close()


def automl_of(request: Request) -> Automl:
    """automl's context."""
    here = request.app.state.context
    assert isinstance(here, Automl)
    return here


HereAutoml = Annotated[Automl, Depends(automl_of)]
