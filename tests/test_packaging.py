"""The wheel, as it would be installed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel."""
    built, site = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_the_wheel_holds_what_the_repository_tracks(installed: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "tarslab", "data", "notebooks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        place = name if name.startswith("tarslab/") else f"tarslab/_bundled/{name}"
        assert (installed / place).is_file(), name


def test_the_demo_runs_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    bundled = installed / "tarslab" / "_bundled" / "notebooks"
    # One of recordings, and one of the services: nbval executes them all.
    some = {"00_quickstart", "30_admin_tour"}
    for other in bundled.glob("*.ipynb"):
        if other.stem not in some:
            other.rename(tmp_path / other.name)
    result = subprocess.run(
        [sys.executable, "-m", "tarslab", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    pages = sorted(path.name for path in (tmp_path / "reports").glob("*.html"))
    notebooks = sorted(bundled.glob("*.ipynb"))
    assert {path.stem for path in notebooks} == some
    assert f"{len(notebooks)} reports: reports/index.html" in result.stdout
    assert pages == [*(f"{path.stem}.html" for path in notebooks), "index.html"]
