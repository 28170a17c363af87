"""A run as it goes on, in a terminal or a notebook."""

from html import escape
from typing import Any

from tarslab.chaos.load.progress import Progress


def live() -> "Terminal | Notebook":
    """Shows a run: give it to ``run_load(on_progress=live())``.

    In a notebook it is one output, which stays as it was at the end; elsewhere a bar on standard
    error.
    """
    return Notebook() if _in_notebook() else Terminal()


class Terminal:
    """A bar with figures."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._bar: Any = None

    def __call__(self, progress: Progress) -> None:
        """Show how it stands."""
        from rich.console import Console
        from rich.markup import escape as plain
        from rich.progress import BarColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        if self._bars is None:
            columns = ("{task.fields[name]}", BarColumn(), TimeElapsedColumn())
            self._bars = Bars(*columns, "{task.description}", console=Console(stderr=True))
            self._bar = self._bars.add_task("", total=progress.duration, name=progress.name)
            self._bars.start()
        done = min(progress.elapsed, progress.duration)
        self._bars.update(self._bar, completed=done, description=plain(str(progress)))
        if progress.over:
            self._bars.stop()


class Notebook:
    """One output of a cell, changed in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, progress: Progress) -> None:
        """Show how it stands."""
        from IPython.display import HTML, display

        shown = HTML(_page(progress))  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(shown, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown)


def _page(progress: Progress) -> str:
    done = min(progress.elapsed, progress.duration)
    rows = "".join(
        f"<tr><td>{'held' if outcome.held else '<b>broken</b>'}</td><td>{escape(said)}</td>"
        f"<td>{outcome.value:.4g}</td></tr>"
        for said, outcome in progress.thresholds
    )
    return (
        f'<div role="status"><b>{escape(progress.name)}</b> '
        f'<progress max="{progress.duration:.1f}" value="{done:.1f}"></progress> '
        f"{progress.elapsed:.0f} s: {escape(str(progress))}"
        f"<table>{rows}</table></div>"
    )


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
