"""TensorBoard event files: TFRecord frames that hold ``Event`` protocol buffers.

Both checksums of a frame are verified, so a damaged file ends early and never gives a wrong value.
Of the events only scalars are read: ``simple_value`` and one-element tensors (TensorFlow 2); and
the text table in which CleanRL keeps its hyperparameters.

``reading`` feeds a file to a ``frames.Reader``: ``gathering`` for small ones, which needs no
compiled code, ``scanning`` with its ``kernels`` for large ones. What either finds unusual goes to
``events``, which reads any event. ``tailing`` goes on where it had stopped.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from tarslab.runs.formats.parallel import Read, in_threads
from tarslab.runs.formats.tfevents.frames import HEAD, masked_crc
from tarslab.runs.formats.tfevents.reading import (
    COMPILED_PAYS,
    EventFile,
    memory_to_share,
    read_file,
)
from tarslab.runs.formats.tfevents.tailing import Tail
from tarslab.runs.recording import Recording, Series

NAME = "tfevents"
LOOKED_FOR = "TensorBoard event files (*tfevents*)"

WALL_TIME_KEY = 0x09

# Bytes a run above which memory that the runs share saves more than handing them over one by one
# costs.
TURNS_PAY = 250_000

# Endings of files about event files, or made from them.
OTHER_ENDINGS = {".csv", ".gz", ".ipynb", ".json", ".md", ".png", ".py", ".txt", ".zip"}


def matches(path: Path, head: bytes) -> bool:
    """A name that says so, since the first frame may be damaged; or a first frame with an Event.

    An Event starts with its wall time, which tells it from the examples of a TFRecord data set.
    """
    sound = len(head) > HEAD and masked_crc(head[:8]) == head[8:HEAD]
    named = "tfevents" in path.name and path.suffix not in OTHER_ENDINGS
    return named or (sound and head[HEAD] == WALL_TIME_KEY)


def home(path: Path) -> Path:
    """The folder: TensorBoard takes all event files of a folder for one run."""
    return path.parent


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """One Recording a home, with every tag."""
    size = sum(_size(path) for paths in homes for path in paths)
    compiled = size >= COMPILED_PAYS
    if not compiled or len(homes) == 1 or size < len(homes) * TURNS_PAY:
        read_one = partial(read_file, compiled=compiled, split=len(homes) == 1)
        return in_threads(NAME, lambda paths: [read(paths, read_one)], homes)

    shared = memory_to_share(size)
    read_shared = partial(read_file, compiled=True, shared=shared)
    turns = {paths[0]: number for number, paths in enumerate(homes)}

    def read_in_turn(paths: Sequence[Path]) -> list[Recording]:
        with shared.turn(turns[paths[0]]):
            return [read(paths, read_shared)]

    # One run a task: a thread that has several would let the others wait for their turns.
    return in_threads(NAME, read_in_turn, homes, most_a_task=1)


def follow() -> Read:
    """Reads the files of a home again and again, of each only the events that are new."""
    tail = Tail()
    return lambda paths: [read(paths, tail.read)]


def read(paths: Sequence[Path], read_one: Callable[[Path], EventFile] = read_file) -> Recording:
    """One run from its event files, put in order of their first event's wall time."""
    recording = Recording(NAME)
    files = []
    for path in paths:
        try:
            file = read_one(path)
        except OSError as error:
            recording.warnings.append(f"{path}: {error.strerror}; left out")
            continue
        if file.warning:
            recording.warnings.append(file.warning)
        files.append((file.started, path.name, file))
    files.sort(key=lambda one: one[:2])

    parts: dict[str, list[Series]] = {}
    for _, _, file in files:
        recording.config |= file.config
        for tag, series in file.series.items():
            parts.setdefault(tag, []).append(series)
    recording.series = {
        tag: Series.joined(parts[tag]) if len(parts[tag]) > 1 else parts[tag][0]
        for tag in sorted(parts)
    }
    return recording


def _size(path: Path) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
