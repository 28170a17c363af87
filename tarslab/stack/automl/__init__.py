"""The automl service: studies of Optuna over HTTP, and searches that run for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tarslab.stack.settings import Settings


def make(settings: "Settings") -> "FastAPI":
    """The service's application."""
    # Here, since the process of a search needs none of it.
    from tarslab.stack.automl.core import Automl
    from tarslab.stack.automl.routes import router
    from tarslab.stack.web.app import make_app
    from tarslab.stack.web.following import follow

    here = Automl(settings)
    return make_app(
        here,
        "T.A.R.S. automl",
        [router],
        recover=lambda: follow(here),
        background=[here.searches.keep],
    )
