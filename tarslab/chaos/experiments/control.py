"""The control by which Chaos Toolkit's own ``chaos run`` measures what ``tarslab chaos run`` does.

    controls:
      - name: tarslab
        provider: {type: python, module: tarslab.chaos.experiments.control}

``TARSLAB_CHAOS_PLATFORM`` is the name of a stack of ``tarslab stack up`` (``default`` if it is not
set), or a platform's ``reference()`` as JSON; ``TARSLAB_CHAOS_SCALE`` the scale of the time;
``TARSLAB_CHAOS_OUT`` a folder for the result. The verdict and criteria stand in the journal under
``tarslab``, and a criterion that does not hold makes the experiment deviate: exit code 1. Where a
result could not be made or saved the status is ``failed``: exit code 1 too.
"""

import json
import logging
import os
from typing import Any

from chaoslib.exceptions import InterruptExecution

from tarslab.chaos.experiments.files import Experiment
from tarslab.chaos.experiments.judging import judged
from tarslab.chaos.experiments.results import BROKEN_OFF, FAILED, PASSED
from tarslab.chaos.experiments.session import Session, is_open
from tarslab.chaos.platforms import LocalPlatform, Platform, connect
from tarslab.errors import BadArgument, StackFailed, TarslabError
from tarslab.stack import Stack

log = logging.getLogger("chaostoolkit")
PLATFORM, SCALE, OUT = "TARSLAB_CHAOS_PLATFORM", "TARSLAB_CHAOS_SCALE", "TARSLAB_CHAOS_OUT"

_own: Session | None = None


def before_experiment_control(context: dict[str, Any]) -> None:
    """Open a session, unless tarslab itself runs this."""
    global _own
    if is_open():
        return
    try:
        experiment = Experiment(context, "experiment", "experiment")
        session = Session(experiment, platform_of_environment(), scale=_scale())
        session.__enter__()
    except TarslabError as error:
        raise InterruptExecution(str(error)) from None
    _own = session


def after_activity_control(context: dict[str, Any], state: dict[str, Any] | None = None) -> None:
    """End what goes on beside an activity that was broken off, as by Ctrl-C."""
    if _own is not None and state is None:
        _own.abort()


def before_rollback_control(context: dict[str, Any]) -> None:
    """Undo also where the rest was to end."""
    if _own is not None:
        _own.aborted.clear()


def after_experiment_control(context: dict[str, Any], state: dict[str, Any]) -> None:
    """Judge what was seen, and put that into the journal."""
    global _own
    session, _own = _own, None
    if session is None:
        return
    # Chaos Toolkit takes no notice of what a control raises here.
    try:
        _judge(session, state)
    except Exception as error:
        text = str(error) if isinstance(error, TarslabError) else f"{type(error).__name__}: {error}"
        log.error("no result of tarslab: %s", text)
        state["status"] = "failed"
        state["tarslab"] = {"verdict": BROKEN_OFF, "criteria": []} | state.get("tarslab", {})
        state["tarslab"]["error"] = text


def platform_of_environment() -> Platform:
    """What ``TARSLAB_CHAOS_PLATFORM`` says; BadArgument or StackFailed where that is not there."""
    from tarslab.stack.places import Place

    given = os.environ.get(PLATFORM, "default")
    if given.lstrip().startswith("{"):
        try:
            return connect(json.loads(given))
        except (json.JSONDecodeError, TypeError) as error:
            raise BadArgument(f"{PLATFORM}: no reference of a platform ({error})") from None
    stack = Stack.attached(Place.named(given))
    if stack is None:
        raise StackFailed(
            f"no stack {given!r} is up: tarslab stack up brings it up, and {PLATFORM} names another"
        )
    return LocalPlatform(stack)


def _judge(session: Session, state: dict[str, Any]) -> None:
    session.__exit__(None, None, None)
    result = judged(session, state, interrupted=False)
    state["tarslab"] = {
        "verdict": result.verdict,
        "criteria": json.loads(result.criteria.to_json(orient="records")),
        "error": result.about.error,
    }
    if result.verdict == FAILED:
        state["deviated"] = True
    elif result.verdict != PASSED and state["status"] == "completed":
        state["status"] = "failed"
    if folder := os.environ.get(OUT):
        result.save(folder)


def _scale() -> float:
    given = os.environ.get(SCALE, "1")
    try:
        return float(given)
    except ValueError:
        raise BadArgument(f"{SCALE}: must be a number, not {given!r}") from None
