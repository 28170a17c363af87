"""Rolling mean and standard deviation, and the exponential moving average."""

from collections.abc import Callable, Iterator
from unittest.mock import patch

import bottleneck
import numbagg
import numpy as np
import pandas as pd

from tarslab import cores
from tarslab.stats import ema, rolling_mean_std
from tests.benchmarks.harness import Comparison, compare
from tests.stats.test_rolling import exact_mean_std, hard_cases

HEADING = "Smoothing of 10,000,000 points"
RUNS, POINTS, WINDOW, WEIGHT = 100, 100_000, 100, 0.6


def comparisons() -> Iterator[Comparison]:
    runs = np.random.default_rng(0).normal(size=(RUNS, POINTS)).cumsum(axis=1)
    series = runs.ravel()
    one_series = pd.Series(series)
    of_run = pd.DataFrame({"run": np.repeat(np.arange(RUNS), POINTS), "value": series})
    grouped = of_run.groupby("run")["value"]

    yield compare(
        f"Rolling mean and std of {RUNS} runs, window {WINDOW}",
        {
            "tarslab": lambda: rolling_mean_std(runs, WINDOW),
            "pandas groupby-rolling": lambda: by_pandas(grouped.rolling(WINDOW, min_periods=1)),
            "bottleneck, two calls": lambda: by_bottleneck(runs, WINDOW),
        },
        targets={"pandas groupby-rolling": 15, "bottleneck, two calls": 2},
        slow={"pandas groupby-rolling": 3},
        note=accuracies(),
    )
    for window in (10, 1_000):
        yield compare(
            f"Rolling mean and std of one series, window {window:,}",
            {
                "tarslab": lambda w=window: rolling_mean_std(series, w),  # type: ignore[misc]
                "pandas rolling": lambda w=window: by_pandas(  # type: ignore[misc]
                    one_series.rolling(w, min_periods=1)
                ),
                "bottleneck, two calls": lambda w=window: by_bottleneck(series, w),  # type: ignore[misc]
            },
            targets={"bottleneck, two calls": 2},
        )
    yield compare(
        f"Rolling mean and std of one series, window {WINDOW}, on one core",
        {
            "tarslab": lambda: on_one_core(lambda: rolling_mean_std(series, WINDOW)),
            "bottleneck, two calls": lambda: by_bottleneck(series, WINDOW),
        },
        targets={"bottleneck, two calls": 1},
    )
    yield compare(
        f"Exponential moving average of one series, weight {WEIGHT}",
        {
            "tarslab": lambda: ema(series, WEIGHT),
            "pandas": lambda: one_series.ewm(alpha=1 - WEIGHT).mean(),
            "numbagg": lambda: numbagg.move_exp_nanmean(series, alpha=1 - WEIGHT),
        },
        targets={"pandas": 1, "numbagg": 1},
    )
    yield compare(
        f"Exponential moving average of {RUNS} runs, weight {WEIGHT}",
        {
            "tarslab": lambda: ema(runs, WEIGHT),
            "pandas groupby": lambda: grouped.ewm(alpha=1 - WEIGHT).mean(),
            "numbagg": lambda: numbagg.move_exp_nanmean(runs, alpha=1 - WEIGHT),
        },
        targets={"pandas groupby": 1, "numbagg": 1},
        slow={"pandas groupby": 3},
    )


def by_pandas(rolling: "pd.api.typing.Rolling[pd.Series]") -> tuple[pd.Series, pd.Series]:
    return rolling.mean(), rolling.std(ddof=0)


def by_bottleneck(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    return bottleneck.move_mean(values, window, 1), bottleneck.move_std(values, window, 1)


def on_one_core(call: Callable[[], object]) -> object:
    with patch.object(cores, "cores", lambda: 1):
        return call()


def accuracies() -> str:
    """The greatest relative error of each std where sums cancel, against rational arithmetic."""
    contenders: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        # Rows, so that these are enough points for the compiled loops.
        "tarslab": lambda values: rolling_mean_std(np.tile(values, (40, 1)), WINDOW)[1][0],
        "pandas": lambda values: pd.Series(values).rolling(WINDOW, 1).std(ddof=0).to_numpy(),
        "bottleneck": lambda values: bottleneck.move_std(values, WINDOW, 1),
    }
    lines = ["Greatest relative error of the std:", "", f"| | {' | '.join(contenders)} |"]
    lines.append("| --- " * (len(contenders) + 1) + "|")
    for name, values in hard_cases().items():
        exact = exact_mean_std(values, WINDOW)[1][1:]
        errors = [np.max(np.abs(std(values)[1:] / exact - 1)) for std in contenders.values()]
        lines.append(f"| {name} | {' | '.join(f'{error:.1e}' for error in errors)} |")
    return "\n".join(lines)
