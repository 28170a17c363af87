"""The embedded stack as a platform: its processes, and the proxy before them."""

import os
import platform as machine
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import psutil

import tarslab
from tarslab.chaos.platforms.errors import PlatformGone
from tarslab.chaos.platforms.platform import Call, State, Unit, done_to_connections
from tarslab.chaos.proxy.client import ProxyClient
from tarslab.chaos.proxy.toxics import STREAMS, Stream
from tarslab.cores import cores
from tarslab.errors import BadArgument, PlatformFailed, StackFailed
from tarslab.stack.launching import PROXY
from tarslab.stack.places import Place, same_process, signal_group
from tarslab.stack.stack import Stack

T = TypeVar("T")
# Seconds between two looks at a process, and until one has to have heeded a signal.
LOOK, HEEDED = 0.02, 10.0
STATES: Mapping[str, State] = {"backoff": "starting"}
# What calls do, in words.
SIGNALS = {"kill": "SIGKILL", "pause": "SIGSTOP", "resume": "SIGCONT"}
HELD = {
    "stop": "SIGKILL, and held down",
    "start": "started, if it is held down",
    "restart": "SIGTERM, and started again",
}


class LocalPlatform:
    """A stack on this machine; each of its services, and Redis, has one unit: its process.

    ``degrade`` and ``cut_off`` need a proxy before the services: ``tl.stack.up(proxied=True)``.
    """

    kind = "local"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._place = Place(stack.folder)

    @classmethod
    def at(cls, folder: str | os.PathLike[str]) -> "LocalPlatform":
        """The stack that is up in a folder; PlatformGone where none is."""
        stack = Stack.attached(Place(Path(folder)))
        if stack is None:
            raise PlatformGone(f"no stack is up in {folder}")
        return cls(stack)

    @property
    def services(self) -> tuple[str, ...]:
        """Redis, unless it is the user's own, and the three services."""
        return tuple(name for name in self._recorded() if name != PROXY)

    def units(self, service: str) -> tuple[Unit, ...]:
        """The process of a service, unless it is held down."""
        self._check(service)
        pid: int | None = self._recorded()[service]["pid"]
        state: State = "paused"
        # One that is paused would not answer whether it is ready.
        if not _is_paused(pid):
            pid, state = self._seen(service)
        if pid is None:
            return ()
        with suppress(psutil.NoSuchProcess):
            started = float(psutil.Process(pid).create_time())
            return (Unit(service, service, str(pid), state, started),)
        return ()

    def address(self, service: str) -> str:
        """The URL of a service."""
        self._check(service)
        return self._stack.urls.get(service) or self._stack.redis_url

    def kill(self, unit: Unit, *, grace: float = 0.0) -> None:
        """Kill a process, which is started again: SIGKILL, or after SIGTERM and a grace."""
        process = self._process(unit)
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, HEEDED)):
            if patience > 0:
                signal_group(process.pid, number)
                if _until(lambda: same_process(process.pid, unit.started) is None, patience):
                    return
        raise PlatformFailed(f"process {unit.id} ({unit.service}) is still there after SIGKILL")

    def pause(self, unit: Unit) -> None:
        """SIGSTOP to a process and its group; it has stopped when this returns."""
        process = self._process(unit)
        signal_group(process.pid, signal.SIGSTOP)
        if not _until(lambda: _is_paused(process.pid), HEEDED):
            raise PlatformFailed(f"process {unit.id} ({unit.service}) has not stopped by SIGSTOP")

    def resume(self, unit: Unit) -> None:
        """SIGCONT to it, if it is still there."""
        with suppress(PlatformFailed):
            signal_group(self._process(unit).pid, signal.SIGCONT)

    def restart(self, service: str) -> None:
        """End a process in order, and start it."""
        self._check(service)
        self._told(lambda: self._stack.restart(service))

    def stop(self, service: str) -> None:
        """Kill a process, and hold it down."""
        self._check(service)
        self._told(lambda: self._stack.stop(service, grace=0))

    def start(self, service: str) -> None:
        """Start a process that is held down or was given up."""
        self._check(service)
        self._told(lambda: self._stack.start(service))

    def degrade(
        self,
        service: str,
        *,
        name: str,
        toxic: str,
        attributes: Mapping[str, int],
        stream: str = "downstream",
        toxicity: float = 1.0,
    ) -> None:
        """Put a toxic on the proxy before a service."""
        self._check(service)
        with self._proxy() as proxy:
            direction = cast(Stream, stream)
            proxy.add(service, toxic, attributes, name=name, stream=direction, toxicity=toxicity)

    def cut_off(self, service: str, *, name: str) -> None:
        """Have the proxy drop what comes from either side; connections stay open."""
        self._check(service)
        with self._proxy() as proxy:
            for stream in STREAMS:
                proxy.add(
                    service, "timeout", {"timeout": 0}, name=f"{name}.{stream}", stream=stream
                )

    def restore(self, service: str, *, name: str) -> None:
        """Take toxics off the proxy."""
        self._check(service)
        # One that is gone took them with it.
        if PROXY not in self._recorded():
            return
        with self._proxy() as proxy:
            for toxic in (name, *(f"{name}.{stream}" for stream in STREAMS)):
                proxy.remove(service, toxic)

    def wait_ready(self, service: str, timeout: float = 60.0) -> None:
        """Wait until the process says that it is ready."""
        self._check(service)
        deadline = time.monotonic() + timeout
        while (state := self._seen(service)[1]) != "ready":
            if time.monotonic() > deadline:
                raise PlatformFailed(f"{service} is {state} after {timeout:g} s")
            time.sleep(LOOK)

    def explain(self, call: Call) -> str:
        """Exactly which process or connections a call would touch.

        PlatformFailed where it needs a proxy, and none is there.
        """
        if isinstance(call.target, Unit):
            unit, grace = call.target, call.arguments.get("grace")
            done = f"SIGTERM, and SIGKILL after {grace:g} s" if grace else SIGNALS[call.verb]
            return f"process {unit.id} ({unit.service}): {done}"
        if call.verb in HELD:
            pid = self._recorded()[call.target]["pid"]
            return f"process {pid or '(none)'} ({call.target}): {HELD[call.verb]}"
        if call.verb in ("degrade", "cut_off"):
            self._proxy_url()
        return f"connections to {call.target}: {done_to_connections(call)}"

    def version(self) -> str:
        """That of tarslab, whose services these are."""
        return f"tarslab {tarslab.__version__}"

    def describe(self) -> dict[str, Any]:
        """Versions, and the size of the machine."""
        return {
            "platform": self.kind,
            "version": self.version(),
            "services": list(self.services),
            "proxied": PROXY in self._recorded(),
            "python": machine.python_version(),
            "system": machine.platform(),
            "cores": cores(),
        }

    def reference(self) -> dict[str, Any]:
        """The folder of the stack."""
        return {"kind": self.kind, "folder": str(self._stack.folder)}

    def __repr__(self) -> str:
        return f"the stack in {self._stack.folder}"

    def _recorded(self) -> dict[str, dict[str, Any]]:
        """Its processes, without a look at whether they are ready."""
        state = self._place.state()
        if state is None:
            raise PlatformGone(f"the stack in {self._stack.folder} is down")
        return {one["name"]: one for one in state["processes"]}

    def _seen(self, service: str) -> tuple[int | None, State]:
        """Number and state of a process, which is asked whether it is ready."""
        (status,) = self._told(lambda: self._stack.status(service))
        return status.pid, STATES.get(status.state) or cast(State, status.state)

    def _check(self, service: str) -> None:
        known = self.services
        if service not in known:
            raise BadArgument(f"service must be one of {', '.join(known)}, not {service!r}")

    def _process(self, unit: Unit) -> psutil.Process:
        process = same_process(int(unit.id), unit.started)
        if process is None:
            raise PlatformFailed(f"process {unit.id} ({unit.service}) is gone")
        return process

    def _proxy(self) -> ProxyClient:
        return ProxyClient(self._proxy_url())

    def _proxy_url(self) -> str:
        recorded = self._recorded()
        if PROXY not in recorded:
            raise PlatformFailed(
                "no proxy stands before the services of this stack: bring it up with "
                "tl.stack.up(proxied=True), or tarslab stack up --proxied"
            )
        return str(recorded[PROXY]["url"])

    def _told(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except StackFailed as error:
            gone = self._place.supervisor() is None
            raise (PlatformGone if gone else PlatformFailed)(str(error)) from None


def _is_paused(pid: int | None) -> bool:
    with suppress(psutil.NoSuchProcess):
        return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


def _until(condition: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK)
    return True
