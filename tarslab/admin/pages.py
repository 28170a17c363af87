"""Lists that are fetched a page at a time, as they are gone through."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tarslab.admin import tables
from tarslab.admin.errors import Unexpected
from tarslab.admin.exchange import Exchange, Steps
from tarslab.admin.models import Model, Page

if TYPE_CHECKING:
    import pandas as pd

M = TypeVar("M", bound=Model)

# Items of a page.
LIMIT = 100


@dataclass(frozen=True)
class Listing(Generic[M]):
    """A list that a service can be asked for."""

    exchange: Exchange
    path: str
    kind: type[M]
    params: Mapping[str, Any]

    def page(self, cursor: str | None) -> Steps[Page[M]]:
        """The page at a cursor, or the first.

        Raises:
            Unexpected: It leads back to itself.
        """
        asked = {**self.params, "limit": LIMIT, "cursor": cursor}
        kind: type[Page[M]] = Page[self.kind]  # type: ignore[name-defined]
        page = yield from self.exchange.ask("GET", self.path, kind, params=asked)
        if page.next_cursor is not None and page.next_cursor == cursor:
            raise Unexpected(f"GET {self.path}: the list has no end: a page leads to itself")
        return page


class _Place(Generic[M]):
    """How far a list was gone through: what was fetched and not taken, and what comes next."""

    def __init__(self, listing: Listing[M]) -> None:
        self._listing = listing
        self._fetched: deque[M] = deque()
        self._cursor: str | None = None
        self._complete = False

    def _add(self, page: Page[M]) -> None:
        self._fetched.extend(page.items)
        self._cursor = page.next_cursor
        self._complete = page.next_cursor is None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._listing.kind.__name__}: {self._listing.path}>"


class Pages(_Place[M], Iterator[M]):
    """The items of a list, each page fetched when its first item is asked for.

    After an error the next item is asked for again: nothing is left out.
    """

    def __init__(self, listing: Listing[M], run: Callable[[Steps[Page[M]]], Page[M]]) -> None:
        super().__init__(listing)
        self._run = run

    def __next__(self) -> M:
        while not self._fetched:
            if self._complete:
                raise StopIteration
            self._add(self._run(self._listing.page(self._cursor)))
        return self._fetched.popleft()

    def to_frame(self) -> "pd.DataFrame":
        """The whole list as a table, asked for anew: also what was taken already."""
        return tables.of(self._listing.kind, Pages[M](self._listing, self._run))


class AsyncPages(_Place[M], AsyncIterator[M]):
    """The items of a list, each page fetched when its first item is asked for.

    After an error the next item is asked for again: nothing is left out.
    """

    def __init__(
        self, listing: Listing[M], run: Callable[[Steps[Page[M]]], Coroutine[Any, Any, Page[M]]]
    ) -> None:
        super().__init__(listing)
        self._run = run

    async def __anext__(self) -> M:
        while not self._fetched:
            if self._complete:
                raise StopAsyncIteration
            self._add(await self._run(self._listing.page(self._cursor)))
        return self._fetched.popleft()

    async def to_frame(self) -> "pd.DataFrame":
        """The whole list as a table, asked for anew: also what was taken already."""
        items = [item async for item in AsyncPages[M](self._listing, self._run)]
        return tables.of(self._listing.kind, items)
