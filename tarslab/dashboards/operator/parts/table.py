"""A table, of which a row may be chosen."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import traitlets

from tarslab.dashboards.operator.parts.part import Part, program


@dataclass(frozen=True)
class Badge:
    """A word on a colour: ``good``, ``warn``, ``bad`` or ``plain``."""

    text: str
    tone: str


@dataclass(frozen=True)
class Sparkline:
    """A small curve; ``path`` of SVG within 100 by 24, and what it shows in words."""

    path: str
    text: str


Cell: TypeAlias = str | Badge | Sparkline


@dataclass(frozen=True)
class Row:
    """``key`` is what is chosen by, ``name`` what a screen reader calls it."""

    key: str
    name: str
    cells: tuple[Cell, ...]


class Table(Part):
    """Rows under a caption, a page at a time; in a table to choose from, each a radio button.

    ``numbers`` are the columns to be aligned as such, ``selected`` is the key of the row that is
    chosen, and ``chosen`` is called when that is another one.
    """

    _esm = program("table")

    caption = traitlets.Unicode().tag(sync=True)
    columns: Any = traitlets.List().tag(sync=True)
    rows: Any = traitlets.List().tag(sync=True)
    empty = traitlets.Unicode().tag(sync=True)
    selectable = traitlets.Bool().tag(sync=True)
    selected = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        caption: str,
        columns: Sequence[str],
        *,
        numbers: Sequence[str] = (),
        selectable: bool = False,
        empty: str = "None.",
    ) -> None:
        self.chosen: Callable[[], object] = lambda: None
        super().__init__(
            caption=caption,
            columns=[{"name": name, "number": name in numbers} for name in columns],
            selectable=selectable,
            empty=empty,
        )
        self.observe(self._home.calls(lambda: self.chosen()), names="selected")

    def show(self, rows: Iterable[Row]) -> None:
        """These rows; one that was chosen and is gone is not chosen any more."""
        self.rows = [
            {"key": row.key, "name": row.name, "cells": [_shown(cell) for cell in row.cells]}
            for row in rows
        ]
        if self.selected not in {row["key"] for row in self.rows}:
            self.selected = ""


def _shown(cell: Cell) -> Any:
    if isinstance(cell, Badge):
        return {"text": cell.text, "tone": cell.tone}
    if isinstance(cell, Sparkline):
        return {"path": cell.path, "text": cell.text}
    return cell
