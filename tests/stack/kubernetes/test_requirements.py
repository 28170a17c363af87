"""What the image of the services holds of tarslab's dependencies."""

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import tarslab
from tarslab.stack import kubernetes

PACKAGE = Path(tarslab.__file__).parent
LOCK = Path(kubernetes.__file__).parent / "requirements.lock"
ROOMS = ("stack", "stats", "studies", "runs", "chaos/proxy")
# Of those who look after services, of objectives that are notebooks, and of logs elsewhere.
NOT_THE_SERVICES = {"kubernetes", "urllib3", "rich", "typer", "ipython", "nbformat", "fsspec"}


def locked(lock: Path) -> dict[str, str]:
    """The lines that pin a distribution, by its name."""
    lines = [line.rstrip(" \\") for line in lock.read_text().splitlines() if "==" in line]
    pinned = [line for line in lines if not line.lstrip().startswith("#")]
    return {line.partition("==")[0].partition("[")[0]: line for line in pinned}


def imported(room: str) -> Iterator[str]:
    """The packages that the modules of a room import, at their top or within."""
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def test_whatever_a_service_may_import_is_among_them():
    distributions = packages_distributions()
    names = {name for room in ROOMS for name in imported(room)}
    needed = {
        name: {found.lower().replace("_", "-") for found in distributions.get(name, (name,))}
        for name in names - {"tarslab"} - set(sys.stdlib_module_names)
    }
    there = locked(LOCK).keys() | NOT_THE_SERVICES
    assert not [name for name, of in needed.items() if not of & there]


def test_their_versions_are_those_of_the_whole_lock():
    whole = (PACKAGE.parent / "requirements.lock").read_text()
    for line in locked(LOCK).values():
        assert line in whole
