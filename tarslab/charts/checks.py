"""The checks of ``run_health``: the log of one run in, findings in words out.

What counts as a finding is decided in ``tarslab.stats.health``.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tarslab.runs import Series
from tarslab.stats import health
from tarslab.stats.health import Stretch

Log = dict[str, Series]
"""The series of a run by metric."""

# Metrics outside the vocabulary, by the last part of the tags that trainers give them.
ENTROPIES = ("entropy",)
CLIP_FRACTIONS = ("clip_fraction", "clipfrac")
EXPLAINED_VARIANCES = ("explained_variance", "vf_explained_var")
# stable-baselines3's, of Gaussian actions.
STD = "train/std"
# Metrics of episodes are NaN wherever no episode has ended since the point before.
OF_EPISODES = ("reward", "return", "episode", "ep_rew", "ep_len")


class Finding(NamedTuple):
    """What one metric shows, between two steps."""

    metric: str
    start: int
    end: int
    sentence: str


class Result(NamedTuple):
    """What a check came to."""

    findings: list[Finding]
    sentence: str
    checked: bool = True


def check_finite(log: Log) -> Result:
    """NaN and infinite values."""
    findings = []
    for metric, series in log.items():
        for stretch in _bad_stretches(metric, series):
            bad = np.count_nonzero(~np.isfinite(_within(series, stretch)))
            seen = f"{metric} is NaN or infinite at {bad:,} of its {series.points:,} points"
            if _of_episodes(metric):
                mend = ": either no episode ended, or the environment returned it."
            elif stretch.end == series.step[-1]:
                mend = (
                    ", to the end. Weights that are NaN stay so: people go back to the last good "
                    "checkpoint, lower the learning rate and clip gradients."
                )
            else:
                mend = (
                    ", and finite again later. People look at the rewards and observations of "
                    "these steps, and clip gradients."
                )
            findings.append(Finding(metric, *stretch, seen + mend))
    if findings:
        names = list(dict.fromkeys(found.metric for found in findings))
        return Result(findings, f"NaN or infinite: {', '.join(names)}.")
    return Result([], f"All points of {len(log)} metrics are finite where they should be.")


def check_restarts(log: Log) -> Result:
    """Steps trained twice, and pauses, by the clock."""
    timed = [(name, one) for name, one in log.items() if np.isfinite(one.wall_time).sum() > 1]
    if not timed:
        return _unchecked("no wall times are logged")
    timed.sort(key=lambda item: item[1].points, reverse=True)
    metric, series = timed[0]
    findings = [
        Finding(
            metric,
            pause.start,
            pause.end,
            f"{_duration(pause.seconds)} passed here, more than ten times as long as usual: the "
            "training stood still, or was resumed from before and load(restarts='last') dropped "
            "the steps that it repeated. load(restarts='all') shows which.",
        )
        for pause in health.pauses(series.step, series.wall_time)
    ]
    for metric, series in timed:
        # One metric is enough: a pass repeats all of them.
        if twice := health.trained_twice(series.step, series.wall_time):
            sentence = (
                "The clock goes back as steps go on: these steps were trained twice, as after a "
                "resumed training. People compare one pass only: load(restarts='last') keeps the "
                "later."
            )
            findings += [Finding(metric, *stretch, sentence) for stretch in twice]
            break
    return _result(
        findings,
        "The clock never goes back and never stands still. Steps that load(restarts='last'), the "
        "default, dropped as repeated cannot be seen.",
    )


def check_entropy(log: Log) -> Result:
    """Collapse of the entropy, or of the standard deviation of continuous actions."""

    def find(metric: str, series: Series) -> list[Finding] | str:
        if metric == STD:
            stretches = health.std_collapse(series.step, series.value)
            seen = "The actions' standard deviation is 5 % of where it began or less"
        else:
            level = health.collapse_level(series.value)
            if np.isnan(level):
                return (
                    f"{metric} falls below 0, where a share of it means nothing, and did not "
                    "begin at that of unit Gaussians; the actions' standard deviation would tell"
                )
            stretches = health.entropy_collapse(series.step, series.value)
            seen = f"The policy's entropy is {level:.2g} nats or less"
        return [
            Finding(
                metric,
                *stretch,
                f"{seen}: it hardly explores{_returns(log, stretch)}. Unless the task is solved, "
                "people raise the entropy coefficient or lower the learning rate.",
            )
            for stretch in stretches
        ]

    metrics = [STD] if STD in log else _named(log, ENTROPIES)
    return _check_each(log, metrics, find, "no entropy is logged (DQN and DDPG have none)")


def check_clipping(log: Log) -> Result:
    """PPO's clip fraction."""

    def find(metric: str, series: Series) -> list[Finding]:
        return [
            Finding(
                metric,
                *stretch,
                f"PPO clips {np.nanmedian(_within(series, stretch)):.0%} of the samples (median): "
                "the policy changes too much at once. People lower the learning rate or the "
                "number of epochs, or stop epochs at a target KL.",
            )
            for stretch in health.heavy_clipping(series.step, series.value)
        ]

    metrics = _named(log, CLIP_FRACTIONS)
    return _check_each(log, metrics, find, "no clip fraction is logged (only PPO has one)")


