"""The metric vocabulary: which trainers' tags mean which canonical metric.

A tag outside the vocabulary keeps its own name. Where the meaning of a tag depends on the
algorithm (stable-baselines3 logs ``train/loss`` for DQN's TD loss and for PPO's total loss), the
other tags of the run decide, and where they do not, the tag keeps its own name too.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
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

MODULE = "<module>"
# RLlib puts what it has of all its modules together under this name.
NO_MODULE = "__all_modules__"


# Ray Tune writes this before every tag of its event files, and the environment steps as a metric.
RAY_PREFIX = "ray/tune/"
RAY_STEPS = ("num_env_steps_sampled_lifetime", "env_runners/num_env_steps_sampled_lifetime")


class Word(NamedTuple):
    """One tag of one trainer."""

    metric: str
    source: str
    tag: str
    """``<module>`` stands for any one part of the path: RLlib's name of a module or policy. Where
    several match, none of them is the run's, and each keeps its own name."""
    sign: float = 1.0
    """-1 where the source logs the negated quantity."""
    beside: str | None = None
    """A tag that the run must also hold for this meaning, with the same ``<module>``."""
    note: str = ""
    """What a reader of the table should know."""


SB3, CLEANRL, TORCHRL, OPENSPIEL = "stable-baselines3", "CleanRL", "TorchRL examples", "OpenSpiel"
RLLIB, RLLIB_OLD = "RLlib, new stack", "RLlib, old stack"
TIANSHOU, TIANSHOU_OLD = "Tianshou 2", "Tianshou 0.5"
RECIPE = "tarslab's callback in data/recipes"
SOURCES = (SB3, CLEANRL, RLLIB, RLLIB_OLD, TIANSHOU, TIANSHOU_OLD, TORCHRL, OPENSPIEL, RECIPE)

NEW = f"learners/{MODULE}"
STATS = f"info/learner/{MODULE}/learner_stats"
# Releases before 1.3 had no learner_stats.
PLAIN = f"info/learner/{MODULE}"

# Tags whose every point is one episode; other rewards are means over several.
PER_EPISODE = frozenset({"monitor/r", "charts/episodic_return"})

# Where each source says how far the training has come, in environment steps.
STEPS: tuple[tuple[str, str], ...] = (
    (SB3, "time/total_timesteps"),
    (CLEANRL, "global_step"),
    (RLLIB, "num_env_steps_sampled_lifetime"),
    (RLLIB_OLD, "timesteps_total"),
    (TIANSHOU, "training/env_step"),
    (TIANSHOU_OLD, "train/env_step"),
)

