"""The door of the dashboards: light, and with the functions behind it whatever is imported."""

import subprocess
import sys

import pytest

import tarslab as tl


def run(program: str) -> str:
    """What a program prints in a new interpreter."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_command_and_one_dashboard_do_not_load_what_another_is_made_with() -> None:
    heavy = ("altair", "optuna", "pandas", "sklearn")
    loaded = f"print([name for name in {heavy!r} if name in sys.modules])"
    assert run(f"import sys, tarslab.dashboards.cli; {loaded}") == "[]"
    assert run(f"import sys, tarslab as tl; tl.dashboards.operator; {loaded}") == "[]"


def test_the_functions_are_there_also_after_the_modules_of_their_names() -> None:
    program = (
        "import tarslab.dashboards.training, tarslab.dashboards.automl;"
        "import tarslab.dashboards.operator;"
        "d = tarslab.dashboards; print(*(callable(getattr(d, n)) for n in d.__all__));"
        "from tarslab.dashboards.operator.session import Session; print(callable(d.operator))"
    )
    assert set(run(program).split()) == {"True"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tl.dashboards.nothing  # noqa: B018
