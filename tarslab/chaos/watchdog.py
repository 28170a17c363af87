"""The process that undoes a fault where the run that did it cannot.

It waits for the end of its standard input, which the run holds: that is how it learns of the run's
end, in whatever way. Then, or when the fault's time is over, it undoes the fault, if nobody has.
"""

import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress

import msgspec

from tarslab.chaos.platforms import PlatformFailed
from tarslab.chaos.undo import Entry, Journal
from tarslab.stack.places import same_process

# Seconds between two looks at whether the run is there: its forks may hold the input open.
LOOK = 1.0
# Seconds for which it is tried to undo a fault, and between the first and the last two tries.
TRIES, FIRST, LAST = 600.0, 0.5, 20.0
# Seconds that it may take to start.
START = 60.0


class Watchdog:
    """The watchdog of one fault, as the run has it."""

    def __init__(self, journal: Journal, entry: Entry) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tarslab.chaos.watchdog", str(journal.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What a terminal sends at Ctrl-C is for the run.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(entry) + b"\n")
            self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], START)
        if not ready or not self._process.stdout.readline():
            self._process.kill()
            self.close()
            raise PlatformFailed("the watchdog of the fault did not start: nothing was broken")

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def close(self) -> None:
        """Tell it that the run is through with the fault."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        # Where the fault could not be undone it goes on trying, and ends whenever it may.
        threading.Thread(target=self._process.wait, daemon=True).start()


def main() -> None:
    """Watch over the fault that the first line of standard input holds."""
    journal = Journal(sys.argv[1])
    entry = msgspec.json.decode(sys.stdin.buffer.readline(), type=Entry)
    deadline = time.monotonic() + entry.until - time.time()
    print("ready", flush=True)
    while time.monotonic() < deadline and same_process(*entry.owner) is not None:
        ready, _, _ = select.select([0], [], [], min(LOOK, max(0, deadline - time.monotonic())))
        if ready and not os.read(0, 4096):
            break
    _undo(journal, entry)


def _undo(journal: Journal, entry: Entry) -> None:
    last, delay = time.monotonic() + TRIES, FIRST
    while True:
        try:
            journal.undo(entry)
            return
        except PlatformFailed:
            # It stays in the journal, for whoever comes next.
            if time.monotonic() > last:
                raise
        time.sleep(delay)
        delay = min(2 * delay, LAST)


if __name__ == "__main__":
    main()
