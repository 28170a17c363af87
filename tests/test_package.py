"""The package as a whole."""

import subprocess
import sys

import pytest

import tarslab as tl


def test_importing_tarslab_loads_no_heavy_package() -> None:
    heavy = ("pandas", "numpy", "altair", "optuna", "kubernetes", "ipywidgets", "papermill")
    program = f"import sys, tarslab; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_loading_runs_needs_no_charts() -> None:
    program = "import sys, tarslab.runs; print('altair' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize("name", tl.__all__)
def test_every_name_on_the_door_opens(name: str) -> None:
    assert getattr(tl, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tl.nothing  # noqa: B018
