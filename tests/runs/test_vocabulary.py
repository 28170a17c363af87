"""Canonical names of metrics."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarslab.runs.formats import FORMATS
from tarslab.runs.vocabulary import (
    CANONICAL,
    MODULE,
    SOURCES,
    STEPS,
    VOCABULARY,
    sources,
    translate,
)
from tarslab.runs.vocabulary_page import with_table

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"

STATS = "info/learner/default_policy/learner_stats"


def names(*tags: str) -> dict[str, str]:
    return {tag: name for tag, (name, _) in translate(tags).items()}


def test_every_word_means_a_canonical_metric_of_a_known_trainer() -> None:
    assert {word.metric for word in VOCABULARY} <= set(CANONICAL)
    assert {word.source for word in VOCABULARY} | {source for source, _ in STEPS} == set(SOURCES)


def test_stable_baselines3_entropy_loss_turns_its_sign() -> None:
    assert translate(["train/entropy_loss"]) == {"train/entropy_loss": ("entropy", -1.0)}


def test_cleanrl_entropy_keeps_its_sign() -> None:
    assert translate(["losses/entropy"]) == {"losses/entropy": ("entropy", 1.0)}


def test_an_unknown_tag_keeps_its_name() -> None:
    assert translate(["my/tag"]) == {"my/tag": ("my/tag", 1.0)}


def test_the_loss_of_dqn_is_the_td_loss() -> None:
    assert names("train/loss", "rollout/exploration_rate")["train/loss"] == "td_loss"


def test_the_loss_of_ppo_is_the_total_loss() -> None:
    assert names("train/loss", "train/policy_gradient_loss")["train/loss"] == "total_loss"


def test_a_loss_of_nobody_knows_what_keeps_its_name() -> None:
    assert names("train/loss") == {"train/loss": "train/loss"}


def test_the_first_meaning_of_a_tag_is_its_meaning() -> None:
    both = ("rollout/exploration_rate", "train/policy_gradient_loss")
    assert names("train/loss", *both)["train/loss"] == "td_loss"


def test_two_tags_of_one_metric_do_not_get_one_name() -> None:
    both = names("rollout/ep_rew_mean", "monitor/r")
    assert both == {"monitor/r": "reward", "rollout/ep_rew_mean": "rollout/ep_rew_mean"}


def test_columns_that_are_called_as_those_of_monitor_csv_are_not_taken_for_them() -> None:
    assert names("r", "l") == {"r": "r", "l": "l"}


def test_a_tag_that_is_a_canonical_name_already_is_left_to_it() -> None:
    assert names("reward", "rollout/ep_rew_mean")["rollout/ep_rew_mean"] == "rollout/ep_rew_mean"


# Written by Ray 2.60 (RLlib's PPO, both stacks).
def test_rllib_names_its_module_or_policy_in_the_tag() -> None:
    new = {
        "env_runners/episode_return_mean": "reward",
        "evaluation/env_runners/episode_return_mean": "eval_reward",
        "env_runners/episode_len_mean": "episode_length",
        "learners/default_policy/policy_loss": "policy_loss",
        "learners/default_policy/vf_loss": "value_loss",
        "learners/default_policy/vf_loss_unclipped": "learners/default_policy/vf_loss_unclipped",
        "learners/default_policy/total_loss": "total_loss",
        "learners/default_policy/entropy": "entropy",
        "learners/default_policy/default_optimizer_learning_rate": "learning_rate",
        "learners/__all_modules__/num_module_steps_trained": (
            "learners/__all_modules__/num_module_steps_trained"
        ),
    }
    assert names(*new) == new
    old = {
        "episode_reward_mean": "reward",
        "episode_len_mean": "episode_length",
        f"{STATS}/policy_loss": "policy_loss",
        f"{STATS}/vf_loss": "value_loss",
        f"{STATS}/total_loss": "total_loss",
        f"{STATS}/entropy": "entropy",
        f"{STATS}/cur_lr": "learning_rate",
        "num_env_steps_sampled_throughput_per_sec": "fps",
    }
    assert names(*old) == old


def test_releases_of_rllib_without_learner_stats_are_known_too() -> None:
    assert names("info/learner/main/entropy") == {"info/learner/main/entropy": "entropy"}


# ray/rllib/algorithms/sac/torch/sac_torch_learner.py and dqn_torch_learner.py
def test_the_policy_and_q_loss_of_rllibs_sac_are_of_actor_and_critic() -> None:
    module = "learners/default_policy"
    sac = names(f"{module}/policy_loss", f"{module}/qf_loss", f"{module}/alpha_value")
    assert set(sac.values()) == {"actor_loss", "critic_loss", "temperature"}
    assert names(f"{module}/qf_loss", f"{module}/td_error_mean") == {
        f"{module}/qf_loss": "td_loss",
        f"{module}/td_error_mean": f"{module}/td_error_mean",
    }


def test_with_several_modules_none_is_the_runs() -> None:
    several = ("learners/red/entropy", "learners/blue/entropy")
    assert names(*several) == {tag: tag for tag in several}
    trained = names("learners/red/entropy", "learners/__all_modules__/entropy")
    assert trained["learners/red/entropy"] == "entropy"


def test_a_module_is_one_part_of_the_path() -> None:
    deeper = "learners/a/b/entropy"
    assert names(deeper) == {deeper: deeper}


# tianshou 2.0.1: algorithm/modelfree/*.py and utils/logger/; 0.5.1: policy/modelfree/*.py
def test_both_ages_of_tianshou_are_known() -> None:
    ppo = {
        "training/returns_stat/mean": "reward",
        "test/returns_stat/mean": "eval_reward",
        "training/lens_stat/mean": "episode_length",
        "update/loss/mean": "total_loss",
        "update/actor_loss/mean": "policy_loss",
        "update/vf_loss/mean": "value_loss",
        "update/ent_loss/mean": "entropy",
    }
    assert names(*ppo) == ppo
    dqn = {"training/returns_stat/mean": "reward", "update/loss": "td_loss"}
    assert names(*dqn) == dqn
    old_ppo = {
        **{"train/reward": "reward", "test/reward": "eval_reward", "update/loss": "total_loss"},
        **{"update/loss/clip": "policy_loss", "update/loss/vf": "value_loss"},
        "update/loss/ent": "entropy",
    }
    assert names(*old_ppo) == old_ppo
    old_sac = {
        "update/loss/actor": "actor_loss",
        "update/loss/critic1": "critic_loss",
        "update/alpha": "temperature",
    }
    assert names(*old_sac) == old_sac
    assert translate(old_ppo)["update/loss/ent"] == ("entropy", 1.0)


# pytorch/rl, sota-implementations: ppo, dqn, sac, ddpg
def test_the_examples_of_torchrl_are_known() -> None:
    ppo = {
        **{"train/reward": "reward", "eval/reward": "eval_reward"},
        **{"train/loss_objective": "policy_loss", "train/loss_critic": "value_loss"},
        "train/loss_entropy": "train/loss_entropy",
    }
    assert names(*ppo) == ppo
    dqn = {"train/episode_reward": "reward", "train/q_loss": "td_loss", "train/epsilon": "epsilon"}
    assert names(*dqn) == dqn
    sac = {
        **{"train/q_loss": "critic_loss", "train/actor_loss": "actor_loss"},
        **{"train/alpha": "temperature", "train/entropy": "entropy"},
    }
    assert names(*sac) == sac


def test_words_fit_the_same_whatever_the_order_of_the_tags() -> None:
    tags = [word.tag.replace(MODULE, "m") for word in VOCABULARY]
    assert translate(tags) == translate(tags[::-1])


TAGS = sorted(
    {word.tag.replace(MODULE, module) for word in VOCABULARY for module in ("red", "blue")}
    | {*CANONICAL, "my/tag", "learners/__all_modules__/entropy"}
)


@settings(max_examples=300)
@given(
    tags=st.sets(st.sampled_from(TAGS), max_size=25),
    wanted=st.sets(st.sampled_from([*CANONICAL, *TAGS]), min_size=1, max_size=3),
)
def test_from_its_sources_a_metric_is_what_it_is_from_all_tags(
    tags: set[str], wanted: set[str]
) -> None:
    def of_wanted(present: set[str]) -> dict[str, tuple[str, float]]:
        return {tag: named for tag, named in translate(present).items() if named[0] in wanted}

    needed = sources(wanted)
    assert of_wanted({tag for tag in tags if tag in needed}) == of_wanted(tags)


def test_the_sources_of_one_metric_are_few_and_leave_out_the_others() -> None:
    needed = sources(["reward"])
    assert "monitor/r" in needed
    assert "env_runners/episode_return_mean" in needed
    assert "train/value_loss" not in needed


def test_the_sources_hold_for_tags_of_ray_tunes_event_files() -> None:
    needed = sources(["entropy"])
    assert "ray/tune/learners/any_module/entropy" in needed
    assert "ray/tune/num_env_steps_sampled_lifetime" in needed
    assert "ray/tune/info/num_env_steps_trained" not in needed


def test_a_tag_may_be_asked_for_by_its_own_name() -> None:
    assert "my/tag" in sources(["my/tag"])
    assert "monitor/r" in sources(["rollout/ep_rew_mean"]), "it decides who is the reward"


def test_the_page_of_formats_holds_the_table_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run python -m tarslab.runs.vocabulary_page docs/formats.md"
    for word in VOCABULARY:
        assert f"`{word.tag}`" in page


def test_the_page_of_formats_lists_them_in_order_of_trust() -> None:
    listed = re.findall(r"^\| `(\w+)`: ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [format.NAME for format in FORMATS]


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        with_table("# Formats\n")
