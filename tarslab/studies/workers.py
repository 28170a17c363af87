"""Who runs the trials of a search: this process, or processes of their own that it feeds.

A worker process is given its job, and then one trial after the other through its standard input; it
says through its standard output when one is done. Where the input ends in the middle of a trial,
whoever fed it has stopped or died, and the worker stops too: none is ever left behind.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState

from tarslab.errors import BadArgument
from tarslab.studies.objectives import Notebook, Objective
from tarslab.studies.sampling import pruner_of, sampler_of
from tarslab.studies.storages import (
    JOURNAL_HEAD,
    SQLITE_MAGIC,
    URL,
    explained,
    grpc_proxy,
    journal_on_redis,
    without_password,
)

ERROR = "error"
"""The user attribute of a failed trial that says why."""

# Seconds that an objective has to stop in; its process has twice as many.
GRACE = 5.0
# Seconds to wait for another process that writes to a SQLite database.
BUSY = 60.0
# Seconds that a Redis server is waited for which went away in the middle of a search.
OUTAGE = 60.0
# Seconds after which the lock of a journal counts as left behind by a process that was killed.
LEFT_BEHIND = 10

SUFFIXES = {".log": "journal", ".journal": "journal", ".jsonl": "journal"} | dict.fromkeys(
    (".db", ".sqlite", ".sqlite3"), "sqlite"
)
SERVE = "from tarslab.studies.workers import serve; serve()"


class Job(NamedTuple):
    """All that a worker has to know of a search."""

    storage: str
    name: str
    objective: Objective
    sampler: str
    pruner: str
    seed: int


class Claim(NamedTuple):
    """A trial that this search runs."""

    trial_id: int
    number: int
    place: int
    """How many trials before it count towards the total: what its sampling is seeded by."""


class WorkerDied(Exception):
    """A worker process ended in the middle of a trial."""


class Here:
    """Runs trials in this process."""

    def __init__(self, job: Job, storage: BaseStorage) -> None:
        self._job = job
        self._storage = storage
        self._pruner = pruner_of(job.pruner)

    def run(self, claim: Claim) -> None:
        """Run a trial to its end in the storage; a failure is its user attribute ``error``."""
        job = self._job
        # A study keeps the trials that it has seen for as long as one trial runs.
        study = optuna.load_study(
            study_name=job.name,
            storage=self._storage,
            sampler=sampler_of(job.sampler, job.seed, claim.place),
            pruner=self._pruner,
        )
        # Optuna's cache of a database can write only to trials that it has listed.
        study.get_trials(deepcopy=False)
        trial = optuna.Trial(study, claim.trial_id)
        values: list[float] | None = None
        error = ""
        try:
            values = _values(job.objective(trial), len(study.directions))
            state = TrialState.COMPLETE
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        # A trial that fails must not cost the others, whatever it raises; scripts end by exit.
        except (Exception, SystemExit) as failure:
            state, error = TrialState.FAIL, _why(failure)
        # Somebody else may have ended the trial.
        with suppress(UpdateFinishedTrialError):
            if error:
                trial.set_user_attr(ERROR, error)
            study.tell(trial, values, state, skip_if_finished=True)


class Process:
    """Runs trials in a process of its own, which is started anew when it died."""

    def __init__(self, job: Job) -> None:
        self._job = _pickled(job)
        self._lock = threading.Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process where there is none; BadArgument where it cannot load its job."""
        with self._lock:
            if self._stopped or (self._process and self._process.poll() is None):
                return
            if self._process:
                self._close_input()
                self._close_output()
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # What a terminal sends at Ctrl-C is for whoever feeds it.
                start_new_session=True,
            )
        with suppress(BrokenPipeError):
            self._send(pickle.dumps([os.path.abspath(folder) for folder in sys.path]))
            self._send(self._job)
        problem = self._answer()
        if problem is None and not self._stopped:
            raise BadArgument("a worker process could not start; what it said stands above")
        if problem:
            raise BadArgument(
                f"the objective cannot be loaded in a worker process: {problem}; define it in a "
                "module that can be imported, or in the script or notebook itself"
            )

    def run(self, claim: Claim) -> None:
        """Have it run a trial, and wait; raises WorkerDied."""
        with suppress(BrokenPipeError):
            self._send(json.dumps(claim).encode() + b"\n")
        if self._answer() is None:
            assert self._process is not None
            code = self._process.wait()
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise WorkerDied(f"the worker process died ({how})")

    def stop(self) -> None:
        """Tell it to stop, also in the middle of a trial; it is killed where it does not."""
        with self._lock:
            if self._stopped or self._process is None:
                self._stopped = True
                return
            self._stopped = True
            self._killer = threading.Timer(2 * GRACE, self._process.kill)
            self._killer.daemon = True
            self._killer.start()
            self._close_input()

    def end(self) -> None:
        """Wait until it has stopped."""
        self.stop()
        if self._process is not None:
            self._process.wait()
            self._killer.cancel()
            self._close_output()

    def _send(self, message: bytes) -> None:
        with self._lock:
            if self._stopped or self._process is None or self._process.stdin is None:
                return
            self._process.stdin.write(message)
            self._process.stdin.flush()

    def _answer(self) -> str | None:
        """What it said, or None where it has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return str(json.loads(line)) if line else None

    def _close_input(self) -> None:
        if self._process and self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def _close_output(self) -> None:
        if self._process and self._process.stdout:
            self._process.stdout.close()


def serve() -> None:
    """What a worker process does."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w")
    # The objective may read and print as it likes.
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)

    def answer(problem: str = "") -> None:
        answers.write(json.dumps(problem) + "\n")
        answers.flush()

    sys.path[:] = pickle.load(orders)
    try:
        job: Job = pickle.load(orders)
    # Unpickling imports the user's modules, which may raise anything.
    except Exception as error:
        traceback.print_exc()
        answer(f"{type(error).__name__}: {error}")
        return
    claims: SimpleQueue[Claim | None] = SimpleQueue()
    busy, stopping = threading.Event(), threading.Event()

    def take_orders() -> None:
        for line in orders:
            busy.set()
            claims.put(Claim(*json.loads(line)))
        stopping.set()
        claims.put(None)
        if busy.is_set():
            _stop(job.objective)

    def objective(trial: optuna.Trial) -> float | Sequence[float]:
        try:
            return job.objective(trial)
        except Exception:
            # What failed since it was stopped says nothing about the trial.
            if stopping.is_set():
                raise KeyboardInterrupt from None
            raise

    with (
        suppress(KeyboardInterrupt, BrokenPipeError),
        writable(job.storage, answered=True) as storage,
    ):
        here = Here(job._replace(objective=objective), storage)
        answer()
        threading.Thread(target=take_orders, daemon=True).start()
        while (claim := claims.get()) is not None:
            here.run(claim)
            busy.clear()
            answer()


