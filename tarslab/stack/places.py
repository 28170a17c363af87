"""What a stack keeps in its folder, which is its user's alone.

stack.json             its processes, written anew at each change; no secret
secrets.json           what its data is sealed with, so that it comes up again with its data
lock                   held by the supervising process
control.sock           what the supervising process is asked through
clock                  how far its time is ahead
logs/<process>.log
<process>/             what the process keeps
"""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from platformdirs import user_state_path

from tarslab.errors import BadArgument, StackFailed

State = Literal["starting", "ready", "unready", "backoff", "stopped", "failed"]

# The path of a Unix socket has at most 103 bytes (macOS) or 107 (Linux).
LONGEST_SOCKET_PATH = 103
# Seconds by which the start time of one process may seem to differ: Linux counts it from the boot,
# whose own time it rounds.
SAME_START = 2.0
# Seconds that a process has to stop in, and the supervising one, which stops them in two stages.
GRACE = 5.0
END = 2 * GRACE + 5
# Seconds to wait for an answer of the supervising process, which may be stopping another one.
ANSWER = 2 * GRACE + 10


@dataclass(frozen=True)
class ProcessStatus:
    """One process of a stack."""

    name: str
    pid: int | None
    """None where it does not run."""
    state: State
    """``unready``: it was ready, and does not say so now; ``backoff``: it died, and is started
    again soon; ``stopped``: it is held down; ``failed``: it died so often that it is given up."""
    restarts: int
    """How often it was started again after it died."""
    since: float
    """When it came into this state, in Unix seconds."""
    url: str


@dataclass(frozen=True)
class Place:
    """The folder of a stack."""

    folder: Path

    @classmethod
    def named(cls, name: str) -> "Place":
        """Where the command line keeps the stack of this name."""
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
            raise BadArgument(
                f"name: {name!r} is no name of a stack: up to 64 letters, digits and ._- "
                "that do not start with a dot or dash"
            )
        return cls(user_state_path("tarslab") / "stacks" / name)

    def prepare(self) -> None:
        """Make the folder its user's alone; BadArgument where it holds something else."""
        if self.folder.is_dir() and any(self.folder.iterdir()) and not self._lock_file.exists():
            raise BadArgument(
                f"folder: {self.folder} holds other files; name an empty or a new folder"
            )
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            (self.folder / "logs").mkdir(exist_ok=True)
        except OSError as error:
            raise BadArgument(
                f"folder: {self.folder} cannot be used ({error.strerror}); name another one"
            ) from None

    def lock(self) -> int:
        """A file descriptor that holds the folder; StackFailed where a stack is up there."""
        held = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            state = self.state()
            who = f" (its supervising process is {state['supervisor']['pid']})" if state else ""
            raise StackFailed(
                f"a stack is up already in {self.folder}{who}; take it down first, "
                "or name another folder"
            ) from None
        return held

    def keep(self, name: str, text: str, *, durable: bool = False) -> None:
        """Write a file that its user alone may read, all of it or nothing."""
        descriptor, path = tempfile.mkstemp(dir=self.folder, prefix=f".{name}.")
        with open(descriptor, "w") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(path, self.folder / name)

    def secrets(self) -> dict[str, str]:
        """What was kept by an earlier stack in this folder."""
        try:
            return dict(json.loads((self.folder / "secrets.json").read_text()))
        except FileNotFoundError:
            return {}

    def state(self) -> dict[str, Any] | None:
        """What the supervising process last wrote, or None."""
        try:
            return dict(json.loads((self.folder / "stack.json").read_text()))
        # Cut off where the machine lost its power: what it named is gone too.
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def supervisor(self) -> psutil.Process | None:
        """The supervising process, if a stack is up here."""
        state = self.state()
        return None if state is None else same_process(**state["supervisor"])

    def control(self) -> Path:
        """A path for the control socket."""
        path = self.folder / "control.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        return Path(tempfile.mkdtemp(prefix="tarslab-", dir="/tmp")) / path.name

    @property
    def clock(self) -> Path:
        """What says how far the time of the stack is ahead."""
        return self.folder / "clock"

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.folder / "logs" / f"{name}.log"

    def logs(self) -> dict[str, Path]:
        """The log of each process that has been up here."""
        return {path.stem: path for path in sorted((self.folder / "logs").glob("*.log"))}

    def end(self) -> None:
        """End the stack that is up here, or what one left whose supervising process was killed."""
        state = self.state()
        if state is None:
            return
        # A supervising process ends the others itself.
        for records in ([state["supervisor"]], state["processes"]):
            left = [p for one in records if (p := same_process(one["pid"], one["created"]))]
            for number in (signal.SIGTERM, signal.SIGKILL):
                for process in left:
                    signal_group(process.pid, number)
                _, left = psutil.wait_procs(left, timeout=END)
        self.forget(Path(state["control"]))

    def forget(self, control: Path) -> None:
        """Remove what says that a stack is up."""
        control.unlink(missing_ok=True)
        if control.parent != self.folder:
            with suppress(OSError):
                control.parent.rmdir()
        (self.folder / "stack.json").unlink(missing_ok=True)

    def vanish(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _lock_file(self) -> Path:
        return self.folder / "lock"


def ask(control: Path, request: Mapping[str, object]) -> list[ProcessStatus]:
    """Have the supervising process do something; OSError where there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER)
        connection.connect(str(control))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile() as answers:
            answer = answers.readline()
    if not answer:
        raise ConnectionResetError("the supervising process ended")
    return [ProcessStatus(**one) for one in json.loads(answer)]


def same_process(pid: int | None, created: float | None) -> psutil.Process | None:
    """The process of this number if it is the one that was started then."""
    if pid is None or created is None:
        return None
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if (
            abs(process.create_time() - created) < SAME_START
            and process.status() != psutil.STATUS_ZOMBIE
        ):
            return process
    return None


def signal_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to a process and all that it started in its group."""
    # macOS says EPERM where nobody is left but the dead.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
