"""``tarslab chaos``: break a deployment on purpose, and say what it did to its users."""

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tarslab.chaos.load.cli import WORSE, Metric, Quantile, share
from tarslab.errors import BadArgument, StackFailed
from tarslab.messages import errors_as_messages

if TYPE_CHECKING:
    from tarslab.chaos.experiments import Event, ExperimentResult
    from tarslab.chaos.guards import Guard
    from tarslab.chaos.load.progress import Progress
    from tarslab.chaos.platforms import Platform
    from tarslab.chaos.suite import SuiteResult

# Exit code of undo.
NOT_UNDONE = 1

app = typer.Typer(
    help="""Break a deployment on purpose, and say what it did to its users.

    For example: tarslab stack up --proxied, then tarslab chaos plan redis-outage, which touches
    nothing, and tarslab chaos run redis-outage --scale 0.1.
    """,
    no_args_is_help=True,
)

ExperimentName = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT", help="A name of tarslab chaos list, or a file of Chaos Toolkit's."
    ),
]
StackName = Annotated[str, typer.Option("--stack", help="Name of a stack of tarslab stack up.")]
Context = Annotated[
    str | None, typer.Option(help="Of a Kubernetes cluster, which --allow names too.")
]
Namespace = Annotated[str | None, typer.Option(help="Of the services in that cluster.")]
Target = Annotated[
    str | None,
    typer.Option(
        help="URL that load and writes go to; else that of the stack, or of the Service before "
        "orchestration. Its user is that of TARSLAB_USERNAME and TARSLAB_PASSWORD (tarslab stack "
        "env).",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="A context or host beside this machine that may be broken; repeat it."),
]
Scale = Annotated[float, typer.Option(help="Of the time for which something is held.")]
Variables = Annotated[
    list[str] | None,
    typer.Option("--var", help="name=value of the file's configuration; may be repeated."),
]
MaxUnits = Annotated[int, typer.Option(help="Of one service, that may be touched at a time.")]
MaxSeconds = Annotated[float, typer.Option(help="After which a fault is undone, come what may.")]


@app.command("list")
def list_() -> None:
    """List the experiments and load tests that come with tarslab."""
    from tarslab.chaos.experiments import Experiment, shipped
    from tarslab.chaos.load.loadtest import LoadTest
    from tarslab.chaos.load.loadtest import shipped as loads

    table = Table("", "name", "", box=None)
    for name in shipped():
        table.add_row("experiment", name, Experiment.of(name).title)
    for name in loads():
        test = LoadTest.of(name)
        how = ", ".join(f"{each.executor} of {each.exec}" for each in test.scenarios.values())
        table.add_row("load", name, f"{how}, {test.duration} long")
    Console().print(table)


@app.command()
def plan(
    experiment: ExperimentName,
    stack: StackName = "default",
    context: Context = None,
    namespace: Namespace = None,
    target: Target = None,
    allow: Allow = None,
    scale: Scale = 1.0,
    var: Variables = None,
    max_units: MaxUnits = 1,
    max_seconds: MaxSeconds = 300.0,
) -> None:
    """Say exactly what an experiment would touch, and touch nothing."""
    from tarslab.chaos.experiments import plan as planned

    with errors_as_messages():
        found = planned(
            experiment,
            _platform(stack, context, namespace, allow),
            target=target,
            scale=scale,
            guard=_guard(max_units, max_seconds),
            variables=_values(var),
        )
    Console().print(str(found), soft_wrap=True, highlight=False, markup=False)


@app.command()
def run(
    experiment: ExperimentName,
    stack: StackName = "default",
    context: Context = None,
    namespace: Namespace = None,
    target: Target = None,
    allow: Allow = None,
    scale: Scale = 1.0,
    var: Variables = None,
    max_units: MaxUnits = 1,
    max_seconds: MaxSeconds = 300.0,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder that the result is saved to.")
    ] = None,
) -> None:
    """Run an experiment.

    Exit code 0 if every criterion holds, 1 if one does not, 2 if it broke off, 3 if the load was
    limited by its generator, 130 after Ctrl-C, which undoes what is broken and shows what was
    measured so far.
    """
    from tarslab.chaos.experiments import ExperimentFailed
    from tarslab.chaos.experiments import run as ran

    _end_as_by_interrupt()
    console = Console()
    with errors_as_messages():
        try:
            result = ran(
                experiment,
                _platform(stack, context, namespace, allow),
                target=target,
                scale=scale,
                guard=_guard(max_units, max_seconds),
                variables=_values(var),
                allow=allow or (),
                on_event=Told(),
                out=out,
            )
        except ExperimentFailed as error:
            if error.result is not None:
                _show(console, error.result)
            raise
    _show(console, result)
    if out is not None:
        console.print(f"saved in {out}", soft_wrap=True, highlight=False, markup=False)
    raise typer.Exit(result.exit_code)


