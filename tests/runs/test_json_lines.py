"""JSON lines: RLlib's result.json, exports of Weights & Biases, and others."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tarslab as tl
from tarslab.errors import LogNotFound, LogWarning
from tarslab.runs import Series
from tarslab.runs.formats import json_lines, json_scanning
from tarslab.runs.formats.json_lines import read
from tarslab.runs.recording import Recording
from tarslab.runs.vocabulary import sources


@pytest.fixture(autouse=True, params=["compiled", "msgspec"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test reads with the compiled loops and without them."""
    compiled = request.param == "compiled"
    monkeypatch.setattr(json_scanning, "pays", lambda size, wanted: compiled)


CONFIG = {"env": "CartPole-v1", "seed": 3, "lr": 0.001, "model": {"fcnet_hiddens": [64, 64]}}


def rllib(iteration: int, **more: Any) -> dict[str, Any]:
    """A result as RLlib's new stack writes it (Ray 2.60), with few of its keys."""
    return {
        "timers": {"training_iteration": 0.5},
        "env_runners": {"episode_return_mean": 10.0 * iteration, "num_episodes": 8},
        "learners": {
            "default_policy": {"policy_loss": -0.1, "num_trainable_parameters": math.nan},
            "__all_modules__": {"num_env_steps_trained": 8144},
        },
        "num_env_steps_sampled_lifetime": 500 * iteration,
        **{"done": False, "training_iteration": iteration, "trial_id": "a6535_00000"},
        **{"date": f"2026-11-24_00-54-{49 + iteration}", "timestamp": 1795481694 + iteration},
        **{"pid": 11895, "hostname": "vm", "node_ip": "192.0.2.2", "config": CONFIG},
        **more,
    }


