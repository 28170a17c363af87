"""``python -m tarslab``."""

from tarslab.cli import app

app()
