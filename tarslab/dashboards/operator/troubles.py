"""What a person sees of an error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType

from tarslab.admin import (
    AdminError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from tarslab.errors import TarslabError


class BadField(TarslabError):
    """What was typed into a field cannot be used."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


class Kind(Enum):
    """What an error means for who meets it."""

    UNREACHABLE = auto()
    """Nobody answers: it may pass by itself."""
    SIGNED_OUT = auto()
    """Sign in again."""
    DENIED = auto()
    """These credentials may not."""
    WAIT = auto()
    """Not yet: in so many seconds."""
    REFUSED = auto()
    """Not like this: something has to be chosen or typed otherwise."""
    BROKEN = auto()
    """What came is not an answer of the API."""


@dataclass(frozen=True)
class Trouble:
    """An error as it is shown."""

    kind: Kind
    text: str
    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What is wrong, of each field of the form."""
    seconds: float | None = None
    """After which it may be tried again."""
    maybe_done: bool = False
    """Whether it may have been done all the same."""


def trouble_of(error: TarslabError) -> Trouble:
    """The one place that says what each error means."""
    said = _said(error)
    seconds = getattr(error, "retry_after", None)
    if isinstance(error, Unavailable) and error.status is None:
        return Trouble(Kind.UNREACHABLE, said, maybe_done=error.maybe_done)
    if isinstance(error, RateLimited) or (isinstance(error, Conflict) and seconds is not None):
        return Trouble(Kind.WAIT, said, seconds=1.0 if seconds is None else seconds)
    if isinstance(error, Unavailable):
        # Somebody answered: a service without its Redis, or what stands before it.
        return Trouble(Kind.UNREACHABLE, said, seconds=seconds, maybe_done=error.maybe_done)
    if isinstance(error, Unauthorized):
        return Trouble(Kind.SIGNED_OUT, said)
    if isinstance(error, Forbidden):
        return Trouble(Kind.DENIED, said)
    if isinstance(error, Invalid):
        return Trouble(Kind.REFUSED, said, error.fields)
    if isinstance(error, BadField):
        return Trouble(Kind.REFUSED, said, {error.field: said})
    if isinstance(error, Conflict | NotFound) or not isinstance(error, AdminError):
        return Trouble(Kind.REFUSED, said)
    return Trouble(Kind.BROKEN, said)


def _said(error: TarslabError) -> str:
    """In the service's words, with the request id, by which it is found in the audit log."""
    if not isinstance(error, AdminError):
        return _sentence(str(error))
    if error.problem is None or not (error.problem.detail or error.problem.title):
        if isinstance(error, Unavailable) and error.status is None:
            return "The service does not answer."
        return _sentence(str(error))
    text = _sentence(error.problem.detail or error.problem.title)
    return f"{text} (Request {error.request_id}.)" if error.request_id else text


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", ".)", "?")) else f"{text}."
