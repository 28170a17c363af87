"""From notebooks to a folder of pages and their index."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat.v4 import new_notebook

from tarslab.errors import BadArgument, NotebookFailed
from tarslab.reports import parameters
from tarslab.reports.execution import Execution, execute, stop_all
from tarslab.reports.normalising import normalise
from tarslab.reports.page import Summary, page, style, summary, template
from tarslab.reports.provenance import provenance

AT_ONCE = 2


class Report(NamedTuple):
    """One notebook's page."""

    notebook: Path
    file: str
    """Name of the HTML file in the output folder."""
    summary: Summary
    times: str
    error: NotebookFailed | None


class Progress(NamedTuple):
    """What ``build`` tells while it works."""

    notebook: Path
    cells_done: int
    cells: int
    finished: bool


def build(
    notebooks: Sequence[Path],
    out: Path,
    values: Mapping[str, Any] | None = None,
    *,
    timeout: float = 600,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[Report]:
    """Execute notebooks, two at a time, and write their pages and ``index.html`` into ``out``.

    Parameters
    ----------
    notebooks
        Paths of notebooks, whose names must differ.
    out
        Folder, made where it is missing; beside each page stands the executed notebook.
    values
        Values for the notebooks' parameters; every notebook must know every name.
    timeout
        Seconds that one notebook may take, default 600.
    on_progress
        Called, from several threads, after each cell and at the end of each notebook.

    Returns
    -------
    list of Report
        In the order of ``notebooks``. A notebook that failed has a page with what it did until
        then, and an ``error``; the others go on.

    Raises
    ------
    BadArgument
        A parameter that a notebook does not know or cannot take, before anything is executed.
    LogNotFound
        A notebook that does not exist.
    """
    names = [notebook.stem for notebook in notebooks]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise BadArgument(f"two notebooks are named {sorted(repeated)[0]}: their pages would clash")
    checked = [parameters.check(notebook, values or {}) for notebook in notebooks]
    out.mkdir(parents=True, exist_ok=True)

    def make(notebook: Path, given: dict[str, Any]) -> Report:
        cells = len(parameters.read_notebook(notebook).cells)
        done = 0

        def on_cell() -> None:
            nonlocal done
            done += 1
            on_progress(Progress(notebook, min(done, cells), cells, False))

        execution = execute(notebook, given, timeout=timeout, on_cell=on_cell)
        try:
            report = _write(notebook, out, given, execution)
        except Exception as failure:
            # Whatever a notebook's outputs hold, one page must not cost the others.
            why = (
                f"{notebook.name}: its page could not be made: {type(failure).__name__}: {failure}"
            )
            nothing = execution._replace(notebook=new_notebook(), error=NotebookFailed(why))
            report = _write(notebook, out, given, nothing)
        on_progress(Progress(notebook, cells, cells, True))
        return report

    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(make, *job) for job in zip(notebooks, checked, strict=True)]
        try:
            reports = [job.result() for job in jobs]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            raise
    index = template(
        "index.html.j2",
        reports=reports,
        failed=sum(report.error is not None for report in reports),
        style=style(),
    )
    (out / "index.html").write_text(index, encoding="utf-8")
    return reports


def _write(notebook: Path, out: Path, given: Mapping[str, Any], execution: Execution) -> Report:
    executed = normalise(execution.notebook)
    nbformat.write(executed, out / notebook.name)
    times = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {execution.seconds:.1f} s"
    about, error = summary(executed, notebook.stem), execution.error
    html = page(
        executed,
        about.title,
        provenance(notebook, given),
        times,
        str(error) if error else None,
    )
    file = f"{notebook.stem}.html"
    (out / file).write_text(html, encoding="utf-8")
    return Report(notebook, file, about, times, error)
