"""Statistics on plain float arrays: no tables, no charts, no files."""

from tarslab.stats.aggregation import common_grid, interpolate_onto, mean_std_over_runs
from tarslab.stats.downsampling import downsample
from tarslab.stats.rolling import ema, rolling_mean_std

__all__ = [
    "common_grid",
    "downsample",
    "ema",
    "interpolate_onto",
    "mean_std_over_runs",
    "rolling_mean_std",
]
