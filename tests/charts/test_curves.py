"""The numbers behind the curves, and what every curve chart has in common."""

import json

import altair as alt
import numpy as np
import pytest

import tarslab as tl
from tarslab.charts import theme
from tarslab.charts.curves import Smoothing, curve_table
from tarslab.errors import BadArgument, LogWarning, NotLogged
from tarslab.runs import Run, Runs, Series


def test_a_run_is_its_rolling_mean_and_band_with_the_raw_points(make_runs) -> None:
    table = curve_table(make_runs(ppo=[2.0, 4.0, 6.0]), ["reward"], smoothing=Smoothing(2))
    # By hand: windows [2], [2, 4], [4, 6].
    assert table["value"].tolist() == [2.0, 3.0, 5.0]
    assert table["low"].tolist() == [2.0, 2.0, 4.0]
    assert table["high"].tolist() == [2.0, 4.0, 6.0]
    assert table["raw"].tolist() == [2.0, 4.0, 6.0]
    assert table["n"].tolist() == [1, 1, 1]


def test_a_group_is_the_mean_over_its_runs_with_their_sample_std(make_runs) -> None:
    runs = make_runs(ppo_0=([0, 10], [0.0, 10.0]), ppo_1=([0, 10], [2.0, 14.0]))
    table = curve_table(runs, ["reward"], by="algo", smoothing=Smoothing(1))
    assert table["step"].tolist() == [0, 10]
    assert table["value"].tolist() == [1.0, 12.0]
    # The sample standard deviation of 10 and 14 is sqrt(8).
    np.testing.assert_allclose(table["high"] - table["value"], [2**0.5, 8**0.5])
    assert table["n"].tolist() == [2, 2]


def test_a_run_that_ended_early_is_not_extended_and_n_says_so(make_runs) -> None:
    runs = make_runs(ppo_0=([0, 10, 20], [1.0, 1.0, 1.0]), ppo_1=([0, 10], [3.0, 3.0]))
    table = curve_table(runs, ["reward"], by="algo", smoothing=Smoothing(1))
    assert table["value"].tolist() == [2.0, 2.0, 1.0]
    assert table["n"].tolist() == [2, 2, 1]
    assert np.isnan(table["high"].iloc[2])


def test_groups_of_several_environments_are_told_apart() -> None:
    series = {"reward": Series.of([0, 1], [0, 1], [1, 2])}
    runs = Runs.of(
        [Run("a", series, algo="ppo", env="A-v0"), Run("b", series, algo="ppo", env="B-v0")]
    )
    table = curve_table(runs, ["reward"], by="algo")
    assert table["series"].unique().tolist() == ["ppo · A-v0", "ppo · B-v0"]


def test_a_missing_value_is_a_gap_and_not_a_bridge(make_runs) -> None:
    table = curve_table(make_runs(ppo=[1.0, np.nan, np.inf, 4.0]), ["reward"])
    assert np.isnan(table["value"]).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ("step", [5, 7, 9]),
        ("episode", [1, 2, 3]),
        ("wall_time", [1_700_000_000.0, 1_700_000_001.0, 1_700_000_002.0]),
        ("relative", [0, 1, 2]),
    ],
)
def test_every_x_axis(make_runs, x, expected) -> None:
    table = curve_table(make_runs(ppo=([5, 7, 9], [1.0, 2.0, 3.0])), ["reward"], x=x)
    assert table[x].tolist() == expected


def test_a_run_without_wall_times_is_left_out_with_a_word() -> None:
    timed = Run("timed", {"reward": Series.of([0], [1.0], [1.0])})
    timeless = Run("timeless", {"reward": Series.of([0], [np.nan], [1.0])})
    with pytest.warns(LogWarning, match="timeless has no wall times"):
        table = curve_table(Runs.of([timed, timeless]), ["reward"], x="wall_time")
    assert table["series"].tolist() == ["timed"]
    with (
        pytest.warns(LogWarning),
        pytest.raises(NotLogged, match="no run has wall times for x='relative': use x='step'"),
    ):
        curve_table(Runs.of([timeless]), ["reward"], x="relative")


def test_other_metrics_stand_at_the_episodes_that_had_ended_by_their_step() -> None:
    returns = Series.of([10, 20, 30], [0] * 3, [1.0, 2.0, 3.0])
    losses = Series.of([5, 20, 25], [0] * 3, [7.0, 8.0, 9.0])
    run = Run("a", {"reward": returns, "td_loss": losses}, episodic=True)
    table = curve_table(Runs.of([run]), ["td_loss"], x="episode")
    assert table["episode"].tolist() == [0, 2, 2]


def test_a_run_whose_reward_is_a_mean_over_episodes_has_no_episode_axis() -> None:
    run = Run("a", {"reward": Series.of([10], [0], [1.0])})
    with (
        pytest.warns(LogWarning, match="a has no single episodes and is left out"),
        pytest.raises(NotLogged, match="no run has single episodes"),
    ):
        curve_table(Runs.of([run]), ["reward"], x="episode")


def test_runs_of_different_times_are_not_averaged_over_wall_time(make_runs) -> None:
    with pytest.raises(BadArgument, match="use x='relative' or by=None"):
        curve_table(make_runs(ppo=[1.0]), ["reward"], x="wall_time", by="algo")


