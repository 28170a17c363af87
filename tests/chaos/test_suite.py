"""The suite on the real stack, and its reports."""

import json
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tarslab import charts
from tarslab.chaos.experiments import Event, ExperimentFailed
from tarslab.chaos.load.progress import Progress
from tarslab.chaos.platforms import LocalPlatform
from tarslab.chaos.suite import Entry, SuiteResult, compare_folders, run_suite
from tarslab.chaos.suite.reporting import as_json, as_junit, as_markdown, write_summaries
from tarslab.chaos.undo import Journal
from tarslab.errors import BadArgument
from tarslab.reports import write_suite_page
from tarslab.reports.suite_page import suite_page
from tarslab.stack import Stack
from tests.chaos.experiments import made
from tests.chaos.experiments.test_results import loaded, result

ENVIRONMENT = {"platform": {"version": "tarslab 0.1.0"}, "system": "Linux", "cores": 2}


def suite(*entries: Entry, folder: Path = Path("results")) -> SuiteResult:
    """One that took 10 s."""
    return SuiteResult(folder, entries, 0.0, 10.0, 1.0, ENVIRONMENT)


PASSED = Entry("resilience", "pause", "passed", 5.0, result=result(("recovery", "< 30")))
FAILED = Entry("resilience", "redis-outage", "failed", 5.0, result=result(("recovery", "< 1")))
INVALID = Entry("load", "spike", "invalid: generator-limited", 5.0, result=loaded(late=1000))
BROKEN = Entry("resilience", "pod-kill", "broken off", error="the stack | is <down>\x1b[0m")
SKIPPED = Entry("load", "jwt-stress", "skipped")


