"""What a search calls once a trial: a function, or a parameterised notebook.

A notebook says what came of it by ``record``, and on the way how it goes by ``report``:

    from tarslab.studies import record, report

    for step in range(steps):
        ...
        report(reward, step)  # the trial may be pruned here
    record(reward=reward)

Importing this module is cheap, since every trial of a notebook does it.
"""

import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from tarslab.errors import BadArgument

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from optuna import Trial
    from optuna.distributions import BaseDistribution

RECORDED_MIME = "application/vnd.tarslab.recorded+json"
# Where the notebook of a trial reports to: a port of loopback and a key.
REPORTS = "TARSLAB_REPORTS"

FORMS = "1..4, 0.1..0.9, log:1e-5..1e-1 or relu|tanh"
WHOLE = re.compile(r"[+-]?\d+")

Objective = Callable[["Trial"], float | Sequence[float]]


class Pruned(Exception):
    """The trial that a notebook runs for does worse than others did, and ends here."""


def record(**values: float) -> None:
    """Say in a notebook what came of it; shown as an output, from which a search reads it.

    Parameters
    ----------
    **values
        Numbers by name, such as ``record(reward=212.5, seconds=31)``. A name that is recorded again
        has its last value. Those that are no objectives become user attributes of the trial.
    """
    from IPython.display import display

    try:
        numbers = {name: float(value) for name, value in values.items()}
    except (TypeError, ValueError) as error:
        raise BadArgument(f"record takes numbers: {error}") from None
    shown = ", ".join(f"{name} = {number:g}" for name, number in numbers.items())
    # JSON has no number that is not finite.
    told = {name: n if isfinite(n) else str(n) for name, n in numbers.items()}
    display({RECORDED_MIME: told, "text/plain": shown}, raw=True)  # type: ignore[no-untyped-call]


def report(value: float, step: int) -> None:
    """Say in a notebook how it goes, as Optuna's ``trial.report`` followed by ``should_prune``.

    Outside of a search it does nothing.

    Raises
    ------
    Pruned
        The search ends this trial, by its pruner; the notebook should let it pass.
    BadArgument
        The report cannot be taken: a negative step, no number, or a search with several objectives.
    """
    if REPORTS not in os.environ:
        return
    port, _, key = os.environ[REPORTS].partition(":")
    with Client(("127.0.0.1", int(port)), authkey=bytes.fromhex(key)) as search:
        search.send((float(value), int(step)))
        pruned, problem = search.recv()
    if problem:
        raise BadArgument(f"report({value!r}, {step!r}): {problem}")
    if pruned:
        raise Pruned(f"at step {step}, with {value:g}")


@dataclass(frozen=True)
class Notebook:
    """A notebook as an objective: executed in a folder of the trial's own, where it stays."""

    path: Path
    space: Mapping[str, "BaseDistribution"]
    parameters: Mapping[str, Any]
    metrics: tuple[str, ...]
    out: Path
    timeout: float
    """Seconds that a trial may take."""
    imports: tuple[str, ...]
    """Folders that the notebook may import from."""

    def __call__(self, trial: "Trial") -> list[float]:
        """The recorded objectives of one execution, in the process's own working folder."""
        import nbformat
        from optuna import TrialPruned

        from tarslab.reports.execution import execute

        values = {name: _suggested(trial, name, kind) for name, kind in self.space.items()}
        folder = self.out / f"trial_{trial.number}"
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        with _imports(self.imports), _listening(trial) as heard:
            run = execute(self.path, {**self.parameters, **values}, timeout=self.timeout)
        nbformat.write(run.notebook, folder / self.path.name)
        recorded = _recorded(run.notebook)
        for name in recorded.keys() - set(self.metrics):
            trial.set_user_attr(name, recorded[name])
        if run.error is not None:
            raise TrialPruned(str(run.error)) if heard.pruned else run.error
        if missing := [metric for metric in self.metrics if metric not in recorded]:
            raise BadArgument(
                f"{self.path.name} recorded no {', '.join(missing)} (by tarslab.studies.record) "
                f"but {', '.join(recorded) or 'nothing'}"
            )
        return [recorded[metric] for metric in self.metrics]


def function(place: str) -> Objective:
    """The function at ``module:function``, where the working folder counts as well."""
    module, _, name = place.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadArgument(
            f"{place}: {error}; an objective is a notebook or module:function"
        ) from None
    if not callable(found):
        raise BadArgument(f"{place} is no function but {type(found).__name__}")
    chosen: Objective = found
    return chosen


