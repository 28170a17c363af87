"""Which services answered, in which mode, and for how long each was down."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts import theme
from tarslab.charts.algorithms import counted, heading
from tarslab.charts.curves import legend_toggle
from tarslab.charts.fault_windows import (
    LETTER,
    NARROW,
    Clock,
    Faults,
    clock_time,
    fault_windows,
    time_zoom,
)
from tarslab.charts.named_rows import named_rows
from tarslab.errors import BadArgument

if TYPE_CHECKING:
    from tarslab.chaos.probes import ProbeResult

DOWN, UP = "down", "up"
COLOURS = {
    "normal": theme.PALETTE[2],
    UP: theme.PALETTE[4],
    "legacy": theme.PALETTE[3],
    DOWN: theme.PALETTE[1],
}
OTHERS = (theme.PALETTE[0], theme.PALETTE[6], theme.PALETTE[7])
# In pixels: a row, and the room above for the names of faults.
ROW, NAMES = 46, 20
# In rows, from the top of one: labels, and where strips begin and end. The worse it is the lower
# they are, so that states are told apart without colours too.
LABEL, TOP, BOTTOM = 0.24, 0.42, 0.94
TOPS = {DOWN: 0.82, "legacy": 0.6}
NARROWEST = 2
# Of more bars those are joined that are too short to be seen.
MOST_BARS, MOST_LABELS = 1_500, 40


class Stretch(NamedTuple):
    """A time for which a service did not change: a row of ``availability_data``."""

    service: str
    state: str
    start: float
    end: float
    seconds: float
    resolution: float
    open: bool
    probes: int


def availability_data(probes: "ProbeResult") -> pd.DataFrame:
    """The numbers behind ``availability``: a row for each time that a service did not change.

    Returns
    -------
    DataFrame
        ``service``, ``state`` (``down``, or the mode that its answers said, or ``up`` where they
        said none), ``start`` and ``end`` in Unix seconds, ``seconds``, ``resolution`` (of a
        downtime: by how many seconds it may be too long; else NaN), ``open`` (whether a downtime
        began before the first probe or ended after the last, and so was longer) and ``probes``.
        A downtime goes from the last probe that was answered to the next that was.
    """
    rows = [row for service in probes.services for row in _stretches(probes, service)]
    return pd.DataFrame(rows, columns=list(Stretch._fields))


def availability(probes: "ProbeResult", faults: Faults = None) -> alt.LayerChart:
    """A strip for each service: high, in the colour of its mode, where it answered, else low.

    Each downtime is labelled where there is room, with at most how long it was; beside the name of
    a service stand the share of its probes that were answered and its downtimes in sum. Faults are
    shaded. A click on a legend entry hides or shows a state, drag pans in time, Shift and wheel
    zooms.

    Parameters
    ----------
    probes
        What probes saw.
    faults
        What was broken meanwhile: faults, or (name, start, end) in Unix seconds, or several.

    Raises
    ------
    BadArgument
        There is no probe, or ``faults`` are none.
    """
    if not probes.probes:
        raise BadArgument("probes: no service was probed, so there is nothing to draw")
    table, windows = availability_data(probes), fault_windows(faults)
    clock = Clock.over(
        min([table["start"].min(), *windows["start"]]),
        max([table["end"].max(), *windows["start"], *windows["end"].dropna()]),
    )
    services = list(probes.services)
    height = NAMES + ROW * len(services)
    states = sorted(set(table["state"]), key=lambda state: (state == DOWN, state))
    bars = _joined(table, clock)
    toggle = legend_toggle("state", states)
    names = _names(probes, table)
    y = named_rows("top", names, middle=(TOP + BOTTOM) / 2, above=NAMES / ROW, limit=180)
    base = alt.Chart(alt.InlineData(values=_records(bars, services, clock)))
    strips = (
        base.transform_filter(toggle)
        .mark_rect(clip=True)
        .encode(
            x=clock.x(),
            x2="until:T",
            y=y,
            y2="bottom:Q",
            color=alt.Color(
                "state:N",
                scale=alt.Scale(domain=states, range=_colours(states)),
                legend=alt.Legend(symbolType="square"),
            ),
            tooltip=[
                alt.Tooltip("service:N", title="service"),
                alt.Tooltip("state:N", title="state"),
                alt.Tooltip("began:N", title="from (UTC)"),
                alt.Tooltip("lasted:N", title="for"),
                alt.Tooltip("probes:Q", title="probes"),
            ],
        )
        .add_params(toggle, time_zoom())
    )
    layers = [*clock.shades(windows, height, names=NAMES // 2), strips]
    if labels := _labels(table, services, clock):
        layers.append(
            alt.Chart(alt.InlineData(values=labels))
            .mark_text(fontSize=11, color=theme.INK, clip=True)
            .encode(x=clock.x(), y=alt.Y("row:Q"), text="text:N")
        )
    return alt.LayerChart(
        layer=layers,
        width="container",
        height=height,
        title=heading(_note(probes, table, len(bars))),
        description=_description(probes, table, windows),
    )


def _stretches(probes: "ProbeResult", service: str) -> Iterator[Stretch]:
    downtimes = iter(probes.downtimes(service))
    groups = [
        (state, list(group))
        for state, group in groupby(
            probes.of(service), lambda probe: (probe.mode or UP) if probe.ok else DOWN
        )
    ]
    for place, (state, group) in enumerate(groups):
        if state == DOWN:
            down = next(downtimes)
            unended = down.last_good is None or down.first_good is None
            span, resolution = (down.start, down.end), down.resolution
        else:
            following = groups[place + 1] if place + 1 < len(groups) else None
            if following is None:
                end = group[-1].done
            else:
                # What is down is so from the last good probe on.
                end = group[-1].sent if following[0] == DOWN else following[1][0].sent
            span, resolution, unended = (group[0].sent, end), np.nan, False
        yield Stretch(service, state, *span, span[1] - span[0], resolution, unended, len(group))


def _joined(table: pd.DataFrame, clock: Clock) -> pd.DataFrame:
    """The bars to draw; of very many, those too short to be seen are joined, and down if one is."""
    if len(table) <= MOST_BARS:
        return table
    cell = NARROWEST * (clock.right - clock.left) / theme.WIDTH
    # A long one stays as it is.
    place = np.where(
        table["seconds"] < cell,
        (table["start"] - clock.left) // cell,
        -1 - np.arange(len(table)),
    )
    ordered = table.assign(place=place, up=table["state"] != DOWN).sort_values("up", kind="stable")
    groups = ordered.groupby(["service", "place"], sort=False)
    return groups.agg(
        state=("state", "first"),
        start=("start", "min"),
        end=("end", "max"),
        seconds=("seconds", "sum"),
        resolution=("resolution", "max"),
        open=("open", "any"),
        probes=("probes", "sum"),
    ).reset_index(level="service")


def _records(bars: pd.DataFrame, services: list[str], clock: Clock) -> list[dict[str, Any]]:
    narrowest = NARROWEST * (clock.right - clock.left) / theme.WIDTH
    records = []
    for row in bars.to_dict("records"):
        place = services.index(row["service"])
        records.append(
            {
                "service": row["service"],
                "state": row["state"],
                "wall_time": round(1000 * row["start"]),
                "until": round(1000 * max(row["end"], row["start"] + narrowest)),
                "top": place + TOPS.get(row["state"], TOP),
                "bottom": place + BOTTOM,
                "began": clock_time(row["start"]),
                "lasted": _lasted(row, resolved=row["state"] == DOWN),
                "probes": int(row["probes"]),
            }
        )
    # On top of what is up, which one that is widened may reach into.
    return sorted(records, key=lambda record: record["state"] == DOWN)


def _labels(table: pd.DataFrame, services: list[str], clock: Clock) -> list[dict[str, Any]]:
    """How long the downtimes were, the longest first, as many as do not run into each other."""
    letter = LETTER * (clock.right - clock.left) / NARROW
    taken: dict[str, list[tuple[float, float]]] = {service: [] for service in services}
    labels: list[dict[str, Any]] = []
    down = table[table["state"] == DOWN].sort_values("seconds", ascending=False, kind="stable")
    for row in down.to_dict("records"):
        text = _lasted(row, resolved=False)
        half = letter * (len(text) + 1) / 2
        middle = (row["start"] + row["end"]) / 2
        middle = min(max(middle, clock.left + half), clock.right - half)
        beside = taken[row["service"]]
        if len(labels) < MOST_LABELS and all(
            middle + half <= left or right <= middle - half for left, right in beside
        ):
            beside.append((middle - half, middle + half))
            row_of = services.index(row["service"]) + LABEL
            labels.append({"wall_time": round(1000 * middle), "row": row_of, "text": text})
    return labels


def _lasted(row: Mapping[Any, Any], *, resolved: bool) -> str:
    text = f"{'over ' if row['open'] else ''}{_seconds(row['seconds'])}"
    return f"{text}, at most {row['resolution']:.2g} s less" if resolved else text


def _names(probes: "ProbeResult", table: pd.DataFrame) -> list[list[str]]:
    """Of each row, for the axis: the service, and how it did."""
    names = []
    for service in probes.services:
        down = table[(table["service"] == service) & (table["state"] == DOWN)]
        said = _share(probes.availability(service))
        if len(down):
            said += f", {_seconds(down['seconds'].sum())} down"
        names.append([service, said])
    return names


def _share(share: float) -> str:
    """A share that is not whole never reads as if it were."""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    return f"{min(max(100 * share, 0.01), 99.99):.2f} %"


def _seconds(seconds: float) -> str:
    if seconds >= 120:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"


def _colours(states: list[str]) -> list[str]:
    others = [state for state in states if state not in COLOURS]
    spare = {state: OTHERS[place % len(OTHERS)] for place, state in enumerate(others)}
    return [(COLOURS | spare)[state] for state in states]


def _note(probes: "ProbeResult", table: pd.DataFrame, drawn: int) -> list[str]:
    lines = [f"{probes.rate:g} probes of each service a second"]
    resolution = table["resolution"].max()
    if resolution > 0:
        lines.append(
            "Downtime: from the last answered probe to the next, at most "
            f"{resolution:.2g} s too long"
        )
    if drawn < len(table):
        lines.append("Changes too short to be seen apart are joined: down if any of them was")
    return lines


def _description(probes: "ProbeResult", table: pd.DataFrame, windows: pd.DataFrame) -> str:
    """For those who do not see it."""
    said = []
    for service, (_, how) in zip(probes.services, _names(probes, table), strict=True):
        times = ((table["service"] == service) & (table["state"] == DOWN)).sum()
        modes = ", ".join(probes.modes(service))
        said.append(
            f"{service} {how}"
            + (f" in {counted(int(times), 'downtime')}" if times else "")
            + (f", modes {modes}" if modes else "")
        )
    text = "Availability by time: " + "; ".join(said[:12])
    if len(windows):
        text += f". {counted(len(windows), 'fault')}: " + ", ".join(windows["fault"][:12])
    return text
