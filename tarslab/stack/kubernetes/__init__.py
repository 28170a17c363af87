"""The stack on Kubernetes: its manifests, and how they are applied to a namespace.

Everything loads when it is first used: the embedded server's container loads nothing else of it.
"""

from typing import TYPE_CHECKING

from tarslab.lazy import doors

if TYPE_CHECKING:
    from tarslab.stack.kubernetes.deploying import Deployment, deploy, planned, undeploy

__all__ = ["Deployment", "deploy", "planned", "undeploy"]

__getattr__, __dir__ = doors(__name__, dict.fromkeys(__all__, "deploying"))
