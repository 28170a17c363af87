"""``tarslab load``: put load on a deployment, and judge what came of it."""

import signal
from contextlib import suppress
from enum import StrEnum
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tarslab.errors import BadArgument
from tarslab.messages import errors_as_messages

if TYPE_CHECKING:
    import pandas as pd

    from tarslab.chaos.load.results import LoadResult

# Exit codes beside those of ``LoadResult.exit_code``.
WORSE, INTERRUPTED = 1, 130

app = typer.Typer(
    help="""Put load on a deployment, and judge what came of it.

    For example: tarslab stack up, then tarslab load run sustained --scale 0.01 --target and the URL
    that it says.
    """,
    no_args_is_help=True,
)


class Engine(StrEnum):
    """What sends the requests."""

    EMBEDDED = "embedded"
    K6 = "k6"


class Format(StrEnum):
    """What a load test is exported as."""

    K6 = "k6"
    K6_OPERATOR = "k6-operator"


ScenarioName = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO", help="sustained, spike, jwt-stress, or a file of JSON or YAML."
    ),
]
TargetUrl = Annotated[
    str | None, typer.Option("--target", help="URL of the deployment.", envvar="TARSLAB_URL")
]
Scale = Annotated[
    float, typer.Option(help="Of the time: 0.01 runs ten minutes in six seconds, at full rate.")
]
EngineName = Annotated[Engine, typer.Option(help="What sends the requests.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="A host beside this machine that may be loaded; may be repeated."),
]
Metric = Annotated[
    str, typer.Option(help="With tags if some requests are meant: http_req_duration{name:login}.")
]
Quantile = Annotated[float, typer.Option(help="0.95 is the P95.")]
Flows = Annotated[
    Path | None, typer.Option(help="File of Python that registers flows of yours by @flow.")
]


@app.command()
def run(
    scenario: ScenarioName,
    target: TargetUrl = None,
    scale: Scale = 1.0,
    engine: EngineName = Engine.EMBEDDED,
    flows: Flows = None,
    allow: Allow = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Also keep single requests, in --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder that the result is saved to.")
    ] = None,
) -> None:
    """Run a scenario against a deployment.

    Its users are those of TARSLAB_USERNAME and TARSLAB_PASSWORD.

    Exit code 0 if every threshold holds, 99 if one does not, 3 if the generator was the bottleneck
    and the run says nothing about the target, 130 after Ctrl-C, which shows what was measured so
    far.
    """
    from tarslab.chaos.load.live import Terminal
    from tarslab.chaos.load.running import run_load

    # The same end as that of Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    with errors_as_messages():
        _load_flows(flows)
        result = run_load(
            scenario,
            _given(target),
            scale=scale,
            engine=engine.value,
            allow=allow or (),
            raw=raw,
            on_progress=Terminal(),
            out=out,
        )
    _show(console, result)
    if out is not None:
        console.print(f"saved in {out}", soft_wrap=True, highlight=False, markup=False)
    raise typer.Exit(INTERRUPTED if result.interrupted else result.exit_code)


@app.command()
def export(
    scenario: ScenarioName,
    format: Annotated[Format, typer.Option(help="A script, or manifests.")] = Format.K6,
    target: TargetUrl = None,
    scale: Scale = 1.0,
    parallelism: Annotated[int, typer.Option(help="Runners of the k6 operator.", min=1)] = 4,
    flows: Flows = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write; else standard output.")
    ] = None,
) -> None:
    """Write a scenario as a script of k6, or as a ConfigMap and TestRun of the k6 operator.

    The script takes its target from TARSLAB_URL and its users from TARSLAB_USERNAME and
    TARSLAB_PASSWORD; on Kubernetes they come from a secret named tarslab-load.
    """
    from tarslab.chaos.load.k6.exporting import export as exported

    with errors_as_messages():
        _load_flows(flows)
        text = exported(
            scenario, format=format.value, scale=scale, target=target, parallelism=parallelism
        )
        if out is None:
            typer.echo(text, nl=False)
            return
        try:
            out.write_text(text)
        except OSError as error:
            raise BadArgument(f"{out}: cannot be written ({error})") from None


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="Folder of a saved result.")],
    after: Annotated[Path, typer.Argument(help="Folder of another.")],
    fail_if_worse: Annotated[
        str | None, typer.Option(help="Such as 10%: fail if it clearly rose by more.")
    ] = None,
    metric: Metric = "http_req_duration",
    quantile: Quantile = 0.95,
) -> None:
    """Say whether a latency changed between two runs, with a 95 % interval.

    Exit code 1 if it became worse than --fail-if-worse allows and the interval leaves out that
    nothing changed; 3 if a run was limited by its generator and says nothing about the target.
    """
    from tarslab.chaos.load.comparing import compare as compared
    from tarslab.chaos.load.results import NOT_VALID, LoadResult

    with errors_as_messages():
        limit = None if fail_if_worse is None else share(fail_if_worse)
        results = LoadResult.load(before), LoadResult.load(after)
        change = compared(*results, metric=metric, quantile=quantile)
    Console().print(str(change), soft_wrap=True, highlight=False, markup=False)
    if limit is not None and change.doubts:
        raise typer.Exit(NOT_VALID)
    if limit is not None and change.worse_than(limit):
        raise typer.Exit(WORSE)


