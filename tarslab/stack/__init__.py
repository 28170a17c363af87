"""The reference T.A.R.S. services on Redis: processes of this machine, or pods of Kubernetes.

Everything loads when it is first used: a service loads nothing of what supervises it.
"""

from typing import TYPE_CHECKING

from tarslab.lazy import doors

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

__getattr__, __dir__ = doors(__name__, _NAMES)
