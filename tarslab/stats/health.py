"""What goes wrong in a training, found in its logs as stretches of steps.

The thresholds are rules of thumb, set on curves of A2C and PPO of stable-baselines3: the tuned
hyperparameters of rl-baselines3-zoo stay clear of all of them on CartPole, Acrobot, Pendulum and
MountainCarContinuous, and of six learning rates 30 to 100 times as high four do not. Each function
names its own threshold, and where it comes from.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tarslab.errors import BadArgument
from tarslab.stats.rolling import as_series

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# For long: over a tenth of the points and never fewer than five, at four in five of them.
LONG, FEWEST, MOST = 0.1, 5, 0.8
# The shares of their beginning down to which entropies and standard deviations have collapsed.
COLLAPSED_ENTROPY, COLLAPSED_STD = 0.01, 0.05
HEAVY_CLIPPING = 0.5
# An explained variance is an estimate: what is closer to 0 than this counts as 0.
UNEXPLAINED = -0.05
# Returns that vary by less than this share of the run's usual variance are all the same.
CONSTANT = 0.01
# A pause takes a minute, a tenth of the training, and ten times as long as other gaps.
PAUSE_SECONDS, PAUSE_SHARE, PAUSE_TIMES = 60.0, 0.1, 10.0
# Clocks are corrected by fractions of a second.
CLOCK_SECONDS = 1.0
GAUSSIAN = 0.5 * math.log(2 * math.pi * math.e)


class Stretch(NamedTuple):
    """Points of a series one after the other, by the steps of the first and the last."""

    start: int
    end: int


class Pause(NamedTuple):
    """Two points, by their steps, between which far more time passed than usual."""

    start: int
    end: int
    seconds: float


def sustained(step: ArrayLike, condition: ArrayLike) -> list[Stretch]:
    """Where a condition holds for long: at four points in five, over a tenth of the series.

    The windows of a tenth of the points, at least five, in which at least four points in five
    meet the condition; joined where they overlap or touch, and cut to begin and end with a point
    that meets it.

    Parameters
    ----------
    step : array_like, shape (n,), non-decreasing
    condition : array_like of bool, shape (n,)

    Returns
    -------
    list of Stretch, in order; empty where ``n`` is below 5

    Raises
    ------
    BadArgument
        The shapes differ.
    """
    steps, numbers = _as_columns(step, condition=condition)
    holds = numbers != 0
    window = max(FEWEST, math.ceil(LONG * len(steps)))
    if len(steps) < window:
        return []
    before = np.concatenate([[0], np.cumsum(holds)])
    full = np.flatnonzero(before[window:] - before[:-window] >= MOST * window)
    edges = np.zeros(len(steps) + 1, np.int64)
    edges[full] += 1
    edges[full + window] -= 1
    covered = np.flatnonzero(np.cumsum(edges[:-1]) > 0)
    if not len(covered):
        return []
    parts = np.split(covered, np.flatnonzero(np.diff(covered) > 1) + 1)
    return [_stretch(steps, part[holds[part]]) for part in parts]


def collapse_level(entropy: ArrayLike) -> float:
    """The entropy, in nats, from which down a policy has collapsed; NaN where it cannot be told.

    A choice among actions has an entropy from 0 up. It has collapsed at 1 % of where it began
    (the median of its first three points), and in any case at 1 % of ln 2, the entropy of even
    odds between two actions. Policies that have converged keep more: PPO on Acrobot 4 to 9 %, on
    CartPole 16 %. With a learning rate 30 times too high it held the best return of Acrobot at
    4 %, fell to 0.1 % at once, and lost the return.

    An entropy that falls below 0 is a differential one, of actions on a scale: its zero has no
    meaning, nor has a share of it. That of a Gaussian falls by ln 20, 3 nats, in each dimension
    as its standard deviation falls to 5 % (``std_collapse``). How many dimensions there are shows
    where training began with unit Gaussians, as it mostly does: each has ½ ln 2πe, 1.42 nats.
    From another beginning it cannot be told: log the standard deviation instead. One that has
    never been below 0 is taken for that of a choice.

    Parameters
    ----------
    entropy : array_like, shape (n,); what is not finite is skipped

    References
    ----------
    Schulman: The Nuts and Bolts of Deep RL Research (2016): a premature drop in policy entropy
    means no learning. Jones: Debugging Reinforcement Learning Systems (2021): relative to its
    maximum, near zero it has collapsed.
    """
    values = as_series(entropy, "entropy")
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan
    begun = float(np.median(values[:3]))
    # In float32 the entropy of a certain choice may come out a little below 0.
    if values.min() > -1e-3:
        return COLLAPSED_ENTROPY * max(begun, math.log(2))
    dimensions = round(begun / GAUSSIAN)
    # The deviations have moved a little by the first points.
    if dimensions < 1 or abs(begun / GAUSSIAN - dimensions) > min(0.05 * dimensions, 0.2):
        return math.nan
    return begun + dimensions * math.log(COLLAPSED_STD)


def entropy_collapse(step: ArrayLike, entropy: ArrayLike) -> list[Stretch]:
    """Where a policy's entropy is at its ``collapse_level`` or below for long (``sustained``).

    Parameters
    ----------
    step : array_like, shape (n,), non-decreasing
    entropy : array_like, shape (n,), in nats, +H; what is not finite is skipped
    """
    steps, values = _finite(*_as_columns(step, entropy=entropy))
    return sustained(steps, values <= collapse_level(values))


def std_collapse(step: ArrayLike, std: ArrayLike) -> list[Stretch]:
    """Where the standard deviation of Gaussian actions is at 5 % of its beginning for long.

    Its beginning is the median of its first three points. PPO that has learned Pendulum keeps
    35 %. Parameters as ``entropy_collapse``.
    """
    steps, values = _finite(*_as_columns(step, std=std))
    if not len(values):
        return []
    return sustained(steps, values <= COLLAPSED_STD * np.median(values[:3]))


def heavy_clipping(step: ArrayLike, clip_fraction: ArrayLike) -> list[Stretch]:
    """Where PPO clips more than half of the samples for long (``sustained``).

    No paper sets a limit: 0.1 to 0.3 is what practitioners call usual, and 0.24 stands beside an
    explained variance of 0.999 in stable-baselines3's documentation of its logger. Tuned PPO
    stayed at 0.3 for a while on Pendulum, with 80 epochs at 0.37, and learned; with a learning
    rate of 0.03 it was at 0.5 to 0.8, and did not. From a half on, most samples of a rollout no
    longer say where to go.

    Parameters
    ----------
    step : array_like, shape (n,), non-decreasing
    clip_fraction : array_like, shape (n,), in [0, 1]; what is not finite is skipped
    """
    steps, values = _finite(*_as_columns(step, clip_fraction=clip_fraction))
    return sustained(steps, values > HEAVY_CLIPPING)


def unexplained(
    step: ArrayLike, explained_variance: ArrayLike, value_loss: ArrayLike | None = None
) -> list[Stretch]:
    """Where a value function predicts returns worse than their mean would, for long.

    The explained variance, ``1 - Var[return - prediction] / Var[return]``, is then below 0; from
    -0.05 down, since it is an estimate. Where returns hardly vary it says nothing: an agent that
    always gets the same return, having solved its task or not begun to, has one far below 0 by
    errors too small to matter (PPO on CartPole: -11). So with ``value_loss`` points are left out
    whose returns vary by less than 1 % of the run's usual variance: the 90th percentile over its
    points of ``value_loss / (1 - explained_variance)``. Without, such points count.

    Parameters
    ----------
    step : array_like, shape (n,), non-decreasing
    explained_variance : array_like, shape (n,); what is not finite is skipped
    value_loss : array_like, shape (n,), optional
        The mean squared error of the predictions, at any scale; NaN where not known.

    References
    ----------
    OpenAI Baselines, ``explained_variance``: below 0 is worse than just predicting zero.
    """
    if value_loss is None:
        value_loss = np.full(np.shape(explained_variance), np.nan)
    steps, values, losses = _as_columns(
        step, explained_variance=explained_variance, value_loss=value_loss
    )
    known = np.isfinite(values)
    steps, values, losses = steps[known], values[known], losses[known]
    with np.errstate(all="ignore"):
        variance = losses / (1 - values)
    measured = variance[np.isfinite(variance)]
    constant = np.zeros(len(values), np.bool_)
    if len(measured):
        constant = variance < CONSTANT * np.quantile(measured, 0.9)
    return sustained(steps, (values < UNEXPLAINED) & ~constant)


def non_finite(step: ArrayLike, values: ArrayLike) -> list[Stretch]:
    """Where values are NaN or infinite, be it a single point.

    NaN before the first finite value is no finding where one follows: nothing had been measured
    yet, as with the return before the first episode ends. Stretches with less than a fiftieth of
    the points between them are one.

    Parameters
    ----------
    step, values : array_like, shape (n,), step non-decreasing
    """
    steps, series = _as_columns(step, values=values)
    bad = ~np.isfinite(series)
    if not bad.all():
        begun = np.argmin(bad)
        bad[:begun] = np.isinf(series[:begun])
    places = np.flatnonzero(bad)
    apart = np.flatnonzero(np.diff(places) > 1 + len(series) // 50) + 1
    return [_stretch(steps, part) for part in np.split(places, apart) if len(part)]


def trained_twice(step: ArrayLike, wall_time: ArrayLike) -> list[Stretch]:
    """Where the clock goes back as steps go on: steps of two passes, as of a resumed training.

    A stretch holds all points that are later than one that follows, or earlier than one before,
    by more than a second.

    Parameters
    ----------
    step : array_like, shape (n,), non-decreasing
    wall_time : array_like, shape (n,), in seconds; what is not finite is skipped
    """
    steps, times = _finite(*_as_columns(step, wall_time=wall_time))
    if not len(times):
        return []
    latest_before = np.maximum.accumulate(times)
    earliest_after = np.minimum.accumulate(times[::-1])[::-1]
    places = np.flatnonzero(
        (latest_before > times + CLOCK_SECONDS) | (earliest_after < times - CLOCK_SECONDS)
    )
    apart = np.flatnonzero(np.diff(places) > 1) + 1
    return [_stretch(steps, part) for part in np.split(places, apart) if len(part)]


def pauses(step: ArrayLike, wall_time: ArrayLike) -> list[Pause]:
    """Where far more time passed between two points than between others.

    At least a minute, a tenth of the time from the first point to the last, and ten times as long
    as nineteen in twenty of the gaps. The training stood still, or it was resumed from before and
    the steps that it repeated are not in the series. None where there are fewer than 20 points.

    Parameters
    ----------
    step : array_like, shape (n,), non-decreasing
    wall_time : array_like, shape (n,), in seconds; what is not finite is skipped
    """
    steps, times = _finite(*_as_columns(step, wall_time=wall_time))
    if len(times) < 20:
        return []
    gaps = np.diff(times)
    usual = np.quantile(gaps, 0.95, method="lower")
    least = max(PAUSE_SECONDS, PAUSE_SHARE * (times[-1] - times[0]), PAUSE_TIMES * usual)
    return [
        Pause(int(steps[at]), int(steps[at + 1]), float(gaps[at]))
        for at in np.flatnonzero(gaps >= least)
    ]


def _stretch(steps: Floats, places: NDArray[np.int64]) -> Stretch:
    return Stretch(int(steps[places[0]]), int(steps[places[-1]]))


def _as_columns(step: ArrayLike, **columns: ArrayLike) -> tuple[Floats, ...]:
    steps = as_series(step, "step")
    series = [as_series(column, name) for name, column in columns.items()]
    for name, one in zip(columns, series, strict=True):
        if one.shape != steps.shape:
            raise BadArgument(f"step has {len(steps)} points and {name} has {len(one)}")
    return steps, *series


def _finite(steps: Floats, values: Floats) -> tuple[Floats, Floats]:
    known = np.isfinite(values)
    return steps[known], values[known]
