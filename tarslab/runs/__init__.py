"""Reading training runs: formats, the metric vocabulary, the Runs table."""

from tarslab.runs.discovery import fingerprint
from tarslab.runs.loading import load
from tarslab.runs.recording import Series
from tarslab.runs.table import Run, Runs

__all__ = ["Run", "Runs", "Series", "fingerprint", "load"]
