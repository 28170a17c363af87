"""The AutoML dashboard: which trials, what they reached, and how they learned."""

import html
import math
import os
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd

from tarslab import charts
from tarslab.charts import offline
from tarslab.charts.linked import BRUSH, linked_trials, linked_trials_data
from tarslab.charts.trials import categories, is_log, is_numeric
from tarslab.dashboards.live_chart import LiveChart
from tarslab.errors import BadArgument, TarslabError
from tarslab.runs import Runs, load
from tarslab.runs.discovery import PathLike
from tarslab.studies import Study, load_study
from tarslab.studies.linking import trials_of_runs

NONE = "none"
LABELS = {"description_width": "9em"}
CHOICE_ROWS = 4
# More ranges than these make a page of sliders; the others are left as they are.
MOST_RANGES = 12
# More learning curves than these cannot be told apart.
MOST_CURVES = 12


def automl(study: Any, runs: Runs | PathLike | None = None) -> "AutoMLDashboard":
    """A dashboard over a study; ``selected_trials`` can be read back from it.

    Parameters
    ----------
    study
        A ``Study``, or anything that ``load_study`` takes.
    runs
        The training runs of its trials, or where ``load`` finds them, linked by the trial's number
        in their configuration (``trial``) or name (``trial_7``). None or an empty path for none.

    Raises
    ------
    BadArgument
        None of ``runs`` says which trial it is of, or as ``load_study``.
    """
    if runs is not None and not isinstance(runs, Runs):
        runs = load(runs) if os.fspath(runs) else None
    return AutoMLDashboard(load_study(study), runs)


