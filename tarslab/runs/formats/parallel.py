"""Many runs read at once, and a run that cannot be read costing only itself."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from tarslab.cores import cores
from tarslab.errors import BadLog
from tarslab.runs.recording import Recording

Paths = Sequence[Path]
Read = Callable[[Paths], list[Recording]]

# Below this many bytes a second process costs more than it gives.
PROCESSES_PAY = 8_000_000
MOST_HOMES_A_TASK = 16


def in_processes(name: str, read: Read, homes: Sequence[Paths]) -> Iterator[list[Recording]]:
    """What ``read`` makes of the files of each home; for readers in Python, on all cores."""
    read_one = partial(careful, name, read)
    size = sum(os.path.getsize(path) for paths in homes for path in paths)
    if size < PROCESSES_PAY or len(homes) == 1 or cores() == 1:
        yield from map(read_one, homes)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=cores(), return_as="generator")(
        delayed(read_one)(paths) for paths in homes
    )


def in_threads(name: str, read: Read, homes: Sequence[Paths]) -> Iterator[list[Recording]]:
    """What ``read`` makes of the files of each home; for readers that release the GIL."""
    read_one = partial(careful, name, read)
    if len(homes) == 1 or cores() == 1:
        yield from map(read_one, homes)
        return
    # To hand over a task takes about as long as to read a small file.
    size = max(1, min(MOST_HOMES_A_TASK, len(homes) // (4 * cores())))
    tasks = [homes[start : start + size] for start in range(0, len(homes), size)]
    with ThreadPoolExecutor(cores()) as pool:
        yield from chain.from_iterable(pool.map(lambda task: [*map(read_one, task)], tasks))


def careful(name: str, read: Read, paths: Paths) -> list[Recording]:
    """What ``read`` makes of some files, or a Recording that warns of why it cannot."""
    try:
        return read(paths)
    except (BadLog, OSError) as error:
        return [Recording(name, warnings=[str(error)])]