# Of two words that fit in one run, the earlier is believed: the first tag of a metric gets the
# canonical name, and the first meaning of a tag is its meaning.
VOCABULARY: tuple[Word, ...] = (
    Word("reward", SB3, "monitor/r"),
    Word("reward", SB3, "rollout/ep_rew_mean"),
    Word("reward", CLEANRL, "charts/episodic_return"),
    Word("reward", RLLIB, "env_runners/episode_return_mean"),
    Word("reward", RLLIB_OLD, "env_runners/episode_reward_mean"),
    Word("reward", RLLIB_OLD, "episode_reward_mean"),
    Word("reward", RLLIB_OLD, "sampler_results/episode_reward_mean"),
    Word("reward", TIANSHOU, "training/returns_stat/mean"),
    Word("reward", TIANSHOU, "train/returns_stat/mean", note="Tianshou 1"),
    Word("reward", TIANSHOU_OLD, "train/reward"),
    Word("reward", TORCHRL, "train/reward"),
    Word("reward", TORCHRL, "train/episode_reward"),
    Word("reward", TORCHRL, "training/reward"),
    Word("eval_reward", SB3, "eval/mean_reward"),
    Word("eval_reward", CLEANRL, "eval/episodic_return"),
    Word("eval_reward", RLLIB, "evaluation/env_runners/episode_return_mean"),
    Word("eval_reward", RLLIB_OLD, "evaluation/env_runners/episode_reward_mean"),
    Word("eval_reward", RLLIB_OLD, "evaluation/episode_reward_mean"),
    Word("eval_reward", RLLIB_OLD, "evaluation/sampler_results/episode_reward_mean"),
    Word("eval_reward", TIANSHOU, "test/returns_stat/mean"),
    Word("eval_reward", TIANSHOU_OLD, "test/reward"),
    Word("eval_reward", TORCHRL, "eval/reward"),
    Word("eval_reward", TORCHRL, "evaluation/reward"),
    Word("episode_length", SB3, "monitor/l"),
    Word("episode_length", SB3, "rollout/ep_len_mean"),
    Word("episode_length", CLEANRL, "charts/episodic_length"),
    Word("episode_length", RLLIB, "env_runners/episode_len_mean"),
    Word("episode_length", RLLIB_OLD, "episode_len_mean"),
    Word("episode_length", RLLIB_OLD, "sampler_results/episode_len_mean"),
    Word("episode_length", TIANSHOU, "training/lens_stat/mean"),
    Word("episode_length", TIANSHOU, "train/lens_stat/mean", note="Tianshou 1"),
    Word("episode_length", TIANSHOU_OLD, "train/length"),
    Word("episode_length", TORCHRL, "train/episode_length"),
    Word("episode_length", TORCHRL, "training/episode_length"),
    Word("value_loss", SB3, "train/value_loss"),
    Word("value_loss", CLEANRL, "losses/value_loss", note="0.5 × MSE"),
    Word("value_loss", RLLIB, f"{NEW}/vf_loss", note="clipped"),
    Word("value_loss", RLLIB, f"{NEW}/vf_loss_unclipped"),
    Word("value_loss", RLLIB_OLD, f"{STATS}/vf_loss"),
    Word("value_loss", RLLIB_OLD, f"{PLAIN}/vf_loss"),
    Word("value_loss", TIANSHOU, "update/vf_loss/mean"),
    Word("value_loss", TIANSHOU_OLD, "update/loss/vf"),
    Word("value_loss", TORCHRL, "train/loss_critic"),
    Word("value_loss", TORCHRL, "training/loss_critic"),
    # RLlib's SAC logs its actor and critic under the names of PPO and DQN.
    Word("actor_loss", RLLIB, f"{NEW}/policy_loss", beside=f"{NEW}/alpha_value"),
    Word("critic_loss", RLLIB, f"{NEW}/qf_loss", beside=f"{NEW}/alpha_value"),
    Word("policy_loss", SB3, "train/policy_gradient_loss"),
    Word("policy_loss", SB3, "train/policy_loss"),
    Word("policy_loss", CLEANRL, "losses/policy_loss"),
    Word("policy_loss", RLLIB, f"{NEW}/policy_loss"),
    Word("policy_loss", RLLIB_OLD, f"{STATS}/policy_loss"),
    Word("policy_loss", RLLIB_OLD, f"{PLAIN}/policy_loss"),
    Word("policy_loss", TIANSHOU, "update/actor_loss/mean"),
    Word("policy_loss", TIANSHOU_OLD, "update/loss/clip"),
    Word("policy_loss", TIANSHOU_OLD, "update/loss/actor", beside="update/loss/vf"),
    Word("policy_loss", TORCHRL, "train/loss_objective"),
    Word("policy_loss", TORCHRL, "training/loss_objective"),
    # TorchRL's examples of SAC and DDPG call the loss of their critic as that of DQN.
    Word("critic_loss", TORCHRL, "train/q_loss", beside="train/actor_loss"),
    Word("critic_loss", TORCHRL, "train/q_loss", beside="train/a_loss"),
    Word("td_loss", SB3, "train/loss", beside="rollout/exploration_rate", note="Huber"),
    Word("td_loss", CLEANRL, "losses/td_loss", note="MSE"),
    Word("td_loss", RLLIB, f"{NEW}/qf_loss"),
    Word("td_loss", TIANSHOU, "update/loss", beside="training/returns_stat/mean"),
    Word("td_loss", TIANSHOU, "update/loss", beside="train/returns_stat/mean", note="Tianshou 1"),
    Word("td_loss", TIANSHOU_OLD, "update/loss", beside="train/eps"),
    Word("td_loss", TORCHRL, "train/q_loss"),
    Word("critic_loss", SB3, "train/critic_loss"),
    Word("critic_loss", CLEANRL, "losses/qf_loss"),
    Word("critic_loss", CLEANRL, "losses/qf1_loss"),
    Word("critic_loss", RLLIB_OLD, f"{STATS}/critic_loss"),
    Word("critic_loss", RLLIB_OLD, f"{PLAIN}/critic_loss"),
    Word("critic_loss", TIANSHOU, "update/critic_loss"),
    Word("critic_loss", TIANSHOU, "update/critic1_loss"),
    Word("critic_loss", TIANSHOU_OLD, "update/loss/critic"),
    Word("critic_loss", TIANSHOU_OLD, "update/loss/critic1"),
    Word("critic_loss", TORCHRL, "train/loss_value"),
    Word("actor_loss", SB3, "train/actor_loss"),
    Word("actor_loss", CLEANRL, "losses/actor_loss"),
    Word("actor_loss", RLLIB_OLD, f"{STATS}/actor_loss"),
    Word("actor_loss", RLLIB_OLD, f"{PLAIN}/actor_loss"),
    Word("actor_loss", TIANSHOU, "update/actor_loss"),
    Word("actor_loss", TIANSHOU_OLD, "update/loss/actor", beside="update/loss/critic"),
    Word("actor_loss", TIANSHOU_OLD, "update/loss/actor", beside="update/loss/critic1"),
    Word("actor_loss", TORCHRL, "train/loss_actor"),
    Word("actor_loss", TORCHRL, "train/actor_loss"),
    Word("actor_loss", TORCHRL, "train/a_loss"),
    Word("total_loss", SB3, "train/loss", beside="train/policy_gradient_loss"),
    Word("total_loss", CLEANRL, "losses/loss", note="C51"),
    Word("total_loss", RLLIB, f"{NEW}/total_loss"),
    Word("total_loss", RLLIB_OLD, f"{STATS}/total_loss"),
    Word("total_loss", RLLIB_OLD, f"{PLAIN}/total_loss"),
    Word("total_loss", TIANSHOU, "update/loss/mean"),
    Word("total_loss", TIANSHOU_OLD, "update/loss", beside="update/loss/vf"),
    Word("entropy", SB3, "train/entropy_loss", sign=-1.0),
    Word("entropy", CLEANRL, "losses/entropy"),
    Word("entropy", RLLIB, f"{NEW}/entropy"),
    Word("entropy", RLLIB_OLD, f"{STATS}/entropy"),
    Word("entropy", RLLIB_OLD, f"{PLAIN}/entropy"),
    Word("entropy", RLLIB_OLD, f"{STATS}/policy_entropy", note="sum over the batch"),
    Word("entropy", RLLIB_OLD, f"{PLAIN}/policy_entropy", note="sum over the batch"),
    Word("entropy", TIANSHOU, "update/ent_loss/mean"),
    Word("entropy", TIANSHOU_OLD, "update/loss/ent"),
    Word("entropy", TORCHRL, "train/entropy"),
    Word("entropy", TORCHRL, "training/entropy"),
    Word("epsilon", SB3, "rollout/exploration_rate"),
    Word("epsilon", CLEANRL, "charts/epsilon"),
    Word("epsilon", RLLIB_OLD, "info/exploration_infos/0/cur_epsilon"),
    Word("epsilon", TIANSHOU_OLD, "train/eps", note="as its Atari examples log it"),
    Word("epsilon", TORCHRL, "train/epsilon"),
    Word("temperature", SB3, "train/ent_coef"),
    Word("temperature", CLEANRL, "losses/alpha"),
    Word("temperature", RLLIB, f"{NEW}/alpha_value"),
    Word("temperature", RLLIB_OLD, f"{STATS}/alpha_value"),
    Word("temperature", RLLIB_OLD, f"{PLAIN}/alpha_value"),
    Word("temperature", TIANSHOU, "update/alpha"),
    Word("temperature", TIANSHOU_OLD, "update/alpha"),
    Word("temperature", TORCHRL, "train/alpha"),
    Word("noise_std", RECIPE, "rollout/noise_std"),
    Word(
        "noise_std",
        RLLIB_OLD,
        "info/exploration_infos/0/cur_scale",
        note="the factor on the noise's own deviation",
    ),
    Word("nash_gap", OPENSPIEL, "nash_conv"),
    Word("exploitability", OPENSPIEL, "exploitability"),
    Word("learning_rate", SB3, "train/learning_rate"),
    Word("learning_rate", CLEANRL, "charts/learning_rate"),
    Word("learning_rate", RLLIB, f"{NEW}/default_optimizer_learning_rate"),
    Word("learning_rate", RLLIB_OLD, f"{STATS}/cur_lr"),
    Word("learning_rate", RLLIB_OLD, f"{PLAIN}/cur_lr"),
    Word("learning_rate", TORCHRL, "train/lr"),
    Word("learning_rate", TORCHRL, "training/lr"),
    Word("fps", SB3, "time/fps"),
    Word("fps", CLEANRL, "charts/SPS"),
    Word(
        "fps",
        RLLIB,
        "env_runners/num_env_steps_sampled_lifetime_throughput/throughput_since_last_reduce",
    ),
    Word("fps", RLLIB, "env_runners/num_env_steps_sampled_lifetime_throughput"),
    Word("fps", RLLIB_OLD, "num_env_steps_sampled_throughput_per_sec"),
    Word("fps", TIANSHOU, "training/collect_speed"),
    Word("fps", TIANSHOU, "train/collect_speed", note="Tianshou 1"),
    Word("fps", TORCHRL, "time/speed"),
    Word("fps", TORCHRL, "timing/speed"),
)


