"""Callers of handlers that a test calls without a server."""

from __future__ import annotations

from typing import Any

from kaon_service.principal import Principal
from kaon_service.roles import Role, included


def person(tenant: str, *roles: str, name: str = "ann", **fields: Any) -> Principal:
    """Return an authenticated person with roles, and all that they include; without any, a viewer."""
    held = included(roles or (Role.VIEWER,))
    return Principal(tenant=tenant, name=name, roles=held, authentication="token", **fields)