class AutoMLDashboard(widgets.VBox):  # type: ignore[misc]
    """Controls above linked panels, and the learning curves of the trials chosen in them.

    Attributes
    ----------
    study : Study
    runs : Runs or None
    chart : altair.VConcatChart
        The panels as they are shown.
    """

    def __init__(self, study: Study, runs: Runs | None = None) -> None:
        self.study = study
        self.runs = runs
        self._trial_of = None if runs is None else _linked(runs)
        self._make_controls()
        self.chart = self._draw()
        self.view = LiveChart(self.chart, debounce_wait=150, max_wait=False)
        self.curves = widgets.VBox()
        for control in self._controls:
            control.observe(self._redraw, names="value")
        self.view.observe(self._brushed, names="_vl_selections")
        super().__init__(
            [
                widgets.HBox([self.first, self.second, self.states], layout=_row()),
                widgets.Accordion([self.ranges], titles=("Hyperparameters",)),
                self.status,
                self.view,
                self.curves,
            ]
        )
        self._brushed()

    @property
    def selected_trials(self) -> pd.DataFrame:
        """The rows of ``study.trials`` that the controls leave and, where there is a box in a
        panel, that lie in it."""
        filtered = self.study.trials[self._filtered()]
        brush = (self.view._vl_selections.get(BRUSH) or {}).get("value") or {}
        if not brush:
            return filtered
        data = linked_trials_data(self.study, objectives=self._objectives())
        inside = np.ones(len(data.table), np.bool_)
        for column, field in data.fields.items():
            if field in brush:
                inside &= _within(data.table[column], brush[field])
        return filtered[filtered["number"].isin(data.table["number"][inside])]

    def _make_controls(self) -> None:
        names = {name: place for place, name in enumerate(self.study.objectives)}
        self.first = _dropdown("Objective", names, 0)
        self.second = _dropdown("Against", {NONE: None, **names}, 1 if len(names) > 1 else None)
        self.second.layout.display = "flex" if len(names) > 1 else "none"
        present = list(dict.fromkeys(self.study.trials["state"]))
        self.states = widgets.SelectMultiple(
            description="States",
            options=present,
            rows=min(max(len(present), 2), CHOICE_ROWS),
            style=LABELS,
        )
        self._of_parameter = {
            name: control
            for name in list(self.study.parameters)[:MOST_RANGES]
            if (control := self._range(name)) is not None
        }
        self.ranges = widgets.HBox(list(self._of_parameter.values()), layout=_row())
        self.status = widgets.HTML()

    @property
    def _controls(self) -> list[Any]:
        """All that a change of redraws."""
        return [self.first, self.second, self.states, *self._of_parameter.values()]

    def _range(self, name: str) -> Any:
        """A slider over the values that were tried, or the choices; None where all are the same."""
        distribution = self.study.parameters[name]
        cells = self.study.trials[f"params_{name}"].dropna()
        if not is_numeric(distribution):
            words = [word for word in categories(distribution) if word in set(map(str, cells))]
            if len(words) < 2:
                return None
            rows = min(len(words), CHOICE_ROWS)
            return widgets.SelectMultiple(
                description=name, options=words, rows=rows, style=LABELS, tooltip=name
            )
        low, high = float(cells.min()), float(cells.max())
        if low == high:
            return None
        options: dict[str, Any] = {"description": name, "style": LABELS, "tooltip": name}
        options["continuous_update"] = False
        if is_log(distribution):
            return _LogRange(low, high, **options)
        return widgets.FloatRangeSlider(
            value=(low, high), min=low, max=high, step=(high - low) / 200, **options
        )

    def _objectives(self) -> list[int]:
        chosen = [self.first.value, self.second.value]
        return [place for place in dict.fromkeys(chosen) if place is not None]

    def _filtered(self) -> "pd.Series[bool]":
        """Which trials the controls leave; a trial without a hyperparameter is left by its range
        only where that is untouched."""
        trials = self.study.trials
        kept = pd.Series(True, index=trials.index)
        if self.states.value:
            kept &= trials["state"].isin(self.states.value)
        for name, control in self._of_parameter.items():
            cells = trials[f"params_{name}"]
            if isinstance(control, widgets.SelectMultiple):
                if control.value:
                    kept &= cells.astype("str").isin(control.value)
            elif tuple(control.value) != (control.min, control.max):
                low, high = _limits(control)
                kept &= (cells.astype("float64") >= low) & (cells.astype("float64") <= high)
        return kept

    def _draw(self) -> Any:
        numbers = self.study.trials["number"][self._filtered()].tolist()
        return linked_trials(self.study, objectives=self._objectives(), numbers=numbers)

    def _redraw(self, _: Any = None) -> None:
        try:
            self.chart = self._draw()
        except TarslabError as error:
            self.status.value = f"<b>Nothing to draw:</b> {html.escape(str(error))}"
            self.view.layout.visibility = "hidden"
            self.curves.children = ()
            return
        self.view.layout.visibility = "visible"
        self.view.draw(self.chart)
        self._brushed()

    def _brushed(self, _: Any = None) -> None:
        """Say what is selected, and show how it learned."""
        selected = self.selected_trials
        hint = f"{len(selected):,} of {len(self.study):,} trials selected"
        if self.runs is not None and self._trial_of is not None:
            runs = self._trial_of.index[self._trial_of.isin(selected["number"])].tolist()
            hint += f" · {len(runs):,} of them have learning curves"
            self._show_curves(runs)
        self.status.value = f"{hint} · read them as <code>dashboard.selected_trials</code>"

    def _show_curves(self, runs: list[str]) -> None:
        assert self.runs is not None
        if not runs:
            self.curves.children = ()
            return
        few = len(runs) <= MOST_CURVES
        chosen = self.runs.select(run=runs)
        metric = "reward" if "reward" in chosen.metrics else chosen.metrics[0]
        chart = charts.reward_curve(chosen, metric=metric, by=None if few else _by(chosen))
        if self.curves.children:
            self.curves.children[0].draw(chart)
        else:
            self.curves.children = (LiveChart(chart),)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The widgets, and beside them the panels for pages that have no kernel."""
        bundle = dict(super()._repr_mimebundle_(**kwargs))
        return {**offline.mime_bundle(self.chart.to_dict()), **bundle, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<AutoMLDashboard of {self.study!r}>"


class _LogRange(widgets.FloatRangeSlider):  # type: ignore[misc]
    """A range of exponents of ten; a slider over the numbers would hold most trials at one end."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        options["description"] += " (10^)"
        bottom, top = math.log10(low), math.log10(high)
        super().__init__(
            value=(bottom, top), min=bottom, max=top, step=(top - bottom) / 200, **options
        )


def _limits(control: Any) -> tuple[float, float]:
    low, high = control.value
    if not isinstance(control, _LogRange):
        return float(low), float(high)
    # What is rounded to a step must not leave out the value that it stands for.
    return 10**low * (1 - 1e-9), 10**high * (1 + 1e-9)


def _within(column: "pd.Series[Any]", brushed: Any) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Which values lie in a range, or are among the categories, of a selection."""
    if pd.api.types.is_numeric_dtype(column):
        low, high = min(brushed), max(brushed)
        inside = column.astype("float64").between(low, high)
    else:
        inside = column.astype("str").isin([str(word) for word in brushed])
    found: np.ndarray[Any, np.dtype[np.bool_]] = inside.to_numpy(dtype=np.bool_)
    return found


def _linked(runs: Runs) -> "pd.Series[Any]":
    linked = trials_of_runs(runs.table)
    if linked.empty:
        raise BadArgument(
            "runs: none says which trial it is of: give each the trial's number in its config.json "
            '({"trial": 7, ...}) or in its name (trial_7)'
        )
    return linked


def _by(runs: Runs) -> str | None:
    return "algo" if runs.table["algo"].notna().all() else None


def _dropdown(description: str, options: Mapping[str, Any], value: Any) -> widgets.Dropdown:
    return widgets.Dropdown(
        description=description, options=dict(options), value=value, style=LABELS
    )


def _row() -> widgets.Layout:
    return widgets.Layout(flex_flow="row wrap")
