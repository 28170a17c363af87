"""Log files written by real writers, and a cache of the tests' own."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from platformdirs import user_cache_path
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from tarslab.runs import Run, Runs, Series

Scalar = tuple[str, int, float]
WriteEvents = Callable[..., Path]
Write = Callable[[int], None]

# Writes as many points as it is told to, a line of input each time, and says when they are flushed.
WRITER = """
import sys
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
writer, step = EventFileWriter(sys.argv[1]), 0
for line in sys.stdin:
    for _ in range(int(line)):
        value = Summary.Value(tag="rollout/ep_rew_mean", simple_value=float(step))
        writer.add_event(Event(wall_time=1e9 + step, step=step, summary=Summary(value=[value])))
        step += 1
    writer.flush()
    print(step, flush=True)
"""


def pytest_configure(config: pytest.Config) -> None:
    """Keep what tests and notebooks load out of the user's cache folder."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    patch = pytest.MonkeyPatch()
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(patch.undo)
    # Playwright looks there for its browsers.
    if "PLAYWRIGHT_BROWSERS_PATH" not in os.environ:
        patch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(user_cache_path("ms-playwright")))
    patch.setenv("XDG_CACHE_HOME", folder.name)


@pytest.fixture
def write_events() -> WriteEvents:
    """Writes (tag, step, value) scalars as an event file with TensorBoard's own writer.

    With ``tensors=<numpy type>`` as one-element tensors, the way of TensorFlow 2.
    """

    def write(
        folder: Path,
        scalars: Iterable[Scalar],
        *,
        name: str = "events.out.tfevents.1",
        tensors: type[np.generic] | None = None,
        plugin: str = "scalars",
        start: float = 1_700_000_000.0,
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        writer = EventFileWriter(str(folder), filename_suffix=".under-construction")
        for number, (tag, step, value) in enumerate(scalars):
            if tensors is None:
                entry = Summary.Value(tag=tag, simple_value=value)
            else:
                about = SummaryMetadata.PluginData(plugin_name=plugin)
                entry = Summary.Value(
                    tag=tag,
                    tensor=make_tensor_proto(tensors(value)),
                    metadata=SummaryMetadata(plugin_data=about),
                )
            writer.add_event(
                Event(wall_time=start + number, step=step, summary=Summary(value=[entry]))
            )
        writer.close()
        (written,) = folder.glob("*.under-construction")
        return written.rename(folder / name)

    return write


@pytest.fixture
def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def make_runs() -> Callable[..., Runs]:
    """Runs from ``name=values`` or ``name=(steps, values)``, all of one metric."""

    def make(metric: str = "reward", algo: str | None = None, **runs: object) -> Runs:
        made = []
        for name, given in runs.items():
            steps, values = given if isinstance(given, tuple) else (np.arange(len(given)), given)  # type: ignore[arg-type]
            wall_times = 1_700_000_000.0 + np.arange(len(values))
            series = {metric: Series.of(steps, wall_times, values)}
            made.append(
                Run(name, series, algo=algo or name.split("_")[0], env="Test-v0", episodic=True)
                if metric == "reward"
                else Run(name, series, algo=algo or name.split("_")[0], env="Test-v0")
            )
        return Runs.of(made)

    return make


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[[str], Write]]:
    """Starts a training in a process of its own, and gives what makes it log so many points."""
    processes: list[subprocess.Popen[str]] = []

    def start(name: str) -> Write:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)

        def write(points: int) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            print(points, file=process.stdin, flush=True)
            assert process.stdout.readline()

        return write

    yield start
    for process in processes:
        process.communicate()
