"""Actions for experiments of Chaos Toolkit: what is broken, and what goes on meanwhile.

Each fault is held for a time and undone at its end, also where the experiment is interrupted. Times
go by the scale of the run.
"""

import random
import threading
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tarslab.admin.errors import AdminError, Unavailable
from tarslab.chaos import faults
from tarslab.chaos.experiments.session import Aborted, Session, current
from tarslab.chaos.undo import Journal, this_process, undo_all
from tarslab.errors import BadArgument, TarslabError

if TYPE_CHECKING:
    from tarslab.admin import AdminClient

P = ParamSpec("P")
T = TypeVar("T")
Output = dict[str, Any]


def _breaks_off(function: Callable[P, T]) -> Callable[P, T]:
    """Have the experiment end where an action fails: Chaos Toolkit itself would go on."""

    @wraps(function)
    def action(*arguments: P.args, **options: P.kwargs) -> T:
        session = current()
        session.check()
        try:
            return function(*arguments, **options)
        except Aborted:
            raise
        except BaseException as error:
            session.fail(error)
            raise

    return action


@_breaks_off
def load(scenario: str | Mapping[str, Any]) -> Output:
    """Put load on the target; an action of ``background``.

    scenario: the name of a shipped load test, a file, or options in k6's vocabulary.
    """
    return current().load(scenario)


@_breaks_off
def end_load() -> None:
    """End the load, and what else users do."""
    current().end_load()


@_breaks_off
def sign_in(rate: float = 2.0) -> Output:
    """Sign in so often a second until ``end_load``; an action of ``background``.

    Counts ``logins in normal mode``, ``logins in legacy mode``, ``logins refused``, ``tokens
    refused`` (just issued, and answered by 401) and ``tokens not known`` (what is answered
    otherwise, or not in time, says nothing of a token).
    """
    session = current()
    if not session.experiment.has("end_load"):
        raise BadArgument("sign_in: goes on until the action end_load, which the method lacks")
    if session.planning:
        session.plan(f"somebody signs in {float(rate):g} times a second")
        return {}
    while not session.users_gone.wait(1 / float(rate)):
        with session.admin(retries=0) as user:
            try:
                given = user.login()
            except AdminError:
                session.count("logins refused")
                continue
            session.count(f"logins in {given.mode} mode")
            _count_token(session, "tokens refused", user.url, given.access_token.reveal())
    return dict(session.counts)


@_breaks_off
def write(rate: float = 10.0) -> None:
    """Begin to create records, so many a second, of which each that is acknowledged is kept."""
    current().write(float(rate))


@_breaks_off
def read_back() -> Output:
    """Stop to write, and look for every record that was acknowledged."""
    return current().read_back()


@_breaks_off
def wait(seconds: float) -> None:
    """Let the load run for a while."""
    session = current()
    if session.planning:
        session.plan("nothing is done", float(seconds) * session.scale)
    else:
        session.wait(float(seconds))


@_breaks_off
def kill(service: str, repeats: int = 1, pause: float = 5.0, grace: float = 0.0) -> list[Output]:
    """Kill a unit of a service, wait until everything is back, and again after a pause."""
    session, done = current(), []
    for repeat in range(int(repeats)):
        if repeat and not session.planning:
            session.wait(float(pause))
        fault = faults.kill(session.platform, service, grace=float(grace), guard=session.guard)
        done.append(session.kill(fault))
    return done


@_breaks_off
def pause(service: str, seconds: float = 10.0) -> Output:
    """Stop a unit of a service in its tracks: hung, not dead."""
    session = current()
    fault = faults.pause(session.platform, service, guard=session.guard)
    return session.hold(fault, float(seconds))


@_breaks_off
def outage(service: str, seconds: float = 20.0) -> Output:
    """Kill every unit of a service, and hold it down."""
    session = current()
    fault = faults.outage(session.platform, service, guard=session.guard)
    return session.hold(fault, float(seconds))


@_breaks_off
def latency(
    service: str, milliseconds: int, seconds: float = 20.0, jitter: int = 0, toxicity: float = 1.0
) -> Output:
    """Have each answer of a service come later."""
    session = current()
    fault = faults.latency(
        session.platform,
        service,
        int(milliseconds),
        jitter=int(jitter),
        toxicity=float(toxicity),
        guard=session.guard,
    )
    fault.name = f"latency {int(milliseconds)} ms on {service}"
    return session.hold(fault, float(seconds))


@_breaks_off
def degrade(
    service: str,
    toxic: str,
    attributes: Mapping[str, int] | None = None,
    seconds: float = 20.0,
    stream: str = "downstream",
    toxicity: float = 1.0,
) -> Output:
    """Put any toxic of Toxiproxy on the connections to a service."""
    session = current()
    fault = faults.degrade(
        session.platform,
        service,
        toxic,
        attributes,
        stream=stream,
        toxicity=float(toxicity),
        guard=session.guard,
    )
    return session.hold(fault, float(seconds))


