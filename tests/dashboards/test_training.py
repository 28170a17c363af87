"""The training dashboard, without a browser: controls in, chart out."""

import numpy as np
import pytest

import tarslab as tl
from tarslab.charts.offline import VEGALITE_MIME
from tarslab.dashboards import TrainingDashboard
from tarslab.runs import Run, Runs, Series


@pytest.fixture(scope="module")
def runs() -> Runs:
    return tl.load(["bundled:cartpole", "bundled:pendulum"])


@pytest.fixture
def dashboard(runs: Runs) -> TrainingDashboard:
    return tl.dashboards.training(runs)


@pytest.fixture
def redraws(dashboard: TrainingDashboard) -> list[object]:
    """Every chart that the front end was sent since the start."""
    sent: list[object] = []
    dashboard.view.observe(lambda change: sent.append(change["new"]), names="spec")
    return sent


def lines(dashboard: TrainingDashboard) -> set[tuple[str, str]]:
    spec = dashboard.chart.to_dict()
    records = spec["datasets"][spec["data"]["name"]]
    return {(record["metric"], record["series"]) for record in records}


def test_it_opens_on_the_reward_by_algorithm_where_there_are_many_runs(dashboard) -> None:
    assert lines(dashboard) == {
        ("reward", "a2c · CartPole-v1"),
        ("reward", "dqn · CartPole-v1"),
        ("reward", "ppo · CartPole-v1"),
        ("reward", "ddpg · Pendulum-v1"),
    }


def test_it_opens_on_single_runs_where_there_are_few(runs: Runs) -> None:
    few = tl.dashboards.training(runs.select(algo="ppo"))
    assert len(lines(few)) == 5


@pytest.mark.parametrize(
    ("control", "value"),
    [
        *(("metric", "losses"), ("metric", "exploration"), ("metric", "entropy")),
        *(("by", "run"), ("x", "episode"), ("x", "relative"), ("band", False), ("algo", ("ppo",))),
        *(("env", ("Pendulum-v1",)), ("seed", (3, 4)), ("search", "seed_2"), ("window", 50)),
        *(("smoothing", 0.6), ("target", "475")),
    ],
)
def test_every_change_of_a_control_redraws_once(dashboard, redraws, control, value) -> None:
    getattr(dashboard, control).value = value
    assert len(redraws) == 1


def test_several_changes_can_share_one_redraw(dashboard, redraws) -> None:
    with dashboard.one_redraw():
        dashboard.algo.value = ("ppo",)
        dashboard.window.value = 30
        dashboard.by.value = "run"
    assert len(redraws) == 1
    assert len(lines(dashboard)) == 5


def test_runs_are_chosen_by_algorithm_environment_and_seed(dashboard) -> None:
    dashboard.algo.value = ("ppo",)
    dashboard.seed.value = (2,)
    assert dashboard.selected.names == ["cartpole/ppo/seed_2"]
    assert "1 of 20 runs" in dashboard.status.value
    dashboard.algo.value = ("a2c", "ppo")
    assert len(dashboard.selected) == 2
    dashboard.algo.value = dashboard.seed.value = ()
    assert len(dashboard.selected) == 20


def test_the_search_looks_into_names_and_hyperparameters(dashboard) -> None:
    dashboard.search.value = "SEED_4"
    assert len(dashboard.selected) == 4
    dashboard.search.value = "buffer_size=200000"
    assert set(dashboard.selected.table["algo"]) == {"ddpg"}


def test_toggles_choose_the_losses(dashboard, redraws) -> None:
    assert dashboard.loss_toggles.layout.display == "none"
    dashboard.metric.value = "losses"
    assert dashboard.loss_toggles.layout.display == "flex"
    before = len(redraws)
    others = [t for t in dashboard.loss_toggles.children if t.description != "td_loss"]
    for toggle in others:
        toggle.value = False
    assert len(redraws) == before + len(others)
    assert {metric for metric, _ in lines(dashboard)} == {"td_loss"}
    dashboard.loss_toggles.children[2].value = False
    assert "no loss is both chosen and logged" in dashboard.status.value


def test_a_choice_without_runs_says_so_and_hides_the_chart(dashboard) -> None:
    dashboard.algo.value = ("ppo",)
    dashboard.env.value = ("Pendulum-v1",)
    assert "Nothing to draw" in dashboard.status.value
    assert dashboard.selected is None
    assert dashboard.view.layout.visibility == "hidden"
    dashboard.env.value = ("CartPole-v1",)
    assert "5 of 20 runs" in dashboard.status.value
    assert dashboard.view.layout.visibility == "visible"


def test_a_metric_that_the_chosen_runs_lack_says_which_there_are(dashboard) -> None:
    dashboard.metric.value = "entropy"
    dashboard.algo.value = ("dqn",)
    assert "there are reward" in dashboard.status.value


@pytest.mark.parametrize("typed", ["high", "4,5", "<b>", "nan", "inf"])
def test_a_target_that_is_no_number_is_named_and_not_run_as_html(dashboard, typed) -> None:
    dashboard.target.value = typed
    assert "must be a number" in dashboard.status.value
    assert "<b>'" not in dashboard.status.value.replace("<b>Nothing to draw:</b>", "")


def test_runs_without_any_identity_can_be_looked_at() -> None:
    bare = Runs.of([Run("x", {"my/loss": Series.of([0, 1], [np.nan] * 2, [1.0, 2.0])})])
    dashboard = tl.dashboards.training(bare)
    assert lines(dashboard) == {("my/loss", "x")}


def test_runs_that_cannot_be_drawn_on_an_axis_are_named_under_the_controls() -> None:
    timed = Run("timed", {"reward": Series.of([0, 1], [5.0, 6.0], [1.0, 2.0])})
    timeless = Run("timeless", {"reward": Series.of([0], [np.nan], [1.0])})
    dashboard = tl.dashboards.training(Runs.of([timed, timeless]))
    dashboard.x.value = "wall_time"
    assert lines(dashboard) == {("reward", "timed")}
    assert "timeless has no wall times" in dashboard.status.value
    dashboard.search.value = "timeless"
    dashboard.x.value = "wall_time"
    assert "use x=" in dashboard.status.value


def test_a_page_without_a_kernel_gets_the_chart_beside_the_widgets(dashboard) -> None:
    bundle = dashboard._repr_mimebundle_()
    assert set(bundle) == {
        *(VEGALITE_MIME, "image/svg+xml", "text/plain"),
        "application/vnd.jupyter.widget-view+json",
    }
    assert bundle["text/plain"].startswith("<TrainingDashboard of <Runs: 20 runs")
