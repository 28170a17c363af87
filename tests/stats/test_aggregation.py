"""Several series on one grid."""

import numpy as np
import pytest

from tarslab.errors import BadArgument
from tarslab.stats import common_grid, interpolate_onto, mean_std_over_runs


def test_few_distinct_steps_are_the_grid_themselves() -> None:
    assert common_grid([[0, 10, 20], [0, 5, 20]]).tolist() == [0, 5, 10, 20]


def test_many_steps_give_an_even_grid_of_the_size_asked() -> None:
    grid = common_grid([np.arange(10_000)], n_out=101)
    np.testing.assert_allclose(grid, np.linspace(0, 9999, 101))


def test_the_grid_ends_where_the_first_of_the_runs_that_went_through_ends() -> None:
    grid = common_grid([np.arange(0, 991), np.arange(10, 1000)], n_out=50)
    assert (grid[0], grid[-1]) == (10, 990)


def test_a_run_that_was_killed_early_does_not_narrow_the_grid() -> None:
    grid = common_grid([np.arange(1000), np.arange(200)], n_out=50)
    assert (grid[0], grid[-1]) == (0, 999)


def test_no_series_give_an_empty_grid() -> None:
    assert common_grid([]).size == 0
    assert common_grid([[]]).size == 0


def test_interpolation_is_linear_and_never_extrapolates() -> None:
    y = interpolate_onto([-1, 0, 5, 10, 11], [0, 10], [0.0, 1.0])
    np.testing.assert_array_equal(y, [np.nan, 0.0, 0.5, 1.0, np.nan])


def test_a_gap_is_not_interpolated_over() -> None:
    y = interpolate_onto([0, 5, 15, 30], [0, 10, 20, 30], [0.0, np.nan, 2.0, 3.0])
    np.testing.assert_array_equal(y, [0.0, np.nan, np.nan, 3.0])


def test_points_of_one_step_count_as_their_mean() -> None:
    # Three environments finished an episode at step 10.
    assert interpolate_onto([10], [0, 10, 10, 10, 20], [0, 1.0, 2.0, 6.0, 0]).tolist() == [3.0]


def test_mean_std_and_count_by_hand() -> None:
    mean, std, n = mean_std_over_runs([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]])
    np.testing.assert_array_equal(mean, [2.0, 2.0, np.nan])
    # The sample standard deviation of 1 and 3 is sqrt(2); of one run there is none.
    np.testing.assert_allclose(std, [2**0.5, np.nan, np.nan])
    assert n.tolist() == [2, 1, 0]


def test_a_matrix_of_another_shape_is_refused() -> None:
    with pytest.raises(BadArgument, match="shape"):
        mean_std_over_runs([1.0, 2.0])
    with pytest.raises(BadArgument, match="x has 2 points"):
        interpolate_onto([0], [0, 1], [1.0])
