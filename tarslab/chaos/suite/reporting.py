"""A suite as files: ``summary.md``, ``summary.json``, ``junit.xml``, ``environment.json``."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tarslab.chaos.experiments.environment import measured_on
from tarslab.chaos.experiments.errors import ExperimentFailed
from tarslab.chaos.experiments.results import BROKEN_OFF, PASSED, in_words
from tarslab.chaos.suite.results import SKIPPED, Entry, SuiteResult

MARKS = {True: "passed", False: "failed", None: "not known"}


def write_summaries(result: SuiteResult) -> None:
    """Write them; ExperimentFailed where they cannot be."""
    write(result.folder / "environment.json", json.dumps(result.environment, indent=1) + "\n")
    write(result.folder / "summary.json", json.dumps(as_json(result), indent=1) + "\n")
    write(result.folder / "summary.md", as_markdown(result))
    write(result.folder / "junit.xml", as_junit(result))


def as_json(result: SuiteResult) -> dict[str, Any]:
    """The summary for programs; a figure that is none, or infinite, is null or ``"infinite"``."""
    return {
        "verdict": result.verdict,
        "exit_code": result.exit_code,
        "started_at": result.started_at,
        "seconds": result.seconds,
        "scale": result.scale,
        "environment": result.environment,
        "runs": [
            {
                "kind": entry.kind,
                "name": entry.name,
                "verdict": entry.verdict,
                "seconds": entry.seconds,
                "error": entry.error,
                "folder": entry.folder,
                "criteria": [
                    {
                        "criterion": row["criterion"],
                        "required": row["required"],
                        "measured": _number(row["measured"]),
                        "unit": row["unit"],
                        "passed": row["passed"],
                        "note": row["note"],
                    }
                    for row in entry.rows
                ],
            }
            for entry in result.entries
        ],
    }


def as_markdown(result: SuiteResult) -> str:
    """The summary for people, and for the page of a CI job."""
    lines = [
        f"# Chaos suite: {result.verdict}",
        "",
        f"{started(result)}, {result.seconds:.0f} s, at {result.scale:g} of the time, on "
        f"{_cell(platform_in_words(result))}.",
        "",
        "| | run | verdict | criteria | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for entry in result.entries:
        held = sum(row["passed"] is True for row in entry.rows)
        lines.append(
            f"| {entry.kind} | {entry.name} | {entry.verdict} | {held} of {len(entry.rows)} hold "
            f"| {entry.seconds:.0f} |"
        )
    for entry in result.entries:
        lines += ["", f"## {entry.name}", ""]
        if entry.error is not None:
            lines += [_cell(entry.error), ""]
        if entry.rows:
            lines += ["| criterion | | measured |", "| --- | --- | --- |"]
        for row in entry.rows:
            cells = (row["criterion"], MARKS[row["passed"]], in_words(row))
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def as_junit(result: SuiteResult) -> str:
    """JUnit's XML: a suite for each entry, a case for each criterion."""
    root = ElementTree.Element("testsuites", name="tarslab chaos", time=f"{result.seconds:.3f}")
    for entry in result.entries:
        _add_suite(root, entry)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write(path: Path, text: str) -> None:
    """Write a text; ExperimentFailed where it cannot be."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExperimentFailed(f"{path}: the results cannot be written: {error}") from None


def started(result: SuiteResult) -> str:
    """When it was begun, in words."""
    return datetime.fromtimestamp(result.started_at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def platform_in_words(result: SuiteResult) -> str:
    """What it ran on."""
    return measured_on(result.environment)


def _add_suite(root: ElementTree.Element, entry: Entry) -> None:
    name = f"{entry.kind}.{entry.name}"
    suite = ElementTree.SubElement(root, "testsuite", name=name, time=f"{entry.seconds:.3f}")
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}

    def case(says: str, kind: str | None = None, message: str = "") -> None:
        counts["tests"] += 1
        added = ElementTree.SubElement(suite, "testcase", classname=name, name=_xml(says))
        if kind is not None:
            plural = {"failure": "failures", "error": "errors"}.get(kind, kind)
            counts[plural] += 1
            ElementTree.SubElement(added, kind, message=_xml(message))

    for row in entry.rows:
        kind = {True: None, False: "failure", None: "skipped"}[row["passed"]]
        case(row["criterion"], kind, in_words(row))
    if entry.verdict == BROKEN_OFF:
        case("it goes through", "error", entry.error or "it broke off")
    elif entry.verdict == SKIPPED:
        case("it is run", "skipped", "the suite was interrupted")
    elif not entry.rows or (entry.verdict != PASSED and not counts["failures"]):
        kind = None if entry.verdict == PASSED else "error"
        case("its result says something about the target", kind, entry.verdict)
    for key, count in counts.items():
        suite.set(key, str(count))


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return "infinite" if math.isinf(value) else value


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _xml(text: str) -> str:
    """Without what XML cannot hold."""
    keep: Callable[[str], bool] = lambda letter: letter.isprintable() or letter in "\n\t"  # noqa: E731
    return "".join(filter(keep, text))