def notebook(
    path: Path,
    space: Mapping[str, "BaseDistribution | str"],
    parameters: Mapping[str, Any],
    metrics: Sequence[str],
    out: Path,
    timeout: float,
) -> Notebook:
    """A notebook as an objective; BadArgument where it does not take what it would be given."""
    from tarslab.reports import parameters as of_notebook

    known = of_notebook.known(path)
    fixed = of_notebook.check(path, parameters)
    of_notebook.check(path, {name: None for name in space if name not in known})
    if twice := [name for name in space if name in fixed]:
        raise BadArgument(f"{', '.join(twice)} has a range and a fixed value too: leave one out")
    if not space:
        raise BadArgument(f"{path.name} needs a space: the range of one parameter or more")
    if not metrics:
        raise BadArgument(
            f"{path.name} needs metrics: the name that it records its objective by, "
            "with tarslab.studies.record(name=value)"
        )

    def typed(name: str, value: Any) -> Any:
        return of_notebook.check(path, {name: value})[name]

    return Notebook(
        path.absolute(),
        {name: _range(name, said, known[name].type, typed) for name, said in space.items()},
        fixed,
        tuple(metrics),
        out.absolute(),
        timeout,
        tuple(dict.fromkeys([str(path.absolute().parent), os.getcwd()])),
    )


def _range(
    name: str, said: "BaseDistribution | str", kind: str, typed: Callable[[str, Any], Any]
) -> "BaseDistribution":
    """A range as it was said, which must fit the type that the notebook declares."""
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(said, BaseDistribution):
        chosen = said
    elif "|" in said:
        choices = [typed(name, choice.strip()) for choice in said.split("|")]
        if not all(choice is None or isinstance(choice, str | int | float) for choice in choices):
            raise BadArgument(f"space: {name}={said}: a choice is a text, a number, true or false")
        chosen = CategoricalDistribution(choices)
    else:
        log = said.startswith("log:")
        low, _, high = said.removeprefix("log:").partition("..")
        try:
            ends = (float(low), float(high))
        except ValueError:
            raise BadArgument(f"space: {name}={said}: a range is {FORMS}") from None
        if not isfinite(sum(ends)) or ends[0] > ends[1] or (log and ends[0] <= 0):
            raise BadArgument(
                f"space: {name}={said}: the ends of a range are finite, the lower first, and above "
                "zero where it starts with log:"
            )
        whole = kind != "float" and all(WHOLE.fullmatch(end.strip()) for end in (low, high))
        chosen = (
            IntDistribution(int(low), int(high), log=log)
            if whole
            else FloatDistribution(ends[0], ends[1], log=log)
        )
    of_it = chosen.choices if isinstance(chosen, CategoricalDistribution) else (chosen.low,)  # type: ignore[attr-defined]
    for value in of_it:
        typed(name, value)
    return chosen


def _suggested(trial: "Trial", name: str, kind: "BaseDistribution") -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match kind:
        case FloatDistribution():
            return trial.suggest_float(name, kind.low, kind.high, step=kind.step, log=kind.log)
        case IntDistribution():
            return trial.suggest_int(name, kind.low, kind.high, step=kind.step, log=kind.log)
        case CategoricalDistribution():
            return trial.suggest_categorical(name, kind.choices)
    raise BadArgument(f"space: {name}: {kind} is no range that can be sampled")


def _recorded(executed: "NotebookNode") -> dict[str, float]:
    recorded: dict[str, float] = {}
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            told = output.get("data", {}).get(RECORDED_MIME, {})
            recorded |= {name: float(value) for name, value in told.items()}
    return recorded


class _Reports:
    """Passes what a notebook reports to its trial, and the pruner's answer back."""

    def __init__(self, trial: "Trial", listener: Listener) -> None:
        self.pruned = False
        self._trial = trial
        self._listener = listener

    def answer(self) -> None:
        while True:
            try:
                with self._listener.accept() as kernel:
                    said = kernel.recv()
                    if said is None:
                        return
                    kernel.send(self._judged(*said))
            except (AuthenticationError, EOFError, OSError):
                # A stranger, or a kernel that died: neither ends the trial of another.
                continue

    def _judged(self, value: float, step: int) -> tuple[bool, str]:
        try:
            self._trial.report(value, step)
            self.pruned = self.pruned or self._trial.should_prune()
        # Whatever it is, the notebook waits for an answer, and raises it.
        except Exception as error:
            return False, str(error) or type(error).__name__
        return self.pruned, ""


@contextmanager
def _listening(trial: "Trial") -> Iterator[_Reports]:
    key = secrets.token_bytes(16)
    with Listener(("127.0.0.1", 0), authkey=key) as listener:
        address: Any = listener.address
        reports = _Reports(trial, listener)
        thread = Thread(target=reports.answer, daemon=True)
        thread.start()
        os.environ[REPORTS] = f"{address[1]}:{key.hex()}"
        try:
            yield reports
        finally:
            del os.environ[REPORTS]
            with Client(address, authkey=key) as last:
                last.send(None)
            thread.join()


@contextmanager
def _imports(folders: Sequence[str]) -> Iterator[None]:
    """Let a kernel that starts now import from these folders."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
