"""The five training charts, on the bundled recordings and by hand."""

import re

import numpy as np
import pytest

import tarslab as tl
from tarslab.errors import BadArgument, NotLogged
from tarslab.runs import Run, Runs, Series


@pytest.fixture(scope="module")
def cartpole() -> Runs:
    return tl.load("bundled:cartpole")


def marks(chart) -> list[str]:
    return [
        layer["mark"]["type"] if isinstance(layer["mark"], dict) else layer["mark"]
        for layer in chart.to_dict()["layer"]
    ]


def test_reward_curve_shows_band_points_line_and_target(make_runs) -> None:
    chart = tl.charts.reward_curve(make_runs(ppo=[1.0, 5.0, 3.0]), target=4)
    assert marks(chart) == ["area", "circle", "line", "point", "rule", "text"]
    assert chart.to_dict()["layer"][-1]["data"] is not None


def test_reward_curve_without_band_and_points_is_a_line(make_runs) -> None:
    chart = tl.charts.reward_curve(make_runs(ppo=[1.0, 5.0, 3.0]), band=None, raw=False)
    assert marks(chart) == ["line", "point"]


def test_targets_by_environment_are_drawn_for_those_there_are(make_runs) -> None:
    def labels(target: dict[str, float]) -> list[str]:
        spec = tl.charts.reward_curve(make_runs(ppo=[1.0, 2.0]), target=target).to_dict()
        rows = [row for data in spec["datasets"].values() for row in data]
        return [row["text"] for row in rows if "text" in row]

    assert labels({"Test-v0": 475, "Other-v0": 3}) == ["target 475"]
    assert labels({"Other-v0": 3}) == []


def test_reward_of_many_runs_leaves_out_the_raw_points(cartpole: Runs) -> None:
    assert "circle" not in marks(tl.charts.reward_curve(cartpole))


def test_reward_curve_data_by_algorithm(cartpole: Runs) -> None:
    data = tl.charts.reward_curve_data(cartpole, by="algo")
    assert data["series"].unique().tolist() == ["a2c", "dqn", "ppo"]
    assert data.groupby("series").size().max() <= 500
    assert data["n"].max() == 5
    # PPO's seeds all end at CartPole's highest return.
    assert data[data["series"] == "ppo"]["value"].iloc[-1] == 500


def test_loss_curves_finds_the_losses_there_are(cartpole: Runs) -> None:
    data = tl.charts.loss_curves_data(cartpole, by="algo")
    found = data.groupby("series")["metric"].unique().map(sorted).to_dict()
    assert found == {
        "a2c": ["policy_loss", "value_loss"],
        "dqn": ["td_loss"],
        "ppo": ["policy_loss", "total_loss", "value_loss"],
    }


def test_loss_curves_of_chosen_kinds(cartpole: Runs) -> None:
    data = tl.charts.loss_curves_data(cartpole, kinds=["td_loss"])
    assert data["metric"].unique().tolist() == ["td_loss"]
    with pytest.raises(BadArgument, match="no loss entropy; losses are value_loss"):
        tl.charts.loss_curves(cartpole, kinds=["entropy"])
    with pytest.raises(NotLogged, match="no run has a loss"):
        tl.charts.loss_curves(tl.load("bundled:poker"))


def test_toggling_a_loss_filters_its_data_so_that_the_scale_follows(cartpole: Runs) -> None:
    spec = tl.charts.loss_curves(cartpole, by="algo").to_dict()
    for layer in spec["layer"]:
        assert {"filter": {"param": "toggle_metric"}} in layer["transform"]
    (toggle,) = [p for p in spec["params"] if p["name"] == "toggle_metric"]
    assert toggle["bind"] == "legend"
    # All are visible at first, and the legend keeps a hidden one.
    losses = ["value_loss", "policy_loss", "td_loss", "total_loss"]
    assert [v["metric"] for v in toggle["value"]] == losses
    assert spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == losses


def test_losses_on_a_log_scale_leave_out_what_is_not_positive(make_runs, rows_of) -> None:
    runs = make_runs("td_loss", dqn=[1.0, -1.0, 0.0, 10.0])
    rows = rows_of(tl.charts.loss_curves(runs, window=1, log_y=True))
    assert [row["value"] for row in rows] == [1, None, None, 10]


def test_entropy_curve_falls_from_that_of_even_odds(cartpole: Runs) -> None:
    data = tl.charts.entropy_curve_data(cartpole, by="algo")
    first = data.groupby("series")["value"].first()
    # Two actions at even odds have an entropy of ln 2.
    np.testing.assert_allclose(first, np.log(2), atol=0.02)
    assert "rule" in marks(tl.charts.entropy_curve(cartpole, by="algo", target=0.1))


