"""The Runs table."""

import pytest

from tarslab.errors import BadArgument, NotLogged
from tarslab.runs import Run, Runs, Series


@pytest.fixture
def runs() -> Runs:
    series = {"reward": Series.of([1, 2], [0, 0], [5, 6]), "loss": Series.of([1], [0], [7])}
    return Runs.of(
        [
            Run("b", series, algo="ppo", env="X-v0", seed=1),
            Run("a", series, algo="dqn", env="X-v0", seed=0),
            Run("c", {"reward": series["reward"]}, algo="dqn", env="X-v0"),
        ]
    )


def test_runs_are_sorted_by_name(runs: Runs) -> None:
    assert runs.names == ["a", "b", "c"]
    assert runs.metrics == ["reward", "loss"]
    assert repr(runs) == "<Runs: 3 runs, 2 metrics, 8 points>"


def test_selecting_by_a_column_and_a_metric(runs: Runs) -> None:
    chosen = runs.select(metric="reward", algo="dqn")
    assert chosen.names == ["a", "c"]
    assert chosen.metrics == ["reward"]
    assert len(chosen.scalars) == 4
    assert chosen.table["points"].tolist() == [2, 2]
    assert runs.select(seed=[0, 1]).names == ["a", "b"]
    assert len(runs) == 3


def test_a_run_without_the_metric_is_not_selected(runs: Runs) -> None:
    assert runs.select(metric="loss").names == ["a", "b"]


def test_series_come_run_by_run(runs: Runs) -> None:
    assert {run: series.value.tolist() for run, series in runs.series("loss")} == {
        "a": [7.0],
        "b": [7.0],
    }


def test_unknown_names_list_what_there_is(runs: Runs) -> None:
    with pytest.raises(BadArgument, match="there are dqn, ppo"):
        runs.select(algo="sac")
    with pytest.raises(BadArgument, match=r"no run has algo \['sac'\]; there are dqn, ppo"):
        runs.select(algo=["dqn", "sac"])
    with pytest.raises(NotLogged, match="no run has a metric typo; there are reward, loss"):
        runs.select(metric=["loss", "typo"])
    with pytest.raises(BadArgument, match="no column 'alg'"):
        runs.select(alg="dqn")
    with pytest.raises(NotLogged, match="there are reward, loss"):
        runs.select(metric="entropy")
    with pytest.raises(NotLogged, match="there are reward, loss"):
        list(runs.series("entropy"))


def test_two_runs_of_one_name_are_refused() -> None:
    run = Run("a", {"x": Series.of([0], [0], [0])})
    with pytest.raises(BadArgument, match="two runs are named 'a'"):
        Runs.of([run, run])


def test_the_table_in_a_notebook_shows_no_paths(runs: Runs) -> None:
    html = runs._repr_html_()
    assert "path" not in html
    assert "&lt;NA&gt;" not in html