def put(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def only(path: Path, **options: Any) -> Recording:
    (recording,) = read([path], **options)
    return recording


def points(series: Series) -> list[tuple[int, float]]:
    return list(zip(series.step.tolist(), series.value.tolist(), strict=True))


def detected(path: Path) -> bool:
    return json_lines.matches(path, path.read_bytes()[:65_536])


def test_the_keys_of_inner_objects_are_joined_and_the_config_is_the_runs(tmp_path: Path) -> None:
    recording = only(put(tmp_path / "result.json", [rllib(1), rllib(2)]))
    assert points(recording.series["env_runners/episode_return_mean"]) == [(500, 10), (1000, 20)]
    assert recording.series["learners/default_policy/policy_loss"].wall_time.tolist() == [
        1795481695,
        1795481696,
    ]
    assert np.isnan(
        recording.series["learners/default_policy/num_trainable_parameters"].value
    ).all()
    assert recording.config["model.fcnet_hiddens"] == "[64, 64]"
    assert not {"pid", "hostname", "done", "date", "config"} & recording.series.keys()
    assert recording.warnings == []


def test_a_trial_of_rllib_is_one_run_whose_folder_says_the_algorithm(tmp_path: Path) -> None:
    folder = tmp_path / "exp" / "PPO_CartPole-v1_a6535_00000_0_2026-11-24_00-54-49"
    put(folder / "result.json", [rllib(1), rllib(2)])
    runs = tl.load(tmp_path)
    (row,) = runs.table.to_dict("records")
    assert (row["algo"], row["env"], row["seed"], row["format"]) == (
        "ppo",
        "CartPole-v1",
        3,
        "json",
    )
    assert row["hp.lr"] == 0.001
    assert {"reward", "policy_loss"} <= set(runs.metrics)


def test_keys_that_come_later_or_stay_away_are_no_matter(tmp_path: Path) -> None:
    rows = [
        {"step": n, "loss": n / 2, **({"eval": {"r": n}} if n % 7 == 3 else {})} for n in range(50)
    ]
    recording = only(put(tmp_path / "log.jsonl", rows))
    assert points(recording.series["loss"]) == [(n, n / 2) for n in range(50)]
    assert points(recording.series["eval/r"]) == [(n, n) for n in range(3, 50, 7)]


def test_parts_of_a_large_file_fit_together(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(json_lines, "PART_BYTES", 100)
    rows = [{"step": n, "a": n} if n % 5 else {"step": n, "b": {"c": [1] * n}} for n in range(40)]
    recording = only(put(tmp_path / "log.jsonl", rows))
    assert points(recording.series["a"]) == [(n, n) for n in range(40) if n % 5]


def test_nan_and_infinity_are_values_and_null_is_none(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"step": 1, "x": NaN, "y": null}\n{"step":2,"x":Infinity,"y":1}\n'
        '{"step": 3, "x": -Infinity, "y": "NaN"}\n{"step": 4, "x": -NaN}\n{"step": 5, "x": "inf"}\n'
    )
    recording = only(path)
    assert str(points(recording.series["x"])) == "[(1, nan), (2, inf), (3, -inf), (5, inf)]"
    assert str(points(recording.series["y"])) == "[(2, 1.0), (3, nan)]"
    assert "1 lines are not JSON objects, the first is line 4" in recording.warnings[0]


def test_the_word_nan_in_a_text_or_a_key_stays_a_word(tmp_path: Path) -> None:
    rows = [
        {"step": n, "a NaN ": n, "run": f"with [NaN, NaN ] {seed}", "z": math.nan}
        for seed in range(2)
        for n in range(3)
    ]
    recordings = read([put(tmp_path / "log.jsonl", rows)])
    assert [r.run for r in recordings] == ["with [NaN, NaN ] 0", "with [NaN, NaN ] 1"]
    assert {tag.strip() for tag in recordings[0].series} == {"a NaN", "z"}


def test_the_text_n_is_no_nan(tmp_path: Path) -> None:
    rows = [{"step": n, "x": n, "y": "N" if n else math.nan} for n in range(3)]
    assert str(points(only(put(tmp_path / "log.jsonl", rows)).series["y"])) == "[(0, nan)]"
    rows = [{"step": n, "x": n, "y": "N"} for n in range(3)]
    assert set(only(put(tmp_path / "log.jsonl", rows)).series) == {"x"}


def test_half_of_a_surrogate_pair_is_shown_as_it_was_written(tmp_path: Path) -> None:
    rows = [{"run": run, "step": n, "x": n} for run in ("a\udb72", "b") for n in range(3)]
    assert [r.run for r in read([put(tmp_path / "log.jsonl", rows)])] == [r"a\udb72", "b"]


def test_a_cut_last_line_costs_only_itself_and_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "result.json", [rllib(1), rllib(2)])
    whole = path.stat().st_size
    with path.open("a") as file:
        file.write('{"num_env_steps_sampled_lifetime": 1500, "env_runners": {"episode_ret')
    recording = only(path)
    assert recording.series["env_runners/episode_return_mean"].points == 2
    assert recording.warnings == [
        f"{path}: the last line is cut off at byte {path.stat().st_size} (it has no line end); all "
        f"before byte {whole} was read"
    ]


def test_a_last_object_that_is_closed_is_whole_without_a_line_end(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "x": 1}\n{"step": 2, "x": 2}')
    assert points(only(path).series["x"]) == [(1, 1), (2, 2)]


