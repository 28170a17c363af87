"""Where faults are done: the embedded stack on this machine, or a Kubernetes cluster.

Everything loads when it is first used.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tarslab.errors import PlatformFailed
from tarslab.lazy import doors

if TYPE_CHECKING:
    from tarslab.chaos.platforms.errors import PlatformGone
    from tarslab.chaos.platforms.kubernetes import KubernetesPlatform
    from tarslab.chaos.platforms.local import LocalPlatform
    from tarslab.chaos.platforms.platform import Call, Platform, Unit

_NAMES = {
    "Call": "platform",
    "KubernetesPlatform": "kubernetes",
    "LocalPlatform": "local",
    "Platform": "platform",
    "PlatformGone": "errors",
    "Unit": "platform",
}

__all__ = [
    "Call",
    "KubernetesPlatform",
    "LocalPlatform",
    "Platform",
    "PlatformFailed",
    "PlatformGone",
    "Unit",
    "connect",
]


def connect(reference: Mapping[str, Any]) -> "Platform":
    """The platform of a ``reference()``; PlatformGone where it is not there any more."""
    kind, where = reference.get("kind"), {k: v for k, v in reference.items() if k != "kind"}
    if kind == "local":
        from tarslab.chaos.platforms.local import LocalPlatform

        return LocalPlatform.at(**where)
    if kind == "kubernetes":
        from tarslab.chaos.platforms.kubernetes import KubernetesPlatform

        found: Platform = KubernetesPlatform(**where)
        return found
    raise PlatformFailed(f"a platform of the kind {kind!r} is not known")


__getattr__, __dir__ = doors(__name__, _NAMES)
