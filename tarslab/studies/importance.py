"""How much each hyperparameter matters, by Optuna's evaluators, with bootstrap intervals."""

import copy
import logging
import warnings
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import optuna
import pandas as pd
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tarslab.errors import BadArgument, NoTrials
from tarslab.studies.study import Method

FEWEST_TRIALS = 2


def importances(
    trials: Sequence[FrozenTrial],
    directions: Sequence[str],
    objective: int,
    method: Method,
    *,
    bootstrap: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """``Study.importance`` of these trials."""
    if method not in get_args(Method):
        raise BadArgument(f"method must be one of {', '.join(get_args(Method))}, not {method!r}")
    if bootstrap < 0 or bootstrap != int(bootstrap):
        raise BadArgument(f"bootstrap must be a whole number of at least 0, not {bootstrap!r}")
    if not 0 < confidence < 1:
        raise BadArgument(f"confidence must be between 0 and 1, not {confidence!r}")
    complete = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE and np.isfinite(trial.values[objective])
    ]
    if len(complete) < FEWEST_TRIALS:
        raise NoTrials(
            f"importances need at least {FEWEST_TRIALS} complete trials with finite values, "
            f"there are {len(complete)}"
        )
    if method == "fanova" and len({trial.values[objective] for trial in complete}) == 1:
        raise NoTrials(
            "fanova explains how the values vary, and those of all "
            f"{len(complete)} complete trials are the same"
        )
    evaluator = _Evaluator(complete, directions, objective, method, seed)
    found = evaluator(complete)
    if not found:
        raise NoTrials(
            f"{method} can judge no hyperparameter: none varies among the complete trials"
            f"{'' if method == 'ped-anova' else ' and is in all of them with one range'}"
        )
    table = pd.DataFrame({"parameter": [*found], "importance": [*found.values()]})
    drawn = evaluator.resampled(complete, [*found], int(bootstrap))
    tails = (1 - confidence) / 2
    if len(drawn):
        low, high = np.nanquantile(drawn, (tails, 1 - tails), axis=0)
    else:
        low = high = np.full(len(table), np.nan)
    table = table.assign(low=low, high=high)
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


class _Evaluator:
    """Optuna's importances of any choice of trials."""

    def __init__(
        self,
        trials: Sequence[FrozenTrial],
        directions: Sequence[str],
        objective: int,
        method: Method,
        seed: int,
    ) -> None:
        self._objective = objective
        self._method = method
        self._seed = seed
        # The evaluators ask a study for its trials and its direction. One objective alone, since
        # PED-ANOVA looks for small targets whatever the direction of one among several is.
        self._study = _empty_study(directions[objective])
        self._names = self._varying(trials)

    def __call__(self, trials: Sequence[FrozenTrial]) -> dict[str, float]:
        """The importance of each parameter, summing to 1."""
        held = set().union(*(trial.params for trial in trials))
        names = [name for name in self._names if name in held]
        if not names:
            return {}
        study: Any = copy.copy(self._study)
        chosen = [_of_one_objective(trial, self._objective) for trial in trials]
        study.get_trials = lambda deepcopy=True, states=None: chosen
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return get_param_importances(study, evaluator=self._evaluator(), params=names)

    def resampled(
        self, trials: Sequence[FrozenTrial], names: Sequence[str], times: int
    ) -> "np.ndarray[Any, Any]":
        """The importances of trials drawn with replacement, shape (times, parameters)."""
        from tqdm.auto import tqdm

        random = np.random.default_rng(self._seed)
        rows = []
        for _ in tqdm(range(times), desc="Resampling trials", delay=2, leave=False):
            places = random.integers(len(trials), size=len(trials))
            try:
                found = self([trials[place] for place in places])
            except RuntimeError:
                # fANOVA has nothing to explain where all that were drawn have one value.
                continue
            rows.append([found.get(name, 0.0) for name in names])
        return np.array(rows).reshape(-1, len(names))

    def _varying(self, trials: Sequence[FrozenTrial]) -> list[str]:
        """The parameters that can be judged, sorted, which Optuna's MDI takes for granted."""
        seen: dict[str, set[Any]] = {}
        for trial in trials:
            for name, value in trial.params.items():
                representation = trial.distributions[name].to_internal_repr(value)
                seen.setdefault(name, set()).add(representation)
        names = sorted(name for name, values in seen.items() if len(values) > 1)
        if self._method == "ped-anova":
            # Optuna's takes a distribution for a key, which one with lists for choices cannot be.
            return [name for name in names if not _has_lists(trials, name)]
        first = trials[0].distributions
        return [
            name
            for name in names
            if all(trial.distributions.get(name) == first.get(name) for trial in trials)
        ]

    def _evaluator(self) -> BaseImportanceEvaluator:
        if self._method == "fanova":
            return FanovaImportanceEvaluator(seed=self._seed)
        if self._method == "mdi":
            return MeanDecreaseImpurityImportanceEvaluator(seed=self._seed)
        return PedAnovaImportanceEvaluator()


def _has_lists(trials: Sequence[FrozenTrial], name: str) -> bool:
    choices = (getattr(t.distributions.get(name), "choices", ()) for t in trials)
    return any(isinstance(choice, list | dict) for of_trial in choices for choice in of_trial)


def _empty_study(direction: str) -> optuna.Study:
    storage = optuna.storages.InMemoryStorage()
    logger = logging.getLogger("optuna.storages._in_memory")
    level = logger.level
    # Its making is nobody's news.
    logger.setLevel(logging.WARNING)
    try:
        storage.create_new_study([StudyDirection[direction.upper()]], "importance")
    finally:
        logger.setLevel(level)
    return optuna.Study("importance", storage)


def _of_one_objective(trial: FrozenTrial, objective: int) -> FrozenTrial:
    if len(trial.values) == 1:
        return trial
    one = copy.copy(trial)
    one.values = [trial.values[objective]]
    return one
