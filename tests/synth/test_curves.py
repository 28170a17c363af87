"""Synthetic training runs: seeded, plausible, and plainly synthetic."""

import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tarslab as tl
from tarslab import charts, synth
from tarslab.charts import offline
from tarslab.errors import BadArgument
from tarslab.runs import Runs
from tarslab.stats import ema
from tarslab.synth.curves import PRESETS, correlated

ALGOS = ["dqn", "a2c", "ppo", "ddpg"]
NAMED = {
    "dqn": {"reward", "episode_length", "td_loss", "epsilon"},
    "a2c": {"reward", "episode_length", "policy_loss", "value_loss", "entropy"},
    "ppo": {"reward", "episode_length", "policy_loss", "value_loss", "total_loss", "entropy"},
    "ddpg": {"reward", "episode_length", "actor_loss", "critic_loss", "noise_std"},
}


@pytest.fixture(scope="module")
def every() -> Runs:
    return synth.training(ALGOS, seeds=4, points=500)


def of(runs: Runs, algo: str, metric: str) -> np.ndarray:
    """The values of one metric, shape (runs, points)."""
    chosen = runs.select(algo=algo)
    return np.array([series.value for _, series in chosen.series(metric)])


def same(one: Runs, other: Runs) -> bool:
    return one.scalars.equals(other.scalars) and one.table.equals(other.table)


def test_the_same_arguments_give_the_same_bits() -> None:
    one, other = (synth.training(ALGOS, seeds=2, points=50, seed=3) for _ in range(2))
    assert same(one, other)


