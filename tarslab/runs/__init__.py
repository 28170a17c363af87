"""Reading training runs: formats, the metric vocabulary, the Runs table."""

from tarslab.runs.discovery import fingerprint
from tarslab.runs.following import LiveRuns, follow
from tarslab.runs.loading import load
from tarslab.runs.recording import Series
from tarslab.runs.table import Run, Runs

__all__ = ["LiveRuns", "Run", "Runs", "Series", "fingerprint", "follow", "load"]