def check_value_function(log: Log) -> Result:
    """The explained variance of the value function."""
    metrics = _named(log, EXPLAINED_VARIANCES)
    # Of several agents the losses have names of their own.
    value_loss = log.get("value_loss") if len(metrics) == 1 else None

    def find(metric: str, series: Series) -> list[Finding]:
        losses = None if value_loss is None else _at(series.step, value_loss)
        unless = ", if these vary here (no value loss is logged)" if losses is None else ""
        return [
            Finding(
                metric,
                *stretch,
                f"The explained variance is {np.nanmedian(_within(series, stretch)):.2g} "
                f"(median): the mean of the returns would predict them better{unless}. People "
                "normalise returns, raise the value coefficient, and check how episodes end.",
            )
            for stretch in health.unexplained(series.step, series.value, losses)
        ]

    why = "no explained variance is logged (only methods with a value function have one)"
    return _check_each(log, metrics, find, why)


CHECKS: dict[str, Callable[[Log], Result]] = {
    "non_finite": check_finite,
    "restart": check_restarts,
    "entropy_collapse": check_entropy,
    "heavy_clipping": check_clipping,
    "unexplained": check_value_function,
}


def _check_each(
    log: Log,
    metrics: Iterable[str],
    find: Callable[[str, Series], list[Finding] | str],
    why_none: str,
) -> Result:
    """All metrics through ``find``, which gives its findings, or why it cannot tell."""
    findings, clear, unchecked = [], [], []
    for metric in metrics:
        points = int(np.isfinite(log[metric].value).sum())
        if points < health.FEWEST:
            found: list[Finding] | str = f"{metric} has only {points} finite points"
        else:
            found = find(metric, log[metric])
        if isinstance(found, str):
            unchecked.append(found)
        elif found:
            findings += found
        else:
            clear.append(metric)
    if not findings and not clear:
        return _unchecked("; ".join(unchecked) or why_none)
    return _result(findings, f"Nothing found in {', '.join(clear)}.")


def _result(findings: list[Finding], clear: str) -> Result:
    sentences = dict.fromkeys(found.sentence for found in findings)
    return Result(findings, " ".join(sentences) or clear)


def _unchecked(why: str) -> Result:
    return Result([], f"Could not be checked: {why}.", checked=False)


def _bad_stretches(metric: str, series: Series) -> list[Stretch]:
    finite = np.isfinite(series.value)
    if _named([metric], EXPLAINED_VARIANCES):
        # It is 0 / 0 where returns do not vary at all.
        return []
    if not _of_episodes(metric) or not finite.any():
        return health.non_finite(series.step, series.value)
    begun = series.take(slice(int(np.argmax(finite)), None))
    missing = health.sustained(begun.step, np.isnan(begun.value))
    infinite = np.where(np.isnan(series.value), 0.0, series.value)
    return sorted(missing + health.non_finite(series.step, infinite))


def _of_episodes(metric: str) -> bool:
    return any(word in metric for word in OF_EPISODES) and "loss" not in metric


def _named(metrics: Iterable[str], names: tuple[str, ...]) -> list[str]:
    return [metric for metric in metrics if metric.rpartition("/")[2] in names]


def _returns(log: Log, stretch: Stretch) -> str:
    """The mean return in a stretch, and in as many points before it."""
    if "reward" not in log:
        return ""
    series = log["reward"]
    first, end = np.searchsorted(series.step, (stretch.start, stretch.end + 1))
    inside, before = series.value[first:end], series.value[max(0, 2 * first - end) : first]
    inside, before = inside[np.isfinite(inside)], before[np.isfinite(before)]
    if not len(inside):
        return ""
    now = f"; the mean return is {inside.mean():.4g}"
    return f"{now}, before it was {before.mean():.4g}" if len(before) else now


def _within(series: Series, stretch: Stretch) -> Any:
    return series.value[(series.step >= stretch.start) & (series.step <= stretch.end)]


def _at(steps: Any, series: Series) -> Any:
    """The values at these steps, NaN where the series has none."""
    if np.array_equal(steps, series.step):
        return series.value
    places = np.minimum(np.searchsorted(series.step, steps), series.points - 1)
    return np.where(series.step[places] == steps, series.value[places], np.nan)


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 60:.0f} minutes"
