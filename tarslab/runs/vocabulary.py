"""The metric vocabulary: which trainers' tags mean which canonical metric.

A tag outside the vocabulary keeps its own name. Where the meaning of a tag depends on the
algorithm (stable-baselines3 logs ``train/loss`` for DQN's TD loss and for PPO's total loss), the
other tags of the run decide, and where they do not, the tag keeps its own name too.
"""

from collections.abc import Collection
from typing import NamedTuple

LOSSES = ("value_loss", "policy_loss", "td_loss", "critic_loss", "actor_loss", "total_loss")
EXPLORATION = ("epsilon", "temperature", "noise_std", "exploration_rate")
CANONICAL = (
    "reward",
    "eval_reward",
    "episode_length",
    *LOSSES,
    "entropy",
    *EXPLORATION,
    "nash_gap",
    "exploitability",
    "learning_rate",
    "fps",
)


class Word(NamedTuple):
    """One tag of one trainer."""

    metric: str
    source: str
    tag: str
    sign: float = 1.0
    """-1 where the source logs the negated quantity."""
    beside: str | None = None
    """A tag that the run must also hold for this meaning."""


SB3, CLEANRL, OPENSPIEL = "stable-baselines3", "CleanRL", "OpenSpiel"
RECIPE = "the callback in data/recipes"

# Tags whose every point is one episode; other rewards are means over several.
PER_EPISODE = frozenset({"monitor/r", "charts/episodic_return"})

# Of two tags of one metric in the same run, the earlier gets the canonical name.
VOCABULARY: tuple[Word, ...] = (
    Word("reward", SB3, "monitor/r"),
    Word("reward", SB3, "rollout/ep_rew_mean"),
    Word("reward", CLEANRL, "charts/episodic_return"),
    Word("eval_reward", SB3, "eval/mean_reward"),
    Word("eval_reward", CLEANRL, "eval/episodic_return"),
    Word("episode_length", SB3, "monitor/l"),
    Word("episode_length", SB3, "rollout/ep_len_mean"),
    Word("episode_length", CLEANRL, "charts/episodic_length"),
    Word("value_loss", SB3, "train/value_loss"),
    Word("value_loss", CLEANRL, "losses/value_loss"),
    Word("policy_loss", SB3, "train/policy_gradient_loss"),
    Word("policy_loss", SB3, "train/policy_loss"),
    Word("policy_loss", CLEANRL, "losses/policy_loss"),
    Word("td_loss", SB3, "train/loss", beside="rollout/exploration_rate"),
    Word("td_loss", CLEANRL, "losses/td_loss"),
    Word("critic_loss", SB3, "train/critic_loss"),
    Word("critic_loss", CLEANRL, "losses/qf_loss"),
    Word("critic_loss", CLEANRL, "losses/qf1_loss"),
    Word("actor_loss", SB3, "train/actor_loss"),
    Word("actor_loss", CLEANRL, "losses/actor_loss"),
    Word("total_loss", SB3, "train/loss", beside="train/policy_gradient_loss"),
    Word("total_loss", CLEANRL, "losses/loss"),
    Word("entropy", SB3, "train/entropy_loss", sign=-1.0),
    Word("entropy", CLEANRL, "losses/entropy"),
    Word("epsilon", SB3, "rollout/exploration_rate"),
    Word("epsilon", CLEANRL, "charts/epsilon"),
    Word("temperature", SB3, "train/ent_coef"),
    Word("temperature", CLEANRL, "losses/alpha"),
    Word("noise_std", RECIPE, "rollout/noise_std"),
    Word("nash_gap", OPENSPIEL, "nash_conv"),
    Word("exploitability", OPENSPIEL, "exploitability"),
    Word("learning_rate", SB3, "train/learning_rate"),
    Word("learning_rate", CLEANRL, "charts/learning_rate"),
    Word("fps", SB3, "time/fps"),
    Word("fps", CLEANRL, "charts/SPS"),
)


def translate(tags: Collection[str]) -> dict[str, tuple[str, float]]:
    """The name and sign of every tag of one run: canonical where known, else the tag itself.

    No two tags get one name: ``tags`` in order of trust, of two tags of one metric the one that
    comes first in the vocabulary is canonical. A tag that is itself a canonical name keeps it.
    """
    present = set(tags)
    named = {tag: (tag, 1.0) for tag in tags}
    taken = present & set(CANONICAL)
    for word in VOCABULARY:
        if word.tag not in present or word.metric in taken - {word.tag}:
            continue
        if word.beside is None or word.beside in present:
            named[word.tag] = (word.metric, word.sign)
            taken.add(word.metric)
    return named
