"""What the charts of studies share."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarslab.charts import theme
from tarslab.charts.trials import fields_of, most_points, seen, state_colours, title_of


def test_few_points_are_all_drawn_and_what_is_not_finite_is_not() -> None:
    x = [0.0, 1.0, np.nan, 3.0]
    y = [0.0, np.inf, 2.0, 3.0]
    assert seen(x, y).tolist() == [0, 3]
    assert seen(x, y, keep=[False, True, False, False]).tolist() == [0, 1, 3]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3_000), st.integers(50, 400), st.integers(0, 2**32 - 1))
def test_of_many_points_so_many_are_drawn_that_every_other_lies_near_one(
    n: int, most: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    x, y = random.random((2, n))
    drawn = seen(x, y, most=most)
    assert len(drawn) <= max(most, min(n, most))
    assert (np.diff(drawn) > 0).all()
    if n <= most:
        assert len(drawn) == n
        return
    # The grid has at least a quarter as many cells a side as most points could fill.
    side = np.sqrt(most) / 4
    near = np.abs(x[:, None] - x[drawn]) * side < 1
    near &= np.abs(y[:, None] - y[drawn]) * side < 1
    assert near.any(axis=1).all()


def test_what_is_kept_is_drawn_beyond_the_limit() -> None:
    x = np.zeros(1_000)
    keep = np.arange(1_000) >= 900
    drawn = seen(x, x, keep=keep, most=10)
    assert set(np.flatnonzero(keep)) <= set(drawn.tolist())
    assert len(drawn) == 101


def test_points_of_other_groups_do_not_hide_one_another() -> None:
    x = np.zeros(100)
    groups = np.array(["COMPLETE"] * 99 + ["FAIL"])
    assert seen(x, x, groups=groups, most=10).tolist() == [0, 99]


def test_names_that_vega_reads_as_paths_get_fields_of_their_own() -> None:
    table = pd.DataFrame({"params_net.rate[0]": [0.5], "value": [1.0], "state": ["FAIL"]})
    fields = fields_of(table)
    assert fields.names == {
        "params_net.rate[0]": "column_0:Q",
        "value": "value:Q",
        "state": "state:N",
    }
    data: Any = fields.data.to_dict()
    assert data["values"] == [{"column_0": 0.5, "value": 1.0, "state": "FAIL"}]
    (tooltip,) = fields.tooltip(["params_net.rate[0]"])
    of_tooltip: Any = tooltip.to_dict()
    assert of_tooltip["title"] == "net.rate[0]"


def test_states_keep_their_colours_and_their_order() -> None:
    scale: Any = state_colours(["FAIL", "COMPLETE"]).to_dict()
    assert scale["domain"] == ["COMPLETE", "FAIL"]
    assert scale["range"] == [theme.PALETTE[0], theme.PALETTE[1]]
    assert title_of("params_a.b") == "a.b"


@pytest.mark.parametrize(("columns", "points"), [(4, 5_000), (20, 2_000), (1_000, 200)])
def test_wide_tables_get_fewer_points(columns: int, points: int) -> None:
    assert most_points(columns) == points
