"""What engines report, put together while it comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from msgspec import structs
from pyarrow import parquet

from tarslab.chaos.load.engine.frames import Measured, Points
from tarslab.chaos.load.errors import LoadFailed
from tarslab.chaos.load.evaluation import evaluate, measured, selected
from tarslab.chaos.load.histograms import Cells
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.progress import Progress
from tarslab.chaos.load.recording import Series
from tarslab.chaos.load.thresholds import METRICS, Selector

SCHEMA = pa.schema(
    [(name, pa.float64()) for name in ("due", "sent", "done")]
    + [(name, pa.string()) for name in ("scenario", "name", "method")]
    + [("status", pa.int32()), ("error", pa.string())]
)


class Gathering:
    """All that the shards of a run have reported so far."""

    def __init__(self, test: LoadTest, points: Path | None) -> None:
        self.test = test
        self.aborted_by: str | None = None
        """The threshold with abortOnFail that is broken."""
        self.elapsed = 0.0
        self.unfinished = 0
        self.points = points
        self._writer: Any = None
        self._numbers: dict[Series, int] = {}
        self._of_shard: dict[int, list[int]] = {}
        self._cells: list[Cells] = []
        # The whole run as if it were one second: as large as a histogram for each series.
        self._whole = Cells.join([])
        self._cpu: dict[int, float] = {}
        self._users: dict[int, float] = {}
        self._last = (0.0, 0)

    @property
    def cpu_seconds(self) -> float:
        """Of processor, of all shards."""
        return sum(self._cpu.values())

    @property
    def series(self) -> list[Series]:
        """In the order of the numbers that the cells have."""
        return list(self._numbers)

    @property
    def cells(self) -> Cells:
        """All rows so far."""
        return Cells.join(self._cells)

    @property
    def seconds(self) -> float:
        """How long was measured: to the end of the test, or what was due last."""
        requests = selected(self.cells, self.series, Selector("http_reqs"))
        due = requests.second.max(initial=-1) + 1
        return float(min(self.elapsed, max(self.test.duration, due)))

    def take(self, shard: int, report: Measured) -> None:
        """A report of a shard; LoadFailed where single requests cannot be written."""
        own = self._of_shard.setdefault(shard, [])
        own += [self._numbers.setdefault(of, len(self._numbers)) for of in report.batch.series]
        cells = Cells.of(report.batch, own)
        if len(cells):
            self._cells.append(cells)
            whole = Cells.join([self._whole, cells])
            whole.second[:] = 0
            self._whole = whole.merged()
        self._cpu[shard] = report.cpu
        self.elapsed = max(self.elapsed, report.elapsed)
        vus = self._numbers.get(Series("vus", "gauge", ()))
        of_vus = cells.total[cells.series == vus]
        if len(of_vus):
            self._users[shard] = float(of_vus[-1])
        if self.points is not None and report.points.due:
            self._write(report.points)

    def progress(self) -> Progress:
        """How it stands; a threshold that is broken and aborts is noticed here."""
        whole, series = self._whole, self.series
        outcomes = []
        for selector, threshold in self.test.expressions:
            # What a gauge is at the end says nothing before.
            if METRICS.get(selector.metric) == "gauge":
                continue
            outcome = evaluate(whole, series, selector, threshold.expression, self.elapsed)
            said = f"{selector}: {threshold.threshold}"
            outcomes.append((said, outcome))
            early = self.elapsed < threshold.delay_abort_eval
            unknown = outcome.value != outcome.value
            if threshold.abort_on_fail and not (outcome.held or early or unknown):
                self.aborted_by = self.aborted_by or said
        requests = self._total("http_reqs")
        before, so_far = self._last
        self._last = self.elapsed, requests
        times = measured(whole, series, Selector("http_req_duration"))
        return Progress(
            name=self.test.name,
            elapsed=self.elapsed,
            duration=self.test.duration,
            users=round(sum(self._users.values())),
            requests=requests,
            rate=(requests - so_far) / max(self.elapsed - before, 1e-9),
            failed=self._total("http_req_failed"),
            dropped=self._total("dropped_iterations"),
            p50=float(times.quantile(0.5)[0]) / 1e3,
            p95=float(times.quantile(0.95)[0]) / 1e3,
            p99=float(times.quantile(0.99)[0]) / 1e3,
            thresholds=tuple(outcomes),
        )

    def close(self) -> None:
        """Finish the file of single requests."""
        if self.points is not None:
            # Also where there were none: who asked for the file finds it.
            self._write(Points(*([] for _ in SCHEMA)))
            with self._writing():
                self._writer.close()

    def _total(self, metric: str) -> int:
        return int(measured(self._whole, self.series, Selector(metric)).total[0])

    def _write(self, points: Points) -> None:
        with self._writing():
            if self._writer is None:
                self._writer = parquet.ParquetWriter(self.points, SCHEMA, compression="zstd")
            self._writer.write_table(pa.table(structs.asdict(points), SCHEMA))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LoadFailed(f"{self.points}: cannot be written: {error}") from None
