"""How probable it is that one algorithm's run beats another's."""

from collections.abc import Sequence
from itertools import combinations

import altair as alt
import numpy as np
import pandas as pd

from tarslab import stats
from tarslab.charts import theme
from tarslab.charts.algorithms import (
    FEW_RUNS,
    AlgorithmScores,
    Floats,
    heading,
    interval_text,
    percent,
    runs_and_tasks,
    scored,
    scores_of,
)
from tarslab.charts.bars import ROW_HEIGHT, bar_layers, bar_records
from tarslab.charts.synthetic import says_so
from tarslab.errors import BadArgument
from tarslab.stats.resampling import Seed

Pairs = Sequence[tuple[str, str]]


def probability_of_improvement_data(
    scores: AlgorithmScores,
    *,
    pairs: Pairs | None = None,
    reps: int = 2_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> pd.DataFrame:
    """The numbers behind ``probability_of_improvement``.

    Returns
    -------
    DataFrame
        ``x``, ``y``, ``estimate`` (of P(X > Y)), ``low`` and ``high`` (NaN where one of the two
        has one run), ``interval`` (Newcombe or bootstrap), ``runs_x``, ``runs_y`` and ``tasks``.
    """
    arrays = scores_of(scores)
    rows = []
    for x, y in _checked(pairs, list(arrays)):
        found, interval = _improvement(arrays[x], arrays[y], reps, confidence, seed)
        if pairs is None and found.estimate < 0.5:
            x, y = y, x
            found = stats.Interval(1 - found.estimate, 1 - found.high, 1 - found.low)
        runs_x, runs_y, tasks = len(arrays[x]), *arrays[y].shape
        rows.append((x, y, *map(float, found), interval, runs_x, runs_y, tasks))
    columns = ["x", "y", "estimate", "low", "high", "interval", "runs_x", "runs_y", "tasks"]
    return pd.DataFrame(rows, columns=columns)


@says_so
def probability_of_improvement(
    scores: AlgorithmScores,
    *,
    pairs: Pairs | None = None,
    reps: int = 2_000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> alt.LayerChart:
    """P(X > Y): how probable it is that a run of X scores above one of Y, mean over the tasks.

    Equal scores count half, so that one half means no difference. It says how often one wins, not
    by how much.

    Parameters
    ----------
    scores
        As for ``performance_profile``.
    pairs
        The pairs (X, Y) to draw, in order; by default every two algorithms, X the one that wins
        more often.
    reps, confidence, seed
        Of the stratified bootstrap: as in ``stats.probability_of_improvement``. With one task the
        interval is Newcombe's, as in ``stats.compare``: a bootstrap of few runs that do not overlap
        finds no doubt at all, and draws [1, 1].

    Raises
    ------
    BadArgument
        Fewer than two algorithms, a pair that names another, algorithms that have not the same
        number of tasks, or an argument that is out of its range.

    References
    ----------
    Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, 2021.
    Newcombe, Statistics in Medicine 25 (2006) 559.
    """
    scores = scored(scores)
    table = probability_of_improvement_data(
        scores, pairs=pairs, reps=reps, confidence=confidence, seed=seed
    )
    # On two lines where one would be cut off.
    long = bool((table["x"].str.len() + table["y"].str.len()).max() > 40)
    table = table.assign(pair=table["x"] + ("\n> " if long else " > ") + table["y"])
    base = alt.Chart(bar_records(table)).encode(
        y=alt.Y(
            "pair:N",
            sort=list(table["pair"]),
            title=None,
            axis=alt.Axis(
                ticks=False,
                domain=False,
                labelLimit=300,
                labelOverlap=False,
                labelOffset=-7 if long else 0,
                labelExpr="split(datum.label, '\\n')",
            ),
        ),
        color=alt.value(theme.PALETTE[0]),
        tooltip=[
            alt.Tooltip("x:N", title="X"),
            alt.Tooltip("y:N", title="Y"),
            *interval_text(table, ".3f"),
            alt.Tooltip("interval:N", title="interval"),
            alt.Tooltip("runs_x:Q", title="runs of X"),
            alt.Tooltip("runs_y:Q", title="runs of Y"),
            alt.Tooltip("tasks:Q", title="tasks"),
        ],
    )
    layers = bar_layers(
        base,
        title="P(X > Y)",
        scale=alt.Scale(domain=[-0.01, 1.01], nice=False),
        axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f"),
    )
    even = alt.Chart(alt.InlineData(values=[{"estimate": 0.5}]))
    rule = even.mark_rule(color=theme.INK, strokeDash=[4, 4], strokeWidth=1.2).encode(
        x="estimate:Q"
    )
    named = {*table["x"], *table["y"]}
    drawn = {name: array for name, array in scores_of(scores).items() if name in named}
    return alt.LayerChart(
        layer=[rule, *layers],
        width="container",
        height=alt.Step(36 if long else ROW_HEIGHT),
        title=heading(_note(drawn, set(table["interval"]), confidence, reps)),
        description="Interval chart of the probability of improvement: "
        + ", ".join(f"{x} > {y}" for x, y in zip(table["x"][:12], table["y"][:12], strict=True)),
    )


def _improvement(
    x: Floats, y: Floats, reps: int, confidence: float, seed: Seed
) -> tuple[stats.Interval[float], str]:
    if x.shape[1] > 1 or min(len(x), len(y)) == 1:
        found = stats.probability_of_improvement(x, y, reps=reps, confidence=confidence, seed=seed)
        return found, "bootstrap" if np.isfinite(found.low) else "none"
    both = stats.compare(x[:, 0], y[:, 0], confidence=confidence, seed=seed)
    limits = both.probability_a_higher_interval
    return stats.Interval(both.probability_a_higher, limits.low, limits.high), "Newcombe"


def _checked(pairs: Pairs | None, names: list[str]) -> list[tuple[str, str]]:
    if len(names) < 2:
        raise BadArgument(f"scores must hold at least two algorithms, not {', '.join(names)}")
    if pairs is None:
        return list(combinations(names, 2))
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(names):
            raise BadArgument(f"pairs must be of two of {', '.join(names)}, not {pair!r}")
    if not pairs:
        raise BadArgument("pairs is empty: leave it out for every two algorithms")
    return [(x, y) for x, y in pairs]


def _note(
    arrays: dict[str, Floats], intervals: set[str], confidence: float, reps: int
) -> list[str]:
    lines = [f"{runs_and_tasks(arrays)}; even odds dashed"]
    fewest = min(len(array) for array in arrays.values())
    if "bootstrap" in intervals:
        lines[0] += f"; {percent(confidence)} bootstrap intervals ({reps:,} replications)"
        if fewest < FEW_RUNS:
            lines.append("From so few runs such intervals come out too narrow")
    if "Newcombe" in intervals:
        lines[0] += f"; {percent(confidence)} intervals after Newcombe"
    if "none" in intervals:
        lines.append("A dot has no interval: with one run nothing is known of the spread")
    return lines
