"""A stack: brought up, looked at, broken on purpose, taken down."""

import json
import os
import subprocess
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import ProxyHandler, build_opener

from tarslab.errors import BadArgument, StackFailed
from tarslab.stack import valkey
from tarslab.stack.clock import Clock
from tarslab.stack.launching import SERVICES, launch
from tarslab.stack.places import END, GRACE, Place, ProcessStatus, ask
from tarslab.stack.supervisor import DEATHS

# Lines of the log that says why a stack failed.
TAIL = 20
# Seconds between two looks at a stack that comes up.
LOOK = 0.05
# Seconds that a service may take to say in which mode it is.
LOOK_PATIENCE = 5.0


def up(
    redis: str | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    admin_password: str | None = None,
    settings: Mapping[str, object] | None = None,
    proxied: bool = False,
    timeout: float = 60.0,
) -> "Stack":
    """Bring up the services, and a Redis server for them, on free ports of loopback.

    ``with tl.stack.up() as stack:`` takes the stack down at the end. It also goes when this process
    ends, in whatever way.

    redis: ``redis://`` or ``rediss://`` URL of a server to use instead of the embedded Valkey,
        which is never stopped. Name a folder, too: it keeps what the data there is sealed with.
    folder: where the data is kept, to come up with again; by default a temporary one, which goes
        with the stack.
    admin_password: of the user ``admin``, who is made where there is no user yet. By default one is
        made, and kept in the folder; yours is not kept.
    settings: fields of ``tarslab.stack.settings.Settings``, such as ``{"access_seconds": 60}``. The
        variables ``TARSLAB_STACK_<NAME>`` of the environment do the same.
    proxied: whether a proxy stands before each service and the embedded server, at the addresses
        that everybody uses: ``tarslab.chaos.faults`` slows them down or cuts them off there.
    timeout: seconds until everything has to be ready.

    Raises BadArgument where an argument cannot be used, and StackFailed where a stack is up already
    in this folder, or does not get ready, with the end of the log that says why.
    """
    if folder is not None:
        place = Place(Path(folder).expanduser().absolute())
        return bring_up(place, redis, admin_password, settings, timeout, proxied=proxied)
    place = Place(Path(tempfile.mkdtemp(prefix="tarslab-stack-")))
    try:
        return bring_up(
            place, redis, admin_password, settings, timeout, proxied=proxied, temporary=True
        )
    except BaseException:
        place.vanish()
        raise


