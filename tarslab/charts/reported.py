"""What trials reported on their way, a line for each."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.charts import theme
from tarslab.charts.algorithms import counted, heading
from tarslab.charts.curves import POINTS, hover_points, legend_toggle, si_axis, wheel_zoom
from tarslab.charts.history import counts_of, robust_domain, state_legend, whole_axis, whole_scale
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import (
    MOST_CELLS,
    fields_of,
    parameter_columns,
    state_colours,
    state_shapes,
)
from tarslab.errors import BadArgument, NoTrials
from tarslab.stats import downsample_many
from tarslab.studies import Study
from tarslab.studies.study import STATES

MOST_LINES = 200


def intermediate_values_data(study: Study, *, states: Sequence[str] | None = None) -> pd.DataFrame:
    """The numbers behind ``intermediate_values``, of all trials that reported any.

    Returns
    -------
    DataFrame
        ``number``, ``step``, ``value``, ``state`` and ``best`` (whether it is of the best trial:
        the first that has the best value among those that are complete and keep their
        constraints; of several objectives there is none). Sorted by number and step.
    """
    known = study.trials.set_index("number")["state"]
    chosen = known.index[known.isin(_checked(states))]
    table = study.reported[study.reported["number"].isin(chosen)].reset_index(drop=True)
    if table.empty:
        raise NoTrials(_nothing_reported(study, states))
    return table.assign(
        state=table["number"].map(known).astype("str"), best=table["number"] == _best(study)
    )


@says_so
def intermediate_values(study: Study, *, states: Sequence[str] | None = None) -> alt.LayerChart:
    """A line for each trial over the steps at which it reported values, the best on top.

    A mark stands at the end of a trial that was not completed, such as a pruned one. Of many
    trials 200 are drawn: the best, the one that was pruned last, and an even choice of the others
    by their number. A click on a legend entry hides or shows a state, drag pans, Shift and wheel
    zooms.

    Parameters
    ----------
    study
    states
        Draw trials in these states only, such as ``["COMPLETE", "PRUNED"]``; default all.

    Raises
    ------
    NoTrials
        No trial in these states reported a finite value.
    BadArgument
        A state that there is not.
    """
    table = intermediate_values_data(study, states=states)
    if not np.isfinite(table["value"]).any():
        raise NoTrials(f"{study.name}: its trials reported only NaN and infinite values")
    lines = _lines(study, table[table["number"].isin(_chosen(table))])
    present = list(dict.fromkeys(table["state"]))
    name, y_title = "value", "reported value"
    if len(study.directions) == 1:
        name = study.objectives[0]
        y_title = f"reported {name} ({study.directions[0]})"
    domain = robust_domain(table["value"], study.directions[0])

    toggle = legend_toggle("state", present)
    zoom = wheel_zoom()
    step = alt.X(
        "step:Q",
        title="step",
        scale=whole_scale(table["step"]),
        axis=whole_axis(table["step"]),
    )
    value = alt.Y(
        "value:Q",
        title=y_title,
        scale=alt.Scale(domain=list(domain), nice=False),
        axis=si_axis(max(map(abs, domain)) >= 10_000),
    )
    fields = fields_of(lines)
    trials = (
        alt.Chart(fields.data)
        .transform_filter(toggle)
        .encode(
            x=step,
            y=value,
            color=alt.Color("state:N", scale=state_colours(present), legend=state_legend()),
        )
    )
    unfolded: list[str | alt.FieldName] = ["step", "value"]
    points = trials.transform_flatten(unfolded).encode(detail="number:N")
    tooltip = [
        alt.Tooltip("number:Q", title="trial", format="d"),
        alt.Tooltip("state:N", title="state"),
        alt.Tooltip("step:Q", title="step", format=",d"),
        alt.Tooltip("value:Q", title="reported", format=",.5~g"),
        *fields.tooltip(parameter_columns(study)),
    ]
    layers = [
        points.mark_line(
            strokeWidth=1.2, opacity=float(np.clip(30 / len(lines), 0.3, 0.8)), clip=True
        ),
        _ends(trials, present, few=len(lines) <= 50),
        *(_best_line(points, trials, study.directions[0]) if lines["best"].any() else []),
        hover_points(points, int(lines["step"].map(len).sum()), tooltip),
    ]
    # Invisible points far beyond the view would stretch the picture.
    layers[-1].mark.clip = True
    layers[0] = layers[0].add_params(toggle, zoom)
    return alt.LayerChart(
        layer=layers,
        width="container",
        title=heading(_note(study, table, len(lines), domain)),
        description=f"Line chart of {y_title} by step, of {counts_of(_states(table))}",
    )


def _checked(states: Sequence[str] | None) -> Sequence[str]:
    if states is None:
        return STATES
    if isinstance(states, str) or not set(states) <= set(STATES):
        raise BadArgument(f"states must be a list of some of {', '.join(STATES)}, not {states!r}")
    return states


def _nothing_reported(study: Study, states: Sequence[str] | None) -> str:
    if study.trials.empty:
        return f"{study.name}: the study has no trials yet, so nothing was reported"
    reported = study.trials["number"].isin(study.reported["number"])
    if not reported.any():
        return (
            f"{study.name}: none of its {counted(len(study), 'trial')} reported intermediate "
            "values; call trial.report(value, step) in the objective"
        )
    return (
        f"{study.name}: no trial that is {' or '.join(states or STATES)} reported intermediate "
        f"values; those that did: {counts_of(study.trials['state'][reported])}"
    )


def _best(study: Study) -> int | None:
    if len(study.directions) > 1:
        return None
    try:
        return int(study.front()["number"].iloc[0])
    except NoTrials:
        return None


def _states(table: pd.DataFrame) -> "pd.Series[str]":
    """The state of each trial."""
    return table.drop_duplicates("number")["state"]


def _chosen(table: pd.DataFrame) -> NDArray[np.int64]:
    """The numbers of the trials to draw."""
    trials = table.drop_duplicates("number")
    pruned = trials["number"][trials["state"] == "PRUNED"].tail(1)
    kept = np.union1d(trials["number"][trials["best"]], pruned)
    others = np.setdiff1d(trials["number"], kept)
    most = MOST_LINES - len(kept)
    if len(others) > most:
        others = others[np.linspace(0, len(others) - 1, most).round().astype(np.int64)]
    return np.union1d(kept, others).astype(np.int64)


def _lines(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """A row for each trial, its steps and values as lists, and where its line ends."""
    parts = [part for _, part in table.groupby("number", sort=True)]
    # Two cells a point.
    most = int(np.clip(MOST_CELLS // 2 // len(parts), 10, POINTS))
    places = downsample_many(
        [part["step"].to_numpy(np.float64) for part in parts],
        [part["value"].to_numpy(np.float64) for part in parts],
        most,
    )
    rows: list[dict[str, Any]] = []
    for part, kept in zip(parts, places, strict=True):
        finite = part[np.isfinite(part["value"])]
        shown = part.iloc[kept]
        first, last = part.iloc[0], finite.tail(1)
        rows.append(
            {
                "number": int(first["number"]),
                "state": first["state"],
                "best": bool(first["best"]),
                "step": shown["step"].to_list(),
                "value": [float(f"{v:.9g}") if np.isfinite(v) else None for v in shown["value"]],
                "last_step": last["step"].max(),
                "last_value": last["value"].max(),
                "marked": (first["state"] != "COMPLETE" and len(finite) > 0) or len(finite) == 1,
            }
        )
    parameters = study.trials[["number", *parameter_columns(study)]]
    return pd.DataFrame(rows).merge(parameters, on="number", how="left")


def _ends(trials: alt.Chart, present: Sequence[str], *, few: bool) -> alt.Chart:
    """The last point of a trial that did not come to its end, or that has no other."""
    ends: alt.Chart = (
        trials.transform_filter("datum.marked")
        .mark_point(filled=True, size=40 if few else 24, opacity=0.9, clip=True, aria=False)
        .encode(
            x=alt.X("last_step:Q", title="step"),
            y="last_value:Q",
            shape=alt.Shape("state:N", scale=state_shapes(present), legend=state_legend()),
        )
    )
    return ends


def _best_line(points: alt.Chart, trials: alt.Chart, direction: str) -> list[alt.Chart]:
    black = alt.value(theme.INK)
    line = points.transform_filter("datum.best").mark_line(strokeWidth=2.6, clip=True)
    at_end = (
        trials.transform_filter("datum.best && isValid(datum.last_value)")
        .transform_calculate(text="'best: trial ' + datum.number")
        .encode(x="last_step:Q", y="last_value:Q", text="text:N")
    )
    # On the side where no other line is better.
    dy = 13 if direction == "minimize" else -9
    label: dict[str, Any] = {"align": "right", "dy": dy, "fontWeight": "bold", "aria": False}
    halo = at_end.mark_text(**label, stroke="white", strokeWidth=4, strokeJoin="round")
    return [
        line.encode(color=black),
        halo.encode(color=alt.value("white")),
        at_end.mark_text(**label).encode(color=black),
    ]


def _note(study: Study, table: pd.DataFrame, drawn: int, domain: tuple[float, float]) -> list[str]:
    lines = [counts_of(_states(table))]
    trials = table["number"].nunique()
    if drawn < trials:
        kept = [
            word
            for word, there in (
                ("the best", table["best"].any()),
                ("the last that was pruned", (table["state"] == "PRUNED").any()),
            )
            if there
        ]
        choice = "an even choice" + (" of the others" if kept else "")
        lines.append(f"{drawn:,} of {trials:,} trials are drawn: {', '.join([*kept, choice])}")
    low, high = domain
    finite = np.isfinite(table["value"])
    beyond = table[finite & ((table["value"] < low) | (table["value"] > high))]
    rest = []
    if len(beyond):
        farthest = beyond["value"].iloc[int(beyond["value"].abs().argmax())]
        leave = counted(beyond["number"].nunique(), "trial")
        rest.append(f"{leave} with values far beyond the view, one of {farthest:.3g}")
    if not finite.all():
        gaps = counted(table["number"][~finite].nunique(), "trial")
        rest.append(f"{gaps} with NaN or infinite values: gaps")
    if silent := len(study) - study.reported["number"].nunique():
        rest.append(f"{counted(silent, 'trial')} of the study reported nothing")
    return lines + (["; ".join(rest)] if rest else [])
