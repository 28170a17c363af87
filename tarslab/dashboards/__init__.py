"""ipywidgets applications: they hold controls and state, and compute nothing themselves."""

from tarslab.dashboards.automl import AutoMLDashboard, automl
from tarslab.dashboards.training import TrainingDashboard, training

__all__ = ["AutoMLDashboard", "TrainingDashboard", "automl", "training"]
