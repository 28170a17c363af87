"""Algorithm, environment and seed of a run."""

import json
from pathlib import Path
from typing import Any

import pytest

from tarslab.errors import BadLog
from tarslab.runs.identity import hyperparameters, identify, read_config


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("runs/CartPole-v1__dqn__1__1690000000", ("dqn", "CartPole-v1", 1)),
        (
            "runs/BreakoutNoFrameskip-v4__ppo_atari__7__1690",
            ("ppo_atari", "BreakoutNoFrameskip-v4", 7),
        ),
        ("tb/PPO_3", ("ppo", None, None)),
        ("logs/a2c/CartPole-v1_1", ("a2c", "CartPole-v1", None)),
        ("cartpole/dqn/seed_4", ("dqn", None, 4)),
        ("sac/Hopper-v4/seed=12", ("sac", "Hopper-v4", 12)),
        ("tb/DQN_LunarLander-v2_1", ("dqn", "LunarLander-v2", None)),
        ("ppo-CartPole-v1/seed1", ("ppo", "CartPole-v1", 1)),
        ("RecurrentPPO_1", ("recurrent_ppo", None, None)),
        ("experiments/final/run2", (None, None, None)),
        ("ppo-tuned/try-v2-best", (None, None, None)),
        ("my-project-v2/s3/run_a", (None, None, None)),
        # Ray 2.60, Ray 0.7 and RLlib without Tune; the last is Tune's name for another function.
        ("PPO_CartPole-v1_a6535_00000_0_2026-11-24_00-54-49", ("ppo", "CartPole-v1", None)),
        (
            "exp/APPO_my_env_a6535_00003_3_lr=0.0100,seed=12,batch=4000_2026-11-24_00-54-49",
            ("appo", "my_env", 12),
        ),
        ("PPO_CartPole-v0_0_lr=0.1,seed=3_2019-05-01_10-20-30x1y2z", ("ppo", "CartPole-v0", 3)),
        ("IMPALA_ALE_Pong-v5_2024-05-01_10-20-30abc12", ("impala", "ALE_Pong-v5", None)),
        ("train_fn_a6535_00000_0_2026-11-24_00-54-49", (None, None, None)),
    ],
)
def test_plain_folder_names_are_understood_and_others_are_not_guessed(
    path: str, expected: tuple[Any, Any, Any]
) -> None:
    found = identify({}, Path(path))
    assert (found["algo"], found["env"], found["seed"]) == expected


def test_the_config_is_believed_before_the_path() -> None:
    config = {"algo": "SAC", "env_id": "Hopper-v4", "seed": 3}
    assert identify(config, Path("ppo/CartPole-v1/seed_1")) == {
        "algo": "sac",
        "env": "Hopper-v4",
        "seed": 3,
    }


def test_seed_zero_of_the_config_is_a_seed() -> None:
    assert identify({"seed": 0}, Path("seed_5"))["seed"] == 0


@pytest.mark.parametrize("seed", [None, True, "none", 1.5, "inf", 2**64, 1e300])
def test_a_seed_that_is_no_whole_number_is_missing(seed: object) -> None:
    assert identify({"seed": seed}, Path("x"))["seed"] is None


@pytest.mark.parametrize("seed", [2**53 + 1, str(2**62), 7.0])
def test_a_large_seed_is_not_rounded(seed: object) -> None:
    assert identify({"seed": seed}, Path("x"))["seed"] == int(seed)  # type: ignore[call-overload]


def test_what_cannot_be_the_identity_stays_a_hyperparameter() -> None:
    config = {"algo": True, "env": float("nan"), "seed": 2**64, "exp_name": "best-one"}
    assert identify(config, Path("x")) == {"algo": None, "env": None, "seed": None}
    assert set(hyperparameters(config)) == {"hp.algo", "hp.env", "hp.seed", "hp.exp_name"}


def test_nested_configs_are_flat_and_lists_are_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"algo": "dqn", "net": {"arch": [64, 64], "act": "relu"}, "lr": 1e-3})
    )
    config = read_config(tmp_path)
    assert config == {"algo": "dqn", "net.arch": "[64, 64]", "net.act": "relu", "lr": 1e-3}
    assert hyperparameters(config) == {
        "hp.net.arch": "[64, 64]",
        "hp.net.act": "relu",
        "hp.lr": 1e-3,
    }


def test_the_yaml_of_rl_baselines3_zoo_is_read_from_its_subfolder(tmp_path: Path) -> None:
    folder = tmp_path / "CartPole-v1_1"
    (folder / "CartPole-v1").mkdir(parents=True)
    (folder / "CartPole-v1" / "args.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n"
        "- - - algo\n    - a2c\n  - - seed\n    - 5\n"
    )
    (folder / "CartPole-v1" / "config.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n"
        "- - - n_envs\n    - 8\n  - - range\n    - !!python/tuple [1, 2]\n"
    )
    assert read_config(folder) == {"algo": "a2c", "seed": 5, "n_envs": 8, "range": "[1, 2]"}


def test_the_config_of_weights_and_biases_has_its_settings_one_level_down(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "wandb_version: 1\n"
        "_wandb:\n  desc: null\n  value:\n    cli_version: 0.16.0\n"
        "lr:\n  desc: null\n  value: 0.001\n"
        "net:\n  desc: null\n  value:\n    width: 64\n"
    )
    assert read_config(tmp_path) == {"lr": 0.001, "net.width": 64}


def test_yaml_never_runs_code(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "config.yml").write_text(f"x: !!python/object/apply:os.system ['touch {marker}']\n")
    read_config(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text", ["- " * 100_000 + "1", "a: " + "[" * 100_000, "{a: " * 60_000 + "1" + "}" * 60_000]
)
def test_nesting_however_deep_ends_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(BadLog, match=r"config\.yml"):
        read_config(tmp_path)


def test_a_long_config_is_read_as_a_short_one_is(tmp_path: Path) -> None:
    lines = [
        f"key_{n}: !!python/tuple [{n}, a]\nwhen_{n}: 2026-01-0{n % 9 + 1}" for n in range(400)
    ]
    (tmp_path / "config.yml").write_text("\n".join(lines))
    whole = read_config(tmp_path)
    found: dict[str, Any] = {}
    for line in lines:
        (tmp_path / "config.yml").write_text(line)
        found |= read_config(tmp_path)
    assert whole == found
    assert whole["key_7"] == '[7, "a"]'
    assert whole["when_7"] == '"2026-01-08"'


def test_a_folder_named_as_a_config_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    assert read_config(tmp_path) == {}
    assert read_config(tmp_path / "none") == {}


def test_what_a_log_says_is_flat_as_what_a_file_says() -> None:
    # CleanRL's table of hyperparameters holds Python literals.
    config = {"betas": (0.9, 0.999), "net": {"width": [64, 64]}, "lr": 0.1, "name": None}
    assert hyperparameters(config) == {
        "hp.betas": "[0.9, 0.999]",
        "hp.net.width": "[64, 64]",
        "hp.lr": 0.1,
        "hp.name": None,
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("config.json", "{"), ("config.json", "[" * 100_000), ("config.yml", "a: [")),
        ("config.yml", "!!python/object/apply:collections.OrderedDict [5]"),
        ("config.yml", "a: &a [1, *a]"),
        ("config.yml", "runs:\n- {2020-01-01: 5}"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadLog, match=name):
        read_config(tmp_path)
