"""Search hyperparameters with Optuna and record the studies of data/automl.

    pip install -e ".[train]"
    python data/recipes/search_automl.py                     # everything, as committed
    python data/recipes/search_automl.py --only cartpole-a2c --trials 20   # a part of it

Three searches: A2C of stable-baselines3 on CartPole-v1, by two workers, with a pruner; a network
for scikit-learn's digits, as accurate and as small as can be; trees for its breast cancer data, by
three objectives under a constraint. They go to studies.db (SQLite), and from there to studies.log
(a journal). Each trial of CartPole leaves the learning curve that stable-baselines3 wrote, and a
config.json with its number, in runs/.
"""

import argparse
import json
import math
import shutil
import sqlite3
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
import torch
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import balanced_accuracy_score, log_loss, recall_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier, MLPRegressor
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

AUTOML = Path(__file__).resolve().parent.parent / "automl"
DATABASE, JOURNAL, RUNS = AUTOML / "studies.db", AUTOML / "studies.log", AUTOML / "runs"

ENV, N_ENVS, STEPS = "CartPole-v1", 8, 20_000
# In environment steps; multiples of N_ENVS.
LOG_EVERY, EVALUATE_EVERY = 1000, 2000
EVALUATION_EPISODES = 10

# Weights and biases that a network for the digits may have.
MOST_PARAMETERS = 5000
# The share of malignant tumours that must be found.
LEAST_SENSITIVITY = 0.92


class Diverged(Exception):
    """The weights are no longer finite; the trial fails."""


def diverged(trial: optuna.Trial, message: str) -> Diverged:
    trial.set_user_attr("error", message)
    return Diverged(message)


def cartpole_a2c(trial: optuna.Trial) -> float:
    """The mean return of A2C in its last evaluation."""
    asked: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-5, 10, log=True),
        "gamma": trial.suggest_float("gamma", 0.9, 0.9999),
        "n_steps": trial.suggest_int("n_steps", 4, 64, log=True),
        "gae_lambda": trial.suggest_float("gae_lambda", 0.8, 1),
        "ent_coef": trial.suggest_float("ent_coef", 1e-8, 0.1, log=True),
        "activation": trial.suggest_categorical("activation", ["tanh", "relu"]),
        "net_arch": trial.suggest_categorical("net_arch", ["32", "64", "64-64", "128-128"]),
        "optimizer": trial.suggest_categorical("optimizer", ["rmsprop", "adam", "sgd"]),
        "clip_gradients": trial.suggest_categorical("clip_gradients", [True, False]),
    }
    if asked["optimizer"] == "sgd":
        asked["momentum"] = trial.suggest_float("momentum", 0, 0.95)
    if asked["clip_gradients"]:
        asked["max_grad_norm"] = trial.suggest_float("max_grad_norm", 0.1, 10, log=True)
    config = {
        "algo": "a2c",
        "env": ENV,
        "seed": trial.number,
        "study": trial.study.study_name,
        "trial": trial.number,
        "n_envs": N_ENVS,
        "total_timesteps": STEPS,
        **asked,
    }
    folder = RUNS / f"trial_{trial.number}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    policy: dict[str, Any] = {
        "activation_fn": {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[asked["activation"]],
        "net_arch": [int(width) for width in asked["net_arch"].split("-")],
    }
    if asked["optimizer"] == "sgd":
        policy["optimizer_class"] = torch.optim.SGD
        policy["optimizer_kwargs"] = {"momentum": asked["momentum"]}
    model = A2C(
        "MlpPolicy",
        make_vec_env(ENV, N_ENVS, seed=trial.number),
        learning_rate=asked["learning_rate"],
        gamma=asked["gamma"],
        n_steps=asked["n_steps"],
        gae_lambda=asked["gae_lambda"],
        ent_coef=asked["ent_coef"],
        max_grad_norm=asked.get("max_grad_norm", math.inf),
        use_rms_prop=asked["optimizer"] == "rmsprop",
        policy_kwargs=policy,
        seed=trial.number,
        device="cpu",
    )
    model.set_logger(configure(str(folder), ["csv"]))
    evaluation = Evaluation(trial, make_vec_env(ENV, 5, seed=10_000))
    try:
        model.learn(STEPS, callback=evaluation, log_interval=None)
    except ValueError as error:
        model.dump_logs()
        # torch refuses the logits of a policy whose weights are no longer finite.
        if "invalid values" not in str(error):
            raise
        raise diverged(trial, str(error).splitlines()[0].rstrip(":")) from error
    finally:
        trial.set_user_attr("steps", model.num_timesteps)
        model.logger.close()
    return evaluation.mean_return


