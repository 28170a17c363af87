"""``search``: run a hyperparameter search, in parallel, and on from where it was interrupted."""

import os
import re
import secrets
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from tarslab.errors import BadArgument
from tarslab.studies import objectives
from tarslab.studies.loading import load_study
from tarslab.studies.objectives import Notebook, Objective
from tarslab.studies.owners import is_gone, running
from tarslab.studies.sampling import pruner_of, sampler_of
from tarslab.studies.storages import without_password
from tarslab.studies.study import Study
from tarslab.studies.workers import (
    ERROR,
    Claim,
    Here,
    Job,
    Process,
    WorkerDied,
    place_of,
    quiet,
    writable,
)

DAY = 86_400.0

# System attributes of trials: who runs one, why it was given up, which one it tries again.
# Before the names of attributes that are not the user's.
OURS = "tarslab:"
OWNER = "tarslab:owner"
GIVEN_UP = "tarslab:given_up"
RETRY_OF = "tarslab:retry_of"
DIED = "tarslab:worker_died"


class Progress(NamedTuple):
    """What ``search`` tells after each trial."""

    trial: FrozenTrial
    finished: int
    """Trials that count towards the total and are done."""
    total: int
    best: float | None
    """The best value so far, of a search with one objective."""


def search(
    objective: Objective | str | os.PathLike[str],
    space: Mapping[str, BaseDistribution | str] | None = None,
    *,
    storage: str | os.PathLike[str],
    name: str,
    n_trials: int,
    directions: str | Sequence[str] = "minimize",
    metrics: str | Sequence[str] = (),
    sampler: str = "tpe",
    pruner: str = "median",
    workers: int = 1,
    seed: int | None = None,
    timeout: float | None = None,
    parameters: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] = "out",
    trial_timeout: float = DAY,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Study:
    """Search hyperparameters until the study has ``n_trials`` trials.

    A study that is there already is gone on with: its finished trials count. Trials that an
    interrupt or a kill has cut off become ``FAIL`` and are tried again with the same
    hyperparameters; they do not count. So does, once, a trial whose worker process died. A trial
    that raises is ``FAIL``, with the reason as its user attribute ``error``, and counts.

    Parameters
    ----------
    objective
        A function of an ``optuna.Trial`` that returns a number, or one for each direction; the same
        as ``"module:function"``; or the path of a notebook with a cell tagged ``parameters``. A
        notebook is executed for each trial in ``out/<name>/trial_<number>/``, where it stays, and
        says what came of it by ``tarslab.studies.record``; with ``tarslab.studies.report`` it can
        be pruned. Relative paths in it hold from that folder; it can import modules from its own
        folder and from the working folder.
    space
        The range of each searched parameter of a notebook: an Optuna distribution, or one of the
        forms ``"1..4"``, ``"0.1..0.9"``, ``"log:1e-5..1e-1"``, ``"relu|tanh"``. A function suggests
        its own.
    storage
        A journal (``study.log``), a SQLite database (``study.db``), ``redis://`` or ``unix://`` for
        a journal on Redis, ``grpc://host:port``, or the URL of a database. Several searches, on
        several machines, may share the study; no more than ``n_trials`` are run in all.
    name
        Of the study.
    n_trials
        In total, with those of earlier searches.
    directions
        ``"minimize"`` (default) or ``"maximize"``, or one for each objective.
    metrics
        What the objectives are called, in the order of ``directions``; of a notebook the names that
        it records.
    sampler
        ``"tpe"`` (default), ``"random"``, ``"nsgaii"``, ``"qmc"``, or ``"cmaes"``, which needs the
        package of this name.
    pruner
        ``"median"`` (default), ``"percentile"`` (the best quarter goes on), ``"hyperband"``,
        ``"successive-halving"`` or ``"none"``, each with Optuna's defaults.
    workers
        Processes that run trials at the same time. A function with one worker runs in this process.
    seed
        With one worker the same seed gives the same search, also where it was stopped or killed
        and went on; where a trial was cut off, with the samplers but ``qmc`` and ``cmaes`` and
        the pruners but ``hyperband``, which go by the number of tries. By default one is drawn,
        and kept as an attribute of the study.
    timeout
        Seconds after which no new trial is started.
    parameters
        Values for other parameters of a notebook.
    out
        Folder for the executed notebooks.
    trial_timeout
        Seconds that one execution of a notebook may take, by default a day.
    on_progress
        Called after each trial, never at the same time from two threads.

    Returns
    -------
    Study
        As ``load_study`` reads it from the storage.

    Raises
    ------
    BadArgument
        Something that cannot be used, or contradicts the study that is there: before any trial.
    BadStudy
        The storage cannot be opened.
    KeyboardInterrupt
        At Ctrl-C, or SIGTERM in the main thread; the workers have stopped by then, and the storage
        knows of it.
    """
    aims, names = _listed(directions), _listed(metrics)
    _check(aims, names, n_trials, workers, seed)
    pruner_of(pruner)
    with quiet():
        sampler_of(sampler, 0, 0)
    run = _objective(
        objective, space, parameters or {}, names, Path(out) / _as_folder(name), trial_timeout
    )
    place = place_of(storage)
    if workers > 1 and place.startswith("sqlite:"):
        warnings.warn(
            f"{place}: workers wait for one another in a SQLite database; a journal (study.log) or "
            "redis:// serves many better",
            stacklevel=2,
        )
    with quiet(), _terminated_like_interrupted(), writable(place) as opened:
        study = _created_or_there(opened, name, aims)
        _refuse_contradictions(study, without_password(place), aims, names, run)
        job = Job(
            place, name, run, sampler, pruner, _described(study, names, sampler, pruner, seed)
        )
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        with running() as owner:
            quota = _Quota(study, opened, owner, n_trials, deadline, on_progress)
            quota.recover()
            try:
                if workers == 1 and not isinstance(run, Notebook):
                    quota.fill_here(Here(job, opened))
                else:
                    quota.fill([Process(job) for _ in range(min(workers, quota.left()))])
            except BaseException:
                quota.give_up_own()
                raise
    return load_study(place, name)


