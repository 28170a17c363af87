"""Which training run belongs to which trial."""

import re
from typing import Any

import pandas as pd

COLUMNS = ("hp.trial", "hp.trial_number")
NAME = re.compile(r"(?:^|[/_-])trial[_-]?(\d+)(?:$|[/_-])", re.IGNORECASE)


def trials_of_runs(table: "pd.DataFrame") -> "pd.Series[Any]":
    """The number of each run's trial, by the run's name; only of runs that say it.

    ``table`` is ``Runs.table``. A run says it in its configuration (``trial``, ``trial_number``),
    else in its name (``trial_7``).
    """
    found: dict[str, int] = {}
    unstated = pd.Series(float("nan"), index=table.index)
    stated = next((table[column] for column in COLUMNS if column in table), unstated)
    numbers = pd.to_numeric(stated, errors="coerce").astype("float64").tolist()
    for name, number in zip(map(str, table["run"]), numbers, strict=True):
        if number.is_integer():
            found[name] = int(number)
        elif match := NAME.search(name):
            found[name] = int(match[1])
    return pd.Series(found, dtype="int64")
