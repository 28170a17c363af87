"""The comparison of algorithms in words and numbers: a paragraph to quote, a table of all pairs."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from html import escape
from itertools import combinations
from math import comb, isnan
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from tarslab import stats
from tarslab.charts.algorithms import (
    AlgorithmScores,
    Floats,
    counted,
    percent,
    score_title,
    scores_of,
)
from tarslab.errors import BadArgument
from tarslab.runs import Runs
from tarslab.runs.scores import UNKNOWN_TASK, Scores, final_scores
from tarslab.stats import Comparison
from tarslab.stats.resampling import Seed

Test = Literal["welch", "mann_whitney", "permutation"]
TESTS: dict[str, str] = {
    "welch": "Welch's t-test",
    "mann_whitney": "the Mann-Whitney test",
    "permutation": "the permutation test",
}


class Paragraph(str):
    """Text that a notebook shows as prose."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<p>{escape(self)}</p>"


def comparison_table(
    scores: AlgorithmScores, *, confidence: float = 0.95, seed: Seed = 0
) -> pd.DataFrame:
    """Every two algorithms compared, the p-values corrected for their number by Holm's method.

    A run counts by its score, or by its mean over the tasks where there are several. A pair of
    which one has a single run has means and their difference alone: no test can say anything
    about it, and it is not counted as one by the correction.

    Parameters
    ----------
    scores
        As for ``performance_profile``.
    confidence, seed
        As in ``stats.compare_all``.

    Returns
    -------
    DataFrame
        ``a``, ``b``, then the fields of ``stats.Comparison``, an interval as two columns
        ``<field>_low`` and ``<field>_high``; NaN where nothing is known.

    Raises
    ------
    BadArgument
        Fewer than two algorithms, or an argument is out of its range.
    """
    of_runs = _of_runs(scores_of(scores))
    if len(of_runs) < 2:
        raise BadArgument(f"scores must hold at least two algorithms, not {', '.join(of_runs)}")
    several = {name: values for name, values in of_runs.items() if len(values) > 1}
    tested = {}
    if len(several) > 1:
        tested = stats.compare_all(several, confidence=confidence, seed=seed)
    rows = []
    for a, b in combinations(of_runs, 2):
        found = vars(tested[a, b]) if (a, b) in tested else _untested(of_runs[a], of_runs[b])
        rows.append({"a": a, "b": b, **_columns(found)})
    return pd.DataFrame(rows).astype({"seeds_needed": "Int64"})


def comparison_text(
    scores: AlgorithmScores,
    a: str,
    b: str,
    *,
    test: Test = "welch",
    confidence: float = 0.95,
    reps: int = 10_000,
    seed: Seed = 0,
) -> Paragraph:
    """Whether ``a`` is better than ``b``, and how sure that is, as a paragraph to quote.

    It states the scores, their difference with its interval and size, all three tests of
    ``stats.compare``, whether the chosen one decides it at ``1 - confidence``, alone and corrected
    for all pairs of the algorithms in ``scores``, how many runs would decide it, and what remains
    open. Where neither algorithm shows any spread, Welch's test has nothing to go by and the
    permutation test decides.

    Parameters
    ----------
    scores
        As for ``performance_profile``; ``Scores`` let the text name what was scored, and after how
        much training. A larger score is better. Several tasks are averaged for the tests, a run
        with a run in the order they stand in, and the interquartile means of both are given too.
    a, b
        Two of the algorithms.
    test
        ``"welch"`` (default), ``"mann_whitney"`` or ``"permutation"``: the one that decides,
        to be chosen before looking.
    confidence, seed
        As in ``stats.compare``.
    reps
        Replications of the bootstrap intervals that several tasks have; default 10,000.

    Raises
    ------
    BadArgument
        An algorithm that ``scores`` do not hold, or an argument out of its range.
    """
    if isinstance(scores, Runs):
        scores = final_scores(scores)
    arrays = scores_of(scores)
    for name in (a, b):
        if name not in arrays:
            raise BadArgument(f"no scores of {name!r}; there are {', '.join(arrays)}")
    if a == b:
        raise BadArgument(f"a and b are both {a!r}: name two algorithms")
    if test not in get_args(Test):
        raise BadArgument(f"test must be one of {', '.join(get_args(Test))}, not {test!r}")
    options = _Options(test, confidence, reps, seed)
    sentences = [_scored(scores, arrays, a, b, options)]
    if min(len(arrays[a]), len(arrays[b])) == 1:
        sentences += _of_one_run(arrays, a, b)
    else:
        sentences += _compared(arrays, a, b, options)
    sentences += _caveats(scores, a, b)
    return Paragraph(" ".join(sentences))


