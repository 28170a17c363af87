"""``python -m tarslab.chaos.load.engine``: a plan on standard input, reports on standard output."""

import asyncio
import gc
import os
import sys

import cloudpickle

from tarslab.chaos.load.engine.frames import Failed, Plan, Ready, Start, frame, receive


def main() -> None:
    """Read a plan, say that all is ready, and run it from the moment that is said then."""
    stdin = os.fdopen(os.dup(0), "rb")
    out = os.fdopen(os.dup(1), "wb")
    # What flows print must not come between the reports.
    os.dup2(2, 1)
    plan = receive(stdin)
    assert isinstance(plan, Plan)
    sys.path += [folder for folder in plan.imports if folder not in sys.path]

    def send(message: Failed | Ready) -> None:
        out.write(frame(message))
        out.flush()

    try:
        from tarslab.chaos.load.engine.run import run

        flows = cloudpickle.loads(plan.flows)
    except Exception as error:
        send(Failed(f"the flows cannot be loaded: {type(error).__name__}: {error}"))
        return
    send(Ready())
    start = receive(stdin)
    if not isinstance(start, Start):
        return
    # What is there now stays: to look at it again costs milliseconds.
    gc.collect()
    gc.freeze()
    _loop().run(run(plan, flows, start.at, stdin.fileno(), out))


def _loop() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


if __name__ == "__main__":
    main()
