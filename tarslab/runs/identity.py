"""Which algorithm, environment and seed a run is of, and its hyperparameters.

From the configuration beside the logs where there is one, else from what the logs themselves say,
else from folder names that can mean nothing else, else missing.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tarslab.errors import BadLog

CONFIG_NAMES = ("config.json", "config.yml", "config.yaml", "args.json", "args.yml", "params.json")

ALGO_KEYS = ("algo", "algorithm", "algo_name", "exp_name")
ENV_KEYS = ("env", "env_id", "env_name", "environment")
SEED_KEYS = ("seed", "random_seed")

ALGORITHMS = {
    *("a2c", "a3c", "acer", "acktr", "ars", "c51", "cfr", "cfr+", "cql", "crossq", "ddpg", "dqn"),
    *("fictitious_play", "her", "iqn", "impala", "maskable_ppo", "mappo", "maddpg", "ppg", "ppo"),
    *("ppo_lstm", "psro", "qmix", "qrdqn", "rainbow", "recurrent_ppo", "reinforce", "rnd", "sac"),
    *("td3", "tqc", "trpo", "vpg"),
}
SEED_PART = re.compile(r"(?:seed|s)[_=-]?(\d+)")
GYM_ENV = re.compile(r"((?:[\w-]+/)?[A-Za-z][A-Za-z0-9_-]*-v\d+)(?:_\d+)?")
CLEANRL_RUN = re.compile(r"(?P<env>.+?)__(?P<algo>[^_].*?)__(?P<seed>\d+)__\d+")
SB3_RUN = re.compile(r"([A-Za-z0-9+]+)_\d+")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration files of a run folder as one flat dict, ``{}`` where there is none.

    Of rl-baselines3-zoo's runs the files stand in a subfolder named after the environment. Raises
    BadLog where a file cannot be read as what its ending says.
    """
    config: dict[str, Any] = {}
    for place in (folder, *_zoo_folders(folder)):
        for name in CONFIG_NAMES:
            if (place / name).is_file():
                config |= _flat(_parse(place / name))
    return config


def config_files(folder: Path) -> list[Path]:
    """The configuration files that ``read_config`` reads."""
    places = (folder, *_zoo_folders(folder))
    return [p / name for p in places for name in CONFIG_NAMES if (p / name).is_file()]


def identify(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """``algo``, ``env`` and ``seed``; None where neither the config nor the path says."""
    plain = _from_path(path)
    algo = _stated(config, ALGO_KEYS) or plain.get("algo")
    env = _stated(config, ENV_KEYS) or plain.get("env")
    seed = _stated(config, SEED_KEYS)
    seed = plain.get("seed") if seed is None else seed
    return {
        "algo": str(algo).lower() if algo else None,
        "env": str(env) if env else None,
        "seed": _whole(seed),
    }


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """``hp.<name>`` for all of the config but algorithm, environment and seed."""
    identity = {*ALGO_KEYS, *ENV_KEYS, *SEED_KEYS}
    return {f"hp.{key}": value for key, value in config.items() if key not in identity}


def _from_path(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in path.parts:
        if match := CLEANRL_RUN.fullmatch(part):
            found |= match.groupdict()
            continue
        lower = part.lower()
        sb3_run = SB3_RUN.fullmatch(lower)
        if lower in ALGORITHMS:
            found["algo"] = lower
        elif sb3_run and sb3_run[1] in ALGORITHMS:
            found["algo"] = sb3_run[1]
        elif match := SEED_PART.fullmatch(lower):
            found["seed"] = match[1]
        elif match := GYM_ENV.fullmatch(part):
            found["env"] = match[1]
    return found


def _zoo_folders(folder: Path) -> list[Path]:
    match = GYM_ENV.fullmatch(folder.name)
    return [folder / match[1]] if match and match[1] != folder.name else []


def _stated(config: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    stated = (config[key] for key in keys if key in config)
    return next((value for value in stated if isinstance(value, str | int | float)), None)


def _whole(value: Any) -> int | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        return int(value) if int(value) == float(value) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, _ConfigLoader)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BadLog(f"{path}: not readable as {path.suffix[1:].upper()}: {reason}") from None
    return content if isinstance(content, dict) else {}


def _flat(config: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; lists and other structures as JSON text."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float | bool) or value is None:
            flat[f"{prefix}{key}"] = value
        else:
            flat[f"{prefix}{key}"] = json.dumps(value, default=str)
    return flat


class _ConfigLoader(yaml.SafeLoader):
    """Plain YAML, and the OrderedDict and tuples that rl-baselines3-zoo writes."""


def _ordered_dict(loader: _ConfigLoader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.SequenceNode):
        return {}
    arguments = loader.construct_sequence(node, deep=True)
    return dict(arguments[0]) if arguments else {}


def _sequence(loader: _ConfigLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _as_text(_: _ConfigLoader, suffix: str, node: yaml.Node) -> str:
    return f"{suffix} {getattr(node, 'value', '')}".strip()


_PYTHON = "tag:yaml.org,2002:python/"
_ConfigLoader.add_constructor(f"{_PYTHON}object/apply:collections.OrderedDict", _ordered_dict)
_ConfigLoader.add_constructor(f"{_PYTHON}tuple", _sequence)
_ConfigLoader.add_multi_constructor(_PYTHON, _as_text)
