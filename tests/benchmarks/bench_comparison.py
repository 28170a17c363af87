"""Comparing algorithms, and the time to a target."""

from collections.abc import Iterator

import numpy as np
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.power import TTestIndPower

from tarslab.stats.comparison import compare as compare_scores
from tarslab.stats.comparison import seeds_needed
from tarslab.stats.survival import kaplan_meier
from tests.benchmarks.harness import Comparison, compare

HEADING = "Comparing algorithms"


def comparisons() -> Iterator[Comparison]:
    rng = np.random.default_rng(0)
    for n in (5, 8, 10):
        a, b = rng.normal(450, 40, size=n), rng.normal(400, 60, size=n)
        yield compare(
            f"All of `compare`, {n} against {n} seeds",
            {
                "tarslab": lambda a=a, b=b: compare_scores(a, b),  # type: ignore[misc]
                "scipy, three tests only": lambda a=a, b=b: three_tests(a, b),  # type: ignore[misc]
            },
            repeats=15,
            note="tarslab adds the effect sizes with their intervals and the seeds needed.",
        )
    yield compare(
        "Seeds needed for an effect of 0.5",
        {
            "tarslab": lambda: seeds_needed(0.5, 1, 1),
            "statsmodels": lambda: TTestIndPower().solve_power(0.5, power=0.8, alpha=0.05),
        },
        repeats=15,
    )
    for n in (10, 10_000):
        times, reached = rng.integers(1, 10**6, size=n), rng.random(n) < 0.8
        # The first gets there and the last does not: else scipy warns of its band.
        reached[np.argmin(times)], reached[np.argmax(times)] = True, False
        yield compare(
            f"Kaplan-Meier curve with its band, {n:,} runs",
            {
                "tarslab": lambda t=times, r=reached: kaplan_meier(t, r),  # type: ignore[misc]
                "scipy": lambda t=times, r=reached: scipy_curve(t, r),  # type: ignore[misc]
                "statsmodels, no band": lambda t=times, r=reached: SurvfuncRight(t, r),  # type: ignore[misc]
            },
            repeats=15,
        )


def three_tests(a: np.ndarray, b: np.ndarray) -> None:
    """The same tests, as exact and as many draws."""
    stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    stats.mannwhitneyu(a, b, method="exact")
    permutations = stats.PermutationMethod(n_resamples=20_000, rng=np.random.default_rng(0))
    stats.ttest_ind(a, b, equal_var=False, method=permutations)


def scipy_curve(times: np.ndarray, reached: np.ndarray) -> None:
    curve = stats.ecdf(stats.CensoredData(uncensored=times[reached], right=times[~reached])).cdf
    curve.confidence_interval(method="log-log")
