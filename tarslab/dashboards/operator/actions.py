"""What a person may ask of a service: once at a time, and with its outcome."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tarslab.dashboards.operator.parts import Question
from tarslab.dashboards.operator.session import Session
from tarslab.dashboards.operator.troubles import Kind, Trouble, trouble_of
from tarslab.errors import TarslabError

log = logging.getLogger(__name__)

Values = dict[str, Any]
Work = Callable[[Values], Awaitable[str]]
Ask = Callable[[Values], Awaitable[Question | None]]
Confirm = Callable[[Question], Awaitable[bool]]


@dataclass(frozen=True)
class Outcome:
    """What came of an action the last time."""

    text: str = ""
    tone: str = "plain"
    fields: Mapping[str, str] = field(default_factory=dict)


class Action:
    """Something that is done when it is submitted, unless it is being done already.

    ``changed`` is called after each change of ``pending``, ``outcome``, ``blocked`` and ``wait``.
    """

    def __init__(
        self,
        session: Session,
        work: Work,
        *,
        scope: str = "",
        unless: Callable[[], str] = lambda: "",
        subject: Callable[[], Hashable] = lambda: None,
        at: str = "",
        signed_in: bool = True,
    ) -> None:
        """
        work: Does it with the values of the form, and says what was done.
        scope: That it takes.
        unless: Says why it is not possible now, or "".
        subject: What it is done to; an outcome holds for one subject alone.
        at: The field that a refusal without a field is about.
        signed_in: Whether it takes somebody who is.
        """
        self.pending = False
        self.outcome = Outcome()
        self.changed: Callable[[], None] = lambda: None
        self._session = session
        self._work = work
        self._scope = scope
        self._unless = unless
        self._subject = subject
        self._at = at
        self._signed_in = signed_in
        self._ask: Ask | None = None
        self._confirm: Confirm | None = None
        self._of: Hashable = None
        self._denied: tuple[Hashable, str] | None = None
        self._free_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def confirmed_by(self, ask: Ask, confirm: Confirm) -> "Action":
        """Have it confirmed first; ``ask`` says what will happen, None where that is harmless."""
        self._ask, self._confirm = ask, confirm
        return self

    @property
    def blocked(self) -> str:
        """Why it is not possible, or ""."""
        if self._signed_in and (lacking := self._session.lacks(self._scope)):
            return lacking
        if self._denied is not None and self._denied[0] == self._who_and_what():
            return self._denied[1]
        return self._unless()

    @property
    def wait(self) -> int:
        """Whole seconds until it is possible again."""
        return max(0, math.ceil(self._free_at - time.monotonic()))

    def start(self, values: Values) -> "asyncio.Task[None] | None":
        """Do it; nothing happens where it is being done, or not possible."""
        if self.pending or self.blocked or self.wait:
            return None
        self.pending, self.outcome, self._of = True, Outcome(), self._subject()
        self.changed()
        self._task = asyncio.get_running_loop().create_task(self._run(values))
        return self._task

    def look(self) -> None:
        """Forget an outcome that was of something else, and a wait that is over."""
        waited = bool(self._free_at) and not self.wait
        if waited:
            self._free_at = 0.0
        if not self.pending and (waited or self._of != self._subject()):
            self.outcome, self._of = Outcome(), self._subject()
        self.changed()

    def cancel(self) -> None:
        """Give up what is being done."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, values: Values) -> None:
        try:
            if await self._wanted(values):
                self.outcome = Outcome(await self._work(values), "good")
        except TarslabError as error:
            self._refused(trouble_of(error))
        except Exception as error:
            # Nobody waits for this task, so that nobody else would say it.
            log.exception("an action of the operator dashboard failed")
            self.outcome = Outcome(f"The dashboard failed: {type(error).__name__}.", "bad")
        finally:
            self.pending = False
            self.changed()

    async def _wanted(self, values: Values) -> bool:
        if self._ask is None or self._confirm is None:
            return True
        question = await self._ask(values)
        return question is None or await self._confirm(question)

    def _refused(self, trouble: Trouble) -> None:
        self.outcome = Outcome(trouble.text, "bad", trouble.fields)
        if trouble.kind is Kind.DENIED:
            self._denied = self._who_and_what(), trouble.text
        elif trouble.kind is Kind.WAIT:
            assert trouble.seconds is not None
            self._free_at = time.monotonic() + trouble.seconds
        elif trouble.kind is Kind.SIGNED_OUT and self._signed_in:
            text = "Your session has ended. Nothing was done: sign in, and do it again."
            self.outcome = replace(self.outcome, text=text)
        elif trouble.maybe_done and self._scope.endswith(":write"):
            text = f"{trouble.text} It may have been done: look before you do it again."
            self.outcome = replace(self.outcome, text=text)
        elif trouble.kind is Kind.REFUSED and self._at and not trouble.fields:
            self.outcome = replace(self.outcome, fields={self._at: trouble.text})

    def _who_and_what(self) -> Hashable:
        return self._session.me, self._subject()
