"""Runs of load: in the foreground, or in the background beside a fault."""

import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from tarslab.chaos.load.engine.frames import Ended, Measured, Start
from tarslab.chaos.load.errors import LoadFailed
from tarslab.chaos.load.flows import Function, find
from tarslab.chaos.load.gathering import Gathering
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.progress import Progress
from tarslab.chaos.load.results import About, LoadResult
from tarslab.chaos.load.saving import POINTS, RESULT
from tarslab.chaos.load.targets import Stacked, resolve
from tarslab.errors import BadArgument

Name = Literal["embedded", "k6"]
OnProgress = Callable[[Progress], object]


class Engine(Protocol):
    """What sends the requests."""

    name: str
    shards: int

    def run(self) -> Generator[tuple[int, Measured | Ended | Start]]:
        """Reports as they come, each with the shard that it is of."""

    def stop(self) -> None:
        """End early, with what was measured."""

    def kill(self) -> None:
        """End at once."""


def run_load(
    scenario: LoadTest | Mapping[str, Any] | str | os.PathLike[str],
    target: str | Stacked,
    *,
    scale: float = 1.0,
    engine: Name = "embedded",
    flows: Mapping[str, Function] | None = None,
    allow: Iterable[str] = (),
    raw: bool = False,
    on_progress: OnProgress | None = None,
    out: str | os.PathLike[str] | None = None,
) -> LoadResult:
    """Put load on a target, and say what came of it.

    Ctrl-C ends it and gives what was measured so far, marked ``interrupted``; a second one raises.

    scenario: the name of one that comes with tarslab (``sustained``, ``spike``, ``jwt-stress``), a
        file of JSON or YAML, or its content.
    target: a stack, or the URL of a deployment; its users are then those of ``TARSLAB_USERNAME``
        and ``TARSLAB_PASSWORD``.
    scale: of the time (durations, stages and starts), not of the rates.
    engine: ``embedded``, or ``k6`` for the binary of that name on the path, which you have
        installed.
    flows: functions by the names that ``exec`` has, beside those registered and shipped.
    allow: hosts beside those of this machine that load may be sent to.
    raw: also keep single requests, in ``points.parquet`` of ``out``.
    on_progress: called twice a second; ``live()`` is one that shows it.
    out: folder that the result is saved to.

    Raises:
        BadArgument: An argument or the scenario cannot be used; the message says where.
        LoadFailed: The target does not answer, the engine ends before its time, or ``out`` cannot
            be written; its ``result`` is what was measured.
    """
    with start_load(
        scenario,
        target,
        scale=scale,
        engine=engine,
        flows=flows,
        allow=allow,
        raw=raw,
        out=out,
    ) as run:
        return run.wait(on_progress)


def start_load(
    scenario: LoadTest | Mapping[str, Any] | str | os.PathLike[str],
    target: str | Stacked,
    *,
    scale: float = 1.0,
    engine: Name = "embedded",
    flows: Mapping[str, Function] | None = None,
    allow: Iterable[str] = (),
    raw: bool = False,
    out: str | os.PathLike[str] | None = None,
) -> "LoadRun":
    """``run_load`` in the background: the arguments are the same."""
    test = LoadTest.of(scenario).scaled(scale)
    to = resolve(target, allow)
    used = find([each.exec for each in test.scenarios.values()], flows)
    folder = None if out is None else Path(out)
    if raw and folder is None:
        raise BadArgument("raw: single requests need out, a folder to be kept in")
    by: Engine
    if engine == "embedded":
        from tarslab.chaos.load.engine.embedded import Embedded

        by = Embedded(test, to, used, raw=raw)
    elif engine == "k6":
        from tarslab.chaos.load.k6.engine import K6

        by = K6(test, to, used, raw=raw)
    else:
        raise BadArgument(f"engine: must be embedded or k6, not {engine!r}")
    to.check_reachable()
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Else it would pass for the result of this run if this breaks off.
            (folder / RESULT).unlink(missing_ok=True)
        except OSError as error:
            raise LoadFailed(f"{folder}: the results cannot be written: {error}") from None
    return LoadRun(by, test, to.url, scale, folder, raw=raw)


class LoadRun:
    """A run of load that goes on; ``with`` ends it."""

    def __init__(
        self,
        engine: Engine,
        test: LoadTest,
        target: str,
        scale: float,
        out: Path | None,
        *,
        raw: bool,
    ) -> None:
        self.test = test
        self.target = target
        self._engine = engine
        self._scale = scale
        self._out = out
        self._gathered = Gathering(test, out / POINTS if out is not None and raw else None)
        self._interrupted = False
        self._begun = threading.Event()
        self._started_at: float | None = None
        self._progress: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
        self._result: LoadResult | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it still goes on."""
        return self._thread.is_alive()

    def begun(self, timeout: float = 60.0) -> float:
        """Wait for its start, in Unix seconds; LoadFailed where there is none."""
        if not self._begun.wait(timeout) or self._started_at is None:
            raise LoadFailed("the load did not begin") from self._error
        return self._started_at

    def stop(self) -> None:
        """End it early; ``wait`` gives what was measured."""
        if self.running:
            self._interrupted = True
            self._engine.stop()

    def wait(self, on_progress: OnProgress | None = None) -> LoadResult:
        """Its result, once it is over."""
        while True:
            try:
                progress = self._progress.get()
                if progress is None:
                    break
                if on_progress is not None:
                    on_progress(progress)
            except KeyboardInterrupt:
                if self._interrupted:
                    self._engine.kill()
                    raise
                self.stop()
        self._thread.join()
        # For those who wait once more.
        self._progress.put(None)
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def __enter__(self) -> "LoadRun":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    def _work(self) -> None:
        try:
            with closing(self._engine.run()) as reports:
                self._gather(reports)
            self._result = self._made()
            if self._out is not None:
                self._result.save(self._out)
        except LoadFailed as error:
            self._error = error
            if error.result is None and self._gathered.elapsed:
                self._interrupted = True
                error.result = self._made()
                if self._out is not None:
                    with suppress(LoadFailed):
                        error.result.save(self._out)
        except BaseException as error:
            self._error = error
        finally:
            self._begun.set()
            try:
                last = self._gathered.progress()
                rate = last.requests / max(last.elapsed, 1e-9)
                self._progress.put(last._replace(over=True, rate=rate))
            finally:
                self._progress.put(None)

    def _gather(self, reports: Iterator[tuple[int, Measured | Ended | Start]]) -> None:
        gathered = self._gathered
        for shard, report in reports:
            if isinstance(report, Start):
                self._started_at = time.time() + report.at - time.monotonic()
                self._begun.set()
            elif isinstance(report, Ended):
                gathered.unfinished += report.unfinished
            else:
                gathered.take(shard, report)
                if shard == 0:
                    self._progress.put(gathered.progress())
                if gathered.aborted_by is not None:
                    self._engine.stop()
        gathered.close()

    def _made(self) -> LoadResult:
        gathered = self._gathered
        about = About(
            options=self.test.to_options(),
            name=self.test.name,
            target=self.target,
            engine=self._engine.name,
            scale=self._scale,
            started_at=self._started_at or time.time(),
            seconds=gathered.seconds,
            shards=self._engine.shards,
            interrupted=self._interrupted,
            aborted_by=gathered.aborted_by,
            cpu_seconds=gathered.cpu_seconds,
            unfinished=gathered.unfinished,
        )
        return LoadResult(about, gathered.series, gathered.cells, gathered.points)
