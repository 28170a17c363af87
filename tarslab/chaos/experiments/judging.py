"""From what a session has seen to a result."""

import math
import time
from typing import Any

from tarslab.chaos.experiments.environment import environment
from tarslab.chaos.experiments.measures import Observed
from tarslab.chaos.experiments.results import About, ExperimentResult
from tarslab.chaos.experiments.session import Session
from tarslab.errors import TarslabError


def judged(session: Session, journal: dict[str, Any], *, interrupted: bool) -> ExperimentResult:
    """The result of a session that is closed."""
    observed, experiment = session.observed, session.experiment
    target = session.target
    about = About(
        name=experiment.name,
        title=experiment.title,
        description=experiment.description,
        target=target if isinstance(target, str) else getattr(target, "url", ""),
        started_at=session.started_at,
        ended_at=time.time(),
        scale=session.scale,
        status="deviated" if journal.get("deviated") else str(journal.get("status", "")),
        error=None if session.error is None else str(session.error),
        interrupted=interrupted or journal.get("status") == "interrupted",
        environment=_environment(session),
    )
    rows = [_steady(journal, "before"), _steady(journal, "after")]
    rows += [_load_lasted(observed)]
    rows += [criterion.judge(observed) for criterion in experiment.criteria]
    found = tuple(row for row in rows if row is not None)
    content = _without(experiment.content, "secrets")
    # The node is the name of this host.
    journal = _without(journal, "node")
    if "experiment" in journal:
        journal["experiment"] = _without(journal["experiment"], "secrets")
    return ExperimentResult(about, found, observed, journal, content)


def _environment(session: Session) -> dict[str, Any]:
    try:
        return environment(session.platform)
    except TarslabError as error:
        # A platform that was lost says nothing any more.
        return {"platform": str(error)}


def _steady(journal: dict[str, Any], when: str) -> dict[str, Any] | None:
    """The steady state as a criterion, where there is a hypothesis and it was looked at."""
    hypothesis = journal.get("experiment", {}).get("steady-state-hypothesis")
    if not hypothesis or not hypothesis.get("probes"):
        return None
    state = (journal.get("steady_states") or {}).get(when)
    met = None if state is None else bool(state["steady_state_met"])
    note = "it was not looked at"
    if state is not None:
        missed = [p["activity"]["name"] for p in state["probes"] if not p.get("tolerance_met")]
        note = "" if met else f"not so: {', '.join(missed)}"
    return {
        "criterion": f"steady state {when}: {hypothesis['title']}",
        "measure": "steady_state",
        "service": "",
        "fault": "",
        "required": "== 1",
        "limit": 1.0,
        "measured": math.nan if met is None else float(met),
        "unit": "",
        "passed": bool(met),
        "note": note,
    }


def _load_lasted(observed: Observed) -> dict[str, Any] | None:
    """That the load went on as a criterion, where one of its thresholds has ended it."""
    load = observed.load
    if load is None or load.about.aborted_by is None:
        return None
    return {
        "criterion": "no threshold ends the load",
        "measure": "load",
        "service": "",
        "fault": "",
        "required": "== 0",
        "limit": 0.0,
        "measured": 1.0,
        "unit": "",
        "passed": None if load.audit.limited else False,
        "note": load.about.aborted_by,
    }


def _without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}
