"""Canonical names of metrics."""

from tarslab.runs.vocabulary import CANONICAL, VOCABULARY, translate


def names(*tags: str) -> dict[str, str]:
    return {tag: name for tag, (name, _) in translate(tags).items()}


def test_every_word_means_a_canonical_metric() -> None:
    assert {word.metric for word in VOCABULARY} <= set(CANONICAL)


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


def test_two_tags_of_one_metric_do_not_get_one_name() -> None:
    both = names("rollout/ep_rew_mean", "monitor/r")
    assert both == {"monitor/r": "reward", "rollout/ep_rew_mean": "rollout/ep_rew_mean"}


def test_columns_that_are_called_as_those_of_monitor_csv_are_not_taken_for_them() -> None:
    assert names("r", "l") == {"r": "r", "l": "l"}


def test_a_tag_that_is_a_canonical_name_already_is_left_to_it() -> None:
    assert names("reward", "rollout/ep_rew_mean")["rollout/ep_rew_mean"] == "rollout/ep_rew_mean"
