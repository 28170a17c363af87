"""Where and with what something was measured."""

import os
import platform as machine
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import tarslab
from tarslab.cores import cores

if TYPE_CHECKING:
    from tarslab.chaos.platforms import Platform

PACKAGES = ("aiohttp", "chaostoolkit-lib", "kubernetes", "pyarrow", "uvicorn")


def environment(platform: "Platform") -> dict[str, Any]:
    """Versions, and the machine and platform; no secret, and no name of a host."""
    return {
        "tarslab": tarslab.__version__,
        "python": machine.python_version(),
        "system": machine.platform(),
        "cores": cores(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.describe(),
    }


def measured_on(environment: Mapping[str, Any]) -> str:
    """The platform, its version and the machine, in one line."""
    platform = environment.get("platform")
    if not isinstance(platform, Mapping):
        return str(platform or "where is not known")
    here = f"{environment['system']}, {environment['cores']} cores"
    if platform.get("platform") != "kubernetes":
        return f"{platform['version']}, {here}"
    nodes = platform.get("nodes")
    size = "" if nodes is None else ", single node" if nodes == 1 else f", {nodes} nodes"
    where = f"namespace {platform['namespace']} of {platform['context']}"
    return f"{platform['version']}{size}, {where}; measured from {here}"
