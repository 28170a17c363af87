"""Where the numbers on a page come from."""

import ast
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tarslab.errors import TarslabError
from tarslab.reports import parameters
from tarslab.runs import fingerprint

PACKAGES = ("tarslab", "numpy", "pandas", "scipy", "altair")


class Provenance(NamedTuple):
    """What a page states of its making; the same for the same inputs."""

    parameters: list[tuple[str, str, str]]
    """Name, value and help."""
    data: list[tuple[str, str]]
    """Path as it was given, and SHA-256 of the logs in it."""
    versions: list[tuple[str, str]]


def provenance(notebook: Path, values: Mapping[str, Any]) -> Provenance:
    """The statement for one notebook, run with these values for some of its parameters."""
    stated, data = [], []
    for name, parameter in parameters.known(notebook).items():
        shown = repr(values[name]) if name in values else parameter.default
        stated.append((name, shown, parameter.help))
        value = values[name] if name in values else _literal(parameter.default)
        for path in value if isinstance(value, list) else [value]:
            # Any text may be the path of logs; only what leads to some is.
            if isinstance(path, str) and path:
                with suppress(TarslabError, OSError):
                    data.append((path, fingerprint(path)))
    versions = [("python", platform.python_version())]
    versions += [(package, version(package)) for package in PACKAGES]
    return Provenance(stated, data, versions)


def _literal(source: str) -> Any:
    try:
        return ast.literal_eval(source)
    except (ValueError, SyntaxError):
        return None
