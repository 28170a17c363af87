"""Which algorithm, environment and seed a run is of, and its hyperparameters.

From the configuration beside the logs where there is one, else from what the logs themselves say,
else from folder names that can mean nothing else, else missing.
"""

import json
import os
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import yaml

from tarslab.errors import BadLog

CONFIG_NAMES = ("config.json", "config.yml", "config.yaml", "args.json", "args.yml", "params.json")

ALGO_KEYS = ("algo", "algorithm", "algo_name")
ENV_KEYS = ("env", "env_id", "env_name", "environment")
SEED_KEYS = ("seed", "random_seed")
WANDB_KEYS = ("_wandb", "wandb_version")

ALGORITHMS = {
    *("a2c", "a3c", "acer", "acktr", "apex", "appo", "ars", "bc", "c51", "cfr", "cfr+", "cql"),
    *("crossq", "ddpg", "dqn", "dreamer", "dreamerv3", "fictitious_play", "fqf", "her", "impala"),
    *("iqn", "maddpg", "mappo", "marwil", "maskable_ppo", "ppg", "ppo", "ppo_lstm", "psro", "qmix"),
    *("qrdqn", "r2d2", "rainbow", "recurrent_ppo", "redq", "reinforce", "rnd", "sac", "simple_q"),
    *("td3", "tqc", "trpo", "vpg"),
}
_BY_PLAIN_NAME = {algo.replace("_", ""): algo for algo in ALGORITHMS}
SEED_PART = re.compile(r"seed[_=-]?(\d+)")
GYM_ENV = re.compile(r"([A-Z][A-Za-z0-9_-]*-v\d+)(?:_\d+)?")
CLEANRL_RUN = re.compile(r"(?P<env>.+?)__(?P<algo>[^_].*?)__(?P<seed>\d+)__\d+")
# PPO_CartPole-v1_a6535_00000_0_lr=0.001,seed=3_2026-11-24_00-54-49, without what comes after the
# environment in old releases and outside of Tune.
TUNE_TRIAL = re.compile(
    r"(?P<algo>[A-Za-z0-9]+)_(?P<env>.+?)(?:_[0-9a-f]{5,8}(?:_\d{5})?)?"
    r"(?:_\d+(?:_(?P<settings>[^=]+=.*))?)?_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\w*"
)
SEED_SETTING = re.compile(r"(?:^|,)seed=(\d+)(?:,|$)")
# What may open a level of nesting in YAML; a level takes half a kilobyte of the C loader's stack.
NESTING = re.compile(r"[\[{:?-]")
MOST_NESTED = 500
NUMBERED = re.compile(r"(.+)_\d+")
ALGO_AND_ENV = re.compile(r"([A-Za-z0-9]+)[_-](.+)")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration files of a run folder as one flat dict, ``{}`` where there is none.

    Of rl-baselines3-zoo's runs the files stand in a subfolder named after the environment. Raises
    BadLog where a file cannot be read as what its ending says.
    """
    config: dict[str, Any] = {}
    for path in config_files(folder):
        config |= _parse(path)
    return config


def config_files(folder: Path, listed: Mapping[str, Collection[str]] | None = None) -> list[Path]:
    """The configuration files that ``read_config`` reads.

    ``listed`` are the names in folders that were looked into already.
    """
    found = []
    for place in config_folders(folder):
        names = listed.get(str(place)) if listed else None
        if names is None:
            try:
                names = os.listdir(place)
            except OSError:
                continue
        found += [place / name for name in CONFIG_NAMES if name in names]
    return [path for path in found if path.is_file()]


def config_folders(folder: Path) -> list[Path]:
    """Where the configuration files of a run folder may stand."""
    match = GYM_ENV.fullmatch(folder.name)
    of_the_zoo = [folder / match[1]] if match and match[1] != folder.name else []
    return [folder, *of_the_zoo]


def identify(config: Mapping[str, Any], path: PurePath) -> dict[str, Any]:
    """``algo``, ``env`` and ``seed``; None where neither the config nor the path says.

    ``path`` begins at the folder that was asked for: what stands above it says nothing of the run.
    """
    plain = _from_path(path)
    algo = _stated(config, ALGO_KEYS, str) or plain.get("algo")
    env = _stated(config, ENV_KEYS, str) or plain.get("env")
    seed = _whole(_stated(config, SEED_KEYS, object))
    return {
        "algo": algo.lower() if algo else None,
        "env": env or None,
        "seed": _whole(plain.get("seed")) if seed is None else seed,
    }


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """``hp.<name>`` for all of the config but what ``identify`` makes of it."""
    config = flat(config)
    used = {key for key in (*ALGO_KEYS, *ENV_KEYS) if isinstance(config.get(key), str)}
    used |= {key for key in SEED_KEYS if _whole(config.get(key)) is not None}
    return {f"hp.{key}": value for key, value in config.items() if key not in used}


def printable(text: str) -> str:
    """The text with what is no Unicode, as in a file name of another encoding, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def flat(config: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; lists and other structures as JSON text."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            found[f"{prefix}{key}"] = printable(value)
        elif isinstance(value, int) and abs(value) >= 2**63:
            found[f"{prefix}{key}"] = str(value)
        elif isinstance(value, int) or value is None:
            found[f"{prefix}{key}"] = value
        elif isinstance(value, float):
            found[f"{prefix}{key}"] = float(value)
        else:
            found[f"{prefix}{key}"] = json.dumps(value, default=str)
    return found


def _from_path(path: PurePath) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in path.parts:
        found |= _from_part(part)
    return found


# Runs of one experiment share most of their path.
@lru_cache(maxsize=4096)
def _from_part(part: str) -> Mapping[str, Any]:
    if match := CLEANRL_RUN.fullmatch(part):
        return match.groupdict()
    if match := SEED_PART.fullmatch(part.lower()):
        return {"seed": match[1]}
    if match := TUNE_TRIAL.fullmatch(part):
        return _trial(match)
    return _algo_and_env(part)


def _trial(name: re.Match[str]) -> dict[str, str]:
    """What Ray Tune's name for a trial of RLlib says; nothing where it is of another function."""
    algo = _known_algorithm(name["algo"])
    if algo is None and not GYM_ENV.fullmatch(name["env"]):
        return {}
    seed = SEED_SETTING.search(name["settings"] or "")
    found = {"algo": algo or name["algo"].lower(), "env": name["env"]}
    return found | ({"seed": seed[1]} if seed else {})


def _algo_and_env(part: str) -> dict[str, str]:
    """What a folder called after an algorithm, an environment or both says (``PPO_1``)."""
    bare = match[1] if (match := NUMBERED.fullmatch(part)) else part
    for name in (part, bare):
        if algo := _known_algorithm(name):
            return {"algo": algo}
    both = ALGO_AND_ENV.fullmatch(bare)
    if both and (algo := _known_algorithm(both[1])) and GYM_ENV.fullmatch(both[2]):
        return {"algo": algo, "env": both[2]}
    return {"env": match[1]} if (match := GYM_ENV.fullmatch(part)) else {}


def _known_algorithm(name: str) -> str | None:
    return _BY_PLAIN_NAME.get(name.lower().replace("_", ""))


def _stated(config: Mapping[str, Any], keys: tuple[str, ...], kind: type) -> Any:
    return next(
        (config[key] for key in keys if key in config and isinstance(config[key], kind)), None
    )


def _whole(value: Any) -> int | None:
    """A seed as int; None for what is no whole number of 64 bits."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        seed = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return seed if seed is not None and abs(seed) < 2**63 else None


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, _loader(text))
        return flat(_without_wandb(content)) if isinstance(content, dict) else {}
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BadLog(f"{path}: not readable as {path.suffix[1:].upper()}: {reason}") from None


def _without_wandb(config: dict[Any, Any]) -> dict[Any, Any]:
    """The settings themselves in the config.yaml of Weights & Biases, which has each under
    ``value`` and its own under ``_wandb``."""
    if "_wandb" not in config and "wandb_version" not in config:
        return config
    settings = {key: value for key, value in config.items() if key not in WANDB_KEYS}
    return {
        key: value["value"] if isinstance(value, dict) and "value" in value else value
        for key, value in settings.items()
    }


def _loader(text: str) -> type[Any]:
    """The C loader is eight times as fast, but deep nesting overflows its stack: it gets only texts
    that have no room for any."""
    return _FastLoader if len(NESTING.findall(text)) < MOST_NESTED else _ConfigLoader


class _ConfigLoader(yaml.SafeLoader):
    """Plain YAML, and the OrderedDict and tuples that rl-baselines3-zoo writes."""


class _FastLoader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """The same in C, where PyYAML was built with it."""


def _ordered_dict(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.SequenceNode):
        return {}
    arguments = loader.construct_sequence(node, deep=True)
    return dict(arguments[0]) if arguments else {}


def _sequence(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


def _as_text(_: yaml.SafeLoader, suffix: str, node: yaml.Node) -> str:
    return f"{suffix} {getattr(node, 'value', '')}".strip()


_PYTHON = "tag:yaml.org,2002:python/"
for _one in (_ConfigLoader, _FastLoader):
    _one.add_constructor(f"{_PYTHON}object/apply:collections.OrderedDict", _ordered_dict)
    _one.add_constructor(f"{_PYTHON}tuple", _sequence)
    _one.add_multi_constructor(_PYTHON, _as_text)
