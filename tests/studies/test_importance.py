"""Importances of hyperparameters, against Optuna's own, and how sure they are."""

import logging
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

import tarslab as tl
from tarslab.errors import BadArgument, NoTrials

EVALUATORS: dict[str, Callable[[], BaseImportanceEvaluator]] = {
    "ped-anova": PedAnovaImportanceEvaluator,
    "fanova": lambda: FanovaImportanceEvaluator(seed=3),
    "mdi": lambda: MeanDecreaseImpurityImportanceEvaluator(seed=3),
}
METHODS = list(EVALUATORS)
Direction = Literal["minimize", "maximize"]


def searched(directions: Sequence[Direction] = ("minimize",), n: int = 40) -> optuna.Study:
    """``strong`` decides nearly all; names come up in no order of the alphabet."""

    def evaluate(trial: optuna.Trial) -> list[float]:
        strong = trial.suggest_float("strong", 0, 1)
        rate = trial.suggest_float("net.rate[0]", 1e-5, 1e-1, log=True)
        kind = trial.suggest_categorical("kind", ["relu", None, 3])
        dummy = trial.suggest_int("dummy", 1, 8)
        main = 10 * strong + (kind == "relu") + 1e-3 * dummy
        return [main, dummy - strong, main * rate][: len(directions)]

    study = optuna.create_study(
        directions=directions, sampler=optuna.samplers.RandomSampler(seed=5)
    )
    study.optimize(evaluate, n)
    return study


@pytest.fixture(scope="module")
def single() -> optuna.Study:
    return searched()


@pytest.fixture(scope="module")
def several() -> optuna.Study:
    return searched(["minimize", "maximize", "minimize"])


def made(trials: Sequence[FrozenTrial]) -> tl.Study:
    study = optuna.create_study()
    study.add_trials(trials)
    return tl.load_study(study)


def trial(value: float, **params: float) -> FrozenTrial:
    space: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in params}
    return create_trial(value=value, params=params, distributions=space)


def by_optuna(study: optuna.Study, method: str, **options: Any) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_param_importances(study, evaluator=EVALUATORS[method](), **options)