class _Quota:
    """The trials of a study that count, up to a total, and those of them that this search runs.

    A trial is run only while fewer than the total come before it. Its state goes from WAITING to
    RUNNING for one search alone, so several never run more than the total.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        owner: dict[str, Any],
        total: int,
        deadline: float,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._study = study
        self._storage = storage
        self._owner = owner
        self._total = total
        self._deadline = deadline
        self._on_progress = on_progress
        self._lock = threading.RLock()
        self._stopped = False

    def recover(self) -> None:
        """Give up the trials whose search is gone, and have tried again what was given up."""
        elsewhere = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            gone = is_gone(trial.system_attrs.get(OWNER))
            if gone is None:
                elsewhere.append(trial.number)
            elif gone:
                self._give_up(trial._trial_id, "the search was killed")
        if elsewhere:
            warnings.warn(
                f"{self._study.study_name}: trials {', '.join(map(str, elsewhere))} are RUNNING, "
                "begun on another machine or not by tarslab, and count as if they went on; if they "
                "do not: optuna.load_study(...).tell(number, state=optuna.trial.TrialState.FAIL)",
                stacklevel=3,
            )
        trials = self._study.get_trials(deepcopy=False)
        retried = {trial.system_attrs.get(RETRY_OF) for trial in trials}
        for trial in trials:
            if not _counts(trial) and trial.number not in retried:
                self._try_again(trial)

    def left(self) -> int:
        """How many trials are neither done nor run by anyone."""
        counting = self._counting()
        return self._total - sum(trial.state != TrialState.WAITING for trial in counting)

    def fill_here(self, worker: Here) -> None:
        """Run what is left in this process."""
        while (claim := self._claim()) is not None:
            worker.run(claim)
            self._tell_progress(claim)

    def fill(self, workers: Sequence[Process]) -> None:
        """Run what is left in worker processes, which have all ended when this returns."""
        if not workers:
            return
        with ThreadPoolExecutor(len(workers)) as pool:
            try:
                jobs = [pool.submit(self._feed, worker) for worker in workers]
                for job in wait(jobs, return_when=FIRST_EXCEPTION).done:
                    job.result()
            except BaseException:
                self._stopped = True
                for worker in workers:
                    worker.stop()
                raise

    def give_up_own(self) -> None:
        """Give up the trials that this search began and does not end."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.system_attrs.get(OWNER) == self._owner:
                self._give_up(trial._trial_id, "the search was stopped")

    def _feed(self, worker: Process) -> None:
        try:
            worker.start()
            while (claim := self._claim()) is not None:
                try:
                    worker.run(claim)
                except WorkerDied as death:
                    if self._stopped:
                        return
                    self._died(claim, death)
                    worker.start()
                self._tell_progress(claim)
        finally:
            worker.end()

    def _claim(self) -> Claim | None:
        """The next trial to run, or None where there is nothing left to begin."""
        with self._lock:
            while not self._stopped and time.monotonic() < self._deadline:
                counting = self._counting()
                for place, trial in enumerate(counting):
                    if trial.state == TrialState.WAITING and self._take(trial):
                        return Claim(trial._trial_id, trial.number, place)
                if len(counting) >= self._total:
                    return None
                self._study.add_trial(
                    create_trial(state=TrialState.WAITING, system_attrs={OWNER: self._owner})
                )
        return None

    def _counting(self) -> list[FrozenTrial]:
        """The trials that count towards the total, no more than that."""
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if _counts(trial)][: self._total]

    def _take(self, trial: FrozenTrial) -> bool:
        """Whether this search, and no other, runs a trial that waits."""
        with suppress(UpdateFinishedTrialError):
            if not self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                return False
            # Only now: who lost the contest must not stand as the owner.
            if trial.system_attrs.get(OWNER) != self._owner:
                self._storage.set_trial_system_attr(trial._trial_id, OWNER, self._owner)
            return True
        return False

    def _give_up(self, trial_id: int, why: str, **attributes: Any) -> None:
        """Make a trial FAIL that does not count, and have its hyperparameters tried again."""
        # A trial that came to its end all the same has nothing to be tried again.
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_system_attr(trial_id, GIVEN_UP, why)
            self._fail(trial_id, f"{why}; tried again as a later trial")
            self._try_again(self._storage.get_trial(trial_id), **attributes)

    def _died(self, claim: Claim, death: WorkerDied) -> None:
        """A trial may end one worker process, and not a second."""
        # Between the end of the one and the retry there is a place that no other may take.
        with self._lock:
            if DIED in self._storage.get_trial(claim.trial_id).system_attrs:
                with suppress(UpdateFinishedTrialError):
                    self._fail(claim.trial_id, f"{death}, for the second time")
            else:
                self._give_up(claim.trial_id, str(death), **{DIED: True})

    def _fail(self, trial_id: int, why: str) -> None:
        self._storage.set_trial_user_attr(trial_id, ERROR, why)
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _try_again(self, trial: FrozenTrial, **attributes: Any) -> None:
        # Some may have been fixed and not yet asked for.
        fixed = trial.system_attrs.get("fixed_params", {}) | trial.params
        if DIED in trial.system_attrs:
            attributes = {DIED: True, **attributes}
        self._study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                system_attrs={"fixed_params": fixed, RETRY_OF: trial.number, **attributes},
                user_attrs={k: v for k, v in trial.user_attrs.items() if k != ERROR},
            )
        )

    def _tell_progress(self, claim: Claim) -> None:
        with self._lock:
            trial = self._storage.get_trial(claim.trial_id)
            counting = self._counting()
            finished = sum(trial.state.is_finished() for trial in counting)
            best = None
            # Without a complete trial that keeps its constraints there is none.
            if len(self._study.directions) == 1:
                with suppress(ValueError):
                    best = self._study.best_value
            self._on_progress(Progress(trial, finished, self._total, best))


