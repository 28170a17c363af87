"""How much of the space of objectives a search has come to dominate, trial by trial."""

from collections.abc import Iterable, Sequence

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.charts import theme
from tarslab.charts.algorithms import LOOSE, counted, heading
from tarslab.charts.curves import si_axis, wheel_zoom
from tarslab.charts.front import chosen_objectives
from tarslab.charts.parallel import plain_parameters, tooltip_of
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import fields_of, most_points, seen
from tarslab.errors import BadArgument
from tarslab.studies import Study

# Gains of less than that of the whole are rounding.
NOISE = 1e-12


def hypervolume_history_data(
    study: Study, *, reference: Sequence[float] | None = None
) -> pd.DataFrame:
    """The numbers behind ``hypervolume_history``.

    Returns
    -------
    DataFrame
        ``number`` of each complete trial that keeps its constraints, ``hypervolume`` of all up to
        it, and ``gain``, what it added.
    """
    chosen_objectives(study, None)
    table = study.hypervolume_history(reference)
    if not np.isfinite(table["hypervolume"]).all():
        corner = study.reference() if reference is None else reference
        raise BadArgument(
            f"the hypervolume of {study.name} is infinite for the reference "
            f"({_point(study, corner)}): give a finite one, and see that no value is infinite"
        )
    return table.assign(gain=table["hypervolume"].diff().fillna(table["hypervolume"]))


@says_so
def hypervolume_history(
    study: Study, *, reference: Sequence[float] | None = None
) -> alt.LayerChart:
    """The hypervolume of the frontier after each trial: how a search of several objectives went.

    It is the volume of all that some trial dominates and that is better than the reference, and
    never falls. A dot is a trial that added to it. Drag pans, Shift and wheel zooms.

    Parameters
    ----------
    reference
        A point that is worse than those that count, one number an objective; by default the worst
        value of each objective that any complete trial has. Give one to compare two studies, or
        the same one at two times.

    Raises
    ------
    NoTrials
        No complete trial keeps its constraints.
    BadArgument
        The study has one objective, ``reference`` is not one number an objective, or the volume is
        infinite.

    References
    ----------
    Zitzler, Thiele, Multiobjective optimization using evolutionary algorithms, PPSN V (1998) 292.
    """
    table = hypervolume_history_data(study, reference=reference)
    gained = (table["gain"] > NOISE * table["hypervolume"]).to_numpy()
    parameters = [f"params_{name}" for name in study.parameters]
    columns = [*study.value_columns, *parameters]
    about = plain_parameters(study, study.finished())[columns].reset_index(drop=True)
    # A step line needs no more than its ends and its steps.
    steps = np.union1d(np.flatnonzero(gained), (0, len(table) - 1)).astype(np.int64)
    steps = _thinned(table, steps, len(columns) + 4)
    shown = table.join(about).assign(gained=gained).iloc[steps]
    fields = fields_of(shown)

    zoom = wheel_zoom()
    large = table["hypervolume"].max() >= 10_000
    base = alt.Chart().encode(
        x=alt.X("number:Q", title="trial", axis=alt.Axis(tickMinStep=1), scale=LOOSE),
        y=alt.Y(
            "hypervolume:Q",
            title="hypervolume (higher is better)",
            axis=si_axis(bool(large)),
            scale=alt.Scale(zero=True, nice=True),
        ),
        color=alt.value(theme.PALETTE[0]),
    )
    line = base.mark_line(interpolate="step-after", strokeWidth=1.8, clip=True, aria=False)
    dots = base.transform_filter("datum.gained").mark_circle(
        size=28 if gained.sum() <= 100 else 10, opacity=0.9, clip=True, aria=False
    )
    tooltip = tooltip_of(study, fields, ["number", "hypervolume", "gain", *columns])
    return alt.LayerChart(
        data=fields.data,
        layer=[line.add_params(zoom), dots.encode(tooltip=tooltip)],
        width="container",
        title=heading(_note(study, table, gained, reference)),
        description=f"Step chart of the hypervolume of {study.name} by trial, "
        f"{counted(len(table), 'trial')}, at last {table['hypervolume'].iloc[-1]:.5g}",
    )


def _thinned(table: pd.DataFrame, steps: NDArray[np.int64], columns: int) -> NDArray[np.int64]:
    """These rows, or of very many those that would be seen."""
    rows = table.iloc[steps]
    ends = np.isin(np.arange(len(steps)), (0, len(steps) - 1))
    most = most_points(columns)
    return steps[seen(rows["number"], rows["hypervolume"], keep=ends, most=most)]


def _note(
    study: Study, table: pd.DataFrame, gained: NDArray[np.bool_], reference: Sequence[float] | None
) -> list[str]:
    kind = "feasible trial" if "feasible" in study.trials else "complete trial"
    lines = [
        f"{table['hypervolume'].iloc[-1]:.5g} after {counted(len(table), kind)}, of which "
        f"{gained.sum():,} added to it"
    ]
    if reference is None:
        return [
            *lines,
            f"Reference: {_point(study, study.reference())}, the worst values there are",
        ]
    values = study.finished()[study.value_columns].to_numpy(np.float64)
    signs = np.array([1 if direction == "minimize" else -1 for direction in study.directions])
    short = int((signs * values >= signs * np.asarray(reference)).any(axis=1).sum())
    return [
        *lines,
        f"Reference: {_point(study, reference)}"
        + (f"; {counted(short, 'trial')} not better in all objectives" if short else ""),
    ]


def _point(study: Study, values: Iterable[float]) -> str:
    return ", ".join(
        f"{name} {value:.5g}" for name, value in zip(study.objectives, values, strict=True)
    )