def test_exploration_curves_finds_what_there_is() -> None:
    runs = tl.load(["bundled:cartpole", "bundled:pendulum"])
    data = tl.charts.exploration_curves_data(runs, by="algo")
    assert data[["metric", "series"]].drop_duplicates().to_numpy().tolist() == [
        ["epsilon", "dqn · CartPole-v1"],
        ["noise_std", "ddpg · Pendulum-v1"],
    ]
    noise = data[data["metric"] == "noise_std"]["value"]
    # The recipe lowers the noise from 0.3 to 0.05.
    assert noise.iloc[0] > 0.29
    assert noise.iloc[-1] == pytest.approx(0.05)
    with pytest.raises(NotLogged, match="no run logs its exploration"):
        tl.charts.exploration_curves(tl.load("bundled:poker"))


def test_nash_convergence_marks_the_first_iteration_under_the_threshold() -> None:
    gaps = {"nash_gap": Series.of([1, 2, 3, 4], [0] * 4, [1.0, 0.05, 0.2, 0.01])}
    never = {"nash_gap": Series.of([1, 2], [0] * 2, [1.0, 0.5])}
    runs = Runs.of([Run("cfr", gaps), Run("xfp", never)])
    crossings = tl.charts.nash_convergence_data(runs, threshold=0.1).crossings
    assert crossings.to_dict("records") == [{"series": "cfr", "step": 2, "value": 0.05}]
    assert marks(tl.charts.nash_convergence(runs, threshold=0.1))[-2:] == ["point", "text"]
    assert "text" in marks(tl.charts.nash_convergence(runs, threshold=1e-9))


def test_nash_convergence_shows_a_gap_of_zero_as_a_gap_in_the_line() -> None:
    runs = Runs.of([Run("cfr", {"nash_gap": Series.of([1, 2, 3], [0] * 3, [1.0, 0.0, 0.5])})])
    curves = tl.charts.nash_convergence_data(runs).curves
    assert np.isnan(curves["value"]).tolist() == [False, True, False]


@pytest.mark.parametrize("gap", [0.0, -1e-17, 0.004])
def test_a_gap_that_is_not_positive_leaves_the_log_scale_whole(gap: float) -> None:
    gaps = Series.of([1, 2, 3, 4], [0] * 4, [1.0, 0.5, 0.2, gap])
    chart = tl.charts.nash_convergence(Runs.of([Run("cfr", {"nash_gap": gaps})]))
    svg = tl.charts.offline.svg(chart.to_dict())
    line = re.search(r'mark-line.*?<path[^>]* d="([^"]+)"', svg)
    assert line is not None
    heights = {float(y) for y in re.findall(r"[ML][\d.]+,([\d.]+)", line[1])}
    assert len(heights) >= 3


def test_nash_convergence_over_seeds_marks_where_the_mean_comes_under_the_threshold() -> None:
    first = {"nash_gap": Series.of([1, 2, 3], [0] * 3, [1.0, 0.05, 0.01])}
    second = {"nash_gap": Series.of([1, 2, 3], [0] * 3, [1.0, 0.2, 0.03])}
    runs = Runs.of([Run("a", first, algo="mccfr"), Run("b", second, algo="mccfr")])
    curves, crossings = tl.charts.nash_convergence_data(runs, threshold=0.1, by="algo")
    np.testing.assert_allclose(curves["value"], [1.0, 0.125, 0.02])
    assert curves["n"].tolist() == [2, 2, 2]
    assert crossings[["series", "step"]].to_numpy().tolist() == [["mccfr", 3]]
    # 0.125 less the sample standard deviation of 0.05 and 0.2 is positive.
    assert (curves["low"] > 0).all()


def test_nash_convergence_takes_exploitability_where_there_is_no_gap() -> None:
    runs = Runs.of([Run("cfr", {"exploitability": Series.of([1], [0], [1.0])})])
    assert tl.charts.nash_convergence_data(runs).curves["metric"].tolist() == ["exploitability"]
    with pytest.raises(BadArgument, match="threshold must be positive"):
        tl.charts.nash_convergence(runs, threshold=0)


def test_cfr_plus_reaches_the_threshold_before_cfr_on_both_games() -> None:
    runs = tl.load("bundled:poker")
    crossings = tl.charts.nash_convergence_data(runs, threshold=0.05).crossings
    first = crossings.set_index("series")["step"]
    for game in ("kuhn_poker", "leduc_poker"):
        assert first[f"{game}/cfr+"] < first[f"{game}/cfr"]


def test_where_logged_notes_a_missing_metric_and_hides_no_other_error(cartpole: Runs) -> None:
    poker = tl.load("bundled:poker")
    assert repr(tl.charts.where_logged(tl.charts.entropy_curve, poker)).startswith(
        "Not drawn: no run has a metric 'entropy'"
    )
    with pytest.raises(BadArgument, match="window"):
        tl.charts.where_logged(tl.charts.entropy_curve, cartpole, window=0)
