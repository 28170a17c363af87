"""ipywidgets applications: they hold controls and state, and compute nothing themselves."""

from tarslab.dashboards.training import TrainingDashboard, training

__all__ = ["TrainingDashboard", "training"]
