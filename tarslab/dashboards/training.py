"""The training dashboard: choose runs and a metric, smooth, compare."""

import html
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import altair as alt
import ipywidgets as widgets
import pandas as pd

from tarslab import charts
from tarslab.charts import offline
from tarslab.dashboards.live_chart import LiveChart
from tarslab.errors import LogWarning, TarslabError
from tarslab.runs import Runs
from tarslab.runs.vocabulary import EXPLORATION, LOSSES

LOSSES_VIEW, EXPLORATION_VIEW = "losses", "exploration"
X_AXES = {"step": "step", "episode": "episode", "wall time": "wall_time", "relative": "relative"}
CHOICE_ROWS = 4
SINGLE_RUNS = "run"
LABELS = {"description_width": "7.5em"}

# Above this many lines a chart opens with one line an algorithm.
MANY_RUNS = 8


def training(runs: Runs) -> "TrainingDashboard":
    """A dashboard over the runs; ``selected`` and ``chart`` can be read back from it."""
    return TrainingDashboard(runs)


class TrainingDashboard(widgets.VBox):  # type: ignore[misc]
    """Controls above one chart; every change of a control redraws once.

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
        self._make_controls()
        self.chart = self._draw()
        self.view = LiveChart(self.chart)
        self._report()
        for control in self._controls:
            control.observe(self._redraw, names="value")
        super().__init__(
            [
                widgets.HBox([self.metric, self.by, self.x, self.band], layout=_row()),
                widgets.HBox([self.algo, self.env, self.seed, self.search], layout=_row()),
                widgets.HBox([self.window, self.smoothing, self.target], layout=_row()),
                self.loss_toggles,
                self.status,
                self.view,
            ]
        )

    @contextmanager
    def one_redraw(self) -> Iterator[None]:
        """Change several controls and redraw once, at the end."""
        for control in self._controls:
            control.unobserve(self._redraw, names="value")
        try:
            yield
        finally:
            for control in self._controls:
                control.observe(self._redraw, names="value")
        self._redraw()

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
        present = [loss for loss in LOSSES if loss in self.runs.metrics]
        toggles = [widgets.ToggleButton(value=True, description=loss) for loss in present]
        self.loss_toggles = widgets.HBox(toggles, layout=_row())
        self.status = widgets.HTML()
        self._controls = [
            *(self.metric, self.by, self.x, self.band, self.algo, self.env, self.seed),
            *(self.search, self.window, self.smoothing, self.target, *toggles),
        ]

    def _redraw(self, _: Any = None) -> None:
        self.status.value = "Drawing …"
        with warnings.catch_warnings(record=True, action="always", category=LogWarning) as caught:
            try:
                self.chart = self._draw()
            except TarslabError as error:
                self.status.value = f"<b>Nothing to draw:</b> {html.escape(str(error))}"
                self.view.layout.visibility = "hidden"
                return
        self.view.layout.visibility = "visible"
        self.view.draw(self.chart)
        self._report([str(warning.message) for warning in caught])

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
    values = sorted(column.dropna().unique().tolist())
    return widgets.SelectMultiple(
        description=description,
        options={str(value): value for value in values},
        rows=min(max(len(values), 2), CHOICE_ROWS),
        style=LABELS,
    )


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


def _row() -> widgets.Layout:
    return widgets.Layout(flex_flow="row wrap")
