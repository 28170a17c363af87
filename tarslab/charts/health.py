"""What went wrong in each run, and when."""

from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd

from tarslab.charts import theme
from tarslab.charts.checks import CHECKS, Log
from tarslab.charts.curves import si_axis
from tarslab.charts.synthetic import says_so
from tarslab.runs import Runs

KINDS = {
    "non_finite": "NaN or infinite",
    "restart": "restart or pause",
    "entropy_collapse": "entropy collapse",
    "heavy_clipping": "heavy clipping",
    "unexplained": "explained variance < 0",
}
# In pixels; below, a run has one thin line instead of one a lane.
NARROWEST_LANE = 4


class RunHealth(NamedTuple):
    """The numbers behind ``run_health``."""

    findings: pd.DataFrame
    """``run``, ``kind`` (a key of ``KINDS``), ``metric``, ``start`` and ``end`` (steps) and
    ``sentence``: what was seen, and what people usually do about it."""
    checks: pd.DataFrame
    """A row for each run and kind: ``run``, ``kind``, ``status`` (``found``, ``clear`` or
    ``unchecked``), ``start`` and ``end`` (the run's first and last step), ``sentence``."""


def run_health_data(runs: Runs) -> RunHealth:
    """The findings and checks that ``run_health`` draws."""
    findings: list[tuple[str | int, ...]] = []
    checks: list[tuple[str | int, ...]] = []
    for run, log in _logs(runs).items():
        start = min(int(series.step[0]) for series in log.values())
        end = max(int(series.step[-1]) for series in log.values())
        for kind, check in CHECKS.items():
            result = check(log)
            findings += [(run, kind, *found) for found in result.findings]
            status = "found" if result.findings else "clear" if result.checked else "unchecked"
            checks.append((run, kind, status, start, end, result.sentence))
    return RunHealth(
        pd.DataFrame(findings, columns=["run", "kind", "metric", "start", "end", "sentence"]),
        pd.DataFrame(checks, columns=["run", "kind", "status", "start", "end", "sentence"]),
    )


@says_so
def run_health(runs: Runs) -> alt.LayerChart:
    """What went wrong in each run, marked on its timeline: what, from when, until when.

    A coloured bar is a finding; its tooltip says what was seen and what people usually do about
    it. Beside each run stands what was found, "healthy" where all five checks found nothing, or
    how many of them could be made at all; the tooltip there has a sentence for each check. A run
    can be healthy and learn nothing: that is for ``reward_curve`` to show.

    The checks, whose rules and thresholds ``tarslab.stats.health`` explains:

    - NaN or infinite values of any metric. Not counted are NaN before the first value, an
      explained variance of NaN (the returns do not vary), and NaN in the return or the length of
      episodes unless it lasts (no episode ended).
    - Steps trained twice, as after a resumed training. They are seen where the clock goes back as
      steps go on, thus with ``load(restarts="all")``. The default, ``"last"``, drops the repeats;
      of these only the time that passed meanwhile may show, as a pause.
    - Collapse of the policy's entropy to 1 % of where it began, for long; with continuous actions
      of their standard deviation to 5 %.
    - A clip fraction of PPO above 0.5, for long.
    - An explained variance below 0, for long and while returns vary.

    For long means at four points in five, over a tenth of the run's points.
    """
    findings, checks = run_health_data(runs)
    names = list(dict.fromkeys(checks["run"]))
    shown = [kind for kind in KINDS if kind in set(findings["kind"])]
    row = 30 if len(names) <= 12 else 22 if len(names) <= 30 else 16
    lane = 0.7 * row / max(len(shown), 1)
    layers = [_timelines(checks, names, shown if lane >= NARROWEST_LANE else [])]
    if shown:
        layers.append(_bars(findings, names, shown, thickness=min(lane - 1, 8)))
    layers.append(_verdicts(checks, names))
    found = findings["run"].nunique()
    return alt.LayerChart(
        layer=layers,
        width="container",
        height=alt.Step(row, **{"for": "position"}),
        description=f"Timelines of {len(names)} runs, something was found in {found}: "
        + ", ".join(list(dict.fromkeys(findings["run"]))[:12]),
    )


def _logs(runs: Runs) -> dict[str, Log]:
    """The series of each run by metric, in the order of ``runs.names``."""
    logs: dict[str, Log] = {run: {} for run in runs.names}
    for metric in runs.metrics:
        for run, series in runs.series(metric):
            logs[run][metric] = series
    return {run: log for run, log in logs.items() if log}


