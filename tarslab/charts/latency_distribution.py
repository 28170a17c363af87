"""How long requests took, up to the slowest: percentiles on an axis that spreads the last ones."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.charts import theme
from tarslab.charts.algorithms import counted, heading
from tarslab.charts.curves import columns_of, hover_points, legend_toggle, wheel_zoom
from tarslab.charts.log_axis import log_domain, log_ticks
from tarslab.errors import BadArgument

if TYPE_CHECKING:
    from tarslab.chaos.load import LoadResult

LoadResults: TypeAlias = "LoadResult | Mapping[str, LoadResult] | Iterable[LoadResult]"
Floats = NDArray[np.float64]

MEASURES = {
    "http_req_duration": "latency (from due)",
    "http_req_service_duration": "service time (from sent)",
    "dispatch_lateness": "generator's lateness",
}
COLOURS = dict(zip(MEASURES.values(), theme.PALETTE, strict=False))
STROKES = dict(zip(MEASURES.values(), theme.DASHES, strict=False))
# Points for each factor of ten on the axis of percentiles.
POINTS = 24
LOWEST = 0.01
MOST_NAMED = 4


def latency_distribution_data(results: LoadResults) -> pd.DataFrame:
    """The numbers behind ``latency_distribution``.

    Returns
    -------
    DataFrame
        ``result``, ``measure`` (latency from when a request was due, service time from when it was
        sent, the generator's lateness), ``percentile`` (percent), ``milliseconds``, ``samples``.
        Of n samples the percentiles go up to 100 (1 - 1/n) %, in steps that grow shorter, 50, 90,
        99, 99.9 and so on among them; the last row is the slowest sample, as 100 %.
    """
    rows = []
    for name, result in _named(results).items():
        for metric, measure in MEASURES.items():
            levels, times, samples = _percentiles(result, metric)
            rows.append(
                pd.DataFrame(
                    {
                        "result": name,
                        "measure": measure,
                        "percentile": 100 * levels,
                        "milliseconds": times,
                        "samples": samples,
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def latency_distribution(results: LoadResults) -> alt.LayerChart:
    """The time that each share of the requests did not exceed, both axes logarithmic.

    Where the latency lies far above the service time, requests waited before they were sent: a
    generator that counts from the sending (a closed loop) would not have seen it. The lateness is
    the part of the wait that is the generator's own. A click on a legend entry hides or shows it,
    drag pans, Shift and wheel zooms.

    Parameters
    ----------
    results
        One run of load or several to compare, as a list or by the names that they are to have.

    Raises
    ------
    BadArgument
        There is no result.

    References
    ----------
    Tene, HdrHistogram, for the axis; Tene, How NOT to Measure Latency, 2013, for what it shows.
    """
    named = _named(results)
    table = latency_distribution_data(named)
    # No sample takes no time, and a logarithmic axis has no 0.
    table = table.assign(
        milliseconds=table["milliseconds"].clip(lower=LOWEST),
        nines=_place(table["percentile"].to_numpy(), table["samples"].to_numpy()),
    )
    several = len(named) > 1
    shown = list(dict.fromkeys(table["measure"]))
    toggles = [legend_toggle("measure", shown)]
    legend = alt.Legend(columns=3, symbolSize=500, orient="bottom" if several else "top")
    dash = alt.StrokeDash(
        "measure:N",
        scale=alt.Scale(domain=shown, range=[list(STROKES[each]) for each in shown]),
        legend=legend,
    )
    if several:
        names = list(dict.fromkeys(table["result"]))
        toggles.append(legend_toggle("result", names))
        colour = alt.Color("result:N", scale=theme.colours(names))
    else:
        scale = alt.Scale(domain=shown, range=[COLOURS[each] for each in shown])
        colour = alt.Color("measure:N", scale=scale, legend=legend)
    base = alt.Chart(columns_of(table, ["result", "measure"])).transform_flatten(
        ["percentile", "milliseconds", "samples", "nines"]
    )
    for toggle in toggles:
        base = base.transform_filter(toggle)
    domain = log_domain(table["milliseconds"])
    most = max(table["nines"].max(), 10.0) if len(table) else 100.0
    base = base.encode(
        x=alt.X(
            "nines:Q",
            title="percentile",
            scale=alt.Scale(type="log", domain=[1, 1.3 * most], nice=False),
            axis=alt.Axis(values=_marks(most), labelExpr=LABEL, grid=True),
        ),
        y=alt.Y(
            "milliseconds:Q",
            title="time (ms)",
            scale=alt.Scale(type="log", domain=list(domain), nice=False),
            axis=alt.Axis(values=log_ticks(*domain), labelExpr="format(datum.value, ',~g')"),
        ),
        color=colour,
        detail=["result:N", "measure:N"],
    )
    tooltip = [
        *([alt.Tooltip("result:N", title="result")] if several else []),
        alt.Tooltip("measure:N", title="measure"),
        alt.Tooltip("percentile:Q", title="percentile", format=".6~f"),
        alt.Tooltip("milliseconds:Q", title="at most (ms)", format=",.4~g"),
        alt.Tooltip("samples:Q", title="samples", format=","),
    ]
    line = base.mark_line(strokeWidth=1.8, clip=True).encode(strokeDash=dash)
    slowest = base.transform_filter("datum.percentile == 100").mark_circle(
        size=36, opacity=1, clip=True
    )
    hover = hover_points(base, len(table), tooltip)
    line = line.add_params(*toggles, wheel_zoom())
    return alt.LayerChart(
        layer=[line, slowest, hover],
        width="container",
        title=heading(_note(named, table)),
        description=_description(table),
    )


# 1 / (1 - share) as the percentile that it is.
LABEL = (
    "datum.value == 1 ? '0 %' : format(100 * (1 - 1 / datum.value), "
    "datum.value > 100 ? '.' + (floor(log(datum.value) / LN10 + 1e-9) - 2) + 'f' : '~g') + ' %'"
)


def _named(results: LoadResults) -> dict[str, "LoadResult"]:
    """Results by name; of equal names the later ones are numbered."""
    if isinstance(results, Mapping):
        named = {str(name): result for name, result in results.items()}
    else:
        several = list(results) if isinstance(results, Iterable) else [results]
        named = {}
        for result in several:
            name, number = result.about.name, 1
            while name in named:
                number += 1
                name = f"{result.about.name} {number}"
            named[name] = result
    if not named:
        raise BadArgument("results: there is none")
    return named


def _percentiles(result: "LoadResult", metric: str) -> tuple[Floats, Floats, int]:
    """Shares, milliseconds, and the number of samples."""
    wanted = [number for number, of in enumerate(result.series) if of.metric == metric]
    cells = result.cells.where(np.isin(result.cells.series, wanted))
    sums = cells.grouped(np.zeros(len(cells), np.int64), 1)
    samples = int(sums.count[0])
    if not samples:
        return np.empty(0), np.empty(0), 0
    steps = 1 + max(2, round(POINTS * np.log10(samples)))
    whole = [ten * part for ten in 10.0 ** np.arange(0, 10) for part in (1, 2, 4, 10)]
    nines = np.union1d(np.geomspace(1, samples, steps), [each for each in whole if each <= samples])
    levels = np.append(1 - 1 / nines, 1.0)
    times = [float(sums.quantile(float(level))[0]) / 1e3 for level in levels]
    return levels, np.array(times), samples


def _place(percentile: Floats, samples: NDArray[np.int64]) -> Floats:
    """1 / (1 - share); the slowest of n stands at 2 n, half a sample before the end."""
    with np.errstate(divide="ignore"):
        nines: Floats = np.minimum(100 / (100 - percentile), 2.0 * samples)
    return nines


def _marks(most: float) -> list[float]:
    """Where the axis says a percentile: 0, 50, 90, 99, 99.9 ..."""
    return [1.0, 2.0, *(each for each in 10.0 ** np.arange(1, 12) if each <= 1.3 * most)]


def _note(named: Mapping[str, "LoadResult"], table: pd.DataFrame) -> list[str]:
    lines = []
    for name, result in list(named.items())[:MOST_NAMED]:
        asked = table["samples"][
            (table["result"] == name) & (table["measure"] == MEASURES["http_req_duration"])
        ]
        said = f"{name}: {counted(int(asked.max()) if len(asked) else 0, 'request')}"
        dropped = int(result.over_time("dropped_iterations")["total"].sum())
        if dropped:
            said += (
                f" and {counted(dropped, 'dropped arrival')}, with the least that they would have "
                "waited"
            )
        lines.append(f"{said}; {result.verdict}")
    if len(named) > MOST_NAMED:
        lines.append(f"and {len(named) - MOST_NAMED} more")
    return lines


def _description(table: pd.DataFrame) -> str:
    """For those who do not see it."""
    said = []
    latency = table[table["measure"] == MEASURES["http_req_duration"]]
    for name, rows in latency.groupby("result", sort=False):
        nearest = rows.set_index("percentile")["milliseconds"]
        times = [f"{level} % {nearest[level]:.3g} ms" for level in (50, 90, 99) if level in nearest]
        said.append(f"{name}: {', '.join(times)}, slowest {nearest.iloc[-1]:.3g} ms")
    return "Line chart of percentiles of latency, service time and lateness. " + "; ".join(said[:8])
