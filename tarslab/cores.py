"""The CPUs that this process may use, and work shared among them."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_cores(work: Callable[[int, int], object], n: int, *, at_least: int = 1) -> None:
    """Call ``work(start, end)`` for parts of ``range(n)`` of ``at_least`` items, one a core."""
    parts = max(1, min(cores(), n // max(at_least, 1)))
    if parts == 1:
        work(0, n)
        return
    cuts = [n * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(work, cuts[:-1], cuts[1:]))
