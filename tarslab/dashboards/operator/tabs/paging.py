"""Going through a list a page at a time."""

from collections.abc import Callable

import ipywidgets as widgets

from tarslab.dashboards.operator.parts import Form


class Pager:
    """The buttons below a table of a list that is there as a whole.

    ``show_page`` is called with the first place of the page and that after its last.
    """

    def __init__(self, show_page: Callable[[int, int], None], size: int) -> None:
        self.size = size
        self.page = 0
        self._show_page = show_page
        self._total = 0
        self._before = _button("Previous page", lambda: self._go(-1))
        self._after = _button("Next page", lambda: self._go(+1))
        self._where = widgets.HTML()
        self.view = widgets.HBox([self._before, self._after, self._where])

    def show(self, total: int) -> None:
        """The page as it is by now, of so many."""
        self._total = total
        self.page = max(0, min(self.page, (total - 1) // self.size))
        self._go(0)

    def _go(self, by: int) -> None:
        self.page += by
        start, end = self.page * self.size, min((self.page + 1) * self.size, self._total)
        self._show_page(start, end)
        self._before.blocked = "" if start else "This is the first page."
        self._after.blocked = "" if end < self._total else "This is the last page."
        self._where.value = f"<p>{start + 1}–{end} of {self._total}</p>"
        self.view.layout.display = None if self._total > self.size else "none"


def _button(label: str, pressed: Callable[[], None]) -> Form:
    button = Form(label, label)
    button.submitted = lambda values: pressed()
    return button
