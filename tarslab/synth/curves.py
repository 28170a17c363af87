"""Training curves of DQN, A2C, PPO and DDPG, as they tend to look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tarslab.errors import BadArgument
from tarslab.runs import Run, Runs, Series
from tarslab.stats import ema
from tarslab.synth import FORMAT

Floats = NDArray[np.float64]

# 2026-01-01 00:00 UTC, in Unix seconds.
START = 1_767_225_600.0

# The task: one reward a step, until the agent fails or 500 steps are over.
RANDOM_RETURN, BEST_RETURN, WORST_RETURN = 20.0, 500.0, 8.0
TWO_ACTIONS = float(np.log(2))

# The weights of Schulman et al. (2017), equation 9, as stable-baselines3 sets them for Atari.
VALUE_WEIGHT, ENTROPY_WEIGHT = 0.5, 0.01


def training(
    algo: str | Sequence[str] = "ppo",
    *,
    seeds: int = 5,
    steps: int = 100_000,
    points: int = 1_000,
    env: str = "Synthetic-v0",
    collapse: int = 0,
    seed: int = 0,
) -> Runs:
    """Draw training runs: two steps of learning with a plateau between, and noise.

    The task gives one reward a step, for at most 500. Every metric has a point each
    ``steps / points`` steps: ``reward`` and ``episode_length`` (means of recent episodes), and

    - ``dqn``: ``td_loss``, ``epsilon``;
    - ``a2c``: ``policy_loss``, ``value_loss``, ``entropy``, ``train/explained_variance``;
    - ``ppo``: those of A2C, ``total_loss``, ``train/approx_kl``, ``train/clip_fraction``;
    - ``ddpg``: ``actor_loss``, ``critic_loss``, ``noise_std``.

    Returns are noisiest while the agent learns. The losses of values are log-normal and largest
    when returns change; the entropy (of two actions, at most ln 2) falls as the agent learns.
    PPO's ``total_loss`` is the policy loss plus half the value loss less 0.01 times the entropy.

    Parameters
    ----------
    algo
        One or several of ``dqn``, ``a2c``, ``ppo``, ``ddpg``.
    seeds
        Runs of each algorithm, default 5, named ``ppo/seed_0``, ``ppo/seed_1``, ...
    steps, points
        Length of each run in environment steps, and points of each metric.
    env
        What the environment is called.
    collapse
        How many seeds of each algorithm, the last ones, lose what they learned after the middle
        of the training, and with it their entropy. Default 0.
    seed
        Same arguments, same numbers. A run's numbers do not depend on what other runs there are.

    Raises
    ------
    BadArgument
        An unknown algorithm, or a number out of its range.
    """
    chosen = one_or_several(algo, [*PRESETS])
    at_least(1, seeds=seeds, steps=steps, points=points)
    at_least(0, collapse=collapse, seed=seed)
    if collapse > seeds:
        raise BadArgument(f"collapse must be at most seeds={seeds}, not {collapse}")
    step = step_grid(steps, points, "steps")
    return Runs.of(
        [
            _run(name, number, step, env, number >= seeds - collapse, seed)
            for name in chosen
            for number in range(seeds)
        ]
    )


def one_or_several(asked: str | Sequence[str], known: list[str]) -> list[str]:
    """The algorithms asked for, each once."""
    chosen = list(dict.fromkeys([asked] if isinstance(asked, str) else asked))
    if not chosen or (unknown := [name for name in chosen if name not in known]):
        listed = ", ".join(map(str, unknown if chosen else chosen)) or "none"
        raise BadArgument(f"algo must be some of {', '.join(known)}, not {listed}")
    return chosen


def at_least(least: int, **numbers: int) -> None:
    """Refuse what is not a whole number of at least so much, by the argument's name."""
    for name, number in numbers.items():
        if not isinstance(number, int | np.integer) or number < least:
            raise BadArgument(f"{name} must be a whole number of at least {least}, not {number!r}")


