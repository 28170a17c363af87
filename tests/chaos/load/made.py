"""Results made by hand, to know what the tables must say."""

from collections.abc import Iterable, Mapping
from typing import Any

from tarslab.chaos.load import LoadResult
from tarslab.chaos.load.histograms import Cells
from tarslab.chaos.load.recording import Recorder
from tarslab.chaos.load.results import About

STEADY = {
    "executor": "constant-arrival-rate",
    "exec": "mixed",
    "rate": 10,
    "duration": "10s",
    "preAllocatedVUs": 5,
}
START = 1_700_000_000.0


class Made:
    """Takes samples as an engine does, and makes a result of them."""

    def __init__(
        self,
        thresholds: Mapping[str, list[Any]] | None = None,
        *,
        seconds: float = 10,
        **about: Any,
    ) -> None:
        options = {"scenarios": {"a": STEADY}, "thresholds": thresholds or {}}
        self.recorder = Recorder()
        self.about: dict[str, Any] = {
            "options": options,
            "name": "made",
            "target": "http://127.0.0.1:1",
            "engine": "embedded",
            "scale": 1.0,
            "started_at": START,
            "seconds": seconds,
        } | about

    def requests(
        self,
        second: int,
        milliseconds: Iterable[float],
        *,
        name: str = "login",
        error: str = "",
        dropped: bool = False,
    ) -> "Made":
        """Requests that were due in a second, and took so long."""
        tags = {"scenario": "a"} | ({"dropped": "true"} if dropped else {"name": name})
        if error:
            tags["error"] = error
        of = self.recorder.series
        duration = of("http_req_duration", "trend", tags)
        for each in milliseconds:
            self.recorder.time(second, duration, int(each * 1000))
            if not dropped:
                self.recorder.add(second, of("http_reqs", "counter", tags), 1)
                self.recorder.add(second, of("http_req_failed", "rate", tags), float(bool(error)))
                self.recorder.add(second, of("iterations", "counter", {"scenario": "a"}), 1)
        return self

    def drop(self, second: int, milliseconds: Iterable[float], cause: str = "target") -> "Made":
        """Arrivals that were dropped, and would have waited at least so long."""
        waits = list(milliseconds)
        tags = {"scenario": "a", "cause": cause}
        series = self.recorder.series("dropped_iterations", "counter", tags)
        self.recorder.add(second, series, len(waits), len(waits))
        return self.requests(second, waits, dropped=True)

    def late(self, milliseconds: Iterable[float]) -> "Made":
        """Dispatches, and how late they were."""
        series = self.recorder.series("dispatch_lateness", "trend", {"scenario": "a"})
        for each in milliseconds:
            self.recorder.time(0, series, int(each * 1000))
        return self

    def result(self) -> LoadResult:
        """What came of it."""
        batch = self.recorder.take()
        cells = Cells.of(batch, range(len(batch.series)))
        return LoadResult(About(**self.about), batch.series, cells)
