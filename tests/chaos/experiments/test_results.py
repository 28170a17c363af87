"""Results of experiments: verdicts, and what is kept of them."""

import json
import math
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from msgspec import structs

from tarslab.chaos.experiments import ExperimentFailed, ExperimentResult
from tarslab.chaos.experiments.measures import Criterion, Observed
from tarslab.chaos.experiments.results import About
from tarslab.chaos.experiments.writing import Write, Writes
from tarslab.chaos.load import LoadResult
from tarslab.errors import BadArgument
from tarslab.stats import bootstrap_ci, mean
from tests.chaos.experiments import made
from tests.chaos.load.made import Made

ABOUT = About(
    name="redis-outage",
    title="Do they go on?",
    description="They should.",
    target="http://127.0.0.1:1",
    started_at=0.0,
    ended_at=5.0,
    scale=1.0,
    status="completed",
    error=None,
    interrupted=False,
    environment={"tarslab": "0.1.0"},
)
# The service is back 0.51, 1.01 and 1.51 s after the three faults.
OUTCOMES = (
    ["up"] * 20
    + ["down"] * 30
    + ["up"] * 30
    + ["down"] * 40
    + ["up"] * 40
    + ["down"] * 50
    + ["up"] * 40
)
FAULTS = (
    made.window(1.0, 2.0),
    made.window(4.0, 5.0, repeat=1),
    made.window(8.0, 9.0, repeat=2),
)
WRITES = Writes(
    (
        Write(0, "a 0", 1.0, 1.1, 201, "", True, True),
        Write(1, "a 1", 1.1, 1.2, 503, "Unavailable", False, False),
        Write(2, "a 2", 1.2, 1.3, 0, "Unavailable", False),
    ),
    repeated=0,
)


def result(*required: tuple[str, str], **more: Any) -> ExperimentResult:
    """Of three outages, judged by criteria."""
    about = more.pop("about", ABOUT)
    observed = Observed(made.result_of(made.probes("api", OUTCOMES)), FAULTS, writes=WRITES)
    observed = replace(observed, **more)
    criteria = [Criterion.of(made.criterion(*each)) for each in required]
    rows = tuple(each.judge(observed) for each in criteria)
    return ExperimentResult(about, rows, observed, {"status": "completed"}, {"title": "t"})


def loaded(late: float = 0.0) -> LoadResult:
    """A load from 0 to 10 s, with 2 requests a second: both fail from 2 to 4 s.

    late: milliseconds of its generator.
    """
    made = Made(started_at=0.0).late([late] * 10)
    for second in range(10):
        made.requests(second, [10, 20], error="HTTP 503" if second in (2, 3) else "")
    return made.result()


def test_it_passes_where_every_criterion_holds():
    found = result(("recovery", "< 30"), ("lost_writes", "== 0"))
    # Write 2 was not looked for, and need not be: it was not acknowledged.
    assert found.verdict == "passed"
    assert found.exit_code == 0
    assert found.criteria["passed"].tolist() == [True, True]


def test_it_fails_where_one_does_not_and_says_which():
    found = result(("recovery", "< 1"), ("downtime", "< 10"))
    assert (found.verdict, found.exit_code) == ("failed", 1)
    assert "recovery < 1: 1.51 s (api), required < 1" in found.explain()


def test_a_load_limited_by_its_generator_never_passes():
    found = result(("recovery", "< 30"), load=loaded(late=1000))
    assert (found.verdict, found.exit_code) == ("invalid: generator-limited", 3)


def test_what_such_a_load_measured_is_not_known_and_fails_nothing():
    found = result(("success", "> 2"), load=loaded(late=1000))
    assert found.criteria["passed"].tolist() == [None]
    assert found.verdict == "invalid: generator-limited"


def test_a_load_that_a_threshold_has_ended_fails():
    def verdict(late: float) -> str:
        ended = Made(started_at=0.0, aborted_by="http_req_failed: rate<0.1").requests(0, [10])
        return result(("recovery", "< 30"), load=ended.late([late] * 10).result()).verdict

    assert verdict(late=0) == "failed"
    # Of a load that came late, its threshold says nothing either.
    assert verdict(late=1000) == "invalid: generator-limited"


def test_what_others_measured_fails_beside_such_a_load():
    assert result(("recovery", "< 1"), load=loaded(late=1000)).verdict == "failed"


def test_one_that_broke_off_or_was_interrupted_does_not_pass():
    broken = structs.replace(ABOUT, error="the stack is down")
    assert result(("recovery", "< 30"), about=broken).exit_code == 2
    assert "the stack is down" in result(about=broken).explain()
    assert result(about=structs.replace(ABOUT, interrupted=True)).exit_code == 130


def test_success_is_told_by_the_phases_of_the_load():
    one = Observed(made.result_of([]), (made.window(2.0, 4.0),), loaded())

    def success(part: str) -> float:
        return float(
            Criterion.of(made.criterion("success", "> 0", part=part)).judge(one)["measured"]
        )

    # 20 requests, of which the 4 of 2 to 4 s fail.
    assert [success(part) for part in ("before", "during", "after", "run")] == [1, 0, 1, 0.8]