def translate(tags: Collection[str]) -> dict[str, tuple[str, float]]:
    """The name and sign of every tag of one run: canonical where known, else the tag itself.

    No two tags get one name: of two tags of one metric the one that comes first in the vocabulary
    is canonical. A tag that is itself a canonical name keeps it.
    """
    known = _canonical(frozenset(tags))
    return {tag: known.get(tag, (tag, 1.0)) for tag in tags}


@lru_cache(maxsize=4096)
def metric_order(metric: str) -> tuple[int, str]:
    """What tables sort metrics by: the canonical ones come first."""
    return (CANONICAL.index(metric) if metric in CANONICAL else len(CANONICAL), metric)


class Sources(Collection[str]):
    """The tags that a reader must keep: ``tag in sources``, with Ray Tune's prefix or without.

    Iterates over the tags as the vocabulary has them, some with ``<module>`` for any one part of
    the path.
    """

    def __init__(self, tags: Iterable[str]) -> None:
        self.tags = frozenset(tags)
        self._patterns: dict[str, list[str]] = defaultdict(list)
        for tag in self.tags:
            if MODULE in tag:
                self._patterns[_last(tag)].append(tag)

    def __contains__(self, tag: object) -> bool:
        if tag in self.tags:
            return True
        if not isinstance(tag, str):
            return False
        if tag.startswith(RAY_PREFIX):
            tag = tag.removeprefix(RAY_PREFIX)
            return tag in self or tag in RAY_STEPS
        return any(_module(tag, pattern) for pattern in self._patterns.get(_last(tag), ()))

    def __iter__(self) -> Iterator[str]:
        return iter(self.tags)

    def __len__(self) -> int:
        return len(self.tags)


