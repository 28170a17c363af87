"""The operator dashboard: agents, API keys, signing keys, audit and health of a deployment."""

from tarslab.dashboards.operator.dashboard import OperatorDashboard, operator

__all__ = ["OperatorDashboard", "operator"]
