"""JSON lines as RLlib writes them, against pandas."""

import importlib
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tarslab.runs.formats import json_lines
from tarslab.runs.vocabulary import sources
from tests.benchmarks.harness import Comparison, compare

HEADING = "Reading JSON lines"

LINES = 10_000
METRICS = ("reward", "policy_loss", "entropy")


def comparisons() -> Iterator[Comparison]:
    """Three of about a hundred nested keys, with NaN among the values and without, and all."""
    importlib.import_module("tarslab.runs.formats.json_kernels")
    with tempfile.TemporaryDirectory() as folder:
        path, plain = Path(folder, "result.json"), Path(folder, "plain.json")
        keys = _write(path)
        plain.write_bytes(path.read_bytes().replace(b"NaN", b"0.5"))
        size = f"{LINES:,} lines of {keys} keys, {path.stat().st_size / 1e6:.0f} MB"
        yield _three_columns(plain, f"Three columns of {size}")
        yield _three_columns(path, f"Three columns of {size}, with NaN in three keys of each line")
        yield compare(
            f"All columns of {size}",
            {
                "tarslab": lambda: json_lines.read([path]),
                "pandas.read_json": lambda: pd.read_json(path, lines=True),
                "and pandas.json_normalize": lambda: _all_by_pandas(path),
            },
            repeats=3,
            note="Only with json_normalize does pandas take the inner objects apart.",
        )


def _three_columns(path: Path, task: str) -> Comparison:
    wanted = sources(METRICS)
    assert _sums(json_lines.read([path], wanted)[0].series) == _sums(_by_pandas(path))
    return compare(
        task,
        {
            "tarslab": lambda: json_lines.read([path], wanted),
            "pandas.read_json": lambda: _by_pandas(path),
        },
        targets={"pandas.read_json": 14},
        note=(
            "RLlib writes such lines with NaN, which JSON forbids. The compiled loops are loaded: "
            "a process that reads only little would do without them, at 0.6 times the speed."
        ),
    )


def _by_pandas(path: Path) -> dict[str, Any]:
    table = pd.read_json(path, lines=True)
    modules = [row["default_policy"] for row in table["learners"]]
    return {
        "env_runners/episode_return_mean": [r["episode_return_mean"] for r in table["env_runners"]],
        "learners/default_policy/policy_loss": [module["policy_loss"] for module in modules],
        "learners/default_policy/entropy": [module["entropy"] for module in modules],
    }


def _all_by_pandas(path: Path) -> pd.DataFrame:
    table = pd.read_json(path, lines=True)
    rows: Any = table.to_dict("records")
    return pd.json_normalize(rows, sep="/")


def _sums(columns: dict[str, Any]) -> dict[str, float]:
    """The sums of the columns, to compare the answers."""
    sums = {tag: getattr(one, "value", one) for tag, one in columns.items()}
    return {tag: round(float(np.sum(values)), 6) for tag, values in sums.items()}


def _write(path: Path) -> int:
    """Lines as of RLlib's new stack; says how many values one of them holds."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for iteration in range(1, LINES + 1):
            one = _result(iteration, rng)
            json.dump(one, file)
            file.write("\n")
    return len(pd.json_normalize(one).columns)


def _result(iteration: int, rng: np.random.Generator) -> dict[str, Any]:
    """With the keys that RLlib 2.60 writes for PPO, but for its ``config``."""

    def numbers(*names: str) -> dict[str, float]:
        return dict(zip(names, rng.random(len(names)).tolist(), strict=True))

    def connectors(*names: str) -> dict[str, Any]:
        return {"timers": {"connectors": numbers(*names)}, **numbers("connector_pipeline_timer")}

    throughput = numbers("throughput_since_last_reduce", "throughput_since_last_restore")
    return {
        "timers": numbers(
            *("training_iteration", "restore_env_runners", "training_step", "synch_weights"),
            *("env_runner_sampling_timer", "learner_update_timer", "synch_env_connectors"),
        ),
        "env_runners": {
            **numbers("sample", "env_reset_timer", "env_step_timer", "rlmodule_inference_timer"),
            **numbers("episode_return_mean", "episode_return_max", "episode_return_min"),
            **numbers("episode_len_mean", "episode_len_max", "episode_len_min"),
            **numbers("episode_duration_sec_mean", "time_between_sampling", "weights_seq_no"),
            **numbers("num_env_steps_sampled", "num_env_steps_sampled_lifetime", "num_episodes"),
            "num_module_steps_sampled_lifetime": numbers("default_policy"),
            "num_agent_steps_sampled_lifetime": numbers("default_agent"),
            "module_episode_return_mean": numbers("default_policy"),
            "agent_episode_return_mean": numbers("default_agent"),
            "num_env_steps_sampled_lifetime_throughput": throughput,
            "module_to_env_connector": connectors(
                *("get_actions", "remove_single_ts_time_rank_from_batch", "tensor_to_numpy"),
                *("normalize_and_clip_actions", "listify_data_for_vector_env"),
                "un_batch_to_individual_items",
            ),
            "env_to_module_connector": connectors(
                *("add_observations_from_episodes_to_batch", "batch_individual_items"),
                *("add_states_from_episodes_to_batch", "numpy_to_tensor"),
                "add_time_dim_to_batch_and_zero_pad",
            ),
        },
        "learners": {
            "default_policy": {
                **numbers("policy_loss", "vf_loss", "vf_loss_unclipped", "total_loss", "entropy"),
                **numbers("mean_kl_loss", "curr_kl_coeff", "curr_entropy_coeff", "weights_seq_no"),
                **numbers("default_optimizer_learning_rate", "module_train_batch_size_mean"),
                **numbers("vf_explained_var", "num_module_steps_trained"),
                **numbers("num_module_steps_trained_lifetime"),
                **numbers("diff_num_grad_updates_vs_sampler_policy"),
                "num_module_steps_trained_lifetime_throughput": throughput,
                "num_trainable_parameters": math.nan,
            },
            "__all_modules__": {
                "learner_connector": connectors(
                    *("batch_individual_items", "general_advantage_estimation", "numpy_to_tensor"),
                    *("add_states_from_episodes_to_batch", "add_time_dim_to_batch_and_zero_pad"),
                    "add_columns_from_episodes_to_train_batch",
                ),
                **numbers("num_module_steps_trained", "num_module_steps_trained_lifetime"),
                **numbers("num_env_steps_trained", "num_env_steps_trained_lifetime"),
                **numbers(
                    "num_env_steps_trained_throughput", "num_module_steps_trained_throughput"
                ),
                "num_module_steps_trained_lifetime_throughput": throughput,
                "num_env_steps_trained_lifetime_throughput": throughput,
                "num_trainable_parameters": math.nan,
                "num_non_trainable_parameters": math.nan,
            },
        },
        "num_training_step_calls_per_iteration": 1,
        "num_env_steps_sampled_lifetime": 4000 * iteration,
        "fault_tolerance": {
            **{"num_healthy_workers": 2, "num_remote_worker_restarts": 0},
            "num_env_runners_dropped_lifetime": 0,
        },
        **{"done": False, "training_iteration": iteration, "trial_id": "a6535_00000"},
        **{"date": "2026-11-24_00-54-57", "timestamp": 1795481697 + iteration, "pid": 11895},
        **{"hostname": "vm", "node_ip": "192.0.2.2", "time_total_s": 3.2 * iteration},
        **{"time_this_iter_s": 3.2, "time_since_restore": 3.2 * iteration},
        "iterations_since_restore": iteration,
        "perf": numbers("cpu_util_percent", "ram_util_percent"),
    }
