"""The parameters that a notebook takes: names, types and help from its tagged cell."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from papermill.translators import PythonTranslator

from tarslab.errors import BadArgument, LogNotFound

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}


class Parameter(NamedTuple):
    """One line of a notebook's ``parameters`` cell: ``name: type = default  # help``."""

    name: str
    type: str
    default: str
    """As written in the notebook."""
    help: str

    def __str__(self) -> str:
        return f"{self.name}: {self.type} = {self.default}  {self.help}".rstrip()


def known(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook by name; none where it has no cell tagged ``parameters``."""
    cells = read_notebook(notebook).cells
    tagged = (c for c in cells if "parameters" in c.metadata.get("tags", []))
    found = PythonTranslator.inspect(next(tagged, new_code_cell()))
    return {p.name: Parameter(p.name, p.inferred_type_name, p.default, p.help) for p in found}


def read_notebook(path: Path) -> NotebookNode:
    """The notebook in a file; LogNotFound or BadArgument where there is none."""
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except FileNotFoundError:
        raise LogNotFound(f"{path}: no such notebook") from None
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadArgument(f"{path}: not a notebook: {reason}") from None
    return notebook


def parse(assignments: Sequence[str]) -> dict[str, str]:
    """``name=value`` texts, as given on a command line, as a dict."""
    values = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip():
            raise BadArgument(f"a parameter is given as name=value, not {assignment!r}")
        values[name.strip()] = value
    return values


def check(notebook: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the notebook's types; BadArgument lists the parameters there are.

    A text is read as YAML where the notebook declares another type than ``str``.
    """
    parameters = known(notebook)
    unknown = [name for name in values if name not in parameters]
    if unknown:
        there = "\n".join(f"  {parameter}" for parameter in parameters.values()) or "  none"
        raise BadArgument(
            f"{notebook.name} has no parameter {', '.join(unknown)}; it takes:\n{there}"
        )
    return {name: _typed(parameters[name], value) for name, value in values.items()}


def _typed(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, str) and parameter.type != "str":
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError:
            raise BadArgument(f"cannot read {value!r} as the value of {parameter}") from None
    wanted = TYPES.get(parameter.type)
    fits = wanted is None or (
        isinstance(value, wanted) and (parameter.type == "bool" or not isinstance(value, bool))
    )
    if not fits:
        raise BadArgument(f"{value!r} is not a {parameter.type}; the notebook takes {parameter}")
    return value
