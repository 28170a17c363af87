"""Bootstrap intervals of the interquartile mean against rliable, plain numpy and scipy.

rliable fails to import under pandas 3, so it runs in virtual environments of its own, made once
under ``build/``; two of them, as scipy's ``trim_mean``, which takes most of its time, became
several times slower from scipy 1.16 to 1.17.
"""

import json
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from tarslab.stats.bootstrap import bootstrap_ci, sample_efficiency
from tarslab.stats.reliability import performance_profile, probability_of_improvement
from tests.benchmarks.harness import Comparison, Timing, compare

HEADING = "Bootstrap intervals over seeds and tasks"

Scores = np.ndarray[Any, np.dtype[np.float64]]

RUNS, TASKS, CHECKPOINTS, REPS = 10, 26, 200, 50_000
SEED = 0
TAU = np.linspace(0, 8, 101)

BUILD = Path(__file__).parents[2] / "build"
PINNED = ("rliable==1.2.0", "arch==7.2.0", "numpy==2.2.6", "pandas==2.3.3")

# What rliable is asked to do, by task; each ends in a call to be timed with ``reps``.
RLIABLE = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np
from rliable import library, metrics

runs, tasks, checkpoints, seed, task, reps, tau = json.loads(sys.argv[1])
scores = np.random.default_rng(seed).gamma(2, 1, (runs, tasks, checkpoints))

def curve(scores):
    return np.array([metrics.aggregate_iqm(scores[..., at]) for at in range(scores.shape[-1])])

def point(scores):
    return np.array([metrics.aggregate_iqm(scores)])

def improvement(x, y):
    return np.array([metrics.probability_of_improvement(x, y)])

def call(reps):
    last, first = scores[..., -1], scores[..., 0]
    if task == "curve":
        library.get_interval_estimates({"a": scores}, curve, reps=reps)
    elif task == "point":
        library.get_interval_estimates({"a": last}, point, reps=reps)
    elif task == "profile":
        library.create_performance_profile({"a": last}, np.array(tau), reps=reps)
    else:
        library.get_interval_estimates({"a": (last, first)}, improvement, reps=reps)

call(2)
wall, cpu = time.perf_counter(), time.process_time()
call(reps)
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


def comparisons() -> Iterator[Comparison]:
    """A curve, one checkpoint, a profile, and the probability of improvement."""
    scores = np.random.default_rng(SEED).gamma(2, 1, (RUNS, TASKS, CHECKPOINTS))
    first, last = scores[..., 0], scores[..., -1]
    yield compare(
        f"IQM curve of {CHECKPOINTS} checkpoints, {TASKS} tasks × {RUNS} seeds, {REPS:,} reps",
        {
            "tarslab": lambda: sample_efficiency(scores),
            "rliable, scipy 1.17": _rliable("1.17.1", "curve", 50, REPS),
            "rliable, scipy 1.16": _rliable("1.16.3", "curve", 200, REPS),
            "numpy": partial(numpy_iqm_curve, scores),
        },
        by="cpu",
        targets={"rliable, scipy 1.17": 1000, "numpy": 40},
        slow={"rliable, scipy 1.17": 3, "rliable, scipy 1.16": 3, "numpy": 1},
        note=(
            "rliable was measured with 50 reps (scipy 1.17) and 200 (scipy 1.16) and scaled "
            "linearly; its cost is that of one statistic a rep. It draws every checkpoint apart, "
            "tarslab and numpy a whole run at a time."
        ),
    )
    yield compare(
        f"IQM of one checkpoint, {TASKS} tasks × {RUNS} seeds, {REPS:,} reps",
        {
            "tarslab": lambda: bootstrap_ci(last),
            "scipy.stats.bootstrap": partial(scipy_iqm, last),
            "numpy": partial(numpy_iqm_curve, last[..., np.newaxis]),
            "rliable, scipy 1.17": _rliable("1.17.1", "point", 5_000, REPS),
        },
        by="cpu",
        targets={"scipy.stats.bootstrap": 3},
        slow={"rliable, scipy 1.17": 3},
        note="scipy is given one sample a task. rliable: 5,000 reps, scaled linearly.",
    )
    runs = last.ravel()
    yield compare(
        f"IQM of one task of {runs.size} runs, {REPS:,} reps, BCa",
        {
            "tarslab": lambda: bootstrap_ci(runs, method="bca"),
            "scipy.stats.bootstrap": partial(scipy_iqm, runs[:, np.newaxis], method="BCa"),
        },
        by="cpu",
        targets={"scipy.stats.bootstrap": 3},
    )
    yield compare(
        f"Performance profile at {TAU.size} thresholds, {TASKS} tasks × {RUNS} seeds, 2,000 reps",
        {
            "tarslab": lambda: performance_profile(last, TAU),
            "rliable, scipy 1.17": _rliable("1.17.1", "profile", 200, 2_000),
        },
        by="cpu",
        slow={"rliable, scipy 1.17": 3},
        note="rliable: 200 reps, scaled linearly.",
    )
    yield compare(
        f"Probability of improvement, {TASKS} tasks × {RUNS} seeds each, 2,000 reps",
        {
            "tarslab": lambda: probability_of_improvement(last, first),
            "rliable, scipy 1.17": _rliable("1.17.1", "improvement", 100, 2_000),
        },
        by="cpu",
        slow={"rliable, scipy 1.17": 3},
        note="rliable: 100 reps, scaled linearly.",
    )


