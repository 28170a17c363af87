"""Aggregate scores with their intervals: median, interquartile mean, mean, optimality gap."""

from functools import partial

import altair as alt
import numpy as np
import pandas as pd

from tarslab import stats
from tarslab.charts import theme
from tarslab.charts.algorithms import (
    LOOSE,
    AlgorithmScores,
    bootstrap_note,
    heading,
    interval_text,
    score_title,
    scored,
    scores_of,
)
from tarslab.charts.bars import bar_layers, bar_records
from tarslab.charts.curves import si_axis
from tarslab.charts.synthetic import says_so
from tarslab.errors import BadArgument
from tarslab.runs import Runs
from tarslab.runs.scores import AlgorithmArrays
from tarslab.stats.resampling import Seed

PANELS = {"median": stats.median, "IQM": stats.iqm, "mean": stats.mean}
GAP = "optimality gap"


def interval_estimates_data(
    scores: AlgorithmScores,
    *,
    gamma: float | None = None,
    reps: int = 50_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> pd.DataFrame:
    """The numbers behind ``interval_estimates``.

    Returns
    -------
    DataFrame
        ``statistic`` (median, IQM, mean, optimality gap), ``algorithm``, ``estimate``, ``low`` and
        ``high`` (NaN from one run), ``runs`` and ``tasks``.
    """
    arrays = scores_of(scores)
    statistics = dict(PANELS)
    gamma = _gamma(scores, gamma)
    if gamma is not None:
        statistics[GAP] = partial(stats.optimality_gap, gamma=gamma)
    rows = []
    for name, statistic in statistics.items():
        for algorithm, array in arrays.items():
            found = stats.bootstrap_ci(
                array, statistic, reps=reps, confidence=confidence, seed=seed
            )
            rows.append((name, algorithm, *map(float, found), *array.shape))
    columns = ["statistic", "algorithm", "estimate", "low", "high", "runs", "tasks"]
    return pd.DataFrame(rows, columns=columns)


@says_so
def interval_estimates(
    scores: AlgorithmScores,
    *,
    gamma: float | None = None,
    reps: int = 50_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> alt.HConcatChart:
    """Median, IQM, mean and optimality gap of every algorithm, each a panel of its own.

    A bar is the interval, the line across it the estimate. Median and mean are those over the
    tasks of the mean over the runs, so that they are one and the same with one task. The
    optimality gap says how far scores stay below ``gamma``; a smaller one is better.

    Parameters
    ----------
    scores
        As for ``performance_profile``.
    gamma
        The score from which more is no better. The default None is 1 for normalised scores and
        plain arrays; scores as they were logged have no such level, and no panel of the gap.
    reps, confidence, seed
        Of the stratified bootstrap: as in ``stats.bootstrap_ci``.

    Raises
    ------
    BadArgument
        Algorithms have not the same number of tasks, or an argument is out of its range.

    References
    ----------
    Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021.
    """
    scores = scored(scores)
    table = interval_estimates_data(
        scores, gamma=gamma, reps=reps, confidence=confidence, seed=seed
    )
    names = list(dict.fromkeys(table["algorithm"]))
    statistics = list(dict.fromkeys(table["statistic"]))
    arrays = scores_of(scores)
    large = bool(table[["estimate", "low", "high"]].abs().max().max() >= 10_000)
    panels = []
    for number, statistic in enumerate(statistics):
        rows = table[table["statistic"] == statistic]
        title = statistic if statistic != GAP else f"{GAP} below {_gamma(scores, gamma):g}"
        base = alt.Chart(bar_records(rows)).encode(
            y=alt.Y(
                "algorithm:N",
                sort=names,
                title=None,
                axis=alt.Axis(ticks=False, domain=False, labels=number == 0, labelLimit=200),
            ),
            color=alt.Color("algorithm:N", scale=theme.colours(names), legend=None),
            tooltip=[
                alt.Tooltip("algorithm:N", title="algorithm"),
                alt.Tooltip("statistic:N", title="statistic"),
                *interval_text(table, ",.5~g"),
                alt.Tooltip("runs:Q", title="runs (n)"),
                alt.Tooltip("tasks:Q", title="tasks"),
            ],
        )
        layers = bar_layers(
            base,
            title=title,
            scale=LOOSE,
            axis=si_axis(large, tickCount=3),
        )
        panels.append(alt.layer(*layers).properties(width=_WIDTH[len(statistics)]))
    note = bootstrap_note(arrays, confidence, reps)
    if int(table["tasks"].iloc[0]) == 1:
        note.append("With one task the median over the tasks is the mean")
    return alt.HConcatChart(
        hconcat=panels,
        spacing=22,
        title=heading([f"{score_title(scores)[:1].upper()}{score_title(scores)[1:]}", *note]),
        description=f"Interval estimates of {score_title(scores)}: {', '.join(statistics)} of "
        + ", ".join(names[:12]),
    )


_WIDTH = {3: 175, 4: 125}


def _gamma(scores: AlgorithmScores, gamma: float | None) -> float | None:
    if gamma is not None:
        if not np.isfinite(gamma):
            raise BadArgument(f"gamma must be a finite number, not {gamma!r}")
        return float(gamma)
    raw = isinstance(scores, Runs) or (
        isinstance(scores, AlgorithmArrays) and not scores.normalised
    )
    return None if raw else 1.0
