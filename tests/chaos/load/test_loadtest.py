"""Files of load, in the vocabulary of k6's options."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarslab.chaos.load import LoadTest
from tarslab.chaos.load.loadtest import shipped
from tarslab.errors import BadArgument

STEADY = {
    "executor": "constant-arrival-rate",
    "exec": "mixed",
    "rate": 10,
    "duration": "1m",
    "preAllocatedVUs": 5,
}

durations = st.integers(1, 10**7).map(lambda milliseconds: f"{milliseconds}ms")
texts = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8)
common = {
    "exec": st.sampled_from(["mixed", "jwt", "mine"]),
    "startTime": durations,
    "gracefulStop": durations,
    "tags": st.dictionaries(texts, texts, max_size=2),
    "env": st.dictionaries(texts, texts, max_size=2),
}
stages = st.lists(
    st.fixed_dictionaries({"duration": durations, "target": st.integers(0, 500)}),
    min_size=1,
    max_size=3,
)
pool = {"preAllocatedVUs": st.integers(1, 9), "maxVUs": st.integers(9, 99), "timeUnit": durations}


def executor(name: str, needed: dict[str, Any], optional: dict[str, Any]) -> Any:
    fixed = {"executor": st.just(name), **needed}
    others = {**common, **optional}
    left = {member: of for member, of in others.items() if member not in fixed and member != "exec"}
    return st.fixed_dictionaries({"exec": common["exec"], **fixed}, optional=left)


scenarios = st.one_of(
    executor(
        "constant-arrival-rate",
        {
            "rate": st.integers(1, 999),
            "duration": durations,
            "preAllocatedVUs": pool["preAllocatedVUs"],
        },
        pool,
    ),
    executor(
        "ramping-arrival-rate",
        {"stages": stages, "preAllocatedVUs": pool["preAllocatedVUs"]},
        {**pool, "startRate": st.integers(0, 99)},
    ),
    executor("constant-vus", {"duration": durations}, {"vus": st.integers(1, 99)}),
    executor(
        "ramping-vus",
        {"stages": stages},
        {"startVUs": st.integers(0, 99), "gracefulRampDown": durations},
    ),
)
promises = st.lists(
    st.one_of(
        st.sampled_from(["p(95)<500", "avg<=1.5", "max>0"]),
        st.fixed_dictionaries(
            {"threshold": st.just("p(99)<900")},
            optional={"abortOnFail": st.booleans(), "delayAbortEval": durations},
        ),
    ),
    min_size=1,
    max_size=3,
)
options = st.fixed_dictionaries(
    {
        "scenarios": st.dictionaries(
            st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), scenarios, min_size=1, max_size=3
        )
    },
    optional={
        "thresholds": st.dictionaries(
            st.sampled_from(["http_req_duration", "iteration_duration{scenario:a}", "mine"]),
            promises,
            max_size=2,
        )
    },
)


@given(options)
def test_what_is_written_is_read_as_the_same_again(given_options: dict[str, Any]) -> None:
    test = LoadTest.of(given_options)
    assert LoadTest.of(json.loads(test.dumps())) == test


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    test = LoadTest.of({"scenarios": {"a": STEADY}, "thresholds": {"checks": ["rate>0.9"]}})
    (tmp_path / "steady.json").write_text(test.dumps())
    (tmp_path / "steady.yaml").write_text(
        """
        scenarios:
          a:
            executor: constant-arrival-rate
            exec: mixed
            rate: 10
            duration: 1m
            preAllocatedVUs: 5
        thresholds:
          checks: ["rate>0.9"]
        """
    )
    by_json, by_yaml = (LoadTest.of(tmp_path / f"steady.{kind}") for kind in ("json", "yaml"))
    assert by_json == by_yaml == test.named("steady")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"executor": "constant-arival-rate"},
            r"scenarios\.a\.executor: .*did you mean 'constant-a",
        ),
        (
            {"executor": "shared-iterations"},
            "is none of constant-arrival-rate, ramping-arrival-rate",
        ),
        (
            {"rates": 5},
            r"scenarios\.a \(constant-arrival-rate\): no field 'rates'; there are .* rate",
        ),
        ({"duration": "1 m"}, r"scenarios\.a\.duration: a duration such as"),
        ({"rate": "10"}, r"scenarios\.a\.rate: expected `int`, got `str`"),
        ({"rate": 0}, r"scenarios\.a\.rate: at least 1, not 0"),
        ({"duration": "0s"}, r"scenarios\.a: its duration must be above 0"),
        ({"timeUnit": 0}, r"scenarios\.a\.timeUnit: must be above 0"),
        ({"maxVUs": 4}, r"scenarios\.a\.maxVUs: at least 1 and preAllocatedVUs \(5\), not 4"),
        ({"tags": {"a": 1}}, r"scenarios\.a\.tags"),
    ],
)
def test_an_error_says_where_and_what_can_be_written(
    change: dict[str, object], problem: str
) -> None:
    with pytest.raises(BadArgument, match=problem):
        LoadTest.of({"scenarios": {"a": STEADY | change}})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"scenarios": {}}, "scenarios: there is none"),
        ({"scenario": {}}, "no field 'scenario'; there are scenarios, thresholds .did you mean"),
        ({"scenarios": {"a b": STEADY}}, r"scenarios\.a b: a name has letters, digits"),
        ({"scenarios": {"a": {"executor": "constant-vus", "exec": "x"}}}, "lacks .*duration"),
        (
            {"scenarios": {"a": {"executor": "ramping-vus", "exec": "x", "stages": []}}},
            r"a\.stages: there is none",
        ),
        (
            {
                "scenarios": {
                    "a": {
                        "executor": "ramping-vus",
                        "exec": "x",
                        "stages": [{"duration": "1s", "target": -1}],
                    }
                }
            },
            r"a\.stages\[0\]\.target: at least 0, not -1",
        ),
        (
            {"scenarios": {"a": STEADY}, "thresholds": {"checks": "rate>1"}},
            r"thresholds\.checks: must be a list such as",
        ),
        (
            {"scenarios": {"a": STEADY}, "thresholds": {"checks": ["rate>1", "p95<1"]}},
            r"thresholds\.checks\[1\]: must be avg, min",
        ),
        (
            {"scenarios": {"a": STEADY}, "thresholds": {"a b": ["rate>1"]}},
            r"thresholds\.a b: must be a metric such as",
        ),
        ([], "must be a mapping"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(
    tmp_path: Path, content: object, problem: str
) -> None:
    path = tmp_path / "load.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BadArgument, match=problem) as raised:
        LoadTest.of(path)
    assert str(path) in str(raised.value)


def test_a_file_that_is_no_json_or_yaml_says_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{\n"scenarios": }')
    with pytest.raises(BadArgument, match="line 2, column 14: no JSON"):
        LoadTest.of(tmp_path / "a.json")
    (tmp_path / "a.yml").write_text("scenarios:\n  a: [\n")
    with pytest.raises(BadArgument, match="line 3, column 1: no YAML"):
        LoadTest.of(tmp_path / "a.yml")
    with pytest.raises(BadArgument, match="cannot be read"):
        LoadTest.of(tmp_path / "b.json")
    with pytest.raises(BadArgument, match=r"is a \.json, \.yaml or \.yml file"):
        LoadTest.of(Path(__file__))


def test_an_unknown_name_lists_those_that_are_shipped() -> None:
    with pytest.raises(BadArgument, match="jwt-stress, spike, sustained"):
        LoadTest.of("sustaind")
    assert shipped() == ("jwt-stress", "spike", "sustained")


def test_sustained_is_100_a_second_for_ten_minutes() -> None:
    test = LoadTest.of("sustained")
    assert (test.peak_rate, float(test.duration), test.name) == (100, 600, "sustained")
    assert test.to_options()["thresholds"] == {
        "http_req_duration": ["p(95)<500", "p(99)<1000"],
        "http_req_failed": ["rate<0.05"],
    }


def test_spike_goes_from_50_to_500_and_back_twice_in_six_minutes() -> None:
    test = LoadTest.of("spike")
    assert (test.peak_rate, float(test.duration)) == (500, 360)
    # The scenarios follow each other without a gap, at the rate at which the one before ended.
    corners = {
        (float(scenario.start_time + at), rate)
        for scenario in test.scenarios.values()
        for at, rate in scenario.path
    }
    assert sorted(corners) == [
        (0, 50),
        (60, 50),
        (75, 500),
        (135, 500),
        (150, 50),
        (210, 50),
        (225, 500),
        (285, 500),
        (300, 50),
        (360, 50),
    ]
    assert test.to_options()["thresholds"] == {
        "http_req_duration": ["p(95)<1000"],
        "http_req_failed{load:spike}": ["rate<0.15"],
    }


def test_jwt_stress_goes_from_10_to_200_users() -> None:
    test = LoadTest.of("jwt-stress")
    (scenario,) = test.scenarios.values()
    users = [value for _, value in scenario.path]
    assert (users[0], max(users), test.peak_rate) == (10, 200, 0)
    assert test.to_options()["thresholds"] == {
        "http_req_duration{name:login}": ["p(95)<200"],
        "jwt_verify_duration": ["p(95)<50"],
        "http_req_failed": ["rate<0.05"],
    }


@pytest.mark.parametrize("name", shipped())
def test_a_scale_changes_the_time_and_not_the_rates(name: str) -> None:
    test = LoadTest.of(name)
    scaled = test.scaled(0.01)
    assert scaled.duration == pytest.approx(test.duration / 100)
    assert scaled.peak_rate == test.peak_rate
    assert scaled.name == name
    for before, after in zip(test.scenarios.values(), scaled.scenarios.values(), strict=True):
        assert np.array(after.path) == pytest.approx(np.array(before.path) * (0.01, 1))
        assert after.graceful_stop == before.graceful_stop


def test_a_scale_also_changes_when_thresholds_are_first_looked_at() -> None:
    threshold = {"threshold": "rate>0.9", "abortOnFail": True, "delayAbortEval": "10s"}
    test = LoadTest.of({"scenarios": {"a": STEADY}, "thresholds": {"checks": [threshold]}})
    ((_, scaled),) = test.scaled(0.5).expressions
    assert (float(scaled.delay_abort_eval), scaled.abort_on_fail) == (5, True)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_is_above_0(scale: float) -> None:
    with pytest.raises(BadArgument, match="scale must be above 0"):
        LoadTest.of("sustained").scaled(scale)


def test_a_rate_counts_by_its_time_unit() -> None:
    test = LoadTest.of({"scenarios": {"a": STEADY | {"rate": 30, "timeUnit": "1m"}}})
    assert test.peak_rate == 0.5


def test_the_peak_rate_is_that_of_all_scenarios_at_the_same_time() -> None:
    later = STEADY | {"startTime": "30s", "rate": 7}
    after = STEADY | {"startTime": "2m", "rate": 12}
    test = LoadTest.of({"scenarios": {"a": STEADY, "b": later, "c": after}})
    assert test.peak_rate == 17