def numpy_iqm_curve(scores: Scores, chunk: int = 1_000) -> Scores:
    """The same interval in plain numpy: draws shared by the checkpoints, a partition for each."""
    rng = np.random.default_rng(SEED)
    runs, tasks, checkpoints = scores.shape
    cut = runs * tasks // 4
    kept = slice(cut, runs * tasks - cut)
    tables = np.ascontiguousarray(np.moveaxis(scores, -1, 0))
    replications = np.empty((checkpoints, REPS))
    for start in range(0, REPS, chunk):
        draws = rng.integers(runs, size=(chunk, runs, tasks))
        for at in range(checkpoints):
            drawn = tables[at][draws, np.arange(tasks)].reshape(chunk, runs * tasks)
            drawn.partition((kept.start, kept.stop - 1), axis=1)
            replications[at, start : start + chunk] = drawn[:, kept].mean(axis=1)
    bounds: Scores = np.quantile(replications, (0.025, 0.975), axis=1)
    return bounds


def scipy_iqm(scores: Scores, method: str = "percentile") -> object:
    """``scipy.stats.bootstrap`` stratified: one sample a task."""

    def iqm(*tasks: Scores, axis: int) -> object:
        return stats.trim_mean(np.concatenate(tasks, axis=axis), 0.25, axis=axis)

    bootstrap: Any = stats.bootstrap
    return bootstrap(tuple(scores.T), iqm, n_resamples=REPS, method=method, batch=1_000, rng=SEED)


def _rliable(scipy: str, task: str, reps: int, scaled_to: int) -> Callable[[], Timing]:
    """Times rliable in a process of its own with ``reps`` replications, scaled to as many more."""

    def measure() -> Timing:
        asked = [RUNS, TASKS, CHECKPOINTS, SEED, task, reps, TAU.tolist()]
        command = [str(_environment(scipy)), "-c", RLIABLE, json.dumps(asked)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        wall, cpu = json.loads(answer)
        return Timing(wall * scaled_to / reps, cpu * scaled_to / reps)

    return measure


def _environment(scipy: str) -> Path:
    """The Python of a virtual environment that holds rliable, made at the first call."""
    folder = BUILD / f"bench-rliable-scipy-{scipy}"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    complete = folder / "complete"
    if not complete.exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "-qq", *PINNED, f"scipy=={scipy}"]
        subprocess.run(install, check=True)
        complete.touch()
    return python
