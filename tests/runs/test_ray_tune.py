"""Ray Tune's event files beside what its result.json says."""

import numpy as np

from tarslab.runs import Series
from tarslab.runs.ray_tune import as_in_result_json

COUNTER = "ray/tune/num_env_steps_sampled_lifetime"


def series(*points: tuple[int, float, float]) -> Series:
    """From step, wall time and value."""
    return Series.of(*np.array(points).T)


def test_iterations_become_environment_steps_and_the_prefix_goes() -> None:
    found = as_in_result_json(
        {
            COUNTER: series((1, 10, 4000), (2, 20, 8000), (3, 30, 12000)),
            "ray/tune/loss": series((1, 10, 0.5), (2, 20, 0.4), (3, 30, 0.3)),
            "ray/tune/evaluation/reward": series((2, 20, 7)),
            "own/tag": series((1, 10, 1)),
        }
    )
    assert {tag: one.step.tolist() for tag, one in found.items()} == {
        "own/tag": [1],
        "loss": [4000, 8000, 12000],
        "evaluation/reward": [8000],
    }


def test_an_iteration_that_was_done_again_has_the_count_of_its_time() -> None:
    found = as_in_result_json(
        {
            COUNTER: series((1, 10, 100), (2, 20, 200), (2, 90, 260), (3, 95, 360)),
            "ray/tune/x": series((2, 21, 1), (2, 91, 2), (3, 95, 3)),
        }
    )
    assert found["x"].step.tolist() == [200, 260, 360]


def test_a_point_whose_count_was_lost_lies_between_its_neighbours() -> None:
    found = as_in_result_json(
        {COUNTER: series((1, 1, 100), (3, 3, 300)), "ray/tune/x": series((1, 1, 0), (2, 2, 0))}
    )
    assert found["x"].step.tolist() == [100, 200]


def test_without_a_counter_the_steps_stay_as_in_the_old_stack() -> None:
    found = as_in_result_json({"ray/tune/episode_reward_mean": series((500, 1, 20))})
    assert found["episode_reward_mean"].step.tolist() == [500]


def test_event_files_of_others_are_left_alone() -> None:
    given = {"train/loss": series((1, 1, 1))}
    assert as_in_result_json(given) == given


def test_a_tag_with_and_without_the_prefix_stays_two() -> None:
    found = as_in_result_json({"x": series((1, 1, 1)), "ray/tune/x": series((2, 1, 1))})
    assert set(found) == {"x", "ray/tune/x"}
