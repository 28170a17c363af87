"""``load_study``: from a path, a URL or Optuna's own objects to a ``Study``."""

import os
from typing import Any

import optuna

from tarslab.errors import StudyNotFound
from tarslab.studies.storages import of_study, opened
from tarslab.studies.study import Study


def load_study(source: Any, name: str | None = None) -> Study:
    """Read a study of Optuna from wherever it is kept; nothing is ever written there.

    Parameters
    ----------
    source
        A SQLite file or its URL (``study.db``, ``sqlite:///study.db``), of this or an older Optuna;
        a journal file; ``redis://...`` for a journal on Redis; ``grpc://host:port`` for a gRPC
        proxy; the URL of any database that SQLAlchemy knows; an Optuna storage; or an
        ``optuna.Study``. ``bundled:automl/...`` are the studies that come with tarslab.
    name
        Which study, where the storage holds several.

    Raises
    ------
    StudyNotFound
        Nothing there, no study of this name, or several and no name; the message lists them.
    BadStudy
        The storage is damaged, locked, cannot be reached, or is of a newer Optuna.
    BadArgument
        ``source`` is nothing of the kind.

    Warns
    -----
    LogWarning
        A journal is cut off or damaged; what stands before that was read.
    """
    if isinstance(source, Study):
        return source
    if isinstance(source, optuna.Study):
        return Study(of_study(source))
    if isinstance(source, os.PathLike):
        source = os.fspath(source)
    with opened(source) as storage:
        if not storage.names:
            raise StudyNotFound(f"{storage.shown}: holds no study yet")
        if name is None:
            if len(storage.names) > 1:
                raise StudyNotFound(
                    f"{storage.shown} holds {len(storage.names)} studies, give the name of one: "
                    f"name={_listed(storage.names)}"
                )
            name = storage.names[0]
        if name not in storage.names:
            raise StudyNotFound(
                f"{storage.shown} holds no study {name!r}; there are {_listed(storage.names)}"
            )
        return Study(storage.read(name), storage.shown)


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
