"""The AutoML dashboard, without a browser: controls and brushes in, trials and curves out."""

import math
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

import tarslab as tl
from tarslab.charts.offline import VEGALITE_MIME
from tarslab.dashboards import AutoMLDashboard
from tarslab.errors import BadArgument
from tarslab.runs import Run, Runs, Series

SPACE: dict[str, BaseDistribution] = {
    "net.rate[0]": FloatDistribution(1e-5, 1e-1, log=True),
    "layers": IntDistribution(1, 4),
    "activation": CategoricalDistribution(["relu", "tanh"]),
}


def searched(objectives: int = 1) -> optuna.Study:
    """Trials 0 to 39: the rate grows by a tenth of a decade, the value is the number."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=[optuna.study.StudyDirection.MINIMIZE] * objectives)
    for number in range(40):
        params = {
            "net.rate[0]": 10 ** (-5 + number / 10),
            "layers": 1 + number % 4,
            "activation": ("relu", "tanh")[number % 2],
        }
        failed = number % 10 == 9
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if failed else TrialState.COMPLETE,
                values=None if failed else [float(number), 40.0 - number][:objectives],
                params=params,
                distributions=SPACE,
            )
        )
    return study


@pytest.fixture
def runs() -> Runs:
    """The learning curves of the first 20 trials."""
    return Runs.of(
        [
            Run(
                f"trial_{number}",
                {"reward": Series.of(range(5), [np.nan] * 5, [number] * 5)},
                algo="ppo",
                episodic=True,
            )
            for number in range(20)
        ]
    )


@pytest.fixture
def dashboard(runs: Runs) -> AutoMLDashboard:
    return tl.dashboards.automl(searched(), runs)


def numbers(dashboard: AutoMLDashboard) -> list[int]:
    return [int(number) for number in dashboard.selected_trials["number"]]


def drawn(dashboard: AutoMLDashboard) -> set[int]:
    return {int(str(record["number"])) for record in records(dashboard.chart)}


def brush(dashboard: AutoMLDashboard, **fields: Any) -> None:
    """As the front end tells of a box."""
    selections = dashboard.view._vl_selections
    dashboard.view._vl_selections = {**selections, "brush": {"value": fields, "store": []}}


def test_all_trials_are_selected_at_first(dashboard: AutoMLDashboard) -> None:
    assert numbers(dashboard) == list(range(40))
    # Those that failed have no value to be drawn at.
    assert drawn(dashboard) == {n for n in range(40) if n % 10 != 9}
    assert "40 of 40 trials" in dashboard.status.value


def test_states_ranges_and_choices_filter(dashboard: AutoMLDashboard) -> None:
    controls = dashboard._of_parameter
    dashboard.states.value = ("COMPLETE",)
    controls["activation"].value = ("relu",)
    controls["layers"].value = (3, 4)
    assert numbers(dashboard) == [n for n in range(40) if n % 4 == 2]
    # On a scale of exponents: 1e-3 is the rate of trial 20.
    controls["net.rate[0]"].value = (-3, controls["net.rate[0]"].max)
    assert numbers(dashboard) == [n for n in range(20, 40) if n % 4 == 2]
    assert drawn(dashboard) == set(numbers(dashboard))


def test_a_box_selects_the_trials_in_it(dashboard: AutoMLDashboard) -> None:
    brush(dashboard, number=[10, 14.5], value=[0, 12])
    assert numbers(dashboard) == [10, 11, 12]
    brush(dashboard, params_activation=["tanh"], value=[0, 4])
    assert numbers(dashboard) == [1, 3]
    brush(dashboard)
    assert len(numbers(dashboard)) == 40


def test_a_box_over_a_parameter_with_a_name_that_vega_reads_as_a_path(dashboard) -> None:
    (field,) = {
        panel["encoding"]["x"]["field"]
        for row in dashboard.chart.to_dict()["vconcat"][1:]
        for panel in row["hconcat"]
        if panel["encoding"]["x"]["title"] == "net.rate[0]"
    }
    assert "." not in field
    brush(dashboard, **{field: [1e-5, 10**-4.65], "value": [-1, 100]})
    assert numbers(dashboard) == [0, 1, 2, 3]


def test_selected_trials_show_how_they_learned(dashboard: AutoMLDashboard) -> None:
    brush(dashboard, number=[17, 25], value=[0, 100])
    assert "2 of them have learning curves" in dashboard.status.value
    (curves,) = dashboard.curves.children
    # Trial 19 failed: it has no value, and lies in no box.
    assert {record["series"] for record in records(curves.chart)} == {"trial_17", "trial_18"}
    brush(dashboard, number=[30, 35], value=[0, 100])
    assert dashboard.curves.children == ()


def records(chart: object) -> list[dict[str, object]]:
    spec = chart.to_dict()  # type: ignore[attr-defined]
    found: list[dict[str, object]] = spec["datasets"][spec["data"]["name"]]
    return found


def test_two_objectives_are_drawn_against_each_other() -> None:
    dashboard = tl.dashboards.automl(searched(objectives=2))
    first, second = dashboard.chart.to_dict()["vconcat"][0]["hconcat"]
    assert first["encoding"]["x"]["field"] == "number"
    assert second["encoding"]["x"]["field"] == "values_1"
    assert second["encoding"]["y"]["field"] == "values_0"
    dashboard.first.value, dashboard.second.value = 1, None
    (only,) = dashboard.chart.to_dict()["vconcat"][0]["hconcat"]
    assert only["encoding"]["y"]["field"] == "values_1"
    brush(dashboard, values_1=[1, 4], number=[0, 100])
    assert numbers(dashboard) == [36, 37, 38]


def test_nothing_left_is_said_and_hides_the_panels(dashboard: AutoMLDashboard) -> None:
    dashboard.states.value = ("FAIL",)
    assert "Nothing to draw" in dashboard.status.value
    assert dashboard.view.layout.visibility == "hidden"
    assert [n % 10 for n in numbers(dashboard)] == [9] * 4
    dashboard.states.value = ()
    assert dashboard.view.layout.visibility == "visible"


def test_runs_are_linked_by_their_configuration_before_their_name(runs: Runs) -> None:
    table = runs.table.assign(**{"hp.trial": range(19, -1, -1)})
    dashboard = tl.dashboards.automl(searched(), Runs(runs.scalars, table))
    assert dashboard._trial_of is not None
    assert dashboard._trial_of["trial_0"] == 19
    unlinked = Runs.of([Run("ppo/seed_0", {"reward": Series.of([0], [0], [1])})])
    with pytest.raises(BadArgument, match="none says which trial"):
        tl.dashboards.automl(searched(), unlinked)


def test_runs_may_be_given_by_their_path_or_left_out() -> None:
    study = tl.load_study("bundled:automl/studies.db", "cartpole-a2c")
    dashboard = tl.dashboards.automl(study, "bundled:automl/runs")
    assert dashboard.runs is not None
    assert len(dashboard.runs) == 150
    assert tl.dashboards.automl(study, "").runs is None


def test_a_page_without_a_kernel_gets_the_panels(dashboard: AutoMLDashboard) -> None:
    bundle = dashboard._repr_mimebundle_()
    assert VEGALITE_MIME in bundle
    assert "Study" in bundle["text/plain"]


def test_the_range_of_a_logarithmic_parameter_keeps_its_ends(dashboard: AutoMLDashboard) -> None:
    control = dashboard._of_parameter["net.rate[0]"]
    assert math.isclose(control.min, -5)
    control.value = (control.min + control.step, control.max)
    control.value = (control.min, control.max)
    assert len(numbers(dashboard)) == 40
    assert isinstance(dashboard.selected_trials, pd.DataFrame)
