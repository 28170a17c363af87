"""Statistics on plain float arrays: no tables, no charts, no files."""

from tarslab.stats import health
from tarslab.stats.aggregation import common_grid, interpolate_onto, mean_std_over_runs
from tarslab.stats.bootstrap import bootstrap_ci, sample_efficiency
from tarslab.stats.comparison import Comparison, compare, compare_all, holm, seeds_needed
from tarslab.stats.downsampling import downsample, downsample_many
from tarslab.stats.pareto import hypervolume, pareto_mask, pareto_ranks
from tarslab.stats.reliability import performance_profile, probability_of_improvement
from tarslab.stats.resampling import Interval
from tarslab.stats.rolling import ema, rolling_mean_std
from tarslab.stats.scores import iqm, mean, median, optimality_gap
from tarslab.stats.survival import (
    KaplanMeier,
    LogRank,
    TimeToTarget,
    kaplan_meier,
    logrank,
    time_to_target,
)

__all__ = [
    "Comparison",
    "Interval",
    "KaplanMeier",
    "LogRank",
    "TimeToTarget",
    "bootstrap_ci",
    "common_grid",
    "compare",
    "compare_all",
    "downsample",
    "downsample_many",
    "ema",
    "health",
    "holm",
    "hypervolume",
    "interpolate_onto",
    "iqm",
    "kaplan_meier",
    "logrank",
    "mean",
    "mean_std_over_runs",
    "median",
    "optimality_gap",
    "pareto_mask",
    "pareto_ranks",
    "performance_profile",
    "probability_of_improvement",
    "rolling_mean_std",
    "sample_efficiency",
    "seeds_needed",
    "time_to_target",
]
