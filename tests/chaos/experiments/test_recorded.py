"""The experiments on Kubernetes that come with tarslab."""

import re

import pytest

from tarslab import bundled
from tarslab.chaos.experiments import ExperimentResult
from tarslab.chaos.experiments.environment import measured_on

NAMES = ("pod-kill", "pod-kill-alone", "redis-outage")


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_experiment_says_what_it_was_measured_on(name: str):
    result = ExperimentResult.load(f"bundled:chaos/kubernetes/{name}")
    assert result.verdict == "passed"
    assert measured_on(result.about.environment) == (
        "Kubernetes v1.20.2, single node, namespace tars of lab; measured from Linux, 2 cores"
    )


def test_no_recorded_experiment_carries_an_address_or_path_of_where_it_was_made():
    files = [path for path in bundled.data("chaos").rglob("*") if path.suffix in (".json", ".txt")]
    assert len(files) == 3 * 4 + 1
    for path in files:
        assert not re.search(r"\d+\.\d+\.\d+\.\d+|/tmp/|/home/|/root/", path.read_text()), path


def test_the_size_of_a_cluster_is_left_out_where_the_user_may_not_see_it():
    platform = {"platform": "kubernetes", "version": "Kubernetes v1.30.1", "context": "lab"}
    where = {"system": "Linux", "cores": 8, "platform": {**platform, "namespace": "tars"}}
    assert measured_on(where) == (
        "Kubernetes v1.30.1, namespace tars of lab; measured from Linux, 8 cores"
    )
    where["platform"] = {"platform": "local", "version": "tarslab 0.1.0"}
    assert measured_on(where) == "tarslab 0.1.0, Linux, 8 cores"
    assert measured_on({"platform": "it was lost"}) == "it was lost"
