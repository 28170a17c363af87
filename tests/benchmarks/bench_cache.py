"""The first load of some logs, which leaves a copy of the tables, and the second, from the copy."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import tarslab as tl
from tarslab.runs import cache
from tests.benchmarks.bench_csv import _progress_files
from tests.benchmarks.event_files import event_tree
from tests.benchmarks.harness import Comparison, Timing, compare, timed

HEADING = "Loading what has not changed"

RUNS, POINTS = 200, 2_000
NOTE = "The first load returns before its copy is written; a thread does that in the background."


def comparisons() -> Iterator[Comparison]:
    """A tree of event files, and many small CSV files."""
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        try:
            tree = event_tree(RUNS, POINTS)
            yield _compare(f"{RUNS} event files, {RUNS * POINTS * 20:,} scalars", tree)
            logs = Path(folder) / "logs"
            logs.mkdir()
            files = _progress_files(logs)
            yield _compare(f"{len(files):,} CSV files × 1,000 rows × 6 columns", logs)
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before


def _compare(task: str, logs: Path) -> Comparison:
    # What was written just now may be written to again, and is not kept.
    time.sleep(2 * cache.SETTLED_NS / 1e9)
    tl.load(logs)
    return compare(
        task,
        {
            "tarslab": lambda: _again(logs),
            "first load": lambda: _first(logs),
            "cache=False": lambda: tl.load(logs, cache=False),
        },
        targets={"first load": 5},
        note=NOTE,
    )


def _first(logs: Path) -> Timing:
    _finish()
    shutil.rmtree(_kept())
    took = timed(lambda: tl.load(logs))
    _finish()
    return took


def _again(logs: Path) -> Timing:
    _finish()
    assert any(_kept().iterdir()), "no copy was left"
    return timed(lambda: tl.load(logs))


def _kept() -> Path:
    return Path(os.environ["XDG_CACHE_HOME"]) / "tarslab" / cache.FOLDER


def _finish() -> None:
    """Wait until the copy is written."""
    if cache._writing is not None:
        cache._writing[1].join()
