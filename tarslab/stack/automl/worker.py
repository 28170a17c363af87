"""``python -m tarslab.stack.automl.worker``: one search, in a process of its own.

The search is a line of JSON on standard input; where the input ends, the search does too: none
outlives the service that started it. The storage comes by the environment.
"""

import io
import json
import os
import signal
import sys
import threading

import redis

from tarslab.errors import BadStudy
from tarslab.stack.automl.objectives import OBJECTIVES
from tarslab.studies import search

REDIS_URL = "TARSLAB_STACK_REDIS_URL"
# The exit code of a search that is not done, and can be gone on with: EX_TEMPFAIL of sysexits.h.
GO_ON = 75
# Seconds that an interrupted search has to note where it stands.
GRACE = 3.0
# Requests go first.
NICENESS = 10


def main() -> None:
    """Run the search to its end."""
    # Unbuffered: the thread that waits at a buffer holds its lock when the interpreter ends.
    orders = io.FileIO(0, closefd=False)
    order = json.loads(orders.readline())
    threading.Thread(target=_end_with, args=[orders], daemon=True).start()
    os.nice(NICENESS)
    objective = OBJECTIVES[order.pop("objective")]
    url = os.environ[REDIS_URL]
    try:
        search(
            objective.function,
            storage=url,
            directions=objective.directions,
            metrics=objective.metrics,
            pruner="none",
            **order,
        )
    except KeyboardInterrupt:
        sys.exit(GO_ON)
    except (redis.ConnectionError, redis.TimeoutError, BadStudy):
        if _answers(url):
            raise
        sys.exit(GO_ON)


def _answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=GRACE, socket_connect_timeout=GRACE)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _end_with(orders: io.FileIO) -> None:
    orders.read()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE)
    os._exit(GO_ON)


if __name__ == "__main__":
    main()
