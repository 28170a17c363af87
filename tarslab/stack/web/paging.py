"""Lists a page at a time: at most ``limit`` items, and the cursor of the next page."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from tarslab.stack.web.problems import invalid

T = TypeVar("T")

LONGEST = 200
Limit = Annotated[int, Query(ge=1, le=LONGEST, description="Items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before.")
]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = None


def page(items: Sequence[tuple[str, T]], limit: int, cursor: str | None) -> Page[T]:
    """The items after the cursor, of a list in the order of its names."""
    after = decoded(cursor) if cursor is not None else ""
    rest = [entry for entry in sorted(items, key=lambda entry: entry[0]) if entry[0] > after]
    more = len(rest) > limit
    return Page(
        items=[item for _, item in rest[:limit]],
        next_cursor=encoded(rest[limit - 1][0]) if more else None,
    )


def encoded(position: str) -> str:
    """A cursor: opaque to clients."""
    return base64.urlsafe_b64encode(position.encode()).decode()


def decoded(cursor: str) -> str:
    """The position that a cursor holds; a 422 where it is none."""
    try:
        return base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid("cursor", "not one that this list gave out") from None
