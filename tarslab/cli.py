"""The ``tarslab`` command: a thin face over the rooms."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tarslab import __version__
from tarslab.errors import TarslabError

app = typer.Typer(
    help="Reinforcement-learning training curves and reports that open anywhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for the pages.")]
Timeout = Annotated[float, typer.Option(help="Seconds that one notebook may take.", min=1)]


@app.command()
def demo(out: Out = Path("reports"), timeout: Timeout = 600) -> None:
    """Execute the bundled notebooks on the bundled recordings and write their pages.

    Takes under a minute; open reports/index.html afterwards.
    """
    from tarslab import bundled

    _build(bundled.notebooks(), out, {}, timeout)


@app.command()
def report(
    notebooks: Annotated[list[Path], typer.Argument(help="Notebooks to execute.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value for the notebook; may be repeated."),
    ] = None,
    out: Out = Path("reports"),
    timeout: Timeout = 600,
) -> None:
    """Execute notebooks with your parameters and write one self-contained page each.

    For example, on your own logs:

    tarslab report notebooks/10_training_curves.ipynb -p log_dir=runs/ -p window=50 -o out/

    An unknown parameter lists those that the notebook takes. A notebook that fails leaves a page
    with the error, the others go on, and the exit code is 1.
    """
    from tarslab.reports.parameters import parse

    with _errors_as_messages():
        values = parse(parameter or [])
    _build(notebooks, out, values, timeout)


@app.command()
def doctor() -> None:
    """Say what is missing on this machine, and the mend. Exit code 1 if something needed is."""
    from tarslab.doctor import examine

    findings = examine()
    table = Table("", "what", "found", "mend", box=None)
    for finding in findings:
        mark = "[green]ok[/]" if not finding.mend else "[red]missing[/]"
        if finding.mend and not finding.needed:
            mark = "[yellow]optional[/]"
        table.add_row(mark, finding.what, escape(finding.state), escape(finding.mend))
    Console().print(table)
    if any(finding.mend and finding.needed for finding in findings):
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _build(notebooks: list[Path], out: Path, values: dict[str, str], timeout: float) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    from tarslab.reports import Progress, build

    console = Console()
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _errors_as_messages(), Bars(*columns, console=console) as b:
        bars = {notebook: b.add_task(notebook.stem, total=None) for notebook in notebooks}

        def show(progress: Progress) -> None:
            done = progress.cells if progress.finished else progress.cells_done
            b.update(bars[progress.notebook], total=progress.cells, completed=done)

        reports = build(notebooks, out, values, timeout=timeout, on_progress=show)
    failed = [report for report in reports if report.error]
    for bad in failed:
        console.print(f"[red]failed[/] {escape(str(bad.error))}", soft_wrap=True)
    console.print(f"{len(reports)} reports: {out / 'index.html'}", soft_wrap=True, highlight=False)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    """Print a TarslabError as one message and exit with code 2, without a traceback."""
    try:
        yield
    except TarslabError as error:
        Console(stderr=True).print(f"[red]Error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from None
