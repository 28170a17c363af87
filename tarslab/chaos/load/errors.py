"""What can go wrong in a run of load."""

from typing import TYPE_CHECKING

from tarslab.errors import TarslabError

if TYPE_CHECKING:
    from tarslab.chaos.load.results import LoadResult


class LoadFailed(TarslabError, RuntimeError):
    """A run of load did not start, broke off, or could not be written.

    ``result`` is what was measured until then, or None.
    """

    def __init__(self, message: str, result: "LoadResult | None" = None) -> None:
        super().__init__(message)
        self.result = result
