"""Chaos Toolkit's events, as those of a session."""

from typing import Any

from chaoslib.run import RunEventHandler

from tarslab.chaos.experiments.session import Session


class Watch(RunEventHandler):  # type: ignore[misc]
    """Notes in which phase an experiment is, and what it does."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def start_hypothesis_before(self, experiment: dict[str, Any]) -> None:
        self._enter("steady state before")

    def start_method(self, experiment: dict[str, Any]) -> None:
        self._enter("method")

    def start_hypothesis_after(self, experiment: dict[str, Any]) -> None:
        self._enter("steady state after")

    def start_rollbacks(self, experiment: dict[str, Any]) -> None:
        self._enter("rollbacks")
        # What undoes is done also where the rest was to end.
        self._session.aborted.clear()

    def start_activity(self, activity: dict[str, Any]) -> None:
        self._session.doing = activity["name"]
        self._session.tell("activity", activity["name"])

    def _enter(self, phase: str) -> None:
        self._session.phase = phase
        self._session.tell("phase", phase)
