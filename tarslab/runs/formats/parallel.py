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


def in_threads(
    name: str,
    read: Read,
    homes: Sequence[Paths],
    prepared: Callable[[Paths], Read] | None = None,
    most_a_task: int = MOST_HOMES_A_TASK,
) -> Iterator[list[Recording]]:
    """What ``read`` makes of the files of each home; for readers that release the GIL.

    ``prepared`` gives, for the files of several homes, a ``read`` for which is done already what
    can be done for all of them at once.
    """

    def read_several(task: Sequence[Paths]) -> list[list[Recording]]:
        read_one = prepared([*chain.from_iterable(task)]) if prepared else read
        return [careful(name, read_one, paths) for paths in task]

    # To hand over a task takes about as long as to read a small file.
    size = max(1, min(most_a_task, len(homes) // (4 * cores())))
    tasks = [homes[start : start + size] for start in range(0, len(homes), size)]
    if len(tasks) < 2 or cores() == 1:
        yield from chain.from_iterable(map(read_several, tasks))
        return
    with ThreadPoolExecutor(cores()) as pool:
        yield from chain.from_iterable(pool.map(read_several, tasks))


def careful(name: str, read: Read, paths: Paths) -> list[Recording]:
    """What ``read`` makes of some files, or a Recording that warns of why it cannot."""
    try:
        return read(paths)
    except (BadLog, OSError) as error:
        return [Recording(name, warnings=[str(error)])]
