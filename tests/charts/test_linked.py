"""The linked panels of a study."""

import json

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from tarslab.charts import offline
from tarslab.charts.linked import linked_trials, linked_trials_data
from tarslab.errors import BadArgument, NoTrials
from tarslab.studies import Study, load_study

MINIMIZE, MAXIMIZE = optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE


def study(n: int, objectives: int = 2, parameters: int = 3) -> Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    random = np.random.default_rng(0)
    space = {f"net.p[{place}]": FloatDistribution(0, 1) for place in range(parameters)}
    searched = optuna.create_study(directions=[MINIMIZE, MAXIMIZE][:objectives])
    searched.add_trials(
        [
            create_trial(
                params={name: float(random.random()) for name in space},
                distributions=dict(space),
                values=random.normal(size=objectives).tolist(),
            )
            for _ in range(n)
        ]
    )
    return load_study(searched)


def test_every_panel_knows_the_brush() -> None:
    spec = linked_trials(study(10), objectives=[0, 1]).to_dict()
    panels = [panel for row in spec["vconcat"] for panel in row["hconcat"]]
    (brush,) = spec["params"]
    assert len(panels) == 5
    assert brush["views"] == [panel["name"] for panel in panels]
    assert {panel["encoding"]["opacity"]["condition"]["param"] for panel in panels} == {"brush"}
    assert panels[1]["encoding"]["x"]["title"] == "value 1 (higher is better)"


def test_only_the_trials_asked_for_are_drawn() -> None:
    data = linked_trials_data(study(10), numbers=[3, 5])
    assert data.table["number"].tolist() == [3, 5]
    with pytest.raises(NoTrials, match="none of these trials"):
        linked_trials(study(10), numbers=[])
    with pytest.raises(BadArgument, match="no parameter x"):
        linked_trials(study(10), params=["x"])


def test_fifty_thousand_trials_fit_into_a_page_with_their_frontier() -> None:
    many = study(50_000)
    spec = linked_trials(many, objectives=[0, 1]).to_dict()
    # A page holds both, and a megabyte of Vega.
    assert len(json.dumps(spec)) + len(offline.svg(spec)) < 2_000_000
    (records,) = spec["datasets"].values()
    assert set(many.front()["number"]) <= {record["number"] for record in records}