def test_the_same_numbers_come_out_in_another_process() -> None:
    program = (
        "from tarslab.synth import training; "
        "print(training(points=50).scalars['value'].to_numpy().tobytes().hex())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    here = synth.training(points=50).scalars["value"].to_numpy().tobytes().hex()
    assert found.stdout.strip() == here


def test_another_seed_gives_other_numbers_in_every_run() -> None:
    one, other = (synth.training(seeds=3, points=50, seed=seed) for seed in (0, 1))
    for (_, a), (_, b) in zip(one.series("reward"), other.series("reward"), strict=True):
        assert not np.array_equal(a.value, b.value)
    rewards = [series.value for _, series in one.series("reward")]
    assert not np.array_equal(rewards[0], rewards[1])


def test_a_run_is_the_same_whatever_other_runs_there_are() -> None:
    alone = synth.training("ppo", seeds=1, points=50)
    among = synth.training(["dqn", "ppo"], seeds=4, points=50, collapse=1)
    assert same(alone, among.select(run="ppo/seed_0"))


def test_no_global_random_state_is_touched() -> None:
    legacy, builtin = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    synth.training(ALGOS, seeds=1, points=50)
    synth.nash(seeds=1, points=50)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(after) == str(legacy)
    assert random.getstate() == builtin


def test_making_runs_loads_neither_charts_nor_optuna() -> None:
    program = (
        "import sys; from tarslab import synth; synth.training(points=9); synth.nash(points=9); "
        "print([m for m in ('altair', 'optuna', 'scipy.signal') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_every_run_says_that_it_is_synthetic(every: Runs) -> None:
    assert set(every.table["format"]) == {synth.FORMAT} == {"synthetic"}
    assert set(every.table["env"]) == {"Synthetic-v0"}
    assert not {*every.table["path"]} - {""}


@pytest.mark.parametrize("algo", ALGOS)
def test_a_preset_has_the_metrics_that_its_algorithm_logs(every: Runs, algo: str) -> None:
    metrics = {*every.select(algo=algo).metrics}
    real = tl.load(f"bundled:{'pendulum' if algo == 'ddpg' else 'cartpole'}/{algo}")
    assert metrics >= NAMED[algo]
    assert metrics <= {*real.metrics}


def test_tables_have_the_size_that_was_asked_for() -> None:
    runs = synth.training("dqn", seeds=3, steps=1_000, points=7, env="Mine-v1")
    assert runs.names == ["dqn/seed_0", "dqn/seed_1", "dqn/seed_2"]
    assert runs.table["seed"].tolist() == [0, 1, 2]
    assert runs.table["points"].tolist() == [7 * 4] * 3
    assert set(runs.table["env"]) == {"Mine-v1"}
    assert runs.table["hp.total_timesteps"].tolist() == [1_000] * 3
    # By hand: 1000 k / 7, rounded down.
    for _, series in runs.series("reward"):
        assert series.step.tolist() == [142, 285, 428, 571, 714, 857, 1000]
        assert (np.diff(series.wall_time) > 0).all()


@settings(max_examples=40, deadline=None)
@given(
    algo=st.sampled_from(ALGOS),
    points=st.integers(1, 60),
    extra=st.integers(0, 1_000),
    collapse=st.integers(0, 2),
    seed=st.integers(0, 2**63),
)
def test_values_stay_in_their_range(
    algo: str, points: int, extra: int, collapse: int, seed: int
) -> None:
    runs = synth.training(
        algo, seeds=2, steps=points + extra, points=points, collapse=collapse, seed=seed
    )
    ranges = {
        "reward": (8, 500),
        "episode_length": (8, 500),
        "td_loss": (0, np.inf),
        "value_loss": (0, np.inf),
        "critic_loss": (0, np.inf),
        "entropy": (0, np.log(2)),
        "epsilon": (0.05, 1),
        "noise_std": (0.05, 0.3),
        "train/explained_variance": (-np.inf, 1),
        "train/approx_kl": (0, np.inf),
        "train/clip_fraction": (0, 1),
    }
    assert np.isfinite(runs.scalars["value"]).all()
    for metric, values in runs.scalars.groupby("metric", observed=True)["value"]:
        low, high = ranges.get(str(metric), (-np.inf, np.inf))
        assert values.between(low - 1e-12, high + 1e-12).all(), metric


@pytest.mark.parametrize("algo", ALGOS)
def test_agents_learn(every: Runs, algo: str) -> None:
    reward = of(every, algo, "reward")
    assert (reward[:, :10].mean(axis=1) < 60).all()
    assert (reward[:, -50:].mean(axis=1) > 350).all()


@pytest.mark.parametrize("algo", ALGOS)
def test_returns_are_noisiest_while_agents_learn(every: Runs, algo: str) -> None:
    reward = of(every, algo, "reward")
    jumps = np.abs(np.diff(reward, axis=1))
    learning = (reward[:, 1:] > 150) & (reward[:, 1:] < 350)
    assert jumps[learning].mean() > 1.5 * jumps[reward[:, 1:] < 40].mean()
    assert jumps[learning].mean() > 1.5 * jumps[:, -50:].mean()


def test_learning_comes_in_two_steps_with_a_halt_between() -> None:
    halted = []
    for run in of(synth.training(seeds=12), "ppo", "reward"):
        gain = ema(run, 0.9)[60:] - ema(run, 0.9)[:-60]
        # The smaller of the largest gains before and after each point.
        both = np.minimum(np.maximum.accumulate(gain), np.maximum.accumulate(gain[::-1])[::-1])
        halted.append(((gain < 0.5 * both) & (both > 80)).any())
    assert np.mean(halted) > 0.8


def test_exploration_falls_by_its_schedule(every: Runs) -> None:
    epsilon, noise = of(every, "dqn", "epsilon"), of(every, "ddpg", "noise_std")
    assert (np.diff(epsilon) <= 0).all()
    assert (np.diff(noise) < 0).all()
    # From 1 to 0.05 over the first fifth, of which a quarter is over at point 25 of 500.
    assert epsilon[:, 24] == pytest.approx(1 - 0.95 / 4)
    assert epsilon[:, 99:] == pytest.approx(0.05)
    assert noise[:, -1] == pytest.approx(0.05)


def test_entropy_falls_as_agents_learn(every: Runs) -> None:
    for algo in ("a2c", "ppo"):
        entropy = of(every, algo, "entropy")
        assert (entropy[:, :10].mean(axis=1) > 0.6).all()
        assert (entropy[:, -50:].mean(axis=1) < 0.3).all()


def test_the_total_loss_of_ppo_is_made_of_its_parts(every: Runs) -> None:
    parts = ("policy_loss", "value_loss", "entropy", "total_loss")
    policy, value, entropy, total = (of(every, "ppo", name) for name in parts)
    # Equation 9 of Schulman et al. (2017), as a loss: signs turned.
    assert total == pytest.approx(policy + 0.5 * value - 0.01 * entropy)


def test_the_actor_loss_of_ddpg_is_the_negative_value(every: Runs) -> None:
    actor = of(every, "ddpg", "actor_loss")
    # One reward a step with a discount of 0.98 is worth at most 50.
    assert actor[:, -50:].mean() == pytest.approx(-50, abs=1)
    assert (actor[:, :3] > -10).all()


def test_the_last_seeds_collapse_if_asked() -> None:
    sound, collapsed = (
        synth.training(["ppo", "a2c"], seeds=3, points=300, collapse=count) for count in (0, 1)
    )
    health = charts.run_health_data(collapsed).findings
    assert set(zip(health["run"], health["kind"], strict=True)) == {
        ("ppo/seed_2", "entropy_collapse"),
        ("a2c/seed_2", "entropy_collapse"),
    }
    assert charts.run_health_data(sound).findings.empty
    final = of(collapsed, "ppo", "reward")[:, -30:].mean(axis=1)
    assert (final[:2] > 350).all()
    assert final[2] < 100
    # Until then the same training.
    before, after = of(sound, "ppo", "reward")[2], of(collapsed, "ppo", "reward")[2]
    assert after[:120] == pytest.approx(before[:120], rel=1e-3)


def test_the_charts_of_training_draw_them(every: Runs) -> None:
    every = every.select(seed=[0, 1])
    drawn = [
        charts.reward_curve(every, by="algo", target=475),
        charts.loss_curves(every, by="algo"),
        charts.entropy_curve(every),
        charts.exploration_curves(every, by="algo"),
        charts.performance_profile(every, reps=50),
        charts.seed_heatmap(every),
    ]
    for chart in drawn:
        assert "<svg" in offline.svg(chart.to_dict())


@pytest.mark.parametrize("points", [1, 2, 10, 400])
def test_correlated_noise_has_variance_one_from_its_first_point(points: int) -> None:
    rows = [correlated(np.random.default_rng(seed), points, 0.05) for seed in range(2_000)]
    spread = np.std(rows, axis=0)
    # The standard error of a deviation from 2,000 draws is 1 / sqrt(4000) = 0.016.
    assert spread == pytest.approx(1, abs=0.08)


def test_a_million_points_are_made_at_once() -> None:
    runs = synth.training("ppo", seeds=4, steps=10_000_000, points=27_778)
    assert len(runs.scalars) == 4 * 9 * 27_778
    assert pd.Index(runs.table["non_finite"]).tolist() == [0] * 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"algo": "sac"}, "algo must be some of dqn, a2c, ppo, ddpg, not sac"),
        ({"algo": []}, "algo must be some of dqn, a2c, ppo, ddpg, not none"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1, not 0"),
        ({"points": 2.5}, "points must be a whole number of at least 1, not 2.5"),
        ({"steps": 10, "points": 11}, "points must be at most steps=10, not 11"),
        ({"collapse": 6}, "collapse must be at most seeds=5, not 6"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        synth.training(**wrong)  # type: ignore[arg-type]


def test_an_algorithm_that_is_asked_for_twice_is_made_once() -> None:
    assert len(synth.training(["ppo", "ppo"], seeds=2, points=5)) == 2


def test_presets_are_those_that_are_documented() -> None:
    assert [*PRESETS] == ALGOS
    assert all(f"``{name}``" in (synth.training.__doc__ or "") for name in PRESETS)
