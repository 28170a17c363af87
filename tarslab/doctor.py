"""What this machine lacks for tarslab, and the mend."""

import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from platformdirs import user_cache_path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Finding(NamedTuple):
    """One thing looked at."""

    what: str
    state: str
    mend: str
    """What to do; '' where all is well."""
    needed: bool = True
    """Whether tarslab fails without it."""


def examine() -> list[Finding]:
    """Look at everything that tarslab needs or can use here."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _packages,
        _kernel,
        _widgets,
        _cache,
        _browser,
    )
    return [check() for check in checks]


def browser() -> str | None:
    """Path of a Chromium or Chrome, Playwright's own included, or None."""
    found = (path for name in BROWSERS if (path := shutil.which(name)))
    return next(found, None) or _playwright_browser()


def _playwright_browser() -> str | None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def _python() -> Finding:
    state = ".".join(map(str, sys.version_info[:3]))
    mend = "" if sys.version_info >= (3, 11) else "install Python 3.11 or later"
    return Finding("Python", state, mend)


def _packages() -> Finding:
    wanted = [Requirement(text) for text in requires("tarslab") or []]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    wrong = []
    for requirement in wanted:
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(str(requirement))
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement} (is {installed})")
    if wrong:
        return Finding(
            "Packages",
            ", ".join(wrong),
            "install tarslab anew into this environment: pip install .",
        )
    return Finding("Packages", f"all {len(wanted)} there", "")


def _kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    from tarslab.reports.execution import KERNEL

    try:
        command = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
    except NoSuchKernel:
        return Finding("Jupyter kernel", "none", "python -m ipykernel install --sys-prefix")
    # jupyter_client puts its own interpreter where a kernel asks for plain "python".
    if not command.startswith("python") and not Path(command).exists():
        return Finding(
            "Jupyter kernel",
            f"{KERNEL} starts {command}, which is gone",
            "python -m ipykernel install --sys-prefix",
        )
    return Finding("Jupyter kernel", KERNEL, "")


def _widgets() -> Finding:
    from jupyter_core.paths import jupyter_path

    extensions = ("@jupyter-widgets/jupyterlab-manager", "anywidget")
    missing = [
        name
        for name in extensions
        if not any(Path(p, name, "package.json").is_file() for p in jupyter_path("labextensions"))
    ]
    if missing:
        return Finding(
            "JupyterLab widgets",
            f"{', '.join(missing)} not found",
            "pip install --force-reinstall jupyterlab_widgets anywidget",
        )
    return Finding("JupyterLab widgets", "ipywidgets and anywidget", "")


def _cache() -> Finding:
    folder = user_cache_path("tarslab")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "Cache folder",
            f"{folder}: {error.strerror}",
            "set XDG_CACHE_HOME to a folder that can be written, or pages take seconds longer",
            needed=False,
        )
    return Finding("Cache folder", "can be written", "")


def _browser() -> Finding:
    if found := browser():
        return Finding("Browser for tests", found, "", needed=False)
    return Finding(
        "Browser for tests",
        "no Chromium or Chrome",
        "only the browser tests need one: apt-get install chromium, or playwright install chromium",
        needed=False,
    )