def test_a_broken_line_in_the_middle_is_left_out_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1, "x": 1}\n{"step": 2, "x\n\xff\xfe\n[1]\n\n{"step": 3, "x": 3}\n')
    recording = only(path)
    assert points(recording.series["x"]) == [(1, 1), (3, 3)]
    assert recording.warnings == [
        f"{path}: 3 lines are not JSON objects, the first is line 2 at byte 20; they were left out"
    ]


def test_what_is_a_number_here_and_an_object_there_is_read_as_both(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": {"clip": 2.0}},
        {"step": 3, "loss": [{"a": 3}]},
    ]
    series = only(put(tmp_path / "log.jsonl", rows)).series
    assert {tag: points(one) for tag, one in series.items()} == {
        "loss": [(1, 1)],
        "loss/clip": [(2, 2)],
        "loss/0/a": [(3, 3)],
    }


def test_the_epsilon_of_old_rllib_stands_in_a_list_of_objects(tmp_path: Path) -> None:
    rows = [
        {"timesteps_total": n, "info": {"exploration_infos": [{"cur_epsilon": 1 / n}]}}
        for n in range(1, 4)
    ]
    path = put(tmp_path / "result.json", rows)
    tag = "info/exploration_infos/0/cur_epsilon"
    assert points(only(path).series[tag]) == points(only(path, wanted={tag}).series[tag])
    assert tl.load(path).metrics == ["epsilon"]


def test_integers_beyond_64_bits_and_truth_values(tmp_path: Path) -> None:
    rows = [{"step": 1, "x": 2**70, "y": True, "z": 10**400}, {"step": 2, "x": 1, "y": 5, "z": 0}]
    series = only(put(tmp_path / "log.jsonl", rows)).series
    assert points(series["x"]) == [(1, 2.0**70), (2, 1)]
    assert points(series["y"]) == [(2, 5)]
    assert points(series["z"]) == [(1, math.inf), (2, 0)]


def test_keys_that_no_type_can_have_are_read_all_the_same(tmp_path: Path) -> None:
    rows = [{"step": n, 'a"b': n, "c\\d": n, "": n} for n in range(3)]
    series = only(put(tmp_path / "log.jsonl", rows)).series
    assert {tag: one.points for tag, one in series.items()}['a"b'] == 3


def test_the_history_of_weights_and_biases_has_its_own_step_and_time(tmp_path: Path) -> None:
    rows = [
        {"_step": n, "_timestamp": 1.7e9 + n, "_runtime": n, "rollout/ep_rew_mean": n, "x": "NaN"}
        for n in range(3)
    ]
    path = put(tmp_path / "run" / "wandb-history.jsonl", rows)
    (path.parent / "wandb-summary.json").write_text(json.dumps(rows[-1]))
    runs = tl.load(tmp_path)
    assert runs.names == ["run"]
    assert runs.metrics == ["reward", "x"]
    assert runs.scalars["wall_time"].iloc[1] == 1.7e9 + 1


def test_one_list_of_objects_is_read_as_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps([{"step": n, "x": n} for n in range(3)], indent=2))
    assert detected(path)
    assert points(only(path).series["x"]) == [(0, 0), (1, 1), (2, 2)]
    path.write_text(path.read_text()[:-20])
    recording = only(path)
    assert recording.series["x"].points == 2
    assert "the list breaks off at character" in recording.warnings[0]


def test_rows_of_several_runs_and_one_point_a_row(tmp_path: Path) -> None:
    rows = [
        {"run": f"s{seed}", "step": n, "metric": metric, "value": n + seed}
        for seed in range(2)
        for n in range(3)
        for metric in ("reward", "x")
    ]
    path = put(tmp_path / "log.jsonl", rows)
    assert [r.run for r in read([path])] == ["s0", "s1"]
    assert [list(r.series) for r in read([path], {"reward"})] == [["reward"], ["reward"]]


@pytest.mark.parametrize(
    ("name", "text", "is_log"),
    [
        ("result.json", "", True),
        ("other.json", "", False),
        ("log.jsonl", '{"step": 1, "x": 2}', True),
        ("log.jsonl", '{"note": "a header"}\n{"Step": 1, "x": 2}\n', True),
        ("any.log", '{"global_step": 1, "x": 2}\n{"global_step": 2, "x": 3}\n', True),
        ("summary.json", '{"_step": 100, "x": 2}\n', False),
        ("config.json", '{\n  "step": 100\n}\n', False),
        ("data.jsonl", '{"text": "a step"}\n{"text": "b"}\n', False),
        ("data.jsonl", '{"step": "first"}\n', False),
        ("list.json", "[1, 2, 3]", False),
        ("result.json", '{"timesteps_total": 4, "config": {"x": "' + "y" * 70_000, True),
        ("result.json", '{"config": {"x": "' + "y" * 70_000, False),
        ("data.json", '{"step": 4, "config": {"x": "' + "y" * 70_000, False),
    ],
)
def test_a_log_is_known_by_its_first_lines(
    tmp_path: Path, name: str, text: str, is_log: bool
) -> None:
    (tmp_path / name).write_text(text)
    assert detected(tmp_path / name) is is_log