def place_of(storage: str | os.PathLike[str]) -> str:
    """Where a storage is: a URL, or the absolute path of a journal; BadArgument where unclear."""
    text = os.fspath(storage)
    database = text.startswith("sqlite:///")
    text = text.removeprefix("sqlite:///") if database else text
    if URL.match(text):
        return text
    path = Path(text).expanduser().absolute()
    kind = "sqlite" if database else SUFFIXES.get(path.suffix)
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as file:
            head = file.read(4096)
        kind = "sqlite" if head.startswith(SQLITE_MAGIC) else None
        if JOURNAL_HEAD.match(head):
            kind = "journal"
    if kind is None:
        raise BadArgument(
            f"storage: {text} is no journal (study.log), SQLite database (study.db) or URL "
            "(redis://..., grpc://host:port, postgresql://...)"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}" if kind == "sqlite" else str(path)


@contextmanager
def writable(place: str, *, answered: bool = False) -> Iterator[BaseStorage]:
    """The storage at a place, for Optuna to write to; BadStudy where it cannot be opened.

    ``answered``: another process of the search has it open; Redis is waited for where it is away.
    """
    scheme, _, rest = place.partition("://")
    shown = without_password(place)
    storage: BaseStorage
    if not rest:
        with explained(shown):
            lock = JournalFileSymlinkLock(place, LEFT_BEHIND)
            storage = JournalStorage(JournalFileBackend(place, lock))
        yield storage
    elif scheme in ("redis", "rediss", "unix"):
        with journal_on_redis(place, OUTAGE, answered=answered) as journal:
            yield journal
    elif scheme == "grpc":
        with grpc_proxy(place) as proxy:
            yield proxy
    else:
        waits = {"connect_args": {"timeout": BUSY}} if scheme == "sqlite" else {}
        with explained(shown, place):
            database = RDBStorage(place, engine_kwargs=waits)
        try:
            # With a cache of finished trials.
            yield optuna.storages.get_storage(database)
        finally:
            database.remove_session()
            database.engine.dispose()


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its log lines and its warnings of what is experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _values(found: float | Sequence[float], objectives: int) -> list[float]:
    several = isinstance(found, Sequence) and not isinstance(found, str)
    given: Any = found if several else [found]
    values = [float(value) for value in given]
    if len(values) != objectives or np.isnan(values).any():
        raise BadArgument(f"the objective gave {found!r} where {objectives} numbers were due")
    return values


def _why(failure: BaseException) -> str:
    """Its type, text and place."""
    text = f"{type(failure).__name__}: {failure}"
    frames = traceback.extract_tb(failure.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    if own:
        text += f" (line {own[-1].lineno} of {Path(own[-1].filename).name}, in {own[-1].name})"
    return text


def _pickled(job: Job) -> bytes:
    # By value where it stands in a script or notebook, which a worker cannot import.
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(job))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise BadArgument(
            f"the objective cannot be sent to a worker process ({error}); open files and "
            "connections inside of it, or take workers=1"
        ) from None


def _stop(objective: Objective) -> None:
    """End the trial that runs: by an interrupt, of a notebook by killing its kernel."""
    if isinstance(objective, Notebook):
        _kill_kernels()
    elif hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
    threading.Event().wait(GRACE)
    _kill_kernels()
    os._exit(1)


def _kill_kernels() -> None:
    execution = sys.modules.get("tarslab.reports.execution")
    if execution is not None:
        execution.stop_all()