def step_grid(last: int, points: int, name: str) -> NDArray[np.int64]:
    """As many steps at equal distances, the last one ``last``; int64, shape (points,)."""
    if points > last:
        raise BadArgument(f"points must be at most {name}={last}, not {points}")
    return np.arange(1, points + 1, dtype=np.int64) * last // points


def correlated(random: np.random.Generator, points: int, memory: float) -> Floats:
    """Normal noise of variance 1 that forgets over the share ``memory`` of its length."""
    weight = np.exp(-1 / (memory * points))
    # The sum of the squared weights of the debiased mean after 1, 2, ... points.
    forgotten = weight ** np.arange(1, points + 1)
    variance = (1 - weight) / (1 + weight) * (1 + forgotten) / (1 - forgotten)
    noise: Floats = ema(random.standard_normal(points), weight) / np.sqrt(variance)
    return noise


def generator(seed: int, algo: str, number: int) -> np.random.Generator:
    """The random numbers of one run, the same whatever other runs are made."""
    return np.random.default_rng([seed, number, *algo.encode()])


@dataclass(frozen=True)
class _Learning:
    """How far one run has come at each of its points; arrays of one length."""

    random: np.random.Generator
    progress: Floats
    """The share of the training that is over."""
    learned: Floats
    """From 0 to 1: as it would be without a collapse."""
    lost: Floats
    """From 0 to 1: how far the run has collapsed."""

    @property
    def skill(self) -> Floats:
        return self.learned * (1 - 0.95 * self.lost)

    @property
    def change(self) -> Floats:
        """From 0 to 1, largest when half is learned: how much returns vary."""
        return 4 * self.skill * (1 - self.skill)

    def scatter(self, scale: float) -> Floats:
        """Log-normal factors of median 1."""
        return np.exp(scale * self.random.standard_normal(len(self.progress)))

    def around(self, scale: float) -> Floats:
        """Normal noise."""
        return scale * self.random.standard_normal(len(self.progress))


def _dqn(run: _Learning) -> dict[str, Floats]:
    return {
        "td_loss": (0.03 + 0.2 * run.skill + 0.4 * run.change) * run.scatter(0.4),
        "epsilon": np.maximum(1 - 0.95 * run.progress / 0.2, 0.05),
    }


def _a2c(run: _Learning) -> dict[str, Floats]:
    entropy = _entropy(run)
    return {
        "policy_loss": 0.05 + entropy / TWO_ACTIONS * run.around(0.6),
        "value_loss": (0.5 + 12 * run.change) * run.scatter(0.9),
        "entropy": entropy,
        "train/explained_variance": 1 - (0.06 + 0.92 * (1 - run.skill)) * run.scatter(0.3),
    }


def _ppo(run: _Learning) -> dict[str, Floats]:
    entropy = _entropy(run)
    policy_loss = -0.012 * entropy / TWO_ACTIONS + run.around(0.004)
    value_loss = (0.1 + 20 * run.change * np.exp(-2 * run.progress)) * run.scatter(0.5)
    return {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "total_loss": policy_loss + VALUE_WEIGHT * value_loss - ENTROPY_WEIGHT * entropy,
        "entropy": entropy,
        "train/explained_variance": 1 - (0.03 + 0.95 * (1 - run.skill)) * run.scatter(0.2),
        "train/approx_kl": (0.003 + 0.008 * (1 - run.progress)) * run.scatter(0.5),
        "train/clip_fraction": np.minimum(
            (0.04 + 0.1 * (1 - run.progress)) * run.scatter(0.4), 1.0
        ),
    }


def _ddpg(run: _Learning) -> dict[str, Floats]:
    # The discounted sum of one reward a step, which the critic takes a while to learn.
    discount = PRESETS["ddpg"].discount
    value = (1 - discount ** _mean_return(run.skill)) / (1 - discount)
    value *= 1 - np.exp(-run.progress / 0.05)
    return {
        "actor_loss": -value * (1 + run.around(0.06)),
        "critic_loss": (0.1 + 0.3 * run.skill + run.change) * run.scatter(0.4),
        "noise_std": 0.3 - 0.25 * run.progress,
    }