class Evaluation(BaseCallback):  # type: ignore[misc]  # untyped without the train extra
    """Logs the training, reports the mean return without exploration, and stops pruned trials."""

    def __init__(self, trial: optuna.Trial, envs: VecEnv) -> None:
        super().__init__()
        self.trial, self.envs = trial, envs
        self.mean_return = math.nan

    def _on_step(self) -> bool:
        if self.num_timesteps % LOG_EVERY:
            return True
        evaluated = self.num_timesteps % EVALUATE_EVERY == 0
        if evaluated:
            mean, _ = evaluate_policy(self.model, self.envs, EVALUATION_EPISODES)
            self.mean_return = float(mean)
            self.logger.record("eval/mean_reward", self.mean_return)
            self.trial.report(self.mean_return, self.num_timesteps)
        self.model.dump_logs()
        if evaluated and self.trial.should_prune():
            raise optuna.TrialPruned
        return True


def digits_two_objectives(trial: optuna.Trial) -> tuple[float, int]:
    """The cross-validated accuracy of a network, and how many parameters it has."""
    layers = trial.suggest_int("layers", 1, 3)
    units = [trial.suggest_int(f"units_{layer}", 2, 128, log=True) for layer in range(layers)]
    # Squared errors of one-hot labels: Hui and Belkin (2021), arXiv:2006.07322.
    squared = (
        trial.suggest_categorical("loss", ["cross_entropy", "squared_error"]) != "cross_entropy"
    )
    solver = trial.suggest_categorical("solver", ["sgd", "adam"])
    model = (MLPRegressor if squared else MLPClassifier)(
        hidden_layer_sizes=units,
        solver=solver,
        momentum=trial.suggest_float("momentum", 0, 0.99) if solver == "sgd" else 0,
        learning_rate_init=trial.suggest_float("learning_rate", 1e-3, 10, log=True),
        batch_size=trial.suggest_int("batch_size", 16, 256, log=True),
        alpha=trial.suggest_float("alpha", 1e-6, 0.1, log=True),
        activation=trial.suggest_categorical("activation", ["relu", "tanh", "logistic"]),
        max_iter=30,
        random_state=0,
    )
    parameters = sum((a + 1) * b for a, b in pairwise([64, *units, 10]))
    trial.set_user_attr("parameters", parameters)
    if parameters > MOST_PARAMETERS:
        raise optuna.TrialPruned
    pixels, labels = load_digits(return_X_y=True)
    targets = np.eye(10)[labels] if squared else labels
    right = 0
    for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(pixels, labels):
        try:
            model.fit(pixels[train] / 16, targets[train])
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            raise diverged(trial, str(error).split(". ")[0]) from error
        said = model.predict(pixels[test] / 16)
        right += int(((said.argmax(axis=1) if squared else said) == labels[test]).sum())
    return right / len(labels), parameters


def breast_cancer_three_objectives(trial: optuna.Trial) -> tuple[float, float, int]:
    """The balanced accuracy and log-loss of an ensemble of trees, and how many nodes it has."""
    kind = trial.suggest_categorical("ensemble", ["forest", "extra_trees", "boosting"])
    options: dict[str, Any] = {
        "n_estimators": trial.suggest_int("n_estimators", 1, 100, log=True),
        "max_depth": trial.suggest_int("max_depth", 1, 8),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 40, log=True),
        "max_features": trial.suggest_float("max_features", 0.05, 1),
        "random_state": 0,
    }
    if kind == "boosting":
        options["learning_rate"] = trial.suggest_float("learning_rate", 0.01, 1, log=True)
        options["subsample"] = trial.suggest_float("subsample", 0.3, 1)
        model = GradientBoostingClassifier(**options)
    else:
        balanced = trial.suggest_categorical("balanced_classes", [True, False])
        options["class_weight"] = "balanced" if balanced else None
        model = (RandomForestClassifier if kind == "forest" else ExtraTreesClassifier)(**options)
    measures, benign = load_breast_cancer(return_X_y=True)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    chances = cross_val_predict(model, measures, benign, cv=folds, method="predict_proba")
    called = chances.argmax(axis=1)
    sensitivity = float(recall_score(benign, called, pos_label=0))
    trial.set_user_attr("sensitivity", sensitivity)
    trial.set_constraint("sensitivity", LEAST_SENSITIVITY - sensitivity)
    # A forest has a list of trees, boosting an array.
    trees = np.ravel(model.fit(measures, benign).estimators_)
    return (
        float(balanced_accuracy_score(benign, called)),
        float(log_loss(benign, chances)),
        sum(tree.tree_.node_count for tree in trees),
    )


