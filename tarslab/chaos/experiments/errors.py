"""What can go wrong in an experiment."""

from typing import TYPE_CHECKING

from tarslab.errors import TarslabError

if TYPE_CHECKING:
    from tarslab.chaos.experiments.results import ExperimentResult


class ExperimentFailed(TarslabError, RuntimeError):
    """An experiment broke off, or its result could not be written; its faults are undone.

    ``result`` is what was measured until then, or None.
    """

    def __init__(self, message: str, result: "ExperimentResult | None" = None) -> None:
        super().__init__(message)
        self.result = result
