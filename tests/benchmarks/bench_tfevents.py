"""Event files to tables, each contender in a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tensorboard_data_server import server_binary

from tests.benchmarks.event_files import TAGS, event_tree
from tests.benchmarks.harness import Comparison, Timing, compare

HEADING = "TensorBoard event files"
ONE_RUN, POINTS = 50_000, 2_000
RUNS = 200

# Each program prints a JSON list of seconds by the clock, of the processor, and its peak in bytes.
MEASURED = """
import json, sys, time
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
def measure(call, calls=1):
    for _ in range(calls):
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        took = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps([*took, peak()]))
    return result
folder = sys.argv[1]
"""
# The second call: a notebook's kernel has long loaded the compiled code when it loads another run.
TARSLAB = "import tarslab as tl\nmeasure(lambda: tl.load(folder, cache=False).scalars, calls=3)"
FIRST_CALL = """
def first():
    import tarslab as tl
    return tl.load(folder, cache=False).scalars
measure(first)
"""
CHECKSUM_ONLY = """
from pathlib import Path
import google_crc32c
paths = [path for path in Path(folder).rglob("*tfevents*")]
measure(lambda: [google_crc32c.value(path.read_bytes()) for path in paths], calls=3)
"""
ACCUMULATOR = """
from pathlib import Path
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
def read():
    for home in {path.parent for path in Path(folder).rglob("*tfevents*")}:
        accumulator = EventAccumulator(str(home), size_guidance={SCALARS: 0})
        accumulator.Reload()
        for tag in accumulator.Tags()[SCALARS]:
            accumulator.Scalars(tag)
measure(read)
"""
TBPARSE = "from tbparse import SummaryReader\nmeasure(lambda: SummaryReader(folder).scalars)"


def comparisons() -> Iterator[Comparison]:
    one, tree = event_tree(1, ONE_RUN), event_tree(RUNS, POINTS)
    targets = {"EventAccumulator": 150, "Rust data server": 10, "read and checksum the bytes": 0.2}
    contenders: dict[str, Callable[[], Timing]] = {
        "tarslab": partial(_python, TARSLAB, one),
        "tarslab, first call of a process": partial(_python, FIRST_CALL, one),
        "read and checksum the bytes": partial(_python, CHECKSUM_ONLY, one),
        "Rust data server": partial(_data_server, one),
        "Rust data server, checksums": partial(_data_server, one, "--checksum"),
        "EventAccumulator": partial(_python, ACCUMULATOR, one),
        "tbparse": partial(_python, TBPARSE, one),
    }
    slow = {"EventAccumulator": 1, "tbparse": 1}
    timings = compare(
        f"{ONE_RUN * len(TAGS):,} scalars of one run to a table",
        contenders,
        targets=targets,
        slow=slow,
        note=(
            "tarslab is `tl.load(..., cache=False)` up to the finished table, its third call in a "
            "process; the peak memory is of the whole process, Python and numba included. The data "
            "server keeps all samples and is timed up to the end of its first load cycle, without "
            "what a client asks for. EventAccumulator is TensorBoard's own reader, without "
            "TensorFlow."
        ),
    )
    yield timings
    yield Comparison(f"{timings.task}, by CPU", timings.timings, by="cpu", targets=targets)
    whole = compare(
        f"{RUNS * POINTS * len(TAGS):,} scalars of {RUNS} runs to a table",
        {
            "tarslab": partial(_python, TARSLAB, tree),
            "read and checksum the bytes": partial(_python, CHECKSUM_ONLY, tree),
            "Rust data server": partial(_data_server, tree),
            "Rust data server, checksums": partial(_data_server, tree, "--checksum"),
        },
        targets={"Rust data server": 10},
    )
    yield whole
    yield Comparison(f"{whole.task}, by CPU", whole.timings, by="cpu", targets=whole.targets)


def _python(program: str, folder: Path) -> Timing:
    command = [sys.executable, "-W", "ignore", "-c", MEASURED + program, str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Timing(*json.loads(answer.splitlines()[-1]))


def _data_server(folder: Path, *options: str) -> Timing:
    """TensorBoard's Rust server, from its start to the end of its first load cycle."""
    command = [server_binary(), "--logdir", str(folder), "--reload", "once", "--port", "0"]
    command += ["--samples-per-plugin", "scalars=all", "--verbose", *options]
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        next(line for line in server.stdout if "Finished load cycle" in line)
        wall = time.perf_counter() - start
        process = Path("/proc") / str(server.pid)
        user, system = process.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
        status = process.joinpath("status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        server.kill()
    return Timing(wall, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"), peak * 1024)
