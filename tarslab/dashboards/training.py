"""The training dashboard: choose runs and a metric, smooth, compare."""

import asyncio
import html
import math
import warnings
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import altair as alt
import ipywidgets as widgets
import pandas as pd

from tarslab import charts
from tarslab.charts import offline
from tarslab.dashboards.live_chart import LiveChart
from tarslab.errors import LogWarning, TarslabError
from tarslab.runs import LiveRuns, Runs
from tarslab.runs.vocabulary import EXPLORATION, LOSSES

LOSSES_VIEW, EXPLORATION_VIEW = "losses", "exploration"
X_AXES = {"step": "step", "episode": "episode", "wall time": "wall_time", "relative": "relative"}
CHOICE_ROWS = 4
SINGLE_RUNS = "run"
LABELS = {"description_width": "7.5em"}

# Above this many lines a chart opens with one line an algorithm.
MANY_RUNS = 8

# Of runs that are followed, seconds from one look at their logs to the next.
LOOK_SECONDS = 1.0


def training(runs: Runs) -> "TrainingDashboard":
    """A dashboard over the runs; ``selected`` and ``chart`` can be read back from it.

    Of runs that ``follow`` gives it draws itself anew while they train, at most once a second.
    """
    return TrainingDashboard(runs)


class TrainingDashboard(widgets.VBox):  # type: ignore[misc]
    """Controls above one chart; every change of a control redraws once.

    In a notebook, ``LiveRuns`` are looked at once a second while ``live`` is ticked; elsewhere when
    ``refresh`` is called.

    Attributes
    ----------
    runs : Runs
        All runs.
    selected : Runs or None
        The runs that the controls choose, None where they choose none.
    chart : altair chart
        What is drawn now.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.selected: Runs | None = runs
        self._notes: list[str] = []
        self._trouble = False
        self._drawn = runs.version if isinstance(runs, LiveRuns) else 0
        self._make_controls()
        self.chart = self._draw()
        self.view = LiveChart(self.chart)
        self._report()
        for control in self._controls:
            control.observe(self._redraw, names="value")
        self.live = widgets.Checkbox(value=True, description="follow", indent=False)
        followed = [self.live] if isinstance(runs, LiveRuns) else []
        super().__init__(
            [
                widgets.HBox([self.metric, self.by, self.x, self.band, *followed], layout=_row()),
                widgets.HBox([self.algo, self.env, self.seed, self.search], layout=_row()),
                widgets.HBox([self.window, self.smoothing, self.target], layout=_row()),
                self.loss_toggles,
                self.status,
                self.view,
            ],
            # Counted by the front end from here on.
            _view_count=0,
        )
        self._following = _task(self._follow()) if followed else None

    def refresh(self) -> bool:
        """Take what the runs have logged since, and redraw; whether there was anything."""
        if not isinstance(self.runs, LiveRuns):
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LogWarning)
            self.runs.update()
        notes, self._notes = self._notes, self.runs.problems
        # Another dashboard, or the user, may have taken it.
        if self._drawn == self.runs.version:
            if self._trouble or notes != self._notes:
                self._trouble = False
                self._report(self._notes)
            return False
        self._drawn = self.runs.version
        with self._quiet():
            self._offer_choices()
        self._redraw(as_looked_at=True)
        return True

    def close(self) -> None:
        """Take the widgets away, and follow no longer."""
        if self._following is not None:
            self._following.cancel()
        super().close()

    @contextmanager
    def one_redraw(self) -> Iterator[None]:
        """Change several controls and redraw once, at the end."""
        with self._quiet():
            yield
        self._redraw()

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Change controls without a redraw."""
        for control in self._controls:
            control.unobserve(self._redraw, names="value")
        try:
            yield
        finally:
            for control in self._controls:
                control.observe(self._redraw, names="value")

    async def _follow(self) -> None:
        """Look and redraw, but not while the dashboard has been taken off the page."""
        loop = asyncio.get_running_loop()
        took = 0.0
        was_shown = False
        while True:
            # A slow redraw must leave the kernel as much time for other work.
            await asyncio.sleep(max(LOOK_SECONDS, took))
            was_shown = was_shown or bool(self._view_count)
            if not self.live.value or (was_shown and not self._view_count):
                continue
            started = loop.time()
            try:
                self.refresh()
            except OSError as error:
                # A file that is moved at this moment, or a disk that is away for a while.
                self._trouble = True
                self.status.value = f"Could not look: {html.escape(str(error))}; trying again"
            except Exception as error:
                # Nobody waits for this task, so that nobody else would say it.
                self.status.value = f"<b>Not followed any more:</b> {html.escape(str(error))}"
                self.live.value = False
                if not isinstance(error, TarslabError):
                    raise
            took = loop.time() - started

    def _make_controls(self) -> None:
        table = self.runs.table
        self.metric = _dropdown("Metric", _views(self.runs))
        self.by = _dropdown("One line per", {"run": SINGLE_RUNS, **_groupings(table)})
        if len(self.runs) > MANY_RUNS and table["algo"].notna().any():
            self.by.value = "algo"
        self.x = _dropdown("X-axis", X_AXES)
        self.band = widgets.Checkbox(value=True, description="±std band", indent=False)
        self.algo = _choice("Algorithms", table["algo"])
        self.env = _choice("Environments", table["env"])
        self.seed = _choice("Seeds", table["seed"])
        hint = "in run names and hyperparameters"
        self.search = _settled(widgets.Text, "Search", placeholder=hint)
        self.window = _settled(widgets.IntSlider, "Window", value=10, min=1, max=200)
        self.smoothing = _settled(
            widgets.FloatSlider, "EMA weight", value=0.0, min=0.0, max=0.99, step=0.01
        )
        self.target = _settled(widgets.Text, "Target", placeholder="none")
        self.loss_toggles = widgets.HBox(_toggles(self.runs, ()), layout=_row())
        self.status = widgets.HTML()

    @property
    def _controls(self) -> list[Any]:
        """All that a change of redraws."""
        return [
            *(self.metric, self.by, self.x, self.band, self.algo, self.env, self.seed),
            *(self.search, self.window, self.smoothing, self.target, *self.loss_toggles.children),
        ]

    def _offer_choices(self) -> None:
        """Let the controls choose from the runs as they are by now."""
        table = self.runs.table
        _offer(self.metric, {view: view for view in _views(self.runs)})
        _offer(self.by, {"run": SINGLE_RUNS, **_groupings(table)})
        for column, control in (("algo", self.algo), ("env", self.env), ("seed", self.seed)):
            _offer(control, _options(table[column]))
        self.loss_toggles.children = _toggles(self.runs, self.loss_toggles.children)

    def _redraw(self, _: Any = None, *, as_looked_at: bool = False) -> None:
        self.status.value = "Drawing …"
        with warnings.catch_warnings(record=True, action="always", category=LogWarning) as caught:
            try:
                self.chart = self._draw()
            except TarslabError as error:
                self.status.value = f"<b>Nothing to draw:</b> {html.escape(str(error))}"
                self.view.layout.visibility = "hidden"
                return
        self.view.layout.visibility = "visible"
        self.view.draw(self.chart, as_looked_at=as_looked_at)
        self._report([*self._notes, *(str(warning.message) for warning in caught)])

    def _draw(self) -> alt.LayerChart:
        self.selected = None
        self.selected = self._select()
        view = self.metric.value
        self.loss_toggles.layout.display = "flex" if view == LOSSES_VIEW else "none"
        by = None if self.by.value == SINGLE_RUNS else self.by.value
        options = {"x": self.x.value, "by": by}
        if view == EXPLORATION_VIEW:
            return charts.exploration_curves(self.selected, **options)
        options |= {
            "window": self.window.value,
            "smoothing": self.smoothing.value,
            "band": "std" if self.band.value else None,
        }
        if view == LOSSES_VIEW:
            kinds = [toggle.description for toggle in self.loss_toggles.children if toggle.value]
            kinds = [kind for kind in kinds if kind in self.selected.metrics]
            if not kinds:
                raise TarslabError("no loss is both chosen and logged by these runs")
            return charts.loss_curves(self.selected, kinds=kinds, **options)
        return charts.reward_curve(
            self.selected, metric=view, target=_number(self.target.value), **options
        )

    def _select(self) -> Runs:
        chosen = {
            column: list(control.value)
            for column, control in (("algo", self.algo), ("env", self.env), ("seed", self.seed))
            if control.value
        }
        selected = self.runs.select(**chosen)
        if text := self.search.value.strip().lower():
            found = [name for name, row in _searchable(selected.table) if text in row]
            if not found:
                raise TarslabError(f"no run has {text!r} in its name or hyperparameters")
            selected = selected.select(run=found)
        return selected

    def _report(self, notes: Sequence[str] = ()) -> None:
        shown = len(self.selected) if self.selected is not None else 0
        hint = (
            f"{shown} of {len(self.runs)} runs · drag to pan, Shift and wheel to zoom, "
            "double-click to go back, click the legend to hide a line"
        )
        self.status.value = "<br>".join([hint, *(html.escape(note) for note in notes)])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widgets, and beside them the chart for pages that have no kernel."""
        bundle = dict(super()._repr_mimebundle_(**kwargs))
        return {**offline.mime_bundle(self.chart.to_dict()), **bundle, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<TrainingDashboard of {self.runs!r}>"


def _views(runs: Runs) -> list[str]:
    """What can be drawn: single metrics, and the losses and the exploration as one each."""
    views = [metric for metric in runs.metrics if metric not in (*LOSSES, *EXPLORATION)]
    groups = {LOSSES_VIEW: LOSSES, EXPLORATION_VIEW: EXPLORATION}
    joint = [view for view, group in groups.items() if set(group) & set(runs.metrics)]
    return [*views[:1], *joint, *views[1:]]


def _groupings(table: pd.DataFrame) -> dict[str, str]:
    names = {"algorithm": "algo", "environment": "env"}
    return {label: column for label, column in names.items() if table[column].notna().any()}


def _choice(description: str, column: "pd.Series[Any]") -> widgets.SelectMultiple:
    """Any number of the values of a column; none chosen means all."""
    options = _options(column)
    return widgets.SelectMultiple(
        description=description,
        options=options,
        rows=min(max(len(options), 2), CHOICE_ROWS),
        style=LABELS,
    )


def _options(column: "pd.Series[Any]") -> dict[str, Any]:
    return {str(value): value for value in sorted(column.dropna().unique().tolist())}


def _offer(control: Any, options: Mapping[str, Any]) -> None:
    """Other options; what was chosen stays chosen."""
    chosen = control.value
    control.options = dict(options)
    if isinstance(chosen, tuple):
        control.value = tuple(value for value in chosen if value in options.values())
    elif chosen in options.values():
        control.value = chosen


def _toggles(runs: Runs, known: Sequence[widgets.ToggleButton]) -> list[widgets.ToggleButton]:
    """A toggle for each loss of the runs, those that are known as they are."""
    toggles = {toggle.description: toggle for toggle in known}
    return [
        toggles.get(loss) or widgets.ToggleButton(value=True, description=loss)
        for loss in LOSSES
        if loss in runs.metrics
    ]


def _searchable(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    parameters = [name for name in table.columns.astype(str) if name.startswith("hp.")]
    for _, row in table.iterrows():
        stated = [f"{name[3:]}={row[name]}" for name in parameters if pd.notna(row[name])]
        yield row["run"], " ".join([row["run"], *stated]).lower()


def _number(text: str) -> float | None:
    try:
        number = float(text) if text.strip() else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise TarslabError(f"the target must be a number, not {text!r}")
    return number


def _dropdown(description: str, options: Any) -> widgets.Dropdown:
    return widgets.Dropdown(description=description, options=options, style=LABELS)


def _settled(kind: Any, description: str, **options: Any) -> Any:
    """A control that tells its value when the user has settled on it, not at every step there."""
    return kind(description=description, continuous_update=False, style=LABELS, **options)


def _task(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
    """The work as a task, where there is a loop, as in a notebook."""
    try:
        return asyncio.get_running_loop().create_task(work)
    except RuntimeError:
        work.close()
        return None


def _row() -> widgets.Layout:
    return widgets.Layout(flex_flow="row wrap")
