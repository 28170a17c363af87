"""The tabs of the operator dashboard, one a module."""

from tarslab.dashboards.operator.tabs.agents import AgentsTab
from tarslab.dashboards.operator.tabs.api_keys import ApiKeysTab
from tarslab.dashboards.operator.tabs.audit import AuditTab
from tarslab.dashboards.operator.tabs.health import HealthTab
from tarslab.dashboards.operator.tabs.sign_in import SignInTab
from tarslab.dashboards.operator.tabs.signing_keys import SigningKeysTab

__all__ = ["AgentsTab", "ApiKeysTab", "AuditTab", "HealthTab", "SignInTab", "SigningKeysTab"]
