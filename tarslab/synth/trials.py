"""A hyperparameter search as TPE leaves it: the best trials and what matters are known."""

import heapq
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from tarslab.errors import BadArgument
from tarslab.studies import Study
from tarslab.studies.storages import Recorded
from tarslab.synth import FORMAT
from tarslab.synth.curves import at_least

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "gamma": FloatDistribution(0.9, 0.9999),
    "optimizer": CategoricalDistribution(("adam", "rmsprop", "sgd")),
    "batch_size": IntDistribution(32, 512, step=32),
    "momentum": FloatDistribution(0.0, 0.99),
    "n_layers": IntDistribution(1, 4),
    "net.width[0]": IntDistribution(16, 512, log=True),
}
# Only this optimizer has a momentum.
CONDITIONAL, DECIDES, CHOICE = "momentum", "optimizer", "sgd"

# Optuna's TPE draws its first ten trials at random.
STARTUP = 10
FAILING, PRUNING = 0.03, 0.5
REPORTS, REPORT_STEPS = 8, 10_000
WORKERS = 4
BEGIN = datetime(2026, 1, 1)
SECONDS = 60.0
BEST_RETURN = 500.0
MOST_ON_FRONT = 100
# More than rounding takes away.
CLEARLY = 1e-6


def study(
    *,
    objectives: int = 1,
    trials: int = 200,
    params: Mapping[str, BaseDistribution] | None = None,
    seed: int = 0,
) -> Study:
    """Draw a search: ten random trials, then ever more of them close to the best parameters.

    The first parameter matters most to how good a trial is, each further one a third as much, and
    the search closes in on those that matter. Of one objective, the ``return`` (to maximize, at
    most 500), about a quarter of the trials is pruned after some of its 8 reports. Of several, the
    first is the ``return`` and the others are costs to minimize; the last ``objectives - 1``
    parameters set the trade-off, and the others how far a trial is from the Pareto front, a part of
    a sphere as that of DTLZ2. As in Optuna, trials with several objectives are not pruned. 3 % of
    the trials fail. Four workers run them side by side.

    ``attributes`` of what is returned has ``front``, the numbers of all trials that no other
    dominates (of one objective the best), ``important``, the parameter that matters most, and
    ``synthetic``, True.

    Parameters
    ----------
    objectives
        How many, default 1.
    trials
        How many, default 200; 50,000 take seconds.
    params
        From each parameter's name to its distribution, in the order of what they matter. By default
        seven, of every kind: logarithmic, with a step, categorical, one that is only there with the
        optimizer ``sgd``, and one called ``net.width[0]``.
    seed
        Same arguments, same numbers.

    Raises
    ------
    BadArgument
        A number out of its range, fewer parameters than objectives, or one without a distribution.

    References
    ----------
    TPE: Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011. DTLZ2: Deb et al.,
    Scalable Multi-Objective Optimization Test Problems, 2002.
    """
    space = SPACE if params is None else dict(params)
    at_least(1, objectives=objectives, trials=trials)
    at_least(0, seed=seed)
    _check(space, objectives)
    random = np.random.default_rng(seed)
    searched = _search(random, space, objectives, trials)
    states, reports = _states(random, searched.distance, prunes=objectives == 1)
    complete = np.flatnonzero(states == TrialState.COMPLETE)
    values, front = _values(searched, complete, objectives)
    curves = _curves(random, values[:, 0], reports) if objectives == 1 else [{} for _ in states]
    workers, begun, ended = _schedule(random, reports)
    frozen = []
    for number, (state, curve) in enumerate(zip(states, curves, strict=True)):
        there = {name: column[number] for name, column in searched.params.items()}
        if params is None and there[DECIDES] != CHOICE:
            del there[CONDITIONAL]
        reached = values[number].tolist() if state == TrialState.COMPLETE else None
        if state == TrialState.PRUNED:
            # As Optuna has it, the last report.
            reached = [curve[max(curve)]]
        frozen.append(
            FrozenTrial(
                number=number,
                state=TrialState(state),
                value=None,
                values=reached,
                datetime_start=BEGIN + timedelta(seconds=begun[number]),
                datetime_complete=BEGIN + timedelta(seconds=ended[number]),
                params=there,
                distributions={name: space[name] for name in there},
                user_attrs={"worker": workers[number]},
                system_attrs={},
                intermediate_values=curve,
                trial_id=number,
            )
        )
    recorded = Recorded(
        f"synthetic-{seed}",
        ("maximize", *["minimize"] * (objectives - 1)),
        ("return", *(f"cost {place}" for place in range(1, objectives))),
        {"synthetic": True, "front": front.tolist(), "important": next(iter(space))},
        frozen,
    )
    return Study(recorded, FORMAT)


def _check(space: Mapping[str, BaseDistribution], objectives: int) -> None:
    kinds = FloatDistribution | IntDistribution | CategoricalDistribution
    for name, distribution in space.items():
        if not isinstance(distribution, kinds):
            raise BadArgument(
                f"params[{name!r}] must be a FloatDistribution, IntDistribution or "
                f"CategoricalDistribution of Optuna, not {distribution!r}"
            )
    if len(space) < objectives:
        raise BadArgument(
            f"params must have at least objectives={objectives} parameters, not {len(space)}"
        )


class _Searched(NamedTuple):
    """What the search tried, a row a trial."""

    params: dict[str, list[Any]]
    trade_off: Floats
    """From 0 to 1, shape (trials, objectives - 1)."""
    distance: Floats
    """From the best there could be, not negative, shape (trials,)."""


