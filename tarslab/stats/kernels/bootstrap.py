"""Statistics of resampled scores, for a batch of replications at once.

``draws`` holds the resampled runs, whole numbers of shape (reps, runs, tasks): the entry says
which run of its own task stands there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tarslab.compiled import compiled

Floats = NDArray[np.float64]
Draws = NDArray[Any]

LANES = 64
"""Replications that go through the sorted scores side by side, in the CPU's vector registers."""

STRIDE = 4
"""Scores taken a step: ``order`` and ``ranked`` are padded to a multiple of it."""


@compiled
def trimmed_means(draws: Draws, order: NDArray[np.uint32], ranked: Floats, cut: int) -> Floats:
    """Mean of what is left when ``cut`` resampled scores are cut off at both ends.

    ``ranked`` (checkpoints, padded scores) is sorted along its rows, and ``order`` says which
    score, counted as run * tasks + task, stands where; padding points at runs * tasks. Going up
    a row, the number of resampled scores seen so far, less ``cut`` and clipped to those kept,
    grows by the weight of each score: sorted once, a replication costs one pass and no sort.

    Returns shape (checkpoints, reps).
    """
    reps, runs, tasks = draws.shape
    checkpoints, padded = order.shape
    kept = float(runs * tasks - 2 * cut)
    counts = np.empty((runs * tasks + 1, LANES))
    seen, total = np.empty(LANES), np.empty(LANES)
    means = np.empty((checkpoints, reps))
    for start in range(0, reps, LANES):
        lanes = min(LANES, reps - start)
        _count(draws[start : start + lanes], counts)
        for row in range(checkpoints):
            seen[:] = -cut
            total[:] = 0.0
            for i in range(0, padded, STRIDE):
                a, b, c, d = order[row, i], order[row, i + 1], order[row, i + 2], order[row, i + 3]
                score_a, score_b = ranked[row, i], ranked[row, i + 1]
                score_c, score_d = ranked[row, i + 2], ranked[row, i + 3]
                for lane in range(LANES):
                    up_to_a = seen[lane] + counts[a, lane]
                    up_to_b = up_to_a + counts[b, lane]
                    up_to_c = up_to_b + counts[c, lane]
                    up_to_d = up_to_c + counts[d, lane]
                    before = min(max(seen[lane], 0.0), kept)
                    at_a = min(max(up_to_a, 0.0), kept)
                    at_b = min(max(up_to_b, 0.0), kept)
                    at_c = min(max(up_to_c, 0.0), kept)
                    at_d = min(max(up_to_d, 0.0), kept)
                    total[lane] += (score_a * (at_a - before) + score_b * (at_b - at_a)) + (
                        score_c * (at_c - at_b) + score_d * (at_d - at_c)
                    )
                    seen[lane] = up_to_d
            for lane in range(lanes):
                means[row, start + lane] = total[lane] / kept
    return means


@compiled
def task_means(draws: Draws, scores: Floats) -> Floats:
    """Mean over the resampled runs of each task; ``scores`` (runs, tasks) gives (reps, tasks).

    Runs are added one after the other, as ``numpy.mean`` along the first axis adds them.
    """
    reps, runs, tasks = draws.shape
    means = np.zeros((reps, tasks))
    for rep in range(reps):
        for run in range(runs):
            for task in range(tasks):
                means[rep, task] += scores[draws[rep, run, task], task]
        for task in range(tasks):
            means[rep, task] /= runs
    return means


@compiled
def improvement_probabilities(draws_x: Draws, draws_y: Draws, wins: Floats) -> Floats:
    """Mean over tasks of the share of resampled pairs that x wins, shape (reps,).

    ``wins`` (tasks, runs of x, runs of y) is 1, ½ or 0, so that every sum is exact.
    """
    reps, runs_x, tasks = draws_x.shape
    runs_y = draws_y.shape[1]
    probabilities = np.zeros(reps)
    for rep in range(reps):
        for task in range(tasks):
            for i in range(runs_x):
                against = wins[task, draws_x[rep, i, task]]
                for j in range(runs_y):
                    probabilities[rep] += against[draws_y[rep, j, task]]
        probabilities[rep] /= runs_x * runs_y * tasks
    return probabilities


@compiled
def _count(draws: Draws, counts: Floats) -> None:
    """How often each replication drew each score; the last row, of the padding, stays zero."""
    lanes, runs, tasks = draws.shape
    counts[:] = 0.0
    for lane in range(lanes):
        for run in range(runs):
            for task in range(tasks):
                counts[draws[lane, run, task] * tasks + task, lane] += 1.0