class Search(NamedTuple):
    objective: Callable[[optuna.Trial], Any]
    directions: list[Literal["maximize", "minimize"]]
    metric_names: list[str] | None
    sampler: Callable[[int], BaseSampler]
    """Of a worker, which is its seed."""
    pruner: BasePruner
    trials: int
    workers: int


SEARCHES = {
    "cartpole-a2c": Search(
        cartpole_a2c,
        ["maximize"],
        None,
        lambda worker: TPESampler(n_startup_trials=40, constant_liar=True, seed=worker),
        MedianPruner(n_startup_trials=20, n_warmup_steps=4000),
        trials=150,
        workers=2,
    ),
    "digits-two-objectives": Search(
        digits_two_objectives,
        ["maximize", "minimize"],
        ["accuracy", "parameters"],
        lambda worker: NSGAIISampler(population_size=40, seed=worker),
        NopPruner(),
        trials=160,
        workers=1,
    ),
    "breast-cancer-three-objectives": Search(
        breast_cancer_three_objectives,
        ["maximize", "minimize", "minimize"],
        ["balanced accuracy", "log-loss", "nodes"],
        lambda worker: TPESampler(n_startup_trials=30, seed=worker),
        NopPruner(),
        trials=150,
        workers=1,
    ),
}


def storage() -> RDBStorage:
    # Seconds that a worker waits while another writes.
    return RDBStorage(f"sqlite:///{DATABASE}", engine_kwargs={"connect_args": {"timeout": 60}})


def begin(name: str) -> None:
    """An empty study in the place of an earlier one of this name."""
    search = SEARCHES[name]
    if name in optuna.get_all_study_names(storage()):
        optuna.delete_study(study_name=name, storage=storage())
    study = optuna.create_study(study_name=name, storage=storage(), directions=search.directions)
    if search.metric_names:
        study.set_metric_names(search.metric_names)
    if name == "cartpole-a2c":
        shutil.rmtree(RUNS, ignore_errors=True)


def work(name: str, worker: int, trials: int) -> None:
    """One worker's share of a search."""
    search = SEARCHES[name]
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    # Networks that diverge overflow before they fail.
    warnings.simplefilter("ignore", RuntimeWarning)
    study = optuna.load_study(
        study_name=name,
        storage=storage(),
        sampler=search.sampler(worker),
        pruner=search.pruner,
    )
    with threadpool_limits(1):
        study.optimize(search.objective, trials, catch=(Diverged,))


def finish() -> None:
    """Make the database small, and write all studies to the journal."""
    with closing(sqlite3.connect(DATABASE)) as database:
        database.execute("VACUUM")
    JOURNAL.unlink(missing_ok=True)
    journal = JournalStorage(JournalFileBackend(str(JOURNAL)))
    for name in optuna.get_all_study_names(storage()):
        optuna.copy_study(from_study_name=name, from_storage=storage(), to_storage=journal)


def summary(name: str) -> str:
    trials = optuna.load_study(study_name=name, storage=storage()).trials
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    states = Counter(trial.state.name for trial in trials)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"{name}: {counts}, {(max(ends) - min(starts)).total_seconds():.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the studies of data/automl.")
    parser.add_argument("--only", nargs="+", choices=list(SEARCHES), default=list(SEARCHES))
    parser.add_argument("--trials", type=int, help="of each search, instead of its own number")
    parser.add_argument("--jobs", type=int, default=2, help="workers at once")
    args = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    AUTOML.mkdir(exist_ok=True)
    for name in args.only:
        begin(name)
    with ProcessPoolExecutor(args.jobs) as pool:
        jobs = [
            pool.submit(work, name, worker, -(-(args.trials or search.trials) // search.workers))
            for name, search in SEARCHES.items()
            if name in args.only
            for worker in range(search.workers)
        ]
        for job in jobs:
            job.result()
    finish()
    for name in args.only:
        print(summary(name))


if __name__ == "__main__":
    main()
