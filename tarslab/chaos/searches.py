"""What a fault costs a search: the same search twice, once undisturbed and once with the fault."""

import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from tarslab.admin import AdminClient, Unavailable
from tarslab.admin.models import Study
from tarslab.chaos.faults import Fault
from tarslab.errors import BadArgument, TarslabError

UNDISTURBED, DISTURBED = "undisturbed", "disturbed"
# Seconds between two looks at a search.
LOOK = 0.1


class SearchFailed(TarslabError):
    """A search did not come as far as it had to."""


@dataclass(frozen=True)
class SearchCost:
    """Two searches with one seed, and the fault that the second one met."""

    trials: pd.DataFrame
    """``search`` (undisturbed or disturbed), ``number``, ``state``, ``began`` and ``ended`` (in
    seconds from the start of the search's first trial; NaN where it has not), the values and
    ``params_*``."""
    fault: str
    """In words."""
    began: float
    """When the fault began, in seconds from the start of the disturbed search's first trial."""
    ended: float
    """When it was undone."""
    finished_before: int
    """Trials of the disturbed search that were finished when the fault began."""
    lost: int
    """How many of these are missing at the end, or have other values."""

    def summary(self) -> pd.DataFrame:
        """A row for each search: ``trials``, ``complete``, ``failed``, ``seconds`` from its
        first trial's start to its last one's end, ``best`` (the highest value)."""
        value = _value_columns(self.trials)[0]
        rows = self.trials.groupby("search", sort=False)
        return pd.DataFrame(
            {
                "trials": rows["number"].count(),
                "complete": rows["state"].agg(lambda states: (states == "COMPLETE").sum()),
                "failed": rows["state"].agg(lambda states: (states == "FAIL").sum()),
                "seconds": rows["ended"].max(),
                "best": rows[value].max(),
            }
        )

    @property
    def seconds_lost(self) -> float:
        """How much longer the disturbed search took."""
        seconds = self.summary()["seconds"]
        return float(seconds[DISTURBED] - seconds[UNDISTURBED])

    @property
    def differing(self) -> int:
        """Complete trials of the undisturbed search that the disturbed one has not.

        The same hyperparameters with the same values count as the same trial, whatever its number.
        With one seed there is none where the fault has cost nothing but time.
        """
        compared = [*_value_columns(self.trials), *_params(self.trials)]
        complete = self.trials[self.trials["state"] == "COMPLETE"]
        undisturbed, disturbed = (
            Counter(complete.loc[complete["search"] == search, compared].itertuples(index=False))
            for search in (UNDISTURBED, DISTURBED)
        )
        return (undisturbed - disturbed).total()

    def explain(self) -> str:
        """The cost in sentences."""
        rows = self.summary()
        seconds, complete, failed = rows["seconds"], rows["complete"], rows["failed"]
        lost = f"{self.lost} of the {self.finished_before} that were finished before it were lost"
        return (
            f"The fault ({self.fault}) lasted {self.ended - self.began:.1f} s. The search took "
            f"{seconds[DISTURBED]:.1f} s with it and {seconds[UNDISTURBED]:.1f} s without. Of its "
            f"{rows['trials'][DISTURBED]} trials {complete[DISTURBED]} are complete and "
            f"{failed[DISTURBED]} failed; {lost}, and {self.differing} of the undisturbed search "
            f"have no equal in it."
        )


def search_cost(
    admin: AdminClient,
    fault: Fault,
    *,
    objective: str = "digits",
    n_trials: int = 24,
    seed: int = 7,
    after: int = 6,
    hold: float = 5.0,
    timeout: float = 300.0,
) -> SearchCost:
    """Run a search on the automl service twice, and have the second one meet a fault.

    Parameters
    ----------
    admin
        A client with the scopes ``studies:read`` and ``studies:write``.
    fault
        One of ``tarslab.chaos.faults`` that has not begun.
    objective, n_trials, seed
        Of both searches; the objectives that automl knows are at ``GET /objectives``.
    after
        Trials that are finished when the fault begins.
    hold
        Seconds until it is undone.
    timeout
        Seconds that each search may take.

    Raises
    ------
    BadArgument
        ``after`` is no number of trials below ``n_trials``, or ``hold`` is negative.
    SearchFailed
        A search took too long, or was over before the fault began. The fault is undone.
    AdminError
        A search could not be started.
    """
    if hold < 0:
        raise BadArgument(f"hold must be seconds of 0 or more, not {hold}")
    if not 0 <= after < n_trials:
        raise BadArgument(f"after must be from 0 to below n_trials ({n_trials}), not {after}")
    suffix = uuid.uuid4().hex[:8]
    names = {search: f"{search}-{suffix}" for search in (UNDISTURBED, DISTURBED)}

    admin.studies.start(names[UNDISTURBED], objective, n_trials, seed=seed)
    _wait(admin, names[UNDISTURBED], _is_over, timeout)

    admin.studies.start(names[DISTURBED], objective, n_trials, seed=seed)
    _wait(admin, names[DISTURBED], lambda study: study.finished >= after, timeout)
    before = _finished(admin, names[DISTURBED])
    with fault:
        time.sleep(hold)
    _wait(admin, names[DISTURBED], _is_over, timeout)

    afterwards = _finished(admin, names[DISTURBED])
    tables = {search: _trials(admin, names[search]) for search in names}
    start = {search: table["began"].min() for search, table in tables.items()}
    for search, table in tables.items():
        table[["began", "ended"]] -= start[search]
        table.insert(0, "search", search)
    assert fault.began is not None
    assert fault.ended is not None
    if tables[DISTURBED]["ended"].max() + start[DISTURBED] < fault.began:
        raise SearchFailed(
            f"{names[DISTURBED]}: the search was over before the fault began: give more n_trials, "
            "or a smaller after"
        )
    return SearchCost(
        trials=pd.concat(tables.values(), ignore_index=True),
        fault=fault.name,
        began=fault.began - start[DISTURBED],
        ended=fault.ended - start[DISTURBED],
        finished_before=len(before),
        lost=sum(afterwards.get(number) != values for number, values in before.items()),
    )


def _wait(admin: AdminClient, name: str, enough: Callable[[Study], bool], timeout: float) -> None:
    limit = time.monotonic() + timeout
    while True:
        try:
            study = admin.studies.get(name)
        except Unavailable:
            # While Redis is out nobody can say how the search is.
            study = None
        if study is not None and enough(study):
            return
        if study is not None and _is_over(study):
            raise SearchFailed(
                f"{name}: the search is {study.state} with {study.finished} finished trials"
            )
        if time.monotonic() > limit:
            raise SearchFailed(f"{name}: the search is not done after {timeout:g} s")
        time.sleep(LOOK)


def _is_over(study: Study) -> bool:
    return study.state != "running"


def _finished(admin: AdminClient, name: str) -> dict[int, tuple[float | None, ...] | None]:
    return {trial.number: trial.values for trial in admin.studies.trials(name, state="COMPLETE")}


def _trials(admin: AdminClient, name: str) -> pd.DataFrame:
    """Its trials, with ``began`` and ``ended`` in Unix seconds."""
    table = admin.studies.trials(name).to_frame()
    # By the service's clock, which is this machine's where the fault is one of this machine.
    for column, moment in (("began", "started_at"), ("ended", "finished_at")):
        table[column] = table[moment].map(pd.Timestamp.timestamp, na_action="ignore")
    return table[["number", "state", "began", "ended", *_value_columns(table), *_params(table)]]


def _value_columns(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name == "value" or name.startswith("values_")]


def _params(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith("params_")]
