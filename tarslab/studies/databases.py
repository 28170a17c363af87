"""Studies in a relational database, as Optuna's ``RDBStorage`` keeps them, read by a few queries.

Optuna's own reader makes an object of every row and takes twenty times as long. Nothing is written
but to the copy of a SQLite database that ``upgraded`` is given.

Source: optuna/storages/_rdb/models.py.
"""

import json
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from tarslab.errors import BadStudy

METRIC_NAMES = "study:metric_names"
NUMBERS = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}

# A study, its attributes and objectives; its trials with all that hangs on them.
STUDIES = "SELECT study_name FROM studies ORDER BY study_name"
STUDY = "SELECT study_id FROM studies WHERE study_name = :name"
DIRECTIONS = "SELECT direction FROM study_directions WHERE study_id = :study ORDER BY objective"
ATTRIBUTES = "SELECT {key}, value_json FROM study_{kind}_attributes WHERE study_id = :study"
TRIALS = sa.text(
    "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials "
    "WHERE study_id = :study ORDER BY number, trial_id"
).columns(datetime_start=sa.DateTime(), datetime_complete=sa.DateTime())
OF_TRIALS = (
    "SELECT of_trial.trial_id, {columns} FROM {table} AS of_trial "
    "JOIN trials ON trials.trial_id = of_trial.trial_id WHERE trials.study_id = :study "
    "ORDER BY {order}"
)


class Database:
    """The studies in a database whose schema is that of this Optuna."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        # A word of the language that each database quotes in its own way.
        self._key = connection.dialect.identifier_preparer.quote("key")

    def names(self) -> list[str]:
        """The names of all studies."""
        return [name for (name,) in self._rows(STUDIES)]

    def read(
        self, name: str
    ) -> tuple[str, tuple[str, ...], tuple[str, ...] | None, dict[str, Any], list[FrozenTrial]]:
        """The name, directions, names of objectives, attributes and trials of a study."""
        (study,) = (number for (number,) in self._rows(STUDY, name=name))
        directions = tuple(d.lower() for (d,) in self._rows(DIRECTIONS, study=study))
        of_system = self._attributes("system", study)
        metrics = of_system.get(METRIC_NAMES)
        return (
            name,
            directions,
            tuple(metrics) if metrics else None,
            self._attributes("user", study),
            self._trials(study),
        )

    def _rows(self, query: Any, **values: Any) -> Iterable[Any]:
        statement = sa.text(query) if isinstance(query, str) else query
        return self._connection.execute(statement, values)

    def _attributes(self, kind: str, study: int) -> dict[str, Any]:
        query = ATTRIBUTES.format(key=self._key, kind=kind)
        return {key: json.loads(value) for key, value in self._rows(query, study=study)}

    def _trials(self, study: int) -> list[FrozenTrial]:
        params: dict[int, dict[str, Any]] = defaultdict(dict)
        distributions: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
        for trial, name, value, about in self._of_trials(
            study, "trial_params", "param_name, param_value, distribution_json", "param_id"
        ):
            distribution = _distribution(about)
            distributions[trial][name] = distribution
            params[trial][name] = distribution.to_external_repr(value)
        values: dict[int, list[float]] = defaultdict(list)
        for trial, value, kind in self._of_trials(
            study, "trial_values", "value, value_type", "of_trial.trial_id, objective"
        ):
            values[trial].append(NUMBERS.get(kind, value))
        reported: dict[int, dict[int, float]] = defaultdict(dict)
        for trial, step, value, kind in self._of_trials(
            study,
            "trial_intermediate_values",
            "step, intermediate_value, intermediate_value_type",
            "of_trial.trial_id, step",
        ):
            reported[trial][step] = NUMBERS.get(kind, value)
        of_user, of_system = (self._trial_attributes(kind, study) for kind in ("user", "system"))
        return [
            FrozenTrial(
                number=place if number is None else number,
                state=TrialState[state],
                value=None,
                values=values.get(trial),
                datetime_start=_local(start),
                datetime_complete=_local(complete),
                params=params[trial],
                distributions=distributions[trial],
                user_attrs=of_user[trial],
                system_attrs=of_system[trial],
                intermediate_values=reported[trial],
                trial_id=trial,
            )
            for place, (trial, number, state, start, complete) in enumerate(
                self._rows(TRIALS, study=study)
            )
        ]

    def _trial_attributes(self, kind: str, study: int) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        columns = f"of_trial.{self._key}, of_trial.value_json"
        table = f"trial_{kind}_attributes"
        for trial, key, value in self._of_trials(study, table, columns, "of_trial.trial_id"):
            found[trial][key] = json.loads(value)
        return found

    def _of_trials(self, study: int, table: str, columns: str, order: str) -> Iterable[Any]:
        query = OF_TRIALS.format(table=table, columns=columns, order=order)
        return self._rows(query, study=study)


@contextmanager
def upgraded(copy: Path, path: Path) -> Iterator[Database]:
    """A copy of a SQLite database, brought to the schema of this Optuna; ``path`` is its name."""
    url = f"sqlite:///{copy}"
    engine = sa.create_engine(url)
    try:
        _refuse_without_studies(engine, str(path))
        # Making the storage may write what a very old schema lacks.
        storage = RDBStorage(url, skip_compatibility_check=True)
        try:
            version, head = storage.get_current_version(), storage.get_head_version()
            if version not in storage.get_all_versions():
                raise BadStudy(
                    f"{path}: the database has the schema {version} of a newer Optuna, this one "
                    f"knows up to {head}; pip install -U optuna"
                )
            if version != head:
                with _logging_as_it_is(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    storage.upgrade()
        finally:
            storage.remove_session()
            storage.engine.dispose()
        with engine.connect() as connection:
            yield Database(connection)
    finally:
        engine.dispose()


@contextmanager
def connected(url: str, shown: str) -> Iterator[Database]:
    """A database behind a URL, in a transaction that is rolled back."""
    try:
        engine = sa.create_engine(url)
    except ModuleNotFoundError as error:
        raise BadStudy(
            f"{shown} needs a package that is not there: pip install {error.name}"
        ) from None
    try:
        _refuse_without_studies(engine, shown)
        with engine.connect() as connection:
            stated = connection.execute(sa.text("SELECT version_num FROM alembic_version"))
            version, head = stated.scalar(), _head_version()
            if version != head:
                raise BadStudy(
                    f"{shown}: the database has Optuna's schema {version}, this Optuna reads "
                    f"{head}. If it is older, bring it up to date with 'optuna storage upgrade "
                    "--storage ...', which changes it; if it is newer, pip install -U optuna"
                )
            yield Database(connection)
    finally:
        engine.dispose()


def _refuse_without_studies(engine: sa.Engine, shown: str) -> None:
    tables = sa.inspect(engine).get_table_names()
    if "studies" not in tables:
        raise BadStudy(
            f"{shown}: a database without studies of Optuna (its tables: "
            f"{', '.join(tables[:8]) or 'none'})"
        )


@contextmanager
def _logging_as_it_is() -> Iterator[None]:
    """Alembic sets up logging for the whole process where the root logger has no handler."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


@lru_cache(maxsize=1)
def _head_version() -> str:
    return RDBStorage("sqlite://").get_head_version()


def _local(time: datetime | None) -> datetime | None:
    """Naive local time, as Optuna's trials have it, from the naive UTC of the database."""
    return time and time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    """Trials of one study share their distributions."""
    return json_to_distribution(text)
