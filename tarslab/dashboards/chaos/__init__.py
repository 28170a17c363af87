"""The chaos dashboard: break something on purpose, watch, and see it mended."""

from tarslab.dashboards.chaos.dashboard import ChaosDashboard, chaos

__all__ = ["ChaosDashboard", "chaos"]
