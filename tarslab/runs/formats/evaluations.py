"""``evaluations.npz``: what stable-baselines3's EvalCallback measured.

``timesteps`` (n,) are the training steps at which it did, ``results`` and ``ep_lengths``
(n, episodes) the return and length of every episode, ``successes`` likewise where the environment
says. A point is the mean over the episodes of one evaluation, as ``eval/mean_reward`` and
``eval/mean_ep_length``: the names under which the callback logs them.

Source: stable_baselines3/common/callbacks.py.
"""

import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tarslab.errors import BadLog
from tarslab.runs.formats.parallel import Read, in_processes
from tarslab.runs.recording import Recording, Series

NAME = "evaluations"
LOOKED_FOR = "stable-baselines3 evaluations.npz"

FOLDER_NAME = "evaluations.npz"
STEPS = "timesteps"
TAGS = {
    "results": "eval/mean_reward",
    "ep_lengths": "eval/mean_ep_length",
    "successes": "eval/success_rate",
}


def matches(path: Path, head: bytes) -> bool:
    """The name; or an archive of arrays with ``timesteps`` and ``results``."""
    if path.name == FOLDER_NAME:
        return True
    return head.startswith(b"PK") and b"timesteps.npy" in head and b"results.npy" in head


def home(path: Path) -> Path:
    """The folder, for ``evaluations.npz``."""
    return path.parent if path.name == FOLDER_NAME else path


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """One Recording a home, with the wanted tags."""
    return in_processes(NAME, partial(read, wanted=wanted), homes)


def follow() -> Read:
    """Reads the files of a home again and again, the whole of each."""
    return read


def read(paths: Sequence[Path], wanted: Collection[str] | None = None) -> list[Recording]:
    """One run from its evaluations; raises BadLog where the archive is damaged."""
    recording = Recording(NAME)
    for path in paths:
        steps, episodes = _arrays(path)
        nowhere = np.full(len(steps), np.nan)
        for name, of_evaluation in episodes.items():
            tag = TAGS[name]
            if wanted is not None and tag not in wanted:
                continue
            if of_evaluation.shape[0] != len(steps) or of_evaluation.size == 0:
                recording.warnings.append(
                    f"{path}: {name} has the shape {of_evaluation.shape} beside {len(steps)} "
                    "timesteps; left out"
                )
                continue
            means = of_evaluation.reshape(len(steps), -1).mean(axis=1)
            recording.series[tag] = Series.of(steps, nowhere, means)
    return [recording]


def _arrays(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    if path.stat().st_size == 0:
        raise BadLog(f"{path}: the file is empty; nothing was written yet")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            steps = archive[STEPS]
            episodes = {name: archive[name] for name in TAGS if name in archive}
        return steps.astype(np.int64), {
            name: array.astype(np.float64) for name, array in episodes.items()
        }
    except KeyError:
        raise BadLog(f"{path}: no array {STEPS} in it: not written by EvalCallback") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, TypeError) as error:
        raise BadLog(f"{path}: the archive is damaged and cannot be read: {error}") from None
