"""Clients of the T.A.R.S. admin API: agents, API keys, signing keys, audit, studies, proposals."""

from tarslab.admin.client import AdminClient, AsyncAdminClient
from tarslab.admin.errors import (
    AdminError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
    Unexpected,
)
from tarslab.admin.secret import Secret

__all__ = [
    "AdminClient",
    "AdminError",
    "AsyncAdminClient",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NotFound",
    "RateLimited",
    "Secret",
    "Unauthorized",
    "Unavailable",
    "Unexpected",
]
