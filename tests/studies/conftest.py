"""Studies that Optuna really ran, and a Redis server to keep them on."""

import math
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection

from tarslab.stack import valkey

optuna.logging.set_verbosity(optuna.logging.ERROR)

DIRECTIONS = [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]

Search = Callable[..., optuna.Study]


@pytest.fixture
def search() -> Search:
    """Runs a small search into any storage: trials that complete, are pruned, and fail."""

    def run(storage: Any = None, name: str = "found", objectives: int = 1, n: int = 30) -> Any:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=DIRECTIONS[:objectives],
            sampler=optuna.samplers.RandomSampler(seed=1),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
        )
        study.optimize(single if objectives == 1 else several(objectives), n, catch=(ValueError,))
        return study

    return run


def single(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    rate = trial.suggest_float("net.rate[0]", 1e-5, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 4)
    trial.suggest_categorical("activation", ["relu", "tanh"])
    trial.set_user_attr("seed", 7)
    if x > 4:
        raise ValueError("diverged")
    if x > 0:
        trial.suggest_float("only when positive", 0, 1)
    for step in range(4):
        trial.report(x**2 / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return x**2 + layers + math.log10(rate)


def several(objectives: int) -> Callable[[optuna.Trial], list[float]]:
    def evaluate(trial: optuna.Trial) -> list[float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return [x, x * y, (1 - x) ** 2 + y][:objectives]

    return evaluate


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real server of the Redis protocol, behind a socket file."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        config = valkey.config(Path(folder), socket=str(socket)).encode()
        command = [str(valkey.binary()), "-"]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert server.stdin is not None
        server.stdin.write(config)
        server.stdin.close()
        while not socket.exists():
            assert server.poll() is None
            time.sleep(0.01)
        yield f"unix://{socket}"
        server.terminate()
        server.wait()
