"""Logs that are read while they are written to."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tarslab import bundled
from tarslab.runs.formats import FORMATS, Format
from tarslab.runs.formats.parallel import careful
from tarslab.runs.formats.tfevents import tailing
from tarslab.runs.recording import Recording

RUN = bundled.data("cartpole") / "ppo" / "seed_0"
BY_NAME: dict[str, Format] = {format.NAME: format for format in FORMATS}
FILES = {
    "tfevents": "events.out.tfevents.1",
    "monitor": "monitor.csv",
    "csv": "progress.csv",
    "json": "metrics.jsonl",
    "mlflow": "metrics/reward",
}
MONITOR = (RUN / "0.monitor.csv").read_bytes().splitlines(keepends=True)
LOGS = {
    "tfevents": next(RUN.glob("events.out.tfevents.*")).read_bytes()[:30_000],
    "monitor": b"".join(MONITOR[:2] + 20 * MONITOR[2:]),
    "csv": (RUN / "progress.csv").read_bytes(),
    "json": b"".join(b'{"step": %d, "reward": %d.5}\n' % (n, n) for n in range(300)),
    "mlflow": b"".join(b"%d %d.5 %d\n" % (1_700_000_000_000 + n, n, n) for n in range(300)),
}


class Growing:
    """A log, and one that follows it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.format = BY_NAME[name]
        self.path = folder / FILES[name]
        self.path.parent.mkdir(exist_ok=True)
        self.path.unlink(missing_ok=True)
        (folder / "meta.yaml").write_text("run_id: a1\nlifecycle_stage: active\n")
        self.follow: Callable[[list[Path]], list[Recording]] = partial(
            careful, name, self.format.follow()
        )

    def assert_followed_as_read_anew(self) -> None:
        """All but the warnings: what is cut off may be still to come."""
        (anew,) = self.format.read_all([[self.path]])
        for followed, expected in zip(self.follow([self.path]), anew, strict=True):
            assert (followed.run, followed.config) == (expected.run, expected.config)
            assert followed.series.keys() == expected.series.keys()
            for tag, series in expected.series.items():
                for column, of_file in zip(followed.series[tag], series, strict=True):
                    np.testing.assert_array_equal(column, of_file)


@pytest.mark.parametrize("name", LOGS)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.floats(0, 1), min_size=1, max_size=5))
@example(cuts=[0.99999])
def test_a_growing_log_reads_as_it_would_anew_wherever_it_was_cut(
    name: str, tmp_path: Path, cuts: list[float]
) -> None:
    log = Growing(name, tmp_path)
    for cut in sorted(cuts):
        with log.path.open("ab") as file:
            file.write(LOGS[name][file.tell() : int(cut * len(LOGS[name]))])
        log.assert_followed_as_read_anew()


@pytest.mark.parametrize("name", LOGS)
def test_a_log_that_is_truncated_is_read_from_its_start(name: str, tmp_path: Path) -> None:
    log = Growing(name, tmp_path)
    log.path.write_bytes(LOGS[name])
    log.assert_followed_as_read_anew()
    os.truncate(log.path, len(LOGS[name]) // 2)
    log.assert_followed_as_read_anew()


@pytest.mark.parametrize("name", LOGS)
def test_a_log_whose_file_was_replaced_is_read_from_its_start(name: str, tmp_path: Path) -> None:
    log = Growing(name, tmp_path)
    log.path.write_bytes(LOGS[name][: len(LOGS[name]) // 2])
    log.assert_followed_as_read_anew()
    other = tmp_path / "other"
    other.write_bytes(LOGS[name])
    other.replace(log.path)
    log.assert_followed_as_read_anew()


def test_a_log_that_was_written_anew_and_is_longer_by_now_is_read_from_its_start(
    tmp_path: Path,
) -> None:
    log = Growing("json", tmp_path)
    log.path.write_bytes(LOGS["json"][:1_000])
    log.assert_followed_as_read_anew()
    log.path.write_bytes(LOGS["json"].replace(b".5", b".7"))
    log.assert_followed_as_read_anew()


@pytest.mark.parametrize("name", LOGS)
def test_only_new_bytes_are_read(name: str, tmp_path: Path) -> None:
    log = Growing(name, tmp_path)
    half = LOGS[name].rfind(b"\n", 0, len(LOGS[name]) // 2) + 1
    log.path.write_bytes(LOGS[name][:half])
    log.follow([log.path])
    with log.path.open("ab") as file:
        file.write(LOGS[name][half : half + 200])
    before = bytes_read()
    log.follow([log.path])
    assert bytes_read() - before < 2_000 < half


def bytes_read() -> int:
    """What this process has asked files for, by the kernel's count."""
    status = Path("/proc/self/io")
    if not status.exists():
        pytest.skip("the kernel does not count the bytes that a process reads")
    (count,) = re.findall(r"rchar: (\d+)", status.read_text())
    return int(count)


def test_a_large_event_file_is_followed_by_the_compiled_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "COMPILED_PAYS", 10_000)
    log = Growing("tfevents", tmp_path)
    log.path.write_bytes(LOGS["tfevents"][:20_000])
    log.assert_followed_as_read_anew()
    log.path.write_bytes(LOGS["tfevents"])
    log.assert_followed_as_read_anew()
