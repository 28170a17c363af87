"""Point estimates of scores over runs and tasks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from tarslab.errors import BadArgument
from tarslab.stats.scores import iqm, mean, median, optimality_gap

Scores = np.ndarray[Any, np.dtype[np.float64]]

scores_of_any_shape = arrays(
    float, array_shapes(min_dims=2, max_dims=3, max_side=9), elements=st.floats(-1e3, 1e3)
)


@given(scores_of_any_shape)
def test_iqm_is_the_25_percent_trimmed_mean_of_scipy(scores: Scores) -> None:
    flat = scores.reshape(scores.shape[0] * scores.shape[1], *scores.shape[2:])
    expected = stats.trim_mean(flat, 0.25, axis=0)
    np.testing.assert_allclose(iqm(scores), expected, rtol=1e-12, atol=1e-10)


@given(scores_of_any_shape, st.floats(-10, 10))
def test_the_others_are_what_rliable_writes_in_numpy(scores: Scores, gamma: float) -> None:
    gap_at_gamma = partial(optimality_gap, gamma=gamma)

    # rliable 1.2.0, metrics.py: its formulas, one checkpoint at a time.
    def formulas(table: Scores) -> list[float]:
        of_tasks = np.mean(table, axis=0)
        gap = gamma - np.mean(np.minimum(table, gamma))
        return [float(np.mean(of_tasks)), float(np.median(of_tasks)), float(gap)]

    checkpoints = np.moveaxis(np.atleast_3d(scores), -1, 0)
    expected = np.array([formulas(table) for table in checkpoints]).T
    ours: list[Callable[[Scores], Any]] = [mean, median, gap_at_gamma]
    for statistic, values in zip(ours, expected, strict=True):
        found = np.atleast_1d(statistic(scores))
        np.testing.assert_allclose(found, values, rtol=1e-12, atol=1e-10)


def test_a_table_of_two_tasks_by_hand() -> None:
    scores = [[0.0, 1.0], [0.2, 3.0], [0.4, 0.8], [0.6, 0.4]]
    # Sorted: 0, .2, .4, .4, .6, .8, 1, 3, of which the middle four; task means 0.3 and 1.3;
    # clipped at 1 the scores sum to 4.4.
    assert iqm(scores) == pytest.approx((0.4 + 0.4 + 0.6 + 0.8) / 4, abs=1e-15)
    assert median(scores) == pytest.approx(0.8, abs=1e-15)
    assert mean(scores) == pytest.approx(0.8, abs=1e-15)
    assert optimality_gap(scores) == pytest.approx(1 - 4.4 / 8, abs=1e-15)


@pytest.mark.parametrize("statistic", [iqm, median, mean, optimality_gap])
def test_a_list_of_runs_is_one_task_and_gives_a_plain_number(
    statistic: Callable[[object], float],
) -> None:
    runs = [0.1, 0.9, 0.5, 0.3]
    assert type(statistic(runs)) is float
    assert statistic(runs) == statistic(np.reshape(runs, (4, 1)))


def test_the_first_missing_score_is_named_with_its_place() -> None:
    scores = np.zeros((3, 4, 5))
    scores[2, 1, 3] = np.nan
    with pytest.raises(BadArgument, match="nan at run 2, task 1, checkpoint 3"):
        iqm(scores)


def test_tasks_with_unequal_numbers_of_runs_are_refused() -> None:
    with pytest.raises(BadArgument, match="as many runs for every task"):
        iqm([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    "scores", [[], np.zeros((0, 3)), np.zeros((2, 0)), np.zeros((1,) * 4), 1.0]
)
def test_scores_without_runs_or_tasks_are_refused(scores: object) -> None:
    with pytest.raises(BadArgument, match="shape"):
        mean(scores)  # type: ignore[arg-type]


def test_a_gap_to_infinity_is_refused() -> None:
    with pytest.raises(BadArgument, match="gamma"):
        optimality_gap([1.0], gamma=np.inf)