class _Options(NamedTuple):
    test: Test
    confidence: float
    reps: int
    seed: Seed

    @property
    def level(self) -> float:
        return 1 - self.confidence


def _untested(a: Floats, b: Floats) -> dict[str, object]:
    """The fields of a Comparison with what little is known where one has a single run."""
    unknown: dict[str, object] = {
        field.name: (np.nan, np.nan) if field.name.endswith("_interval") else np.nan
        for field in fields(Comparison)
    }
    means = {"mean_a": a.mean(), "mean_b": b.mean(), "mean_difference": a.mean() - b.mean()}
    return {**unknown, "n_a": len(a), "n_b": len(b), **means}


def _columns(fields_of_one: Mapping[str, object]) -> dict[str, object]:
    """An interval as two columns."""
    columns: dict[str, object] = {}
    for name, value in fields_of_one.items():
        if isinstance(value, tuple):
            stem = name.removesuffix("_interval")
            columns |= {f"{stem}_low": value[0], f"{stem}_high": value[1]}
        else:
            columns[name] = value
    return columns


def _of_runs(arrays: Mapping[str, Floats]) -> dict[str, Floats]:
    """A number a run: its mean over the tasks."""
    return {name: array.mean(axis=1) for name, array in arrays.items()}


def _scored(
    scores: AlgorithmScores, arrays: dict[str, Floats], a: str, b: str, options: _Options
) -> str:
    """What was measured, of both."""
    tasks = arrays[a].shape[1]
    where = f"Over {tasks} tasks" if tasks > 1 else "Here"
    if isinstance(scores, Scores) and tasks == 1 and scores.tasks[0] != UNKNOWN_TASK:
        where = f"On {scores.tasks[0]}"
    means = _of_runs(arrays)
    details = [_spread_of(len(means[a]), len(means[b]))]
    if isinstance(scores, Scores):
        details.append(_measure(scores, a, b))
    said = (
        f"{where}, {a} scored {_mean_and_spread(means[a])} and {b} {_mean_and_spread(means[b])} "
        f"({'; '.join(details)})."
    )
    if tasks > 1:
        middles = " and ".join(_middle(name, arrays[name], options) for name in (a, b))
        said += f" The interquartile mean over all runs and tasks is {middles}."
    return said


def _mean_and_spread(values: Floats) -> str:
    # From the first value, so that equal scores have a spread of exactly 0.
    apart = values - values[0]
    mean = _number(values[0] + apart.mean())
    return mean if len(values) == 1 else f"{mean} ± {_number(apart.std(ddof=1))}"


def _spread_of(n_a: int, n_b: int) -> str:
    if n_a == n_b:
        return "one run of each" if n_a == 1 else f"mean ± standard deviation of {n_a} runs each"
    return f"mean ± standard deviation, where there is one, of {n_a} and {counted(n_b, 'run')}"


def _middle(name: str, array: Floats, options: _Options) -> str:
    found = stats.bootstrap_ci(
        array, stats.iqm, reps=options.reps, confidence=options.confidence, seed=options.seed
    )
    said = f"{_number(found.estimate)} for {name}"
    if np.isfinite(found.low):
        kind = f"{percent(options.confidence)} stratified bootstrap interval"
        said += f" ({kind} {_range(found.low, found.high)})"
    return said


