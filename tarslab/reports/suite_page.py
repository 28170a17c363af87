"""A chaos suite as one HTML file that needs nothing else: criteria, and charts that are live."""

import json
from collections.abc import Iterator
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
        if result.probes.probes:
            chart = charts.availability(result.probes, result.faults)
            yield Figure("Availability", _html(chart))
        if result.faults:
            yield Figure("Time to recover", _html(charts.recovery(result)))
        if result.load_result is not None:
            chart = charts.latency_timeline(result.load_result, result.faults)
            yield Figure("Latency and load", _html(chart))
    elif result is not None:
        yield Figure("Latency and load", _html(charts.latency_timeline(result)))
        yield Figure("Distribution of latency", _html(charts.latency_distribution(result)))
        if len(result.thresholds):
            yield Figure("Thresholds", _html(charts.threshold_table(result)))


def _html(chart: alt.TopLevelMixin) -> Markup:
    return Markup(figure(offline.mime_bundle(chart.to_dict())))
