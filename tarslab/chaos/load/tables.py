"""The tables of a result: by second, in sum, of thresholds, of errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from tarslab.chaos.load.evaluation import evaluate, kind_of, measured, selected
from tarslab.chaos.load.histograms import Cells, Sums
from tarslab.chaos.load.recording import Series
from tarslab.chaos.load.thresholds import Expression, Selector, Threshold

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Measures:
    """All that was measured in a part of a run."""

    series: Sequence[Series]
    cells: Cells
    """Ascending by second."""
    start: int
    """Its first second."""
    end: float
    """Where it ends, in seconds."""

    def part(self, start: int, end: float) -> "Measures":
        """What was due in some of the seconds."""
        end = min(end, self.end)
        return Measures(self.series, self.cells.between(start, ceil(end)), start, end)

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)


def by_second(of: Measures, started_at: float) -> "pd.DataFrame":
    """A row for each second and series; the columns are said by ``LoadResult.requests``."""
    import pandas as pd

    cells = of.cells
    trend = np.array([each.kind == "trend" for each in of.series], bool)[cells.series]
    names = sorted({tag for each in of.series for tag, _ in each.tags})

    def category(texts: list[str]) -> "pd.Categorical":
        return pd.Categorical(np.array(texts, object)[cells.series])

    columns: dict[str, Any] = {
        "second": cells.second,
        "time": started_at + cells.second,
        "metric": category([each.metric for each in of.series]),
    }
    for name in names:
        columns[name] = category([dict(each.tags).get(name, "") for each in of.series])
    sums = cells.grouped(np.arange(len(cells)), len(cells))
    columns["count"] = sums.count.astype(np.int64)
    columns["total"] = np.where(trend, sums.total / 1e3, sums.total)
    return pd.DataFrame(columns | _times(sums))


def over_time(of: Measures, selector: Selector, started_at: float) -> "pd.DataFrame":
    """A row for each second of one metric; the columns are said by ``LoadResult.over_time``."""
    import pandas as pd

    rows = selected(of.cells, of.series, selector)
    # What was due beyond the end is in no second of the table.
    rows = rows.between(of.start, ceil(of.end))
    seconds = np.arange(of.start, ceil(of.end))
    sums = rows.grouped(rows.second - of.start, len(seconds))
    columns = {
        "second": seconds,
        "time": started_at + seconds,
        "count": sums.count.astype(np.int64),
        "total": sums.total,
    }
    with np.errstate(invalid="ignore"):
        columns["rate"] = sums.total / sums.count
    return pd.DataFrame(columns | _times(sums))


def summary(of: Measures) -> "pd.DataFrame":
    """A row for each metric; the columns are said by ``LoadResult.summary``."""
    import pandas as pd

    rows = []
    for metric in sorted({each.metric for each in of.series}):
        rows.append(_summed(of, Selector(metric)))
        if metric == "http_req_duration":
            names = {dict(each.tags).get("name", "") for each in of.series} - {""}
            rows += [_summed(of, Selector(metric, (("name", name),))) for name in sorted(names)]
    return pd.DataFrame(rows)


def windows(of: Measures, selector: Selector, threshold: str, length: int) -> "pd.DataFrame":
    """A threshold in every window of so many seconds; one of all where the run is shorter."""
    import pandas as pd

    expression = Expression.parse(threshold)
    # What is not about it need not be looked at for each window.
    about = np.array(
        [each.metric in (selector.metric, "dropped_iterations") for each in of.series] + [False]
    )
    own = Measures(of.series, of.cells.where(about[of.cells.series]), of.start, of.end)
    last = max(of.start, int(of.end) - length)
    rows = []
    for start in range(of.start, last + 1):
        part = own.part(start, start + length)
        outcome = evaluate(part.cells, of.series, selector, expression, part.seconds)
        rows.append({"start": float(start), "end": part.end} | outcome._asdict())
    return pd.DataFrame(rows)


def thresholds(
    of: Measures,
    promised: Sequence[tuple[Selector, Threshold]],
    parts: Mapping[str, Measures],
    length: int,
) -> "pd.DataFrame":
    """A row for each threshold and part; the columns are said by ``LoadResult.thresholds``."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for selector, threshold in promised:
        expression = threshold.expression
        about = {"metric": str(selector), "threshold": threshold.threshold}
        for name, part in ({"run": of} | dict(parts)).items():
            outcome = evaluate(part.cells, of.series, selector, expression, part.seconds)
            span = {"part": name, "start": float(part.start), "end": part.end}
            rows.append(about | span | outcome._asdict())
        several = windows(of, selector, threshold.threshold, length)
        sign = 1 if expression.operator in (">", ">=") else -1
        # The window that did worst: unknown values do not count.
        order = (sign * several["value"]).sort_values(na_position="last")
        rows.append(about | {"part": f"worst {length} s"} | several.loc[order.index[0]].to_dict())
    columns = ["metric", "threshold", "part", "start", "end", "value", "held", "held_at_worst"]
    return pd.DataFrame(rows, columns=columns)


def errors(of: Measures) -> "pd.DataFrame":
    """A row for each kind of error; the columns are said by ``LoadResult.errors``."""
    import pandas as pd

    found: dict[tuple[str, str, str], list[float]] = {}
    for number, each in enumerate(of.series):
        tags = dict(each.tags)
        if "error" not in tags or each.metric not in ("http_reqs", "flow_errors"):
            continue
        rows = of.cells.series == number
        if rows.any():
            kind = tags["error"] if each.metric == "http_reqs" else f"flow: {tags['error']}"
            key = kind, tags["scenario"], tags.get("name", "")
            seconds = of.cells.second[rows]
            count, first, last = found.get(key, [0.0, np.inf, -np.inf])
            found[key] = [
                count + of.cells.total[rows].sum(),
                min(first, seconds.min()),
                max(last, seconds.max()),
            ]
    table = pd.DataFrame(
        [(*key, *(int(value) for value in values)) for key, values in found.items()],
        columns=["error", "scenario", "name", "count", "first", "last"],
    )
    return table.sort_values(["count", "error", "name"], ascending=[False, True, True]).reset_index(
        drop=True
    )


def _times(sums: Sums) -> dict[str, Any]:
    """Columns of trends in milliseconds; NaN elsewhere."""
    known = np.diff(sums.offsets) > 0
    columns: dict[str, Any] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        columns["mean"] = np.where(known, sums.total / sums.count / 1e3, np.nan)
    for name, q in QUANTILES.items():
        columns[name] = sums.quantile(q) / 1e3
    columns["min"] = np.where(known, sums.low / 1e3, np.nan)
    columns["max"] = np.where(known, sums.high / 1e3, np.nan)
    return columns


def _summed(of: Measures, selector: Selector) -> dict[str, Any]:
    kind = kind_of(of.series, selector, Expression("avg", 0, "<", 0))
    sums = measured(of.cells, of.series, selector)
    count, total = float(sums.count[0]), float(sums.total[0])
    row: dict[str, Any] = {
        "metric": selector.metric,
        "name": dict(selector.tags).get("name", ""),
        "kind": kind,
        "count": int(count),
        "total": total if kind == "counter" else np.nan,
        "rate": np.nan,
    }
    if kind == "rate" and count:
        row["rate"] = total / count
    elif kind == "counter" and of.seconds:
        row["rate"] = total / of.seconds
    if kind == "gauge":
        row["max"] = float(over_time(of, selector, 0.0)["total"].max())
        return row
    return row | {name: column[0] for name, column in _times(sums).items()}