def _measure(scores: Scores, a: str, b: str) -> str:
    part = "all" if scores.last == 1 else f"the last {percent(scores.last)}"
    of_a, of_b = _steps(scores.steps(a)), _steps(scores.steps(b))
    training = f"{of_a} steps of training"
    if of_a != of_b:
        training = f"training, {of_a} steps of {a} and {of_b} of {b}"
    return f"{score_title(scores)}, mean over {part} of {training}"


def _steps(numbers: tuple[int, ...]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _compared(arrays: dict[str, Floats], a: str, b: str, options: _Options) -> Iterator[str]:
    """What the tests say, of two runs or more of each."""
    means = _of_runs(arrays)
    found = stats.compare(means[a], means[b], confidence=options.confidence, seed=options.seed)
    if found.std_a == found.std_b == found.mean_difference == 0:
        yield (
            "All runs of both have the same score: nothing here tells them apart, and more runs "
            "like these would not either. It takes a harder task, or a look at earlier training."
        )
        return
    yield _difference(arrays, a, b, found, options)
    test, ps = options.test, _p_values(found)
    if isnan(ps[test]):
        yield (
            f"Neither shows any spread between its runs, by which {TESTS[test]} and an effect size "
            "would judge the difference; the permutation test takes their place."
        )
        test = "permutation"
    yield _tested(ps)
    yield _verdict(a, b, found, test, options.level)
    pairs, corrected = _corrected(means, a, b, options)
    if pairs > 1:
        yield _correction(test, ps[test], corrected[test], pairs, options.level)
    yield from _doubts(a, b, found, test, options.level)


def _difference(
    arrays: dict[str, Floats], a: str, b: str, found: Comparison, options: _Options
) -> str:
    said = f"The difference of the means, {a} less {b}, is {_number(found.mean_difference)}"
    interval = found.mean_difference_interval
    if not isnan(interval.low):
        kind = f"{percent(options.confidence)} confidence interval"
        said += f" ({kind} {_range(*interval)}, Welch)"
    if not isnan(found.hedges_g):
        g = found.hedges_g_interval
        said += f", Hedges' g {_number(found.hedges_g)} ({_range(*g)})"
    chance, low, high, kind = _chance(arrays, a, b, found, options)
    said += (
        f"; a run of {a} scores above one of {b} with a probability of {chance:.2f} "
        f"({low:.2f} to {high:.2f}, {kind})."
    )
    return said


def _chance(
    arrays: dict[str, Floats], a: str, b: str, found: Comparison, options: _Options
) -> tuple[float, float, float, str]:
    if arrays[a].shape[1] == 1:
        return found.probability_a_higher, *found.probability_a_higher_interval, "Newcombe"
    improvement = stats.probability_of_improvement(
        arrays[a],
        arrays[b],
        reps=options.reps,
        confidence=options.confidence,
        seed=options.seed,
    )
    chance, low, high = improvement
    return chance, low, high, "stratified bootstrap, mean over the tasks"


def _p_values(found: Comparison) -> dict[str, float]:
    return {name: getattr(found, f"{name}_p") for name in TESTS}


def _corrected(
    means: dict[str, Floats], a: str, b: str, options: _Options
) -> tuple[int, dict[str, float]]:
    """The number of pairs, and this pair's p-values after Holm's correction over all of them."""
    several = {name: values for name, values in means.items() if len(values) > 1}
    together = stats.compare_all(several, confidence=options.confidence, seed=options.seed)
    found = together[(a, b) if (a, b) in together else (b, a)]
    return len(together), {name: getattr(found, f"{name}_p_holm") for name in TESTS}


def _tested(ps: dict[str, float]) -> str:
    """The p-value of each test that has one."""
    said = [f"{TESTS[name]} gives {_p(p)}" for name, p in ps.items() if not isnan(p)]
    listed = ", ".join(said[:-1]) + f" and {said[-1]}"
    return listed[:1].upper() + listed[1:] + " (two-sided)."


def _verdict(a: str, b: str, found: Comparison, test: str, level: float) -> str:
    p = _p_values(found)[test]
    higher, lower = (a, b) if _favours_a(found, test) else (b, a)
    at = f"At the {percent(level)} level {TESTS[test]}"
    if p < level:
        return f"{at} decides: {higher} scores higher than {lower} here."
    said = f"{at} does not decide which of the two is better here"
    interval = found.mean_difference_interval
    if interval.low <= 0 <= interval.high:
        said += f": the runs fit with any difference from {_range(*interval)}"
    return f"{said}. That is no evidence that they are equal."


def _favours_a(found: Comparison, test: str) -> bool:
    if test == "mann_whitney":
        return found.probability_a_higher > 0.5
    return found.mean_difference > 0


def _correction(test: str, p: float, corrected: float, pairs: int, level: float) -> str:
    said = f"Corrected after Holm for all {pairs} pairs of algorithms, {TESTS[test]} gives "
    said += _p(corrected)
    if p < level <= corrected:
        said += ": had the pair been picked after looking, nothing would be decided"
    return f"{said}."


def _doubts(a: str, b: str, found: Comparison, test: str, level: float) -> Iterator[str]:
    ps = _p_values(found)
    decided = ps[test] < level
    floor = 2 / comb(found.n_a + found.n_b, found.n_a)
    if floor >= level:
        runs = f"{found.n_a} and {found.n_b}" if found.n_a != found.n_b else f"{found.n_a}"
        yield (
            f"With {runs} runs of each the Mann-Whitney and permutation tests cannot come below "
            f"p = {floor:.3g}, however far the scores lie apart."
        )
    elif any((p < level) != decided for p in ps.values() if not isnan(p)):
        yield "The tests do not agree: the answer hangs on which was chosen before looking."
    if (found.std_a == 0) != (found.std_b == 0):
        constant = a if found.std_a == 0 else b
        yield (
            f"All runs of {constant} have one and the same score, as at a ceiling, so that its "
            "spread is not known."
        )
    if not decided:
        yield from _more_runs(found, level)


def _more_runs(found: Comparison, level: float) -> Iterator[str]:
    needed = found.seeds_needed
    if needed is None:
        yield (
            "No affordable number of runs would decide a difference as small as the one observed: "
            "name the smallest that would matter, and plan for that."
        )
    elif needed > min(found.n_a, found.n_b):
        more = [max(needed - n, 0) for n in (found.n_a, found.n_b)]
        extra = f"{more[0]:,}" if more[0] == more[1] else f"{more[0]:,} and {more[1]:,}"
        yield (
            f"If the true difference and spreads were those observed, {needed:,} runs of each in "
            f"all ({extra} more) would let Welch's test find it at the {percent(level)} level with "
            "a probability of 80 %; that plans a new experiment and is no verdict on this one."
        )


def _of_one_run(arrays: dict[str, Floats], a: str, b: str) -> list[str]:
    single = " and one of ".join(name for name in (a, b) if len(arrays[name]) == 1)
    difference = float(arrays[a].mean() - arrays[b].mean())
    return [
        f"The difference of {_number(difference)} ({a} less {b}) comes without an interval and "
        f"without a test: from one run of {single} nothing can be said about how much another seed "
        "would change it, so nothing is decided.",
        "At least 2 runs of each are needed for any test, and 5 to 10 for one that can decide.",
    ]


def _caveats(scores: AlgorithmScores, a: str, b: str) -> list[str]:
    said = []
    if isinstance(scores, Scores) and scores.steps(a) != scores.steps(b):
        said.append("They did not train for as many steps, which may explain a difference.")
    said.append(
        "Other tasks, hyperparameters and lengths of training are another question, which these "
        "runs do not answer."
    )
    return said


def _number(value: float) -> str:
    """Three significant digits, whole numbers from 1,000 on, a real minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
    return "0" if text in ("-0", "0") else text.replace("-", "−")


def _range(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3g}"
