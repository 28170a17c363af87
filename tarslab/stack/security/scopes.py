"""Scopes, and the roles that have them."""

from enum import StrEnum


class Scope(StrEnum):
    """What a request may do."""

    AGENTS_READ = "agents:read"
    AGENTS_WRITE = "agents:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    JWT_READ = "jwt:read"
    JWT_WRITE = "jwt:write"
    AUDIT_READ = "audit:read"
    STUDIES_READ = "studies:read"
    STUDIES_WRITE = "studies:write"
    PROPOSALS_READ = "proposals:read"
    PROPOSALS_WRITE = "proposals:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    MAINTENANCE_WRITE = "maintenance:write"


class Role(StrEnum):
    """What a user is."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_VIEWER = frozenset({Scope.AGENTS_READ, Scope.STUDIES_READ, Scope.PROPOSALS_READ, Scope.JWT_READ})
_OPERATOR = _VIEWER | {
    Scope.AGENTS_WRITE,
    Scope.STUDIES_WRITE,
    Scope.PROPOSALS_WRITE,
    Scope.KEYS_READ,
    Scope.AUDIT_READ,
}
SCOPES: dict[Role, frozenset[Scope]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Scope),
}
"""Of each role."""