@app.command()
def capacity(
    scenario: ScenarioName,
    target: TargetUrl = None,
    scale: Scale = 1.0,
    trials: Annotated[int, typer.Option(help="Runs at most.", min=1)] = 10,
    precision: Annotated[
        float, typer.Option(help="How far the rates that pass and fail may lie apart at the end.")
    ] = 0.05,
    engine: EngineName = Engine.EMBEDDED,
    flows: Flows = None,
    allow: Allow = None,
) -> None:
    """Search for the highest rate of arrivals at which the thresholds of a scenario hold.

    Exit code 99 if none was found.
    """
    from tarslab.chaos.load.capacities import capacity as searched
    from tarslab.chaos.load.results import BROKEN

    console = Console()

    def show(number: int, result: "LoadResult") -> None:
        rate = f"{result.test.peak_rate:.0f}/s: {result.verdict}"
        console.print(f"{number + 1}. {rate}", highlight=False)

    with errors_as_messages():
        _load_flows(flows)
        found = searched(
            scenario,
            _given(target),
            trials=trials,
            precision=precision,
            scale=scale,
            engine=engine.value,
            allow=allow or (),
            on_trial=show,
        )
    console.print(str(found), highlight=False)
    if found.rate is None:
        raise typer.Exit(BROKEN)


def _given(target: str | None) -> str:
    if target is None:
        raise BadArgument("target: give --target, or set TARSLAB_URL")
    return target


def _load_flows(path: Path | None) -> None:
    """Run a file for the flows that it registers; the engine gets them by value."""
    if path is None:
        return
    import importlib.util
    import sys

    import cloudpickle

    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BadArgument(f"{path}: flows are a file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadArgument(f"{path}: {type(error).__name__}: {error}") from error
    cloudpickle.register_pickle_by_value(module)


def share(text: str) -> float:
    """What ``--fail-if-worse`` says: 0.1 of ``10%``; BadArgument where it is no share."""
    with suppress(ValueError):
        number = float(text.removesuffix("%"))
        part = number / 100 if text.endswith("%") else number
        if part >= 0:
            return part
    raise BadArgument(f"--fail-if-worse: a share such as 10% or 0.1, not {text!r}")


def _show(console: Console, result: "LoadResult") -> None:
    summary = result.summary()
    trends = summary[summary["kind"] == "trend"].drop(columns=["metric", "name"])
    names = [
        f"  {row['name']}" if row["name"] else row["metric"]
        for row in summary[summary["kind"] == "trend"].to_dict("records")
    ]
    trends.insert(0, "milliseconds from when it was due", names)
    columns = ["milliseconds from when it was due", "count", "p50", "p95", "p99", "max"]
    console.print(_table(trends[columns]))
    others = summary[summary["kind"] != "trend"]
    console.print(_table(others[["metric", "total", "rate", "max"]]))
    if len(result.errors):
        console.print(_table(result.errors))
    colour = "green" if result.verdict == "passed" else "red"
    first, *more = result.explain().splitlines()
    console.print(f"[{colour}]{escape(first)}[/]", soft_wrap=True, highlight=False)
    for line in more:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _table(frame: "pd.DataFrame") -> Table:
    from pandas.api.types import is_numeric_dtype

    shown = Table(box=None)
    for name in frame.columns:
        shown.add_column(name, justify="right" if is_numeric_dtype(frame[name]) else "left")
    for row in frame.itertuples(index=False):
        shown.add_row(*(_cell(value) for value in row))
    return shown


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if isnan(value) else f"{value:.4g}"
    return escape(str(value))
