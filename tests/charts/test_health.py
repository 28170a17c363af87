"""Run health: real runs raise no false alarm, and each defect is found where it was put."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tarslab as tl
from tarslab.charts.health import KINDS, run_health, run_health_data
from tarslab.runs import Run, Runs, Series

STEPS = np.arange(200) * 512
CLOCK = 1_700_000_000 + np.arange(200) * 10.0


def ppo(clock: np.ndarray = CLOCK, **changed: np.ndarray | None) -> Run:
    """A PPO run that learns, with some of its metrics changed or, by None, left out."""
    rng = np.random.default_rng(0)
    values: dict[str, np.ndarray | None] = {
        "reward": np.linspace(0, 500, 200) + rng.normal(0, 20, 200),
        "entropy": np.linspace(0.69, 0.2, 200),
        "policy_loss": rng.normal(0, 0.01, 200),
        "value_loss": np.geomspace(10, 0.1, 200),
        "train/clip_fraction": rng.uniform(0, 0.3, 200),
        "train/explained_variance": np.linspace(-0.1, 0.95, 200),
    }
    values |= {name.replace("train_", "train/"): value for name, value in changed.items()}
    series = {
        metric: Series.of(STEPS, clock, value)
        for metric, value in values.items()
        if value is not None
    }
    return Run("run", series, algo="ppo")


def found(run: Run) -> list[tuple[str, str, int, int]]:
    findings = run_health_data(Runs.of([run])).findings
    columns = (findings[name] for name in ("kind", "metric", "start", "end"))
    return list(zip(*columns, strict=True))


def status(run: Run) -> dict[str, str]:
    checks = run_health_data(Runs.of([run])).checks
    return dict(zip(checks["kind"], checks["status"], strict=True))


def changed(value: float, at: slice, to: float) -> np.ndarray:
    new = np.full(200, value)
    new[at] = to
    return new


def verdicts(runs: Runs) -> dict[str, str]:
    """What stands beside each run."""
    spec = run_health(runs).to_dict()
    rows = [row for data in spec["datasets"].values() for row in data if "text" in row]
    return {row["run"]: row["text"] for row in rows}


@pytest.mark.parametrize("name", ["cartpole", "pendulum", "poker"])
def test_the_bundled_runs_raise_no_alarm(name: str) -> None:
    # Among them PPO with explained variances down to -11, where every return is 500.
    assert run_health_data(tl.load(f"bundled:{name}")).findings.empty


def test_what_a_trainer_does_not_log_could_not_be_checked() -> None:
    data = run_health_data(tl.load("bundled:cartpole"))
    by_run = data.checks.pivot(index="run", columns="kind", values="status")
    assert (by_run.loc["ppo/seed_0"] == "clear").all()
    assert by_run.loc["dqn/seed_0"].to_dict() == {
        "non_finite": "clear",
        "restart": "clear",
        "entropy_collapse": "unchecked",
        "heavy_clipping": "unchecked",
        "unexplained": "unchecked",
    }
    assert by_run.loc["a2c/seed_0", "heavy_clipping"] == "unchecked"
    texts = verdicts(tl.load("bundled:cartpole"))
    assert texts["ppo/seed_0"] == "healthy"
    assert texts["a2c/seed_0"] == "nothing found in 4 of 5 checks"
    assert texts["dqn/seed_0"] == "nothing found in 2 of 5 checks"


def test_a_run_with_nothing_wrong_is_healthy() -> None:
    assert found(ppo()) == []
    assert set(status(ppo()).values()) == {"clear"}
    assert verdicts(Runs.of([ppo()])) == {"run": "healthy"}


def test_a_run_without_clock_entropy_and_value_function_is_not_called_healthy() -> None:
    bare = ppo(
        clock=np.full(200, np.nan),
        entropy=None,
        train_clip_fraction=None,
        train_explained_variance=None,
    )
    assert status(bare) == {
        "non_finite": "clear",
        "restart": "unchecked",
        "entropy_collapse": "unchecked",
        "heavy_clipping": "unchecked",
        "unexplained": "unchecked",
    }


def test_a_metric_of_few_finite_points_could_not_be_checked() -> None:
    run = ppo(entropy=changed(np.nan, slice(0, 4), 0.5))
    assert status(run)["entropy_collapse"] == "unchecked"
    sentences = run_health_data(Runs.of([run])).checks["sentence"]
    assert "Could not be checked: entropy has only 4 finite points." in set(sentences)


def test_entropy_collapse_is_found_with_what_became_of_the_return() -> None:
    run = ppo(
        entropy=changed(0.9, slice(80, None), 1e-4), reward=changed(400.0, slice(80, None), 10.0)
    )
    assert found(run) == [("entropy_collapse", "entropy", 40_960, 101_888)]
    (sentence,) = run_health_data(Runs.of([run])).findings["sentence"]
    assert "0.009 nats or less" in sentence
    assert "the mean return is 10, before it was 400" in sentence
    assert "entropy coefficient" in sentence
    assert verdicts(Runs.of([run])) == {"run": "entropy collapse"}


def test_of_continuous_actions_the_standard_deviation_decides() -> None:
    # An entropy that settles just above 0 is nothing special where actions are continuous.
    settled = changed(1.42, slice(100, None), 0.005)
    assert found(ppo(entropy=settled, train_std=np.linspace(1.0, 0.25, 200))) == []
    collapsed = changed(1.0, slice(150, None), 0.01)
    assert found(ppo(entropy=settled, train_std=collapsed)) == [
        ("entropy_collapse", "train/std", 76_800, 101_888)
    ]


def test_a_differential_entropy_from_an_unknown_beginning_could_not_be_checked() -> None:
    assert status(ppo(entropy=np.linspace(0.5, -3, 200)))["entropy_collapse"] == "unchecked"


def test_heavy_clipping_is_found() -> None:
    run = ppo(train_clip_fraction=changed(0.2, slice(20, 90), 0.8))
    assert found(run) == [("heavy_clipping", "train/clip_fraction", 10_240, 45_568)]
    assert "80%" in run_health_data(Runs.of([run])).findings["sentence"].iloc[0]


def test_clip_fractions_and_explained_variances_are_known_by_other_trainers_names() -> None:
    high = changed(0.2, slice(20, 90), 0.8)
    low = changed(0.5, slice(20, 90), -0.8)
    run = ppo(train_clip_fraction=None, train_explained_variance=None)
    run.series = {
        **run.series,
        "losses/clipfrac": Series.of(STEPS, CLOCK, high),
        "learners/a/vf_explained_var": Series.of(STEPS, CLOCK, low),
        "learners/b/vf_explained_var": Series.of(STEPS, CLOCK, low),
    }
    assert [metric for _, metric, _, _ in found(run)] == [
        "losses/clipfrac",
        "learners/a/vf_explained_var",
        "learners/b/vf_explained_var",
    ]


def test_an_explained_variance_below_zero_is_found_unless_the_returns_are_all_the_same() -> None:
    low = changed(0.9, slice(100, None), -0.6)
    finding = ("unexplained", "train/explained_variance", 51_200, 101_888)
    varied = np.full(200, 3.0)
    assert found(ppo(train_explained_variance=low, value_loss=varied)) == [finding]
    solved = changed(3.0, slice(100, None), 1e-7)
    assert found(ppo(train_explained_variance=low, value_loss=solved)) == []
    unknown = ppo(train_explained_variance=low, value_loss=None)
    assert found(unknown) == [finding]
    (sentence,) = run_health_data(Runs.of([unknown])).findings["sentence"]
    assert "no value loss is logged" in sentence


def test_value_losses_at_other_steps_are_not_taken_for_those_of_these() -> None:
    run = ppo(train_explained_variance=changed(0.9, slice(100, None), -0.6))
    solved = changed(3.0, slice(100, None), 1e-7)
    run.series = {**run.series, "value_loss": Series.of(STEPS + 1, CLOCK, solved)}
    assert [kind for kind, *_ in found(run)] == ["unexplained"]


def test_losses_that_become_nan_are_found_each_and_drawn_as_one() -> None:
    lost = changed(0.1, slice(150, None), np.nan)
    run = ppo(value_loss=lost, policy_loss=lost)
    assert found(run) == [
        ("non_finite", "value_loss", 76_800, 101_888),
        ("non_finite", "policy_loss", 76_800, 101_888),
    ]
    sentence = run_health_data(Runs.of([run])).findings["sentence"].iloc[0]
    assert sentence.startswith("value_loss is NaN or infinite at 50 of its 200 points, to the end.")
    spec = run_health(Runs.of([run])).to_dict()
    bars = [row for data in spec["datasets"].values() for row in data if "metric" in row]
    assert [bar["metric"] for bar in bars] == ["value_loss, policy_loss"]


def test_one_infinite_value_is_found() -> None:
    run = ppo(policy_loss=changed(0.1, slice(50, 51), np.inf))
    assert found(run) == [("non_finite", "policy_loss", 25_600, 25_600)]
    assert "finite again later" in run_health_data(Runs.of([run])).findings["sentence"].iloc[0]


def test_nan_where_no_episode_ended_is_no_finding_unless_it_lasts() -> None:
    # As RLlib logs it: at first, and at points between which no episode ended.
    now_and_then = changed(100.0, slice(0, 40), np.nan)
    now_and_then[60::9] = np.nan
    assert found(ppo(reward=now_and_then)) == []
    assert found(ppo(reward=changed(100.0, slice(100, None), np.nan))) == [
        ("non_finite", "reward", 51_200, 101_888)
    ]
    assert found(ppo(reward=changed(100.0, slice(100, 101), np.inf))) == [
        ("non_finite", "reward", 51_200, 51_200)
    ]
    assert [kind for kind, *_ in found(ppo(reward=np.full(200, np.nan)))] == ["non_finite"]


def test_an_explained_variance_of_nan_is_no_finding() -> None:
    # stable-baselines3 logs it where the returns do not vary at all.
    run = ppo(train_explained_variance=changed(0.9, slice(50, None), np.nan))
    assert found(run) == []


@pytest.fixture
def resumed(tmp_path: Path, write_events: Callable[..., Path]) -> str:
    """Steps 0 to 20,480, and an hour later from the checkpoint at 12,288 on."""
    first = [("train/loss", step, 1.0) for step in range(0, 20_481, 512)]
    second = [("train/loss", step, 1.0) for step in range(12_800, 40_961, 512)]
    write_events(tmp_path / "run", first, name="events.out.tfevents.1")
    write_events(
        tmp_path / "run", second, name="events.out.tfevents.2", start=1_700_000_000.0 + 3600
    )
    return str(tmp_path)


def test_a_resumed_training_shows_its_steps_twice_where_all_are_kept(resumed: str) -> None:
    findings = run_health_data(tl.load(resumed, restarts="all")).findings
    assert findings["kind"].tolist() == ["restart"]
    assert findings[["start", "end"]].to_numpy().tolist() == [[12_800, 20_480]]
    assert "trained twice" in findings["sentence"].iloc[0]


@pytest.mark.filterwarnings("ignore::tarslab.errors.LogWarning")
def test_where_the_repeated_steps_were_dropped_the_time_shows(resumed: str) -> None:
    findings = run_health_data(tl.load(resumed)).findings
    assert findings["kind"].tolist() == ["restart"]
    assert findings[["start", "end"]].to_numpy().tolist() == [[12_288, 12_800]]
    sentence = findings["sentence"].iloc[0]
    assert sentence.startswith("60 minutes passed here")
    assert "restarts='all'" in sentence


def test_the_chart_has_a_lane_for_each_kind_that_was_found() -> None:
    sick = ppo(
        entropy=changed(0.6, slice(80, None), 0.0),
        train_clip_fraction=changed(0.1, slice(0, 50), 0.9),
    )
    well = ppo()
    well.name = "well"
    spec = run_health(Runs.of([sick, well])).to_dict()
    lines, bars, texts = spec["layer"]
    lanes = [KINDS["entropy_collapse"], KINDS["heavy_clipping"]]
    assert lines["encoding"]["yOffset"]["scale"]["domain"] == lanes
    assert bars["encoding"]["color"]["scale"]["domain"] == lanes
    assert texts["mark"]["type"] == "text"
    assert spec["description"] == "Timelines of 2 runs, something was found in 1: run"


def test_a_kind_keeps_its_colour_whatever_else_was_found() -> None:
    def colour(*runs: Run) -> str:
        scale = run_health(Runs.of(runs)).to_dict()["layer"][1]["encoding"]["color"]["scale"]
        return str(scale["range"][scale["domain"].index("entropy collapse")])

    collapsed = ppo(entropy=changed(0.6, slice(80, None), 0.0))
    other = ppo(policy_loss=np.full(200, np.nan))
    other.name = "other"
    assert colour(collapsed) == colour(collapsed, other)


@pytest.mark.parametrize("points", [1, 2, 200])
def test_runs_of_few_points_and_without_any_number_are_drawn(points: int) -> None:
    nothing = np.full(points, np.nan)
    series = Series.of(STEPS[:points], CLOCK[:points], nothing)
    run = Run("run", {"reward": series, "entropy": series, "td_loss": series})
    data = run_health_data(Runs.of([run]))
    assert set(data.findings["metric"]) == {"reward", "entropy", "td_loss"}
    # The clock of a single point says nothing.
    checked = 1 if points == 1 else 2
    assert verdicts(Runs.of([run])) == {"run": f"NaN or infinite ({checked} of 5 checked)"}