@_breaks_off
def cut_off(service: str, seconds: float = 20.0) -> Output:
    """Let nothing through to a service and back."""
    session = current()
    fault = faults.cut_off(session.platform, service, guard=session.guard)
    return session.hold(fault, float(seconds))


@_breaks_off
def kill_while_rotating(
    service: str = "orchestration", repeats: int = 3, slow: int = 300, seed: int = 0
) -> list[Output]:
    """Kill a service somewhere within a rotation of the signing keys, and look what is left.

    slow: milliseconds that Redis takes meanwhile, so that there is a within.

    Counts ``rotations interrupted`` (begun, as far as is known, and never answered), ``rotations
    refused`` (answered by an error, or not begun), ``rotations lost`` (acknowledged, and not
    there), ``rings unsound`` (not one active key), ``tokens broken`` (issued before, and answered
    by 401) and ``tokens not known`` (neither good nor broken).
    """
    session, moments, done = current(), random.Random(seed), []
    for _ in range(int(repeats)):
        slowness = faults.latency(session.platform, "redis", int(slow), guard=session.guard)
        killing = faults.kill(session.platform, service, guard=session.guard)
        if session.planning:
            session.plan(f"the signing keys are rotated at {session.whom()!r}, while:")
            session.plan(str(slowness))
            session.plan(str(killing))
            continue
        # A request asks Redis several times.
        moment = moments.uniform(0.1, 2.5) * int(slow) / 1e3
        done.append(_kill_within_rotation(session, slowness, killing, moment))
    return done


@_breaks_off
def undo() -> list[str]:
    """Undo whatever is still broken here: of this run, and of earlier ones that are gone."""
    session = current()
    if session.planning:
        session.plan("whatever is still broken is undone")
        return []
    return _undo(session)


def _undo(session: Session) -> list[str]:
    journal, where = Journal(), session.platform.reference()
    undone = []
    for entry in journal.entries():
        if entry.owner == this_process() and entry.platform == where:
            journal.undo(entry, session.platform)
            undone.append(entry.fault)
    for entry, error in undo_all(journal, platform=session.platform):
        if error is not None:
            raise TarslabError(error)
        undone.append(entry.fault)
    return undone


def _kill_within_rotation(
    session: Session, slowness: faults.Fault, killing: faults.Fault, moment: float
) -> Output:
    with session.admin(retries=0) as asking, session.admin() as admin:
        token = asking.login().access_token
        _until_rotatable(session, admin)
        answer: dict[str, str] = {}
        rotation = threading.Thread(target=_rotate, args=(asking, answer), daemon=True)
        with session.beside(slowness):
            rotation.start()
            session.sleep(moment)
            outcome = session.kill(killing, then=slowness.end)
        rotation.join()
        session.count("rotations interrupted", "interrupted" in answer)
        session.count("rotations refused", "refused" in answer)
        keys = admin.jwt.status().keys
        active = [key.kid for key in keys if key.state == "active"]
        session.count("rings unsound", len(active) != 1)
        session.count("rotations lost", "active" in answer and active != [answer["active"]])
        # Its key still verifies, whether it was rotated or not.
        _count_token(session, "tokens broken", admin.url, token.reveal())
    return outcome | {"interrupted": "interrupted" in answer}


def _rotate(admin: "AdminClient", answer: dict[str, str]) -> None:
    """Note what came of a rotation: ``active``, ``interrupted`` or ``refused``."""
    try:
        answer["active"] = str(admin.jwt.rotate().active)
    except TarslabError as error:
        cut = isinstance(error, Unavailable) and error.status is None and error.maybe_done
        answer["interrupted" if cut else "refused"] = type(error).__name__


def _until_rotatable(session: Session, admin: "AdminClient") -> None:
    """Wait until the next key has been published for long enough."""
    while admin.jwt.rotate(rehearse=True).refused is not None:
        session.sleep(0.5)


def _count_token(session: Session, bad: str, url: str, token: str) -> None:
    good = _is_good(url, token)
    if good is None:
        session.count("tokens not known")
    else:
        session.count(bad, not good)


def _is_good(url: str, token: str) -> bool | None:
    """Whether somebody is known by it; None where the answer says nothing of that.

    Asked without a client that would get itself another token.
    """
    import httpx

    bearer = {"Authorization": f"Bearer {token}"}
    try:
        answer = httpx.get(f"{url}/auth/me", headers=bearer, timeout=10, trust_env=False)
    except httpx.HTTPError:
        return None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return False
    return True if answer.is_success else None
