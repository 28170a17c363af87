"""Choose what to break and where, see the plan, arm, run, watch, abort."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import ipywidgets as widgets

from tarslab import charts
from tarslab.chaos import experiments
from tarslab.chaos.experiments import Experiment, ExperimentFailed, ExperimentResult, ExperimentRun
from tarslab.chaos.platforms import LocalPlatform, Platform
from tarslab.chaos.undo import Entry, Journal, undo_all
from tarslab.dashboards.chaos import words
from tarslab.dashboards.home import Home
from tarslab.dashboards.live_chart import LiveChart
from tarslab.errors import BadArgument, TarslabError
from tarslab.stack import Stack

if TYPE_CHECKING:
    from tarslab.chaos import Plan, Snapshot

log = logging.getLogger(__name__)

Target: TypeAlias = Platform | Stack
SCALES = {"full": 1.0, "a quarter": 0.25, "a tenth": 0.1, "a twentieth": 0.05}
# Seconds from one look at a run to the next; of a run that goes on, so many of the last are drawn.
LOOK, SHOWN = 1.0, 120.0
# Seconds after which an arming that was not used is over.
ARMED = 60
LABELS = {"description_width": "6em"}


def chaos(
    targets: Target | Mapping[str, Target],
    extra: Iterable[str | os.PathLike[str]] = (),
    *,
    url: str | None = None,
    allow: Iterable[str] = (),
    out: str | os.PathLike[str] | None = None,
) -> "ChaosDashboard":
    """A dashboard that runs experiments against a stack or another platform.

    targets: one, or several by name.
    extra: files of experiments, beside those that come with tarslab.
    url: where load and writes go to, of targets that are no stack of this machine; their user is
        that of ``TARSLAB_USERNAME`` and ``TARSLAB_PASSWORD``.
    allow: hosts beside those of this machine that load and probes may go to.
    out: folder that results are saved below, each in a folder of its own.

    Raises:
        BadArgument: There is no target, or an experiment cannot be used.
    """
    folder = None if out is None else Path(out)
    return ChaosDashboard(_named(targets), _all(extra), url=url, allow=tuple(allow), out=folder)


class _Chosen(NamedTuple):
    """What a plan is of, and what runs is of."""

    target: str
    experiment: Experiment
    scale: float
    plan: "Plan"


class ChaosDashboard(widgets.VBox):  # type: ignore[misc]
    """Controls, the plan, and what goes on; nothing is broken without a plan that was seen.

    A change of a control takes the plan back, and each arming is for one run.

    Attributes
    ----------
    run : ExperimentRun or None
        The one that goes on, or was the last.
    result : ExperimentResult or None
        What came of the last run.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        known: Mapping[str, Experiment],
        *,
        url: str | None,
        allow: tuple[str, ...],
        out: Path | None,
    ) -> None:
        self._targets, self._experiments = targets, known
        self._url, self._allow, self._out = url, allow, out
        self.run: ExperimentRun | None = None
        self.result: ExperimentResult | None = None
        self._chosen: _Chosen | None = None
        self._busy = False
        self._home = Home()
        self._tasks: set[asyncio.Task[None]] = set()
        self._disarming: asyncio.TimerHandle | None = None
        self._make_widgets()
        super().__init__(
            [
                widgets.HBox([self.target, self.experiment, self.scale, self.show], layout=_row()),
                self.plan,
                widgets.HBox([self.arm, self.go, self.stop], layout=_row()),
                self.status,
                widgets.HBox([self.journal, self.undo], layout=_row()),
                self.outcome,
                self.views,
                self.events,
            ]
        )
        self.add_class("tars-chaos")
        self._say("Choose what to break, and see the plan: that touches nothing.")
        self._look()
        self._show_journal(self._entries())

    @property
    def running(self) -> bool:
        """Whether an experiment goes on."""
        return self.run is not None and self.run.running

    async def see_plan(self) -> None:
        """Find out what the chosen experiment would touch, and show it."""
        target, scale = str(self.target.value), SCALES[self.scale.value]
        experiment = self._experiments[self.experiment.value]
        self._say("Planning …")
        found = await self._planned(target, experiment, scale)
        self._chosen = _Chosen(target, experiment, scale, found)
        self.plan.value = words.plan(found)
        self._say("This is what would be touched. Nothing has been; arm it to go on.")

    async def begin(self) -> None:
        """Run what was planned, and watch it to its end.

        Raises:
            BadArgument: It is not armed, or would not touch any more what the plan says.
        """
        chosen = self._chosen
        if not self.arm.value or chosen is None:
            raise BadArgument("it is not armed: see the plan, then arm it")
        # One arming is for one run.
        self.arm.value = False
        self._clear()
        self._say("Starting …")
        now = await self._planned(chosen.target, chosen.experiment, chosen.scale)
        if str(now) != str(chosen.plan):
            self._chosen = chosen._replace(plan=now)
            self.plan.value = words.plan(now)
            raise BadArgument(
                "other things would be touched than when you saw the plan, and nothing was: here "
                "is the plan as it is now"
            )
        self.run = await _started(
            partial(
                experiments.start,
                chosen.experiment,
                self._targets[chosen.target],
                target=self._users_of(chosen.target),
                scale=chosen.scale,
                allow=self._allow,
                out=self._folder(chosen),
            )
        )
        self._look()
        try:
            await self._watch(self.run, chosen)
        finally:
            self._look()

    def abort(self) -> None:
        """End the run that goes on, and have undone what is broken."""
        if self.run is not None and self.running:
            self.run.abort()
            self._say("Aborting: what is broken is being undone …")

    async def undo_left(self) -> None:
        """Undo what runs that are gone have left broken at the target."""
        platform = self._platform()
        done = await asyncio.to_thread(undo_all, platform=platform)
        failed = [each for each in done if each.error is not None]
        if failed:
            self._say("; ".join(str(each.error) for each in failed), "bad")
        else:
            self._say(f"Undone: {', '.join(each.entry.fault for each in done) or 'nothing'}.")
        self._show_journal(await asyncio.to_thread(self._entries))

    def close(self) -> None:
        """Take it away; a run that goes on is aborted."""
        self.abort()
        for task in self._tasks:
            task.cancel()
        if self._disarming is not None:
            self._disarming.cancel()
        super().close()

    def _make_widgets(self) -> None:
        self.target = _dropdown("Target", self._targets)
        self.experiment = _dropdown("Experiment", self._experiments)
        self.scale = _dropdown("Time scale", SCALES)
        self.show = widgets.Button(
            description="Show the plan",
            tooltip="Says exactly what would be touched; touches nothing",
        )
        self.plan = widgets.HTML()
        self.arm = widgets.Checkbox(
            description="Arm: break this target as planned",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        self.go = widgets.Button(
            description="Run", button_style="danger", tooltip="Breaks the target as planned"
        )
        self.stop = widgets.Button(
            description="Abort and undo",
            button_style="warning",
            tooltip="Ends the experiment, and undoes what is broken",
        )
        self.status = widgets.HTML()
        self.journal = widgets.HTML()
        self.undo = widgets.Button(
            description="Undo what is left", tooltip="Undoes what runs that are gone left broken"
        )
        self.outcome, self.events = widgets.HTML(), widgets.HTML()
        self.views = widgets.VBox()
        self._charts: dict[str, LiveChart] = {}
        for control in (self.target, self.experiment, self.scale):
            control.observe(self._home.calls(self._take_back), names="value")
        self.arm.observe(self._home.calls(self._armed), names="value")
        for button, work in (
            (self.show, self.see_plan),
            (self.go, self.begin),
            (self.undo, self.undo_left),
        ):
            button.on_click(self._home.calls(partial(self._do, work)))
        self.stop.on_click(self._home.calls(self.abort))

    def _take_back(self) -> None:
        """Another choice: the plan is not of it."""
        self._chosen = None
        self.plan.value = ""
        self.arm.value = False
        self._say("Choose what to break, and see the plan: that touches nothing.")
        self._look()
        self._show_journal(self._entries())

    def _armed(self) -> None:
        if self._disarming is not None:
            self._disarming.cancel()
            self._disarming = None
        if self.arm.value and self._chosen is None:
            self.arm.value = False
        if self.arm.value:
            with suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                self._disarming = loop.call_later(ARMED, self._disarm)
            self._say(f"Armed for {ARMED} s: Run breaks {self.target.value}.", "bad")
        self._look()

    def _disarm(self) -> None:
        self._disarming = None
        if self.arm.value:
            self.arm.value = False
            self._say("Not armed any more: nobody ran it in time.")

    def _do(self, work: Any) -> None:
        """Do something that a button asks for, unless something is being done."""
        if not self._busy:
            self._busy = True
            self._look()
            task = asyncio.get_running_loop().create_task(self._done(work()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _done(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except TarslabError as error:
            self._say(str(error), "bad")
        except Exception as error:
            # Nobody waits for this task, so that nobody else would say it.
            log.exception("the chaos dashboard failed")
            self._say(f"The dashboard failed: {type(error).__name__}.", "bad")
        finally:
            self._busy = False
            self._look()

    def _look(self) -> None:
        """Let each control be used when it can be."""
        idle = not self._busy and not self.running
        for control in (self.target, self.experiment, self.scale, self.show):
            control.disabled = not idle
        self.arm.disabled = not (idle and self._chosen is not None)
        self.go.disabled = not (idle and self.arm.value)
        self.stop.disabled = not self.running
        self.undo.disabled = not idle

    async def _watch(self, run: ExperimentRun, chosen: _Chosen) -> None:
        loop = asyncio.get_running_loop()
        took = 0.0
        while True:
            # What is drawn slowly must leave as much time for other work.
            await asyncio.sleep(max(LOOK, took))
            started = loop.time()
            snapshot = run.snapshot()
            if snapshot.over:
                break
            self.status.value = words.progress(snapshot, chosen.plan.seconds)
            self.events.value = words.events(run.events)
            self._show_journal(await asyncio.to_thread(self._entries))
            await self._draw(snapshot)
            took = loop.time() - started
        failure = ""
        try:
            self.result = await asyncio.to_thread(run.wait)
        except ExperimentFailed as error:
            self.result, failure = error.result, str(error)
        self.events.value = words.events(run.events)
        entries = await asyncio.to_thread(self._entries)
        self._show_journal(entries)
        self._judge(failure, entries)
        if self.result is not None:
            await self._draw_result(self.result)

    async def _draw(self, snapshot: "Snapshot") -> None:
        """The last minutes."""
        if snapshot.probes is not None and snapshot.probes.probes:
            last = max(probe.sent for probe in snapshot.probes.probes[-100:])
            recent = snapshot.probes.between(last - SHOWN, last + 1)
            faults = [each for each in snapshot.faults if (each.ended or last) > last - SHOWN]
            await self._put("availability", charts.availability, recent, faults)
        if snapshot.load:
            await self._put("load", charts.load_progress, snapshot.load, snapshot.faults)

    async def _draw_result(self, result: ExperimentResult) -> None:
        if result.probes.probes:
            await self._put("availability", charts.availability, result.probes, result.faults)
        if result.load_result is not None:
            load = result.load_result
            await self._put("load", charts.latency_timeline, load, result.faults)

    async def _put(self, name: str, draw: Any, *arguments: Any) -> None:
        """Draw a chart in its place, as the reader looks at it."""
        try:
            chart = await asyncio.to_thread(draw, *arguments)
        except Exception:
            # What is broken must be watched and mended without a picture too.
            log.exception("the chaos dashboard could not draw %s", name)
            return
        if name in self._charts:
            self._charts[name].draw(chart, as_looked_at=True)
        else:
            self._charts[name] = _view(chart)
            self.views.children = [
                self._charts[each] for each in ("availability", "load") if each in self._charts
            ]

    def _judge(self, failure: str, entries: tuple[Entry, ...]) -> None:
        result = self.result
        if result is None:
            self._say(failure or "Nothing came of it.", "bad")
            return
        self.outcome.value = words.criteria(result.criteria)
        undone = "what was broken is undone" if not entries else "not everything is undone"
        good = result.verdict == "passed"
        said = failure or f"{result.title} {result.verdict.capitalize()}"
        self._say(f"{said}; {undone}.", "good" if good else "bad")

    def _clear(self) -> None:
        """Show nothing of the run before."""
        self.result = None
        self.outcome.value = self.events.value = ""
        self.views.children = ()
        for chart in self._charts.values():
            chart.close()
        self._charts = {}

    def _say(self, text: str, tone: str = "") -> None:
        self.status.value = words.status(text, tone)

    def _platform(self) -> Platform:
        target = self._targets[self.target.value]
        return LocalPlatform(target) if isinstance(target, Stack) else target

    async def _planned(self, target: str, experiment: Experiment, scale: float) -> "Plan":
        return await asyncio.to_thread(
            experiments.plan,
            experiment,
            self._targets[target],
            target=self._users_of(target),
            scale=scale,
        )

    def _users_of(self, target: str) -> str | None:
        """Where load on a target goes to; None where the target knows that itself."""
        return None if isinstance(self._targets[target], Stack | LocalPlatform) else self._url

    def _entries(self) -> tuple[Entry, ...]:
        where = self._platform().reference()
        return tuple(entry for entry in Journal().entries() if entry.platform == where)

    def _show_journal(self, entries: tuple[Entry, ...]) -> None:
        self.journal.value = words.journal(entries)
        left = any(not entry.held for entry in entries)
        self.undo.layout.display = "" if left else "none"

    def _folder(self, chosen: _Chosen) -> Path | None:
        if self._out is None:
            return None
        taken = {path.name for path in self._out.glob("*")} if self._out.is_dir() else set()
        number = 1
        while (name := f"{chosen.experiment.name}-{number}") in taken:
            number += 1
        return self._out / name

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widgets, and beside them what a page without a kernel says."""
        bundle = dict(super()._repr_mimebundle_(**kwargs))
        return {"text/html": STILL, **bundle, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<ChaosDashboard of {', '.join(self._targets)}>"


STILL = (
    "<p>The chaos dashboard works where a kernel runs: open this notebook in JupyterLab. On a "
    "command line <code>tarslab chaos</code> does the same.</p>"
)


async def _started(start: Callable[[], ExperimentRun]) -> ExperimentRun:
    """The run that this starts; where nobody waits for it any more it is aborted."""
    starting = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_abandon)
        raise


def _abandon(starting: "asyncio.Future[ExperimentRun]") -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().abort()


def _named(targets: Target | Mapping[str, Target]) -> dict[str, Target]:
    if isinstance(targets, Mapping):
        named = {str(name): target for name, target in targets.items()}
    else:
        name = targets.url if isinstance(targets, Stack) else repr(targets)
        named = {name: targets}
    for name, target in named.items():
        if not isinstance(target, Stack | Platform):
            raise BadArgument(f"targets: {name} must be a stack or a platform, not {target!r}")
    if not named:
        raise BadArgument("targets: there is none")
    return named


def _all(extra: Iterable[str | os.PathLike[str]]) -> dict[str, Experiment]:
    several = [Experiment.of(source) for source in (*experiments.shipped(), *extra)]
    named: dict[str, Experiment] = {}
    for experiment in several:
        if experiment.name in named:
            raise BadArgument(f"extra: there are two experiments by the name {experiment.name!r}")
        named[experiment.name] = experiment
    return named


def _view(chart: Any) -> LiveChart:
    view = LiveChart(chart)
    # Each view has a Vega of its own, and as SVG they would name their clip paths alike: then one
    # chart is cut to the height of another.
    view.embed_options = {**view.embed_options, "renderer": "canvas"}
    return view


def _dropdown(description: str, options: Iterable[str]) -> widgets.Dropdown:
    return widgets.Dropdown(description=description, options=list(options), style=LABELS)


def _row() -> widgets.Layout:
    return widgets.Layout(flex_flow="row wrap", align_items="center")