@app.command()
def suite(
    stack: StackName = "default",
    context: Context = None,
    namespace: Namespace = None,
    target: Target = None,
    allow: Allow = None,
    skip_load: Annotated[bool, typer.Option("--skip-load", help="No load tests.")] = False,
    skip_resilience: Annotated[
        bool, typer.Option("--skip-resilience", help="No experiments.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="A load test or experiment; may be repeated.")
    ] = None,
    scale: Scale = 1.0,
    cooldown: Annotated[float, typer.Option(help="Seconds between two, whatever the scale.")] = 30,
    max_units: MaxUnits = 1,
    max_seconds: MaxSeconds = 300.0,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder, in which one is made for each suite.")
    ] = Path("chaos-results"),
) -> None:
    """Run all load tests and experiments, and report on them.

    The folder has summary.md, summary.json, junit.xml, report.html, and each result.

    Exit code 0 if every criterion holds, 1 if one does not, 2 if something broke off, 3 if a load
    was limited by its generator, 130 after Ctrl-C, which undoes what is broken, skips the rest and
    reports on what there is.
    """
    from tarslab.chaos.suite import run_suite
    from tarslab.reports.suite_page import write_suite_page

    _end_as_by_interrupt()
    console = Console()
    with errors_as_messages():
        result = run_suite(
            _platform(stack, context, namespace, allow),
            target=target,
            only=only,
            skip_load=skip_load,
            skip_resilience=skip_resilience,
            scale=scale,
            cooldown=cooldown,
            guard=_guard(max_units, max_seconds),
            allow=allow or (),
            on_event=SuiteTold(),
            out=out,
        )
        write_suite_page(result)
    _show_suite(console, result)
    raise typer.Exit(result.exit_code)


@app.command()
def undo(
    also_held: Annotated[
        bool, typer.Option("--also-held", help="Also the faults of runs that go on.")
    ] = False,
) -> None:
    """Undo what runs have left broken that were killed. Exit code 1 if something cannot be."""
    from tarslab.chaos.undo import Journal, undo_all

    console = Console()
    with errors_as_messages():
        done = undo_all(also_held=also_held)
        left = Journal().entries()
    for entry, error in done:
        said = "[green]undone[/]" if error is None else f"[red]not undone[/] ({escape(error)})"
        console.print(f"{escape(entry.fault)}: {said}", soft_wrap=True, highlight=False)
    held = [entry for entry in left if entry.held]
    for entry in held:
        console.print(f"{entry.fault}: its run goes on", highlight=False, markup=False)
    if not done and not held:
        console.print("nothing is broken")
    if any(error is not None for _, error in done):
        raise typer.Exit(NOT_UNDONE)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="Folder of a load, an experiment or a suite.")],
    after: Annotated[Path, typer.Argument(help="Folder of another.")],
    fail_if_worse: Annotated[
        str | None, typer.Option(help="Such as 10%: fail if one clearly rose by more.")
    ] = None,
    metric: Metric = "http_req_duration",
    quantile: Quantile = 0.95,
) -> None:
    """Say whether a latency changed between two results, for each load that both have.

    Exit code 1 if one became worse than --fail-if-worse allows and its interval leaves out that
    nothing changed; 3 if one was limited by its generator and says nothing about the target.
    """
    from tarslab.chaos.load.results import NOT_VALID
    from tarslab.chaos.suite import compare_folders

    with errors_as_messages():
        limit = None if fail_if_worse is None else share(fail_if_worse)
        changes, left_out = compare_folders(before, after, metric=metric, quantile=quantile)
    for name, why in left_out.items():
        Console(stderr=True).print(f"{name}: not compared: {why}", soft_wrap=True, markup=False)
    for name, change in changes.items():
        Console().print(f"{name}: {change}", soft_wrap=True, highlight=False, markup=False)
    if limit is None:
        return
    if any(change.worse_than(limit) and not change.doubts for change in changes.values()):
        raise typer.Exit(WORSE)
    if any(change.doubts for change in changes.values()):
        raise typer.Exit(NOT_VALID)