def test_an_arrival_that_the_target_left_no_user_for_has_failed():
    made_load = Made(started_at=0.0)
    for second in range(10):
        made_load.requests(second, [10, 20])
    # Beside the four requests of 2 to 4 s that are answered.
    made_load.drop(2, [500, 500]).drop(3, [500] * 10)
    one = Observed(made.result_of([]), (made.window(2.0, 4.0),), made_load.result())
    row = Criterion.of(made.criterion("success", "> 0.5")).judge(one)
    assert row["measured"] == 0.25
    assert row["note"] == "of 4 requests, and 12 arrivals that were dropped, as all users waited"
    assert row["passed"] is False


def test_where_all_arrivals_were_dropped_none_has_succeeded():
    dropped = Made(started_at=0.0).requests(0, [10]).drop(2, [500]).drop(3, [500])
    one = Observed(made.result_of([]), (made.window(2.0, 4.0),), dropped.result())
    assert Criterion.of(made.criterion("success", "> 0")).judge(one)["measured"] == 0.0


def test_latency_is_told_by_the_phases_of_the_load():
    one = Observed(made.result_of([]), (made.window(2.0, 4.0),), loaded())
    row = Criterion.of(made.criterion("latency", "< 50", quantile="p99")).judge(one)
    assert row["measured"] == pytest.approx(20, rel=1e-3)
    assert row["unit"] == "ms"


def test_recoveries_have_a_row_for_each_fault_and_service():
    found = result().recoveries
    assert found["repeat"].tolist() == [0, 1, 2]
    assert found["recovery"].to_numpy() == pytest.approx([0.51, 1.01, 1.51])
    # From the first failed probe to the next good one.
    assert found["downtime"].to_numpy() == pytest.approx([1.5, 2.0, 2.5])
    # The first failed probe is sent as the fault begins, and has failed 10 ms later.
    assert found["detected"].to_numpy() == pytest.approx([0.01] * 3)
    assert found["failed"].tolist() == [30, 40, 50]


def test_the_mean_time_to_recover_has_a_bootstrap_interval():
    interval = result().recovery("api")
    assert interval.estimate == pytest.approx((0.51 + 1.01 + 1.51) / 3)
    assert interval == pytest.approx(bootstrap_ci(np.array([0.51, 1.01, 1.51]), mean))


def test_the_interval_is_unknown_for_one_fault_and_infinite_without_a_recovery():
    once = result(faults=FAULTS[:1], probes=made.result_of(made.probes("api", OUTCOMES[:80])))
    assert math.isnan(once.recovery("api").low)
    never = result(faults=FAULTS[:1], probes=made.result_of(made.probes("api", ["down"] * 80)))
    assert never.recovery("api").estimate == math.inf


def test_a_service_of_its_own_faults_is_summed_up_over_these():
    own = (
        made.window(1.0, 2.0, "kill api", services=("api",)),
        made.window(4.0, 5.0, "kill other", services=("other",)),
    )
    assert result(faults=own).recovery("api").estimate == pytest.approx(0.51)


def test_what_is_saved_is_read_again(tmp_path: Path):
    before = result(("recovery", "< 1"), ("lost_writes", "== 0"), load=loaded())
    after = ExperimentResult.load(before.save(tmp_path / "kept"))
    assert after.about == before.about
    assert after.verdict == before.verdict
    assert after.faults == before.faults
    assert after.probes == before.probes
    pd.testing.assert_frame_equal(after.criteria, before.criteria)
    pd.testing.assert_frame_equal(after.recoveries, before.recoveries)
    pd.testing.assert_frame_equal(after.writes, before.writes)
    assert after.load_result is not None
    assert before.load_result is not None
    pd.testing.assert_frame_equal(after.load_result.summary(), before.load_result.summary())
    assert after.journal == before.journal


def test_what_is_infinite_or_unknown_is_so_after_saving_too(tmp_path: Path):
    never = result(
        ("recovery", "< 30"),
        ("success", "> 0"),
        probes=made.result_of([*made.probes("api", ["down"] * 220)]),
    )
    rows = ExperimentResult.load(never.save(tmp_path)).criteria
    assert rows["measured"].tolist()[0] == math.inf
    assert math.isnan(rows["measured"].tolist()[1])
    json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)


def test_a_folder_without_a_result_or_with_a_damaged_one_is_named(tmp_path: Path):
    with pytest.raises(BadArgument, match=r"no results of an experiment there \(result.json is"):
        ExperimentResult.load(tmp_path)
    folder = result(("recovery", "< 1")).save(tmp_path)
    (folder / "probes.parquet").write_bytes(b"no parquet")
    with pytest.raises(BadArgument, match="results of an experiment that cannot be read"):
        ExperimentResult.load(folder)


def test_a_full_disk_is_said_and_the_result_is_not_lost(tmp_path: Path):
    # A limit on the size of files is as good as a disk without room.
    script = textwrap.dedent(
        f"""
        import resource
        from pathlib import Path
        from tarslab.chaos.experiments import ExperimentFailed
        from tests.chaos.experiments.test_results import result
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            result(("recovery", "< 30")).save(Path({str(tmp_path)!r}) / "kept")
        except ExperimentFailed as error:
            print(error.result.verdict, error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith(f"passed {tmp_path / 'kept'}: the results cannot be written"), (
        done.stderr
    )


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ExperimentFailed, match="file/kept: the results cannot be written"):
        result().save(tmp_path / "file" / "kept")
