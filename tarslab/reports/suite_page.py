"""A chaos suite as one HTML file that needs nothing else: criteria, and charts that are live."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import altair as alt
from markupsafe import Markup

from tarslab import charts
from tarslab.chaos.experiments.results import ExperimentResult, in_words
from tarslab.chaos.suite import Entry, SuiteResult
from tarslab.chaos.suite.reporting import MARKS, platform_in_words, started, write
from tarslab.charts import offline
from tarslab.reports.page import figure, style, template, vega_script


class Figure(NamedTuple):
    """A chart of an entry."""

    title: str
    html: Markup


def write_suite_page(result: SuiteResult) -> Path:
    """Write ``report.html`` beside the summaries of a suite; where it is.

    Raises ExperimentFailed where it cannot be written.
    """
    path = result.folder / "report.html"
    write(path, suite_page(result))
    return path


def suite_page(result: SuiteResult) -> str:
    """The page of a suite: nothing is loaded."""
    return template(
        "chaos_suite.html.j2",
        suite=result,
        entries=[(entry, list(_figures(entry))) for entry in result.entries],
        started=started(result),
        platform=platform_in_words(result),
        mark=MARKS.__getitem__,
        words=in_words,
        environment=json.dumps(result.environment, indent=1),
        style=Markup(style()),
        script=Markup(vega_script()),
    )


def _figures(entry: Entry) -> Iterator[Figure]:
    result = entry.result
    if isinstance(result, ExperimentResult):
        load, faults = result.load_result, result.faults
        if result.probes.probes:
            yield _figure("Availability", lambda: charts.availability(result.probes, faults))
        # One that ended before its first probe has none.
        if result.recoveries["recovery"].notna().any():
            yield _figure("Time to recover", lambda: charts.recovery(result))
        if load is not None:
            yield _figure("Latency and load", lambda: charts.latency_timeline(load, faults))
    elif result is not None:
        yield _figure("Latency and load", lambda: charts.latency_timeline(result))
        yield _figure("Distribution of latency", lambda: charts.latency_distribution(result))
        if len(result.thresholds):
            yield _figure("Thresholds", lambda: charts.threshold_table(result))


def _figure(title: str, draw: Callable[[], alt.TopLevelMixin]) -> Figure:
    try:
        html = Markup(figure(offline.mime_bundle(draw().to_dict())))
    # The criteria and the other charts are worth more than this one.
    except Exception as error:
        html = Markup("<p>It cannot be drawn: {}</p>").format(str(error))
    return Figure(title, html)
