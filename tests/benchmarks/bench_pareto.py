"""Pareto frontier, ranks and hypervolume beside moocore, Optuna and paretoset."""

import multiprocessing
import time
from collections.abc import Callable, Iterator

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank, _is_pareto_front
from paretoset import paretoset

from tarslab.stats.pareto import hypervolume, pareto_mask, pareto_ranks
from tests.benchmarks.harness import Comparison, Contender, Timing, compare

HEADING = "Pareto frontier, ranks and hypervolume"

Floats = NDArray[np.float64]
Cloud = Callable[[int, int], Floats]

LIMIT = 30.0
"""Seconds after which a contender of minutes is stopped."""


def comparisons() -> Iterator[Comparison]:
    """Frontiers by size, objectives and cloud; then the rest."""
    for n in (10_000, 100_000, 1_000_000):
        for objectives in (2, 3, 5):
            yield _frontier(uniform, n, objectives, moocore_at_least=1 / 0.3)
            yield _frontier(shell, n, objectives, moocore_at_least=1 / 1.25)
    for objectives in (2, 3, 5):
        yield _frontier(correlated, 100_000, objectives, moocore_at_least=1 / 1.25)
        yield _frontier(opposed, 100_000, objectives, moocore_at_least=1 / 1.25)
    yield _frontier_beside_contenders_of_minutes()
    for n, objectives in ((100_000, 2), (100_000, 3), (100_000, 5), (10_000, 3)):
        yield _ranks(n, objectives)
    for n, objectives in ((10_000, 2), (100_000, 2), (2_000, 3), (1_000, 4), (400, 5)):
        yield _volume(n, objectives)


def uniform(n: int, objectives: int) -> Floats:
    """In the unit cube; the frontier is small."""
    return np.random.default_rng(1).random((n, objectives))


def shell(n: int, objectives: int) -> Floats:
    """On the sphere; nothing is dominated."""
    outward = np.abs(np.random.default_rng(1).normal(size=(n, objectives)))
    points: Floats = 1 - outward / np.linalg.norm(outward, axis=1, keepdims=True)
    return points


def correlated(n: int, objectives: int) -> Floats:
    """What is good in one objective is good in the others."""
    random = np.random.default_rng(1)
    return random.random((n, 1)) + 0.1 * random.normal(size=(n, objectives))


def opposed(n: int, objectives: int) -> Floats:
    """Near the plane of equal sums; what is good in one objective is bad in another."""
    random = np.random.default_rng(1)
    return random.dirichlet(np.ones(objectives), size=n) + 0.05 * random.random((n, 1))


def _frontier(cloud: Cloud, n: int, objectives: int, *, moocore_at_least: float) -> Comparison:
    points = cloud(n, objectives)
    calls = max(1, 100_000 // n)
    contenders = {
        "tarslab": _in_a_row(calls, lambda: pareto_mask(points)),
        "moocore": _in_a_row(calls, lambda: moocore.is_nondominated(points, keep_weakly=True)),
    }
    # paretoset compares each point with the whole frontier so far.
    if cloud in (uniform, correlated):
        contenders["paretoset"] = _in_a_row(calls, lambda: paretoset(points, distinct=False))
    takes_many_seconds = cloud is shell and n * objectives >= 5_000_000
    return compare(
        f"Frontier of {n:,} points in {objectives} objectives, {cloud.__name__}",
        contenders,
        targets={"moocore": round(moocore_at_least, 2)},
        slow=dict.fromkeys(contenders, 1) if takes_many_seconds else None,
        note=f"{calls} calls in a row, so that no contender meets cold caches." * (calls > 1),
    )


def _frontier_beside_contenders_of_minutes() -> Comparison:
    points = shell(100_000, 3)
    return compare(
        "Frontier of 100,000 points in 3 objectives, shell, beside contenders of minutes",
        {
            "tarslab": lambda: pareto_mask(points),
            "Optuna": _stopped_in_time(lambda: _is_pareto_front(points, False)),
            "paretoset": _stopped_in_time(lambda: paretoset(points, distinct=False)),
        },
        slow={"Optuna": 1, "paretoset": 1},
        targets={"Optuna": 500},
        note=f"Whoever takes {LIMIT:.0f} s was stopped then: the ratio is a lower bound.",
    )


def _ranks(n: int, objectives: int) -> Comparison:
    points = uniform(n, objectives)
    contenders: dict[str, Contender] = {
        "tarslab": lambda: pareto_ranks(points),
        "moocore": lambda: moocore.pareto_rank(points),
    }
    if n <= 10_000:
        contenders["Optuna"] = lambda: _fast_non_domination_rank(points)
    return compare(
        f"Ranks of {n:,} points in {objectives} objectives, uniform", contenders, repeats=3
    )


def _volume(n: int, objectives: int) -> Comparison:
    points, reference = shell(n, objectives), np.full(objectives, 1.1)
    return compare(
        f"Hypervolume of {n:,} points in {objectives} objectives, shell",
        {
            "tarslab": lambda: hypervolume(points, reference),
            "moocore": lambda: moocore.hypervolume(points, ref=reference),
            "Optuna": lambda: compute_hypervolume(points, reference),
        },
        repeats=15,
        targets={"moocore": 0.9},
        slow={"Optuna": 1},
    )


def _in_a_row(calls: int, call: Contender) -> Contender:
    def all_calls() -> None:
        for _ in range(calls):
            call()

    return all_calls


def _stopped_in_time(call: Contender) -> Contender:
    """In a process of its own, at the end of whose time its time is what it has taken so far."""

    def until_limit() -> Timing:
        start = time.perf_counter()
        process = multiprocessing.get_context("fork").Process(target=call)
        process.start()
        process.join(LIMIT)
        took = time.perf_counter() - start
        process.kill()
        process.join()
        return Timing(took, took)

    return until_limit