def _listed(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _check(
    aims: Sequence[str], names: Sequence[str], n_trials: int, workers: int, seed: int | None
) -> None:
    if not aims or not {"minimize", "maximize"}.issuperset(aims):
        raise BadArgument(f"directions are minimize or maximize, not {', '.join(aims) or 'none'}")
    if names and len(names) != len(aims):
        raise BadArgument(
            f"metrics and directions go together: {len(names)} ({', '.join(names)}) and "
            f"{len(aims)} ({', '.join(aims)})"
        )
    if n_trials < 1:
        raise BadArgument(f"n_trials must be at least 1, not {n_trials}")
    if workers < 1:
        raise BadArgument(f"workers must be at least 1, not {workers}")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
        raise BadArgument(f"seed must be a whole number of at least 0, not {seed!r}")


def _objective(
    objective: Objective | str | os.PathLike[str],
    space: Mapping[str, BaseDistribution | str] | None,
    parameters: Mapping[str, Any],
    metrics: Sequence[str],
    out: Path,
    timeout: float,
) -> Objective:
    if isinstance(objective, str | os.PathLike):
        text = os.fspath(objective)
        if text.endswith(".ipynb") or ":" not in text:
            return objectives.notebook(Path(text), space or {}, parameters, metrics, out, timeout)
        objective = objectives.function(text)
    if space or parameters:
        raise BadArgument(
            "space and parameters are for notebooks: a function suggests its own, by "
            "trial.suggest_float(...)"
        )
    return objective


def _created_or_there(storage: BaseStorage, name: str, aims: Sequence[str]) -> optuna.Study:
    # To create a study that is there would write to a journal.
    with suppress(KeyError):
        return optuna.load_study(study_name=name, storage=storage)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        directions=[StudyDirection[aim.upper()] for aim in aims],
        load_if_exists=True,
    )