def _search(
    random: np.random.Generator,
    space: Mapping[str, BaseDistribution],
    objectives: int,
    trials: int,
) -> _Searched:
    """Sample all trials at once: each parameter at random, or near its best value.

    The search knows better with each trial, and sooner of what matters more.
    """
    judged = len(space) - objectives + 1
    place = np.arange(len(space))
    weights = np.where(place < judged, (1 / 3) ** place, 0.0)
    best = random.uniform(0.25, 0.75, len(space))
    progress = np.clip((np.arange(trials) - STARTUP) / max(trials - STARTUP, 1), 0, 1)[:, None]
    near = random.random((trials, len(space))) < 0.7 * progress * weights
    close = best + (0.25 - 0.15 * progress) * random.standard_normal((trials, len(space)))
    unit = np.where(near, np.clip(close, 0, 1), random.random((trials, len(space))))
    params = {}
    for column, (name, distribution) in zip(unit.T, space.items(), strict=True):
        params[name], column[:] = _placed(distribution, column)
    off = np.abs(unit - best) / np.maximum(best, 1 - best)
    distance = off @ (weights / weights.sum()) + 0.02 * np.abs(random.standard_normal(trials))
    return _Searched(params, unit[:, judged:], distance)


def _placed(distribution: BaseDistribution, unit: Floats) -> tuple[list[Any], Floats]:
    """The values of a parameter at these places in [0, 1], and the places that they stand for."""
    if isinstance(distribution, CategoricalDistribution):
        count = len(distribution.choices)
        chosen = np.minimum((unit * count).astype(np.int64), count - 1)
        return [distribution.choices[place] for place in chosen], (chosen + 0.5) / count
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    # Every value of a grid has an equal share.
    edge = step / 2 if step else 0.0
    scale, back = (np.log, np.exp) if distribution.log else (np.asarray, np.asarray)
    bottom, top = scale(low - edge), scale(high + edge)
    values = back(bottom + unit * (top - bottom))
    if step:
        values = low + np.round((values - low) / step) * step
    values = np.clip(values, low, high)
    places = (scale(values) - bottom) / (top - bottom) if top > bottom else np.full(len(unit), 0.5)
    if isinstance(distribution, IntDistribution):
        return np.round(values).astype(np.int64).tolist(), places
    return values.tolist(), places


def _states(random: np.random.Generator, distance: Floats, *, prunes: bool) -> tuple[Ints, Ints]:
    """How each trial ended, and after how many reports; the first is complete."""
    trials = len(distance)
    poor = (distance > np.median(distance)) & (np.arange(trials) >= STARTUP)
    pruned = prunes & poor & (random.random(trials) < PRUNING)
    failed = (random.random(trials) < FAILING) & (np.arange(trials) > 0)
    states = np.full(trials, int(TrialState.COMPLETE))
    states[pruned], states[failed] = TrialState.PRUNED, TrialState.FAIL
    early = random.integers(1, REPORTS, trials)
    return states, np.where(pruned | failed, early, REPORTS)


def _values(searched: _Searched, complete: Ints, objectives: int) -> tuple[Floats, Ints]:
    """The objectives of all trials, shape (trials, objectives), and which trials are the front.

    The closest of the complete trials are put on the sphere, where none dominates another; all
    others so far off it that one of these dominates them.
    """
    most = 1 if objectives == 1 else min(MOST_ON_FRONT, max(objectives, len(complete) // 10))
    closest = np.argsort(searched.distance[complete], kind="stable")[:most]
    front = np.sort(complete[closest])
    sphere = _on_sphere(searched.trade_off)
    needed = np.full(len(sphere), np.inf)
    for point in sphere[front]:
        needed = np.minimum(needed, (point - sphere).max(axis=1))
    beyond = searched.distance - searched.distance[front].max()
    off = needed + np.maximum(beyond, CLEARLY)
    off[front] = 0
    costs = sphere + off[:, None]
    costs[:, 0] = BEST_RETURN * (2 - costs[:, 0])
    return costs, front


def _on_sphere(trade_off: Floats) -> Floats:
    """Points of the unit sphere with no negative coordinate, by their angles; 1 of no angle."""
    angles = trade_off * np.pi / 2
    ones = np.ones((len(angles), 1))
    cosines = np.cumprod(np.hstack([ones, np.cos(angles)]), axis=1)[:, ::-1]
    sines = np.hstack([ones, np.sin(angles)[:, ::-1]])
    points: Floats = cosines * sines
    return points


def _curves(random: np.random.Generator, final: Floats, reports: Ints) -> list[dict[int, float]]:
    """What each trial reported: a return that levels out at its final one, and reaches it."""
    done = np.arange(1, REPORTS + 1)
    share = (1 - np.exp(-4 * done / REPORTS)) / (1 - np.exp(-4))
    wobble = 0.02 * BEST_RETURN * random.standard_normal((len(final), REPORTS))
    wobble[:, -1] = 0
    steps = (done * REPORT_STEPS).tolist()
    returns = np.minimum(final[:, None] * share + wobble, BEST_RETURN).tolist()
    # zip stops at the shorter.
    return [
        dict(zip(steps[:count], curve, strict=False))
        for count, curve in zip(reports, returns, strict=True)
    ]


def _schedule(
    random: np.random.Generator, reports: Ints
) -> tuple[list[int], list[float], list[float]]:
    """The worker of each trial, and when it begins and ends, in seconds: who is free goes on."""
    lasts = SECONDS * reports / REPORTS * np.exp(0.3 * random.standard_normal(len(reports)))
    free = [(0.0, worker) for worker in range(WORKERS)]
    workers, begun, ended = [], [], []
    for seconds in lasts.tolist():
        begin, worker = heapq.heappop(free)
        heapq.heappush(free, (begin + seconds, worker))
        workers.append(worker)
        begun.append(begin)
        ended.append(begin + seconds)
    return workers, begun, ended
