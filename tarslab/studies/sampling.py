"""Samplers and pruners by name; a sampler's draws do not depend on when they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from tarslab.errors import BadArgument

T = TypeVar("T")


def sampler_of(name: str, seed: int, place: int) -> BaseSampler:
    """The sampler of one trial: of the ``place``-th that counts in a study searched by ``seed``.

    A search goes on after an interruption as it would have done without, and no two workers draw
    the same.
    """
    return _Streams(_named("sampler", name, SAMPLERS), seed, place)


def pruner_of(name: str) -> BasePruner:
    """The pruner of this name."""
    return _named("pruner", name, PRUNERS)()


class _Streams(BaseSampler):
    """Another sampler, with a stream of random numbers for each hyperparameter.

    What is drawn for one is then the same whether those before it were drawn too or stood fixed, as
    they do in a trial that was cut off between two of them and is tried again.
    """

    def __init__(self, make: Callable[[int, int], BaseSampler], seed: int, place: int) -> None:
        self._make = make
        self._seed = seed
        self._place = place
        self._joint = self._sampler("")

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._joint.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._joint.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        own = self._sampler(param_name)
        return own.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._joint.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._joint.after_trial(study, trial, state, values)

    def _sampler(self, stream: str) -> BaseSampler:
        entropy = [self._seed, self._place, *stream.encode()]
        return self._make(int(np.random.SeedSequence(entropy).generate_state(1)[0]), self._seed)


SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {
    "tpe": lambda own, _: optuna.samplers.TPESampler(seed=own),
    "random": lambda own, _: optuna.samplers.RandomSampler(seed=own),
    "nsgaii": lambda own, _: optuna.samplers.NSGAIISampler(seed=own),
    "cmaes": lambda own, _: _cmaes(own),
    # All trials take their points from one sequence.
    "qmc": lambda own, seed: optuna.samplers.QMCSampler(
        scramble=True, seed=seed, independent_sampler=optuna.samplers.RandomSampler(seed=own)
    ),
}
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "median": optuna.pruners.MedianPruner,
    "percentile": lambda: optuna.pruners.PercentilePruner(25.0),
    "hyperband": optuna.pruners.HyperbandPruner,
    "successive-halving": optuna.pruners.SuccessiveHalvingPruner,
    "none": optuna.pruners.NopPruner,
}


def _cmaes(own: int) -> BaseSampler:
    if find_spec("cmaes") is None:
        raise BadArgument("sampler: cmaes needs the package cmaes: pip install cmaes")
    return optuna.samplers.CmaEsSampler(seed=own)


def _named(argument: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise BadArgument(f"{argument} must be one of {', '.join(known)}, not {name!r}")
    return known[name]
