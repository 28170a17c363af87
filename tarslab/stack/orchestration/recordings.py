"""The recorded training runs that the agents are: their curves, a version each."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tarslab import bundled
from tarslab.runs import Runs, load
from tarslab.stats import downsample

RECORDED = {
    "a2c": "cartpole/a2c",
    "ddpg": "pendulum/ddpg",
    "dqn": "cartpole/dqn",
    "ppo": "cartpole/ppo",
}
"""Where the runs of each agent are among the bundled recordings; a version is a seed."""
REWARD = "reward"
FINAL_EPISODES = 100
SPARKLINE = 60


class Curve(NamedTuple):
    """One metric over the environment's steps."""

    step: list[int]
    value: list[float]


class Version(NamedTuple):
    """One training run of an agent."""

    number: int
    run: str
    points: int
    final_reward: float
    """Mean return of the last 100 episodes."""
    sparkline: Curve
    """The reward, in few points."""
    curves: Mapping[str, pd.DataFrame]
    hyperparameters: Mapping[str, Any]

    def curve(self, metric: str, points: int) -> Curve:
        """A metric in at most ``points`` points, its extremes among them (MinMaxLTTB)."""
        return _in_few_points(self.curves[metric], points)


class Recording(NamedTuple):
    """An agent as it was trained: an algorithm on an environment, several times."""

    algorithm: str
    environment: str
    versions: Sequence[Version]


def read(agent: str) -> Recording:
    """Read an agent's runs from disk; LogNotFound or BadLog where they cannot be read."""
    runs = load(bundled.data(RECORDED[agent]))
    table = runs.table.sort_values("seed")
    versions = [_version(runs, number, row) for number, (_, row) in enumerate(table.iterrows(), 1)]
    first = table.iloc[0]
    return Recording(str(first["algo"]), str(first["env"]), versions)


def _version(runs: Runs, number: int, row: "pd.Series[Any]") -> Version:
    scalars = runs.scalars[runs.scalars["run"] == row["run"]]
    curves = {str(name): part for name, part in scalars.groupby("metric", observed=True)}
    reward = curves[REWARD]["value"].to_numpy()
    return Version(
        number,
        str(row["run"]),
        int(row["points"]),
        float(reward[-FINAL_EPISODES:].mean()),
        _in_few_points(curves[REWARD], SPARKLINE),
        curves,
        {
            str(name).removeprefix("hp."): _plain(value)
            for name, value in row.items()
            if str(name).startswith("hp.") and pd.notna(value)
        },
    )


def _in_few_points(series: pd.DataFrame, points: int) -> Curve:
    value = series["value"].to_numpy()
    finite = np.isfinite(value)
    step, value = series["step"].to_numpy()[finite], value[finite]
    if len(value) > points:
        kept = downsample(step, value, points)
        step, value = step[kept], value[kept]
    return Curve(step.tolist(), value.tolist())


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