def _refuse_contradictions(
    study: optuna.Study,
    shown: str,
    aims: tuple[str, ...],
    names: tuple[str, ...],
    run: Objective,
) -> None:
    def refuse(what: str, stored: object, given: object) -> None:
        raise BadArgument(
            f"{shown} holds {study.study_name!r} with {what} {stored}, and this search has "
            f"{given}: give the same, or another name"
        )

    stored_aims = tuple(direction.name.lower() for direction in study.directions)
    if stored_aims != aims:
        refuse("directions", ", ".join(stored_aims), ", ".join(aims))
    stored_names = tuple(study.metric_names or ())
    if stored_names and names and stored_names != names:
        refuse("metrics", ", ".join(stored_names), ", ".join(names))
    if isinstance(run, Notebook):
        for trial in study.get_trials(deepcopy=False):
            for name, stored in trial.distributions.items():
                if stored != run.space.get(name):
                    refuse(f"the space {name} =", stored, run.space.get(name, "none of it"))
            if trial.state == TrialState.COMPLETE and (new := run.space.keys() - trial.params):
                refuse("the space", ", ".join(trial.params), f"{', '.join(sorted(new))} as well")


def _described(
    study: optuna.Study, names: Sequence[str], sampler: str, pruner: str, seed: int | None
) -> int:
    """Keep with the study what it was searched by; returns its seed."""
    if names and not study.metric_names:
        study.set_metric_names(list(names))
    kept = study.user_attrs
    if seed is None:
        seed = int(kept.get(f"{OURS}seed", secrets.randbits(31)))
    searched_by = {"sampler": sampler, "pruner": pruner, "seed": seed}
    for key, value in {f"{OURS}{key}": value for key, value in searched_by.items()}.items():
        if kept.get(key) != value:
            study.set_user_attr(key, value)
    return seed


def _as_folder(name: str) -> str:
    """A study's name as the name of a folder."""
    return re.sub(r"[^\w.-]", "_", name).strip(".") or "study"


def _counts(trial: FrozenTrial) -> bool:
    return not (trial.state == TrialState.FAIL and GIVEN_UP in trial.system_attrs)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
