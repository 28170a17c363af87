"""How the values of a study are distributed, beside those of other studies."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts.algorithms import SHARES, Axis, banded_lines, counted
from tarslab.charts.curves import POINTS
from tarslab.charts.history import robust_domain
from tarslab.charts.synthetic import says_so
from tarslab.errors import BadArgument
from tarslab.stats import downsample
from tarslab.studies import Study

Studies = Study | Sequence[Study] | Mapping[str, Study]


def edf_data(studies: Studies, *, objective: int | str = 0) -> pd.DataFrame:
    """The numbers behind ``edf``, a row for each value that a study has.

    Returns
    -------
    DataFrame
        ``study``, ``value`` (increasing in each study; infinite ones too), ``share`` (of its trials
        with this value or a smaller one), ``trials`` (how many they are) and ``of`` (all that
        count: complete trials that keep their constraints).
    """
    parts = []
    for name, study in _named(studies).items():
        column, _ = study.objective(objective)
        values = study.finished()[column].to_numpy(np.float64)
        value, count = np.unique(values, return_counts=True)
        trials = count.cumsum()
        part = {"value": value, "share": trials / len(values), "trials": trials, "of": len(values)}
        parts.append(pd.DataFrame({"study": name, **part}))
    return pd.concat(parts, ignore_index=True)


@says_so
def edf(studies: Studies, *, objective: int | str = 0) -> alt.LayerChart:
    """The empirical distribution of the values of complete trials, a step line for each study.

    The line gives the share of trials with a value up to that at x. A study that finds good values
    more often lies further to the left where they are minimized, and to the right where they are
    maximized. A click on a legend entry hides or shows a study, drag pans, Shift and wheel zooms.

    Parameters
    ----------
    studies
        A study, several (told apart by their names), or a mapping from names to them.
    objective
        The place or the name of the objective, default the first.

    Raises
    ------
    NoTrials
        A study without a complete trial that keeps its constraints.
    BadArgument
        No study, no such objective, or studies that do not go in the same direction.

    References
    ----------
    Radosavovic et al., On Network Design Spaces for Visual Recognition, ICCV 2019.
    """
    named = _named(studies)
    direction = _direction(named, objective)
    table = edf_data(named, objective=objective)
    first = next(iter(named.values()))
    objective_name = first.objectives[first.value_columns.index(first.objective(objective)[0])]
    domain = robust_domain(np.repeat(table["value"], _trials_at(table)), direction)
    totals = table.drop_duplicates("study").set_index("study")["of"]
    labels = {str(name): f"{name}, n = {trials:,}" for name, trials in totals.items()}
    drawn = [_steps(part, domain) for _, part in table.groupby("study", sort=False)]
    side = "left" if direction == "minimize" else "right"
    chart = banded_lines(
        pd.concat(drawn, ignore_index=True).rename(columns={"study": "algorithm"}),
        Axis(
            "value",
            f"{objective_name} ({direction}: further to the {side} is better)",
            alt.Scale(domain=list(domain), nice=False),
        ),
        Axis("share", "share of trials with this value or a smaller one", SHARES, "%"),
        note=_note(table, domain),
        tooltip=[
            alt.Tooltip("algorithm:N", title="study"),
            alt.Tooltip("value:Q", title=objective_name, format=",.5~g"),
            alt.Tooltip("share:Q", title="share up to it", format=".1%"),
            alt.Tooltip("trials:Q", title="trials up to it", format=",d"),
            alt.Tooltip("of:Q", title="of", format=",d"),
        ],
        interpolate="step-after",
        labels=labels if len(labels) > 1 else None,
    )
    described: alt.LayerChart = chart.properties(
        description=f"Empirical distribution of {objective_name} ({direction}) over the complete "
        f"trials of {', '.join([*named][:12])}"
    )
    return described


def _named(studies: Studies) -> dict[str, Study]:
    """Studies by name; of several with one name the later ones are numbered."""
    if isinstance(studies, Study):
        studies = [studies]
    if not studies:
        raise BadArgument("studies is empty: give a study, a list of studies or {name: study}")
    if isinstance(studies, Mapping):
        return {str(name): study for name, study in studies.items()}
    named: dict[str, Study] = {}
    for study in studies:
        name, number = study.name, 1
        while name in named:
            number += 1
            name = f"{study.name} ({number})"
        named[name] = study
    return named


def _direction(named: Mapping[str, Study], objective: int | str) -> str:
    directions = {name: study.objective(objective)[1] for name, study in named.items()}
    if len(set(directions.values())) > 1:
        listed = ", ".join(f"{name} {direction}s" for name, direction in directions.items())
        raise BadArgument(f"studies must go in the same direction, but {listed}")
    return next(iter(directions.values()))


def _steps(part: pd.DataFrame, domain: tuple[float, float]) -> pd.DataFrame:
    """The corners of a line from one end of the axis to the other, thinned."""
    low, high = domain
    before = part[part["value"] < low].tail(1)
    if before.empty:
        before = part.head(1).assign(share=0.0, trials=0)
    inside = part[part["value"].between(low, high)]
    if len(inside) > POINTS:
        inside = inside.iloc[downsample(inside["value"], inside["share"], POINTS)]
    line = pd.concat([before.assign(value=low), inside])
    return pd.concat([line, line.tail(1).assign(value=high)]).assign(low=np.nan, high=np.nan)


def _note(table: pd.DataFrame, domain: tuple[float, float]) -> list[str]:
    totals = table.drop_duplicates("study")["of"]
    lines = [counted(int(totals.sum()), "complete trial")]
    if len(totals) > 1:
        lines[0] += f" of {len(totals):,} studies"
    low, high = domain
    beyond = (table["value"] < low) | (table["value"] > high)
    if beyond.any():
        values = table["value"][beyond]
        farthest = values.iloc[int(values.abs().argmax())]
        number = counted(int(_trials_at(table)[beyond].sum()), "trial")
        lines.append(f"{number} far beyond the view, one of {farthest:.3g}")
    return lines


def _trials_at(table: pd.DataFrame) -> "pd.Series[int]":
    """How many trials have each value."""
    return table.groupby("study")["trials"].diff().fillna(table["trials"]).astype(np.int64)
