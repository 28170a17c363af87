"""The Runs table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

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


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.dictionaries(
        st.sampled_from("abcd"),
        st.dictionaries(st.sampled_from(["reward", "x", "entropy"]), st.integers(1, 5), min_size=1),
        min_size=1,
    ),
    values=st.lists(st.sampled_from([1.5, np.nan, np.inf, -np.inf]), min_size=60, max_size=60),
)
def test_the_tables_are_what_pandas_makes_of_the_points_one_by_one(
    lengths: dict[str, dict[str, int]], values: list[float]
) -> None:
    left = iter(values)
    given_series = {
        run: {
            metric: Series.of(range(n), range(n), [next(left) for _ in range(n)])
            for metric, n in of_run.items()
        }
        for run, of_run in lengths.items()
    }
    runs = Runs.of([Run(name, series) for name, series in given_series.items()])
    points = pd.DataFrame(
        [
            (run, metric, *point)
            for run, of_run in given_series.items()
            for metric, one in of_run.items()
            for point in zip(one.step.tolist(), one.wall_time, one.value, strict=True)
        ],
        columns=["run", "metric", "step", "wall_time", "value"],
    )
    order = [metric for metric in ("reward", "entropy", "x") if metric in set(points["metric"])]
    kind = pd.CategoricalDtype(pd.Index(order, dtype="str"))
    expected = points.astype({"run": "category", "metric": kind})
    expected = expected.sort_values(["run", "metric", "step"], ignore_index=True)
    assert_frame_equal(runs.scalars, expected)
    finite = points.assign(bad=~np.isfinite(points["value"])).groupby("run")["bad"]
    assert runs.table["points"].tolist() == finite.size().tolist()
    assert runs.table["non_finite"].tolist() == finite.sum().tolist()
    for metric in order:
        chosen = runs.select(metric=metric)
        assert chosen.table["non_finite"].tolist() == [
            int((~np.isfinite(one.value)).sum()) for _, one in runs.series(metric)
        ]


@pytest.mark.parametrize("count", [1, 126, 127, 128, 32766, 32767])
def test_categories_have_the_type_that_pandas_gives_them(count: int) -> None:
    one = Series.of([0], [0], [0])
    runs = Runs.of([Run(f"{n:05}", {"x": one}) for n in range(count)])
    expected = pd.Series([f"{n:05}" for n in range(count)], dtype="str").astype("category")
    assert runs.scalars["run"].cat.codes.dtype == expected.cat.codes.dtype
    pd.testing.assert_index_equal(runs.scalars["run"].cat.categories, expected.cat.categories)
    assert runs.select(run="00000").scalars["run"].tolist() == ["00000"]


def test_what_was_given_is_not_what_is_changed() -> None:
    one = Series.of([1, 2], [0, 0], [5, 6])
    runs = Runs.of([Run("a", {"x": one})])
    runs.scalars.loc[:, "value"] = 0.0
    runs.scalars.loc[0, "step"] = 7
    assert (one.value.tolist(), one.step.tolist()) == ([5, 6], [1, 2])


def test_runs_without_points_are_runs() -> None:
    runs = Runs.of([Run("a", {}, algo="ppo"), Run("b", {"x": Series.of([1], [0], [np.nan])})])
    assert runs.table["points"].tolist() == [0, 1]
    assert runs.table["non_finite"].tolist() == [0, 1]
    assert Runs.of([]).table.empty
