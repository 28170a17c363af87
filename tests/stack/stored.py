"""A store of a service, without the service: on a real Valkey, and on a loop of the test's own."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tarslab.stack.audit.chain import Chain, Event
from tarslab.stack.audit.checkpoints import Checkpoints
from tarslab.stack.audit.log import Proof, prove
from tarslab.stack.audit.queue import Queue
from tarslab.stack.snapshot import Snapshots
from tarslab.stack.store import Store, Transaction
from tests.stack.served import SECRET, SIGNING_SECRET

T = TypeVar("T")

NOW = 1_800_000_000.0


class Stored:
    """What a service keeps: in Redis, and in a folder."""

    def __init__(self, url: str, folder: Path, runner: asyncio.Runner, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        self._runner = runner
        self.now = NOW
        self.chain = Chain(SECRET)
        self.queue = Queue(folder, SECRET)
        self.checkpoints = Checkpoints(folder, SIGNING_SECRET)
        self.snapshots = Snapshots(folder, SECRET)
        limits = {"timeout": 5.0, "probe_seconds": 0.01, **options}
        self.store = Store(url, self.chain, self.queue, now=lambda: self.now, **limits)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something."""
        return self._runner.run(work)

    def look(self) -> bool:
        """Try Redis once; whether it is there."""

        async def nothing_to_recover() -> None:
            pass

        self.run(self.store.look(nothing_to_recover))
        return self.store.up

    def write(self, *commands: tuple[str | float, ...], action: str = "test.write") -> None:
        """Apply commands, audited."""

        async def work(transaction: Transaction) -> None:
            for command in commands:
                transaction.write(*command)
            transaction.audit(self.event(action))

        self.run(self.store.transact(work))

    def event(self, action: str, **members: Any) -> Event:
        """Something that carol did."""
        return Event(self.now, "carol", action, "a test", "ok", **members)

    def prove(self) -> Proof:
        """What proving the audit log says."""
        return self.run(prove(self.store, self.chain, self.checkpoints))


@contextmanager
def stored(url: str, folder: Path, **options: Any) -> Iterator[Stored]:
    """A store that is connected."""
    with asyncio.Runner() as runner:
        opened = Stored(url, folder, runner, **options)
        opened.look()
        yield opened
        runner.run(opened.store.close())
