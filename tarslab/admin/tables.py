"""Values as pandas tables. pandas is imported when the first is made."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from tarslab.admin.models import Model


def of(kind: "type[Model]", values: "Iterable[Model]") -> "pd.DataFrame":
    """One row a value, with the columns of ``kind`` where there is none.

    Columns of times (``time``, ``*_at``, ``*_until``) are made datetimes of UTC.
    """
    import pandas as pd

    rows = [value._row() for value in values]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*kind._columns()])
    for name in table.columns:
        if name == "time" or name.endswith(("_at", "_until")):
            table[name] = pd.to_datetime(table[name].astype("float64"), unit="s", utc=True)
    return table


def points(
    labels: Mapping[str, Any], curves: Mapping[str, tuple[Sequence[int], Sequence[float | None]]]
) -> "pd.DataFrame":
    """The points of named curves: the labels, then metric, step (int64) and value (float64)."""
    import pandas as pd

    rows = [
        (*labels.values(), name, step, value)
        for name, (steps, values) in curves.items()
        for step, value in zip(steps, values, strict=True)
    ]
    table = pd.DataFrame(rows, columns=[*labels, "metric", "step", "value"])
    return table.astype({"step": "int64", "value": "float64"})