def test_an_empty_result_is_named(tmp_path: Path) -> None:
    put(tmp_path / "a" / "log.jsonl", [{"step": 1, "x": 1}])
    put(tmp_path / "b" / "result.json", [])
    with pytest.warns(LogWarning, match=r"b/result.json: the file is empty"):
        assert tl.load(tmp_path).names == ["a/log"]


def test_the_data_set_of_another_field_is_no_log(tmp_path: Path) -> None:
    put(tmp_path / "train.jsonl", [{"text": "a", "label": 1}])
    with pytest.raises(LogNotFound, match="JSON lines"):
        tl.load(tmp_path)


LEAVES = (
    st.none() | st.booleans() | st.floats() | st.integers(-5, 5) | st.sampled_from(["w", "NaN"])
)
KEYS = st.sampled_from(["a", "b", "loss", "a/b", "learners"])
OBJECTS = st.recursive(
    LEAVES,
    lambda below: st.dictionaries(KEYS, below, max_size=3) | st.lists(below, max_size=2),
    max_leaves=6,
)


def expected(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """By tag the points, the plain way: one walk a row."""
    found: dict[str, dict[int, float]] = {}

    def walk(step: int, tag: str, value: Any) -> None:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = dict(enumerate(value))
        if isinstance(value, dict):
            for key, below in value.items():
                walk(step, f"{tag}/{key}" if tag else str(key), below)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(tag, {})[step] = float(value)
        elif value == "NaN":
            found.setdefault(tag, {})[step] = math.nan

    for row in rows:
        walk(row["step"], "", {key: value for key, value in row.items() if key != "step"})
    return {tag: [f"{s} {v}" for s, v in sorted(of_tag.items())] for tag, of_tag in found.items()}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(KEYS, OBJECTS, max_size=3), min_size=1, max_size=6))
def test_rows_of_any_shape_are_read_as_by_a_plain_walk(tmp_path_factory, bodies) -> None:
    rows = [{"step": n, **body} for n, body in enumerate(bodies)]
    if any("/" in key for row in rows for key in str(row).split("'")):
        # Two spellings of one tag in a row have no right answer.
        rows = json.loads(json.dumps(rows).replace("a/b", "c"))
    path = put(tmp_path_factory.mktemp("json") / "log.jsonl", rows)
    found = only(path)
    every = {
        tag: [f"{s} {v}" for s, v in points(one)] for tag, one in found.series.items() if one.points
    }
    assert every == expected(rows)
    for wanted in (sorted(every)[:2], sorted(every)[-1:]):
        chosen = only(path, wanted=set(wanted)).series
        assert {tag: [f"{s} {v}" for s, v in points(one)] for tag, one in chosen.items()} == {
            tag: every[tag] for tag in wanted
        }


def test_of_wanted_metrics_the_same_is_read_as_of_all(tmp_path: Path) -> None:
    rows = [
        rllib(n, evaluation={"env_runners": {"episode_return_mean": n}} if n % 4 == 3 else {})
        for n in range(1, 30)
    ]
    path = put(tmp_path / "result.json", rows)
    every = only(path).series
    chosen = only(path, wanted=sources(["reward", "eval_reward", "policy_loss"])).series
    assert set(chosen) == {
        "env_runners/episode_return_mean",
        "evaluation/env_runners/episode_return_mean",
        "learners/default_policy/policy_loss",
    }
    for tag, one in chosen.items():
        assert points(one) == points(every[tag])


def test_wanted_tags_that_are_keys_of_their_own_are_found_wherever_they_begin(
    tmp_path: Path,
) -> None:
    rows = [{"_step": n, "info/learner/red/entropy": n, "train/loss": n} for n in range(9)]
    path = put(tmp_path / "wandb-history.jsonl", rows)
    assert set(only(path, wanted=sources(["entropy"])).series) >= {"info/learner/red/entropy"}
    assert set(only(path, wanted={"train/loss"}).series) == {"train/loss"}