def _entropy(run: _Learning) -> Floats:
    level = TWO_ACTIONS * (0.12 + 0.88 * (1 - run.learned)) * (1 - 0.998 * run.lost)
    return np.minimum(level * run.scatter(0.06), TWO_ACTIONS)


@dataclass(frozen=True)
class _Preset:
    """How an algorithm learns, and what it logs."""

    metrics: Callable[[_Learning], dict[str, Floats]]
    middle: float
    """The share of the training after which about half is learned."""
    noise: float
    """The spread of returns, in shares of their range."""
    steps_per_second: float
    learning_rate: float
    discount: float


PRESETS = {
    "dqn": _Preset(_dqn, 0.35, 0.16, 1_200, 0.0023, 0.99),
    "a2c": _Preset(_a2c, 0.40, 0.12, 9_000, 0.0007, 0.99),
    "ppo": _Preset(_ppo, 0.25, 0.07, 4_600, 0.0003, 0.99),
    "ddpg": _Preset(_ddpg, 0.30, 0.10, 320, 0.001, 0.98),
}


def _run(
    algo: str, number: int, step: NDArray[np.int64], env: str, collapses: bool, seed: int
) -> Run:
    preset, random = PRESETS[algo], generator(seed, algo, number)
    learning = _learning(random, step / step[-1], preset.middle, collapses)
    spread = preset.noise * (0.04 + np.sqrt(learning.change) / 2)
    noise = 0.6 * correlated(random, len(step), 0.01) + 0.8 * random.standard_normal(len(step))
    mean = _mean_return(learning.skill)
    reward = mean + (BEST_RETURN - RANDOM_RETURN) * spread * noise
    reward = np.clip(reward, WORST_RETURN, BEST_RETURN)
    values = {"reward": reward, "episode_length": reward, **preset.metrics(learning)}
    wall_time = START + step / (preset.steps_per_second * np.exp(random.normal(0, 0.05)))
    return Run(
        f"{algo}/seed_{number}",
        {metric: Series.of(step, wall_time, value) for metric, value in values.items()},
        format=FORMAT,
        algo=algo,
        env=env,
        seed=number,
        hyperparameters={
            "hp.learning_rate": preset.learning_rate,
            "hp.gamma": preset.discount,
            "hp.total_timesteps": int(step[-1]),
        },
    )


def _learning(
    random: np.random.Generator, progress: Floats, middle: float, collapses: bool
) -> _Learning:
    first = middle * np.exp(random.normal(-0.4, 0.2))
    second = first + random.uniform(0.2, 0.35)
    share = random.uniform(0.35, 0.7)
    width = random.uniform(0.012, 0.028)
    best = random.uniform(0.88, 1)
    learned = best * (
        share * _sigmoid((progress - first) / width)
        + (1 - share) * _sigmoid((progress - second) / width)
    )
    drift = np.interp(progress, np.linspace(0, 1, 33), random.standard_normal(33))
    learned = np.clip(learned * (1 + 0.03 * drift), 0, 1)
    # Drawn in any case, so that a run that collapses is until then the run that does not.
    when = random.uniform(0.55, 0.75)
    lost = _sigmoid((progress - when) / 0.012) if collapses else np.zeros(len(progress))
    return _Learning(random, progress, learned, lost)


def _mean_return(skill: Floats) -> Floats:
    return RANDOM_RETURN + (BEST_RETURN - RANDOM_RETURN) * skill


def _sigmoid(x: Floats) -> Floats:
    # Beyond 60 nothing changes, and exp would overflow from 710.
    return 1 / (1 + np.exp(np.clip(-x, -60, 60)))
