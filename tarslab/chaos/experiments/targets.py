"""Where the users of an experiment go on a platform, unless somebody says."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tarslab.chaos.platforms import Platform
from tarslab.stack import Stack
from tarslab.stack.places import Place

# It passes on what is for the others.
ENTRANCE = "orchestration"


def target_of(platform: Platform) -> str | Stack | None:
    """The stack of a platform, or in a cluster the URL of its orchestration; None where neither."""
    where = platform.reference()
    if where.get("kind") == "local":
        return Stack.attached(Place(Path(where["folder"])))
    if where.get("kind") == "kubernetes" and ENTRANCE in platform.services:
        return platform.address(ENTRANCE)
    return None


def hosts_of(platform: Platform) -> Iterator[str]:
    """Those of a cluster's Services, which are allowed with its context."""
    if platform.reference().get("kind") == "kubernetes":
        for service in platform.services:
            yield str(urlsplit(platform.address(service)).hostname)