def _timelines(checks: pd.DataFrame, names: list[str], shown: list[str]) -> alt.Chart:
    """A thin line for each run, or for each of its lanes, dotted where nothing was checked."""
    lanes = checks[checks["kind"].isin(shown)] if shown else checks.drop_duplicates("run")
    made = (lanes["status"] != "unchecked") | (not shown)
    lanes = lanes.assign(status=np.where(made, "checked", "could not be checked"))
    # Round caps show a run of a single point too.
    line: alt.Chart = _placed(lanes, names, shown).mark_rule(
        color="#C4C4C4", strokeWidth=2, strokeCap="round"
    )
    if made.all():
        return line
    dashes = alt.Scale(domain=["checked", "could not be checked"], range=[[1, 0], [1, 4]])
    line = line.encode(
        strokeDash=alt.StrokeDash("status:N", scale=dashes, legend=alt.Legend(orient="bottom"))
    )
    return line


def _bars(
    findings: pd.DataFrame, names: list[str], shown: list[str], thickness: float
) -> alt.Chart:
    titles = [KINDS[kind] for kind in shown]
    colour_of = dict(zip(KINDS, theme.PALETTE, strict=False))
    scale = alt.Scale(domain=titles, range=[colour_of[kind] for kind in shown])
    legend = alt.Legend(symbolStrokeWidth=7, columns=3)
    # Square caps show a stretch of a single step too.
    bars: alt.Chart = _placed(_joined(findings), names, shown).mark_rule(
        strokeWidth=max(thickness, 2), strokeCap="square"
    )
    bars = bars.encode(
        color=alt.Color("kind:N", scale=scale, legend=legend),
        tooltip=[
            alt.Tooltip("run:N", title="run"),
            alt.Tooltip("kind:N", title="found"),
            alt.Tooltip("metric:N", title="metric"),
            alt.Tooltip("start:Q", title="from step", format=","),
            alt.Tooltip("end:Q", title="to step", format=","),
            alt.Tooltip("sentence:N", title="seen"),
        ],
    )
    return bars


def _joined(findings: pd.DataFrame) -> pd.DataFrame:
    """One bar for findings of a kind that overlap in a run, as where all losses are NaN."""
    ordered = findings.sort_values(["run", "kind", "start"], kind="stable")
    ended = ordered.groupby(["run", "kind"])["end"].cummax().shift(fill_value=-1)
    first = ~ordered.duplicated(["run", "kind"])
    joined = ordered.groupby((first | (ordered["start"] > ended)).cumsum())
    bars = joined.agg({"run": "first", "kind": "first", "start": "first", "end": "max"})
    metrics = joined["metric"].agg(lambda names: ", ".join(dict.fromkeys(names)))
    return bars.assign(metric=metrics, sentence=joined["sentence"].first())


def _placed(table: pd.DataFrame, names: list[str], shown: list[str]) -> alt.Chart:
    large = table["end"].max() >= 10_000
    steps = si_axis(large, tickCount=10, tickMinStep=1, labelSeparation=6, grid=False)
    rows = alt.Axis(labelLimit=240, labelPadding=8, ticks=False, domain=False)
    bands = alt.Scale(paddingInner=0.3, paddingOuter=0.15)
    records: list[dict[str, Any]] = [
        {str(name): value for name, value in record.items()}
        for record in table.assign(kind=table["kind"].map(KINDS)).to_dict("records")
    ]
    chart: alt.Chart = alt.Chart(alt.InlineData(values=records)).encode(
        x=alt.X("start:Q", title="step", axis=steps, scale=alt.Scale(nice=False, zero=False)),
        x2="end:Q",
        y=alt.Y("run:N", sort=names, title=None, axis=rows, scale=bands),
    )
    titles = [KINDS[kind] for kind in shown]
    lanes = alt.YOffset("kind:N", sort=titles, scale=alt.Scale(domain=titles))
    return chart.encode(yOffset=lanes) if len(shown) > 1 else chart


def _verdicts(checks: pd.DataFrame, names: list[str]) -> alt.Chart:
    records = []
    for run, part in checks.groupby("run", sort=False):
        found = part["kind"][part["status"] == "found"]
        made, n = int((part["status"] != "unchecked").sum()), len(part)
        text = ", ".join(KINDS[kind] for kind in found)
        if not text:
            text = "healthy" if made == n else f"nothing found in {made} of {n} checks"
        elif made < n:
            text += f" ({made} of {n} checked)"
        sentences = dict(zip(part["kind"], part["sentence"], strict=True))
        records.append({"run": run, "text": text, "found": len(found) > 0, **sentences})
    ink = alt.when("datum.found").then(alt.value(theme.INK)).otherwise(alt.value(theme.QUIET))
    verdicts: alt.Chart = alt.Chart(alt.InlineData(values=records)).mark_text(
        align="left", dx=12, fontSize=11, limit=330
    )
    tooltip = [alt.Tooltip("run:N", title="run")]
    tooltip += [alt.Tooltip(f"{kind}:N", title=title) for kind, title in KINDS.items()]
    verdicts = verdicts.encode(
        x=alt.value("width"),
        y=alt.Y("run:N", sort=names),
        text="text:N",
        color=ink,
        tooltip=tooltip,
    )
    return verdicts