def test_runs_without_an_algorithm_are_not_averaged_into_one() -> None:
    series = {"reward": Series.of([0, 1], [0, 1], [1, 2])}
    runs = Runs.of([Run("a", series), Run("b", series), Run("c", series, algo="ppo")])
    table = curve_table(runs, ["reward"], by="algo")
    assert table["series"].unique().tolist() == ["a", "b", "ppo"]


def test_an_ema_has_no_band_of_the_rolling_window(make_runs) -> None:
    runs = make_runs(ppo=[1.0, 2.0, 4.0])
    table = curve_table(runs, ["reward"], smoothing=Smoothing(10, 0.6))
    assert table["low"].isna().all()
    np.testing.assert_array_equal(table["value"], tl.stats.ema([1.0, 2.0, 4.0], 0.6))


def test_a_single_point_is_a_dot(make_runs) -> None:
    alone = tl.charts.reward_curve(make_runs(a_0=[1.0]), by="algo").to_dict()
    together = tl.charts.reward_curve(make_runs(a_0=[1.0, 2.0]), by="algo").to_dict()
    assert len(alone["layer"]) == len(together["layer"]) + 1
    assert {"filter": "datum.known == 1"} in alone["layer"][-2]["transform"]


def test_unknown_arguments_list_what_there_is(make_runs) -> None:
    runs = make_runs(ppo=[1.0])
    with pytest.raises(BadArgument, match=r"by must be a column .* algo"):
        curve_table(runs, ["reward"], by="algorithm")
    with pytest.raises(BadArgument, match="x must be step"):
        curve_table(runs, ["reward"], x="time")  # type: ignore[arg-type]
    with pytest.raises(NotLogged, match="there are reward"):
        tl.charts.reward_curve(runs, metric="entropy")


def test_smoothing_is_done_on_the_full_series_and_only_then_are_points_left_out() -> None:
    values = np.random.default_rng(0).normal(size=50_000)
    runs = Runs.of([Run("r", {"reward": Series.of(np.arange(50_000), np.arange(50_000), values)})])
    table = curve_table(runs, ["reward"], smoothing=Smoothing(100))
    mean, _ = tl.stats.rolling_mean_std(values, 100)
    assert len(table) <= 500
    np.testing.assert_array_equal(table["value"], mean[table["step"].astype(int)])
    assert table["value"].max() == mean.max()
    assert table["raw"].min() == values.min()


def test_a_chart_of_long_runs_is_no_larger_than_one_of_short_runs() -> None:
    def size(points: int) -> int:
        rng = np.random.default_rng(0)
        made = [
            Run(
                f"run_{i}",
                {
                    "reward": Series.of(
                        np.arange(points), np.arange(points), rng.normal(size=points)
                    )
                },
            )
            for i in range(20)
        ]
        return len(json.dumps(tl.charts.reward_curve(Runs.of(made)).to_dict()))

    assert size(1_000_000) <= size(500)


def test_numbers_in_the_picture_are_those_of_the_table(make_runs, rows_of) -> None:
    runs = make_runs(ppo=[1.0, np.nan, 1 / 3])
    rows = rows_of(tl.charts.reward_curve(runs, window=1))
    assert [row["value"] for row in rows] == [1.0, None, 0.333333333]
    assert [row["step"] for row in rows] == [0, 1, 2]


def test_more_than_forty_lines_are_needed_before_two_look_alike() -> None:
    names = [f"run {i}" for i in range(40)]
    looks = zip(
        theme.colours(names)["range"], map(tuple, theme.dashes(names)["range"]), strict=True
    )
    assert len(set(looks)) == 40


def test_a_chart_says_in_words_what_it_shows(make_runs) -> None:
    spec = tl.charts.reward_curve(make_runs(ppo=[1.0, 2.0])).to_dict()
    assert spec["description"] == "Line chart of episode return by step, 1 lines: ppo"


def test_a_chart_is_plain_altair_that_can_be_layered_on(make_runs) -> None:
    chart = tl.charts.reward_curve(make_runs(ppo=[1.0, 2.0]))
    rule = alt.Chart(alt.InlineData(values=[{"y": 1}])).mark_rule().encode(y="y:Q")
    assert len((chart + rule).to_dict()["layer"]) == len(chart.to_dict()["layer"]) + 1


def test_every_param_has_a_name_of_its_own(make_runs) -> None:
    params = tl.charts.loss_curves(make_runs("td_loss", a_0=[1.0], b_0=[2.0])).to_dict()["params"]
    assert sorted(p["name"] for p in params) == ["toggle_metric", "toggle_series", "zoom"]


def test_the_users_altair_is_not_changed_beyond_its_defaults() -> None:
    assert alt.renderers.active == "tarslab"
    with alt.theme.enable("dark"), alt.renderers.enable("svg"):
        tl.charts.offline.adopt()
        assert alt.renderers.active == "svg"
        assert alt.theme.active == "dark"
    assert alt.data_transformers.active == "default"


def test_hover_points_are_few_however_many_lines_there_are(make_runs) -> None:
    runs = make_runs(**{f"r_{i}": np.arange(500.0) for i in range(20)})
    spec = tl.charts.reward_curve(runs).to_dict()
    (hover,) = [layer for layer in spec["layer"] if layer.get("name") == theme.HOVER_LAYER]
    assert {"filter": "datum.place % 5 == 0"} in hover["transform"]
