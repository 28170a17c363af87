"""Parameters of notebooks."""

from pathlib import Path

import pytest

from tarslab.errors import BadArgument, LogNotFound
from tarslab.reports import parameters

CELL = """log_dir: str = "logs"  # folder of logs
window: int = 10  # points
target: float = 475.0
raw: bool = True
kinds: list = []
"""


def test_names_types_defaults_and_help_are_read(write_notebook) -> None:
    known = parameters.known(write_notebook("n", parameters=CELL))
    assert list(known) == ["log_dir", "window", "target", "raw", "kinds"]
    assert known["window"] == ("window", "int", "10", "points")
    assert str(known["log_dir"]) == 'log_dir: str = "logs"  folder of logs'


def test_texts_become_the_types_that_the_notebook_declares(write_notebook) -> None:
    given = {"log_dir": "12", "window": "50", "target": "1", "raw": "false", "kinds": "[a, b]"}
    assert parameters.check(write_notebook("n", parameters=CELL), given) == {
        "log_dir": "12",
        "window": 50,
        "target": 1,
        "raw": False,
        "kinds": ["a", "b"],
    }


def test_an_unknown_parameter_lists_the_known_ones_with_type_and_help(write_notebook) -> None:
    with pytest.raises(BadArgument) as caught:
        parameters.check(write_notebook("n", parameters=CELL), {"windw": "1"})
    assert "n.ipynb has no parameter windw" in str(caught.value)
    assert "window: int = 10  points" in str(caught.value)


def test_a_notebook_without_parameters_takes_none(write_notebook) -> None:
    with pytest.raises(BadArgument, match=r"it takes:\n  none"):
        parameters.check(write_notebook("n"), {"x": 1})


@pytest.mark.parametrize(
    "given",
    [{"window": "ten"}, {"window": "1.5"}, {"window": "true"}, {"raw": "1"}, {"kinds": "{"}],
)
def test_a_value_of_another_type_is_refused(write_notebook, given: dict[str, str]) -> None:
    (name,) = given
    with pytest.raises(BadArgument, match=name):
        parameters.check(write_notebook("n", parameters=CELL), given)


def test_assignments_are_split_at_the_first_equals_sign() -> None:
    assert parameters.parse(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1"):
        with pytest.raises(BadArgument, match="name=value"):
            parameters.parse([wrong])


def test_what_is_no_notebook_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogNotFound, match=r"gone\.ipynb: no such notebook"):
        parameters.known(tmp_path / "gone.ipynb")
    for text in ("not json", "[]", "{}", '{"nbformat": 4}'):
        (tmp_path / "bad.ipynb").write_text(text)
        with pytest.raises(BadArgument, match=r"bad\.ipynb: not a notebook"):
            parameters.known(tmp_path / "bad.ipynb")
