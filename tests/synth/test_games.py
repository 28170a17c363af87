"""Synthetic self-play: it converges at the rates that are known, and not monotonically."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tarslab as tl
from tarslab import charts, synth
from tarslab.charts import offline
from tarslab.errors import BadArgument
from tarslab.runs import Runs

# Zinkevich et al. (2007), Tammelin et al. (2015), Karlin's conjecture.
POWERS = {"cfr": 0.5, "cfr+": 1.0, "fictitious_play": 0.5}


@pytest.fixture(scope="module")
def played() -> Runs:
    return synth.nash(seeds=8, iterations=100_000, points=10_000)


@pytest.mark.parametrize("algo", POWERS)
def test_the_gap_falls_at_its_known_rate(played: Runs, algo: str) -> None:
    slopes = []
    for _, series in played.select(algo=algo).series("nash_gap"):
        places = np.unique(np.geomspace(1, series.points, 300).astype(int)) - 1
        gaps = np.log(series.value[places])
        slopes.append(np.polyfit(np.log(series.step[places]), gaps, 1)[0])
    assert np.mean(slopes) == pytest.approx(-POWERS[algo], abs=0.03)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**63), algo=st.sampled_from([*POWERS]))
def test_the_gap_is_positive_and_of_the_order_of_its_rate(seed: int, algo: str) -> None:
    ((_, series),) = synth.nash(algo, seeds=1, points=200, seed=seed).series("nash_gap")
    level = series.value * series.step ** POWERS[algo]
    assert (series.value > 0).all()
    assert level.max() / level.min() < 5


def test_the_gap_does_not_fall_all_the_time(played: Runs) -> None:
    for _, series in played.series("nash_gap"):
        assert (np.diff(series.value) > 0).any()
        assert series.value[-1] < series.value[0]


def test_fictitious_play_swings_most(played: Runs) -> None:
    swing = {}
    for algo, power in POWERS.items():
        runs = played.select(algo=algo)
        levels = [np.log(s.value * s.step**power) for _, s in runs.series("nash_gap")]
        swing[algo] = np.mean([level.std() for level in levels])
    assert swing["fictitious_play"] > 2 * max(swing["cfr"], swing["cfr+"])


def test_exploitability_is_the_gap_by_the_players(played: Runs) -> None:
    gaps, exploited = played.series("nash_gap"), played.series("exploitability")
    for (_, gap), (_, half) in zip(gaps, exploited, strict=True):
        assert half.value == pytest.approx(gap.value / 2)
        assert np.array_equal(half.step, gap.step)


def test_runs_are_those_of_real_games_but_for_what_they_say() -> None:
    runs, real = synth.nash(seeds=2, iterations=50, points=10), tl.load("bundled:poker")
    assert {*runs.metrics} == {*real.metrics}
    assert {*runs.table["algo"]} == {*real.table["algo"]} == {*POWERS}
    assert {*runs.table} - {*real.table} == set()
    assert {*runs.table["format"]} == {"synthetic"}
    assert {*runs.table["env"]} == {"synthetic_game"}
    assert len(runs) == 6
    assert len(runs.scalars) == 6 * 2 * 10


def test_the_same_seed_gives_the_same_bits_and_another_gives_others() -> None:
    one, again, other = (synth.nash(points=30, seed=seed).scalars for seed in (4, 4, 5))
    assert one.equals(again)
    assert (one["value"] != other["value"]).all()


def test_the_chart_of_convergence_draws_them(played: Runs) -> None:
    data = charts.nash_convergence_data(played, threshold=0.01, by="algo")
    met = dict(zip(data.crossings["series"], data.crossings["step"], strict=True))
    assert met["cfr+"] < met["cfr"]
    chart = charts.nash_convergence(played, threshold=0.01, by="algo")
    assert "<svg" in offline.svg(chart.to_dict())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"algo": "cfr++"}, r"algo must be some of cfr, cfr\+, fictitious_play, not cfr\+\+"),
        ({"iterations": 5}, "points must be at most iterations=5, not 1000"),
        ({"seeds": "two"}, "seeds must be a whole number of at least 1, not 'two'"),
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(BadArgument, match=message):
        synth.nash(**wrong)  # type: ignore[arg-type]
