"""Hyperparameter searches of Optuna: any storage to a table of trials, and what follows from it."""

from tarslab.studies.loading import load_study
from tarslab.studies.study import Study

__all__ = ["Study", "load_study"]
