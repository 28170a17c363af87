"""The stack on Kubernetes: its manifests, and how they are applied to a namespace.

Everything loads when it is first used: the embedded server's container loads nothing else of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tarslab.stack.kubernetes.deploying import Deployment, deploy, planned, undeploy

__all__ = ["Deployment", "deploy", "planned", "undeploy"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        value = getattr(import_module(f"{__name__}.deploying"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
