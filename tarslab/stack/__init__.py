"""The reference T.A.R.S. services on Redis: processes of this machine, or pods of Kubernetes.

Everything loads when it is first used: a service loads nothing of what supervises it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tarslab.stack.kubernetes.deploying import Deployment, deploy, undeploy
    from tarslab.stack.places import ProcessStatus
    from tarslab.stack.stack import Stack, up

_NAMES = {
    "Deployment": "kubernetes.deploying",
    "ProcessStatus": "places",
    "Stack": "stack",
    "deploy": "kubernetes.deploying",
    "undeploy": "kubernetes.deploying",
    "up": "stack",
}

__all__ = ["Deployment", "ProcessStatus", "Stack", "deploy", "undeploy", "up"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