def importances(study: Any, method: Any, **options: Any) -> dict[str, float]:
    table = tl.load_study(study).importance(method, bootstrap=0, seed=3, **options)
    return dict(zip(table["parameter"], table["importance"], strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_the_importances_of_one_objective_are_optunas(single: optuna.Study, method: str) -> None:
    expected = by_optuna(single, method)
    found = importances(single, method)
    assert found == pytest.approx(expected, rel=1e-12)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert sum(found.values()) == pytest.approx(1)
    assert next(iter(found)) == "strong"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("objective", [0, 1, 2])
def test_the_importances_of_one_of_several_objectives_are_optunas(
    several: optuna.Study, method: str, objective: int
) -> None:
    # PED-ANOVA takes a low target to be good, and so has to be given the opposite of the second.
    sign = -1 if method == "ped-anova" and objective == 1 else 1
    expected = by_optuna(several, method, target=lambda t: sign * t.values[objective])
    assert importances(several, method, objective=objective) == pytest.approx(expected, rel=1e-12)


def test_an_objective_to_maximize_asks_for_the_highest_values() -> None:
    highest = searched(["maximize"])
    assert importances(highest, "ped-anova") == pytest.approx(by_optuna(highest, "ped-anova"))


@pytest.mark.parametrize(("method", "times"), [("ped-anova", 5), ("fanova", 1), ("mdi", 2)])
def test_the_same_seed_gives_the_same_interval_and_another_seed_another(
    single: optuna.Study, method: Any, times: int
) -> None:
    def intervals(seed: int) -> list[list[float]]:
        table = tl.load_study(single).importance(method, bootstrap=times, seed=seed)
        return table.sort_values("parameter")[["low", "high"]].to_numpy().tolist()

    assert intervals(1) == intervals(1)
    assert intervals(1) != intervals(2)


@pytest.mark.parametrize(("method", "times"), [("ped-anova", 50), ("fanova", 3), ("mdi", 8)])
def test_the_interval_of_a_strong_parameter_lies_above_that_of_a_dummy(
    single: optuna.Study, method: Any, times: int
) -> None:
    table = tl.load_study(single).importance(method, bootstrap=times).set_index("parameter")
    assert (table["low"] <= table["high"]).all()
    assert table["low"].min() >= 0
    assert table["high"].max() <= 1
    assert table["low"]["strong"] > table["high"]["dummy"]


def test_an_interval_is_the_quantiles_of_importances_of_resampled_trials(
    single: optuna.Study,
) -> None:
    table = tl.load_study(single).importance(bootstrap=25, confidence=0.8, seed=7)
    random, complete = np.random.default_rng(7), single.get_trials(deepcopy=False)
    drawn = []
    for _ in range(25):
        study = optuna.create_study()
        study.add_trials([complete[i] for i in random.integers(40, size=40)])
        drawn.append([by_optuna(study, "ped-anova")[name] for name in table["parameter"]])
    low, high = np.quantile(drawn, [0.1, 0.9], axis=0)
    np.testing.assert_allclose(table["low"], low)
    np.testing.assert_allclose(table["high"], high)


def test_a_higher_confidence_is_a_wider_interval(single: optuna.Study) -> None:
    def width(confidence: float) -> float:
        table = tl.load_study(single).importance(bootstrap=40, confidence=confidence)
        return float((table["high"] - table["low"]).sum())

    assert width(0.5) < width(0.9) < width(0.99)


def test_without_bootstrap_there_is_no_interval(single: optuna.Study) -> None:
    table = tl.load_study(single).importance(bootstrap=0)
    assert table[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("method", METHODS)
def test_one_trial_is_too_few(method: Any) -> None:
    study = made([trial(1, x=0.5), trial(float("inf"), x=0.1), create_trial(state=TrialState.FAIL)])
    with pytest.raises(
        NoTrials, match="at least 2 complete trials with finite values, there are 1"
    ):
        study.importance(method)


@pytest.mark.parametrize("method", METHODS)
def test_two_trials_are_enough(method: Any) -> None:
    table = made([trial(1, x=0.1), trial(2, x=0.9)]).importance(method, bootstrap=2)
    assert table["importance"].tolist() == [1]


@pytest.mark.parametrize("method", METHODS)
def test_a_parameter_that_never_varies_is_not_judged(method: Any) -> None:
    trials = [trial(i % 5, x=i / 20, fixed=0.5) for i in range(20)]
    assert made(trials).importance(method, bootstrap=2)["parameter"].tolist() == ["x"]
    with pytest.raises(NoTrials, match=f"{method} can judge no hyperparameter: none varies"):
        made([trial(i, fixed=0.5) for i in range(20)]).importance(method)


def conditional() -> optuna.Study:
    def evaluate(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        return x + (trial.suggest_float("extra", 0, 1) if x > 0.5 else 0)

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    study.optimize(evaluate, 30)
    return study


@pytest.mark.parametrize("method", METHODS)
def test_a_conditional_parameter_is_judged_by_ped_anova_alone(method: str) -> None:
    study = conditional()
    found = importances(study, method)
    assert found == pytest.approx(by_optuna(study, method))
    assert set(found) == ({"x", "extra"} if method == "ped-anova" else {"x"})


def test_a_resample_without_a_rare_parameter_gives_it_no_importance() -> None:
    trials = [trial(i, x=i / 20) for i in range(18)]
    rare = [trial(5, x=0.1, rare=0.2), trial(1, x=0.3, rare=0.4)]
    table = made([*trials, *rare]).importance(bootstrap=100).set_index("parameter")
    assert table["low"]["rare"] == 0
    assert table["high"]["x"] == 1


@pytest.mark.parametrize("method", ["fanova", "mdi"])
def test_a_parameter_whose_range_changed_is_left_out_by_the_forests(method: str) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    for high in (1, 2):

        def evaluate(trial: optuna.Trial, high: int = high) -> float:
            return trial.suggest_float("x", 0, 1) + trial.suggest_float("moved", 0, high)

        study.optimize(evaluate, 10)
    assert importances(study, method) == by_optuna(study, method) == {"x": 1}
    assert set(importances(study, "ped-anova")) == {"x", "moved"}


def test_values_that_are_all_the_same_leave_fanova_nothing_to_explain() -> None:
    study = made([trial(1, x=i / 20) for i in range(20)])
    with pytest.raises(NoTrials, match="those of all 20 complete trials are the same"):
        study.importance("fanova")
    assert study.importance("ped-anova", bootstrap=3)["importance"].tolist() == [1]


def test_resamples_of_one_value_only_are_no_reason_to_stop() -> None:
    study = made([trial(1, x=0.1), trial(1, x=0.5), trial(2, x=0.9)])
    table = study.importance("fanova", bootstrap=8)
    assert table[["importance", "low", "high"]].to_numpy().tolist() == [[1, 1, 1]]


def test_trials_that_are_not_complete_or_not_finite_do_not_count(single: optuna.Study) -> None:
    more = optuna.create_study()
    more.add_trials(single.get_trials())
    space = single.trials[0].distributions
    low = single.trials[0].params | {"strong": 0.0}
    for state, value in (
        (TrialState.PRUNED, -1.0),
        (TrialState.FAIL, None),
        (TrialState.RUNNING, None),
        (TrialState.COMPLETE, float("-inf")),
    ):
        more.add_trial(create_trial(state=state, value=value, params=low, distributions=space))
    assert importances(more, "ped-anova") == importances(single, "ped-anova")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "shap"}, "method must be one of ped-anova, fanova, mdi, not 'shap'"),
        ({"bootstrap": -1}, "bootstrap must be a whole number of at least 0, not -1"),
        ({"bootstrap": 2.5}, "bootstrap must be a whole number"),
        ({"confidence": 1}, "confidence must be between 0 and 1, not 1"),
        ({"confidence": float("nan")}, "confidence must be between 0 and 1"),
        ({"objective": 1}, "objective must be one of 0"),
    ],
)
def test_arguments_out_of_range_are_named(
    single: optuna.Study, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadArgument, match=said):
        tl.load_study(single).importance(**options)


@pytest.mark.parametrize("method", METHODS)
def test_random_state_logging_and_the_trials_are_left_alone(
    single: optuna.Study, method: Any, caplog: pytest.LogCaptureFixture
) -> None:
    study = tl.load_study(single)
    before = [repr(one) for one in study.frozen]
    python = random.getstate()
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(logging.DEBUG):
            study.importance(method, bootstrap=1)
    finally:
        optuna.logging.disable_propagation()
    assert not [record for record in caplog.records if record.name.startswith("optuna")]
    assert optuna.logging.get_verbosity() == verbosity
    assert (
        levels.items()
        <= {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}.items()
    )
    assert random.getstate() == python
    np.testing.assert_equal(np.random.get_state(legacy=False), numpy)  # noqa: NPY002
    assert [repr(one) for one in study.frozen] == before
