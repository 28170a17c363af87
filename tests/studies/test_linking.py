"""Runs that say which trial they are of."""

import pandas as pd

from tarslab.studies.linking import trials_of_runs


def test_the_configuration_says_it_before_the_name() -> None:
    table = pd.DataFrame({"run": ["trial_1", "trial_2", "other"], "hp.trial": [7, None, 9]})
    assert trials_of_runs(table).to_dict() == {"trial_1": 7, "trial_2": 2, "other": 9}


def test_names_that_hold_a_trial_among_other_words_are_read() -> None:
    names = ["study/trial_3", "trial-4", "Trial5/ppo", "ppo_trial_6_a", "trials_7", "retrial_8"]
    found = trials_of_runs(pd.DataFrame({"run": names}))
    assert found.to_dict() == {
        "study/trial_3": 3,
        "trial-4": 4,
        "Trial5/ppo": 5,
        "ppo_trial_6_a": 6,
    }


def test_runs_without_a_trial_are_left_out() -> None:
    assert trials_of_runs(pd.DataFrame({"run": ["ppo/seed_0"]})).empty


def test_what_is_no_number_of_a_trial_links_to_none() -> None:
    table = pd.DataFrame({"run": ["a", "trial_2", "c"], "hp.trial": ["baseline", "x", 0.5]})
    assert trials_of_runs(table).to_dict() == {"trial_2": 2}
    # Optuna's trial id counts over all studies of a database.
    by_id = pd.DataFrame({"run": ["trial_7"], "hp.trial_id": [8]})
    assert trials_of_runs(by_id).to_dict() == {"trial_7": 7}
