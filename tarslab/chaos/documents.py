"""Files that people write: JSON and YAML, and where in them something is wrong."""

import json
from pathlib import Path
from typing import Any

from tarslab.errors import BadArgument

SUFFIXES = (".json", ".yaml", ".yml")


def text_of(path: Path) -> str:
    """The text of a file; BadArgument where it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(f"{path}: cannot be read ({error})") from None


def parse(text: str, path: Path) -> Any:
    """What the text of a file with one of ``SUFFIXES`` says; BadArgument names line and column."""
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise BadArgument(
                f"{path}, line {error.lineno}, column {error.colno}: no JSON: {error.msg}"
            ) from None
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise BadArgument(f"{path}{line}: no YAML: {problem}") from None