def sources(metrics: Iterable[str]) -> Sources:
    """The tags from which ``translate`` makes these metrics as it makes them from all tags.

    ``metrics`` are canonical names or tags of their own. The answer holds all tags that mean one of
    them, those beside which they do, and those that could take a name or a tag from them.
    """
    asked = set(metrics)
    reached = asked & set(CANONICAL)
    reached |= {word.metric for word in VOCABULARY if any(_fits(tag, word.tag) for tag in asked)}
    size = 0
    while size < len(reached):
        size = len(reached)
        shared = {word.tag for word in VOCABULARY if word.metric in reached}
        reached |= {word.metric for word in VOCABULARY if word.tag in shared}
    words = [word for word in VOCABULARY if word.metric in reached]
    beside = {word.beside for word in words if word.beside is not None}
    return Sources(asked | reached | beside | {word.tag for word in words})


@lru_cache(maxsize=256)
def _canonical(present: frozenset[str]) -> dict[str, tuple[str, float]]:
    """The tags that are canonical in a run that holds these; runs of one experiment mostly hold
    the same, and each set is worked out once."""
    by_last: dict[str, list[str]] = defaultdict(list)
    for tag in present:
        by_last[_last(tag)].append(tag)
    named: dict[str, tuple[str, float]] = {tag: (tag, 1.0) for tag in present & set(CANONICAL)}
    taken = set(named)
    for word in VOCABULARY:
        if word.metric in taken:
            continue
        match, beside = _only_match(word, present, by_last)
        if match is None or match in named or (beside is not None and beside not in present):
            continue
        named[match] = (word.metric, word.sign)
        taken.add(word.metric)
    return named


def _only_match(
    word: Word, present: frozenset[str], by_last: dict[str, list[str]]
) -> tuple[str | None, str | None]:
    """The one tag of a run that the word stands for, and what must stand beside it."""
    if MODULE not in word.tag:
        return (word.tag if word.tag in present else None), word.beside
    modules = [module for tag in by_last[_last(word.tag)] if (module := _module(tag, word.tag))]
    if len(modules) != 1:
        return None, None
    beside = None if word.beside is None else word.beside.replace(MODULE, modules[0])
    return word.tag.replace(MODULE, modules[0]), beside


def _fits(tag: str, pattern: str) -> bool:
    return tag == pattern or (MODULE in pattern and _module(tag, pattern) is not None)


def _module(tag: str, pattern: str) -> str | None:
    """What stands in a tag where the pattern has ``<module>``."""
    before, _, after = pattern.partition(MODULE)
    if not tag.startswith(before) or not tag.endswith(after):
        return None
    module = tag[len(before) : len(tag) - len(after)]
    return module if module and "/" not in module and module != NO_MODULE else None


def _last(tag: str) -> str:
    return tag.rpartition("/")[2]