class Stack:
    """The processes of a stack: three services, and a Redis server unless that is the user's.

    Faults for tests and experiments: ``kill`` (it is started again), ``stop`` (it is held down) and
    ``start``, ``clock.advance``.
    """

    def __init__(
        self,
        place: Place,
        control: Path,
        urls: Mapping[str, str],
        supervisor: "subprocess.Popen[bytes] | None" = None,
        admin_password: str | None = None,
    ) -> None:
        self.urls = {name: urls[name] for name in SERVICES}
        """Of each service."""
        self.redis_url = place.secrets()["redis_url"]
        """With its password."""
        self.clock = Clock(place.clock)
        """The time of the services: ``clock.advance(seconds)`` moves it."""
        self.folder = place.folder
        self._place = place
        self._control = control
        self._supervisor = supervisor
        self._admin_password = admin_password or place.secrets().get("admin_password")
        self._finalizer: weakref.finalize[..., Stack] | None = None

    @classmethod
    def attached(cls, place: Place) -> "Stack | None":
        """The stack that somebody brought up there, or None."""
        state = place.state()
        if state is None or place.supervisor() is None:
            return None
        urls = {process["name"]: process["url"] for process in state["processes"]}
        return cls(place, Path(state["control"]), urls)

    @property
    def url(self) -> str:
        """Base URL of the API: that of orchestration, which passes on what is for the others."""
        return self.urls["orchestration"]

    @property
    def admin_password(self) -> str:
        """Of the user ``admin``; StackFailed where it was yours, and is not known here."""
        if self._admin_password is None:
            raise StackFailed(
                f"the stack in {self.folder} was first up with an admin_password of yours, which "
                "is not kept: give the same again"
            )
        return self._admin_password

    def status(self, name: str | None = None) -> tuple[ProcessStatus, ...]:
        """Each process as it is now: a service that was ready is asked whether it still is.

        name: only this process.
        """
        return tuple(one for one in self._ask("status", name) if name in (None, one.name))

    def logs(self, name: str, lines: int | None = None) -> str:
        """The log of a process (or of ``"supervisor"``): its last lines, by default all."""
        logs = self._place.logs()
        if name not in logs:
            raise BadArgument(f"name must be one of {', '.join(logs)}, not {name!r}")
        with logs[name].open(errors="replace") as file:
            return "".join(deque(file, lines))

    def stop(self, name: str, grace: float = GRACE) -> None:
        """End a process and hold it down: SIGTERM, and ``grace`` seconds later SIGKILL.

        grace: 0 to 5; with 0 SIGKILL at once.
        """
        if not 0 <= grace <= GRACE:
            raise BadArgument(f"grace must be 0 to {GRACE:g} seconds, not {grace!r}")
        self._ask("stop", name, grace=grace)

    def start(self, name: str) -> None:
        """Start a process that is held down or given up; ``wait_ready`` waits for it."""
        self._ask("start", name)

    def restart(self, name: str) -> None:
        """Stop a process and start it."""
        self._ask("restart", name)

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL, as a fault would: it is started again."""
        self._ask("kill", name)

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until each process is ready that is not held down.

        Where the embedded server runs, also until the services are back from legacy mode.

        timeout: seconds, after which StackFailed is raised; or earlier, where one is given up.
        """
        deadline = time.monotonic() + timeout
        while True:
            statuses: list[ProcessStatus] = []
            # Its socket is not there from the start.
            with suppress(OSError):
                statuses = ask(self._control, {"action": "status"})
            waiting = [one for one in statuses if one.state not in ("ready", "stopped")]
            if statuses and not waiting and _in_normal_mode(statuses):
                return
            for one in waiting:
                if one.state == "failed":
                    raise self._failed(f"{one.name} died {DEATHS} times and never was ready", one)
            if not self._supervised():
                raise self._failed("the supervising process ended")
            if time.monotonic() > deadline:
                states = ", ".join(f"{one.name} is {one.state}" for one in waiting)
                why = f"not ready within {timeout:g} s: {states or 'nothing has started'}"
                # The others wait for the first.
                raise self._failed(why, *waiting[:1])
            time.sleep(LOOK)

    def down(self) -> None:
        """End every process; a temporary folder goes, too. Once down, it does nothing."""
        if self._finalizer is not None:
            self._finalizer()
        else:
            _end(self._place, self._supervisor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def __repr__(self) -> str:
        return f"<Stack {self.url} in {self.folder}>"

    def _own(self, *, temporary: bool) -> None:
        """Have it end with this object, and with this process."""
        self._finalizer = weakref.finalize(
            self, _end, self._place, self._supervisor, os.getpid(), temporary=temporary
        )

    def _ask(
        self, action: str, name: str | None = None, **more: object
    ) -> tuple[ProcessStatus, ...]:
        request: dict[str, object] = {"action": action, **more}
        if name is not None:
            state = self._place.state()
            known = [] if state is None else [one["name"] for one in state["processes"]]
            if known and name not in known:
                raise BadArgument(f"name must be one of {', '.join(known)}, not {name!r}")
            request["name"] = name
        try:
            return tuple(ask(self._control, request))
        except OSError as error:
            raise StackFailed(f"the stack in {self.folder} is down ({error})") from None

    def _supervised(self) -> bool:
        if self._supervisor is None:
            return self._place.supervisor() is not None
        return self._supervisor.poll() is None

    def _failed(self, why: str, process: ProcessStatus | None = None) -> StackFailed:
        name = "supervisor" if process is None else process.name
        log = self.logs(name, TAIL) if name in self._place.logs() else ""
        return StackFailed(
            f"the stack in {self.folder} failed: {why}. The log ends:\n{log or '(nothing)'}"
        )


def bring_up(
    place: Place,
    redis: str | None = None,
    admin_password: str | None = None,
    settings: Mapping[str, object] | None = None,
    timeout: float = 60.0,
    *,
    proxied: bool = False,
    temporary: bool = False,
    detached: bool = False,
) -> Stack:
    """What ``up`` does. detached: the stack goes on without this process."""
    launched = launch(
        place,
        redis,
        admin_password,
        settings or {},
        proxied=proxied,
        temporary=temporary,
        detached=detached,
    )
    stack = Stack(place, launched.control, launched.urls, launched.supervisor, admin_password)
    if not detached:
        stack._own(temporary=temporary)
    try:
        stack.wait_ready(timeout)
    except BaseException:
        stack.down()
        raise
    return stack


def _in_normal_mode(statuses: Sequence[ProcessStatus]) -> bool:
    """Whether the services use the embedded server, where it runs."""
    running = [one for one in statuses if one.state == "ready"]
    if all(one.name != valkey.NAME for one in running):
        return True
    # Not by way of a proxy that the environment names.
    direct = build_opener(ProxyHandler({}))
    for one in running:
        if one.name in SERVICES:
            try:
                with direct.open(f"{one.url}/health/ready", timeout=LOOK_PATIENCE) as answer:
                    mode = json.load(answer)["mode"]
            except OSError:
                return False
            if mode != "normal":
                return False
    return True


def _end(
    place: Place,
    supervisor: "subprocess.Popen[bytes] | None",
    owner: int | None = None,
    *,
    temporary: bool = False,
) -> None:
    # A fork of the owner ends, too, and not the stack with it.
    if owner not in (None, os.getpid()):
        return
    if supervisor is not None:
        supervisor.terminate()
        try:
            supervisor.wait(END)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        if supervisor.stdin is not None:
            supervisor.stdin.close()
    place.end()
    if temporary:
        place.vanish()
