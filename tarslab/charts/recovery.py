"""How long services took to come back, over repeated faults."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tarslab import stats
from tarslab.charts import theme
from tarslab.charts.algorithms import FEW_RUNS, counted, heading, percent
from tarslab.charts.bars import bar_records
from tarslab.charts.named_rows import named_rows
from tarslab.errors import BadArgument
from tarslab.stats.resampling import Seed

if TYPE_CHECKING:
    from tarslab.chaos import ExperimentResult

Recoveries: TypeAlias = (
    "ExperimentResult | Iterable[ExperimentResult] | pd.DataFrame | Mapping[str, ArrayLike]"
)

POINT, MEAN, NOT_BACK, LIMIT = theme.PALETTE[0], theme.INK, theme.PALETTE[1], theme.PALETTE[1]
# Pixels of a row, and of the room above for the words at the limit.
ROW, ABOVE = 46, 18


class Recovery(NamedTuple):
    """The numbers behind ``recovery``."""

    times: pd.DataFrame
    """``fault``, ``service``, ``repeat`` (from 0) and ``seconds``, infinite where it was not back.
    Services that a fault neither hit nor made fail are left out."""
    estimates: pd.DataFrame
    """A row for each fault and service: ``repeats``, ``recovered`` (how many of them), ``mean``
    with ``low`` and ``high``, and ``median``. Where it was not back once there is no mean, and all
    three are infinite; the bounds are NaN for a single repeat."""


def recovery_data(results: Recoveries, *, confidence: float = 0.95, seed: Seed = 0) -> Recovery:
    """The times that ``recovery`` draws, and their bootstrap intervals."""
    times = _times(results)
    rows = []
    for (fault, service), part in times.groupby(["fault", "service"], sort=False):
        seconds = part["seconds"].to_numpy()
        back = np.isfinite(seconds)
        mean, low, high = np.inf, np.inf, np.inf
        if back.all():
            found = stats.bootstrap_ci(seconds, stats.mean, confidence=confidence, seed=seed)
            mean, low, high = (float(each) for each in found)
        rows.append(
            (fault, service, len(seconds), int(back.sum()), mean, low, high, np.median(seconds))
        )
    columns = ["fault", "service", "repeats", "recovered", "mean", "low", "high", "median"]
    return Recovery(times, pd.DataFrame(rows, columns=columns))


def recovery(
    results: Recoveries,
    *,
    required: float | None = None,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> alt.LayerChart:
    """The time to recover after each fault, a dot each, with their mean, its interval and median.

    A time that never ended is a cross at the right edge: it makes the mean infinite, which is then
    not drawn, rather than being left out of it.

    Parameters
    ----------
    results
        One experiment or several, whose repeats then count together; or a table with ``service``
        and ``recovery`` in seconds (infinite: not back), and if need be ``fault``; or seconds by
        service.
    required
        The limit, in seconds; by default those of the experiments' criteria.
    confidence, seed
        Of the bootstrap interval of the mean: as in ``stats.bootstrap_ci``.

    Raises
    ------
    BadArgument
        No recovery was measured, or an argument is out of its range.
    """
    if required is not None and not 0 < required < np.inf:
        raise BadArgument(f"required must be more than 0 seconds, not {required!r}")
    data = recovery_data(results, confidence=confidence, seed=seed)
    limits = _limits(results) if required is None else [float(required)]
    rows = list(data.estimates[["fault", "service"]].itertuples(index=False, name=None))
    times = data.times["seconds"]
    longest = max([*times[np.isfinite(times)], *limits, 0.1])
    right = 1.12 * longest
    x = alt.X(
        "seconds:Q",
        title="time to recover (s)",
        scale=alt.Scale(domain=[-0.012 * right, right], nice=False),
        axis=alt.Axis(tickCount=8),
    )
    y = named_rows("row", _names(data.estimates), middle=0.5, above=ABOVE / ROW, limit=220)
    layers = [
        *_interval(data.estimates, x, y),
        *_points(data.times, rows, x, y, right),
        *_middles(data.estimates, x, y),
        *_required(limits, x),
    ]
    return alt.LayerChart(
        layer=layers,
        width="container",
        height=ABOVE + ROW * len(rows),
        title=heading(_note(data, confidence)),
        description=_description(data.estimates, limits),
    )


def _times(results: Recoveries) -> pd.DataFrame:
    if isinstance(results, pd.DataFrame):
        table = results
        if not {"service", "recovery"} <= set(table):
            raise BadArgument("results: a table needs the columns service and recovery")
    elif isinstance(results, Mapping):
        parts = [
            pd.DataFrame({"service": str(service), "recovery": np.atleast_1d(seconds)})
            for service, seconds in results.items()
        ]
        table = pd.concat(parts) if parts else pd.DataFrame(columns=["service", "recovery"])
    else:
        touched = [_touched(result) for result in _several(results)]
        table = pd.concat(touched) if touched else pd.DataFrame(columns=["service", "recovery"])
    if "fault" not in table:
        table = table.assign(fault="")
    seconds = table["recovery"].astype("float64")
    if (seconds < 0).any():
        raise BadArgument(f"results: a recovery takes no {seconds.min():g} s")
    # Not a number is what was not measured.
    table = table.assign(seconds=seconds)[seconds.notna().to_numpy()]
    if table.empty:
        raise BadArgument("results: no recovery was measured, so there is nothing to draw")
    repeat = table.groupby(["fault", "service"]).cumcount()
    return table.assign(repeat=repeat)[["fault", "service", "repeat", "seconds"]].reset_index(
        drop=True
    )


def _touched(result: "ExperimentResult") -> pd.DataFrame:
    """The recoveries of what was broken, and of what failed with it."""
    table = result.recoveries
    broken = {(fault.name, service) for fault in result.faults for service in fault.services}
    failed = set(
        table[table["recovery"] > 0][["fault", "service"]].itertuples(index=False, name=None)
    )
    pairs = table[["fault", "service"]].itertuples(index=False, name=None)
    return table[[pair in broken | failed for pair in pairs]]


def _several(results: Any) -> list["ExperimentResult"]:
    return list(results) if isinstance(results, Iterable) else [results]


def _limits(results: Recoveries) -> list[float]:
    """What the criteria of experiments require."""
    if isinstance(results, pd.DataFrame | Mapping):
        return []
    found = set()
    for result in _several(results):
        criteria = result.criteria
        found |= set(criteria["limit"][criteria["measure"] == "recovery"].astype(float))
    return sorted(found)


def _interval(estimates: pd.DataFrame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    bar = _estimates(estimates, y).transform_filter("isValid(datum.low)")
    bar = bar.mark_bar(height=22, opacity=0.16, color=MEAN, clip=True)
    return [bar.encode(x=_like(x, "low:Q"), x2="high:Q")]


def _middles(estimates: pd.DataFrame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    base = _estimates(estimates, y)
    mean = base.mark_tick(orient="vertical", thickness=2.5, size=30, color=MEAN, clip=True)
    median = base.mark_point(
        shape="diamond", size=80, color=MEAN, fill="white", strokeWidth=1.5, opacity=1, clip=True
    )
    return [mean.encode(x=_like(x, "mean:Q")), median.encode(x=_like(x, "median:Q"))]


def _estimates(estimates: pd.DataFrame, y: alt.Y) -> alt.Chart:
    """Those with a mean, by their rows."""
    known = estimates.assign(row=np.arange(len(estimates)) + 0.5)
    known = known[np.isfinite(known["mean"])]
    chart: alt.Chart = alt.Chart(bar_records(known)).encode(
        y=y,
        tooltip=[
            alt.Tooltip("service:N", title="service"),
            alt.Tooltip("fault:N", title="fault"),
            alt.Tooltip("mean:Q", title="mean (s)", format=".3~f"),
            alt.Tooltip("low:Q", title="low", format=".3~f"),
            alt.Tooltip("high:Q", title="high", format=".3~f"),
            alt.Tooltip("median:Q", title="median (s)", format=".3~f"),
            alt.Tooltip("repeats:Q", title="repeats (n)"),
        ],
    )
    return chart


def _points(
    times: pd.DataFrame, rows: list[tuple[str, str]], x: alt.X, y: alt.Y, right: float
) -> list[alt.Chart]:
    """A dot a repeat, in their order from the top of a row."""
    records = []
    for place, (fault, service) in enumerate(rows):
        part = times[(times["fault"] == fault) & (times["service"] == service)]
        for repeat, seconds in part[["repeat", "seconds"]].itertuples(index=False):
            back = bool(np.isfinite(seconds))
            records.append(
                {
                    "service": service,
                    "fault": fault,
                    "repeat": int(repeat) + 1,
                    "row": place + 0.18 + 0.64 * (repeat + 0.5) / len(part),
                    "seconds": float(f"{seconds:.9g}") if back else 0.985 * right,
                    "said": f"{seconds:.3f} s" if back else "not back",
                    "back": back,
                }
            )
    base = alt.Chart(alt.InlineData(values=records)).encode(
        x=x,
        y=y,
        tooltip=[
            alt.Tooltip("service:N", title="service"),
            alt.Tooltip("fault:N", title="fault"),
            alt.Tooltip("repeat:Q", title="repeat"),
            alt.Tooltip("said:N", title="time to recover"),
        ],
    )
    layers = [
        base.transform_filter("datum.back").mark_circle(
            size=38, color=POINT, opacity=0.85, clip=True
        )
    ]
    if not all(record["back"] for record in records):
        layers.append(
            base.transform_filter("!datum.back").mark_point(
                shape="cross", angle=45, size=70, filled=True, color=NOT_BACK, opacity=1
            )
        )
    return layers


def _required(limits: list[float], x: alt.X) -> list[alt.Chart]:
    if not limits:
        return []
    values = [{"seconds": limit, "text": f"required: {limit:g} s"} for limit in limits]
    base = alt.Chart(alt.InlineData(values=values)).encode(x=x)
    return [
        base.mark_rule(color=LIMIT, strokeDash=[4, 4], strokeWidth=1.4),
        base.mark_text(
            align="right", baseline="top", dx=-5, dy=3, fontSize=11, color=theme.INK
        ).encode(y=alt.value(0), text="text:N"),
    ]


def _like(x: alt.X, field: str) -> alt.X:
    like: alt.X = x.copy()
    like.shorthand = field
    return like


def _names(estimates: pd.DataFrame) -> list[list[str]]:
    """Of each row, for the axis."""
    names = []
    for row in estimates.to_dict("records"):
        said = f"mean {row['mean']:.3g} s (n = {row['repeats']})"
        if row["recovered"] < row["repeats"]:
            said = f"not back in {row['repeats'] - row['recovered']} of {row['repeats']}"
        names.append([row["service"], *([row["fault"]] if row["fault"] else []), said])
    return names


def _note(data: Recovery, confidence: float) -> list[str]:
    lines = ["Dots: single faults, in their order from above. Diamond: median"]
    fewest = int(data.estimates["repeats"].min())
    if np.isfinite(data.estimates["low"]).any():
        lines.append(f"Line and bar: mean with its {percent(confidence)} bootstrap interval")
        several = data.estimates["repeats"] > 1
        fewest = int(data.estimates["repeats"][several].min())
        if fewest < FEW_RUNS:
            lines.append(
                f"From {counted(fewest, 'repeat')} such intervals come out too narrow: the doubt "
                "is larger than shown"
            )
    else:
        lines.append("Line: mean, which has no interval here")
    if np.isinf(data.times["seconds"]).any():
        lines.append("Cross: not back; there the mean is infinite, and not drawn")
    return lines


def _description(estimates: pd.DataFrame, limits: list[float]) -> str:
    """For those who do not see it."""
    rows = [" ".join(filter(None, name)) for name in _names(estimates)[:12]]
    said = "Times to recover: " + "; ".join(rows)
    if limits:
        said += ". Required: " + ", ".join(f"{limit:g} s" for limit in limits)
    return said
