"""Charts of synthetic data say so, and those of real data do not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

import tarslab as tl
from tarslab.charts.synthetic import NOTE
from tarslab.runs import Runs
from tarslab.runs.scores import final_scores
from tarslab.studies import Study

OF_RUNS = ["reward_curve", "loss_curves", "entropy_curve", "exploration_curves", "run_health"]
OF_RUNS += ["seed_heatmap", "interval_estimates", "performance_profile", "sample_efficiency"]
OF_STUDIES = ["trial_scores", "intermediate_values", "trial_timeline", "param_importance"]
OF_STUDIES += ["slices", "contour", "linked_trials", "edf"]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return tl.synth.training(["ppo", "dqn"], seeds=3, steps=10_000, points=100)


@pytest.fixture(scope="module")
def study() -> Study:
    return tl.synth.study(trials=40)


def says_so(chart: Any) -> bool:
    return f'"{NOTE}"' in json.dumps(chart.to_dict().get("title", ""))


@pytest.mark.parametrize("name", OF_RUNS)
def test_charts_of_synthetic_runs_say_so(runs: Runs, name: str) -> None:
    draw: Callable[..., Any] = getattr(tl.charts, name)
    assert says_so(draw(runs))


@pytest.mark.parametrize("name", OF_STUDIES)
def test_charts_of_synthetic_studies_say_so(study: Study, name: str) -> None:
    draw: Callable[..., Any] = getattr(tl.charts, name)
    assert says_so(draw(study))


def test_scores_of_synthetic_runs_remember_what_they_are_of(runs: Runs) -> None:
    assert says_so(tl.charts.probability_of_improvement(final_scores(runs), reps=100))


def test_one_synthetic_study_among_several_is_enough(study: Study) -> None:
    assert says_so(tl.charts.edf([study, study]))


def test_charts_of_real_runs_do_not() -> None:
    real = tl.load("bundled:cartpole")
    assert not says_so(tl.charts.reward_curve(real))
    assert not says_so(tl.charts.run_health(real))