class Told:
    """Shows the events of an experiment on standard error, a line each."""

    def __init__(self, name: str = "") -> None:
        self._console = Console(stderr=True)
        self._begun = time.time()
        self._name = f"{name} " if name else ""

    def __call__(self, event: "Event") -> None:
        """Show it."""
        colours = {"fault": "red", "error": "red", "undone": "green", "recovered": "green"}
        colour = colours.get(event.kind, "dim" if event.kind == "activity" else "default")
        at = f"{max(0.0, event.time - self._begun):7.1f} s"
        said = f"{self._name}{event.kind}: {event.text}"
        self._console.print(f"{at} [{colour}]{escape(said)}[/]", soft_wrap=True, highlight=False)


class SuiteTold:
    """Shows what goes on in a suite."""

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}

    def __call__(self, name: str, what: "Event | Progress") -> None:
        """Show it."""
        from tarslab.chaos.experiments import Event
        from tarslab.chaos.load.live import Terminal

        if isinstance(what, Event):
            self._shown.setdefault(name, Told(name))(what)
        else:
            self._shown.setdefault(name, Terminal())(what)


def _platform(
    stack: str, context: str | None, namespace: str | None, allow: list[str] | None
) -> "Platform":
    if context is not None:
        if namespace is None:
            raise BadArgument(f"--namespace: name that of the services in {context}")
        from tarslab.chaos.platforms import KubernetesPlatform

        cluster: Platform = KubernetesPlatform(context, namespace, allow=allow or ())
        return cluster
    from tarslab.chaos.platforms import LocalPlatform
    from tarslab.stack import Stack
    from tarslab.stack.places import Place

    found = Stack.attached(Place.named(stack))
    if found is None:
        raise StackFailed(
            f"no stack {stack!r} is up: tarslab stack up --proxied --name {stack} brings it up"
        )
    return LocalPlatform(found)


def _guard(max_units: int, max_seconds: float) -> "Guard":
    from tarslab.chaos.guards import Guard

    return Guard(max_units=max_units, max_seconds=max_seconds)


def _values(given: list[str] | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in given or ():
        name, equals, text = each.partition("=")
        if not equals:
            raise BadArgument(f"--var: must be name=value, not {each!r}")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values


def _end_as_by_interrupt() -> None:
    """SIGTERM undoes and shows what there is, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _show(console: Console, result: "ExperimentResult") -> None:
    from tarslab.chaos.experiments.environment import measured_on
    from tarslab.chaos.experiments.results import in_words

    table = Table("", "criterion", "measured", box=None)
    for row in result.rows:
        table.add_row(_mark(row["passed"]), escape(row["criterion"]), escape(in_words(row)))
    console.print(table)
    services = Table("service", "availability", "down", "recovery", "modes", box=None)
    rows: list[dict[Any, Any]] = result.summary().to_dict("records")
    for row in rows:
        services.add_row(
            str(row["service"]),
            f"{row['availability']:.2%}",
            f"{row['down']:.2f} s in {row['downtimes']}",
            _recovery(row),
            str(row["modes"]),
        )
    console.print(services)
    console.print(
        measured_on(result.about.environment), soft_wrap=True, highlight=False, markup=False
    )
    colour = "green" if result.verdict == "passed" else "red"
    first, *more = result.explain().splitlines()
    console.print(f"[{colour}]{escape(first)}[/]", soft_wrap=True, highlight=False)
    for line in more:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _recovery(row: dict[Any, Any]) -> str:
    if "recovery" not in row:
        return ""
    low, high = row["recovery_low"], row["recovery_high"]
    shown = f"{row['recovery']:.2f} s"
    return shown if low != low else f"{shown} ({low:.2f} to {high:.2f})"


def _show_suite(console: Console, result: "SuiteResult") -> None:
    table = Table("", "run", "verdict", "criteria", "seconds", box=None)
    for entry in result.entries:
        held = sum(row["passed"] is True for row in entry.rows)
        colour = "green" if entry.verdict == "passed" else "red"
        table.add_row(
            entry.kind,
            entry.name,
            f"[{colour}]{entry.verdict}[/]",
            f"{held} of {len(entry.rows)}",
            f"{entry.seconds:.0f}",
        )
    console.print(table)
    colour = "green" if result.passed else "red"
    console.print(f"[{colour}]{result.verdict}[/]: {result.folder}", soft_wrap=True)


def _mark(passed: bool | None) -> str:
    return {True: "[green]passed[/]", False: "[red]failed[/]", None: "[yellow]not known[/]"}[passed]
