"""Logarithmic axes of times, with ticks that read well."""

from collections.abc import Iterable
from math import ceil, floor, log10


def log_domain(values: Iterable[float]) -> tuple[float, float]:
    """From a little below the smallest to above the largest, with room for a label there; 1 to 1000
    where there are none."""
    positive = [value for value in values if value > 0]
    if not positive:
        return 1.0, 1000.0
    low, high = min(positive), max(positive)
    # Never less than a decade, so that a steady line looks steady.
    spare = max(1.0, (10 * low / high) ** 0.5)
    return low / (1.25 * spare), high * 1.6 * spare


def log_ticks(low: float, high: float) -> list[float]:
    """The powers of ten in between, and of few also what lies between these."""
    decades = log10(high / low)
    steps = (1, 2, 5) if decades < 2 else (1, 3) if decades < 4 else (1,)
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return [tick for tick in ticks if low <= tick <= high]
