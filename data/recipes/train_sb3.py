"""Train the CartPole and Pendulum recordings with stable-baselines3.

    pip install -e ".[train]"
    python data/recipes/train_sb3.py                       # everything, as committed
    python data/recipes/train_sb3.py --only dqn --seeds 0  # a part of it

Hyperparameters are those of rl-baselines3-zoo where it has them for the task, with fewer steps.
A run folder holds what stable-baselines3 itself writes (event file, progress.csv, monitor.csv)
and a config.json with what was asked of it.
"""

import argparse
import json
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv

DATA = Path(__file__).resolve().parent.parent
ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"dqn": DQN, "a2c": A2C, "ppo": PPO, "ddpg": DDPG}

RECIPES: dict[str, dict[str, Any]] = {
    "dqn": {
        "folder": "cartpole",
        "env": "CartPole-v1",
        "n_envs": 1,
        "total_timesteps": 50_000,
        "log_interval": 4,
        "hyperparameters": {
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1000,
            "gamma": 0.99,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
            "policy_kwargs": {"net_arch": [256, 256]},
        },
    },
    "a2c": {
        "folder": "cartpole",
        "env": "CartPole-v1",
        "n_envs": 8,
        "total_timesteps": 150_000,
        "log_interval": 20,
        "hyperparameters": {"n_steps": 5, "gamma": 0.99, "learning_rate": 7e-4, "ent_coef": 0.0},
    },
    "ppo": {
        "folder": "cartpole",
        "env": "CartPole-v1",
        "n_envs": 8,
        "total_timesteps": 100_000,
        "log_interval": 1,
        "hyperparameters": {
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "ent_coef": 0.0,
            "learning_rate": 1e-3,
            "clip_range": 0.2,
        },
    },
    "ddpg": {
        "folder": "pendulum",
        "env": "Pendulum-v1",
        "n_envs": 1,
        "total_timesteps": 20_000,
        "log_interval": 2,
        "hyperparameters": {
            "gamma": 0.98,
            "buffer_size": 200_000,
            "learning_starts": 2000,
            "learning_rate": 1e-3,
            "train_freq": 1,
            "gradient_steps": 1,
            "policy_kwargs": {"net_arch": [128, 128]},
        },
        "noise_std": {"start": 0.3, "end": 0.05},
    },
}


class AnnealedNoise(BaseCallback):  # type: ignore[misc]  # untyped without the train extra
    """Lowers the action noise linearly over training and logs its standard deviation."""

    def __init__(self, noise: NormalActionNoise, start: float, end: float, total: int) -> None:
        super().__init__()
        self.noise, self.start, self.end, self.total = noise, start, end, total

    def _on_step(self) -> bool:
        done = min(self.num_timesteps / self.total, 1.0)
        sigma = self.start + (self.end - self.start) * done
        self.noise._sigma = np.full_like(self.noise._sigma, sigma)
        self.logger.record("rollout/noise_std", sigma)
        return True


def train(algo: str, seed: int) -> float:
    """Train one run into its folder and return the seconds it took."""
    recipe = RECIPES[algo]
    folder = DATA / recipe["folder"] / algo / f"seed_{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.set_num_threads(1)
    started = time.perf_counter()

    # One environment writes monitor.csv, several write 0.monitor.csv, 1.monitor.csv and so on.
    env: gym.Env[Any, Any] | VecEnv
    if recipe["n_envs"] == 1:
        env = Monitor(gym.make(recipe["env"]), str(folder / "monitor.csv"))
    else:
        env = make_vec_env(recipe["env"], recipe["n_envs"], seed, monitor_dir=str(folder))
    options = dict(recipe["hyperparameters"])
    callback = None
    if noise := recipe.get("noise_std"):
        action_noise = NormalActionNoise(np.zeros(1), np.full(1, noise["start"]))
        options["action_noise"] = action_noise
        callback = AnnealedNoise(
            action_noise, noise["start"], noise["end"], recipe["total_timesteps"]
        )
    model = ALGORITHMS[algo]("MlpPolicy", env, seed=seed, device="cpu", **options)
    model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    model.learn(recipe["total_timesteps"], callback=callback, log_interval=recipe["log_interval"])
    model.logger.close()
    env.close()

    # An event file's name carries the host that wrote it.
    (event_file,) = folder.glob("events.out.tfevents.*")
    event_file.rename(folder / "events.out.tfevents.0")
    config = {
        "algo": algo,
        "env": recipe["env"],
        "seed": seed,
        "n_envs": recipe["n_envs"],
        "total_timesteps": recipe["total_timesteps"],
        **recipe["hyperparameters"],
    }
    if noise:
        config["noise_std"] = noise
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the recordings in data/.")
    parser.add_argument("--only", nargs="+", choices=sorted(RECIPES), default=sorted(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", type=int, default=2, help="runs trained at once")
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs) as pool:
        jobs = {
            (algo, seed): pool.submit(train, algo, seed)
            for algo in args.only
            for seed in args.seeds
        }
        for (algo, seed), job in jobs.items():
            print(f"{algo} seed {seed}: {job.result():.0f} s", flush=True)


if __name__ == "__main__":
    main()
