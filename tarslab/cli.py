"""The ``tarslab`` command: a thin face over the rooms."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tarslab import __version__
from tarslab.chaos.cli import app as chaos
from tarslab.chaos.load.cli import app as load
from tarslab.dashboards.cli import app as dashboard
from tarslab.errors import NoTrials
from tarslab.messages import errors_as_messages, warnings_as_messages
from tarslab.stack.cli import app as stack

if TYPE_CHECKING:
    from tarslab.studies import Study
    from tarslab.studies.searching import Progress as SearchProgress

app = typer.Typer(
    help="Reinforcement-learning training curves and reports that open anywhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(stack, name="stack")
app.add_typer(load, name="load")
app.add_typer(chaos, name="chaos")
app.add_typer(dashboard, name="dashboard")

Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for the pages.")]
Timeout = Annotated[float, typer.Option(help="Seconds that one notebook may take.", min=1)]


@app.command()
def demo(out: Out = Path("reports"), timeout: Timeout = 600) -> None:
    """Execute the bundled notebooks on the bundled recordings and write their pages.

    Takes a minute or two; open reports/index.html afterwards.
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

    with errors_as_messages():
        values = parse(parameter or [])
    _build(notebooks, out, values, timeout)


@app.command()
def tune(
    objective: Annotated[str, typer.Argument(help="A notebook, or module:function.")],
    space: Annotated[
        list[str] | None,
        typer.Option("-s", "--space", help="name=range of a parameter; may be repeated."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value of another; may be repeated."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="What the notebook records its objective by; once for each objective."),
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(help="minimize (default) or maximize; once for each objective."),
    ] = None,
    trials: Annotated[int, typer.Option(help="In total, with those of earlier searches.")] = 50,
    workers: Annotated[int, typer.Option(help="Processes that run trials at the same time.")] = 1,
    storage: Annotated[
        str, typer.Option(help="A journal (.log), SQLite database (.db) or URL.")
    ] = "study.log",
    name: Annotated[
        str | None, typer.Option(help="Of the study; by default that of the notebook or function.")
    ] = None,
    sampler: Annotated[str, typer.Option(help="tpe, random, nsgaii, qmc or cmaes.")] = "tpe",
    pruner: Annotated[
        str,
        typer.Option(help="median, percentile, hyperband, successive-halving or none."),
    ] = "median",
    seed: Annotated[int | None, typer.Option(help="One worker: the same search again.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which no new trial is started.")
    ] = None,
    trial_timeout: Annotated[
        float, typer.Option(help="Seconds that one notebook may take.", min=1)
    ] = 86_400,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the executed notebooks.")
    ] = Path("out"),
) -> None:
    """Search the parameters of a notebook for those that do best.

    For example, with the learning rate on a logarithmic scale:

    tarslab tune train.ipynb -s lr=log:1e-5..1e-1 -s "act=relu|tanh" --metric reward --direction
    maximize --trials 50 --workers 2

    The notebook says what came of it by tarslab.studies.record(reward=...), and is kept executed
    for each trial in out/trial_<number>/, where it also runs. Ctrl-C and the same command again: it
    goes on. Exit code 1 if every trial failed, 130 if it was stopped.
    """
    from tarslab.reports.parameters import parse

    name = name or Path(objective.rpartition(":")[2]).stem
    console = Console()
    with errors_as_messages(), warnings_as_messages():
        try:
            with _bar_of_trials(console, trials, (metric or ["value"])[0]) as on_progress:
                from tarslab.studies import search
                from tarslab.studies.storages import without_password

                study = search(
                    objective,
                    parse(space or []),
                    storage=storage,
                    name=name,
                    n_trials=trials,
                    directions=direction or "minimize",
                    metrics=metric or (),
                    sampler=sampler,
                    pruner=pruner,
                    workers=workers,
                    seed=seed,
                    timeout=timeout,
                    parameters=parse(parameter or []),
                    out=out,
                    trial_timeout=trial_timeout,
                    on_progress=on_progress,
                )
        except KeyboardInterrupt:
            where = escape(without_password(storage))
            console.print(f"stopped; the same command goes on with {name!r} in {where}")
            raise typer.Exit(130) from None
    _say_what_was_found(console, study, storage)


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
    with errors_as_messages(), Bars(*columns, console=console) as b:
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
def _bar_of_trials(
    console: Console, trials: int, what: str
) -> Iterator[Callable[["SearchProgress"], None]]:
    """A bar of the trials that are done, with the best value."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = ("trials", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, "{task.description}", console=console) as bars:
        bar = bars.add_task("", total=trials)

        def show(progress: "SearchProgress") -> None:
            best = "" if progress.best is None else f"best {what} {progress.best:g}"
            bars.update(bar, completed=progress.finished, description=escape(best))

        yield show


def _say_what_was_found(console: Console, study: "Study", storage: str) -> None:
    import pandas as pd

    from tarslab.studies.storages import without_password

    lines = [repr(study)[1:-1]]
    # None where no trial is complete, or none keeps its constraints.
    front = pd.DataFrame()
    with suppress(NoTrials):
        front = study.front()
    for trial in front.head(10).to_dict("records"):
        values = zip(study.objectives, study.value_columns, strict=True)
        reached = ", ".join(f"{name} {trial[column]:g}" for name, column in values)
        params = study.frozen[trial["number"]].params.items()
        tried = ", ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in params)
        lines.append(f"trial {trial['number']}: {reached} with {tried}")
    lines += [
        "To look at it:",
        "  import tarslab as tl",
        f"  study = tl.load_study({without_password(storage)!r}, {study.name!r})",
    ]
    console.print("\n".join(map(escape, lines)), soft_wrap=True, highlight=False)
    if len(study) and (study.trials["state"] == "FAIL").all():
        known = study.trials.get("user_attrs_error", pd.Series(dtype="str")).dropna()
        why = str(known.iloc[-1]) if len(known) else "a reason that was not kept"
        console.print(f"[red]every trial failed[/], the last by {escape(why)}", soft_wrap=True)
        raise typer.Exit(1)
