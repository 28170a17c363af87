"""evaluations.npz of stable-baselines3's EvalCallback."""

from pathlib import Path

import numpy as np
import pytest

import tarslab as tl
from tarslab.errors import BadLog, LogWarning
from tarslab.runs.formats import evaluations

RETURNS = [[1.0, 3.0], [5.0, 6.0], [9.0, 9.0]]
LENGTHS = [[10, 20], [30, 30], [40, 50]]


def save(path: Path, **arrays: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"timesteps": [1000, 2000, 3000], "results": RETURNS, "ep_lengths": LENGTHS} | arrays
    np.savez(path, **{name: np.asarray(array) for name, array in given.items()})  # type: ignore[arg-type]
    return path


def test_a_point_is_the_mean_of_one_evaluation(tmp_path: Path) -> None:
    save(tmp_path / "PPO_1" / "evaluations.npz", successes=[[True, False]] * 3)
    runs = tl.load(tmp_path)
    values = {
        metric: one.value.tolist() for metric in runs.metrics for _, one in runs.series(metric)
    }
    assert values == {
        "eval_reward": [2.0, 5.5, 9.0],
        "eval/mean_ep_length": [15.0, 30.0, 45.0],
        "eval/success_rate": [0.5, 0.5, 0.5],
    }
    assert runs.scalars["step"].tolist()[:3] == [1000, 2000, 3000]
    assert runs.table.to_dict("records")[0]["algo"] == "ppo"


def test_an_archive_of_another_name_is_a_run_of_its_own(tmp_path: Path) -> None:
    save(tmp_path / "first.npz")
    save(tmp_path / "second.npz")
    np.savez(tmp_path / "weights.npz", w=np.zeros(3))
    assert tl.load(tmp_path).names == ["first", "second"]


def test_beside_other_logs_they_are_one_run_and_a_copy_is_not_doubled(
    tmp_path: Path, write_events
) -> None:
    save(tmp_path / "run" / "evaluations.npz")
    write_events(tmp_path / "run", [("eval/mean_reward", 1000, 2.0), ("time/fps", 1000, 50.0)])
    runs = tl.load(tmp_path)
    assert runs.names == ["run"]
    assert runs.table["format"].tolist() == ["tfevents+evaluations"]
    assert runs.metrics == ["eval_reward", "fps", "eval/mean_ep_length"]


def test_only_wanted_tags_are_kept(tmp_path: Path) -> None:
    path = save(tmp_path / "evaluations.npz")
    (recording,) = evaluations.read([path], {"eval/mean_reward"})
    assert list(recording.series) == ["eval/mean_reward"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_archive_is_named(tmp_path: Path, damage: str) -> None:
    path = save(tmp_path / "evaluations.npz")
    data = bytearray(path.read_bytes())
    place = data.index(b"NUMPY") + 130
    data[place] ^= 0xFF
    path.write_bytes(
        {"cut": bytes(data[:300]), "flipped": bytes(data), "empty": b"", "text": b"no"}[damage]
    )
    with pytest.raises(BadLog, match=str(path)):
        tl.load(path)


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = save(tmp_path / "evaluations.npz", results=np.array([[1], [2, 3], [4]], dtype=object))
    with pytest.raises(BadLog, match="allow_pickle"):
        tl.load(path)


def test_an_array_of_another_length_is_left_out_with_a_word(tmp_path: Path) -> None:
    save(tmp_path / "evaluations.npz", ep_lengths=[[1, 2]])
    with pytest.warns(LogWarning, match=r"ep_lengths has the shape \(1, 2\) beside 3 timesteps"):
        assert tl.load(tmp_path).metrics == ["eval_reward"]


def test_one_episode_an_evaluation_may_be_a_flat_array(tmp_path: Path) -> None:
    save(tmp_path / "evaluations.npz", results=[1.0, 2.0, 3.0])
    assert tl.load(tmp_path).select(metric="eval_reward").scalars["value"].tolist() == [1, 2, 3]


def test_an_archive_without_timesteps_is_not_the_callbacks(tmp_path: Path) -> None:
    np.savez(tmp_path / "evaluations.npz", results=np.zeros(3))
    with pytest.raises(BadLog, match="no array timesteps"):
        tl.load(tmp_path)
