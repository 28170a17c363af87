"""Convergence of self-play to a Nash equilibrium, at the rates that are known."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tarslab.runs import Run, Runs, Series
from tarslab.synth import FORMAT
from tarslab.synth.curves import (
    START,
    at_least,
    correlated,
    generator,
    one_or_several,
    step_grid,
)

PLAYERS = 2
SECONDS_PER_ITERATION = 0.01


class _Rate(NamedTuple):
    """``gap = scale * iteration ** -power``, times a wave in the logarithm of it and noise."""

    scale: float
    power: float
    wave: float
    """How high the wave is, in shares of the gap."""
    turns: float
    """Waves for each factor of e in iterations."""
    noise: float


RATES = {
    "cfr": _Rate(2.0, 0.5, 0.08, 0.5, 0.03),
    "cfr+": _Rate(4.0, 1.0, 0.15, 0.8, 0.05),
    # Best responses are played for longer and longer, so that the gap swings in log time.
    "fictitious_play": _Rate(3.0, 0.5, 0.4, 1.3, 0.02),
}


def nash(
    algo: str | Sequence[str] = ("cfr", "cfr+", "fictitious_play"),
    *,
    seeds: int = 3,
    iterations: int = 10_000,
    points: int = 1_000,
    game: str = "synthetic_game",
    seed: int = 0,
) -> Runs:
    """Draw how far self-play is from an equilibrium: power laws, swings and noise, not monotone.

    Each run has ``nash_gap`` (NashConv of two players) and ``exploitability``, half of it. The gap
    falls with the number T of iterations

    - of ``cfr`` as 1/sqrt(T), its bound;
    - of ``cfr+`` as 1/T, which is what is seen, while its bound is that of CFR;
    - of ``fictitious_play`` as 1/sqrt(T), as Karlin conjectured, swinging by 40 %.

    Parameters
    ----------
    algo
        One or several of the three, default all.
    seeds
        Runs of each algorithm, default 3, named ``cfr/seed_0``, ...
    iterations, points
        Length of each run, and points of each metric, at equal distances.
    game
        What the game (``env``) is called.
    seed
        Same arguments, same numbers.

    Raises
    ------
    BadArgument
        An unknown algorithm, or a number out of its range.

    References
    ----------
    CFR: Zinkevich et al., Regret Minimization in Games with Incomplete Information, 2007. CFR+:
    Tammelin et al., Solving Heads-up Limit Texas Hold'em, 2015. Fictitious play: Brown, 1951;
    Daskalakis and Pan, A Counter-Example to Karlin's Strong Conjecture for Fictitious Play, 2014.
    """
    chosen = one_or_several(algo, [*RATES])
    at_least(1, seeds=seeds, iterations=iterations, points=points)
    at_least(0, seed=seed)
    step = step_grid(iterations, points, "iterations")
    return Runs.of(
        [_run(name, number, step, game, seed) for name in chosen for number in range(seeds)]
    )


def _run(algo: str, number: int, step: NDArray[np.int64], game: str, seed: int) -> Run:
    rate, random = RATES[algo], generator(seed, algo, number)
    wave = np.sin(2 * np.pi * (rate.turns * np.log(step) + random.uniform()))
    noise = 0.7 * correlated(random, len(step), 0.01) + 0.7 * random.standard_normal(len(step))
    scale = rate.scale * np.exp(random.normal(0, 0.15))
    gap = scale * step**-rate.power * (1 + rate.wave * wave) * np.exp(rate.noise * noise)
    wall_time = START + step * SECONDS_PER_ITERATION
    return Run(
        f"{algo}/seed_{number}",
        {
            "nash_gap": Series.of(step, wall_time, gap),
            "exploitability": Series.of(step, wall_time, gap / PLAYERS),
        },
        format=FORMAT,
        algo=algo,
        env=game,
        seed=number,
        hyperparameters={"hp.players": PLAYERS, "hp.iterations": int(step[-1])},
    )
