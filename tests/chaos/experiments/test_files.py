"""Files of experiments: those that come with tarslab, and what is wrong with others."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tarslab.chaos.experiments import Experiment, shipped, shipped_path
from tarslab.errors import BadArgument
from tests.chaos.experiments import made

GOOD = made.experiment(
    made.action("wait", seconds=1),
    made.load(),
    criteria=[made.criterion("recovery", "< 30")],
    configuration={"repeats": 3},
)


def test_those_that_the_issue_names_come_with_tarslab():
    assert shipped() == (
        "kill-during-rotation",
        "pause",
        "pod-kill",
        "redis-latency",
        "redis-outage",
    )


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_one_has_a_steady_state_criteria_and_is_always_rolled_back(name: str):
    of = Experiment.of(name)
    assert of.content["steady-state-hypothesis"]["probes"]
    assert of.content["runtime"]["rollbacks"]["strategy"] == "always"
    assert [each["provider"]["func"] for each in of.content["rollbacks"]] == ["undo"]
    assert of.criteria


def required(name: str) -> set[tuple[str, str, str]]:
    """Measure, service and requirement of each criterion."""
    return {
        (each.measure.name, each.arguments.get("service", ""), each.required)
        for each in Experiment.of(name).criteria
    }


def test_the_promises_are_those_of_the_issue():
    assert {
        ("success", "", "> 0.5"),
        ("mode_seen", "", ">= 1"),
        ("recovery", "", "< 30"),
        ("lost_writes", "", "== 0"),
        ("count", "", ">= 1"),
    } <= required("redis-outage")
    for service in ("orchestration", "automl", "hypersync"):
        assert {("recovery", service, "< 30"), ("downtime", service, "< 10")} <= (
            required("pod-kill")
        )
    delays = [
        each["provider"]["arguments"]["milliseconds"]
        for each in Experiment.of("redis-latency").activities
        if each["provider"]["func"] == "latency"
    ]
    assert delays == [100, 300, 1000]


def test_chaos_toolkit_finds_a_shipped_one_valid():
    command = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file"]
    done = subprocess.run(
        [*command, "validate", str(shipped_path("redis-outage"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_json_yaml_and_a_mapping_are_the_same(tmp_path: Path):
    (tmp_path / "one.json").write_text(json.dumps(GOOD))
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(GOOD))
    read = [Experiment.of(tmp_path / "one.json"), Experiment.of(str(tmp_path / "one.yaml"))]
    assert [of.content for of in read] == [Experiment.of(GOOD).content] * 2
    assert [of.name for of in read] == ["one", "one"]


def test_variables_take_the_place_of_the_configuration_and_no_others_are_known():
    of = Experiment.of(GOOD).with_variables({"repeats": 1})
    assert of.content["configuration"] == {"repeats": 1}
    with pytest.raises(BadArgument, match="variables: experiment has repeats, and not 'times'"):
        Experiment.of(GOOD).with_variables({"times": 1})


def changed(path: str, value: Any) -> dict[str, Any]:
    """``GOOD`` with another value at a path; None takes it away."""
    content = copy.deepcopy(GOOD)
    *way, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    place: Any = content
    for key in way:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


ARGUMENTS = r"method\[0\] \(wait\)"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (changed("title", None), r"experiment: title: missing"),
        (changed("method", None), r"experiment: method: missing"),
        (changed("rollback", []), r"rollback: not known .* did you mean rollbacks\?"),
        (changed("method", {}), r"method: must be a list of activities"),
        (changed("method/0", "wait"), r"method\[0\]: must be a mapping"),
        (changed("method/0/type", "deed"), ARGUMENTS + ": 'deed' is not a supported"),
        (changed("method/0/provider/module", "no.such"), ARGUMENTS + ": could not find .*no.such"),
        (changed("method/0/provider/func", "fly"), ARGUMENTS + ": .*'fly'"),
        (changed("method/0/provider/arguments", {}), ARGUMENTS + ": required argument 'seconds'"),
        (changed("method/0/provider/arguments/days", 1), ARGUMENTS + ": argument 'days' is not"),
        (
            changed("method/1/provider/arguments/scenario/scenarios/users/executor", "fast"),
            r"method\[1\] \(load\).provider.arguments.scenario: .*scenarios.users.executor: 'fast'",
        ),
        (
            changed("extensions/0/criteria/0/measure", "luck"),
            r"extensions\[0\].criteria\[0\].measure: must be one of .*, not 'luck'",
        ),
        (
            changed("extensions/0/criteria/0/required", "soon"),
            r"criteria\[0\].required: must be such as '< 30', not 'soon'",
        ),
        (
            changed("extensions/0/criteria/0/colour", "red"),
            r"criteria\[0\].measure: recovery: .*'colour'",
        ),
        (changed("steady-state-hypothesis", {"title": ""}), r"hypothesis requires a title"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(content: dict[str, Any], says: str):
    with pytest.raises(BadArgument, match=says):
        Experiment.of(content)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("one.json", '{"title": ', r"one.json, line 1, column 11: no JSON"),
        ("one.yaml", "title: [", r"one.yaml, line \d+, column \d+: no YAML"),
        ("one.yaml", "- a\n", r"one.yaml: must be a mapping"),
        ("one.txt", "title: a", r"one.txt: an experiment is a .json, .yaml or .yml file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, says: str
):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadArgument, match=says):
        Experiment.of(tmp_path / name)


def test_a_name_that_is_not_known_lists_those_that_are():
    with pytest.raises(BadArgument, match=r"no file, and none of those .*redis-outage"):
        Experiment.of("redis-outrage")
