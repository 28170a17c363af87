"""The question before something that cannot be taken back."""

import asyncio
from dataclasses import dataclass
from typing import Any

import traitlets

from tarslab.dashboards.operator.parts.part import Part, program


@dataclass(frozen=True)
class Question:
    """What will happen, and to what; ``verb`` is on the button that lets it happen."""

    title: str
    lines: tuple[str, ...]
    verb: str
    danger: bool = True


class Confirm(Part):
    """A dialog that asks one question at a time."""

    _esm = program("confirm")

    question = traitlets.Dict().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()
        self._ticket = 0
        self._answer: asyncio.Future[bool] | None = None

    async def ask(self, question: Question) -> bool:
        """Whether it is wanted."""
        async with self._turn:
            self._ticket += 1
            self._answer = asyncio.get_running_loop().create_future()
            self.question = {
                "title": question.title,
                "lines": list(question.lines),
                "verb": question.verb,
                "danger": question.danger,
                "ticket": self._ticket,
            }
            try:
                return await self._answer
            finally:
                self._answer = None
                self.question = {}

    def heard(self, message: dict[str, Any]) -> None:
        answer = self._answer
        if message.get("ticket") == self._ticket and answer is not None and not answer.done():
            answer.set_result(bool(message.get("answer")))
