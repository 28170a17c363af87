"""Where the notebooks and recordings that come with tarslab are."""

from pathlib import Path

from tarslab.errors import LogNotFound

PREFIX = "bundled:"
# Folders beside the recordings of runs and searches.
NO_LOGS = ("chaos", "recipes")

_PACKAGE = Path(__file__).resolve().parent


def root() -> Path:
    """The folder that holds ``data/`` and ``notebooks/``: in the wheel, or in a checkout."""
    installed = _PACKAGE / "_bundled"
    return installed if installed.is_dir() else _PACKAGE.parent


def notebooks() -> list[Path]:
    """The notebooks that come with tarslab, in order."""
    return sorted((root() / "notebooks").glob("[0-9]*.ipynb"))


def data(name: str) -> Path:
    """The recordings ``name`` (``automl``, ``cartpole``, ``pendulum``, ``poker``), or LogNotFound.

    A path below them works too: ``cartpole/ppo``. ``chaos`` has results of experiments.
    """
    folder = root() / "data" / name
    if ".." in Path(name).parts or not folder.exists():
        known = sorted(
            p.name for p in (root() / "data").iterdir() if p.is_dir() and p.name not in NO_LOGS
        )
        raise LogNotFound(f"no bundled recordings {name!r}; there are {', '.join(known)}")
    return folder