def test_a_suite_runs_in_order_and_keeps_everything(
    stack: Stack, platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    heard: list[tuple[str, type]] = []
    found = run_suite(
        stack,
        only=["pause", "sustained"],
        scale=0.01,
        cooldown=0,
        on_event=lambda name, what: heard.append((name, type(what))),
        out=tmp_path,
    )
    assert [(entry.kind, entry.name) for entry in found.entries] == [
        ("load", "sustained"),
        ("resilience", "pause"),
    ]
    assert set(heard) == {("sustained", Progress), ("pause", Event)}
    assert found.folder.parent == tmp_path
    kept = {str(path.relative_to(found.folder)) for path in found.folder.rglob("*.*")}
    assert {
        "environment.json",
        "junit.xml",
        "summary.json",
        "summary.md",
        "load/sustained/histograms.parquet",
        "resilience/pause/journal.json",
        "resilience/pause/probes.parquet",
        "resilience/pause/load/histograms.parquet",
    } <= kept
    said = json.loads((found.folder / "summary.json").read_text())
    assert said["verdict"] == found.verdict
    assert said["exit_code"] == found.exit_code
    assert len(found.summary()) == sum(len(entry.rows) for entry in found.entries)
    page = write_suite_page(found).read_text()
    # Three of the load test, three of the experiment.
    assert page.count('<figure class="chart">') == 6
    assert "src=" not in page.partition('<script type="module">')[0]
    secret = urlsplit(stack.redis_url).password
    assert secret
    for path in found.folder.rglob("*.*"):
        content = path.read_bytes()
        assert secret.encode() not in content, path
        assert stack.admin_password.encode() not in content, path

    changes, left_out = compare_folders(found.folder, found.folder)
    assert {change.change.estimate for change in changes.values()} == {0.0}
    assert {*changes, *left_out} == {"load/sustained", "resilience/pause/load"}


def test_what_breaks_off_does_not_keep_the_others_from_running(
    platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    found = run_suite(
        platform,
        target="http://127.0.0.1:1",
        only=["pause", "jwt-stress"],
        scale=0.01,
        cooldown=0,
        out=tmp_path,
    )
    assert [entry.verdict for entry in found.entries] == ["broken off"] * 2
    assert all("nobody accepts connections" in str(entry.error) for entry in found.entries)
    assert found.exit_code == 2
    assert write_suite_page(found).exists()


def test_ctrl_c_undoes_skips_the_rest_and_reports(
    stack: Stack, platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    def interrupt(name: str, what: Event | Progress) -> None:
        if isinstance(what, Event) and what.kind == "fault":
            signal.raise_signal(signal.SIGINT)

    found = run_suite(
        stack,
        only=["pause", "redis-outage"],
        scale=0.01,
        cooldown=0,
        on_event=interrupt,
        out=tmp_path,
    )
    assert [entry.verdict for entry in found.entries] == ["interrupted", "skipped"]
    assert found.exit_code == 130
    assert journal.entries() == ()
    assert "skipped" in (found.folder / "summary.md").read_text()
    assert (found.folder / "resilience" / "pause" / "probes.parquet").exists()
    assert write_suite_page(found).exists()
    platform.wait_ready("orchestration")


@pytest.mark.parametrize(
    ("entries", "verdict", "code"),
    [
        ([PASSED], "passed", 0),
        ([PASSED, INVALID], "invalid: generator-limited", 3),
        ([PASSED, INVALID, BROKEN], "broken off", 2),
        ([PASSED, INVALID, BROKEN, FAILED], "failed", 1),
        ([FAILED, SKIPPED], "interrupted", 130),
    ],
)
def test_the_exit_code_is_that_of_the_worst(entries: list[Entry], verdict: str, code: int):
    found = suite(*entries)
    assert (found.verdict, found.exit_code) == (verdict, code)
    assert found.passed == (code == 0)


def test_junit_has_a_case_for_each_criterion():
    root = ElementTree.fromstring(as_junit(suite(PASSED, FAILED, INVALID, BROKEN, SKIPPED)))

    def count(name: str) -> dict[str, Any]:
        (found,) = root.findall(f"testsuite[@name='{name}']")
        return {key: int(found.get(key, "-1")) for key in ("tests", "failures", "errors")} | {
            "skipped": int(found.get("skipped", "-1"))
        }

    none = {"failures": 0, "errors": 0, "skipped": 0}
    assert count("resilience.pause") == {**none, "tests": 1}
    assert count("resilience.redis-outage") == {**none, "tests": 1, "failures": 1}
    # A load without thresholds, of which nothing is known.
    assert count("load.spike") == {**none, "tests": 1, "errors": 1}
    assert count("resilience.pod-kill") == {**none, "tests": 1, "errors": 1}
    assert count("load.jwt-stress") == {**none, "tests": 1, "skipped": 1}
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "1.51 s (api), required < 1"


def test_the_summary_for_people_shows_what_was_measured():
    text = as_markdown(suite(PASSED, FAILED, BROKEN))
    assert text.startswith("# Chaos suite: failed\n")
    assert "| resilience | redis-outage | failed | 0 of 1 hold | 5 |" in text
    assert "| recovery < 1 | failed | 1.51 s (api), required < 1 |" in text
    assert "the stack \\| is <down>" in text


def test_the_summary_for_programs_has_no_figure_that_json_lacks():
    never = Entry("resilience", "pause", "failed", result=result(("recovery", "< 1"), faults=()))
    json.loads(json.dumps(as_json(suite(never))), parse_constant=pytest.fail)


def test_the_page_of_an_experiment_without_a_recovery_lacks_that_chart_alone():
    # It broke off before anything was probed after its faults.
    early = result(probes=made.result_of(made.probes("api", ["up"] * 10)), load=loaded())
    page = suite_page(suite(Entry("resilience", "pause", "broken off", result=early), PASSED))
    assert page.count("<h3>Time to recover</h3>") == 1
    # Two of this one, two of the other.
    assert page.count('<figure class="chart">') == 4


def test_a_chart_that_cannot_be_drawn_does_not_cost_the_page(monkeypatch: pytest.MonkeyPatch):
    def availability(*_: object) -> None:
        raise ValueError("no <room>")

    monkeypatch.setattr(charts, "availability", availability)
    page = suite_page(suite(PASSED))
    assert "It cannot be drawn: no &lt;room&gt;" in page
    assert page.count('<figure class="chart">') == 1


def test_arguments_that_cannot_be_used_are_said_before_anything_runs(
    platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    with pytest.raises(BadArgument, match=r"only: must be of sustained, .*, not 'sustain'"):
        run_suite(platform, only=["sustain"], out=tmp_path)
    with pytest.raises(BadArgument, match="only: nothing is left to run"):
        run_suite(platform, only=["spike"], skip_load=True, out=tmp_path)
    with pytest.raises(BadArgument, match="scale must be above 0"):
        run_suite(platform, scale=0, out=tmp_path)
    with pytest.raises(BadArgument, match="cooldown must be at least 0 s"):
        run_suite(platform, cooldown=-1, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(
    platform: LocalPlatform, journal: Journal, tmp_path: Path
):
    (tmp_path / "file").touch()
    with pytest.raises(ExperimentFailed, match="the results cannot be written"):
        run_suite(platform, out=tmp_path / "file" / "kept")
    with pytest.raises(ExperimentFailed, match=r"environment.json: the results cannot be written"):
        write_summaries(suite(PASSED, folder=tmp_path / "gone"))


def test_results_of_different_loads_are_not_compared(tmp_path: Path):
    loaded().save(tmp_path / "a" / "one")
    loaded().save(tmp_path / "b" / "two")
    with pytest.raises(BadArgument, match=r"no load in common \(one and two\)"):
        compare_folders(tmp_path / "a", tmp_path / "b")
    with pytest.raises(BadArgument, match="no folder of results"):
        compare_folders(tmp_path / "c", tmp_path / "b")


def test_an_experiment_is_compared_with_a_load(tmp_path: Path):
    loaded().save(tmp_path / "load")
    result(load=loaded()).save(tmp_path / "experiment")
    changes, _ = compare_folders(tmp_path / "load", tmp_path / "experiment")
    assert changes["load"].change.estimate == 0.0
